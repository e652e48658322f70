"""Checks for the exercises of chapter 12.

The usual wrong answers are a search space in which the second block has no more to choose from than
the first, a controller that learns from the reward instead of its surprise, an evolution that kills
the worst instead of the oldest, a rank correlation that forgets to rank.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Tensor

from cnnlib.book import Verdict, check
from cnnlib.models.nasnet import NASNET_A, first_filters
from cnnlib.papers import nasnet as printed

DIGITS = 5  # of an answer that is no whole number


def check_choices(answer: Callable[..., Any]) -> Verdict:
    """``answer(blocks, operations, combinations)`` -> how many ways there are to fill one cell."""
    paper = printed.BLOCKS, printed.OPERATIONS, printed.COMBINATIONS
    sizes = [*product((1, 2, 3), (1, 2, 13), (1, 2)), paper]
    cases = [(size, _choices(*size)) for size in sizes]
    praise = f"For the cells of the paper that is {_choices(*paper):.2e}."
    return check(answer, cases, praise)


def _choices(blocks: int, operations: int, combinations: int) -> int:
    states = range(2, 2 + blocks)  # hidden states that a block may read: every block adds one
    return math.prod(there**2 * operations**2 * combinations for there in states)


def check_first_filters(answer: Callable[..., Any]) -> Verdict:
    """``answer(penultimate, concatenated)`` -> F of the first normal cells in "N @ F"."""
    maps = len(NASNET_A.normal.concatenated)
    cases = [((f, maps), first_filters(f)) for f in (1056, 4032, 768, 2304, 1920)]
    cases += [((4 * states * f, states), f) for states, f in ((4, 16), (1, 64), (5, 12))]
    return check(answer, cases, f"44 for the mobile network, {first_filters(4032)} for the large.")


def check_reinforce_step(answer: Callable[..., Any]) -> Verdict:
    """``answer(logits, choice, reward, baseline, lr)`` -> the logits after one step of REINFORCE.

    ``logits`` is a tensor of shape (choices,), ``choice`` the number of the one that was taken.
    """
    cases = []
    for logits, choice, reward, baseline, lr in (
        ([0.0, 0.0, 0.0], 1, 0.9, 0.6, 1.0),
        ([0.0, 0.0, 0.0], 1, 0.3, 0.6, 1.0),
        ([0.5, -1.0, 2.0], 0, 0.8, 0.5, 0.5),
        ([0.5, -1.0, 2.0], 2, 0.8, 0.8, 2.0),
        ([1.0, 0.0, 0.0, -1.0], 3, 0.7, 0.2, 0.1),
    ):
        start = torch.tensor(logits, dtype=torch.float64)
        expected = start + lr * (reward - baseline) * _score(start, choice)
        cases.append(((start, choice, reward, baseline, lr), expected))
    return check(answer, cases, "As autograd finds it; the sum of the logits never changes.")


def _score(logits: Tensor, choice: int) -> Tensor:
    """Gradient of log p(choice) with respect to the logits, by autograd."""
    leaf = logits.clone().requires_grad_()
    leaf.log_softmax(0)[choice].backward()
    assert leaf.grad is not None
    return leaf.grad


def check_generation(answer: Callable[..., Any]) -> Verdict:
    """``answer(population, sample)`` -> (places of the parent and of the one that dies).

    ``population`` are accuracies, the oldest first, before the child joins; ``sample`` the places
    that were drawn. The parent is the best of the sample, and the oldest of all dies.
    """
    cases = []
    for population, sample in (
        ([0.5, 0.7, 0.6, 0.4], [0, 2, 3]),
        ([0.9, 0.2, 0.3, 0.5], [1, 3]),
        ([0.4, 0.6, 0.8, 0.7, 0.1], [4, 1, 0]),
        ([0.3, 0.9, 0.9, 0.8], [3]),
        ([0.8, 0.1, 0.4, 0.6, 0.5], [0, 1, 2]),
    ):
        parent = max(sample, key=population.__getitem__)
        cases.append(((population, sample), (parent, 0)))
    return check(answer, cases, "Even the best of all dies of age; only its children can stay.")


def check_chance(answer: Callable[..., Any]) -> Verdict:
    """``answer(share, tries)`` -> chance that one of the tries at random is in the best share."""
    cases = [
        ((share, tries), round(1 - (1 - share) ** tries, DIGITS))
        for share, tries in product((0.01, 0.05, 0.5), (1, 10, 60))
    ]
    praise = "60 tries reach the best twentieth in 95 of 100 searches."
    return check(_rounded(answer), cases, praise)


def check_spearman(answer: Callable[..., Any]) -> Verdict:
    """``answer(first, second)`` -> rank correlation of two tensors without ties."""
    draw = torch.Generator().manual_seed(0)
    pairs = [
        ([0.1, 0.4, 0.2, 0.3], [10.0, 40.0, 20.0, 30.0]),
        ([0.1, 0.4, 0.2, 0.3], [-0.1, -0.4, -0.2, -0.3]),
        ([0.61, 0.58, 0.66, 0.49], [0.63, 0.60, 0.59, 0.55]),
        ([1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 10.0, 100.0, 1000.0, 0.0]),
    ]
    tensors = [[torch.tensor(values, dtype=torch.float64) for values in pair] for pair in pairs]
    first = torch.rand(30, generator=draw, dtype=torch.float64)
    tensors.append([first, first + torch.rand(30, generator=draw, dtype=torch.float64)])
    cases = [((a, b), round(_spearman(a, b), DIGITS)) for a, b in tensors]
    return check(_rounded(answer), cases, "Only the order counts: 1 for the same, -1 reversed.")


def _spearman(first: Tensor, second: Tensor) -> float:
    ranks = torch.stack([values.argsort().argsort().double() for values in (first, second)])
    return torch.corrcoef(ranks)[0, 1].item()


def _rounded(answer: Callable[..., Any]) -> Callable[..., Any]:
    """The same function with numbers rounded, so that they may be computed in another order."""
    if not callable(answer):
        return answer

    def rounded(*arguments: Any) -> Any:
        got = answer(*arguments)
        if isinstance(got, Tensor) and got.numel() == 1:
            got = got.item()
        return round(got, DIGITS) if isinstance(got, int | float) else got

    return rounded
