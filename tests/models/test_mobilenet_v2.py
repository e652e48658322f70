"""MobileNetV2 against the paper's tables, plain arithmetic and other implementations."""

import pytest
import timm
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorchcv.models import mobilenetv2 as pytorchcv
from torch import nn

from cnnlib.inspection import count_macs, count_parameters, summarize
from cnnlib.models import create_model
from cnnlib.models.mobilenet_v2 import (
    MODELS,
    TABLE_2,
    InvertedResidual,
    MobileNetV2,
    make_divisible,
    mobilenet_v2,
)
from tests.models.invariants import Invariants, Tiny
from tests.models.transplant import assert_same_function

SMALL = {
    "rows": ((1, 8, 1, 1), (3, 12, 2, 2), (3, 16, 2, 2)),
    "stem_width": 8,
    "head_width": 32,
    "divisor": 4,
}
WIDTHS = (1.4, 1.0, 0.75, 0.5, 0.35)


# The paper's tables

# Table 2 as printed: input, operator, t, c, n, s
PRINTED = """
224x224x3   conv2d       - 32   1 2
112x112x32  bottleneck   1 16   1 1
112x112x16  bottleneck   6 24   2 2
56x56x24    bottleneck   6 32   3 2
28x28x32    bottleneck   6 64   4 2
14x14x64    bottleneck   6 96   3 1
14x14x96    bottleneck   6 160  3 2
7x7x160     bottleneck   6 320  1 1
7x7x320     conv2d_1x1   - 1280 1 1
7x7x1280    avgpool_7x7  - -    1 -
1x1x1280    conv2d_1x1   - 1000 - -
""".split("\n")[1:-1]


def test_rows_are_those_of_table_2():
    with torch.device("meta"):
        model = mobilenet_v2()
    children = dict(model.named_children())
    inputs, rows = {}, []
    for name, child in children.items():
        child.register_forward_pre_hook(
            lambda _, args, name=name: inputs.update({name: args[0].shape})
        )
    model(torch.empty(1, 3, 224, 224, device="meta"))
    for name, child in children.items():
        if name == "dropout":  # not in the table
            continue
        _, channels, *size = *inputs[name], 1, 1
        row = [f"{size[0]}x{size[1]}x{channels}"]
        if name.startswith("stage"):
            first = child[0]
            depthwise, project = first.depthwise[0], first.project[0]
            t = depthwise.in_channels // channels
            row += ["bottleneck", t, project.out_channels, len(child), depthwise.stride[0]]
            assert all(block.depthwise[0].stride == (1, 1) for block in child[1:])
            assert {block.project[0].out_channels for block in child} == {project.out_channels}
        elif name.startswith("conv"):
            conv = child[0]
            kind = "conv2d_1x1" if conv.kernel_size == (1, 1) else "conv2d"
            row += [kind, "-", conv.out_channels, 1, conv.stride[0]]
        elif name == "pool":
            row += ["avgpool_7x7", "-", "-", 1, "-"]
        else:
            row += ["conv2d_1x1", "-", child.out_features, "-", "-"]
        rows.append(row)
    assert [list(map(str, row)) for row in rows] == [line.split() for line in PRINTED]


def test_a_block_has_the_layers_of_table_1():
    block = InvertedResidual(24, 32, expansion=6, stride=2)
    maps, seen = torch.zeros(1, 24, 10, 12), []
    for layer in block.modules():
        if not list(layer.children()):
            layer.register_forward_hook(lambda m, _, o: seen.append((type(m), tuple(o.shape[1:]))))
    block.eval()(maps)
    wide, halved, narrow = (144, 10, 12), (144, 5, 6), (32, 5, 6)
    expected = [(kind, wide) for kind in (nn.Conv2d, nn.BatchNorm2d, nn.ReLU6)]
    expected += [(kind, halved) for kind in (nn.Conv2d, nn.BatchNorm2d, nn.ReLU6)]
    expected += [(kind, narrow) for kind in (nn.Conv2d, nn.BatchNorm2d)]
    assert seen == expected


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(2, 6),
    st.integers(1, 9),
    st.integers(1, 9),
)
def test_a_block_of_stride_1_takes_the_multiply_adds_of_section_3_3(d, d_out, t, h, w):
    with torch.device("meta"):
        macs = count_macs(InvertedResidual(d, d_out, expansion=t), (d, h, w))
    assert macs == h * w * d * t * (d + 3**2 + d_out)


def test_there_are_17_blocks_of_which_10_have_a_shortcut():
    # Section 4 speaks of 19 residual bottleneck layers; the rows of Table 2 add up to 17
    blocks = [m for m in mobilenet_v2().modules() if isinstance(m, InvertedResidual)]
    assert len(blocks) == sum(row.n for row in TABLE_2) == 17
    assert sum(block.shortcut for block in blocks) == sum(row.n - 1 for row in TABLE_2) == 10


def test_cost_is_what_table_4_prints():
    with torch.device("meta"):
        full, wide = mobilenet_v2(), mobilenet_v2(1.4)
    assert int(count_macs(full, (3, 224, 224)) / 1e6) == 300
    weights = sum(p.numel() for p in full.parameters() if p.ndim > 1)
    assert int(weights / 1e5) / 10 == 3.4  # without biases and normalisation, and rounded down
    assert count_macs(wide, (3, 224, 224)) / 1e6 == pytest.approx(585, rel=0.01)
    # The printed 6.9M are not those of this table: the widest layers alone tell.
    assert count_parameters(wide.fc) == 1792 * 1000 + 1000
    assert count_parameters(wide) == 6_108_776


def test_a_width_below_1_leaves_the_last_convolution_alone():
    with torch.device("meta"):
        for width in WIDTHS:
            head = mobilenet_v2(width).conv2[0].out_channels
            assert head == (1792 if width == 1.4 else 1280)


def test_every_width_is_registered():
    assert [options["width_multiplier"] for _, options in MODELS.values()] == list(WIDTHS)
    with torch.device("meta"):
        model = create_model("mobilenet_v2_0.35")
    rows = summarize(model, (3, 224, 224)).rows
    stages = [row.output_shape[0] for row in rows[:8]]
    # 0.35 of 32, 16, 24, 32, 64, 96, 160, 320 is 11.2, 5.6, 8.4, 11.2, 22.4, 33.6, 56, 112
    assert stages == [16, 8, 8, 16, 24, 32, 56, 112]


# Rounding


@given(st.floats(0.01, 5000), st.sampled_from([1, 4, 8, 16]))
def test_make_divisible_stays_near_and_never_much_below(width, divisor):
    rounded = make_divisible(width, divisor)
    assert rounded % divisor == 0 and rounded >= divisor
    assert rounded >= 0.9 * width
    assert rounded <= max(divisor, width + divisor)
    if width >= divisor and rounded - divisor >= 0.9 * width:
        assert rounded <= width + divisor / 2  # up by more than half only if down is too far


def test_make_divisible_by_hand():
    cases = {1: 8, 11: 16, 11.2: 16, 12: 16, 16.8: 16, 19: 24, 33.6: 32, 44.8: 48}
    # 11 and 11.2 are nearer to 8, and 19 to 16, but that would be less than 90 %
    assert {width: make_divisible(width) for width in cases} == cases


# Other implementations


@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_the_function_of_torchvision(width):
    theirs = torchvision.models.mobilenet_v2(num_classes=10, width_mult=width)
    assert_same_function(mobilenet_v2(width, num_classes=10), theirs, (3, 65, 96))


@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_the_function_of_timm(width):
    # its mobilenetv2_110d and _120d are deeper, which the paper is not
    theirs = timm.create_model(f"mobilenetv2_{round(100 * width):03}", num_classes=10)
    assert_same_function(mobilenet_v2(width, num_classes=10), theirs, (3, 65, 96))


def test_it_is_the_function_of_pytorchcv():
    # Its narrower ones do not round widths to multiples of 8, and those without "b" in their name
    # expand in the first block too.
    theirs = pytorchcv.mobilenetv2b_w1(num_classes=10)
    theirs.features.final_pool = nn.AdaptiveAvgPool2d(1)  # theirs takes 224 x 224 pixels only
    theirs.output = nn.Conv2d(1280, 10, 1)  # theirs has no bias here
    assert_same_function(mobilenet_v2(num_classes=10), theirs, (3, 65, 96))


# Options


def test_bottlenecks_are_linear_unless_asked_otherwise():
    for linear in (True, False):
        blocks = MobileNetV2(linear=linear, **SMALL).stage2
        assert [isinstance(block.project[-1], nn.ReLU6) for block in blocks] == [not linear] * 2


def test_a_shortcut_adds_the_input_where_shapes_agree():
    torch.manual_seed(0)
    maps = torch.randn(2, 6, 5, 5)
    for out, stride, joined in ((6, 1, True), (6, 2, False), (8, 1, False)):
        block = InvertedResidual(6, out, stride=stride).eval()
        branch = block.project(block.depthwise(block.expand(maps)))
        torch.testing.assert_close(block(maps), branch + maps if joined else branch)
    without = InvertedResidual(6, 6, shortcut=False).eval()
    without_branch = without.project(without.depthwise(without.expand(maps)))
    assert torch.equal(without(maps), without_branch)


def test_options_of_figure_6_cost_nothing():
    counts = {
        count_parameters(MobileNetV2(**SMALL, linear=linear, shortcut=shortcut))
        for linear in (True, False)
        for shortcut in (True, False)
    }
    assert len(counts) == 1


def test_the_small_stem_keeps_the_size_of_the_image():
    rows = summarize(MobileNetV2(stem="small", **SMALL), (3, 28, 28)).rows
    assert [row.output_shape for row in rows[:5]] == [
        (8, 28, 28),
        (8, 28, 28),
        (12, 14, 14),
        (16, 7, 7),
        (32, 7, 7),
    ]


@settings(max_examples=15, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 2), st.integers(1, 3)),
        min_size=1,
        max_size=3,
    ),
    width=st.sampled_from([0.35, 1.0, 1.4]),
    divisor=st.sampled_from([1, 4, 8]),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
)
def test_any_table_takes_any_image(rows, width, divisor, size):
    model = MobileNetV2(
        3, 2, rows=rows, width_multiplier=width, divisor=divisor, stem_width=6, head_width=9
    ).eval()
    height, below = (-(-side // 2) for side in size)
    for _, _, _, stride in rows:
        height, below = -(-height // stride), -(-below // stride)
    maps = []
    model.pool.register_forward_pre_hook(lambda _, args: maps.append(args[0].shape))
    assert model(torch.zeros(1, 2, *size)).shape == (1, 3)
    assert maps == [(1, make_divisible(9 * max(1, width), divisor), height, below)]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"width_multiplier": -1}, "width_multiplier must be above 0; got -1"),
        ({"rows": ()}, "rows must be a whole number of at least 1; got 0"),
        ({"rows": ((0, 8, 1, 1),)}, "t must be a whole number of at least 1; got 0"),
        ({"rows": ((1, 8, 0, 1),)}, "n must be a whole number of at least 1; got 0"),
        ({"divisor": 0}, "divisor must be a whole number of at least 1; got 0"),
        ({"dropout": 1}, "dropout must be a share, at least 0 and below 1; got 1"),
        ({"stem": "tiny"}, "stem must be one of imagenet, small; got 'tiny'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MobileNetV2(**options)


# Initial weights


def test_initial_weights_keep_the_size_of_signals():
    torch.manual_seed(0)
    for name, layer in mobilenet_v2().named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight.numel() > 3000:
            expected = (2 / layer.weight[0].numel()) ** 0.5
            assert layer.weight.std().item() == pytest.approx(expected, rel=0.05), name


# What all networks share


TINY = {
    "linear bottlenecks": Tiny("mobilenet_v2_1", SMALL, (1, 14, 14), lr=5e-3),
    "everything else": Tiny(
        "mobilenet_v2_0.5",
        SMALL | {"linear": False, "shortcut": False, "stem": "small", "dropout": 0.0},
        (1, 14, 14),
        lr=5e-3,
    ),
}


class TestInvariants(Invariants):
    networks = TINY
