"""Checks for the exercises of chapter 5.

Each takes the reader's function and compares it with the library on cases that tell the usual wrong
answers apart: branches that follow each other, a reduction that is forgotten in the bill, averages
over the wrong axes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from cnnlib.book import Verdict, check
from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models.googlenet import Inception, Widths, convolution


class Branches(nn.Module):
    """Four branches that give maps of one size, without names for a reader to copy from.

    Attributes:
        branches: each takes (N, channels, H, W) and gives (N, its own number, H, W).
    """

    def __init__(self, channels: int, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        kernels = (1, 3, 5, 1)
        self.branches = nn.ModuleList(
            convolution(channels, width, kernel)
            for width, kernel in zip(widths, kernels, strict=True)
        )


def check_forward(answer: Callable[..., Any]) -> Verdict:
    """``answer(maps, branches)`` -> what the branches make of the maps, side by side.

    Maps are (N, C, H, W); the result has the maps of all branches, in their order.
    """
    cases = []
    for channels, widths in ((3, (1, 2, 3, 4)), (5, (4, 4, 4, 4)), (4, (4, 4, 4, 4))):
        maps = _random(2, channels, 6, 7, seed=channels)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(channels)  # the reader's own draws go on as if nothing had happened
            block = Branches(channels, widths).double()
            expected = torch.cat([branch(maps) for branch in block.branches], dim=1)
        cases.append(((maps, block.branches), expected))
    praise = "Every branch sees the same maps, and their results stand side by side."
    return check(answer, cases, praise)


def check_pointwise(answer: Callable[..., Any]) -> Verdict:
    """``answer(maps, weight, bias)`` -> a 1 x 1 convolution without torch's convolution.

    Maps are (C, H, W), weight is (maps out, C), bias (maps out,); the result (maps out, H, W).
    """
    cases = []
    for channels, out, height, width in ((2, 1, 1, 1), (3, 2, 4, 5), (5, 5, 5, 5)):
        maps = _random(channels, height, width, seed=channels)
        weight, bias = _random(out, channels, seed=out), _random(out, seed=7)
        expected = F.conv2d(maps[None], weight[:, :, None, None], bias)[0]
        cases.append(((maps, weight, bias), expected))
    return check(answer, cases, "Equal to torch's 1×1 convolution for three shapes.")


def check_branch_macs(answer: Callable[..., Any]) -> Verdict:
    """``answer(side, channels, reduced, out, kernel)`` -> MACs of a branch with its reduction.

    The maps are ``side`` x ``side``; a 1 x 1 convolution takes them from ``channels`` to
    ``reduced``, then one of ``kernel`` x ``kernel`` to ``out``.
    """
    cases = []
    for side, channels, reduced, out, kernel in (
        (1, 3, 2, 5, 3),
        (28, 192, 16, 32, 5),
        (28, 192, 96, 128, 3),
        (14, 480, 16, 48, 5),
        (7, 832, 48, 128, 7),
    ):
        with torch.device("meta"):
            branch = nn.Sequential(
                convolution(channels, reduced, 1), convolution(reduced, out, kernel)
            )
        case = (side, channels, reduced, out, kernel)
        cases.append((case, count_macs(branch, (channels, side, side))))
    praise = "Two products, one for each convolution; the reduction is part of the bill."
    return check(answer, cases, praise)


def check_module_parameters(answer: Callable[..., Any]) -> Verdict:
    """``answer(channels, widths)`` -> parameters of a module with reductions, biases included.

    ``widths`` is a row of table 1: #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj.
    """
    cases = []
    for channels, widths in (
        (3, Widths(1, 2, 3, 4, 5, 6)),
        (192, Widths(64, 96, 128, 16, 32, 32)),
        (832, Widths(384, 192, 384, 48, 128, 128)),
    ):
        with torch.device("meta"):
            cases.append(((channels, widths), count_parameters(Inception(channels, widths))))
    return check(
        answer, cases, "Six convolutions, a bias for each of their maps, and pooling costs nothing."
    )


def _random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
