"""Answers to the chapter's exercises, right ones and those that readers really write."""

import pytest
import torch
from torch.nn import functional as F

from cnnlib.exercises.senet import (
    check_added_weights,
    check_grouped_weights,
    check_squeeze_excite,
)


def unit(maps, w1, b1, w2, b2, *, squeeze=(2, 3), middle=torch.relu, gate=torch.sigmoid):
    hidden = middle(F.linear(maps.mean(squeeze), w1, b1))
    return maps * gate(F.linear(hidden, w2, b2))[:, :, None, None]


def largest(maps, w1, b1, w2, b2):
    hidden = torch.relu(F.linear(maps.amax((2, 3)), w1, b1))
    return maps * torch.sigmoid(F.linear(hidden, w2, b2))[:, :, None, None]


def without_biases(maps, w1, b1, w2, b2):
    return unit(maps, w1, 0 * b1, w2, 0 * b2)


def excitations_only(maps, *layers):
    return unit(maps, *layers) / maps


def excitations_as_rows(maps, *layers):
    return excitations_only(maps, *layers)[:, :, 0, 0]


def batch_mean(maps, *layers):
    return maps * excitations_only(maps.mean(0, keepdim=True).expand_as(maps), *layers)


def added(maps, *layers):
    return maps + excitations_only(maps, *layers)


def weights(blocks, channels, reduction):
    return sum(2 * n * c * c // reduction for n, c in zip(blocks, channels, strict=True))


RIGHT = [
    (check_squeeze_excite, unit),
    (check_added_weights, weights),
    (check_grouped_weights, lambda i, o, k, g: i * o * k * k // g),
]
WRONG = [
    (check_squeeze_excite, lambda *a: unit(*a, gate=lambda s: s.softmax(1)), "numbers are not"),
    (check_squeeze_excite, lambda *a: unit(*a, gate=torch.relu), "numbers are not"),
    (check_squeeze_excite, lambda *a: unit(*a, middle=lambda z: z), "numbers are not"),
    (check_squeeze_excite, largest, "numbers are not"),
    (check_squeeze_excite, without_biases, "numbers are not"),
    (check_squeeze_excite, batch_mean, "numbers are not"),
    (check_squeeze_excite, added, "numbers are not"),
    (check_squeeze_excite, excitations_only, "numbers are not"),
    (check_squeeze_excite, excitations_as_rows, "the maps themselves, scaled"),
    (check_squeeze_excite, lambda *a: unit(*a, squeeze=(1, 2)), "It stopped"),
    (check_squeeze_excite, lambda *a: 1.0, "A tensor is expected, got float"),
    (check_added_weights, lambda b, c, r: weights(b, c, r) // 2, "gives"),
    (check_added_weights, lambda b, c, r: weights((1,) * len(b), c, r), "gives"),
    (check_added_weights, lambda b, c, r: weights(b, [n // 4 for n in c], r), "gives"),
    (check_added_weights, lambda b, c, r: weights(b, c, 16), "gives"),
    (check_grouped_weights, lambda i, o, k, g: i * o * k * k, "gives"),
    (check_grouped_weights, lambda i, o, k, g: i * o * k * k // g**2, "gives"),
    (check_grouped_weights, lambda i, o, k, g: g * o * k * k, "gives"),  # g as width of a group
    (check_grouped_weights, lambda i, o, k, g: i * o * k // g, "gives"),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_unit_may_be_written_in_any_default_precision(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        assert check_squeeze_excite(unit).right
    finally:
        torch.set_default_dtype(before)


def test_a_unit_that_changes_its_arguments_is_judged_by_what_it_returns():
    def in_place(maps, *layers):
        return maps.mul_(excitations_only(maps, *layers))

    assert check_squeeze_excite(in_place).right


def test_the_formula_gives_the_number_of_the_paper():
    assert weights((3, 4, 6, 3), (256, 512, 1024, 2048), 16) == 2_514_944
    assert "2,514,944" in check_added_weights(weights).message


def test_an_unwritten_unit_may_also_raise():
    def answer(*arguments):
        raise NotImplementedError

    assert "still to be written" in check_squeeze_excite(answer).message
