"""The calculator's arithmetic is that of ``cnnlib.inspection``, in Python and in the page."""

import random

import pytest
import torch
from torch import nn

from cnnlib.inspection import summarize
from cnnlib.models.vgg import TABLE_1
from cnnlib.widgets import FieldCalculator
from cnnlib.widgets.field_calculator import convolution, layers_of, presets


def module_of(stack, channels):
    """The stack as a network, without biases."""
    modules, maps = [], channels
    for layer in stack:
        kernel, stride, padding, dilation = (
            layer[name] for name in ("kernel", "stride", "padding", "dilation")
        )
        if layer["kind"] == "pool":
            modules.append(nn.MaxPool2d(kernel, stride, padding, dilation))
        else:
            modules.append(
                nn.Conv2d(
                    maps, layer["maps"], kernel, stride, padding, dilation, layer["groups"],
                    bias=False, device="meta",
                )
            )  # fmt: skip
            maps = layer["maps"]
    return nn.Sequential(*modules)


def seen(stack, channels, side):
    """What ``summarize`` says of the stack, in the order of ``Costs``."""
    rows = summarize(module_of(stack, channels), (channels, side, side)).rows
    return [
        (
            row.output_shape[1], row.output_shape[0], row.receptive_field, row.stride, row.offset,
            row.parameters, row.macs,
        )
        for row in rows
    ]  # fmt: skip


def random_stacks(count):
    """(stack, channels, side) that fit, with strides, dilation, padding, pooling and groups."""
    chance, found = random.Random(0), []
    while len(found) < count:
        channels, side = chance.choice((4, 8)), chance.randint(30, 90)
        stack = []
        for _ in range(chance.randint(1, 6)):
            kernel = chance.randint(1, 7)
            pool = chance.random() < 0.25
            stack.append(
                {
                    "kind": "pool" if pool else "conv",
                    "kernel": kernel,
                    "stride": chance.randint(1, 3),
                    "padding": chance.randint(0, kernel // 2),
                    "dilation": 1 if pool else chance.choice((1, 1, 2, 3)),
                    "maps": None if pool else chance.choice((4, 8, 12)),
                    "groups": 1 if pool else chance.choice((1, 2, 4)),
                }
            )
        calculator = FieldCalculator(stack, channels=channels, side=side)
        if all(row.side > 0 for row in calculator.costs()):
            found.append((stack, channels, side))
    return found


STACKS = random_stacks(60)


@pytest.mark.parametrize("stack, channels, side", STACKS[:30])
def test_any_stack_costs_and_sees_what_the_library_counts(stack, channels, side):
    ours = FieldCalculator(stack, channels=channels, side=side).costs()
    assert [tuple(row) for row in ours] == seen(stack, channels, side)


@pytest.mark.parametrize("name", presets())
def test_every_preset_costs_and_sees_what_the_library_counts(name):
    preset = presets()[name]
    ours = FieldCalculator(name).costs()
    counted = seen(preset["layers"], preset["channels"], preset["side"])
    assert [tuple(row) for row in ours] == counted


def test_the_networks_among_the_presets_are_those_of_the_papers():
    vgg = presets()["vgg16"]
    printed = [cell for block in TABLE_1["D"] for cell in (*block, "pool")]
    shown = [f"conv{m['kernel']}-{m['maps']}" if m["maps"] else "pool" for m in vgg["layers"]]
    assert shown == printed and (vgg["channels"], vgg["side"]) == (3, 224)
    assert FieldCalculator("vgg16").costs()[-1].field == 212
    last = FieldCalculator("alexnet").costs()[-1]
    assert (last.field, last.side, last.maps) == (195, 6, 256)


def test_three_small_kernels_see_as_much_as_a_large_one_for_27_instead_of_49():
    three, seven = (FieldCalculator(name).costs() for name in ("three", "seven"))
    assert three[-1].field == seven[-1].field == 7
    weights = [sum(row.weights for row in rows) for rows in (three, seven)]
    assert weights == [27 * 64**2, 49 * 64**2]


def test_the_script_computes_what_the_library_counts(node_tests):
    cases = []
    for stack, channels, side in STACKS:
        rows = [
            row._asdict() for row in FieldCalculator(stack, channels=channels, side=side).costs()
        ]
        cases.append(
            {
                "stack": stack, "channels": channels, "side": side, "rows": rows,
                "ways": ways(stack),
            }
        )  # fmt: skip
    node_tests("field_calculator.test.mjs", script=FieldCalculator._esm, cases=cases)


def ways(stack):
    """Along one side, by torch: the gradient of a unit of a chain of kernels full of ones."""
    field = FieldCalculator(stack).costs()[-1].field
    pixels = torch.zeros(1, 1, field, dtype=torch.float64, requires_grad=True)
    row = pixels
    for layer in stack:
        ones = torch.ones(1, 1, layer["kernel"], dtype=torch.float64)
        row = nn.functional.conv1d(row, ones, stride=layer["stride"], dilation=layer["dilation"])
    assert row.shape[-1] == 1
    row.sum().backward()
    return pixels.grad[0, 0].tolist()


def test_layers_are_read_off_a_network():
    model = nn.Sequential(
        nn.Conv2d(4, 8, 5, stride=2, padding=1, dilation=2, groups=4),
        nn.ReLU(),
        nn.AvgPool2d(3, stride=2, padding=1),
    )
    assert layers_of(model) == [
        {
            "kind": "conv", "kernel": 5, "stride": 2, "padding": 1, "dilation": 2, "maps": 8,
            "groups": 4,
        },
        {
            "kind": "pool", "kernel": 3, "stride": 2, "padding": 1, "dilation": 1, "maps": None,
            "groups": 1,
        },
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"0: kernel_size must be the same .*: \[1, 3"):
        layers_of(nn.Sequential(nn.Conv2d(1, 1, (1, 3))))


@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_padding_by_half_the_kernel_keeps_the_size(kernel, dilation):
    stack = [convolution(kernel, dilation=dilation)]
    assert FieldCalculator(stack, side=40).costs()[0].side == 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("four",), "no stack is called 'four'; there are three, seven"),
        (([],), "a stack has 1 to 24 layers"),
        (([convolution(3)] * 25,), "a stack has 1 to 24 layers"),
        ((5,), "a stack has 1 to 24 layers, got 5"),
        ((["conv"],), "layer 1 must be a mapping"),
        (([{"kind": "linear", "kernel": 3}],), "layer 1: kind must be 'conv' or 'pool', got 'lin"),
        (
            ([{"kind": "pool", "kernel": 16}],),
            "layer 1: kernel must be a whole number from 1 to 15",
        ),
        (([{"kind": "pool"}],), "layer 1: kernel must be a whole number .* got None"),
        (([{"kind": "conv", "kernel": 3}],), "layer 1: maps must be a whole number .* got None"),
        (
            ([{"kind": "pool", "kernel": 2, "size": 3}],),
            "layer 1 has no 'size'; it has kind, kernel",
        ),
        (([convolution(3), convolution(3, stride=0)],), "layer 2: stride must be .* got 0"),
        (([convolution(3, maps=True)],), "layer 1: maps must be a whole number .* got True"),
    ],
)
def test_bad_input_is_explained(arguments, message):
    with pytest.raises(ValueError, match=message):
        FieldCalculator(*arguments)


def test_numbers_outside_their_range_are_explained():
    with pytest.raises(ValueError, match="channels must be a whole number from 1 to 1024, got 0"):
        FieldCalculator([convolution(3)], channels=0)
    with pytest.raises(ValueError, match="side must be a whole number from 8 to 512, got 4"):
        FieldCalculator([convolution(3)], side=4)


def test_a_stack_that_does_not_fit_is_shown_with_what_it_sees():
    calculator = FieldCalculator([convolution(3), {"kind": "pool", "kernel": 9}], side=8)
    assert calculator.costs()[-1].side < 1 and calculator.costs()[-1].macs == 0
    assert "11×11" in calculator.fallback_html()


def test_the_presets_are_not_shared_between_widgets():
    one = FieldCalculator("three")
    one.stack[0]["kernel"] = 5
    assert FieldCalculator("three").stack[0]["kernel"] == 3


def test_the_fallback_is_a_table_of_the_layers():
    html = FieldCalculator("seven").fallback_html()
    assert html.count("<tr>") == 2 and "7×7" in html and "200,704" in html


def test_the_repr_tells_the_stack():
    assert repr(FieldCalculator("vgg16")) == (
        "FieldCalculator(18 layers on 3@224x224; the last sees 212 x 212)"
    )
