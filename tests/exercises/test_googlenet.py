"""Answers to the chapter's exercises, right ones and those that readers really write."""

import torch
from torch.nn import functional as F

from cnnlib.exercises.googlenet import (
    check_branch_macs,
    check_forward,
    check_module_parameters,
    check_pointwise,
)


def forward(maps, branches):
    return torch.cat([branch(maps) for branch in branches], dim=1)


def pointwise(maps, weight, bias):
    return torch.einsum("oc,chw->ohw", weight, maps) + bias[:, None, None]


def branch_macs(side, channels, reduced, out, kernel):
    return side**2 * (channels * reduced + reduced * out * kernel**2)


def module_parameters(channels, widths):
    one, reduce3, three, reduce5, five, pool = widths
    return (
        (channels + 1) * (one + reduce3 + reduce5 + pool)
        + (9 * reduce3 + 1) * three
        + (25 * reduce5 + 1) * five
    )


def one_after_the_other(maps, branches):
    for branch in branches:
        maps = branch(maps)
    return maps


RIGHT = [
    (check_forward, forward),
    (check_pointwise, pointwise),
    (check_branch_macs, branch_macs),
    (check_module_parameters, module_parameters),
]
WRONG = [
    (check_forward, one_after_the_other, "stopped"),
    (check_forward, lambda m, b: torch.cat([x(m) for x in b], dim=0), "stopped"),
    (check_forward, lambda m, b: torch.cat([x(m) for x in b], dim=2), "stopped"),
    (check_forward, lambda m, b: sum(x(m) for x in b), "stopped"),
    (check_forward, lambda m, b: torch.cat([x(m) for x in list(b)[::-1]], dim=1), "are not"),
    (check_forward, lambda m, b: torch.cat([m, forward(m, b)], dim=1), "shape"),
    (check_forward, lambda m, b: [x(m) for x in b], "list"),
    (check_pointwise, lambda m, w, b: torch.einsum("oc,chw->ohw", w, m), "are not"),
    (check_pointwise, lambda m, w, b: pointwise(m, w, b).relu(), "are not"),
    (check_pointwise, lambda m, w, b: pointwise(m, w, b).mean((1, 2)), "shape"),
    (check_pointwise, lambda m, w, b: w @ m + b, "stopped"),
    (check_pointwise, lambda m, w, b: F.linear(m.movedim(0, 2), w, b), "shape"),
    (check_branch_macs, lambda s, c, r, o, k: s**2 * c * o * k**2, "gives"),
    (check_branch_macs, lambda s, c, r, o, k: s**2 * r * o * k**2, "gives"),
    (check_branch_macs, lambda s, c, r, o, k: c * r + r * o * k**2, "gives"),
    (check_branch_macs, lambda s, c, r, o, k: s**2 * (c * r + r * o) * k**2, "gives"),
    (check_branch_macs, lambda s, c, r, o, k: s**2 * (c * r + r * o * k), "gives"),
    (check_module_parameters, lambda c, w: module_parameters(c, w) - sum(w), "gives"),
    (check_module_parameters, lambda c, w: module_parameters(c, w) + 10 * c, "gives"),
    (
        check_module_parameters,
        lambda c, w: (c + 1) * w[0] + (9 * c + 1) * w[2] + (25 * c + 1) * w[4],
        "gives",
    ),
]


def test_the_checks_leave_the_global_source_of_chance_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    check_forward(forward)
    assert torch.equal(torch.rand(1), expected)
