"""ResNeXt against the paper's numbers, other implementations, and the three forms of its Fig. 3."""

import pytest
import timm
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorchcv.models import resnext as cv_resnext
from pytorchcv.models import resnext_cifar as cv_resnext_cifar
from torch import nn
from torch.nn import functional as F

from cnnlib.inspection import count_macs, count_parameters, summarize
from cnnlib.models.resnet import resnet50
from cnnlib.models.resnext import ResNeXt, resnext50_32x4d, resnext101_32x4d
from tests.models.invariants import Invariants, Tiny, settle
from tests.models.transplant import assert_same_function, randomize

SMALL = {"stem": "small", "blocks": (1, 1), "widths": (8, 16), "cardinality": 4}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def on_meta(build, *args, **options) -> nn.Module:
    with torch.device("meta"):
        return build(*args, **options)


# The paper's numbers


def test_parameters_and_multiply_adds_round_to_table_1():
    model = on_meta(resnext50_32x4d)
    assert round(count_parameters(model) / 1e6, 1) == 25.0
    assert round(count_macs(model, (3, 224, 224)) / 1e9, 1) == 4.2


def test_output_sizes_and_widths_are_those_of_table_1():
    model = on_meta(resnext50_32x4d)
    rows = {row.name: row.output_shape for row in summarize(model, (3, 224, 224)).rows}
    assert rows["conv1"] == (64, 112, 112)
    table = {
        2: (128, 256, 56, 3),
        3: (256, 512, 28, 4),
        4: (512, 1024, 14, 6),
        5: (1024, 2048, 7, 3),
    }
    for number, (inner, outer, size, count) in table.items():
        stage = getattr(model, f"conv{number}_x")
        assert rows[f"conv{number}_x"] == (outer, size, size) and len(stage) == count
        for block in stage:
            branch = block.residual
            kernels = [(c.kernel_size[0], c.out_channels, c.groups) for c in branch if _conv(c)]
            assert kernels == [(1, inner, 1), (3, inner, 32), (1, outer, 1)]


def _conv(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d)


@pytest.mark.parametrize("build, depth", [(resnext50_32x4d, 50), (resnext101_32x4d, 101)])
def test_number_of_layers_is_the_name_of_the_network(build, depth):
    named = on_meta(build).named_modules()
    assert 1 + sum(_conv(m) and ".shortcut." not in name for name, m in named) == depth


@pytest.mark.parametrize("cardinality, width", [(1, 64), (2, 40), (4, 24), (8, 14), (32, 4)])
def test_all_rows_of_table_2_cost_about_the_same(cardinality, width):
    # a block of conv2 with 256 channels in and out has C (256 d + 9 d d + 256 d) weights
    model = on_meta(
        ResNeXt, blocks=(2,), widths=(64,), cardinality=cardinality, width_per_group=width
    )
    weights = sum(c.weight.numel() for c in model.conv2_x[1].residual if _conv(c))
    assert weights == cardinality * (256 * width + 3 * 3 * width * width + width * 256)
    assert weights == pytest.approx(70_000, rel=0.03)


def test_one_transformation_of_64_filters_is_a_bottleneck_of_resnet():
    ours = ResNeXt(10, cardinality=1, width_per_group=64)
    theirs = resnet50(num_classes=10, stride_on="3x3")
    assert_same_function(ours, theirs, (3, 32, 32))


# The same function elsewhere


@pytest.mark.parametrize(
    "build",
    [
        lambda: torchvision.models.resnext50_32x4d(num_classes=10),
        lambda: timm.create_model("resnext50_32x4d", num_classes=10),
    ],
    ids=["torchvision", "timm"],
)
def test_function_is_that_of_another_implementation(build):
    assert_same_function(resnext50_32x4d(num_classes=10), build(), (3, 64, 49))


def test_function_is_that_of_pytorchcv():
    theirs = cv_resnext.resnext26_32x4d(num_classes=10)
    theirs.features.final_pool = nn.AdaptiveAvgPool2d(1)  # instead of 7 x 7
    ours = ResNeXt(10, blocks=(2, 2, 2, 2))
    assert_same_function(ours, theirs, (3, 64, 64), order="registration")


def test_cifar_function_is_that_of_pytorchcv():
    theirs = cv_resnext_cifar.resnext20_16x4d_cifar10()
    ours = ResNeXt(10, stem="small", blocks=(2, 2, 2), widths=(64, 128, 256), cardinality=16)
    assert_same_function(ours, theirs, (3, 32, 32), order="registration")


@pytest.mark.slow
@pytest.mark.parametrize("package", ["timm", "pytorchcv"])
def test_function_of_101_layers_is_that_of_another_implementation(package):
    if package == "timm":
        theirs, how = timm.create_model("resnext101_32x4d", num_classes=10), {}
    else:
        theirs, how = cv_resnext.resnext101_32x4d(num_classes=10), {"order": "registration"}
        theirs.features.final_pool = nn.AdaptiveAvgPool2d(1)
    assert_same_function(resnext101_32x4d(num_classes=10), theirs, (3, 48, 48), **how)


# The idea


def test_the_three_forms_of_figure_3_are_one_function():
    cardinality, d = 4, 3
    model = ResNeXt(blocks=(2,), widths=(8,), cardinality=cardinality, width_per_group=d)
    block = randomize(model.conv2_x[1])
    x = torch.randn(2, 32, 5, 5, dtype=torch.float64)
    branch = block.residual
    by_path = [
        [chunk for chunk in weights.split(d, dim)]
        for weights, dim in [
            (branch.conv1.weight, 0),
            (branch.conv2.weight, 0),
            (branch.conv3.weight, 1),
        ]
    ]

    def normalize(norm: nn.BatchNorm2d, y: torch.Tensor, path: int) -> torch.Tensor:
        own = slice(path * d, (path + 1) * d)
        mean, variance = norm.running_mean[own], norm.running_var[own]
        return F.batch_norm(y, mean, variance, norm.weight[own], norm.bias[own])

    early, summed = [], 0
    for path, (first, middle, last) in enumerate(zip(*by_path, strict=True)):
        y = normalize(branch.bn1, F.conv2d(x, first), path).relu()
        y = normalize(branch.bn2, F.conv2d(y, middle, padding=1), path).relu()
        early.append(y)
        summed = summed + F.conv2d(y, last)  # (a): each path has a last layer of its own
    concatenated = F.conv2d(torch.cat(early, 1), branch.conv3.weight)  # (b): one for all
    torch.testing.assert_close(summed, concatenated)
    grouped = block(x)  # (c)
    torch.testing.assert_close((branch.bn3(summed) + x).relu(), grouped)


def test_fan_in_of_the_grouped_layer_is_that_of_one_group():
    layer = resnext50_32x4d(num_classes=2).conv4_x[0].residual.conv2
    fan_in = 9 * 512 // 32
    assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.02)


# Every network


class TestInvariants(Invariants):
    networks = {"small": Tiny("resnext50_32x4d", SMALL, (1, 12, 12), lr=5e-3)}


@given(
    cardinality=st.integers(1, 4),
    width_per_group=st.integers(1, 3),
    factors=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    size=st.integers(1, 30),
)
@settings(max_examples=20, deadline=None)
def test_any_cardinality_and_width_can_be_built(cardinality, width_per_group, factors, size):
    widths = [4, *(4 * factor for factor in factors)]
    model = settle(
        ResNeXt(
            3,
            1,
            blocks=[1] * len(widths),
            widths=widths,
            cardinality=cardinality,
            width_per_group=width_per_group,
            stem="small",
        )
    )
    assert model(torch.randn(2, 1, size, size)).shape == (2, 3)
    for block, factor in zip(model.residual_blocks(), [1, *factors], strict=True):
        assert block.residual.conv2.groups == cardinality
        assert block.residual.conv2.out_channels == cardinality * width_per_group * factor


@pytest.mark.parametrize(
    "options, said",
    [
        ({"cardinality": 0}, "cardinality must be a whole number of at least 1; got 0"),
        ({"width_per_group": 1.5}, "width_per_group must be a whole number.*got 1.5"),
        ({"blocks": (1, 1), "widths": (64, 72)}, r"width 72 would have 4.5.*4 x 72 / 64"),
        ({"blocks": (1,)}, "one number per stage.*4 widths"),
        ({"stem": "tiny"}, "stem must be one of imagenet, small"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        ResNeXt(**options)
