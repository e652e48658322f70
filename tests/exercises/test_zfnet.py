"""Answers to chapter 3's exercises, right ones and those that readers really write."""

import torch

from cnnlib import explain
from cnnlib.exercises.zfnet import (
    check_first_layer,
    check_guided,
    check_occlusion,
    check_unpool,
)

# unpooling


def by_loops(pooled, switches, height, width):
    whole = torch.zeros(height, width)
    for value, place in zip(pooled.flatten(), switches.flatten(), strict=True):
        whole[place // width, place % width] += value
    return whole


def by_the_library(pooled, switches, height, width):
    return explain.unpool(pooled[None, None], switches[None, None], (height, width))[0, 0]


def overwriting(pooled, switches, height, width):
    whole = torch.zeros(height * width)
    whole[switches.flatten()] = pooled.flatten()
    return whole.view(height, width)


def turned(pooled, switches, height, width):
    whole = torch.zeros(height, width)
    for value, place in zip(pooled.flatten(), switches.flatten(), strict=True):
        whole[place % height, place // height] += value
    return whole


def without_switches(pooled, switches, height, width):
    return torch.nn.functional.interpolate(pooled[None, None], (height, width))[0, 0]


# occlusion


def looping(score, image, patch):
    height, width = image.shape
    rows = []
    for i in range(height - patch + 1):
        row = []
        for j in range(width - patch + 1):
            covered = image.clone()
            covered[i : i + patch, j : j + patch] = 0
            row.append(score(covered))
        rows.append(torch.stack(row))
    return torch.stack(rows)


def forgetful(score, image, patch):
    """Covers the image itself and never uncovers it."""
    height, width = image.shape
    result = torch.zeros(height - patch + 1, width - patch + 1)
    for i in range(height - patch + 1):
        for j in range(width - patch + 1):
            image[i : i + patch, j : j + patch] = 0
            result[i, j] = score(image)
    return result


def spoiling(score, image, patch):
    result = looping(score, image, patch)
    image[0, 0] = 0
    return result


def too_short(score, image, patch):
    return looping(score, image, patch)[:-1, :-1]


def inverted(score, image, patch):
    return score(image) - looping(score, image, patch)


RIGHT = [
    (check_unpool, by_loops),
    (check_unpool, by_the_library),
    (check_occlusion, looping),
    (check_guided, lambda signal, seen: signal.clamp(min=0) * (seen > 0)),
    (check_guided, lambda signal, seen: torch.where((signal > 0) & (seen > 0), signal, 0.0)),
    (check_first_layer, lambda size, stride: 2 * stride),
]
WRONG = [
    (check_unpool, overwriting, "numbers are not"),
    (check_unpool, turned, "numbers are not"),
    (check_unpool, without_switches, "numbers are not"),
    (check_unpool, lambda pooled, s, h, w: pooled, "the shape is (2, 2)"),
    (check_occlusion, forgetful, "numbers are not"),
    (check_occlusion, spoiling, "has changed"),
    (check_occlusion, too_short, "the shape is (2, 2)"),
    (check_occlusion, inverted, "numbers are not"),
    (check_guided, explain.RULES["gradient"], "numbers are not"),
    (check_guided, explain.RULES["deconvnet"], "numbers are not"),
    (check_first_layer, lambda size, stride: stride, "expected 8"),
    (check_first_layer, lambda size, stride: size, "expected 8"),
    (check_first_layer, lambda size, stride: size // 2, "expected 8"),
]
