"""Answers to the chapter's exercises, right ones and those that readers really write."""

import torch
import torchvision
from torch.nn import functional as F

from cnnlib.exercises.alexnet import (
    check_dropout,
    check_group_parameters,
    check_response_norm,
    check_slopes,
    check_ten_crops,
)


def slopes(x):
    logistic = torch.sigmoid(x)
    return torch.stack([logistic * (1 - logistic), 1 - torch.tanh(x) ** 2, (x > 0).to(x.dtype)])


def sums(maps, n, adjacent=None):
    reach = n // 2
    result = []
    for i in range(len(maps)):
        window = maps[max(0, i - reach) : i + reach + 1]
        result.append((adjacent or (lambda w: w.square().sum(0)))(window))
    return torch.stack(result)


def normalise(maps, k, n, alpha, beta):
    return maps / (k + alpha * sums(maps, n)) ** beta


def crops(image, size):
    five = torch.stack(torchvision.transforms.functional.five_crop(image, size))
    return torch.cat([five, five.flip(-1)])


RIGHT = [
    (check_slopes, slopes),
    (check_response_norm, normalise),
    (check_dropout, lambda x, kept, p: kept * x / (1 - p)),
    (check_ten_crops, crops),
    (check_group_parameters, lambda i, o, k, g: o * (i // g * k * k + 1)),
]
WRONG = [
    (check_slopes, lambda x: slopes(x)[:2], "shape"),
    (check_slopes, lambda x: torch.stack([*slopes(x)[:2], x.clamp(min=0)]), "are not"),
    (check_slopes, lambda x: torch.stack([torch.sigmoid(x), *slopes(x)[1:]]), "are not"),
    (check_slopes, lambda x: torch.stack([*slopes(x)[:2], x.sign()]), "are not"),
    (check_response_norm, lambda m, k, n, a, b: F.local_response_norm(m, n, a, b, k), "are not"),
    (check_response_norm, lambda m, k, n, a, b: m / (k + a * sums(m, n)), "are not"),
    (check_response_norm, lambda m, k, n, a, b: m / (k + a * m**2) ** b, "are not"),
    (
        check_response_norm,
        lambda m, k, n, a, b: m / (k + a * sums(m, n, lambda w: w.sum(0) ** 2)) ** b,
        "are not",
    ),
    (check_response_norm, lambda m, k, n, a, b: normalise(m, k, n, a, b).sum(0), "shape"),
    (check_dropout, lambda x, kept, p: kept * x, "are not"),
    (check_dropout, lambda x, kept, p: kept * x / p, "are not"),
    (check_dropout, lambda x, kept, p: kept * x * (1 - p), "are not"),
    (check_dropout, lambda x, kept, p: (1 - kept) * x / (1 - p), "are not"),
    (check_ten_crops, lambda image, size: crops(image, size)[:5], "shape"),
    (check_ten_crops, lambda image, size: crops(image, size).flip(0), "are not"),
    (check_ten_crops, lambda image, size: torch.cat([crops(image, size)[:5]] * 2), "are not"),
    (
        check_ten_crops,
        lambda image, size: torch.cat([crops(image, size)[:5], crops(image, size)[:5].flip(-2)]),
        "are not",
    ),
    (check_group_parameters, lambda i, o, k, g: o * (i * k * k + 1), "gives"),
    (check_group_parameters, lambda i, o, k, g: o * (i * k * k + 1) // g, "gives"),
    (check_group_parameters, lambda i, o, k, g: o // g * (i // g * k * k + 1), "gives"),
    (check_group_parameters, lambda i, o, k, g: o * (i / g * k * k) + o / g, "gives"),
]


def test_the_ten_crops_are_those_of_torchvision_which_has_them_in_another_order():
    image = torch.rand(3, 8, 6)
    theirs = torchvision.transforms.functional.ten_crop(image, 4)
    assert {c.numpy().tobytes() for c in theirs} == {c.numpy().tobytes() for c in crops(image, 4)}
