"""Answers to the chapter's exercises, right ones and those that readers really write."""

import math

import torch

from cnnlib.exercises.efficientnet import (
    check_compound,
    check_drop_path,
    check_mbconv_macs,
    check_round_filters,
    check_same_padding,
)


def compound(phi):
    return 1.2**phi, 1.1**phi, round(224 * 1.15**phi)


def round_filters(channels, multiplier):
    width = channels * multiplier
    nearest = max(8, 8 * math.floor(width / 8 + 0.5))
    return nearest if nearest >= 0.9 * width else nearest + 8


def without_the_tenth(channels, multiplier):
    return max(8, 8 * math.floor(channels * multiplier / 8 + 0.5))


def drop_path(branch, kept, rate):
    return branch * kept[:, None, None, None] / (1 - rate)


def whole_batch(branch, kept, rate):
    return branch / (1 - rate) if kept[0] else 0 * branch


def same_padding(size, kernel, stride):
    out = math.ceil(size / stride)
    total = max((out - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def extra_row_on_top(size, kernel, stride):
    return same_padding(size, kernel, stride)[::-1]


def below_zero(size, kernel, stride):
    total = (math.ceil(size / stride) - 1) * stride + kernel - size
    return total // 2, total - total // 2


def mbconv_macs(channels, expansion, kernel, side, squeezed=None):
    wide = expansion * channels
    squeezed = max(1, channels // 4) if squeezed is None else squeezed
    pixels = side * side
    expand = channels * wide * pixels if expansion > 1 else 0
    return expand + wide * kernel**2 * pixels + 2 * wide * squeezed + wide * channels * pixels


def full_in_the_middle(channels, expansion, kernel, side):
    wide = expansion * channels
    more = wide * wide * kernel**2 * side**2 - wide * kernel**2 * side**2
    return mbconv_macs(channels, expansion, kernel, side) + more


def always_expanding(channels, expansion, kernel, side):
    more = channels * channels * side**2 if expansion == 1 else 0
    return mbconv_macs(channels, expansion, kernel, side) + more


RIGHT = [
    (check_compound, compound),
    (check_compound, lambda phi: torch.tensor(compound(phi))),
    (check_round_filters, round_filters),
    (check_drop_path, drop_path),
    (check_same_padding, same_padding),
    (check_mbconv_macs, mbconv_macs),
]
WRONG = [
    (check_compound, lambda phi: (1.2 * phi, 1.1 * phi, round(224 * 1.15 * phi)), "numbers are"),
    (check_compound, lambda phi: (1.1**phi, 1.2**phi, round(224 * 1.15**phi)), "numbers are"),
    (check_compound, lambda phi: (1.2**phi, 1.1**phi, 1.15**phi), "numbers are"),
    (check_compound, lambda phi: (1.2**phi, 1.1 ** (2 * phi), 224), "numbers are"),
    (check_compound, lambda phi: 1.2**phi, "it stopped"),
    (check_round_filters, without_the_tenth, "gives"),
    (check_round_filters, lambda c, m: round(c * m), "gives"),
    (check_round_filters, lambda c, m: 8 * math.ceil(c * m / 8), "gives"),
    (check_round_filters, lambda c, m: int(c * m) // 8 * 8, "gives"),
    (check_drop_path, lambda b, k, r: b * k[:, None, None, None], "numbers are"),
    (check_drop_path, lambda b, k, r: b * k[:, None, None, None] * (1 - r), "numbers are"),
    (check_drop_path, whole_batch, "numbers are"),
    (check_drop_path, lambda b, k, r: b[k] / (1 - r), "the shape is"),
    (check_same_padding, lambda s, k, d: (k // 2, k // 2), "gives"),
    (check_same_padding, extra_row_on_top, "gives"),
    (check_same_padding, below_zero, "gives"),
    (check_mbconv_macs, lambda c, e, k, s: mbconv_macs(c, e, k, s, e * c // 4), "gives"),
    (check_mbconv_macs, lambda c, e, k, s: mbconv_macs(c, e, k, s, 0), "gives"),
    (check_mbconv_macs, full_in_the_middle, "gives"),
    (check_mbconv_macs, always_expanding, "gives"),
]


def test_the_padding_of_tensorflow_is_one_sided_where_the_library_says_so():
    assert same_padding(224, 3, 2) == (0, 1) and same_padding(225, 3, 2) == (1, 1)
