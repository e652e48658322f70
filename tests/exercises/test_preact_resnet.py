"""Answers to the chapter's exercises, right ones and those that readers really write."""

import math

import pytest
import torch

from cnnlib.exercises.preact_resnet import (
    check_asymmetric,
    check_direct_share,
    check_open_share,
    check_preactivation,
    check_which_order,
)


def preactivation(x, bn1, conv1, bn2, conv2):
    return x + conv2(torch.relu(bn2(conv1(torch.relu(bn1(x))))))


def written_over(x, bn1, conv1, bn2, conv2):
    residual = conv2(bn2(conv1(bn1(x).relu_())).relu_())
    return x.add_(residual)


def normalised_shortcut(x, bn1, conv1, bn2, conv2):
    activated = torch.relu(bn1(x))
    return activated + conv2(torch.relu(bn2(conv1(activated))))


def original(x, bn1, conv1, bn2, conv2):
    return torch.relu(x + bn2(conv2(torch.relu(bn1(conv1(x))))))


def relu_first(x, bn1, conv1, bn2, conv2):
    return x + conv2(bn2(torch.relu(conv1(bn1(torch.relu(x))))))


def without_shortcut(x, bn1, conv1, bn2, conv2):
    return preactivation(x, bn1, conv1, bn2, conv2) - x


def asymmetric(y, branches):
    for branch in branches:
        y = y + branch(torch.relu(y))
    return y


def symmetric(y, branches):
    for branch in branches:
        y = torch.relu(y + branch(y))
    return y


def both_activated(y, branches):
    for branch in branches:
        active = torch.relu(y)
        y = active + branch(active)
    return y


def which_order(unit):
    x = torch.randn(16, 4, 8, 8)
    y = unit(x)
    if (y >= 0).all():
        large = unit(1000 * x)
        return "original" if large.max() > 100 else "bn_after_addition"
    if (y - x).min() >= -1e-5:
        return "relu_before_addition"
    same = torch.allclose(unit(x + 3) - 3, y, atol=1e-3)
    return "full" if same else "relu_only"


def half_right(unit):
    name = which_order(unit)
    return "original" if name == "bn_after_addition" else name


RIGHT = [
    (check_direct_share, lambda factor, units: factor**units),
    (check_open_share, lambda bias, units: (1 - 1 / (1 + math.exp(-bias))) ** units),
    (check_preactivation, preactivation),
    (check_preactivation, written_over),
    (check_asymmetric, asymmetric),
    (check_which_order, which_order),
]
WRONG = [
    (check_direct_share, lambda factor, units: factor * units, "expected"),
    (check_direct_share, lambda factor, units: factor ** (units - 1), "expected"),
    (check_direct_share, lambda factor, units: 0.5**units, "expected"),
    (check_open_share, lambda bias, units: (1 / (1 + math.exp(-bias))) ** units, "numbers are not"),
    (check_open_share, lambda bias, units: 1 - 1 / (1 + math.exp(-bias)), "numbers are not"),
    (check_open_share, lambda bias, units: "0.5", "a tensor is expected"),
    (check_preactivation, normalised_shortcut, "numbers are not"),
    (check_preactivation, original, "numbers are not"),
    (check_preactivation, relu_first, "numbers are not"),
    (check_preactivation, without_shortcut, "numbers are not"),
    (check_preactivation, lambda x, *layers: preactivation(x, *layers).sum(1), "shape"),
    (check_asymmetric, symmetric, "numbers are not"),
    (check_asymmetric, both_activated, "numbers are not"),
    (check_asymmetric, lambda y, branches: branches[0](y), "numbers are not"),
    (check_which_order, lambda unit: "full", "expected 'original'"),
    (check_which_order, half_right, "expected 'bn_after_addition'"),
    (check_which_order, lambda unit: unit.order, "AttributeError"),
]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(7)


def test_messages_name_the_arguments_in_short():
    verdict = check_preactivation(original)
    assert "x of shape (6, 1, 4, 4)" in verdict.message and "tensor([" not in verdict.message
    assert "a mystery unit" in check_which_order(lambda unit: "full").message
