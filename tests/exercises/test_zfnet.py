"""Chapter 3's checks accept what is right, in any wording, and name what is wrong."""

import pytest
import torch

from cnnlib import explain
from cnnlib.exercises import zfnet as exercises

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


@pytest.mark.parametrize("answer", [by_loops, by_the_library])
def test_right_unpoolings_are_accepted(answer):
    assert exercises.check_unpool(answer).right


@pytest.mark.parametrize("answer", [overwriting, turned, without_switches, lambda p, s, h, w: p])
def test_wrong_unpoolings_are_refused(answer):
    assert not exercises.check_unpool(answer).right


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


def test_a_right_occlusion_loop_is_accepted():
    assert exercises.check_occlusion(looping).right


@pytest.mark.parametrize("answer", [forgetful, spoiling, too_short, inverted])
def test_wrong_occlusion_loops_are_refused(answer):
    assert not exercises.check_occlusion(answer).right


def test_a_spoiled_image_is_told():
    assert "has changed" in exercises.check_occlusion(spoiling).message


# the rule


@pytest.mark.parametrize(
    "answer",
    [
        lambda signal, seen: signal.clamp(min=0) * (seen > 0),
        lambda signal, seen: torch.where((signal > 0) & (seen > 0), signal, 0.0),
    ],
)
def test_the_guided_rule_is_accepted(answer):
    assert exercises.check_guided(answer).right


@pytest.mark.parametrize("other", ["gradient", "deconvnet"])
def test_the_other_rules_are_not_the_guided_one(other):
    assert not exercises.check_guided(explain.RULES[other]).right


# stripes


def test_two_samples_for_each_period():
    assert exercises.check_first_layer(lambda size, stride: 2 * stride).right
    for wrong in (lambda size, stride: stride, lambda size, stride: size, lambda s, t: s // 2):
        assert not exercises.check_first_layer(wrong).right


CHECKS = [
    exercises.check_unpool,
    exercises.check_occlusion,
    exercises.check_guided,
    exercises.check_first_layer,
]


@pytest.mark.parametrize("check", CHECKS)
def test_a_stub_is_not_yet_right_and_a_failing_answer_stops_nothing(check):
    def failing(*arguments):
        raise ValueError("oh")

    assert "still to be written" in check(lambda *arguments: ...).message
    assert "ValueError: oh" in check(failing).message
    assert not check(3).right
