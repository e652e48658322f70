"""Answers to the chapter's exercises, right ones and those that readers really write."""

from torch.nn import functional as F

from cnnlib.exercises.lenet import (
    check_conv_parameters,
    check_convolve,
    check_output_size,
    check_subsample,
)


def subsample(maps, coefficient, bias):
    total = 4 * F.avg_pool2d(maps, 2)
    return total * coefficient[:, None, None] + bias[:, None, None]


RIGHT = [
    (check_output_size, lambda n, k, s, p: (n + 2 * p - k) // s + 1),
    (check_convolve, lambda x, k: F.conv2d(x[None, None], k[None, None])[0, 0]),
    (check_subsample, subsample),
    (check_conv_parameters, lambda i, o, k: o * (i * k * k + 1)),
]
WRONG = [
    (check_output_size, lambda n, k, s, p: (n + 2 * p - k) / s + 1, "whole number"),
    (check_output_size, lambda n, k, s, p: (n + p - k) // s + 1, "gives"),
    (check_output_size, lambda n, k, s, p: -(-(n + 2 * p - k) // s) + 1, "gives"),
    (check_output_size, lambda n, k, s, p: n - k + 1, "gives"),
    (
        check_convolve,
        lambda x, k: F.conv2d(x[None, None], k.flip(0, 1)[None, None])[0, 0],
        "are not",
    ),
    (check_convolve, lambda x, k: F.conv2d(x[None, None], k[None, None], padding=1)[0, 0], "shape"),
    (
        check_subsample,
        lambda m, c, b: F.avg_pool2d(m, 2) * c[:, None, None] + b[:, None, None],
        "are",
    ),
    (check_subsample, lambda m, c, b: F.max_pool2d(m, 2), "are not"),
    (check_subsample, lambda m, c, b: 4 * F.avg_pool2d(m, 2) * c[:, None, None], "are not"),
    (check_subsample, lambda m, c, b: subsample(m, c, b).sum(0), "shape"),
    (check_subsample, lambda m, c, b: subsample(m, c, b) * float("nan"), "are not"),
    (check_conv_parameters, lambda i, o, k: o * i * k * k, "gives"),
    (check_conv_parameters, lambda i, o, k: o * (i + 1) * k * k, "gives"),
]
