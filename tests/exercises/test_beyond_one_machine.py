"""Answers to the chapter's exercises, right ones and those that readers really write."""

import math

from cnnlib.exercises.beyond_one_machine import check_exchange_seconds, check_images_needed


def seconds(n, p, bandwidth, latency):
    return 2 * (p - 1) / p * 4 * n / bandwidth + 2 * (p - 1) * latency


def images(exchange, speed, share):
    return math.ceil(exchange * speed * (1 - share) / share)


RIGHT = [(check_exchange_seconds, seconds), (check_images_needed, images)]
WRONG = [
    # of all processes together; one latency; as many bytes as parameters; never divided
    (check_exchange_seconds, lambda n, p, b, s: 2 * (p - 1) * 4 * n / b + 2 * (p - 1) * s, "For ("),
    (check_exchange_seconds, lambda n, p, b, s: 2 * (p - 1) / p * 4 * n / b + s, "For ("),
    (check_exchange_seconds, lambda n, p, b, s: 2 * (p - 1) / p * n / b + 2 * (p - 1) * s, "For ("),
    (check_exchange_seconds, lambda n, p, b, s: 4 * n / b, "For ("),
    (check_images_needed, lambda e, v, s: math.floor(e * v * (1 - s) / s), "For ("),
    (check_images_needed, lambda e, v, s: math.ceil(e * v / s), "For ("),
    (check_images_needed, lambda e, v, s: e * v * (1 - s) / s, "For ("),
]
