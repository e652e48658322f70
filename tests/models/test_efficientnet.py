"""EfficientNet against the paper's tables, plain arithmetic and other implementations."""

import math
from functools import partial

import pytest
import timm
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorchcv.models import efficientnet as pytorchcv
from torch import nn

from cnnlib.inspection import count_macs, count_parameters, summarize
from cnnlib.models import create_model
from cnnlib.models.efficientnet import (
    DROPOUT,
    MODELS,
    TABLE_1,
    VARIANTS,
    EfficientNet,
    MBConv,
    Scaling,
    compound_scaling,
    efficientnet,
    efficientnet_lite0,
    round_filters,
    round_repeats,
)
from cnnlib.models.layers import Conv2dSame, DropPath, SqueezeExcitation
from tests.models import transplant
from tests.models.invariants import Invariants, Tiny

SMALL = {
    "rows": ((1, 8, 1, 1), (4, 12, 2, 2), (4, 20, 2, 2)),
    "stem_width": 8,
    "head_width": 40,
    "divisor": 1,
}
assert_same_function = partial(transplant.assert_same_function, gain=1.7)  # B7 has 55 blocks
TENSORFLOW = {"padding": "same", "norm_eps": 1e-3}


def each_variant(quick: str):
    """Runs a test for B0 to B7; those after ``quick`` take too long for every day."""
    slow = [pytest.mark.slow]
    variants = [pytest.param(v, marks=slow if v > quick else []) for v in VARIANTS]
    return pytest.mark.parametrize("variant", variants)


# The paper's tables

# Table 1 as printed: stage, operator, resolution of its input, channels, layers
PRINTED = """
1 Conv3x3     224 32   1
2 MBConv1,k3  112 16   1
3 MBConv6,k3  112 24   2
4 MBConv6,k5  56  40   2
5 MBConv6,k3  28  80   3
6 MBConv6,k5  14  112  3
7 MBConv6,k5  14  192  4
8 MBConv6,k3  7   320  1
9 Conv1x1     7   1280 1
""".split("\n")[1:-1]


def test_stages_are_those_of_table_1():
    with torch.device("meta"):
        model = efficientnet()
    stages = {name: m for name, m in model.named_children() if name.startswith("stage")}
    sides = {}
    for name, stage in stages.items():
        stage.register_forward_pre_hook(
            lambda _, args, name=name: sides.update({name: args[0].shape[-1]})
        )
    model(torch.empty(1, 3, 224, 224, device="meta"))
    rows = []
    for name, stage in stages.items():
        if isinstance(stage[0], MBConv):
            depthwise = {block.depthwise[0].kernel_size[0] for block in stage}
            expansions = {
                block.depthwise[0].in_channels
                // (
                    block.expand[0]
                    if isinstance(block.expand, nn.Sequential)
                    else block.depthwise[0]
                ).in_channels
                for block in stage
            }
            operator = f"MBConv{expansions.pop()},k{depthwise.pop()}"
            assert not depthwise and not expansions
            channels, layers = stage[-1].project[0].out_channels, len(stage)
        else:
            k, channels, layers = stage[0].kernel_size[0], stage[0].out_channels, 1
            operator = f"Conv{k}x{k}"
        rows.append([name.removeprefix("stage"), operator, sides[name], channels, layers])
    assert [list(map(str, row)) for row in rows] == [line.split() for line in PRINTED]


def test_pooling_and_fc_close_stage_9():
    with torch.device("meta"):
        rows = summarize(efficientnet(), (3, 224, 224)).rows
    assert [row.name for row in rows[-3:]] == ["pool", "dropout", "fc"]
    assert [row.output_shape for row in rows[-4:]] == [(1280, 7, 7), (1280,), (1280,), (1000,)]


@pytest.mark.parametrize(
    "variant, mega_parameters, giga_macs",
    [  # Table 2
        ("b0", 5.3, 0.39),
        ("b1", 7.8, 0.70),
        ("b2", 9.2, 1.0),
        ("b3", 12, 1.8),
        ("b4", 19, 4.2),
        ("b5", 30, 9.9),
        ("b6", 43, 19),
        ("b7", 66, 37),
    ],
)
def test_cost_is_about_what_table_2_prints(variant, mega_parameters, giga_macs):
    with torch.device("meta"):
        model = efficientnet(variant)
    side = VARIANTS[variant].resolution
    assert count_parameters(model) / 1e6 == pytest.approx(mega_parameters, rel=0.025)
    # B4 and B5 are 4 % above what is printed; all others within 2 %
    assert count_macs(model, (3, side, side)) / 1e9 == pytest.approx(giga_macs, rel=0.05)


# Scaling


def test_the_papers_ratios_nearly_double_the_cost():
    assert 1.2 * 1.1**2 * 1.15**2 == pytest.approx(1.92, abs=0.0005)
    assert compound_scaling(1) == Scaling(width=1.1, depth=1.2, resolution=258)
    assert compound_scaling(0) == Scaling(1, 1, 224)
    assert compound_scaling(2, 2, 1, 1, resolution=28) == Scaling(1, 4, 28)


@given(st.floats(0, 6), st.floats(0, 1))
def test_compound_scaling_composes(phi, more):
    one, other, both = map(compound_scaling, (phi, more, phi + more))
    assert both.width == pytest.approx(one.width * other.width)
    assert both.depth == pytest.approx(one.depth * other.depth)
    assert both.resolution == pytest.approx(one.resolution * other.resolution / 224, rel=0.01)


def test_only_some_variants_follow_the_compound_rule():
    def phis(name):
        width, depth, resolution = VARIANTS[name]
        return (
            math.log(width, 1.1),
            math.log(depth, 1.2),
            math.log(resolution / 224, 1.15),
        )

    assert phis("b0") == (0, 0, 0)
    assert phis("b1") == pytest.approx((0, 0.5, 0.5), abs=0.03)  # no wider than B0
    assert phis("b2") == pytest.approx((1, 1, 1), abs=0.07)
    assert phis("b3") == pytest.approx((2, 2, 2), abs=0.16)
    assert phis("b7") == pytest.approx((7.3, 6.2, 7.05), abs=0.03)
    # the numbers in the comment on VARIANTS
    rule = [compound_scaling(phi) for phi in (1, 2, 6)]
    rounded = [(round(s.width, 2), round(s.depth, 2), s.resolution) for s in rule]
    assert rounded == [(1.1, 1.2, 258), (1.21, 1.44, 296), (1.77, 2.99, 518)]


def test_multiply_adds_grow_with_depth_and_the_squares_of_width_and_resolution():
    with torch.device("meta"):
        base = count_macs(efficientnet(), (3, 224, 224))
        deep = count_macs(efficientnet(depth_multiplier=2), (3, 224, 224))
        wide = count_macs(efficientnet(width_multiplier=2), (3, 224, 224))
        large = count_macs(efficientnet(), (3, 448, 448))
    # stem and head do not get deeper, depthwise filters only twice as wide, and the last layer and
    # the excitations see no resolution
    assert deep / base == pytest.approx(2, rel=0.1)
    assert wide / base == pytest.approx(4, rel=0.1)
    assert large / base == pytest.approx(4, rel=0.02)


def test_filters_and_repeats_are_rounded_as_by_hand():
    # B2, width 1.1: 35.2, 17.6, 26.4, 44, 88, 123.2, 211.2, 352, 1408
    widths = [32, *(stage.channels for stage in TABLE_1), 1280]
    rounded = [32, 16, 24, 48, 88, 120, 208, 352, 1408]
    assert [round_filters(width, 1.1) for width in widths] == rounded
    # B1, depth 1.1: 1.1, 2.2, 2.2, 3.3, 3.3, 4.4, 1.1
    layers = [round_repeats(stage.layers, 1.1) for stage in TABLE_1]
    assert layers == [2, 3, 3, 4, 4, 5, 2]
    # B7, depth 3.1: 3.1, 6.2, 6.2, 9.3, 9.3, 12.4, 3.1
    assert [round_repeats(stage.layers, 3.1) for stage in TABLE_1] == [4, 7, 7, 10, 10, 13, 4]


def test_scaled_networks_have_the_rounded_widths_and_depths():
    with torch.device("meta"):
        model = efficientnet("b2")
    assert [len(getattr(model, f"stage{n}")) for n in range(2, 9)] == [2, 3, 3, 4, 4, 5, 2]
    widths = [getattr(model, f"stage{n}")[-1].project[0].out_channels for n in range(2, 9)]
    assert widths == [16, 24, 48, 88, 120, 208, 352]
    assert (model.stage1[0].out_channels, model.fc.in_features) == (32, 1408)


# Other implementations


@each_variant(quick="b2")
def test_it_is_the_function_of_torchvision(variant):
    theirs = getattr(torchvision.models, f"efficientnet_{variant}")(num_classes=10)
    ours = create_model(f"efficientnet_{variant}", num_classes=10)
    assert_same_function(ours, theirs, (3, 65, 48))
    assert ours.dropout.p == theirs.classifier[0].p


@each_variant(quick="b0")
def test_it_is_the_function_of_timm(variant):
    eps = MODELS[f"efficientnet_{variant}"][1]["norm_eps"]  # theirs is 1e-5 in all of them
    theirs = timm.create_model(f"efficientnet_{variant}", num_classes=10, bn_eps=eps)
    assert_same_function(efficientnet(variant, num_classes=10), theirs, (3, 65, 48))


@each_variant(quick="b0")
@pytest.mark.parametrize("shape", [(3, 64, 48), (3, 33, 50)], ids=str)
def test_as_in_tensorflow_it_is_the_function_of_timm(variant, shape):
    theirs = timm.create_model(f"tf_efficientnet_{variant}", num_classes=10)
    ours = efficientnet(variant, num_classes=10, **TENSORFLOW)
    assert_same_function(ours, theirs, shape)


@each_variant(quick="b0")
def test_it_is_the_function_of_pytorchcv(variant):
    theirs = getattr(pytorchcv, f"efficientnet_{variant}")(num_classes=10)
    ours = efficientnet(variant, num_classes=10, norm_eps=1e-5)
    assert_same_function(ours, theirs, (3, 65, 48))


@each_variant(quick="b0")
def test_as_in_tensorflow_it_is_the_function_of_pytorchcv(variant):
    # Those whose names end in c instead of b have the same function, for other weights. Images are
    # square, since it swaps the two axes when it pads.
    theirs = getattr(pytorchcv, f"efficientnet_{variant}b")(num_classes=10)
    ours = efficientnet(variant, num_classes=10, **TENSORFLOW)
    assert_same_function(ours, theirs, (3, 48, 48))


@pytest.mark.parametrize("shape", [(3, 64, 48), (3, 33, 50)], ids=str)
def test_lite0_is_the_function_of_timm(shape):
    theirs = timm.create_model("tf_efficientnet_lite0", num_classes=10)
    assert_same_function(efficientnet_lite0(num_classes=10), theirs, shape)


def test_the_two_paddings_differ_where_an_even_size_is_halved():
    torch.manual_seed(0)
    symmetric = EfficientNet(10, 1, **SMALL).double().eval()
    same = EfficientNet(10, 1, **SMALL, padding="same").double().eval()
    same.load_state_dict(symmetric.state_dict())
    for side, equal in ((16, False), (17, True)):  # 17, 9, 5, 3: every size halved is odd
        images = torch.randn(2, 1, side, side, dtype=torch.float64)
        assert torch.allclose(symmetric(images), same(images)) == equal


# Blocks


def test_squeeze_is_a_fourth_of_the_blocks_input_not_of_the_wider_maps():
    with torch.device("meta"):
        model = efficientnet()
    for stage in list(model.children())[1:8]:
        for block in stage:
            first = block.expand if isinstance(block.expand, nn.Sequential) else block.depthwise
            channels = first[0].in_channels
            assert block.excite.reduce.out_channels == channels // 4
            assert block.excite.reduce.in_channels == block.depthwise[0].out_channels
            assert isinstance(block.excite.activation, nn.SiLU)
            assert isinstance(block.excite.gate, nn.Sigmoid)


def test_drop_rates_grow_linearly_and_only_where_there_is_a_shortcut():
    model = EfficientNet(10, **SMALL, stochastic_depth=0.5)
    blocks = [m for m in model.modules() if isinstance(m, MBConv)]
    assert [block.drop_path.rate for block in blocks] == pytest.approx([0, 0, 0.2, 0, 0.4])
    with torch.device("meta"):
        blocks = [m for m in efficientnet().modules() if isinstance(m, MBConv)]
    assert len(blocks) == 16
    assert blocks[-2].shortcut and blocks[-2].drop_path.rate == pytest.approx(0.2 * 14 / 16)


def test_a_dropped_block_is_the_identity_and_a_kept_one_makes_up_for_it():
    torch.manual_seed(0)
    block = EfficientNet(10, **SMALL, stochastic_depth=0.5).double().eval().stage4[1]
    maps = torch.randn(64, 20, 3, 3, dtype=torch.float64)
    branch = block(maps) - maps
    assert block.drop_path.rate == pytest.approx(0.4)
    block.drop_path.train()
    change = block(maps) - maps
    kept = change.abs().amax((1, 2, 3)) > 0
    assert 0 < kept.sum() < 64
    torch.testing.assert_close(change[kept], branch[kept] / 0.6)
    assert (change[~kept] == 0).all()


def test_half_of_the_paths_are_dropped_and_the_mean_stays():
    torch.manual_seed(0)
    drop = DropPath(0.5)
    dropped = drop(torch.ones(20_000, 2, 1))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert (dropped[:, 0] == dropped[:, 1]).all()
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)
    assert drop(torch.ones(8, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16


# Options


def test_lite0_has_no_excitation_no_swish_and_tensorflows_padding():
    model = efficientnet_lite0()
    kinds = {type(m) for m in model.modules()}
    assert nn.ReLU6 in kinds and not kinds & {SqueezeExcitation, nn.SiLU, nn.Sigmoid}
    halving = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]
    assert [type(m) for m in halving] == [Conv2dSame] * 5
    assert {m.eps for m in model.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-3}
    assert count_parameters(model) == 4_652_008


@pytest.mark.parametrize("variant, eps", [("b0", 1e-5), ("b4", 1e-5), ("b5", 1e-3)])
def test_variants_have_their_dropout_and_epsilon(variant, eps):
    with torch.device("meta"):
        model = efficientnet(variant)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(m.eps, m.momentum) for m in norms} == {(eps, 0.01)}
    assert model.dropout.p == DROPOUT[variant]


@pytest.mark.parametrize("variant", ["b0", "b1", "lite0"])
def test_constructors_build_the_registered_networks(variant):
    with torch.device("meta"):
        build = efficientnet_lite0 if variant == "lite0" else lambda: efficientnet(variant)
        assert str(build()) == str(create_model(f"efficientnet_{variant}"))


@pytest.mark.parametrize(
    "width, depth, parameters",
    [(1, 1, 12_673), (1, 4.5, 64_641), (2.2, 1, 50_839), (1.5, 1, 25_435)],
)
def test_a_small_network_is_scaled_in_the_same_way(width, depth, parameters):
    model = EfficientNet(
        10, 1, **SMALL, stem="small", width_multiplier=width, depth_multiplier=depth
    )
    assert count_parameters(model) == parameters
    rows = summarize(model, (1, 14, 14)).rows
    assert [row.output_shape[1] for row in rows[:5]] == [14, 14, 7, 4, 4]
    blocks = [len(getattr(model, f"stage{n}")) for n in (2, 3, 4)]
    assert blocks == [math.ceil(depth), math.ceil(2 * depth), math.ceil(2 * depth)]


@settings(max_examples=15, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(1, 3),
            st.integers(1, 9),
            st.integers(1, 2),
            st.integers(1, 3),
            st.sampled_from([1, 3, 5]),
        ),
        min_size=1,
        max_size=3,
    ),
    padding=st.sampled_from(["symmetric", "same"]),
    excitation=st.booleans(),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
)
def test_any_table_takes_any_image(rows, padding, excitation, size):
    model = EfficientNet(
        3,
        2,
        rows=rows,
        stem_width=4,
        head_width=5,
        divisor=1,
        padding=padding,
        squeeze_excitation=excitation,
    ).eval()
    height, width = (-(-side // 2) for side in size)
    for _, _, _, stride, _ in rows:
        height, width = -(-height // stride), -(-width // stride)
    maps = []
    model.pool.register_forward_pre_hook(lambda _, args: maps.append(args[0].shape))
    assert model(torch.zeros(1, 2, *size)).shape == (1, 3)
    assert maps == [(1, 5, height, width)]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"width_multiplier": 0}, "width_multiplier must be above 0; got 0"),
        ({"depth_multiplier": -1}, "depth_multiplier must be above 0; got -1"),
        ({"rows": ()}, "rows must be a whole number of at least 1; got 0"),
        ({"rows": ((0, 8, 1, 1),)}, "expansion must be a whole number of at least 1; got 0"),
        ({"rows": ((1, 8, 1, 1, 2),)}, "kernel_size must be odd.*got 2"),
        ({"padding": "valid"}, "padding must be one of symmetric, same; got 'valid'"),
        ({"activation": "relu"}, "activation must be one of swish, relu6; got 'relu'"),
        ({"stochastic_depth": 1.0}, "stochastic_depth must be a share.*got 1.0"),
        ({"dropout": -0.1}, "dropout must be a share.*got -0.1"),
        ({"norm_eps": 0}, "norm_eps must be above 0; got 0"),
        ({"stem": "tiny"}, "stem must be one of imagenet, small; got 'tiny'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        EfficientNet(**options)


def test_unknown_variants_and_ratios_are_refused():
    with pytest.raises(ValueError, match="variant must be one of b0, b1, .*, b7; got 'b8'"):
        efficientnet("b8")
    with pytest.raises(ValueError, match="gamma must be above 0; got 0"):
        compound_scaling(1, gamma=0)


# Initial weights


def test_initial_weights_are_those_of_the_authors_code():
    torch.manual_seed(0)
    model = efficientnet(num_classes=100)
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 3000:
            outputs = 1 if layer.groups > 1 else layer.out_channels  # of one group
            expected = math.sqrt(2 / (outputs * layer.kernel_size[0] ** 2))
            assert layer.weight.std().item() == pytest.approx(expected, rel=0.05), name
    assert model.fc.weight.abs().max().item() == pytest.approx(0.1, rel=0.01)  # 1 / sqrt(100)
    assert model.fc.weight.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.01)
    biases = [m.bias for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert all(bias is None or not bias.any() for bias in biases)


# What all networks share


TINY = {
    "b0": Tiny("efficientnet_b0", SMALL | {"stochastic_depth": 0.1}, (1, 14, 14), lr=5e-3),
    "lite0, small stem": Tiny(
        "efficientnet_lite0", SMALL | {"stem": "small"}, (1, 14, 14), lr=5e-3
    ),
}


class TestInvariants(Invariants):
    networks = TINY

    def test_a_network_traced_for_training_drops_the_same_paths(self, tiny: Tiny):
        model = tiny.build(dropout=0.0, stochastic_depth=0.9)
        traced, images = torch.fx.symbolic_trace(model), tiny.images(4)
        torch.manual_seed(0)
        expected = model(images)
        torch.manual_seed(0)
        torch.testing.assert_close(traced(images), expected)
