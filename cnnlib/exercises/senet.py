"""Checks for the exercises of chapter 9.

Each takes the reader's function and compares it with the library on cases that tell the usual wrong
answers apart: a softmax for the sigmoid, a mean over the batch, a unit that gives its excitations
instead of the scaled maps, groups taken for the width of a group.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from cnnlib.book import Verdict, check
from cnnlib.inspection import count_parameters
from cnnlib.models.layers import SqueezeExcitation
from cnnlib.models.senet import SEResNet


def check_squeeze_excite(answer: Callable[..., Any]) -> Verdict:
    """``answer(maps, w1, b1, w2, b2)`` -> the maps, each scaled by its excitation.

    ``maps`` (N, C, H, W); ``w1`` (C / r, C) and ``b1`` of the first layer, ``w2`` (C, C / r) and
    ``b2`` of the second, as of ``torch.nn.functional.linear``.
    """
    draw = torch.Generator().manual_seed(0)
    cases = []
    for count, channels, squeezed, height, width in (
        (2, 4, 2, 3, 5),
        (3, 8, 2, 4, 4),
        (1, 6, 3, 2, 2),
    ):
        unit = SqueezeExcitation(channels, squeezed).double()
        with torch.no_grad():
            for parameter in unit.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
            maps = torch.randn(count, channels, height, width, generator=draw, dtype=torch.float64)
            expected = unit(maps)
        numbers = [p.detach().flatten(1) if p.ndim == 4 else p.detach() for p in unit.parameters()]
        cases.append(((maps, *numbers), expected))
    return _check_maps(answer, cases)


def _check_maps(answer: Callable[..., Any], cases: list[tuple[tuple, Tensor]]) -> Verdict:
    """As ``book.check``, for answers that are large tensors."""
    if not callable(answer):
        return Verdict(False, f"A function is expected here, got {type(answer).__name__}.")
    for arguments, expected in cases:
        try:
            got = answer(*(a.clone() for a in arguments))
        except NotImplementedError:
            return Verdict(False, "The function is still to be written.")
        except Exception as error:  # a reader's code may fail in any way; the check must not
            return Verdict(False, f"It stopped: {type(error).__name__}: {error}")
        if got is None or got is ...:
            return Verdict(False, "The function is still to be written: it returns nothing.")
        case = f"For maps of shape {tuple(expected.shape)}"
        if not isinstance(got, Tensor):
            return Verdict(False, f"A tensor is expected, got {type(got).__name__}.")
        if got.shape != expected.shape:
            return Verdict(
                False,
                f"{case} the answer has the shape {tuple(got.shape)}: wanted are the maps "
                "themselves, scaled.",
            )
        if not torch.allclose(got.to(expected.dtype), expected, atol=1e-6):
            return Verdict(False, f"{case} the shape is right, but the numbers are not.")
    return Verdict(True, f"It scales as the library's unit does, in {len(cases)} cases.")


def check_added_weights(answer: Callable[..., Any]) -> Verdict:
    """``answer(blocks, channels, reduction)`` -> weights, without biases, of all units.

    ``blocks`` and ``channels``: how many blocks each stage has, and how many maps leave them.
    """
    cases = []
    for blocks, widths, reduction in (
        ((3, 4, 6, 3), (64, 128, 256, 512), 16),
        ((3, 4, 6, 3), (64, 128, 256, 512), 4),
        ((3, 4, 23, 3), (64, 128, 256, 512), 16),
        ((1, 2), (8, 16), 2),
    ):
        with torch.device("meta"):
            model = SEResNet(blocks=blocks, widths=widths, reduction=reduction)
        units = [m for m in model.modules() if isinstance(m, SqueezeExcitation)]
        weights = sum(
            layer.weight.numel()
            for unit in units
            for layer in unit.children()
            if isinstance(layer, nn.Conv2d)
        )
        channels = tuple(4 * width for width in widths)
        cases.append(((blocks, channels, reduction), weights))
    return check(answer, cases, "As the library counts four networks; 2,514,944 for SE-ResNet-50.")


def check_grouped_weights(answer: Callable[..., Any]) -> Verdict:
    """``answer(in_channels, out_channels, kernel, groups)`` -> weights of a grouped convolution."""
    cases = []
    for channels, kernel, groups in product(((8, 8), (16, 32), (128, 128)), (1, 3), (1, 2, 4, 8)):
        layer = nn.Conv2d(*channels, kernel, groups=groups, bias=False)
        cases.append(((*channels, kernel, groups), count_parameters(layer)))
    return check(answer, cases, f"As torch makes {len(cases)} layers.")
