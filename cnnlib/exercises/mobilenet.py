"""Checks for the exercises of chapter 11.

Each takes the reader's function and compares it with the library on cases that tell the usual wrong
answers apart: a depthwise filter that mixes maps, a product where the costs add up, a ratio upside
down, a stride that reaches the wrong layers.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from cnnlib.book import Verdict, check
from cnnlib.inspection import convolutions, count_macs
from cnnlib.models.mobilenet_v2 import InvertedResidual


def check_depthwise(answer: Callable[..., Any]) -> Verdict:
    """``answer(maps, filters)`` -> each map under a filter of its own, without padding.

    Maps are (C, H, W), filters (C, K, K); the result is (C, H - K + 1, W - K + 1).
    """
    cases = []
    for channels, height, width, side in ((1, 3, 3, 3), (2, 4, 5, 3), (3, 5, 4, 2), (5, 7, 6, 5)):
        maps = _random(channels, height, width, seed=channels)
        filters = _random(channels, side, side, seed=10 + channels)
        expected = F.conv2d(maps, filters[:, None], groups=channels)
        cases.append(((maps, filters), expected))
    return check(answer, cases, "Equal to torch's convolution with as many groups as maps.")


def check_separable_macs(answer: Callable[..., Any]) -> Verdict:
    """``answer(m, n, k, f)`` -> MACs of a depthwise separable convolution.

    m maps come in and n go out, the window is k x k, the maps are f x f.
    """
    cases = []
    for m, n, k, f in (
        (1, 1, 3, 1),
        (2, 5, 3, 4),
        (32, 64, 3, 112),
        (512, 512, 3, 14),
        (8, 3, 5, 7),
    ):
        cases.append(((m, n, k, f), convolutions.cost("separable", m, n, f, k).macs))
    return check(answer, cases, "As counted on the layers, table 3's 52.3 million among them.")


def check_least_channels(answer: Callable[..., Any]) -> Verdict:
    """``answer(k, times)`` -> the smallest N for which separable is ``times`` cheaper, or None.

    The window is k x k; N maps go out. None stands for "however many there are, it is not".
    """
    if not callable(answer):
        return check(answer, [], "")
    cases = []
    for k, times in product((3, 5, 7), (1, 2, 8, 9, 24, 40)):
        share = k * k - times  # 1/N + 1/k² <= 1/times  <=>  N (k² - times) >= times k²
        least = -(-times * k * k // share) if share > 0 else None
        cases.append(((k, times), least))
    impossible = [case for case, least in cases if least is None]
    for case in impossible:  # the general check takes None for a stub
        try:
            got = answer(*case)
        except NotImplementedError:
            return Verdict(False, "The function is still to be written.")
        except Exception as error:
            return Verdict(False, f"For {case} it stopped: {type(error).__name__}: {error}")
        if got is ...:
            return Verdict(False, "The function is still to be written: it returns nothing.")
        if got is not None:
            return Verdict(False, f"For {case} it gives {got}, but no number of maps is enough.")
    possible = [case for case in cases if case[1] is not None]
    return check(
        answer, possible, "72 maps for eight times, and for nine times no number is enough."
    )


def check_inverted_macs(answer: Callable[..., Any]) -> Verdict:
    """``answer(f, c, n, t, s)`` -> MACs of MobileNetV2's block with a window of 3 x 3.

    c maps of f x f come in, n maps go out; t > 1 is the expansion, s the stride.
    """
    cases = []
    for f, c, n, t, s in ((4, 1, 2, 2, 1), (14, 64, 64, 6, 1), (56, 24, 32, 6, 2), (8, 5, 3, 4, 2)):
        with torch.device("meta"):
            block = InvertedResidual(c, n, expansion=t, stride=s)
        cases.append(((f, c, n, t, s), count_macs(block, (c, f, f))))
    return check(answer, cases, "As counted on the library's block; it expands before the stride.")


def check_hard_swish(answer: Callable[..., Any]) -> Verdict:
    """``answer(x)`` -> h-swish of a tensor of any shape."""
    cases = []
    for values in (
        torch.tensor([-4.0, -3.0, -1.5, 0.0], dtype=torch.float64),
        torch.tensor([1.0, 3.0, 4.0, 10.0], dtype=torch.float64),
        4 * _random(2, 3, 4, seed=1),
    ):
        cases.append(((values,), F.hardswish(values)))
    return check(answer, cases, "Equal to torch's hardswish: 0 below −3, x above 3.")


def _random(*shape: int, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draw, dtype=torch.float64)
