"""ZFNet against the sizes of its figure, a walk backwards, and pytorchcv."""

import pytest
import pytorchcv.models.zfnet
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from cnnlib.inspection import count_parameters, summarize
from cnnlib.models import create_model
from cnnlib.models.alexnet import ResponseNorm
from cnnlib.models.zfnet import FIGURE_3, WIDE, ZFNet, renormalize_filters, zfnet, zfnet_wide
from tests.models.building import on_meta, without_numbers
from tests.models.invariants import Invariants, Tiny
from tests.models.transplant import assert_same_function

SMALL = {
    "num_classes": 10,
    "in_channels": 1,
    "width_multiplier": 1 / 16,
    "hidden_units": 32,
    "image_size": 28,
    "stem": "small",
    "initial": "he",
}


def small(**options) -> ZFNet:
    torch.manual_seed(0)
    return ZFNet(**(SMALL | options))


# The paper's numbers


def test_sizes_and_maps_are_those_of_figure_3():
    shapes = {row.name: row.output_shape for row in summarize(on_meta(zfnet), (3, 224, 224)).rows}
    assert shapes == {
        "conv1": (96, 110, 110),
        "pool1": (96, 55, 55),
        "norm1": (96, 55, 55),
        "conv2": (256, 26, 26),
        "pool2": (256, 13, 13),
        "norm2": (256, 13, 13),
        "conv3": (384, 13, 13),
        "conv4": (384, 13, 13),
        "conv5": (256, 13, 13),
        "pool5": (256, 6, 6),
        "fc6": (4096,),
        "fc7": (4096,),
        "fc8": (1000,),
    }


def test_filters_are_those_of_figure_3():
    model = on_meta(zfnet)
    layers = {name: model.get_submodule(name)[0] for name in FIGURE_3}
    assert {n: (c.kernel_size[0], c.stride[0]) for n, c in layers.items()} == {
        "conv1": (7, 2),
        "conv2": (5, 2),
        "conv3": (3, 1),
        "conv4": (3, 1),
        "conv5": (3, 1),
    }
    assert all(c.groups == 1 for c in layers.values())  # one card: no towers


def test_the_printed_sizes_need_poolings_that_round_up():
    model = on_meta(zfnet)
    for name, side in (("pool1", 110), ("pool2", 26)):
        pool = model.get_submodule(name)
        down = nn.MaxPool2d(pool.kernel_size, pool.stride)
        maps = torch.empty(1, 1, side, side, device="meta")
        assert pool(maps).shape[-1] == side // 2 == down(maps).shape[-1] + 1


def test_the_wide_form_changes_layers_3_to_5_as_table_3_says():
    model = on_meta(zfnet_wide)
    widths = [model.get_submodule(name)[0].out_channels for name in FIGURE_3]
    assert widths == list(WIDE) == [96, 256, 512, 1024, 512]
    assert count_parameters(model) == 107_627_624  # by pytorchcv's count too


def test_a_pooling_is_followed_by_the_normalisation():
    model, images = small().eval(), torch.randn(2, 1, 28, 28)
    names = [name for name, _ in model.named_children()]
    assert names[:6] == ["conv1", "pool1", "norm1", "conv2", "pool2", "norm2"]
    chain = nn.Sequential(*model.children())
    torch.testing.assert_close(chain(images), model(images), rtol=0, atol=0)
    assert isinstance(model.norm1, ResponseNorm) and model.norm1.towers == 1


# Table 3


@pytest.mark.parametrize("removed", [(3, 4), (7,), (6, 7), (3, 4, 6, 7)])
def test_removed_layers_are_gone_and_nothing_else(removed):
    full, reduced = on_meta(zfnet), on_meta(zfnet, removed=removed)

    def layers(model: nn.Module) -> list[str]:
        return [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]

    gone = {f"{'conv' if n < 6 else 'fc'}{n}" for n in removed}
    assert [n for n in layers(full) if n.split(".")[0] not in gone] == layers(reduced)
    assert summarize(reduced, (3, 224, 224)).rows[-1].output_shape == (1000,)


def test_layers_3_and_4_have_few_of_the_weights_and_6_and_7_most():
    full = count_parameters(on_meta(zfnet))
    middle = full - count_parameters(on_meta(zfnet, removed=(3, 4)))
    # conv3 and conv4 themselves, and that conv5 sees 256 maps rather than 384
    assert middle == 9 * (256 * 384 + 384 * 384 + 128 * 256) + 2 * 384
    top = full - count_parameters(on_meta(zfnet, removed=(6, 7)))
    assert middle < 0.05 * full and top > 0.7 * full


@pytest.mark.parametrize("units", [2048, 8192])
def test_layers_6_and_7_can_be_adjusted(units):
    model = on_meta(zfnet, hidden_units=units)
    assert model.fc6[1].out_features == model.fc7[0].out_features == units


# Walking backwards


def test_switches_put_maxima_back_where_they_were():
    model = small().eval()
    maps = model.conv1(torch.randn(1, 1, 28, 28))
    model.pool2.return_indices = True
    x = model.conv2(model.norm1(model.pool1(maps)))
    pooled, switches = model.pool2(x)
    assert switches.shape == pooled.shape
    torch.testing.assert_close(x.flatten(2).gather(2, switches.flatten(2)), pooled.flatten(2))
    back = F.max_unpool2d(pooled, switches, 3, 2, output_size=x.shape[-2:])
    kept = back != 0
    assert kept.any() and torch.equal(back[kept], x[kept])


def test_every_pooling_can_tell_its_switches():
    poolings = {n: m for n, m in on_meta(zfnet).named_children() if isinstance(m, nn.MaxPool2d)}
    assert list(poolings) == ["pool1", "pool2", "pool5"]
    for pool in poolings.values():
        pool.return_indices = True
        maps, switches = pool(torch.randn(1, 2, 13, 13))
        assert maps.shape == switches.shape == (1, 2, 6, 6)


# Filters


def test_filters_above_the_radius_shrink_to_it_and_others_stay():
    model = small()
    with torch.no_grad():
        model.conv1[0].weight[0] = 3.0
        model.conv1[0].weight[1] = 0.05
    before = {name: p.clone() for name, p in model.named_parameters()}
    renormalize_filters(model, radius=0.1)
    weight = model.conv1[0].weight
    torch.testing.assert_close(weight[0], torch.full_like(weight[0], 0.1))
    torch.testing.assert_close(weight[1], torch.full_like(weight[1], 0.05))
    for name, p in model.named_parameters():
        if p.ndim == 4:
            rms = p.square().mean((1, 2, 3)).sqrt()
            assert (rms < 0.1 + 1e-6).all(), name
            small_before = before[name].square().mean((1, 2, 3)).sqrt() <= 0.1
            torch.testing.assert_close(p[small_before], before[name][small_before])
        else:  # biases and fully connected layers
            assert torch.equal(p, before[name]), name


def test_a_filter_of_zeros_survives():
    layer = nn.Conv2d(2, 2, 3)
    nn.init.zeros_(layer.weight)
    renormalize_filters(layer)
    assert not layer.weight.any()


# An independent implementation


@pytest.mark.parametrize(
    "name, theirs",
    [("zfnet", "zfnet"), pytest.param("zfnet_wide", "zfnetb", marks=pytest.mark.slow)],
)
def test_with_norm_and_pooling_swapped_it_is_pytorchcvs(name, theirs):
    """It normalises before it pools, and passes 1e-4 to PyTorch, which divides by 5."""
    net = without_numbers(create_model, name=name, num_classes=10)
    for norm in (net.norm1, net.norm2):
        norm.alpha = 1e-4 / 5
    order = ["conv1", "norm1", "pool1", "conv2", "norm2", "pool2"]
    rest = [m for child, m in net.named_children() if child not in order]
    ours = nn.Sequential(*(net.get_submodule(child) for child in order), *rest)
    theirs = without_numbers(getattr(pytorchcv.models.zfnet, theirs), num_classes=10)
    assert_same_function(ours, theirs, (3, 224, 224))


# Initial weights


def test_weights_start_near_zero_and_biases_at_zero():
    model = ZFNet(num_classes=10, hidden_units=256, width_multiplier=1 / 2)
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert layer.weight.mean().item() == pytest.approx(0, abs=5e-4), name
            assert layer.weight.std().item() == pytest.approx(0.01, rel=0.05), name
            assert not layer.bias.any(), name


def test_he_weights_keep_the_size_of_signals():
    layer = small(width_multiplier=1).conv4[0]
    assert layer.weight.std().item() == pytest.approx((2 / (384 * 9)) ** 0.5, rel=0.02)


# Every network


class TestInvariants(Invariants):
    networks = {
        "zfnet": Tiny("zfnet", SMALL | {"dropout": 0.1}),
        "wide, large images, without layers 3 and 6": Tiny(
            "zfnet_wide",
            {
                "width_multiplier": 1 / 8,
                "hidden_units": 64,
                "image_size": 47,
                "removed": (3, 6),
                "dropout": 0.1,
                "initial": "he",
            },
            (3, 47, 47),
        ),
    }


options = st.fixed_dictionaries(
    {
        "removed": st.sets(st.integers(2, 7)),
        "widths": st.tuples(*[st.integers(1, 12)] * 5),
        "width_multiplier": st.floats(0.1, 1.5),
        "hidden_units": st.integers(1, 9),
        "image_size": st.integers(11, 40),
        "in_channels": st.integers(1, 4),
        "num_classes": st.integers(1, 5),
    }
)


@given(options=options)
@settings(max_examples=25, deadline=None)
def test_every_combination_runs_and_gives_each_parameter_a_gradient(options):
    model = small(**options)
    size = options["image_size"]
    logits = model(torch.randn(2, options["in_channels"], size, size))
    assert logits.shape == (2, options["num_classes"])
    logits.square().mean().backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all(), name


# Bad input


@pytest.mark.parametrize(
    "options, smallest", [({}, 47), ({"stem": "small"}, 11), ({"removed": (2,)}, 19)]
)
def test_an_image_size_that_leaves_nothing_is_refused_with_the_smallest_that_works(
    options, smallest
):
    few = {"width_multiplier": 1 / 48, "hidden_units": 2, "num_classes": 2} | options
    for size in (1, smallest - 1):
        with pytest.raises(ValueError, match=f"image_size must be at least {smallest}; got {size}"):
            ZFNet(image_size=size, **few)
    model = ZFNet(image_size=smallest, **few)
    assert model(torch.randn(1, 3, smallest, smallest)).shape == (1, 2)


@pytest.mark.parametrize(
    "option, message",
    [
        ({"stem": "tiny"}, "stem must be one of imagenet, small"),
        ({"initial": "glorot"}, "initial must be one of normal, he"),
        ({"removed": (8,)}, "removed must be one of 2, 3, 4, 5, 6, 7; got 8"),
        ({"dropout": 1.0}, "dropout must be a share, at least 0 and below 1; got 1.0"),
        ({"hidden_units": 0}, "hidden_units must be .* at least 1"),
        ({"width_multiplier": -1}, "width_multiplier must be above 0"),
        ({"widths": (8, 8, 8)}, "widths must be those of conv1 to conv5"),
        ({"widths": (8, 0, 8, 8, 8)}, "width of conv2 must be .* at least 1"),
        ({"image_size": 0}, "image_size must be .* at least 1"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(option, message):
    with pytest.raises(ValueError, match=message):
        on_meta(ZFNet, **option)
