"""MobileNetV3 against the paper's tables, plain arithmetic and other implementations."""

import pytest
import timm
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorchcv.models import mobilenetv3 as pytorchcv
from torch import nn

from cnnlib.inspection import count_macs, count_parameters, summarize
from cnnlib.models import create_model
from cnnlib.models.layers import Conv2dSame, SqueezeExcitation
from cnnlib.models.mobilenet_v2 import make_divisible
from cnnlib.models.mobilenet_v3 import (
    MODELS,
    BneckBlock,
    MobileNetV3,
    mobilenet_v3_large,
    mobilenet_v3_small,
)
from tests.models.invariants import Invariants, Tiny
from tests.models.transplant import assert_same_function

SMALL = {
    "rows": (
        (3, 8, 8, True, "RE", 1),
        (5, 24, 12, False, "RE", 2),
        (3, 36, 12, True, "HS", 1),
        (5, 48, 16, True, "HS", 2),
    ),
    "stem_width": 8,
    "head_widths": (48, 64),
}

# As printed: input, operator, exp size, #out, SE, NL, s; NBN means without batch normalisation.
# (*) is printed with SE.
TABLE_1 = """
224x224x3  conv2d         -   16   - HS 2
112x112x16 bneck,3x3      16  16   - RE 1
112x112x16 bneck,3x3      64  24   - RE 2
56x56x24   bneck,3x3      72  24   - RE 1
56x56x24   bneck,5x5      72  40   x RE 2
28x28x40   bneck,5x5      120 40   x RE 1
28x28x40   bneck,5x5      120 40   x RE 1
28x28x40   bneck,3x3      240 80   - HS 2
14x14x80   bneck,3x3      200 80   - HS 1
14x14x80   bneck,3x3      184 80   - HS 1
14x14x80   bneck,3x3      184 80   - HS 1
14x14x80   bneck,3x3      480 112  x HS 1
14x14x112  bneck,3x3      672 112  x HS 1
14x14x112  bneck,5x5      672 160  x HS 2
7x7x160    bneck,5x5      960 160  x HS 1
7x7x160    bneck,5x5      960 160  x HS 1
7x7x160    conv2d,1x1     -   960  - HS 1
7x7x960    pool,7x7       -   -    - -  1
1x1x960    conv2d,1x1,NBN -   1280 - HS 1
1x1x1280   conv2d,1x1,NBN -   1000 - -  1
""".strip().splitlines()
TABLE_2 = """
224x224x3  conv2d,3x3     -   16   - HS 2
112x112x16 bneck,3x3      16  16   x RE 2
56x56x16   bneck,3x3      72  24   - RE 2
28x28x24   bneck,3x3      88  24   - RE 1
28x28x24   bneck,5x5      96  40   x HS 2
14x14x40   bneck,5x5      240 40   x HS 1
14x14x40   bneck,5x5      240 40   x HS 1
14x14x40   bneck,5x5      120 48   x HS 1
14x14x48   bneck,5x5      144 48   x HS 1
14x14x48   bneck,5x5      288 96   x HS 2
7x7x96     bneck,5x5      576 96   x HS 1
7x7x96     bneck,5x5      576 96   x HS 1
7x7x96     conv2d,1x1     -   576  - HS 1 (*)
7x7x576    pool,7x7       -   -    - -  1
1x1x576    conv2d,1x1,NBN -   1024 - HS 1
1x1x1024   conv2d,1x1,NBN -   1000 - -  1
""".strip().splitlines()


def padded_as_in_tensorflow(model: nn.Module) -> nn.Module:
    """With stride 2 that differs from symmetric padding; with stride 1 it is the same."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2):
            layer.__class__, layer.padding = Conv2dSame, (0, 0)
    return model


# The paper's tables


def nonlinearity(module: nn.Module) -> str:
    """HS or RE if there is only one outside squeeze and excitation, - if there is none."""
    inside = [
        m for se in module.modules() if isinstance(se, SqueezeExcitation) for m in se.modules()
    ]
    kinds = {type(m) for m in module.modules() if m not in inside}
    found = [name for kind, name in ((nn.Hardswish, "HS"), (nn.ReLU, "RE")) if kind in kinds]
    assert len(found) <= 1
    return found[0] if found else "-"


@pytest.mark.parametrize("config, printed", [("large", TABLE_1), ("small", TABLE_2)])
def test_rows_are_those_of_the_table(config, printed):
    with torch.device("meta"):
        model = MobileNetV3(config=config)
    inputs, rows = {}, []
    children = {name: m for name, m in model.named_children() if name != "dropout"}
    for name, child in children.items():
        child.register_forward_pre_hook(
            lambda _, args, name=name: inputs.update({name: args[0].shape})
        )
    model(torch.empty(1, 3, 224, 224, device="meta"))
    for name, child in children.items():
        _, channels, *size = *inputs[name], 1, 1
        se = "x" if any(isinstance(m, SqueezeExcitation) for m in child.modules()) else "-"
        if isinstance(child, BneckBlock):
            conv = child.depthwise[0]
            k, exp, out, stride = (
                conv.kernel_size[0],
                conv.out_channels,
                child.project[0].out_channels,
                conv.stride[0],
            )
            operator = f"bneck,{k}x{k}"
        elif name == "pool":
            operator, exp, out, stride = "pool,7x7", "-", "-", 1
        elif name.startswith("conv"):
            conv = child[0]
            k, exp, out, stride = conv.kernel_size[0], "-", conv.out_channels, conv.stride[0]
            operator = f"conv2d,{k}x{k}"
        else:
            linear = next(m for m in child.modules() if isinstance(m, nn.Linear))
            operator, exp, out, stride = "conv2d,1x1,NBN", "-", linear.out_features, 1
        row = (f"{size[0]}x{size[1]}x{channels}", operator, exp, out, se, nonlinearity(child))
        rows.append([*map(str, row), str(stride)])
    expected = [line.removesuffix("(*)").split() for line in printed]
    expected[0][1] = "conv2d,3x3"  # Table 1 leaves the size out
    assert rows == expected


def test_squeeze_and_excitation_on_the_last_convolution_would_cost_more_than_is_printed():
    with torch.device("meta"):
        counted = count_parameters(mobilenet_v3_small())
        marked = count_parameters(SqueezeExcitation(576, 576 // 4))
    assert round(counted / 1e6, 1) == 2.5  # Table 3
    assert round((counted + marked) / 1e6, 1) == 2.7


@pytest.mark.parametrize(
    "name, mega_macs, mega_parameters",
    [  # Table 3
        ("mobilenet_v3_large_1", 219, 5.4),
        ("mobilenet_v3_large_0.75", 155, 4.0),
        ("mobilenet_v3_small_1", 56, 2.5),
        ("mobilenet_v3_small_0.75", 44, 2.0),
    ],
)
def test_cost_is_about_what_table_3_prints(name, mega_macs, mega_parameters):
    with torch.device("meta"):
        model = create_model(name)
    assert count_macs(model, (3, 224, 224)) / 1e6 == pytest.approx(mega_macs, rel=0.015)
    assert count_parameters(model) / 1e6 == pytest.approx(mega_parameters, abs=0.1)


def test_h_swish_and_the_gate_are_the_formulas_of_section_5_2():
    x = torch.linspace(-6, 6, 101, dtype=torch.float64)
    relu6 = (x + 3).clamp(0, 6)
    h_swish = mobilenet_v3_small().conv1[2]
    torch.testing.assert_close(h_swish(x.clone()), x * relu6 / 6)
    gate = mobilenet_v3_small().bneck1.excite.gate
    torch.testing.assert_close(gate(x), relu6 / 6)


def test_squeeze_is_a_fourth_of_the_expansion():
    # rounded to a multiple of 8: of 16, 96, 240, 240, 120, 144, 288, 576, 576
    with torch.device("meta"):
        model = mobilenet_v3_small()
    units = [m.reduce.out_channels for m in model.modules() if isinstance(m, SqueezeExcitation)]
    assert units == [8, 24, 64, 64, 32, 40, 72, 144, 144]


# Widths


def test_other_widths_keep_the_ratio_of_expansions_to_rounded_inputs():
    with torch.device("meta"):
        model = mobilenet_v3_large(0.75)
    blocks = [m for m in model.children() if isinstance(m, BneckBlock)]
    widths = [block.project[0].out_channels for block in blocks]
    # 0.75 of 16, 24, 40, 80, 112, 160 is 12, 18, 30, 60, 84, 120
    assert widths == [16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 88, 88, 120, 120, 120]
    expansions = [block.depthwise[0].in_channels for block in blocks]
    # inputs 16 16 24 24 32 32 32 64 64 64 64 88 88 120 120 times
    # 1 4 3 3 3 3 6 2.5 2.3 2.3 6 6 6 6 6
    assert expansions == [16, 64, 72, 72, 96, 96, 192, 160, 144, 144, 384, 528, 528, 720, 720]
    assert (model.conv2[0].out_channels, model.fc.in_features) == (720, 1280)


@pytest.mark.parametrize("width, hidden", [(0.5, 1280), (0.75, 1280), (1, 1280), (1.25, 1600)])
def test_the_hidden_layer_is_widened_but_never_thinned(width, hidden):
    with torch.device("meta"):
        assert mobilenet_v3_large(width).fc.in_features == hidden


# Other implementations


@pytest.mark.parametrize("config", ["large", "small"])
def test_it_is_the_function_of_torchvision(config):
    # at width 1: for others it scales the printed expansions, and thins the hidden layer
    theirs = getattr(torchvision.models, f"mobilenet_v3_{config}")(num_classes=10)
    assert_same_function(MobileNetV3(10, config=config), theirs, (3, 65, 96))


@pytest.mark.parametrize("config", ["large", "small"])
@pytest.mark.parametrize("width", [1, 0.75])
def test_it_is_the_function_of_timm(config, width):
    # Its small_050 leaves the first convolution as wide as at width 1, its large_150d is deeper,
    # and its rw has other details.
    name = f"mobilenetv3_{config}_{round(100 * width):03}"
    theirs = timm.create_model(name, num_classes=10, bn_eps=1e-3)  # 1e-5 without being asked
    ours = create_model(f"mobilenet_v3_{config}_{width}", num_classes=10)
    assert_same_function(ours, theirs, (3, 65, 96))


@pytest.mark.parametrize("config", ["large", "small"])
@pytest.mark.parametrize("width", [1, 0.75])
def test_up_to_padding_it_is_the_function_of_timm_for_tensorflows_weights(config, width):
    # its "minimal" ones have neither squeeze and excitation nor h-swish
    name = f"tf_mobilenetv3_{config}_{round(100 * width):03}"
    theirs = timm.create_model(name, num_classes=10)
    ours = create_model(f"mobilenet_v3_{config}_{width}", num_classes=10)
    assert_same_function(padded_as_in_tensorflow(ours), theirs, (3, 64, 97))


@pytest.mark.parametrize("config, hidden", [("large", 1280), ("small", 1024)])
def test_it_is_the_function_of_pytorchcv(config, hidden):
    # At width 1: for others it scales the printed expansions.
    theirs = getattr(pytorchcv, f"mobilenetv3_{config}_w1")(num_classes=10)
    theirs.features.final_pool = nn.AdaptiveAvgPool2d(1)  # theirs takes 224 x 224 pixels only
    theirs.output.conv1 = nn.Conv2d(960 if config == "large" else 576, hidden, 1)  # with bias
    theirs.output.conv2 = nn.Conv2d(hidden, 10, 1)  # 1280 units in the small network too
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-3  # theirs is 1e-5
    assert_same_function(MobileNetV3(10, config=config), theirs, (3, 65, 96))


# Options


def test_small_networks_have_the_rows_of_their_table():
    model = MobileNetV3(10, 1, stem="small", **SMALL)
    rows = summarize(model, (1, 14, 14)).rows
    assert [row.output_shape for row in rows] == [
        (8, 14, 14),
        (8, 14, 14),
        (16, 7, 7),  # 12 rounded
        (16, 7, 7),
        (16, 4, 4),
        (48, 4, 4),
        (48,),
        (64,),
        (64,),
        (10,),
    ]
    assert [m.shortcut for m in model.children() if isinstance(m, BneckBlock)] == [
        True,
        False,
        True,
        False,
    ]


def test_normalisation_is_that_of_tensorflow():
    for momentum in (0.01, 0.1):
        model = MobileNetV3(**SMALL, norm_momentum=momentum)
        norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        assert {(m.eps, m.momentum) for m in norms} == {(1e-3, momentum)}


def test_constructors_build_the_registered_networks():
    assert len(MODELS) == 4
    with torch.device("meta"):
        for width in (1, 0.75):
            for build in (mobilenet_v3_large, mobilenet_v3_small):
                name = f"{build.__name__}_{width}"
                assert str(build(width)) == str(create_model(name))


@settings(max_examples=15, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from([1, 3, 5]),
            st.integers(1, 20),
            st.integers(1, 20),
            st.booleans(),
            st.sampled_from(["RE", "HS"]),
            st.integers(1, 3),
        ),
        min_size=1,
        max_size=3,
    ),
    width=st.sampled_from([0.35, 1.0, 1.25]),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
)
def test_any_table_takes_any_image(rows, width, size):
    model = MobileNetV3(
        3, 2, rows=rows, width_multiplier=width, stem_width=8, head_widths=(9, 17)
    ).eval()
    height, below = (-(-side // 2) for side in size)
    for *_, stride in rows:
        height, below = -(-height // stride), -(-below // stride)
    maps = []
    model.pool.register_forward_pre_hook(lambda _, args: maps.append(args[0].shape))
    assert model(torch.zeros(1, 2, *size)).shape == (1, 3)
    assert maps == [(1, make_divisible(9 * width), height, below)]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"config": "medium"}, "config must be one of large, small; got 'medium'"),
        ({"width_multiplier": 0}, "width_multiplier must be above 0; got 0"),
        ({"rows": ()}, "rows must be a whole number of at least 1; got 0"),
        ({"rows": ((3, 0, 8, True, "RE", 1),)}, "exp_size must be .* at least 1; got 0"),
        ({"rows": ((4, 8, 8, True, "RE", 1),)}, "kernel_size must be odd.*got 4"),
        ({"rows": ((3, 8, 8, True, "R6", 1),)}, "nl must be one of HS, RE; got 'R6'"),
        ({"head_widths": (0, 8)}, "last_convolution must be .* at least 1; got 0"),
        ({"dropout": 1}, "dropout must be a share.*got 1"),
        ({"stem": "tiny"}, "stem must be one of imagenet, small; got 'tiny'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MobileNetV3(**options)


# Initial weights


def test_initial_weights_keep_the_size_of_signals():
    torch.manual_seed(0)
    for name, layer in mobilenet_v3_small().named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight.numel() > 3000:
            expected = (2 / layer.weight[0].numel()) ** 0.5
            assert layer.weight.std().item() == pytest.approx(expected, rel=0.05), name


# What all networks share


TINY = {
    "large": Tiny("mobilenet_v3_large_1", SMALL, (1, 14, 14), lr=5e-3),
    "small, small stem": Tiny(
        "mobilenet_v3_small_0.75", SMALL | {"stem": "small", "dropout": 0.0}, (1, 14, 14), lr=5e-3
    ),
}


class TestInvariants(Invariants):
    networks = TINY
