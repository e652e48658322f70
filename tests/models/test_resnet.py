"""ResNet against the paper's tables, other implementations, and plain functions written here."""

import copy
import math
import re

import pytest
import timm
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorchcv.models import resnet as cv_resnet
from pytorchcv.models import resnet_cifar as cv_resnet_cifar
from torch import Tensor, nn
from torch.nn import functional as F

from cnnlib.inspection import count_macs, count_parameters, summarize
from cnnlib.models import create_model
from cnnlib.models.resnet import (
    MODELS,
    TABLE_1,
    BasicBlock,
    Bottleneck,
    ResNet,
    ZeroPadding,
    cifar_blocks,
    make_shortcut,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnet_cifar,
    response_stds,
)
from tests.models.building import on_meta
from tests.models.invariants import Invariants, Tiny, settle
from tests.models.transplant import assert_same_function, randomize

CONSTRUCTORS = {18: resnet18, 34: resnet34, 50: resnet50, 101: resnet101, 152: resnet152}
SMALL = {"in_channels": 1, "widths": (4, 6, 8), "stem": "small", "block": "basic"}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def weighted_layers(model: ResNet) -> int:
    """Those on the way through the residual branches, and the classifier."""
    return 1 + sum(
        isinstance(module, nn.Conv2d) and ".shortcut." not in name
        for name, module in model.named_modules()
    )


# The paper's numbers


@pytest.mark.parametrize("depth", TABLE_1)
def test_number_of_layers_is_the_name_of_the_network(depth):
    assert weighted_layers(on_meta(CONSTRUCTORS[depth])) == depth
    assert weighted_layers(on_meta(CONSTRUCTORS[depth], shortcut="C")) == depth


@pytest.mark.parametrize("depth", TABLE_1)
def test_output_sizes_are_those_of_table_1(depth):
    summary = summarize(on_meta(CONSTRUCTORS[depth]), (3, 224, 224))
    wider = 1 if depth < 50 else 4
    assert [(row.name, row.output_shape) for row in summary.rows] == [
        ("conv1", (64, 112, 112)),
        ("pool1", (64, 56, 56)),
        ("conv2_x", (64 * wider, 56, 56)),
        ("conv3_x", (128 * wider, 28, 28)),
        ("conv4_x", (256 * wider, 14, 14)),
        ("conv5_x", (512 * wider, 7, 7)),
        ("average_pool", (512 * wider, 1, 1)),
        ("fc", (1000,)),
    ]


@pytest.mark.parametrize(
    "depth, printed", [(18, 1.8), (34, 3.6), (50, 3.8), (101, 7.6), (152, 11.3)]
)
def test_multiply_adds_are_those_of_table_1(depth, printed):
    macs = count_macs(on_meta(CONSTRUCTORS[depth]), (3, 224, 224)) / 1e9
    assert macs == pytest.approx(printed, abs=0.065)  # 3.664 and 3.858 are printed as 3.6 and 3.8


@pytest.mark.parametrize("block, sizes", [("basic", [(3, 64)] * 2), ("bottleneck", None)])
def test_kernels_of_a_block_are_those_of_figure_5(block, sizes):
    model = on_meta(ResNet, block=block, blocks=(1,), widths=(64,))
    kernels = [
        (layer.kernel_size[0], layer.out_channels)
        for layer in model.conv2_x[0].residual
        if isinstance(layer, nn.Conv2d)
    ]
    assert kernels == (sizes or [(1, 64), (3, 64), (1, 256)])


@pytest.mark.parametrize("n", [3, 5, 7, 9, 18])
def test_cifar_networks_have_6n_plus_2_layers_on_three_sizes(n):
    model = on_meta(resnet_cifar, 6 * n + 2)
    assert weighted_layers(model) == 6 * n + 2
    shapes = [row.output_shape for row in summarize(model, (3, 32, 32)).rows[1:4]]
    assert shapes == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]
    assert [len(getattr(model, f"conv{stage}_x")) for stage in (2, 3, 4)] == [n] * 3


@pytest.mark.parametrize(
    "depth, printed",
    [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7), (1202, 19.4)],
)
def test_parameters_round_to_table_6(depth, printed):
    millions = count_parameters(on_meta(create_model, f"resnet{depth}_cifar")) / 1e6
    assert round(millions, 2 if depth < 110 else 1) == printed


@pytest.mark.parametrize("depth", [20, 110])
def test_parameters_of_a_cifar_network_follow_from_its_widths(depth):
    n = (depth - 2) // 6
    stem = 9 * 3 * 16 + 2 * 16
    pairs = [(16, 16), (16, 32), (32, 64)]  # channels into and out of a stage
    stages = sum(9 * a * b + 9 * (2 * n - 1) * b * b + 2 * n * 2 * b for a, b in pairs)
    assert count_parameters(on_meta(resnet_cifar, depth)) == stem + stages + 64 * 10 + 10


@pytest.mark.parametrize("depth", [18, 34])
def test_option_a_adds_no_parameter_to_a_plain_network(depth):
    plain, zeros = (on_meta(CONSTRUCTORS[depth], shortcut=option) for option in ("none", "A"))
    assert count_parameters(plain) == count_parameters(zeros)
    assert count_macs(plain, (3, 64, 64)) == count_macs(zeros, (3, 64, 64))


def test_projections_of_options_b_and_c_add_their_weights():
    def projection(a: int, b: int) -> int:
        return a * b + 2 * b

    a, b, c = (count_parameters(on_meta(resnet34, shortcut=option)) for option in "ABC")
    assert b - a == projection(64, 128) + projection(128, 256) + projection(256, 512)
    per_width = {64: 3, 128: 3, 256: 5, 512: 2}  # blocks that keep their width
    assert c - b == sum(count * projection(width, width) for width, count in per_width.items())


def test_the_stride_moves_multiply_adds_but_no_parameter():
    first, second = on_meta(resnet50), on_meta(resnet50, stride_on="3x3")
    assert count_parameters(first) == count_parameters(second)
    assert count_macs(second, (3, 224, 224)) - count_macs(first, (3, 224, 224)) == sum(
        # on the 1 x 1, that layer is computed at a quarter of the places, and so is nothing else
        3 * (size // 2) ** 2 * channels * width
        for size, channels, width in [(56, 256, 128), (28, 512, 256), (14, 1024, 512)]
    )


# The same function elsewhere

REGISTRATION = {"order": "registration"}  # theirs run the projection before the branch
COUNTERPARTS = {
    "torchvision resnet18": (
        lambda: torchvision.models.resnet18(num_classes=10),
        lambda: resnet18(num_classes=10),
        {},
    ),
    "torchvision resnet34": (
        lambda: torchvision.models.resnet34(num_classes=10),
        lambda: resnet34(num_classes=10),
        {},
    ),
    "torchvision resnet50": (
        lambda: torchvision.models.resnet50(num_classes=10),
        lambda: resnet50(num_classes=10, stride_on="3x3"),
        {},
    ),
    "timm resnet18": (
        lambda: timm.create_model("resnet18", num_classes=10),
        lambda: resnet18(num_classes=10),
        {},
    ),
    "timm resnet26": (  # bottlenecks, two per stage
        lambda: timm.create_model("resnet26", num_classes=10),
        lambda: ResNet(10, blocks=(2, 2, 2, 2), stride_on="3x3"),
        {},
    ),
    "pytorchcv resnet18": (
        lambda: cv_resnet.resnet18(num_classes=10),
        lambda: resnet18(num_classes=10),
        REGISTRATION,
    ),
    "pytorchcv resnet50, stride on the 1 x 1": (
        lambda: cv_resnet.resnet50(num_classes=10),
        lambda: resnet50(num_classes=10),
        REGISTRATION,
    ),
    "pytorchcv resnet26, stride on the 3 x 3": (
        lambda: cv_resnet.resnetbc26b(num_classes=10),
        lambda: ResNet(10, blocks=(2, 2, 2, 2), stride_on="3x3"),
        REGISTRATION,
    ),
}
BIG = {
    "torchvision resnet101": (
        lambda: torchvision.models.resnet101(num_classes=10),
        lambda: create_model("resnet101_v1_5", num_classes=10),
        {},
    ),
    "torchvision resnet152": (
        lambda: torchvision.models.resnet152(num_classes=10),
        lambda: create_model("resnet152_v1_5", num_classes=10),
        {},
    ),
    "timm resnet34": (
        lambda: timm.create_model("resnet34", num_classes=10),
        lambda: resnet34(num_classes=10),
        {},
    ),
    "timm resnet50": (
        lambda: timm.create_model("resnet50", num_classes=10),
        lambda: create_model("resnet50_v1_5", num_classes=10),
        {},
    ),
    "pytorchcv resnet34": (
        lambda: cv_resnet.resnet34(num_classes=10),
        lambda: resnet34(num_classes=10),
        REGISTRATION,
    ),
    "pytorchcv resnet101": (
        lambda: cv_resnet.resnet101(num_classes=10),
        lambda: resnet101(num_classes=10),
        REGISTRATION,
    ),
    "pytorchcv resnet152": (
        lambda: cv_resnet.resnet152(num_classes=10),
        lambda: resnet152(num_classes=10),
        REGISTRATION,
    ),
}


def poolable(model: nn.Module) -> nn.Module:
    """pytorchcv's networks end with a pooling of 7 x 7; ours take any size, so let them."""
    features = getattr(model, "features", None)
    if features is not None and hasattr(features, "final_pool"):
        features.final_pool = nn.AdaptiveAvgPool2d(1)
    return model


@pytest.mark.parametrize("name", COUNTERPARTS)
def test_function_is_that_of_another_implementation(name):
    theirs, ours, how = COUNTERPARTS[name]
    assert_same_function(ours(), poolable(theirs()), (3, 64, 49), **how)


@pytest.mark.slow
@pytest.mark.parametrize("name", BIG)
def test_function_of_a_big_network_is_that_of_another_implementation(name):
    theirs, ours, how = BIG[name]
    assert_same_function(ours(), poolable(theirs()), (3, 48, 48), **how)


@pytest.mark.parametrize("depth", [20, 56])
def test_cifar_function_with_projections_is_that_of_pytorchcv(depth):
    theirs = getattr(cv_resnet_cifar, f"resnet{depth}_cifar10")()
    assert_same_function(
        create_model(f"resnet{depth}_cifar_b"), theirs, (3, 32, 32), order="registration"
    )


def test_cifar_function_with_bottlenecks_is_that_of_pytorchcv():
    ours = resnet_cifar(164, block="bottleneck", shortcut="B", stride_on="3x3")
    theirs = cv_resnet_cifar.resnet164bn_cifar10()
    assert_same_function(ours, theirs, (3, 32, 32), order="registration")


def by_hand(model: ResNet, x: Tensor, shortcut: str, strides: list[int]) -> Tensor:
    """Networks that no other package has, from the numbers of ours and the formulas of the paper.

    Blocks of two 3 x 3 layers, the stem of Section 4.2; the numbers are read in the order in which
    the network lists them.
    """
    numbers = iter(t for t in model.state_dict().values() if t.ndim > 0)  # without batch counters

    def layer(x: Tensor, stride: int = 1) -> Tensor:
        kernels, scale, offset, mean, variance = (next(numbers)[:] for _ in range(5))
        sides = kernels.shape[-1] // 2
        y = F.conv2d(x, kernels, stride=stride, padding=sides).movedim(1, -1)
        return ((y - mean) / (variance + 1e-5).sqrt() * scale + offset).movedim(-1, 1)

    def widened(x: Tensor, wanted: Tensor) -> Tensor:
        picked = torch.zeros_like(wanted)
        room = wanted.shape[1] - x.shape[1]
        stride = math.ceil(x.shape[2] / wanted.shape[2])
        for channel in range(x.shape[1]):
            picked[:, room // 2 + channel] = x[:, channel, ::stride, ::stride]
        return picked

    x = layer(x).clamp(min=0)
    for stride in strides:
        y = layer(layer(x, stride).clamp(min=0))
        if shortcut == "A":
            y = y + widened(x, y)
        elif shortcut == "C":
            y = y + layer(x, stride)
        x = y.clamp(min=0)
    scores = x.mean((2, 3)) @ next(numbers).T + next(numbers)
    assert next(numbers, None) is None
    return scores


@pytest.mark.parametrize("shortcut", ["A", "C", "none"])
@pytest.mark.parametrize("size", [16, 13])
def test_networks_without_counterpart_compute_the_formulas_of_the_paper(shortcut, size):
    model = randomize(resnet_cifar(14, widths=(4, 7, 12), shortcut=shortcut))
    images = torch.randn(2, 3, size, size, dtype=torch.float64)
    expected = by_hand(model, images, shortcut, strides=[1, 1, 2, 1, 2, 1])
    torch.testing.assert_close(model(images), expected)
    assert (expected[0] - expected[1]).abs().max() > 1e-6


# Shortcuts


def test_option_a_takes_every_second_pixel_and_puts_half_of_the_zeros_on_each_side():
    x = torch.randn(2, 3, 5, 6)
    y = ZeroPadding(3, 8, stride=2)(x)
    assert y.shape == (2, 8, 3, 3)
    assert torch.equal(y[:, 2:5], x[:, :, [0, 2, 4]][..., [0, 2, 4]])
    assert not y[:, :2].any() and not y[:, 5:].any()


def test_appending_the_zeros_gives_the_same_network_with_its_channels_in_another_order():
    split = randomize(resnet_cifar(8, in_channels=1, widths=(2, 4, 8)))
    appended = copy.deepcopy(split)
    order = torch.arange(2)  # place in the split network of each channel of the other
    with torch.no_grad():
        for name, width in (("conv2_x", 2), ("conv3_x", 4), ("conv4_x", 8)):
            block, before = getattr(appended, name)[0], order
            if width > 2:
                block.shortcut.before, block.shortcut.after = 0, width // 2
                inner = order + width // 4  # the old channels in the middle, zeros around them
                zeros = [c for c in range(width) if c not in inner]
                order = torch.cat([inner, torch.tensor(zeros)])
            block.residual.conv1.weight.copy_(block.residual.conv1.weight[:, before].clone())
            block.residual.conv2.weight.copy_(block.residual.conv2.weight[order].clone())
            for tensor in block.residual.bn2.state_dict().values():
                if tensor.ndim:
                    tensor.copy_(tensor[order].clone())
        appended.fc.weight.copy_(appended.fc.weight[:, order].clone())
    images = torch.randn(2, 1, 8, 8, dtype=torch.float64)
    assert order.tolist() != list(range(8))
    torch.testing.assert_close(appended(images), split(images))


@pytest.mark.parametrize(
    "option, same, wider",
    [
        ("A", nn.Identity, ZeroPadding),
        ("B", nn.Identity, nn.Sequential),
        ("C", nn.Sequential, nn.Sequential),
    ],
)
def test_a_projection_is_where_its_option_says(option, same, wider):
    assert type(make_shortcut(option, 4, 4)) is same
    assert type(make_shortcut(option, 4, 8)) is wider
    assert type(make_shortcut(option, 4, 4, stride=2)) is wider
    assert make_shortcut("none", 4, 8, stride=2) is None


def test_option_a_serves_bottlenecks_too():
    block = randomize(Bottleneck(8, 4, stride=2, shortcut="A"))
    x = torch.randn(2, 8, 6, 6, dtype=torch.float64)
    y = block.residual(x).clone()
    y[:, 4:12] += x[:, :, ::2, ::2]
    torch.testing.assert_close(block(x), y.relu())


def test_option_a_cannot_remove_channels():
    with pytest.raises(ValueError, match='not remove them; got 8 channels in and 4 out.*"B"'):
        ResNet(block="basic", blocks=(1, 1), widths=(8, 4), shortcut="A")
    ResNet(block="basic", blocks=(1, 1), widths=(8, 4), shortcut="B")


# The residual idea


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_relu_comes_after_the_addition(block):
    unit = settle(block(8, 8 if block is BasicBlock else 2).double())
    x = torch.randn(2, 8, 5, 5, dtype=torch.float64)
    y = unit(x)
    torch.testing.assert_close(y, (unit.residual(x) + x).relu())
    assert y.min() == 0 and unit.residual(x).min() < 0


def test_a_block_whose_branch_is_zero_passes_on_what_is_not_negative():
    block = BasicBlock(4, 4)
    nn.init.zeros_(block.residual.bn2.weight)
    x = torch.randn(2, 4, 6, 6).relu()
    assert torch.equal(block(x), x)


def test_a_block_can_be_taken_out_and_then_only_its_residual_is_missing():
    model = settle(resnet_cifar(20, **SMALL | {"blocks": (2, 2, 2)}).double())
    silent, images = copy.deepcopy(model), torch.randn(2, 1, 8, 8, dtype=torch.float64)
    for name in ("weight", "bias"):
        nn.init.zeros_(getattr(silent.conv3_x[1].residual.bn2, name))
    expected, before = silent(images), model(images)
    model.conv3_x[1] = nn.Identity()
    torch.testing.assert_close(model(images), expected)
    assert not torch.allclose(expected, before)


@pytest.mark.parametrize("depth", [8, 14])
def test_plain_and_residual_networks_start_from_the_same_weights(depth):
    torch.manual_seed(3)
    plain = resnet_cifar(depth, shortcut="none", widths=(8, 16, 32))
    torch.manual_seed(3)
    residual = resnet_cifar(depth, shortcut="A", widths=(8, 16, 32))
    assert plain.state_dict().keys() == residual.state_dict().keys()
    assert all(map(torch.equal, plain.state_dict().values(), residual.state_dict().values()))


def test_a_hook_sees_the_residual_before_the_addition():
    block, seen = settle(BasicBlock(4, 4)), []
    block.residual.register_forward_hook(lambda _, __, output: seen.append(output.clone()))
    x = torch.randn(1, 4, 5, 5)
    y = block(x)
    torch.testing.assert_close((seen[0] + x).relu(), y)


def test_response_stds_are_those_of_each_layer_after_batch_norm():
    model = settle(resnet_cifar(8, **SMALL | {"blocks": (1, 1, 1), "shortcut": "B"}))
    model.train()
    before = copy.deepcopy(model.state_dict())
    images = torch.randn(4, 1, 9, 9)
    stds = response_stds(model, images)
    assert list(stds) == [
        "conv1.1",
        *(f"conv{stage}_x.0.residual.bn{layer}" for stage in (2, 3, 4) for layer in (1, 2)),
    ]
    assert model.training  # it is left as it was
    assert all(map(torch.equal, model.state_dict().values(), before.values()))
    assert not any(m._forward_hooks for m in model.modules())
    model.eval()
    responses = model.conv1[1](model.conv1[0](images))
    assert stds["conv1.1"] == pytest.approx(responses.std().item())
    x = model.conv1(images)
    assert stds["conv2_x.0.residual.bn2"] == pytest.approx(
        model.conv2_x[0].residual(x).std().item(), rel=1e-5
    )


def test_the_receptive_field_is_known_with_every_kind_of_shortcut():
    rows = {
        shortcut: [(row.receptive_field, row.stride) for row in summarize(model, (1, 16, 16)).rows]
        for shortcut in ("none", "A", "B")
        for model in [resnet_cifar(8, **SMALL | {"blocks": (1, 1, 1), "shortcut": shortcut})]
    }
    # the stem 3, then two layers of 3 in each stage, at strides 1, 2 and 4
    assert rows["A"][:4] == [(3, 1), (7, 1), (13, 2), (25, 4)]
    assert rows["A"] == rows["B"] == rows["none"]


# Initial weights


def test_weights_start_with_the_deviation_of_he():
    model = resnet50(num_classes=100)
    for layer in (model.conv1[0], model.conv3_x[0].residual.conv2, model.conv4_x[0].shortcut[0]):
        fan_in = layer.weight[0].numel()
        assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.02)
        assert abs(layer.weight.mean().item()) < 0.03 * (2 / fan_in) ** 0.5
    assert model.fc.weight.std().item() == pytest.approx((2 / 2048) ** 0.5, rel=0.02)
    assert not model.fc.bias.any()
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all((m.weight == 1).all() and not m.bias.any() for m in norms)


def test_no_convolution_has_a_bias():
    for name in ("resnet50", "resnet34_c", "plain20_cifar"):
        convolutions = [
            m for m in on_meta(create_model, name).modules() if isinstance(m, nn.Conv2d)
        ]
        assert convolutions and all(m.bias is None for m in convolutions)


# Every network


TINY = {
    "basic, option A, small stem": Tiny(
        "resnet20_cifar", {"blocks": (1, 1, 1), "widths": (8, 16, 32)}, (1, 14, 14), lr=5e-3
    ),
    "plain": Tiny(
        "plain20_cifar", {"blocks": (1, 1, 1), "widths": (8, 16, 32)}, (1, 14, 14), lr=5e-3
    ),
    "basic, option C, ImageNet stem": Tiny(
        "resnet18_c", {"blocks": (1, 1, 1, 1), "widths": (8, 8, 16, 16)}, (1, 32, 32), lr=5e-3
    ),
    "bottleneck, option B": Tiny("resnet50", {"blocks": (1, 1), "widths": (8, 16)}, lr=5e-3),
}


class TestInvariants(Invariants):
    networks = TINY


@given(
    block=st.sampled_from(["basic", "bottleneck"]),
    blocks=st.lists(st.integers(1, 2), min_size=1, max_size=3),
    shortcut=st.sampled_from(["A", "B", "C", "none"]),
    stem=st.sampled_from(["imagenet", "small"]),
    stride_on=st.sampled_from(["1x1", "3x3"]),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    in_channels=st.integers(1, 3),
    num_classes=st.integers(1, 5),
)
@settings(max_examples=30, deadline=None)
def test_any_combination_takes_any_size_and_halves_it_rounding_up(
    block, blocks, shortcut, stem, stride_on, height, width, in_channels, num_classes
):
    widths = [4, 6, 8][: len(blocks)]
    model = settle(
        ResNet(
            num_classes,
            in_channels,
            blocks=blocks,
            block=block,
            widths=widths,
            stem=stem,
            shortcut=shortcut,
            stride_on=stride_on,
        )
    )
    images, last = torch.randn(2, in_channels, height, width), f"conv{1 + len(blocks)}_x"
    shapes = []
    getattr(model, last).register_forward_hook(lambda _, __, y: shapes.append(tuple(y.shape)))
    scores = model(images)
    assert scores.shape == (2, num_classes) and scores.isfinite().all()
    halvings = len(blocks) - 1 + (2 if stem == "imagenet" else 0)
    sides = [-(-side // 2**halvings) for side in (height, width)]
    assert shapes == [(2, widths[-1] * (1 if block == "basic" else 4), *sides)]


@given(depth=st.integers(-5, 200), layers=st.sampled_from([2, 3]))
@settings(max_examples=60, deadline=None)
def test_depths_are_6n_plus_2_or_9n_plus_2_and_the_nearest_are_named(depth, layers):
    step = 3 * layers
    if depth > 2 and (depth - 2) % step == 0:
        assert 2 + step * cifar_blocks(depth, layers)[0] == depth
    else:
        with pytest.raises(ValueError, match=rf"{step}n \+ 2.*got {depth}$") as error:
            cifar_blocks(depth, layers)
        low, high = map(int, re.findall(r"such as (\d+) or (\d+)", str(error.value))[0])
        assert cifar_blocks(low, layers) and cifar_blocks(high, layers)


def test_another_kind_of_block_can_be_plugged_in():
    class Silent(BasicBlock):
        def forward(self, x):
            return super().forward(x) * 0

    model = ResNet(3, 1, blocks=(1, 1), widths=(4, 8), block=Silent, stem="small")
    assert [type(block) for block in model.residual_blocks()] == [Silent, Silent]
    assert not model(torch.randn(2, 1, 8, 8)).any()


def test_what_is_appended_to_a_branch_acts_before_the_addition():
    class Halve(nn.Module):
        def forward(self, maps):
            return maps * 0.5

    block = settle(BasicBlock(4, 4))
    x = torch.randn(2, 4, 6, 6, requires_grad=True)
    expected = (0.5 * block.residual(x) + x).relu()
    block.residual.add_module("halve", Halve())
    torch.testing.assert_close(block(x), expected)
    gradients = (torch.autograd.grad(y.square().sum(), x)[0] for y in (block(x), expected))
    torch.testing.assert_close(*gradients)


def test_chapters_build_their_small_networks_by_depth():
    model = resnet_cifar(14, widths=(8, 16, 32), in_channels=1)
    assert count_parameters(model) == 43_490
    assert count_macs(model, (1, 14, 14)) == 1_377_248
    assert weighted_layers(resnet_cifar(44, widths=(8, 16, 32), shortcut="none")) == 44


def test_registered_names_say_what_they_build():
    for name, (_, options) in MODELS.items():
        depth = int("".join(c for c in name.split("_")[0] if c.isdigit()))
        assert weighted_layers(on_meta(create_model, name)) == depth, name
        assert (options.get("shortcut") == "none") == name.startswith("plain")
        assert (options.get("stem") == "small") == ("cifar" in name)


# Bad input


@pytest.mark.parametrize(
    "options, said",
    [
        ({"block": "wide"}, "block must be one of basic, bottleneck; got 'wide'"),
        ({"stem": "cifar"}, "stem must be one of imagenet, small; got 'cifar'"),
        ({"shortcut": "D"}, "shortcut must be one of A, B, C, none; got 'D'"),
        ({"stride_on": "2x2"}, "stride_on must be one of 1x1, 3x3; got '2x2'"),
        ({"blocks": (2, 2)}, "one number per stage.*got 2 numbers of blocks.*4 widths"),
        ({"blocks": (), "widths": ()}, "at least one; got 0"),
        ({"blocks": (2, 0, 2, 2)}, "blocks must be a whole number of at least 1; got 0"),
        ({"widths": (8, 8, 8, 2.5)}, "widths must be a whole number of at least 1; got 2.5"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        ResNet(**options)
