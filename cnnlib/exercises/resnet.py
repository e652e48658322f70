"""Checks for the exercises of chapter 6.

Each takes the reader's function and compares it with the library on cases that tell the usual wrong
answers apart: a variance divided by m - 1, a ReLU on the wrong side of the addition.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from cnnlib.book import Verdict, check
from cnnlib.models import resnet


def check_batch_norm(answer: Callable[..., Any]) -> Verdict:
    """``answer(x, gamma, beta, eps)`` -> maps normalised over the batch, per channel.

    Maps are (N, C, H, W), ``gamma`` and ``beta`` are (C,). One case has nearly constant maps, where
    it matters that ``eps`` stands inside the root.
    """
    draw = torch.Generator().manual_seed(0)
    cases = []
    for shape, spread in (((2, 1, 1, 2), 1.0), ((4, 3, 5, 5), 2.0), ((8, 2, 3, 4), 0.01)):
        x = 3 + spread * torch.randn(shape, generator=draw, dtype=torch.float64)
        gamma, beta = torch.randn(2, shape[1], generator=draw, dtype=torch.float64)
        for eps in (1e-5, 1e-2):
            expected = F.batch_norm(x, None, None, gamma, beta, training=True, eps=eps)
            cases.append(((x, gamma, beta, eps), expected))
    return check(answer, cases, "Equal to torch's batch normalisation in training mode.")


def check_running_variance(answer: Callable[..., Any]) -> Verdict:
    """``answer(old, values, momentum)`` -> the running variance after one more batch of one unit.

    ``old`` is a number, ``values`` (m,) the batch; the result is a number.
    """
    cases = []
    for values in ([2.0, 4.0, 4.0, 6.0], [1.0, 3.0], [0.0, 0.5, 2.5, 3.0, 9.0]):
        for old, momentum in ((1.0, 0.1), (0.25, 0.5), (4.0, 1.0)):
            layer = nn.BatchNorm1d(1, momentum=momentum, dtype=torch.float64)
            assert layer.running_var is not None  # tracked by default
            layer.running_var.fill_(old)
            batch = torch.tensor(values, dtype=torch.float64)
            layer(batch[:, None])
            cases.append(((old, batch, momentum), layer.running_var[0].clone()))
    return check(answer, cases, "Equal to what torch stores after one batch.")


def check_residual_forward(answer: Callable[..., Any]) -> Verdict:
    """``answer(x, residual, shortcut)`` -> output of a residual block, ReLU included.

    ``residual`` and ``shortcut`` are callables from maps to maps; neither may be assumed to be the
    identity, and ``x`` may be negative.
    """
    draw = torch.Generator().manual_seed(1)
    cases = []
    for channels, out_channels, stride in ((2, 2, 1), (2, 4, 2)):
        x = torch.randn(2, channels, 4, 4, generator=draw, dtype=torch.float64)
        weight = torch.randn(out_channels, channels, 3, 3, generator=draw, dtype=torch.float64)
        residual = _Named("F", lambda x, w=weight, s=stride: F.conv2d(x, w, stride=s, padding=1))
        shortcut = resnet.make_shortcut("A", channels, out_channels, stride)
        assert shortcut is not None  # option A always has one
        expected = torch.relu(residual(x) + shortcut(x))
        cases.append(((x, residual, _Named("shortcut", shortcut)), expected))
    return check(answer, cases, "ReLU comes last, after the sum, as in figure 2 of the paper.")


def check_shortcut_parameters(answer: Callable[..., Any]) -> Verdict:
    """``answer(option, in_channels, out_channels, stride)`` -> trainable numbers of one shortcut.

    Options are "A", "B" and "C"; a projection has no bias and is followed by batch normalisation.
    """
    shapes = ((64, 64, 1), (64, 128, 2), (256, 512, 2), (64, 256, 1), (512, 512, 1), (64, 64, 2))
    cases = []
    for option, shape in product("ABC", shapes):
        with torch.device("meta"):
            shortcut = resnet.make_shortcut(option, *shape)
        assert shortcut is not None  # only option "none" has none
        cases.append(((option, *shape), sum(p.numel() for p in shortcut.parameters())))
    return check(answer, cases, f"Equal to the library in all {len(cases)} cases tried.")


class _Named:
    """A function with a name that fits into a sentence."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name, self.function = name, function

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)

    def __repr__(self) -> str:
        return self.name
