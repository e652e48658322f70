"""Checks for the exercises of chapter 4.

Each takes the reader's function and compares it with the library on cases that tell the usual wrong
answers apart: a field that forgets the stride, a stack counted without its channels, a fully
connected layer whose weights are cut up in the wrong order.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import nn

from cnnlib.book import Verdict, check
from cnnlib.inspection import count_parameters, summarize


def _as_network(layers: list[tuple[int, int]]) -> nn.Sequential:
    """Poolings of (kernel, stride): they see what convolutions would."""
    return nn.Sequential(*(nn.MaxPool2d(kernel, stride) for kernel, stride in layers))


def check_receptive_field(answer: Callable[..., Any]) -> Verdict:
    """``answer(layers)``, layers a list of (kernel, stride) -> side of what a last unit sees."""
    stacks = [
        [(3, 1)],
        [(3, 1), (3, 1)],
        [(3, 1), (3, 1), (3, 1)],
        [(7, 2), (3, 1)],
        [(3, 1), (2, 2), (3, 1)],
        [(11, 4), (3, 2), (5, 1), (3, 2)],
        [(1, 1), (3, 1), (1, 1)],
        [(2, 2), (2, 2), (2, 2)],
    ]
    cases = []
    for layers in stacks:
        rows = summarize(_as_network(layers), (1, 224, 224)).rows
        cases.append(((layers,), rows[-1].receptive_field))
    return check(answer, cases, f"As the library finds it for {len(cases)} stacks.")


def check_stack_weights(answer: Callable[..., Any]) -> Verdict:
    """``answer(kernels, channels)`` -> weights, without biases, of convolutions C -> C."""
    cases = []
    for kernels, channels in product(([3], [3, 3], [3, 3, 3], [5], [7], [1, 3]), (1, 2, 16, 64)):
        layers = [nn.Conv2d(channels, channels, k, bias=False, device="meta") for k in kernels]
        cases.append(((list(kernels), channels), count_parameters(nn.Sequential(*layers))))
    return check(answer, cases, "For one map 27 and 49, as often told; for C maps C² times that.")


def check_as_convolution(answer: Callable[..., Any]) -> Verdict:
    """``answer(linear, maps, side)`` -> nn.Conv2d that computes what ``linear`` does.

    ``linear`` takes the flattened (maps, side, side); the convolution gives (units, 1, 1) of it.
    """
    if not callable(answer):
        return Verdict(False, f"A function is expected here, got {type(answer).__name__}.")
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for maps, side, units in ((3, 2, 4), (2, 5, 3), (6, 1, 6)):
            linear = nn.Linear(maps * side**2, units)
            for parameter in linear.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=draw))
            try:
                layer = answer(linear, maps, side)
            except NotImplementedError:
                return Verdict(False, "The function is still to be written.")
            except Exception as error:  # a reader's code may fail in any way; the check must not
                return Verdict(False, f"It stopped: {type(error).__name__}: {error}")
            problem = _unlike(layer, linear, maps, side, draw)
            if problem:
                return Verdict(False, problem)
    return Verdict(True, "It gives the layer's own numbers, and slides over larger maps.")


def _unlike(layer: Any, linear: nn.Linear, maps: int, side: int, draw: torch.Generator) -> str:
    """An empty string if the convolution does what the layer does, else what is wrong."""
    if layer is None or layer is ...:
        return "The function is still to be written: it returns nothing."
    if not isinstance(layer, nn.Conv2d):
        return f"An nn.Conv2d is expected, got {type(layer).__name__}."
    if layer.kernel_size != (side, side):
        return f"The kernel is {layer.kernel_size}, but the maps are {side} x {side}."
    dtype = linear.weight.dtype
    images = torch.randn(2, maps, side, side, generator=draw, dtype=torch.float64).to(dtype)
    case = f"For {maps} maps of {side} x {side}"
    try:
        got = layer(images)
        on_larger = layer(torch.zeros(1, maps, side + 2, side + 1, dtype=dtype))
    except Exception as error:  # wrong channels, wrong dtype
        return f"{case} it stopped: {type(error).__name__}: {error}"
    expected = linear(images.flatten(1))
    if got.shape != (*expected.shape, 1, 1):
        return f"{case} the shape is {tuple(got.shape)}, expected {(*expected.shape, 1, 1)}."
    if not torch.allclose(got.flatten(1).to(dtype), expected, atol=1e-5):
        return f"{case} the shape is right, but the numbers are not."
    if on_larger.shape != (1, linear.out_features, 3, 2):
        return f"On larger maps the shape is {tuple(on_larger.shape)}: has it a stride or padding?"
    return ""
