"""Checks for the exercises of chapter 2.

Each takes the reader's function and compares it with the library or with torch on cases that tell
the usual wrong answers apart: a normalisation that divides alpha by n, a dropout that forgets the
scale, ten crops without their mirror images.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from cnnlib.book import Verdict, check
from cnnlib.models.alexnet import ResponseNorm


def check_slopes(answer: Callable[..., Any]) -> Verdict:
    """``answer(x)`` -> (3, N): slopes of the logistic function, of tanh and of ReLU at x (N,).

    x holds no zero, where ReLU has no slope.
    """
    cases = []
    for x in (torch.tensor([-1.0, 2.0]), torch.linspace(-5, 5, 8), torch.tensor([0.1, -0.1, 30])):
        rows = []
        for unit in (torch.sigmoid, torch.tanh, torch.relu):
            point = x.clone().requires_grad_()
            rows.append(torch.autograd.grad(unit(point).sum(), point)[0])
        cases.append(((x,), torch.stack(rows)))
    return check(answer, cases, "Equal to what torch's backpropagation finds.")


def check_response_norm(answer: Callable[..., Any]) -> Verdict:
    """``answer(maps, k, n, alpha, beta)`` -> the normalised maps, as section 3.3 prints it.

    Maps are (channels, height, width), n is odd; the result has the same shape.
    """
    draw = torch.Generator().manual_seed(0)
    cases = []
    for shape, k, n, alpha, beta in (
        ((8, 2, 3), 2.0, 5, 1e-4, 0.75),
        ((6, 4, 4), 1.0, 3, 0.1, 0.5),
        ((3, 1, 2), 2.0, 5, 0.01, 1.0),
    ):
        maps = 30 * torch.randn(shape, generator=draw)
        expected = ResponseNorm(n=n, k=k, alpha=alpha, beta=beta)(maps[None])[0]
        cases.append(((maps, k, n, alpha, beta), expected))
    return check(answer, cases, "That is the printed formula, also at the first and the last map.")


def check_dropout(answer: Callable[..., Any]) -> Verdict:
    """``answer(x, kept, p)`` -> inverted dropout in training: p is the share that is dropped.

    ``kept`` has the shape of x: 1 where a number stays, 0 where it is dropped.
    """
    draw = torch.Generator().manual_seed(1)
    cases = []
    for shape, p in (((6,), 0.5), ((2, 5), 0.2), ((3, 4), 0.75)):
        x = torch.randn(shape, generator=draw)
        kept = (torch.rand(shape, generator=draw) >= p).to(x.dtype)
        cases.append(((x, kept, p), x * kept / (1 - p)))
    return check(answer, cases, "On average over many masks, the output is the input.")


def check_ten_crops(answer: Callable[..., Any]) -> Verdict:
    """``answer(image, size)`` -> (10, C, size, size): five crops, then these five mirrored.

    The five: upper left, upper right, lower left, lower right, centre. ``image`` is (C, H, W).
    """
    cases = []
    for (channels, height, width), size in (((1, 4, 4), 2), ((3, 8, 6), 4), ((2, 7, 7), 3)):
        image = torch.arange(float(channels * height * width)).view(channels, height, width)
        cases.append(((image, size), _ten_crops(image, size)))
    return check(answer, cases, "Five places, each seen twice.")


def _ten_crops(image: Tensor, size: int) -> Tensor:
    down, right = image.shape[1] - size, image.shape[2] - size
    corners = [(top, left) for top, left in product((0, down), (0, right))]
    places = [*corners, (down // 2, right // 2)]
    five = torch.stack([image[:, t : t + size, x : x + size] for t, x in places])
    return torch.cat([five, five.flip(-1)])


def check_group_parameters(answer: Callable[..., Any]) -> Verdict:
    """``answer(in_maps, out_maps, k, groups)`` -> parameters of a convolution with bias."""
    cases = []
    for i, o, k, groups in ((96, 256, 5, 2), (256, 384, 3, 1), (384, 256, 3, 2), (64, 64, 3, 64)):
        conv = nn.Conv2d(i, o, k, groups=groups, device="meta")
        cases.append(((i, o, k, groups), sum(p.numel() for p in conv.parameters())))
    return check(answer, cases, "Each kernel sees the maps of its own group only.")
