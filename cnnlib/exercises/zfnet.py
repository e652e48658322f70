"""Checks for the exercises of chapter 3.

Each takes the reader's function and compares it on cases that tell the usual wrong answers apart:
an unpooling that loses values where windows overlap, a loop that forgets to uncover the image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from cnnlib.book import Verdict, check
from cnnlib.explain import RULES


def check_unpool(answer: Callable[..., Any]) -> Verdict:
    """``answer(pooled, switches, height, width)`` -> the map with each value back in its place.

    ``pooled`` and ``switches`` are (h, w); a switch counts the places of the (height, width) map
    row by row. Values that belong to the same place are added.
    """
    draw = torch.Generator().manual_seed(0)
    cases = []
    for height, width, window, stride in ((4, 4, 2, 2), (4, 6, 2, 2), (7, 7, 3, 2), (5, 8, 3, 1)):
        x = torch.randn(1, 1, height, width, generator=draw, requires_grad=True)
        pooled, switches = F.max_pool2d(x, window, stride, return_indices=True)
        signal = torch.randn(pooled.shape, generator=draw)
        (expected,) = torch.autograd.grad(pooled, x, signal)
        cases.append(((signal[0, 0], switches[0, 0], height, width), expected[0, 0]))
    return check(answer, cases, "Right in four cases, two of them with windows that overlap.")


def check_occlusion(answer: Callable[..., Any]) -> Verdict:
    """``answer(score, image, patch)`` -> scores with a square of zeros at every place.

    ``score`` takes an image (H, W) and returns a number; the result is
    (H - patch + 1, W - patch + 1), its value at (i, j) with the square's upper left corner there.
    """
    draw = torch.Generator().manual_seed(1)
    cases = []
    for height, width, patch in ((4, 4, 2), (5, 7, 3), (6, 5, 1)):
        image = torch.rand(height, width, generator=draw) + 0.5
        weight = torch.randn(height, width, generator=draw)
        score = _Score(weight, image)
        whole = (weight * image).sum()
        expected = whole - F.conv2d(
            (weight * image)[None, None], torch.ones(1, 1, patch, patch, dtype=image.dtype)
        )
        cases.append(((score, image.clone(), patch), expected[0, 0]))
    verdict = check(answer, cases, "Every place is covered once, and the image is left whole.")
    if verdict.right and any(not torch.equal(given[1], given[0].image) for given, _ in cases):
        return Verdict(False, "The map is right, but the image that was handed in has changed.")
    return verdict


class _Score:
    """A linear score: what it loses under a square is the sum of what was there."""

    def __init__(self, weight: Tensor, image: Tensor) -> None:
        self.weight, self.image = weight, image.clone()

    def __call__(self, image: Tensor) -> Tensor:
        return (self.weight * image).sum()

    def __repr__(self) -> str:
        return "score"


def check_guided(answer: Callable[..., Any]) -> Verdict:
    """``answer(signal, seen)`` -> what guided backpropagation lets through a ReLU.

    ``signal`` comes from above, ``seen`` is what the ReLU saw on the way forward.
    """
    draw = torch.Generator().manual_seed(2)
    cases = []
    for shape in ((6,), (3, 4)):
        signal, seen = torch.randn(2, *shape, generator=draw)
        cases.append(((signal, seen), RULES["guided"](signal, seen)))
    by_hand = torch.tensor([2.0, 2.0, -2.0, -2.0]), torch.tensor([1.0, -1.0, 1.0, -1.0])
    cases.insert(0, (by_hand, torch.tensor([2.0, 0.0, 0.0, 0.0])))
    return check(answer, cases, "It asks both questions: of the signal, and of what was seen.")


def check_first_layer(answer: Callable[..., Any]) -> Verdict:
    """``answer(size, stride)`` -> fewest pixels from one dark stripe to the next, to be told apart.

    ``size`` of the filter plays no part: two samples per period are needed, every ``stride``
    pixels.
    """
    cases = [((size, stride), 2 * stride) for size, stride in ((11, 4), (7, 2), (3, 1), (5, 2))]
    return check(answer, cases, "Two samples for every period: Nyquist's rule.")
