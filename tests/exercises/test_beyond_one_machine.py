"""Each check says yes to a right answer and no to the wrong ones that readers really write."""

import math

import pytest

from cnnlib.exercises.beyond_one_machine import check_exchange_seconds, check_images_needed


def seconds(n, p, bandwidth, latency):
    return 2 * (p - 1) / p * 4 * n / bandwidth + 2 * (p - 1) * latency


def images(exchange, speed, share):
    return math.ceil(exchange * speed * (1 - share) / share)


RIGHT = [(check_exchange_seconds, seconds), (check_images_needed, images)]
WRONG = [
    # of all processes together; one latency; as many bytes as parameters; never divided
    (check_exchange_seconds, lambda n, p, b, s: 2 * (p - 1) * 4 * n / b + 2 * (p - 1) * s),
    (check_exchange_seconds, lambda n, p, b, s: 2 * (p - 1) / p * 4 * n / b + s),
    (check_exchange_seconds, lambda n, p, b, s: 2 * (p - 1) / p * n / b + 2 * (p - 1) * s),
    (check_exchange_seconds, lambda n, p, b, s: 4 * n / b),
    (check_images_needed, lambda e, v, s: math.floor(e * v * (1 - s) / s)),
    (check_images_needed, lambda e, v, s: math.ceil(e * v / s)),
    (check_images_needed, lambda e, v, s: e * v * (1 - s) / s),
]


@pytest.mark.parametrize("check, answer", RIGHT)
def test_a_right_answer_is_right(check, answer):
    assert check(answer).right


@pytest.mark.parametrize("check, answer", WRONG)
def test_a_wrong_answer_is_told_apart(check, answer):
    verdict = check(answer)
    assert not verdict.right and verdict.message.startswith("For (")


@pytest.mark.parametrize("check", [check_exchange_seconds, check_images_needed])
def test_a_stub_is_still_to_be_written(check):
    assert "still to be written" in check(lambda *_: ...).message
    assert "A function is expected" in check(3).message
