"""Checks for the exercises of chapter 7.

Each takes the reader's function and compares it with the library on cases that tell the usual wrong
answers apart: a unit that normalises its shortcut too, a ReLU that has stayed on the path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cnnlib.book import Verdict, check
from cnnlib.models.preact_resnet import FIGURE_4, ResidualUnit


def check_direct_share(answer: Callable[..., Any]) -> Verdict:
    """``answer(factor, units)`` -> what such factors on each shortcut leave of a signal."""
    cases = []
    for factor, units in ((1.0, 54), (0.5, 1), (0.5, 3), (0.5, 10), (0.75, 2), (2.0, 10)):
        product = 1.0
        for _ in range(units):
            product *= factor
        cases.append(((factor, units), product))
    return check(answer, cases, "A factor for each unit, and they multiply.")


def check_open_share(answer: Callable[..., Any]) -> Verdict:
    """``answer(bias, units)`` -> what gates 1 - g leave after so many units, if x is 0."""
    cases = []
    for bias, units in ((0.0, 1), (0.0, 54), (-6.0, 1), (-6.0, 54), (-1.0, 18), (3.0, 2)):
        gate = torch.tensor(bias, dtype=torch.float64).sigmoid()
        cases.append(((bias, units), (1 - gate) ** units))
    return check(_as_tensor(answer), cases, "Closed gates leave the shortcut nearly clean.")


def check_preactivation(answer: Callable[..., Any]) -> Verdict:
    """``answer(x, bn1, conv1, bn2, conv2)`` -> a full pre-activation unit, Figure 4 (e)."""
    draw = torch.Generator().manual_seed(0)
    cases = []
    for channels, size in ((1, 4), (4, 5), (8, 7)):
        x = torch.randn(6, channels, size, size, generator=draw)
        layers: list[nn.Module] = []
        for _ in range(2):
            norm = nn.BatchNorm2d(channels, track_running_stats=False)
            conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
            for parameter in [*norm.parameters(), *conv.parameters()]:
                parameter.data = torch.randn(parameter.shape, generator=draw)
                parameter.requires_grad_(False)
            layers += [norm, conv]
        bn1, conv1, bn2, conv2 = layers
        expected = x + conv2(bn2(conv1(bn1(x).relu())).relu())
        cases.append(((_Kept(x), *layers), expected))
    return check(_unwrapped(answer), cases, "That is Figure 4 (e): nothing stands on the shortcut.")


def check_asymmetric(answer: Callable[..., Any]) -> Verdict:
    """``answer(y, branches)`` -> units whose ReLU acts on their residual branch only (Fig. 5 b).

    Branches are functions, one per unit.
    """
    draw = torch.Generator().manual_seed(1)
    cases = []
    for channels, units in ((2, 1), (3, 2), (4, 5)):
        y = torch.randn(5, channels, generator=draw)
        branches = [_Linear(torch.randn(channels, channels, generator=draw)) for _ in range(units)]
        expected = y
        for branch in branches:
            expected = expected + branch(expected.relu())
        cases.append(((_Kept(y), branches), expected))
    return check(
        _unwrapped(answer), cases, "The path from y to y is clean: you have moved the ReLU off it."
    )


def check_which_order(answer: Callable[..., Any]) -> Verdict:
    """``answer(unit)`` -> the key of ``FIGURE_4`` that a unit of four channels is built by.

    The unit can only be called, on maps (N, 4, H, W) of any size; it is in training mode.
    """
    cases = []
    for seed in range(3):
        for order in FIGURE_4:
            torch.manual_seed(seed)
            cases.append(((_Mystery(order),), order))
    return check(answer, cases, f"All {len(cases)} units told apart, by what they do.")


class _Kept:
    """A tensor that is handed out anew, since an answer may write over the one it gets."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __repr__(self) -> str:
        return f"x of shape {tuple(self.tensor.shape)}"


class _Linear:
    """A residual branch in its smallest form."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def __call__(self, x: Tensor) -> Tensor:
        return x @ self.weight

    def __repr__(self) -> str:
        return "F"


class _Mystery:
    """A unit that hides what it is made of."""

    def __init__(self, order: str) -> None:
        unit = ResidualUnit(4, 4, order=order).train()

        def run(maps: Tensor) -> Tensor:
            with torch.no_grad():
                return unit(maps.to(next(unit.parameters()).dtype))

        self._run = run

    def __call__(self, maps: Tensor) -> Tensor:
        return self._run(maps)

    def __repr__(self) -> str:
        return "a mystery unit"


def _unwrapped(answer: Any) -> Any:
    """The answer with kept tensors taken out; what is no function stays for ``check`` to refuse."""
    if not callable(answer):
        return answer

    def call(*arguments: Any) -> Any:
        return answer(*[a.tensor.clone() if isinstance(a, _Kept) else a for a in arguments])

    return call


def _as_tensor(answer: Any) -> Any:
    """The answer with its number as a tensor, so that it is compared to rounding only."""
    if not callable(answer):
        return answer

    def call(*arguments: Any) -> Any:
        got = answer(*arguments)
        if isinstance(got, int | float) and not isinstance(got, bool):
            return torch.tensor(float(got), dtype=torch.float64)
        return got

    return call
