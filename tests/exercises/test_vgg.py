"""Answers to the chapter's exercises, right ones and those that readers really write."""

from torch import nn

from cnnlib.exercises.vgg import (
    check_as_convolution,
    check_receptive_field,
    check_stack_weights,
)


def receptive_field(layers):
    field, distance = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * distance
        distance *= stride
    return field


def stride_too_early(layers):
    field, distance = 1, 1
    for kernel, stride in layers:
        distance *= stride
        field += (kernel - 1) * distance
    return field


def convolution(linear, maps, side, weight=None, **options):
    layer = nn.Conv2d(maps, linear.out_features, side, **options)
    weight = linear.weight.view(-1, maps, side, side) if weight is None else weight
    layer.weight, layer.bias = nn.Parameter(weight), linear.bias
    return layer


def channels_last(linear, maps, side):
    weight = linear.weight.view(-1, side, side, maps).permute(0, 3, 1, 2)
    return convolution(linear, maps, side, weight)


def without_bias(linear, maps, side):
    layer = convolution(linear, maps, side)
    layer.bias = None
    return layer


RIGHT = [
    (check_receptive_field, receptive_field),
    (check_stack_weights, lambda kernels, c: sum(k * k for k in kernels) * c * c),
    (check_as_convolution, convolution),
]
WRONG = [
    (check_receptive_field, stride_too_early, "gives"),
    (check_receptive_field, lambda layers: 1 + sum(k - 1 for k, _ in layers), "gives"),
    (check_receptive_field, lambda layers: sum(k for k, _ in layers), "gives"),
    (check_stack_weights, lambda kernels, c: 3 ** len(kernels), "gives"),
    (check_stack_weights, lambda kernels, c: sum(k * k for k in kernels), "gives"),
    (check_stack_weights, lambda kernels, c: sum(k * k for k in kernels) * c, "gives"),
    (check_stack_weights, lambda kernels, c: sum(k * k * c * c + c for k in kernels), "gives"),
    (check_as_convolution, channels_last, "numbers are not"),
    (check_as_convolution, without_bias, "numbers are not"),
    (check_as_convolution, lambda lin, m, s: nn.Conv2d(m, lin.out_features, s), "numbers are not"),
    (check_as_convolution, lambda lin, m, s: nn.Conv2d(m, lin.out_features, 1), "kernel is (1, 1)"),
    (check_as_convolution, lambda lin, m, s: convolution(lin, m, s, padding=s // 2), "the shape"),
    (check_as_convolution, lambda lin, m, s: convolution(lin, m, s, stride=2), "larger maps"),
    (check_as_convolution, lambda lin, m, s: lin, "nn.Conv2d is expected, got Linear"),
    (check_as_convolution, lambda lin, m, s: nn.Conv2d(m + 1, 2, s), "it stopped"),
]


def test_an_unwritten_conversion_may_also_raise():
    def answer(linear, maps, side):
        raise NotImplementedError

    assert "still to be written" in check_as_convolution(answer).message
