"""Answers to the chapter's exercises, right ones and those that readers really write."""

import torch
from torch.nn import functional as F

from cnnlib.exercises.resnet import (
    check_batch_norm,
    check_residual_forward,
    check_running_variance,
    check_shortcut_parameters,
)


def normalise(x, gamma, beta, eps, *, dims=(0, 2, 3), correction=0, outside=False):
    mean = x.mean(dims, keepdim=True)
    var = x.var(dims, correction=correction, keepdim=True)
    below = var.sqrt() + eps if outside else (var + eps).sqrt()
    return gamma[:, None, None] * (x - mean) / below + beta[:, None, None]


def shortcut_parameters(option, i, o, stride, *, bias=0, norm=2):
    same = i == o and stride == 1
    return 0 if option == "A" or (option == "B" and same) else i * o + (norm + bias) * o


RIGHT = [
    (check_batch_norm, normalise),
    (check_running_variance, lambda old, v, m: (1 - m) * old + m * v.var()),
    (check_residual_forward, lambda x, f, s: torch.relu(f(x) + s(x))),
    (check_shortcut_parameters, shortcut_parameters),
]
WRONG = [
    (check_batch_norm, lambda x, g, b, e: normalise(x, g, b, e, correction=1), "are not"),
    (check_batch_norm, lambda x, g, b, e: normalise(x, g, b, e, outside=True), "are not"),
    (check_batch_norm, lambda x, g, b, e: normalise(x, g, b, e, dims=(0, 1, 2, 3)), "are not"),
    (check_batch_norm, lambda x, g, b, e: normalise(x, g, b, e, dims=(2, 3)), "are not"),
    (check_batch_norm, lambda x, g, b, e: normalise(x, g, b, e, dims=(0,)), "are not"),
    (check_batch_norm, lambda x, g, b, e: normalise(x, g / g, b * 0, e), "are not"),
    (check_batch_norm, lambda x, g, b, e: normalise(x, g, b, 1e-5), "are not"),
    (
        check_batch_norm,
        lambda x, g, b, e: (
            g[:, None, None]
            * (x - x.mean((0, 2, 3), keepdim=True))
            / (x.var((0, 2, 3), correction=0, keepdim=True) + e)
            + b[:, None, None]
        ),
        "are not",
    ),
    (check_running_variance, lambda old, v, m: (1 - m) * old + m * v.var(correction=0), "are not"),
    (check_running_variance, lambda old, v, m: m * old + (1 - m) * v.var(), "are not"),
    (check_running_variance, lambda old, v, m: v.var(), "are not"),
    (check_residual_forward, lambda x, f, s: torch.relu(f(x)) + s(x), "are not"),
    (check_residual_forward, lambda x, f, s: f(x) + s(x), "are not"),
    (check_residual_forward, lambda x, f, s: torch.relu(f(x)), "are not"),
    (check_residual_forward, lambda x, f, s: torch.relu(f(x)) + F.relu(s(x)), "are not"),
    (check_residual_forward, lambda x, f, s: torch.relu(f(x) + x), "stopped"),
    (check_residual_forward, lambda x, f, s: torch.cat([f(x), s(x)], 1), "shape"),
    (check_shortcut_parameters, lambda *a: shortcut_parameters(*a, norm=0), "gives"),
    (check_shortcut_parameters, lambda *a: shortcut_parameters(*a, bias=1), "gives"),
    (check_shortcut_parameters, lambda o, i, w, s: shortcut_parameters("B", i, w, s), "gives"),
    (
        check_shortcut_parameters,
        lambda o, i, w, s: shortcut_parameters(o, i, w, 1 if i == w else s),
        "gives",  # forgets that a stride alone changes the shape
    ),
]


def test_a_verdict_names_the_branches_of_a_block_in_words():
    message = check_residual_forward(lambda x, f, s: f(x)).message
    assert "tensor of shape (2, 2, 4, 4), F, shortcut" in message
