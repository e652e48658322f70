"""Checks for the exercises of chapter 13.

Each takes the reader's function and compares it with the library on cases that tell the usual wrong
answers apart: a rule that multiplies by phi, channels that are cut off instead of rounded, a branch
that is dropped without making up for it, padding that is shared evenly, a squeeze that is measured
against the wide maps.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import nn

from cnnlib.book import Verdict, check
from cnnlib.inspection import count_macs
from cnnlib.models.efficientnet import (
    TABLE_1,
    VARIANTS,
    EfficientNet,
    Stage,
    compound_scaling,
    round_filters,
)
from cnnlib.models.layers import same_padding


def check_compound(answer: Callable[..., Any]) -> Verdict:
    """``answer(phi)`` -> (depth, width, resolution), the last in whole pixels, for B0 as base."""
    cases = []
    for phi in (0, 1, 2, 3.5, 7):
        scaled = compound_scaling(phi)
        numbers = [float(scaled.depth), float(scaled.width), float(scaled.resolution)]
        cases.append(((phi,), torch.tensor(numbers, dtype=torch.float64)))

    def as_tensor(phi: float) -> Any:
        got = answer(phi)
        return got if got is None or got is ... else torch.tensor([float(n) for n in got])

    return check(as_tensor if callable(answer) else answer, cases, "Three powers of one number.")


def check_round_filters(answer: Callable[..., Any]) -> Verdict:
    """``answer(channels, multiplier)`` -> channels, a multiple of 8 that loses at most a tenth."""
    widths = sorted({stage.channels for stage in TABLE_1} | {8, 1280})
    factors = sorted({scaling.width for scaling in VARIANTS.values()} | {0.35, 0.5, 1.3})
    cases = [((w, factor), round_filters(w, factor)) for w, factor in product(widths, factors)]
    return check(answer, cases, f"As the authors' code rounds, in {len(cases)} cases.")


def check_drop_path(answer: Callable[..., Any]) -> Verdict:
    """``answer(branch, kept, rate)`` -> the branch of every image, dropped or made up for.

    ``branch`` is (N, C, H, W), ``kept`` (N,) of booleans, ``rate`` the share that is dropped.
    """
    draw = torch.Generator().manual_seed(0)
    cases = []
    for rate in (0.0, 0.2, 0.5):
        branch = torch.randn(6, 2, 3, 3, generator=draw)
        kept = torch.tensor([True, False, True, True, False, True])
        pairs = zip(branch, kept, strict=True)
        expected = torch.stack([maps / (1 - rate) if keep else 0 * maps for maps, keep in pairs])
        cases.append(((branch, kept, rate), expected))
    return check(answer, cases, "The mean over many draws is the branch itself.")


def check_same_padding(answer: Callable[..., Any]) -> Verdict:
    """``answer(size, kernel, stride)`` -> (rows before, rows after), as TensorFlow's SAME."""
    cases = [
        ((size, kernel, stride), same_padding(size, kernel, stride))
        for size, kernel, stride in product((224, 225, 56, 7, 4), (1, 3, 5), (1, 2, 4))
    ]
    return check(answer, cases, "As TensorFlow pads.")


def check_mbconv_macs(answer: Callable[..., Any]) -> Verdict:
    """``answer(channels, expansion, kernel, side)`` -> multiply-adds of an MBConv of stride 1.

    As many channels go out as come in; squeeze and excitation included.
    """
    cases = []
    for channels, expansion, kernel, side in (
        *((8, 6, 3, 7), (40, 6, 5, 28), (16, 4, 3, 14), (112, 6, 5, 14)),
        *((24, 1, 3, 56), (20, 6, 3, 10)),
    ):
        cases.append(
            ((channels, expansion, kernel, side), _macs(channels, expansion, kernel, side))
        )
    return check(answer, cases, "As the library counts.")


def _macs(channels: int, expansion: int, kernel: int, side: int) -> int:
    """Of the second of two equal blocks, which is the one whose input has ``channels`` maps."""
    with torch.device("meta"):
        rows = [Stage(expansion, channels, layers=2, stride=1, kernel_size=kernel)]
        stage = EfficientNet(rows=rows, divisor=1).get_submodule("stage2")
    block = list(stage.children())[1]
    return count_macs(nn.Sequential(block), (channels, side, side))
