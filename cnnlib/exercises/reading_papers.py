"""Checks for the exercises of chapter 0, on reading papers.

Each takes the reader's function and compares it with the library on cases that tell the usual wrong
answers apart: accuracy for error, percentage points for percent, ties that are given away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cnnlib.book import Verdict, check
from cnnlib.inspection import summarize
from cnnlib.models import resnet


def top_k_error(scores: Tensor, labels: Tensor, k: int) -> float:
    """The share of images whose class is not surely among the k highest scores.

    Ties count against the network: a class is among the first k only if fewer than k others score
    at least as high. Else a network that says the same of everything would never be wrong.

    Args:
        scores: (N, classes).
        labels: (N,), the true classes.
        k: how many guesses count.

    Raises:
        ValueError: k is not between 1 and the number of classes.
    """
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"k must be 1 to {scores.shape[1]}, the number of classes; got {k}")
    own = scores.gather(1, labels[:, None])
    not_beaten = (scores >= own).sum(1)  # the true class itself among them
    return (not_beaten > k).double().mean().item()


def check_top_k_error(answer: Callable[..., Any]) -> Verdict:
    """``answer(scores, labels, k)`` -> share of the images that are wrong under top-k."""
    draw = torch.Generator().manual_seed(0)
    scores = torch.randn(8, 6, generator=draw)
    labels = torch.randint(6, (8,), generator=draw)
    cases = [((scores, labels, k), top_k_error(scores, labels, k)) for k in (1, 2, 5, 6)]
    two = torch.tensor([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7]])
    cases += [((two, torch.tensor([1, 2]), k), top_k_error(two, torch.tensor([1, 2]), k))
              for k in (1, 2)]  # fmt: skip
    same = torch.zeros(4, 6)  # a network without an opinion
    cases += [((same, torch.tensor([0, 1, 4, 5]), k), 1.0) for k in (1, 5)]
    tie = torch.tensor([[0.4, 0.4, 0.2], [0.5, 0.25, 0.25]])
    cases += [((tie, torch.tensor([0, 1]), k), top_k_error(tie, torch.tensor([0, 1]), k))
              for k in (1, 2, 3)]  # fmt: skip
    return check(answer, cases, f"Equal in all {len(cases)} cases, ties included.")


def check_change(answer: Callable[..., Any]) -> Verdict:
    """``answer(before, after)`` -> (change in percentage points, relative change in percent).

    Both errors are in percent; what falls is negative.
    """
    if not callable(answer):
        return check(answer, [], "")

    def as_numbers(before: float, after: float) -> Any:
        got = answer(before, after)
        return got if got is None or got is ... else torch.tensor(got, dtype=torch.float64)

    cases = []
    for before, after in ((28.54, 25.03), (27.94, 28.54), (20.0, 10.0), (4.0, 4.0)):
        pair = [after - before, 100 * (after - before) / before]
        cases.append(((before, after), torch.tensor(pair, dtype=torch.float64)))
    return check(as_numbers, cases, "Points are a difference, percent are a share of the start.")


def check_stage_parameters(answer: Callable[..., Any]) -> Verdict:
    """``answer(in_channels, width, blocks)`` -> weights of a stage of basic blocks in table 1.

    Convolutions of 3 x 3 without bias, a batch normalisation with two numbers per channel behind
    each, shortcuts without weights.
    """
    cases = []
    for layers in (18, 34):
        block, blocks = resnet.TABLE_1[layers]
        with torch.device("meta"):
            model = resnet.ResNet(block=block, blocks=blocks, shortcut="A")
        counted = {row.name: row.parameters for row in summarize(model, (3, 64, 64)).rows}
        inputs = (resnet.WIDTHS[0], *resnet.WIDTHS[:-1])
        for i, (depth, width) in enumerate(zip(blocks, resnet.WIDTHS, strict=True)):
            cases.append(((inputs[i], width, depth), counted[f"conv{i + 2}_x"]))
    return check(answer, cases, f"Equal to the library in all {len(cases)} stages tried.")
