"""Answers to the exercises of chapter 8: right ones, and wrong ones that readers really write."""

import pytest
import torch

from cnnlib.exercises.densenet import (
    check_connections,
    check_dense_block,
    check_layer_weights,
    check_maps_read,
)


def dense_block(x, layers):
    maps = x
    for layer in layers:
        maps = torch.cat([maps, layer(maps)], 1)
    return maps


def listed(x, layers):
    features = [x]
    for layer in layers:
        features.append(layer(torch.cat(features, 1)))
    return torch.cat(features, 1)


def newest_first(x, layers):
    maps = x
    for layer in layers:
        maps = torch.cat([layer(maps), maps], 1)
    return maps


def chain(x, layers):
    features = [x]
    for layer in layers:
        features.append(layer(features[-1]))
    return torch.cat(features, 1)


def without_input(x, layers):
    return dense_block(x, layers)[:, x.shape[1] :]


def added(x, layers):
    for layer in layers:
        x = x + layer(x)
    return x


def only_the_last(x, layers):
    maps = x
    for layer in layers:
        new = layer(maps)
        maps = torch.cat([maps, new], 1)
    return new


def side_by_side_in_rows(x, layers):
    maps = x
    for layer in layers:
        maps = torch.cat([maps, layer(maps)], 2)
    return maps


def weights(maps, k, bottleneck):
    return maps * 4 * k + 9 * 4 * k * k if bottleneck else 9 * maps * k


RIGHT = [
    (check_dense_block, dense_block),
    (check_dense_block, listed),
    (check_maps_read, lambda first, k, layer: first + k * (layer - 1)),
    (check_connections, lambda blocks: sum(n * (n + 1) // 2 for n in blocks)),
    (check_connections, lambda blocks: sum(sum(range(n + 1)) for n in blocks)),
    (check_layer_weights, weights),
]
WRONG = [
    (check_dense_block, newest_first, "numbers are not"),
    (check_dense_block, chain, "numbers are not"),
    (check_dense_block, without_input, "the shape is"),
    (check_dense_block, added, "it stopped"),
    (check_dense_block, only_the_last, "the shape is"),
    (check_dense_block, side_by_side_in_rows, "it stopped"),
    (check_maps_read, lambda first, k, layer: first + k * layer, "gives"),
    (check_maps_read, lambda first, k, layer: k * layer, "gives"),
    (check_maps_read, lambda first, k, layer: first, "gives"),
    (check_connections, lambda blocks: sum(blocks) * (sum(blocks) + 1) // 2, "gives"),
    (check_connections, lambda blocks: sum(n * (n - 1) // 2 for n in blocks), "gives"),
    (check_connections, lambda blocks: sum(blocks), "gives"),
    (check_connections, lambda blocks: sum(n * (n + 1) / 2 for n in blocks) + 0.5, "gives"),
    (check_layer_weights, lambda maps, k, bottleneck: 9 * maps * k, "gives"),
    (check_layer_weights, lambda m, k, b: m * 4 * k + 9 * m * k if b else 9 * m * k, "gives"),
    (check_layer_weights, lambda m, k, b: m * k + 9 * k * k if b else 9 * m * k, "gives"),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_block_may_be_written_under_any_default_precision(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        assert check_dense_block(dense_block).right
        assert not check_dense_block(chain).right
    finally:
        torch.set_default_dtype(before)
