"""Answers to the checks of chapter 11; ``test_all.py`` says what all checks must make of them."""

import torch
from torch.nn import functional as F

from cnnlib.exercises.mobilenet import (
    check_depthwise,
    check_hard_swish,
    check_inverted_macs,
    check_least_channels,
    check_separable_macs,
)


def depthwise(maps, filters):
    side = filters.shape[-1]
    windows = maps.unfold(1, side, 1).unfold(2, side, 1)  # (C, H', W', K, K)
    return (windows * filters[:, None, None]).sum((-1, -2))


def least_channels(k, times):
    if times >= k * k:
        return None
    n = 1
    while 1 / n + 1 / k**2 > 1 / times + 1e-12:
        n += 1
    return n


def inverted(f, c, n, t, s):
    small = -(-f // s)
    return f * f * c * t * c + small * small * (9 * t * c + t * c * n)


RIGHT = [
    (check_depthwise, depthwise),
    (check_depthwise, lambda maps, filters: F.conv2d(maps, filters[:, None], groups=len(maps))),
    (check_separable_macs, lambda m, n, k, f: f * f * (k * k * m + m * n)),
    (check_least_channels, least_channels),
    (check_inverted_macs, inverted),
    (check_hard_swish, lambda x: x * F.relu6(x + 3) / 6),
]
WRONG = [
    (check_depthwise, lambda m, w: depthwise(m, w).sum(0, keepdim=True), "the shape is"),
    (check_depthwise, lambda m, w: depthwise(m, w.flip(-1, -2)), "numbers are not"),
    (check_depthwise, lambda m, w: depthwise(m, w[:1].expand_as(w)), "numbers are not"),
    (check_depthwise, lambda m, w: F.conv2d(m, w[:, None], padding=1, groups=len(m)), "the shape"),
    (check_separable_macs, lambda m, n, k, f: f * f * k * k * m * n, "gives"),
    (check_separable_macs, lambda m, n, k, f: f * f * (k * k * n + m * n), "gives"),
    (check_separable_macs, lambda m, n, k, f: f * f * (k * k + m * n), "gives"),
    (check_separable_macs, lambda m, n, k, f: k * k * m + m * n, "gives"),
    (check_least_channels, lambda k, times: times, "no number of maps is enough"),
    (check_least_channels, lambda k, t: 1 if t < k * k else None, "gives"),
    (check_least_channels, lambda k, t: t * k * k // (k * k - t) if t < k * k else None, "gives"),
    (check_inverted_macs, lambda f, c, n, t, s: (f // s) ** 2 * t * c * (c + 9 + n), "gives"),
    (check_inverted_macs, lambda f, c, n, t, s: f * f * t * c * (c + 9 + n), "gives"),
    (check_inverted_macs, lambda f, c, n, t, s: inverted(f, c, n, 1, s), "gives"),
    (check_hard_swish, lambda x: x * torch.sigmoid(x), "numbers are not"),
    (check_hard_swish, lambda x: F.relu6(x + 3) / 6, "numbers are not"),
    (check_hard_swish, lambda x: x * F.relu6(x) / 6, "numbers are not"),
]


def test_that_no_number_is_enough_must_be_said_and_is_no_stub():
    def silent(k, times):
        return None if times >= k * k else 10**9

    assert "gives" in check_least_channels(silent).message
    assert "no number of maps is enough" in check_least_channels(lambda k, times: 7).message
