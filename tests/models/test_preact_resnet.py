"""Pre-activation ResNet against the paper's formulas, other implementations, and ResNet itself."""

import itertools

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorchcv.models import preresnet as cv_preresnet
from pytorchcv.models import preresnet_cifar as cv_preresnet_cifar
from torch import Tensor, nn
from torch.nn import functional as F

from cnnlib.inspection import count_macs, count_parameters, summarize
from cnnlib.models import create_model
from cnnlib.models.preact_resnet import (
    FIGURE_2,
    FIGURE_4,
    GATE_BIAS,
    MODELS,
    PreActResNet,
    ResidualUnit,
    preact_resnet50,
    preact_resnet152,
    preact_resnet200,
    preact_resnet_cifar,
)
from cnnlib.models.resnet import ResNet
from tests.models.building import on_meta
from tests.models.invariants import Invariants, Tiny, settle
from tests.models.transplant import assert_same_function, randomize


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def convolutions(unit: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in unit.modules() if isinstance(layer, nn.Conv2d)]


def small(**options) -> PreActResNet:
    """Three units of eight filters, on one size."""
    given = {"blocks": (3,), "widths": (8,), "block": "basic", "stem": "small"}
    return PreActResNet(5, 1, **(given | options))


# The paper's numbers


@pytest.mark.parametrize("name", MODELS)
def test_number_of_layers_is_the_name_of_the_network(name):
    depth = int("".join(c for c in name.split("_")[1] if c.isdigit()))
    named = on_meta(create_model, name).named_modules()
    assert depth == 1 + sum(
        isinstance(m, nn.Conv2d) and ".shortcut." not in name for name, m in named
    )


@pytest.mark.parametrize("depth, printed", [(110, 1.7), (164, 1.7), (1001, 10.2)])
def test_parameters_of_the_convolutions_round_to_table_4(depth, printed):
    model = on_meta(create_model, f"preact_resnet{depth}_cifar")
    # with batch normalisation and the classifier, 1001 layers would be 10.3 million
    assert round(sum(c.weight.numel() for c in convolutions(model)) / 1e6, 1) == printed


@pytest.mark.parametrize(
    "depth, shapes",
    [
        (110, [(16, 32, 32), (32, 16, 16), (64, 8, 8)]),
        (164, [(64, 32, 32), (128, 16, 16), (256, 8, 8)]),
    ],
)
def test_cifar_networks_have_three_sizes(depth, shapes):
    summary = summarize(on_meta(create_model, f"preact_resnet{depth}_cifar"), (3, 32, 32))
    assert [row.name for row in summary.rows] == [
        *("conv1", "conv2_x", "conv3_x", "conv4_x", "last_activation", "average_pool", "fc")
    ]
    assert [row.output_shape for row in summary.rows[1:4]] == shapes


def test_200_layers_are_more_blocks_in_the_middle():
    model = on_meta(preact_resnet200)
    assert [len(getattr(model, f"conv{n}_x")) for n in (2, 3, 4, 5)] == [3, 24, 36, 3]
    assert count_parameters(model) > count_parameters(on_meta(preact_resnet152))


def test_no_order_adds_or_removes_a_parameter():
    counts = {
        order: count_parameters(on_meta(create_model, "preact_resnet110_cifar", order=order))
        for order in FIGURE_4
    }
    # as many normalisations everywhere; those at the front of a wider unit and behind the last one
    # make up for those that its own layers have otherwise
    assert set(counts.values()) == {1_727_962}


def test_the_stride_of_cifar_bottlenecks_is_on_the_first_layer():
    ours = on_meta(create_model, "preact_resnet164_cifar")
    other = on_meta(create_model, "preact_resnet164_cifar", stride_on="3x3")
    assert ours.conv3_x[0].residual[0].stride == (2, 2)
    assert count_macs(ours, (3, 32, 32)) == 244_500_992
    assert count_macs(other, (3, 32, 32)) == 247_646_720


# The same function elsewhere


def test_function_is_that_of_timm():
    # timm normalises behind the pooling; where the scales are positive, as here, both agree. Its
    # networks of 18 and 34 layers differ: their first unit passes on its input not activated.
    theirs = timm.create_model("resnetv2_50", num_classes=10)
    assert_same_function(preact_resnet50(num_classes=10), theirs, (3, 64, 49))


def pytorchcv(build) -> nn.Module:
    """Without the batch normalisation that it has twice in a row, and for any size."""
    theirs = build(num_classes=10)
    theirs.features.stage1.unit1.body.conv1.bn = nn.Identity()
    theirs.features.final_pool = nn.AdaptiveAvgPool2d(1)
    return theirs


@pytest.mark.parametrize(
    "build, ours",
    [
        (cv_preresnet.preresnet18, lambda: create_model("preact_resnet18", num_classes=10)),
        (
            cv_preresnet.preresnetbc26b,
            lambda: PreActResNet(10, blocks=(2, 2, 2, 2)),
        ),
        (cv_preresnet.preresnet50, lambda: preact_resnet50(num_classes=10, stride_on="1x1")),
    ],
    ids=["18", "26", "50, stride on the 1 x 1"],
)
def test_function_is_that_of_pytorchcv(build, ours):
    assert_same_function(ours(), pytorchcv(build), (3, 48, 48), order="registration")


@pytest.mark.slow
@pytest.mark.parametrize("depth", [101, 152, 200])
def test_function_of_a_big_network_is_that_of_another_implementation(depth):
    ours = create_model(f"preact_resnet{depth}", num_classes=10)
    theirs = pytorchcv(getattr(cv_preresnet, f"preresnet{depth}b"))
    assert_same_function(ours, theirs, (3, 48, 48), order="registration")
    if depth < 200:
        theirs = timm.create_model(f"resnetv2_{depth}", num_classes=10)
        assert_same_function(ours, theirs, (3, 48, 48))


def test_cifar_function_is_that_of_pytorchcv():
    # Its networks of basic blocks are no counterpart: they project where the paper pads, and split
    # the paths of the first unit before its activation.
    theirs = cv_preresnet_cifar.preresnet164bn_cifar10()
    ours = preact_resnet_cifar(164, stride_on="3x3")
    assert_same_function(ours, theirs, (3, 32, 32), order="registration")


@pytest.mark.parametrize(
    "options, theirs",
    [
        ({"block": "basic", "widening": "A"}, {"block": "basic", "shortcut": "A"}),
        ({"block": "bottleneck", "widening": "B"}, {"block": "bottleneck", "shortcut": "B"}),
        ({"block": "basic", "shortcut": "conv"}, {"block": "basic", "shortcut": "C"}),
    ],
    ids=["option A", "option B", "option C"],
)
@pytest.mark.parametrize("stem", ["imagenet", "small"])
def test_the_original_order_is_resnet(options, theirs, stem):
    size = {"blocks": (2, 1, 2), "widths": (4, 6, 8), "stem": stem}
    ours = PreActResNet(7, order="original", stride_on="1x1", **size, **options)
    assert_same_function(ours, ResNet(7, **size, **theirs), (3, 33, 28), order="registration")


# Figure 4


def formula(order: str, x: Tensor, unit: ResidualUnit) -> Tensor:
    """A unit with two layers and an identity shortcut, as drawn."""
    weight = convolutions(unit)
    norms = [m for m in unit.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(weight) == len(norms) == 2
    if order == "original":
        return F.relu(x + norms[1](weight[1](F.relu(norms[0](weight[0](x))))))
    if order == "bn_after_addition":
        return F.relu(norms[1](x + weight[1](F.relu(norms[0](weight[0](x))))))
    if order == "relu_before_addition":
        return x + F.relu(norms[1](weight[1](F.relu(norms[0](weight[0](x))))))
    if order == "relu_only":
        return x + norms[1](weight[1](F.relu(norms[0](weight[0](F.relu(x))))))
    return x + weight[1](F.relu(norms[1](weight[0](F.relu(norms[0](x))))))


@pytest.mark.parametrize("order", FIGURE_4)
def test_units_are_those_of_figure_4(order):
    unit = randomize(ResidualUnit(6, 6, order=order))
    x = torch.randn(2, 6, 7, 7, dtype=torch.float64)
    before = x.clone()
    torch.testing.assert_close(unit(x), formula(order, x, unit))
    assert torch.equal(x, before)  # nothing is written over what the shortcut still needs


@pytest.mark.parametrize("order", FIGURE_4)
def test_the_last_activation_is_that_which_the_next_unit_would_begin_with(order):
    model = randomize(small(order=order))
    images = torch.randn(2, 1, 6, 6, dtype=torch.float64)
    x = model.conv2_x(F.relu(model.conv1[1](model.conv1[0](images))))
    last = {"full": ("BN", "ReLU"), "relu_only": ("ReLU",)}.get(order, ())
    if "BN" in last:
        x = model.last_activation[0](x)
    if "ReLU" in last:
        x = F.relu(x)
    torch.testing.assert_close(model(images), model.fc(x.mean((2, 3))))
    if order == "full":
        assert x.min() == 0


@pytest.mark.parametrize("order", ["full", "relu_only"])
def test_the_first_unit_gets_its_activation_before_the_paths_part(order):
    model = randomize(small(order=order))
    images = torch.randn(2, 1, 6, 6, dtype=torch.float64)
    activated, first = model.conv1(images), model.conv2_x[0]
    assert activated.min() == 0
    torch.testing.assert_close(first(activated), activated + first.residual(activated))


@pytest.mark.parametrize("widening", ["A", "B"])
@pytest.mark.parametrize("order", ["full", "relu_only"])
def test_where_the_shape_changes_both_paths_share_the_activation(order, widening):
    unit = randomize(ResidualUnit(4, 8, stride=2, order=order, widening=widening))
    x = torch.randn(2, 4, 6, 6, dtype=torch.float64)
    activated = F.relu(unit.activation[0](x) if order == "full" else x)
    if widening == "A":
        around = F.pad(activated[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
    else:
        around = F.conv2d(activated, unit.shortcut[0].weight, stride=2)
        if order == "relu_only":
            around = unit.shortcut[1](around)
        else:
            assert len(unit.shortcut) == 1  # no batch normalisation
    torch.testing.assert_close(unit(x), around + unit.residual(activated))


# Section 2: clean shortcuts


def stages(order: str, shortcut: str = "identity") -> nn.Sequential:
    """Five units of one width, in training mode, where statistics depend on the batch."""
    units = [ResidualUnit(4, 4, order=order, shortcut=shortcut) for _ in range(5)]
    return randomize(nn.Sequential(*units)).train()


def test_features_are_earlier_features_plus_the_sum_of_residuals():  # eq. 4
    units = stages("full")
    first = x = torch.randn(2, 4, 6, 6, dtype=torch.float64)
    residuals = []
    for unit in units:
        residuals.append(unit.residual(unit.activation(x)))
        x = unit(x)
    summed = first
    for residual in residuals:
        summed = summed + residual
    assert torch.equal(units(first), summed)  # to the last bit


@pytest.mark.parametrize("order", ["original", "bn_after_addition"])
def test_features_are_no_such_sum_if_something_follows_the_addition(order):
    units = stages(order)
    first = x = torch.randn(2, 4, 6, 6, dtype=torch.float64)
    summed = first
    for unit in units:
        summed = summed + unit.residual(x)
        x = unit(x)
    assert not torch.allclose(x, summed, rtol=0.1, atol=0.1)


def test_gradients_are_later_gradients_plus_a_term():  # eq. 5
    units = stages("full")
    x = torch.randn(2, 4, 6, 6, dtype=torch.float64, requires_grad=True)
    later = torch.randn(2, 4, 6, 6, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(units(x), x, later)
    total, y = torch.zeros_like(x), x
    for unit in units:
        total, y = total + unit.residual(unit.activation(y)), unit(y)
    (term,) = torch.autograd.grad(total, x, later)
    assert term.abs().max() > 0.1
    torch.testing.assert_close(gradient, later + term)


def test_scaled_shortcuts_fade_with_depth():  # eq. 7
    units = stages("full", shortcut="scaling")
    for unit in units:
        nn.init.zeros_(convolutions(unit)[-1].weight)  # so that only shortcuts are left
    x = torch.randn(2, 4, 6, 6, dtype=torch.float64, requires_grad=True)
    y = units(x)
    assert torch.equal(y, x * 0.5**5)
    later = torch.randn_like(y)
    assert torch.equal(torch.autograd.grad(y, x, later)[0], later * 0.5**5)


@pytest.mark.parametrize("shortcut", FIGURE_2)
def test_shortcuts_are_those_of_figure_2(shortcut):
    unit = randomize(ResidualUnit(4, 4, order="original", shortcut=shortcut))
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64)
    residual = unit.residual(x)
    if "gating" in shortcut:
        weight, bias = unit.addition.gate.weight, unit.addition.gate.bias
        assert weight.shape == (4, 4, 1, 1)
        g = 1 / (1 + torch.exp(-F.conv2d(x, weight, bias)))
        assert g.shape == x.shape and 0 < g.min() < g.max() < 1
    expected = {
        "identity": lambda: x + residual,
        "scaling": lambda: 0.5 * x + 0.5 * residual,
        "exclusive_gating": lambda: (1 - g) * x + g * residual,
        "shortcut_only_gating": lambda: (1 - g) * x + residual,
        "conv": lambda: unit.shortcut[1](F.conv2d(x, unit.shortcut[0].weight)) + residual,
        "dropout": lambda: x + residual,
    }
    torch.testing.assert_close(unit(x), F.relu(expected[shortcut]()))


def test_dropout_drops_half_of_the_shortcut_while_training():
    unit = ResidualUnit(16, 16, shortcut="dropout").train()
    nn.init.zeros_(convolutions(unit)[-1].weight)
    x = torch.rand(4, 16, 12, 12) + 1
    y = unit(x)
    dropped = y == 0
    torch.testing.assert_close(y[~dropped], 2 * x[~dropped])
    assert dropped.float().mean().item() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("shortcut", FIGURE_2)
def test_parameters_of_a_kind_of_shortcut_are_those_it_needs(shortcut):
    def build(shortcut):
        return on_meta(create_model, "preact_resnet110_cifar", order="original", shortcut=shortcut)

    difference = count_parameters(build(shortcut)) - count_parameters(build("identity"))
    widths = [16] * 18 + [32] * 18 + [64] * 18
    if "gating" in shortcut:
        assert difference == sum(c * c + c for c in widths)
    elif shortcut == "conv":  # with batch normalisation, as option C
        inputs = [16, *widths[:-1]]
        assert difference == sum(a * b + 2 * b for a, b in zip(inputs, widths, strict=True))
    else:
        assert difference == 0


@pytest.mark.parametrize("bias", [0.0, -6.0])
def test_gates_start_with_the_bias_that_is_asked_for(bias):
    model = small(shortcut="exclusive_gating", gate_bias=bias)
    gates = [unit.addition.gate for unit in model.residual_units()]
    assert len(gates) == 3 and all((gate.bias == bias).all() for gate in gates)
    fresh = small(shortcut="shortcut_only_gating").conv2_x[0].addition.gate
    assert (fresh.bias == GATE_BIAS).all()
    assert fresh.weight.std().item() == pytest.approx((2 / 8) ** 0.5, rel=0.35)


# Initial weights


def test_weights_start_with_the_deviation_of_he():
    model = preact_resnet50(num_classes=10)
    for layer in (model.conv1[0], model.conv4_x[1].residual[3], model.conv5_x[0].shortcut[0]):
        fan_in = layer.weight[0].numel()
        assert layer.bias is None
        assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.02)


# Every network

SIZES = {"blocks": (1, 2), "widths": (8, 16)}
SIDE = (1, 14, 14)
TINY = {
    "full, option A": Tiny("preact_resnet110_cifar", SIZES, SIDE, lr=5e-3),
    "full, option B, ImageNet stem": Tiny("preact_resnet50", SIZES, (1, 32, 32)),
    "ReLU only, gates": Tiny(
        "preact_resnet110_cifar",
        SIZES | {"order": "relu_only", "shortcut": "exclusive_gating", "gate_bias": -1.0},
        SIDE,
        lr=5e-3,
    ),
    "BN after addition, convolutions": Tiny(
        "preact_resnet164_cifar",
        SIZES | {"order": "bn_after_addition", "shortcut": "conv"},
        SIDE,
        lr=5e-3,
    ),
}


class TestInvariants(Invariants):
    networks = TINY


@pytest.mark.parametrize("order, shortcut", list(itertools.product(FIGURE_4, FIGURE_2)))
def test_every_order_and_shortcut_trains_with_every_block_and_widening(order, shortcut):
    for block, widening in itertools.product(("basic", "bottleneck"), ("A", "B")):
        model = PreActResNet(
            3,
            1,
            blocks=(1, 1),
            widths=(2, 4),
            stem="small",
            block=block,
            order=order,
            shortcut=shortcut,
            widening=widening,
        )
        F.cross_entropy(model(torch.randn(6, 1, 9, 9)), torch.arange(6) % 3).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@given(
    block=st.sampled_from(["basic", "bottleneck"]),
    blocks=st.lists(st.integers(1, 2), min_size=1, max_size=3),
    order=st.sampled_from(list(FIGURE_4)),
    shortcut=st.sampled_from(list(FIGURE_2)),
    widening=st.sampled_from(["A", "B"]),
    stem=st.sampled_from(["imagenet", "small"]),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
)
@settings(max_examples=25, deadline=None)
def test_any_combination_takes_any_size(
    block, blocks, order, shortcut, widening, stem, height, width
):
    model = settle(
        PreActResNet(
            3,
            2,
            blocks=blocks,
            block=block,
            widths=[4, 6, 8][: len(blocks)],
            order=order,
            shortcut=shortcut,
            widening=widening,
            stem=stem,
        )
    )
    scores = model(torch.randn(2, 2, height, width))
    assert scores.shape == (2, 3) and scores.isfinite().all()


@pytest.mark.parametrize(
    "options, said",
    [
        ({"order": "post"}, "order must be one of original, bn_after_addition.*got 'post'"),
        ({"shortcut": "A"}, "shortcut must be one of identity, scaling.*got 'A'"),
        ({"widening": "C"}, "widening must be one of A, B; got 'C'"),
        ({"block": "wide"}, "block must be one of basic, bottleneck; got 'wide'"),
        ({"stem": "cifar"}, "stem must be one of imagenet, small; got 'cifar'"),
        ({"stride_on": "2x2"}, "stride_on must be one of 1x1, 3x3; got '2x2'"),
        ({"blocks": (1, 1)}, "one number per stage.*4 widths"),
        ({"widths": (64, 64, 64, 4), "widening": "A"}, "not remove them; got 256.*16 out"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        PreActResNet(**options)


def test_depths_that_fit_no_network_are_refused():
    with pytest.raises(ValueError, match=r"9n \+ 2.*such as 164 or 173; got 165"):
        preact_resnet_cifar(165)
    with pytest.raises(ValueError, match=r"6n \+ 2.*such as 110 or 116; got 111"):
        preact_resnet_cifar(111, block="basic")


def test_chapters_build_their_small_networks_by_depth():
    size = {"widths": (8, 16, 32), "in_channels": 1, "block": "basic"}
    model, original = (preact_resnet_cifar(110, order=o, **size) for o in ("full", "original"))
    assert len(list(model.residual_units())) == 54
    assert count_macs(model, (1, 14, 14)) == count_macs(original, (1, 14, 14))
