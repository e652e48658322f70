"""SqueezeNet against the paper's Table 1 and Section 5, and against torchvision and pytorchcv."""

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorchcv.models import squeezenet as pytorchcv
from torch import nn
from torch.nn import functional as F
from torchvision.models import squeezenet1_0 as torchvision1_0
from torchvision.models import squeezenet1_1 as torchvision1_1

from cnnlib.inspection import count_macs, count_parameters, summarize
from cnnlib.models import create_model
from cnnlib.models.squeezenet import (
    TABLE_1,
    Fire,
    FireWidths,
    SqueezeNet,
    fire_widths,
    squeezenet1_0,
    squeezenet1_1,
)
from tests.models.invariants import Invariants, Tiny
from tests.models.transplant import assert_same_function, randomize

# Table 1 as printed: layer -> maps, their side, parameters before pruning
PAPER = {
    "conv1": (96, 111, 14_208),
    "maxpool1": (96, 55, 0),
    "fire2": (128, 55, 11_920),
    "fire3": (128, 55, 12_432),
    "fire4": (256, 55, 45_344),
    "maxpool4": (256, 27, 0),
    "fire5": (256, 27, 49_440),
    "fire6": (384, 27, 104_880),
    "fire7": (384, 27, 111_024),
    "fire8": (512, 27, 188_992),
    "maxpool8": (512, 13, 0),  # printed as 13 x 12
    "fire9": (512, 13, 197_184),
    "dropout9": (512, 13, 0),  # in the text
    "conv10": (1000, 13, 513_000),
    "avgpool10": (1000, 1, 0),
}

# without the ReLU at the very end, which with ten classes keeps some of them from learning at all
SMALL = {"stem": "small", "width_multiplier": 1 / 4, "dropout": 0.0, "conv10_relu": False}
TINY = {
    "1.1, batch norm": Tiny(
        "squeezenet1_1", SMALL | {"stem": "imagenet", "batch_norm": True}, (3, 36, 36)
    ),
    "simple bypass": Tiny("squeezenet1_0_simple", SMALL, (1, 10, 10)),
    "complex bypass, padded": Tiny(
        "squeezenet1_0_complex", SMALL | {"batch_norm": True, "conv10_padding": 1}, (1, 10, 10)
    ),
}


def on_meta(name: str = "squeezenet1_0", **options) -> nn.Module:
    with torch.device("meta"):
        return create_model(name, **options)


def sizes(model: nn.Module, side: int) -> dict[str, int]:
    rows = summarize(model, (3, side, side)).rows
    return {row.name: row.output_shape[-1] for row in rows if len(row.output_shape) == 3}


# Table 1


@functools.cache
def summary():
    return summarize(on_meta(), (3, 227, 227))


def test_layers_are_the_rows_of_table_1():
    assert [row.name for row in summary().rows] == list(PAPER)


@pytest.mark.parametrize("layer", PAPER)
def test_output_sizes_and_parameters_are_those_of_table_1(layer):
    row = next(row for row in summary().rows if row.name == layer)
    maps, side, parameters = PAPER[layer]
    assert row.output_shape == ((maps,) if layer == "avgpool10" else (maps, side, side))
    assert row.parameters == parameters


def test_there_are_1_248_424_parameters_of_4_8_megabytes():
    assert summary().parameters == sum(n for *_, n in PAPER.values()) == 1_248_424
    assert round(4 * 1_248_424 / 2**20, 1) == 4.8  # 32 bits each


def test_about_50_times_fewer_parameters_than_alexnet():
    assert 60_965_224 / summary().parameters == pytest.approx(48.8, abs=0.05)


def test_the_printed_sizes_need_images_of_227_pixels():
    paper = {layer: side for layer, (_, side, _) in PAPER.items() if layer != "avgpool10"}
    assert sizes(on_meta(), 227) == paper
    assert sizes(on_meta(), 224) == {
        layer: {111: 109, 55: 54}.get(side, side) for layer, side in paper.items()
    }


def test_multiply_adds_are_half_of_the_operations_that_the_authors_count():
    # their files pad conv10, so that it has 15 x 15 places; they print 1.72 billion operations
    padded = count_macs(on_meta(conv10_padding=1), (3, 227, 227))
    assert padded - summary().macs == 512 * 1000 * (15**2 - 13**2)
    assert round(2 * padded / 1e9, 2) == 1.72


def test_version_1_1_needs_less_than_half_of_the_multiply_adds():
    # the authors print 0.72 billion operations, 2.4 times fewer; counting gives a little less gain
    macs = {size: count_macs(on_meta("squeezenet1_1"), (3, size, size)) for size in (224, 227)}
    assert [round(2 * n / 1e9, 2) for n in macs.values()] == [0.70, 0.78]
    assert round(count_macs(on_meta(), (3, 224, 224)) / macs[224], 2) == 2.35
    assert count_parameters(on_meta("squeezenet1_1")) == 1_235_496


def test_a_complex_bypass_adds_four_1x1_convolutions():
    pairs = [(96, 128), (128, 256), (256, 384), (384, 512)]  # around fire2, 4, 6 and 8
    added = sum(channels * filters + filters for channels, filters in pairs)
    total = count_parameters(on_meta("squeezenet1_0_complex"))
    assert total == 1_248_424 + added == 1_589_672
    assert round(4 * total / 1e6, 1) == 6.4  # the paper prints 7.7 MB, which this cannot be


def test_a_simple_bypass_adds_no_parameters():
    assert count_parameters(on_meta("squeezenet1_0_simple")) == 1_248_424


@pytest.mark.parametrize(
    "bypass, identities, convolutions",
    [("none", [], []), ("simple", [3, 5, 7, 9], []), ("complex", [3, 5, 7, 9], [2, 4, 6, 8])],
)
def test_bypasses_are_where_figure_2_draws_them(bypass, identities, convolutions):
    model = on_meta(bypass=bypass)
    kinds = {n: model.get_submodule(f"fire{n}").bypass for n in range(2, 10)}
    assert [n for n, kind in kinds.items() if isinstance(kind, nn.Identity)] == identities
    assert [n for n, kind in kinds.items() if isinstance(kind, nn.Conv2d)] == convolutions
    assert all(kind is None for n, kind in kinds.items() if n not in identities + convolutions)


# Metaparameters


def test_default_metaparameters_give_table_1():
    assert fire_widths() == tuple(TABLE_1.values())


@given(
    modules=st.integers(1, 9),
    base_e=st.integers(8, 64),
    incr_e=st.integers(0, 40),
    freq=st.integers(1, 4),
    pct_3x3=st.sampled_from([0.125, 0.25, 0.5, 0.75]),
    squeeze_ratio=st.sampled_from([0.125, 0.5, 1.0]),
)
@settings(max_examples=40, deadline=None)
def test_widths_follow_the_equations_of_section_5_1(
    modules, base_e, incr_e, freq, pct_3x3, squeeze_ratio
):
    rows = fire_widths(
        modules,
        base_e=base_e,
        incr_e=incr_e,
        pct_3x3=pct_3x3,
        freq=freq,
        squeeze_ratio=squeeze_ratio,
    )
    assert len(rows) == modules
    e = base_e
    for i, (s1x1, e1x1, e3x3) in enumerate(rows):
        if i and i % freq == 0:
            e += incr_e
        assert e1x1 + e3x3 == e
        assert abs(e3x3 - pct_3x3 * e) <= 0.5
        assert abs(s1x1 - squeeze_ratio * e) <= 0.5


def test_model_sizes_of_figure_3_follow_from_the_squeeze_ratio():
    def megabytes(squeeze_ratio: float) -> float:
        rows = fire_widths(squeeze_ratio=squeeze_ratio)
        return 4 * count_parameters(on_meta(fires=rows)) / 1e6

    assert round(megabytes(0.75)) == 19
    assert round(megabytes(0.125)) == 5


@pytest.mark.parametrize(
    "metaparameters, message",
    [
        ({"modules": 0}, "modules must be a whole number of at least 1; got 0"),
        ({"base_e": 0}, "base_e must be a whole number"),
        ({"freq": 0}, "freq must be a whole number"),
        ({"incr_e": -1}, "incr_e must be at least 0 .*got incr_e=-1"),
        ({"pct_3x3": 0}, "pct_3x3 between 0 and 1, both excluded; got .*pct_3x3=0"),
        ({"pct_3x3": 1.0}, "pct_3x3 between 0 and 1"),
        ({"squeeze_ratio": 0}, "squeeze_ratio must be above 0"),
        ({"squeeze_ratio": 0.001}, "module 0 would have FireWidths.s1x1=0"),
        ({"pct_3x3": 0.999}, "module 0 would have .*e1x1=0"),
    ],
)
def test_impossible_metaparameters_are_refused(metaparameters, message):
    with pytest.raises(ValueError, match=message):
        fire_widths(**metaparameters)


# Equal function

OTHERS = {
    "torchvision 1.0": (squeezenet1_0, torchvision1_0, (75, 90)),
    "torchvision 1.1": (squeezenet1_1, torchvision1_1, (75, 90)),
    # pytorchcv's last pooling is 13 x 13 with stride 1: one place at 224 x 224 only
    "pytorchcv 1.0": (squeezenet1_0, pytorchcv.squeezenet_v1_0, (224, 224)),
    "pytorchcv 1.1": (squeezenet1_1, pytorchcv.squeezenet_v1_1, (224, 224)),
    "pytorchcv 1.0, simple bypass": (
        functools.partial(squeezenet1_0, bypass="simple"),
        pytorchcv.squeezeresnet_v1_0,
        (224, 224),
    ),
    "pytorchcv 1.1, simple bypass": (
        functools.partial(squeezenet1_1, bypass="simple"),
        pytorchcv.squeezeresnet_v1_1,
        (224, 224),
    ),
}


@pytest.mark.parametrize("ours, theirs, size", OTHERS.values(), ids=OTHERS.keys())
def test_it_is_the_same_function_as(ours, theirs, size):
    assert_same_function(ours(num_classes=20), theirs(num_classes=20), (3, *size))


def test_registered_bypass_is_that_of_pytorchcv():
    ours = create_model("squeezenet1_0_simple", num_classes=20)
    assert_same_function(ours, pytorchcv.squeezeresnet_v1_0(num_classes=20), (3, 224, 224))


def test_padded_last_convolution_is_that_of_the_authors_files():
    theirs = torchvision1_0(num_classes=20)
    theirs.classifier[1].padding = (1, 1)
    assert_same_function(squeezenet1_0(num_classes=20, conv10_padding=1), theirs, (3, 60, 60))


@torch.no_grad()
def test_complex_bypass_is_the_function_composed_by_hand():
    # no other library has it
    model = randomize(create_model("squeezenet1_0_complex", num_classes=20))
    weights = dict(model.named_parameters())

    def conv(x, name, **options):
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], **options)

    images = torch.randn(2, 3, 51, 67, dtype=torch.float64)
    x = conv(images, "conv1.0", stride=2).relu()
    x = F.max_pool2d(x, 3, 2, ceil_mode=True)
    for n in range(2, 10):
        squeezed = conv(x, f"fire{n}.squeeze.0").relu()
        left = conv(squeezed, f"fire{n}.expand1x1.0").relu()
        right = conv(squeezed, f"fire{n}.expand3x3.0", padding=1).relu()
        around = conv(x, f"fire{n}.bypass") if n % 2 == 0 else x
        x = torch.cat([left, right], 1) + around
        if n in (4, 8):
            x = F.max_pool2d(x, 3, 2, ceil_mode=True)
    expected = conv(x, "conv10.0").relu().mean((2, 3))
    assert (expected[0] - expected[1]).abs().max() > 1e-3
    torch.testing.assert_close(model(images), expected)


@torch.no_grad()
@given(
    widths=st.builds(FireWidths, *[st.integers(1, 4)] * 3),
    channels=st.integers(1, 6),
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    bypass=st.sampled_from(["none", "simple", "complex"]),
)
@settings(max_examples=30, deadline=None)
def test_fire_module_is_squeeze_then_two_convolutions_side_by_side(widths, channels, size, bypass):
    if bypass == "simple" and channels != widths.e1x1 + widths.e3x3:
        with pytest.raises(ValueError, match=f"{channels} maps come in and"):
            Fire(channels, widths, bypass=bypass)
        return
    fire = Fire(channels, widths, bypass=bypass).double()
    maps = torch.randn(2, channels, *size, dtype=torch.float64)
    squeezed = torch.einsum("oi,nihw->nohw", fire.squeeze[0].weight[:, :, 0, 0], maps)
    squeezed = (squeezed + fire.squeeze[0].bias[:, None, None]).relu()
    patches = F.unfold(squeezed, 3, padding=1)
    weight, bias = fire.expand3x3[0].weight.flatten(1), fire.expand3x3[0].bias
    wide = (weight @ patches + bias[:, None]).relu().unflatten(2, size)
    narrow = torch.einsum("oi,nihw->nohw", fire.expand1x1[0].weight[:, :, 0, 0], squeezed)
    narrow = (narrow + fire.expand1x1[0].bias[:, None, None]).relu()
    expected = torch.cat([narrow, wide], 1)
    if bypass == "simple":
        expected = expected + maps
    if bypass == "complex":
        around = torch.einsum("oi,nihw->nohw", fire.bypass.weight[:, :, 0, 0], maps)
        expected = expected + around + fire.bypass.bias[:, None, None]
    torch.testing.assert_close(fire(maps), expected)
    assert fire.out_channels == expected.shape[1]


# Sizes and options


def test_network_is_the_chain_of_its_children():
    model = squeezenet1_1(num_classes=5, width_multiplier=0.25).eval()
    images = torch.randn(2, 3, 40, 40)
    assert torch.equal(nn.Sequential(*model.children())(images), model(images))


@pytest.mark.parametrize(
    "options, smallest",
    [
        ({}, 21),
        ({"conv1": (3, 64), "pools": (1, 3, 5)}, 17),
        ({"pools": (4,)}, 9),
        ({"pools": ()}, 7),
        ({"stem": "small"}, 4),
        ({"stem": "small", "pools": ()}, 1),
    ],
)
def test_smallest_images_follow_from_the_poolings(options, smallest):
    model = squeezenet1_0(width_multiplier=0.1, **options).eval()
    assert model(torch.zeros(1, 3, smallest, smallest)).shape == (1, 1000)
    if smallest == 1:
        return
    with pytest.raises(ValueError, match=f"at least {smallest} x {smallest} pixels"):
        model(torch.zeros(1, 3, smallest, smallest - 1))
    with pytest.raises(RuntimeError, match=r"too small|can't be greater"):  # so they are indeed
        model.smallest = 1
        model(torch.zeros(1, 3, smallest - 1, smallest - 1))


@given(
    size=st.tuples(st.integers(21, 70), st.integers(21, 70)),
    stem=st.sampled_from(["imagenet", "small"]),
)
@settings(max_examples=20, deadline=None)
def test_poolings_halve_rounding_down_what_conv1_leaves(size, stem):
    rows = summarize(on_meta(stem=stem, width_multiplier=0.1), (3, *size)).rows
    shapes = {row.name: row.output_shape for row in rows}
    left = size if stem == "small" else tuple((n - 7) // 2 + 1 for n in size)
    assert shapes["conv1"][1:] == left
    for layer in ("maxpool1", "maxpool4", "maxpool8"):
        if stem == "small" and layer == "maxpool1":
            assert layer not in shapes
            continue
        left = tuple(n // 2 for n in left)
        assert shapes[layer][1:] == left


def test_small_networks_are_built_from_rows():
    model = SqueezeNet(
        10,
        1,
        fires=[(8, 16, 16), (8, 16, 16), (12, 24, 24), (12, 24, 24)],
        conv1=(7, 16),
        pools=(3,),
        batch_norm=True,
        stem="small",
    )
    assert [name for name, _ in model.named_children()] == [
        *("conv1", "fire2", "fire3", "maxpool3", "fire4", "fire5"),
        *("dropout5", "conv6", "avgpool6"),
    ]
    assert count_parameters(model) == 10_730
    shapes = {row.name: row.output_shape for row in summarize(model, (1, 28, 28)).rows}
    assert shapes["conv1"] == (16, 28, 28)
    assert shapes["fire3"] == (32, 28, 28)
    assert shapes["fire5"] == (48, 14, 14)
    assert shapes["avgpool6"] == (10,)


def test_batch_norm_takes_the_place_of_biases_but_in_the_last_layer_and_in_bypasses():
    model = on_meta("squeezenet1_0_complex", batch_norm=True)
    biased = {
        name for name, m in model.named_modules() if isinstance(m, nn.Conv2d) and m.bias is not None
    }
    assert biased == {"conv10.0", *(f"fire{n}.bypass" for n in (2, 4, 6, 8))}
    assert sum(isinstance(m, nn.BatchNorm2d) for m in model.modules()) == 1 + 3 * 8


def test_width_multiplier_scales_every_width_but_classes_and_channels():
    model = on_meta(width_multiplier=0.5)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    widths = [96, *(width for row in TABLE_1.values() for width in row)]
    assert [m.out_channels for m in convolutions] == [width // 2 for width in widths] + [1000]


def test_dropout_leaves_out_half_of_the_last_module_in_training_only():
    model = squeezenet1_0(num_classes=3, width_multiplier=0.25)
    seen = {}
    for name in ("fire9", "dropout9"):
        model.get_submodule(name).register_forward_hook(
            lambda *a, name=name: seen.update({name: a[2].detach()})
        )
    torch.manual_seed(0)
    model(torch.randn(2, 3, 64, 64))
    alive = seen["fire9"] > 0
    assert seen["dropout9"][alive].gt(0).float().mean().item() == pytest.approx(0.5, abs=0.1)
    model.eval()(torch.randn(2, 3, 64, 64))
    assert torch.equal(seen["fire9"], seen["dropout9"])


def test_a_class_below_zero_everywhere_learns_no_more_but_without_the_last_relu():
    for relu in (True, False):
        model = squeezenet1_1(num_classes=3, width_multiplier=0.25, conv10_relu=relu).eval()
        with torch.no_grad():
            model.conv10[0].bias.copy_(torch.tensor([1.0, -9.0, 2.0]))
        scores = model(torch.randn(2, 3, 40, 40))
        F.cross_entropy(scores, torch.tensor([0, 1])).backward()
        assert scores[:, 1].eq(0).all() if relu else scores[:, 1].lt(-5).all()
        learns = [bool(gradient) for gradient in model.conv10[0].bias.grad]
        assert learns == [True, not relu, True]


@pytest.mark.parametrize(
    "option, message",
    [
        ({"bypass": "identity"}, "bypass must be one of none, simple, complex; got 'identity'"),
        ({"stem": "cifar"}, "stem must be one of imagenet, small"),
        ({"pools": (1, 10)}, "each of pools must be one of 1, 2, .*, 9; got 10"),
        ({"pools": (0,)}, "each of pools must be one of 1"),
        ({"fires": []}, "number of fires must be a whole number of at least 1"),
        ({"fires": [(8, 16)]}, r"three numbers, \(s1x1, e1x1, e3x3\); got \(8, 16\) for fire2"),
        ({"fires": [(8, 16, 0)]}, "e3x3 of fire2 must be a whole number of at least 1; got 0"),
        ({"conv1": (0, 96)}, "side of conv1 must be a whole number"),
        ({"conv1": (7, 0)}, "filters of conv1 must be a whole number"),
        ({"conv10_padding": -1}, "conv10_padding must be at least 0; got -1"),
        ({"width_multiplier": -1}, "width_multiplier must be above 0"),
        ({"dropout": 2}, "dropout probability"),
    ],
)
def test_bad_options_are_refused(option, message):
    with pytest.raises(ValueError, match=message):
        squeezenet1_0(**option)


# Initial weights


def test_weights_start_as_in_the_authors_files():
    torch.manual_seed(0)
    for name, p in create_model("squeezenet1_0_complex").named_parameters():
        if p.ndim == 1:
            assert not p.any(), name
        elif name == "conv10.0.weight":
            assert p.std().item() == pytest.approx(0.01, rel=0.02)
            assert p.abs().max() > 0.03  # a normal distribution reaches beyond 3 deviations
        else:
            bound = (3 / p[0].numel()) ** 0.5  # "xavier": uniform with variance 1 / fan-in
            assert 0.95 * bound < p.abs().max() <= bound, name
            assert p.std().item() == pytest.approx(p[0].numel() ** -0.5, rel=0.1), name


class TestInvariants(Invariants):
    networks = TINY
