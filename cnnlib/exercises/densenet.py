"""Checks for the exercises of chapter 8.

Each takes the reader's function and compares it with the library on cases that tell the usual wrong
answers apart: maps that are added instead of put side by side, a block that loses its own input,
connections counted across transitions, a bottleneck whose 3 x 3 convolution sees too many maps.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from cnnlib.book import Verdict, check
from cnnlib.inspection import count_parameters
from cnnlib.models.densenet import DenseBlock, DenseLayer, DenseNet, connections


def _block(layers: int, first: int, k: int, *, bottleneck: bool = False) -> DenseBlock:
    options = {"bottleneck": bottleneck, "dropout": 0.0, "memory_saving": False}
    return DenseBlock(layers, first, k, **options)


class _Sums:
    """A layer that is easy to follow by hand: it sums what it reads, weighed by the place.

    It writes k maps: the sum of all maps, counted once, twice, ..., plus 1, plus 2, ... Whatever
    order or choice of maps it is given shows in its output.
    """

    def __init__(self, k: int) -> None:
        self.k = k

    def __repr__(self) -> str:
        return f"a layer of {self.k} maps"

    def __call__(self, maps: Tensor) -> Tensor:
        places = torch.arange(1, maps.shape[1] + 1, dtype=maps.dtype, device=maps.device)
        total = (maps * places[:, None, None]).sum(1, keepdim=True) / places.sum()
        more = torch.arange(1, self.k + 1, dtype=maps.dtype, device=maps.device)
        return total + more[:, None, None]


def check_dense_block(answer: Callable[..., Any]) -> Verdict:
    """``answer(x, layers)``: maps and functions -> the maps that leave the block.

    The layers are functions of one tensor (N, C, H, W) that give k maps; x comes first, then what
    each layer writes, in order.
    """
    draw = torch.Generator().manual_seed(0)
    cases = []
    for first, k, layers in ((3, 2, 1), (2, 4, 3), (5, 1, 4)):
        x = torch.randn(2, first, 3, 3, generator=draw, dtype=torch.float64)
        functions = [_Sums(k) for _ in range(layers)]
        maps = x
        for function in functions:
            maps = torch.cat([maps, function(maps)], 1)
        cases.append(((x, functions), maps))
    return check(answer, cases, "Each layer reads all maps before it, and adds k of its own.")


def check_maps_read(answer: Callable[..., Any]) -> Verdict:
    """``answer(first, k, layer)`` -> maps that layer ``layer`` (from 1) of a block reads."""
    cases = []
    for first, k in product((16, 24, 64), (4, 12, 32)):
        for number, layer in enumerate(_block(4, first, k).layers, 1):
            assert isinstance(layer, DenseLayer)
            cases.append(((first, k, number), layer.norm2.num_features))
    return check(answer, cases, "As many as the first normalisation of each layer expects.")


def check_connections(answer: Callable[..., Any]) -> Verdict:
    """``answer(blocks)``: layers of each block -> connections within them, of the whole network."""
    cases = []
    for blocks in ([1], [5], [12, 12, 12], [6, 12, 24, 16], [2, 3]):
        with torch.device("meta"):
            model = DenseNet(blocks=blocks, growth_rate=2)
        inside = sum(c.target <= blocks[c.block - 1] for c in connections(model))
        cases.append(((list(blocks),), inside))
    return check(answer, cases, "L (L + 1) / 2 for each block, and none between two blocks.")


def check_layer_weights(answer: Callable[..., Any]) -> Verdict:
    """``answer(maps, k, bottleneck)`` -> weights of a layer's convolutions."""
    cases = []
    for maps, k, bottleneck in product((16, 36, 48, 300), (12, 24), (False, True)):
        with torch.device("meta"):
            [layer] = _block(1, maps, k, bottleneck=bottleneck).layers
        convolutions = [m for m in layer.modules() if isinstance(m, nn.Conv2d)]
        cases.append(((maps, k, bottleneck), sum(map(count_parameters, convolutions))))
    return check(
        answer, cases, "With 4k maps in between, the price of a layer grows by 4k per map."
    )
