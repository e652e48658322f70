"""SENet against the paper's tables, two other packages, and the formulas by hand."""

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorchcv.models import senet as cv_senet
from pytorchcv.models import seresnet as cv_seresnet
from pytorchcv.models import seresnext as cv_seresnext
from torch import nn
from torch.nn import functional as F

from cnnlib.inspection import count_macs, count_parameters, summarize
from cnnlib.models import create_model
from cnnlib.models.layers import SqueezeExcitation
from cnnlib.models.resnet import BasicBlock, ResNet, resnet18, resnet50, resnet101, resnet152
from cnnlib.models.resnext import resnext50_32x4d
from cnnlib.models.senet import (
    EXCITATIONS,
    POSITIONS,
    SEBlock,
    SENet,
    SEResNet,
    SEResNeXt,
    excitations,
    se_resnet50,
    se_resnet101,
    se_resnet152,
    se_resnext50_32x4d,
    senet154,
)
from tests.models.building import on_meta
from tests.models.invariants import Invariants, Tiny, settle
from tests.models.transplant import assert_same_function, randomize

SMALL = {
    "stem": "small",
    "block": "basic",
    "blocks": (1, 2),
    "widths": (8, 16),
    "reduction": 4,
    "num_classes": 5,
    "in_channels": 2,
}
TINY = {
    "SE-ResNet": Tiny(
        "se_resnet18", {k: SMALL[k] for k in ("stem", "blocks", "widths", "reduction")}
    ),
    "SE-ResNeXt, pre, ceil": Tiny(
        "se_resnext50_32x4d",
        {
            "blocks": (1, 1),
            "widths": (16, 16),
            "cardinality": 4,
            "width_per_group": 2,
            "reduction": 1,
            "position": "pre",
            "pooling": "ceil",
        },
        shape=(3, 40, 40),
    ),
    "SENet": Tiny(
        "senet154",
        {
            "blocks": (1, 1),
            "widths": (8, 16),
            "cardinality": 4,
            "reduction": 4,
            "dropout": 0.0,
            "stem": "small",
        },
    ),
}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def small(**options) -> SEResNet:
    return SEResNet(**(SMALL | options))


def units(model: nn.Module) -> list[SqueezeExcitation]:
    return [m for m in model.modules() if isinstance(m, SqueezeExcitation)]


# The paper's tables


def test_units_of_table_1_have_the_printed_sizes():
    # "fc, [16, 256]", "[32, 512]", "[64, 1024]", "[128, 2048]", in 3, 4, 6 and 3 blocks
    for model in (on_meta(se_resnet50), on_meta(se_resnext50_32x4d)):
        sizes = [(u.reduce.out_channels, u.expand.out_channels) for u in units(model)]
        printed = zip((16, 32, 64, 128), (256, 512, 1024, 2048), (3, 4, 6, 3), strict=True)
        assert sizes == [(a, b) for a, b, count in printed for _ in range(count)]


@pytest.mark.parametrize("build", [se_resnet50, se_resnext50_32x4d, senet154])
@pytest.mark.parametrize("pooling", ["padded", "ceil"])
def test_output_sizes_are_those_of_table_1(build, pooling):
    model = on_meta(build, pooling=pooling)
    rows = {row.name: row.output_shape for row in summarize(model, (3, 224, 224)).rows}
    stem = 128 if build is senet154 else 64
    assert rows["conv1"] == (stem, 112, 112) and rows["pool1"] == (stem, 56, 56)
    for number, (channels, side) in enumerate(
        [(256, 56), (512, 28), (1024, 14), (2048, 7)], start=2
    ):
        assert rows[f"conv{number}_x"] == (channels, side, side)
    assert rows["fc"] == (1000,)


@pytest.mark.parametrize(
    "name, millions", [("_r2", 45.7), ("_r4", 35.7), ("_r8", 30.7), ("", 28.1), ("_r32", 26.9)]
)
def test_sizes_are_those_of_table_10(name, millions):
    # 45.7 rounds the parameters alone, the other figures only fit with the running statistics
    model = on_meta(create_model, f"se_resnet50{name}")
    statistics = sum(b.numel() for n, b in model.named_buffers() if "running" in n)
    assert statistics == 53_120
    counted = count_parameters(model) + (0 if name == "_r2" else statistics)
    assert round(counted / 1e6, 1) == millions


@pytest.mark.parametrize(
    "name, printed",
    [  # G multiply-adds of Table 2, which counts more than convolutions: up to 0.8 % above ours
        ("se_resnet50", 3.87),
        ("se_resnet101", 7.60),
        ("se_resnet152", 11.32),
        ("se_resnext50_32x4d", 4.25),
        ("se_resnext101_32x4d", 8.00),
    ],
)
def test_multiply_adds_are_within_one_percent_of_table_2(name, printed):
    macs = count_macs(on_meta(create_model, name), (3, 224, 224)) / 1e9
    assert 0.992 * printed < macs < printed


@pytest.mark.parametrize("build, plain", [(se_resnet50, resnet50), (se_resnet101, resnet101)])
def test_added_weights_are_two_over_r_times_the_sum_of_squares(build, plain):
    added = count_parameters(on_meta(build)) - count_parameters(on_meta(plain))
    blocks = [b.se.expand.out_channels for b in on_meta(build).residual_blocks()]
    weights = 2 * sum(c * c for c in blocks) // 16  # Section 4, eq. 5 there
    biases = sum(c // 16 + c for c in blocks)
    assert added == weights + biases
    if build is se_resnet50:
        assert weights == 2_514_944  # "about 2.5 million", about 10 %
        last = 2 * 3 * 2048**2 // 16
        assert (weights - last) / count_parameters(on_meta(plain)) == pytest.approx(0.037, abs=1e-3)


def test_each_channel_costs_one_more_product_per_weight_of_its_unit():
    with_units, without = on_meta(se_resnet50), on_meta(resnet50)
    more = count_macs(with_units, (3, 224, 224)) - count_macs(without, (3, 224, 224))
    assert more == 2_514_944


@pytest.mark.parametrize("depth", [50, 101, 152])
def test_layers_but_those_of_the_units_are_as_many_as_the_name_says(depth):
    build = {50: se_resnet50, 101: se_resnet101, 152: se_resnet152}[depth]
    model = on_meta(build)
    own = [
        name
        for name, m in model.named_modules()
        if isinstance(m, nn.Conv2d | nn.Linear) and ".se." not in name and "shortcut" not in name
    ]
    assert len(own) == depth
    assert (depth == 152) == (sum(map(len, map(model.get_submodule, model.stage_names))) == 50)
    assert str(model) == str(on_meta(create_model, f"se_resnet{depth}"))


def test_senet_154_counts_its_layers_and_the_two_of_a_unit_once_per_stage_of_blocks():
    # 3 convolutions in the stem, 3 per block, 1 classifier: 154, without units and shortcuts
    model = on_meta(senet154)
    own = [
        name
        for name, m in model.named_modules()
        if isinstance(m, nn.Conv2d | nn.Linear) and ".se." not in name and "shortcut" not in name
    ]
    assert len(own) == 3 + 3 * (3 + 8 + 36 + 3) + 1 == 154


def test_senet_154_is_built_as_the_appendix_says():
    model = on_meta(senet154)
    for number, stage in enumerate(map(model.get_submodule, model.stage_names)):
        width = 64 * 2**number
        for place, block in enumerate(stage):
            convs = [m for m in block.residual if isinstance(m, nn.Conv2d)]
            assert [c.out_channels for c in convs] == [2 * width, 4 * width, 4 * width]
            assert [c.groups for c in convs] == [1, 64, 1]
            if place == 0:
                assert block.shortcut[0].kernel_size[0] == (1 if number == 0 else 3)
            else:
                assert isinstance(block.shortcut, nn.Identity)
    assert model.dropout.p == 0.2


def test_the_small_network_of_the_chapter_has_the_measured_size():
    options = {"stem": "small", "block": "basic", "blocks": (2, 2, 2), "widths": (16, 32, 64)}
    plain = ResNet(10, 1, **options)
    model = SEResNet(10, 1, reduction=4, **options)
    assert (count_parameters(plain), count_parameters(model)) == (174_970, 180_626)


def test_networks_of_table_4_for_cifar_can_be_built():
    model = on_meta(
        SEResNet,
        10,
        stem="small",
        block="basic",
        blocks=(18,) * 3,
        widths=(16, 32, 64),
        shortcut="A",
    )
    assert len(units(model)) == 54 and model(torch.empty(1, 3, 32, 32, device="meta")).shape == (
        1,
        10,
    )


# Equal function


def in_our_order(theirs: nn.Module):
    """Their layers, block by block: residual branch, then shortcut, then the unit."""
    names = {module: name for name, module in theirs.named_modules()}
    start: dict[str, int] = {}

    def arrange(layers):
        def key(layer):
            parts = names[layer].split(".")
            depth = next((i + 1 for i, p in enumerate(parts) if p.isdigit() or "unit" in p), None)
            in_block = depth and any(p.startswith(("layer", "stage")) for p in parts[:depth])
            first = start.setdefault(
                ".".join(parts[:depth]) if in_block else names[layer], len(start)
            )
            rest = ".".join(parts[depth:]) if in_block else ""
            place = 1 if "downsample" in rest or "identity" in rest else 2 * rest.startswith("se")
            return first, place

        return sorted(layers, key=key)

    return arrange


def assert_same(ours: nn.Module, theirs: nn.Module, size: int = 64) -> None:
    assert_same_function(
        ours, theirs, (3, size, size), order="registration", arrange=in_our_order(theirs)
    )


@pytest.mark.parametrize(
    "name, theirs",
    [
        ("se_resnet50", "legacy_seresnet50"),
        ("se_resnet101", "legacy_seresnet101"),
        pytest.param("se_resnet152", "legacy_seresnet152", marks=pytest.mark.slow),
        ("se_resnext50_32x4d", "legacy_seresnext50_32x4d"),
        pytest.param("se_resnext101_32x4d", "legacy_seresnext101_32x4d", marks=pytest.mark.slow),
        pytest.param("senet154", "legacy_senet154", marks=pytest.mark.slow),
    ],
)
def test_it_computes_what_the_ports_of_the_caffe_models_compute(name, theirs):
    # legacy_seresnet18 and 34 apply ReLU before the unit as well, so they are other functions
    ours = create_model(name, num_classes=7, pooling="ceil")
    assert_same(ours, timm.create_model(theirs, num_classes=7), 65)


@pytest.mark.parametrize(
    "name, theirs, options",
    [
        # seresnet18 and 34 have at least 8 units between the layers, instead of 64 / 16 = 4; the
        # stem of senet154 has half of the filters
        ("se_resnet50", "seresnet50", {"stride_on": "3x3"}),
        pytest.param("se_resnet101", "seresnet101", {"stride_on": "3x3"}, marks=pytest.mark.slow),
        ("se_resnext50_32x4d", "seresnext50_32x4d", {}),
        ("se_resnext101_32x4d", "seresnext101_32x4d", {}),
    ],
)
def test_it_computes_what_timm_computes(name, theirs, options):
    theirs = timm.create_model(theirs, num_classes=7)
    assert_same(create_model(name, num_classes=7, **options), theirs)


@pytest.mark.parametrize(
    "name, theirs, options",
    [
        ("se_resnet18", cv_seresnet.seresnet18, {}),
        ("se_resnet34", cv_seresnet.seresnet34, {}),
        ("se_resnet50", cv_seresnet.seresnet50, {}),
        ("se_resnet50", cv_seresnet.seresnet50b, {"stride_on": "3x3"}),
        pytest.param("se_resnet101", cv_seresnet.seresnet101, {}, marks=pytest.mark.slow),
        ("se_resnext50_32x4d", cv_seresnext.seresnext50_32x4d, {}),
        pytest.param("senet154", cv_senet.senet154, {}, marks=pytest.mark.slow),
    ],
)
def test_it_computes_what_pytorchcv_computes(name, theirs, options):
    theirs = theirs(num_classes=7)
    theirs.features.final_pool = nn.AdaptiveAvgPool2d(1)  # 7 x 7 there, for 224 pixels
    assert_same(create_model(name, num_classes=7, **options), theirs)


def test_a_small_senet_computes_what_pytorchcv_computes():
    # as senet154 above, in an instant
    theirs = cv_senet.SENet(
        channels=[[256] * 2, [512] * 2],
        init_block_channels=128,
        cardinality=64,
        bottleneck_width=4,
        num_classes=7,
    )
    theirs.features.final_pool = nn.AdaptiveAvgPool2d(1)
    assert_same(SENet(7, blocks=(2, 2), widths=(64, 128)), theirs)


def test_a_small_senet_computes_what_the_port_of_the_caffe_model_computes():
    theirs = timm.models.senet.SENet(
        timm.models.senet.SEBottleneck,
        layers=(1, 1, 1, 1),
        groups=64,
        reduction=16,
        inplanes=128,
        input_3x3=True,
        downsample_kernel_size=3,
        downsample_padding=1,
        num_classes=7,
    )
    assert_same(SENet(7, blocks=(1, 1, 1, 1), pooling="ceil"), theirs, 65)


def test_units_that_pass_everything_leave_the_resnet():
    model = small()
    plain = ResNet(**{key: value for key, value in SMALL.items() if key not in ("reduction",)})
    missing, unexpected = plain.load_state_dict(model.state_dict(), strict=False)
    assert not missing and all(".se." in name for name in unexpected)
    with torch.no_grad():
        for unit in units(model):
            unit.expand.weight.zero_()
            unit.expand.bias.fill_(100)  # sigmoid(100) is 1
    x = torch.randn(2, 2, 16, 16)
    torch.testing.assert_close(model.eval()(x), plain.eval()(x))


# Blocks by hand


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("excitation", EXCITATIONS)
@pytest.mark.parametrize("in_channels, stride", [(6, 1), (4, 2)])
def test_a_block_is_what_figure_5_draws(position, excitation, in_channels, stride):
    block = SEBlock(
        BasicBlock(in_channels, 6, stride), reduction=2, position=position, excitation=excitation
    )
    randomize(block)
    se = block.se
    end = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}[excitation]

    def unit(maps):
        z = maps.mean((2, 3))  # eq. 2
        s = F.linear(z, se.reduce.weight.flatten(1), se.reduce.bias).relu()
        s = end(F.linear(s, se.expand.weight.flatten(1), se.expand.bias))  # eq. 3
        return maps * s[:, :, None, None]  # eq. 4

    x = torch.randn(3, in_channels, 8, 8, dtype=torch.float64)
    expected = {
        "standard": lambda: (unit(block.residual(x)) + block.shortcut(x)).relu(),
        "pre": lambda: (block.residual(unit(x)) + block.shortcut(x)).relu(),
        "post": lambda: unit((block.residual(x) + block.shortcut(x)).relu()),
        "identity": lambda: (block.residual(x) + unit(block.shortcut(x))).relu(),
    }[position]()
    kept = x.clone()
    torch.testing.assert_close(block(x), expected)
    assert torch.equal(x, kept)


def test_positions_have_the_sizes_of_table_14():
    # all but "pre", whose unit has the channels of the block's input, are equally large
    sizes = {
        position: count_parameters(on_meta(se_resnet50, position=position))
        for position in POSITIONS
    }
    assert sizes["standard"] == sizes["post"] == sizes["identity"] == 28_088_024
    inputs = [64, 256, 256, 256, 512, 512, 512, 512, *[1024] * 6, 2048, 2048]
    units_only = sum(2 * c * (c // 16) + c // 16 + c for c in inputs)
    assert sizes["pre"] - count_parameters(on_meta(resnet50)) == units_only


def test_stride_is_on_the_1x1_of_se_resnets_and_on_the_3x3_of_se_resnexts():
    for build, index in ((se_resnet50, 0), (se_resnext50_32x4d, 1)):
        block = on_meta(build).conv3_x[0]
        strides = [m.stride[0] for m in block.residual if isinstance(m, nn.Conv2d)]
        assert strides == [2 if i == index else 1 for i in range(3)]


def test_units_add_nothing_else_to_a_resnext():
    with_units, without = on_meta(se_resnext50_32x4d), on_meta(resnext50_32x4d)
    names = {name for name, _ in with_units.named_parameters() if ".se." not in name}
    assert names == {name for name, _ in without.named_parameters()}


@pytest.mark.parametrize("size", [28, 32, 63, 64])  # 14, 16, 32 and 32 after the first layer
def test_pooling_without_padding_and_rounded_up_keeps_even_sizes_but_moves_the_grid(size):
    padded, ceil = (small(stem="imagenet", pooling=p) for p in ("padded", "ceil"))
    x = torch.randn(1, 2, size, size)
    x = padded.conv1(x)
    assert padded.pool1(x).shape == ceil.pool1(x).shape
    assert torch.equal(ceil.pool1(x)[..., 0, 0], x[..., :3, :3].amax((2, 3)))
    assert torch.equal(padded.pool1(x)[..., 0, 0], x[..., :2, :2].amax((2, 3)))


# Reading excitations


@pytest.mark.parametrize("model", [small(), SENet(5, 2, **TINY["SENet"].options)])
def test_excitations_are_what_the_units_multiply_by(model):
    settle(model).train()
    model.conv1.eval()
    images, seen = torch.randn(3, 2, 16, 16), {}
    found = excitations(model, images)
    assert model.training and not model.conv1.training and not model.conv1[0]._forward_hooks
    for name, unit in model.named_modules():
        if isinstance(unit, SqueezeExcitation):
            unit.register_forward_hook(  # a copy, as the shortcut is added in place
                lambda u, x, y, name=name: seen.update({name: (x[0], y.clone())})
            )
    model.eval()(images)
    assert list(found) == list(seen) and len(found) == len(units(model))
    for name, (before, after) in seen.items():
        assert found[name].shape == before.shape[:2] and not found[name].requires_grad
        assert ((0 < found[name]) & (found[name] < 1)).all()
        torch.testing.assert_close(after, before * found[name][:, :, None, None])


def test_hooks_are_gone_and_modes_are_back_after_an_error():
    model = small().train()
    with pytest.raises(ValueError, match="images must be of shape"):
        excitations(model, torch.randn(1, 7, 16, 16))
    assert model.training and not any(m._forward_hooks for m in model.modules())


# Initial weights


def test_weights_start_with_the_deviation_of_he():
    model = small(widths=(64, 128), reduction=2)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 5000:
            fan_in = layer.weight[0].numel()
            assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05)
    assert all(not u.reduce.bias.any() and not u.expand.bias.any() for u in units(model))


# Every network


class TestInvariants(Invariants):
    networks = TINY


@given(
    kind=st.sampled_from([SEResNet, SEResNeXt, SENet]),
    blocks=st.lists(st.integers(1, 2), min_size=1, max_size=3),
    reduction=st.integers(1, 8),
    position=st.sampled_from(POSITIONS),
    excitation=st.sampled_from(list(EXCITATIONS)),
    stem=st.sampled_from(["imagenet", "small"]),
    pooling=st.sampled_from(["padded", "ceil"]),
    extra=st.integers(0, 6),
)
@settings(max_examples=25, deadline=None)
def test_any_options_and_sizes_give_scores_and_gradients(
    kind, blocks, reduction, position, excitation, stem, pooling, extra
):
    options = {"blocks": blocks, "widths": [8] * len(blocks), "stem": stem, "pooling": pooling}
    if kind is not SENet:
        options |= {"position": position, "excitation": excitation}
    if kind is not SEResNet:
        options["cardinality"] = 4
    model = settle(kind(3, 1, reduction=reduction, **options))
    scores = model(torch.randn(2, 1, model.smallest + extra, model.smallest))
    scores.square().sum().backward()
    assert scores.shape == (2, 3)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


# Bad options


@pytest.mark.parametrize(
    "options, message",
    [
        ({"position": "inside"}, "position must be one of standard, pre, .*'inside'"),
        ({"excitation": "softmax"}, "excitation must be one of sigmoid.*'softmax'"),
        ({"pooling": "floor"}, "pooling must be one of padded, ceil; got 'floor'"),
        ({"stem": "large"}, "stem must be one of.*'large'"),
        ({"block": "wide"}, "block must be one of basic, bottleneck; got 'wide'"),
        ({"shortcut": "none"}, "shortcut must be one of A, B, C; got 'none'"),
        ({"reduction": 0}, "reduction must be .*got 0"),
        ({"reduction": 9}, "reduction must be at most 8, the channels of a block; got 9"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"cardinality": 3}, "cardinality must divide twice each width, here 128; got 3"),
        ({"dropout": 1.0}, "dropout must be a share"),
        ({"pooling": "floor"}, "pooling must be one of"),
        ({"stem": "large"}, "stem must be one of"),
        ({"blocks": (1,)}, "one number per stage"),
    ],
)
def test_bad_options_of_senet_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        on_meta(SENet, **options)


def test_18_layers_have_units_of_the_widths_of_their_blocks():
    model = on_meta(create_model, "se_resnet18")
    assert [u.expand.out_channels for u in units(model)] == [64, 64, 128, 128, 256, 256, 512, 512]
    assert count_parameters(model) > count_parameters(on_meta(resnet18))
    assert count_parameters(on_meta(se_resnet152)) > count_parameters(on_meta(resnet152))
