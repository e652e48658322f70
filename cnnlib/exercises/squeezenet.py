"""Checks for the exercises of chapter 10.

Each takes the reader's function and compares it with the library on cases that tell the usual wrong
answers apart: an expand layer that looks past the squeeze layer, a count that forgets who feeds
whom, a file that forgets its table of shared values, a gap that does not fit and is written anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import nn

from cnnlib.book import Verdict, check
from cnnlib.compress.gaps import to_gaps
from cnnlib.compress.huffman import code_lengths
from cnnlib.inspection import count_parameters
from cnnlib.models.squeezenet import Fire, FireWidths

WIDTHS = (FireWidths(2, 3, 4), FireWidths(4, 4, 4), FireWidths(3, 6, 2))


def check_fire(answer: Callable[..., Any]) -> Verdict:
    """``answer(maps, squeeze, expand1x1, expand3x3)`` -> maps (N, e1x1 + e3x3, H, W)."""
    draw = torch.Generator().manual_seed(0)
    cases = []
    with torch.no_grad():
        for widths in WIDTHS:
            fire = Fire(widths.s1x1, widths)  # as many maps in: a shortcut past it would fit
            for parameter in fire.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=draw))
            dtype = next(fire.parameters()).dtype
            maps = torch.randn(2, widths.s1x1, 5, 4, generator=draw, dtype=torch.float64).to(dtype)
            parts = (_Named("squeeze", fire.squeeze), _Named("expand1x1", fire.expand1x1),
                     _Named("expand3x3", fire.expand3x3))  # fmt: skip
            cases.append(((maps, *parts), fire(maps)))
        return check(answer, cases, "The numbers of the library's module.")


class _Named:
    """A layer that shows up by its name where a verdict lists the arguments."""

    def __init__(self, name: str, layer: nn.Module) -> None:
        self.name, self.layer = name, layer

    def __call__(self, maps: Any) -> Any:
        return self.layer(maps)

    def __repr__(self) -> str:
        return self.name


def check_fire_parameters(answer: Callable[..., Any]) -> Verdict:
    """``answer(in_channels, s1x1, e1x1, e3x3)`` -> weights and biases of a Fire module."""
    cases = []
    for channels, widths in product((1, 96, 128), (*WIDTHS, FireWidths(16, 64, 64))):
        with torch.device("meta"):
            fire = Fire(channels, widths)
        cases.append(((channels, *widths), count_parameters(fire)))
    return check(answer, cases, "Weights and biases, as in table 1.")


def check_rate(answer: Callable[..., Any]) -> Verdict:
    """``answer(weights, shared, bits)`` -> how many times smaller; equation 1 of the paper.

    ``shared`` is a power of two: so many values, of ``bits`` bits each, stand for all weights.
    """
    cases = []
    for weights, shared, bits in ((16, 4, 32), (1000, 32, 32), (1000, 256, 32), (500, 2, 16)):
        code = shared.bit_length() - 1
        rate = weights * bits / (weights * code + shared * bits)
        cases.append(((weights, shared, bits), torch.tensor(rate, dtype=torch.float64)))
    return check(_as_tensor(answer), cases, "Codes for all weights, and one table of values.")


def _as_tensor(answer: Callable[..., Any]) -> Callable[..., Any]:
    """Numbers as tensors, which are compared up to rounding."""
    if not callable(answer):
        return answer

    def rounded(*arguments: Any) -> Any:
        got = answer(*arguments)
        is_number = isinstance(got, int | float | np.number) and not isinstance(got, bool)
        return torch.tensor(float(got), dtype=torch.float64) if is_number else got

    return rounded


def check_gaps(answer: Callable[..., Any]) -> Verdict:
    """``answer(positions, bits)`` -> list of gaps, with 2^bits - 1 for each filler."""
    cases = []
    for positions, bits in (
        ([0, 1, 2], 2),
        ([1, 5, 6], 3),
        ([3, 4, 12], 2),
        ([4], 2),
        ([8, 9], 2),
        ([0, 40], 3),
        ([7, 8, 30], 4),
    ):
        gaps, _ = to_gaps(np.array(positions), bits)
        cases.append(((positions, bits), [int(gap) for gap in gaps]))

    return check(_listed(answer), cases, "Every weight will be found again.")


def _listed(answer: Callable[..., Any]) -> Callable[..., Any]:
    """Tuples and arrays as lists: any row of whole numbers will do."""
    if not callable(answer):
        return answer

    def listed(*arguments: Any) -> Any:
        got = answer(*(list(a) if isinstance(a, list) else a for a in arguments))
        if isinstance(got, tuple | list | np.ndarray | torch.Tensor):
            return [int(gap) if float(gap) == int(gap) else gap for gap in got]
        return got

    return listed


def check_code_bits(answer: Callable[..., Any]) -> Verdict:
    """``answer(counts)`` -> bits that Huffman's code takes for all symbols together."""
    cases = []
    for counts in ([1, 1], [3, 1], [4, 2, 1, 1], [1, 1, 1, 1], [8, 5, 3, 2, 1, 1], [90, 4, 3, 2, 1],
                   [2, 2, 3, 3]):  # fmt: skip
        bits = sum(n * length for n, length in zip(counts, code_lengths(counts), strict=True))
        cases.append(((counts,), bits))
    return check(_copied(answer), cases, "No other code with whole bits is shorter.")


def _copied(answer: Callable[..., Any]) -> Callable[..., Any]:
    """Gives each call a list of its own: heaps change theirs."""
    return (lambda counts: answer(list(counts))) if callable(answer) else answer
