"""AlexNet against the paper's printed numbers, two towers built by hand, and torchvision."""

import math

import pytest
import pytorchcv.models.alexnet
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from cnnlib.inspection import count_macs, count_parameters, summarize
from cnnlib.models import create_model
from cnnlib.models.alexnet import (
    ACTIVATIONS,
    SECTION_3_5,
    SPLIT,
    AlexNet,
    ResponseNorm,
    alexnet,
    alexnet_owt,
)
from tests.models.building import on_meta, without_numbers
from tests.models.invariants import Invariants, Tiny
from tests.models.transplant import assert_same_function, randomize

# Small enough for a test; with fc6 of 6 x 6 places as in the paper
SMALL = {
    "num_classes": 10,
    "in_channels": 1,
    "width_multiplier": 1 / 16,
    "hidden_units": 32,
    "image_size": 28,
    "stem": "small",
    "initial": "he",
}


def small(**options) -> AlexNet:
    torch.manual_seed(0)
    return AlexNet(**(SMALL | options))


# The paper's numbers


def test_neurons_of_each_layer_are_those_of_figure_2():
    rows = {row.name: row for row in summarize(on_meta(alexnet), (3, 227, 227)).rows}
    neurons = [
        math.prod(rows[name].output_shape)
        for name in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
    ]
    # The first is printed as 253,440, which cannot be: 55 x 55 x 96 are 290,400.
    assert neurons == [290_400, 186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000]


def test_maps_have_the_sizes_that_the_paper_describes():
    rows = {row.name: row for row in summarize(on_meta(alexnet), (3, 227, 227)).rows}
    sizes = {"conv1": 55, "pool1": 27, "conv2": 27, "pool2": 13, "conv3": 13, "pool5": 6}
    assert {name: rows[name].output_shape[1] for name in sizes} == sizes


def test_kernels_are_those_of_section_3_5():
    model = on_meta(alexnet)
    for name, kernels in SECTION_3_5.items():
        count, depth, *sides = model.get_submodule(name)[0].weight.shape
        assert (count, *sides, depth) == (kernels.count, kernels.side, kernels.side, kernels.depth)


def test_three_layers_see_one_tower_only():
    assert SPLIT == ("conv2", "conv4", "conv5")
    groups = [m.groups for m in on_meta(alexnet).modules() if isinstance(m, nn.Conv2d)]
    assert groups == [1, 2, 1, 2, 2]


def test_224_pixels_do_not_give_55_places_unless_they_are_padded():
    sides = [
        summarize(on_meta(alexnet, image_size=size, padding=padding), (3, size, size))
        .rows[0]
        .output_shape[1]
        for size, padding in [(224, 0), (224, 2), (227, 0)]
    ]
    assert sides == [54, 55, 55]


def test_parameters_are_60_million_most_of_them_in_fully_connected_layers():
    summary = summarize(on_meta(alexnet), (3, 227, 227))
    assert round(summary.parameters, -7) == 60_000_000
    connected = [row for row in summary.rows if row.name.startswith("fc")]
    assert sum(row.parameters for row in connected) / summary.parameters > 0.96
    assert sum(row.macs for row in connected) / summary.macs < 0.09


def test_what_the_towers_save_is_half_of_the_three_split_layers():
    split, whole = on_meta(alexnet), on_meta(alexnet, towers=1)
    weights = sum(whole.get_submodule(name)[0].weight.numel() for name in SPLIT)
    assert count_parameters(whole) - count_parameters(split) == weights / 2
    rows = {row.name: row.macs for row in summarize(whole, (3, 227, 227)).rows}
    saved = count_macs(whole, (3, 227, 227)) - count_macs(split, (3, 227, 227))
    assert saved == sum(rows[name] for name in SPLIT) / 2


def test_pooling_without_overlap_gives_maps_of_equal_size():
    """Section 3.4: "non-overlapping [...] produces output of equivalent dimensions"."""
    rows = [
        summarize(on_meta(alexnet, overlapping_pooling=overlap), (3, 227, 227)).rows
        for overlap in (True, False)
    ]
    assert [r.output_shape for r in rows[0]] == [r.output_shape for r in rows[1]]
    assert rows[0][2].receptive_field == 19 and rows[1][2].receptive_field == 15


# Response normalisation


def test_response_normalisation_is_the_printed_formula():
    a = torch.randn(2, 8, 3, 2, dtype=torch.float64) * 30
    b = ResponseNorm()(a)
    k, n, alpha, beta, maps = 2, 5, 1e-4, 0.75, 8
    for i in range(maps):
        first, last = max(0, i - n // 2), min(maps - 1, i + n // 2)
        squares = sum(a[:, j] ** 2 for j in range(first, last + 1))
        torch.testing.assert_close(b[:, i], a[:, i] / (k + alpha * squares) ** beta)


@given(
    maps=st.integers(1, 12),
    n=st.sampled_from([1, 3, 5, 7]),
    k=st.floats(0.5, 3),
    batch=st.integers(1, 3),
)
@settings(max_examples=25, deadline=None)
def test_response_normalisation_is_pytorchs_with_n_times_alpha(maps, n, k, batch):
    a = torch.randn(batch, maps, 4, 3, dtype=torch.float64)
    theirs = nn.LocalResponseNorm(n, alpha=n * 0.3, beta=0.6, k=k)
    torch.testing.assert_close(ResponseNorm(n=n, k=k, alpha=0.3, beta=0.6)(a), theirs(a))


def test_neighbours_are_those_of_the_same_tower():
    a = torch.randn(2, 12, 5, 4, dtype=torch.float64) * 30
    halves = [ResponseNorm()(half) for half in a.chunk(2, 1)]
    torch.testing.assert_close(ResponseNorm(towers=2)(a), torch.cat(halves, 1))
    assert not torch.allclose(ResponseNorm()(a), torch.cat(halves, 1))


def test_gradients_of_the_normalisation_are_right():
    a = torch.randn(2, 6, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(ResponseNorm(towers=2, alpha=0.1), (a,))


def test_the_normalisation_says_its_numbers():
    assert repr(ResponseNorm()) == "ResponseNorm(n=5, k=2, alpha=0.0001, beta=0.75)"
    assert "towers=2" in repr(ResponseNorm(2))


# Two towers


def two_networks_by_hand(model: AlexNet, images: Tensor) -> Tensor:
    """What two cards would compute: each has half of the kernels and half of the maps."""

    def halves(layer: nn.Sequential) -> list[tuple[Tensor, Tensor]]:
        weight, bias = layer[0].weight, layer[0].bias
        return list(zip(weight.chunk(2), bias.chunk(2), strict=True))

    def normalize_and_pool(maps: Tensor) -> Tensor:
        maps = F.local_response_norm(maps, 5, alpha=5e-4, beta=0.75, k=2)
        return F.max_pool2d(maps, 3, 2)

    towers = []
    for one, two in zip(halves(model.conv1), halves(model.conv2), strict=True):
        x = normalize_and_pool(F.conv2d(images, *one, stride=4).relu())
        towers.append(normalize_and_pool(F.conv2d(x, *two, padding=2).relu()))
    both = torch.cat(towers, 1)  # the cards exchange all their maps
    towers = []
    for three, four, five in zip(
        *map(halves, (model.conv3, model.conv4, model.conv5)), strict=True
    ):
        x = F.conv2d(both, *three, padding=1).relu()
        x = F.conv2d(x, *four, padding=1).relu()
        x = F.conv2d(x, *five, padding=1).relu()
        towers.append(F.max_pool2d(x, 3, 2).flatten(1))
    x = torch.cat(towers, 1)  # and here again
    x = F.linear(x, model.fc6[1].weight, model.fc6[1].bias).relu()
    x = F.linear(x, model.fc7[1].weight, model.fc7[1].bias).relu()
    return F.linear(x, model.fc8[1].weight, model.fc8[1].bias)


def test_it_is_two_towers_that_meet_in_conv3_and_in_fc6():
    model = randomize(AlexNet(num_classes=10, width_multiplier=1 / 4, hidden_units=64))
    images = 20 * torch.randn(2, 3, 227, 227, dtype=torch.float64)
    expected = two_networks_by_hand(model, images)
    assert (expected[0] - expected[1]).abs().max() > 0.1
    torch.testing.assert_close(model(images), expected)


def test_until_conv3_a_tower_does_not_see_the_other():
    model = randomize(small())
    maps = model.conv1(torch.randn(1, 1, 28, 28, dtype=torch.float64))
    changed = maps.clone()
    changed[:, : maps.shape[1] // 2] += 1

    def after(name: str) -> tuple[bool, bool]:
        x, y = maps, changed
        for child_name, child in list(model.named_children())[1:]:
            x, y = child(x), child(y)
            if child_name == name:
                first, second = (x != y).flatten(2).any(2)[0].chunk(2)
                return first.any().item(), second.any().item()
        raise KeyError(name)

    assert after("pool2") == (True, False)
    assert after("conv3") == (True, True)


@pytest.mark.parametrize("lrn", [False, True])
def test_two_towers_are_one_with_zeros_in_the_weights_between_them(lrn):
    split = randomize(small(lrn=lrn))
    whole = small(lrn=lrn, towers=1).double().eval()
    weights = split.state_dict()
    for name in SPLIT:
        kernels = weights[f"{name}.0.weight"].chunk(2)
        zeros = torch.zeros_like(kernels[0])
        rows = [torch.cat([kernels[0], zeros], 1), torch.cat([zeros, kernels[1]], 1)]
        weights[f"{name}.0.weight"] = torch.cat(rows)
    whole.load_state_dict(weights)
    if lrn:  # of one tower, the maps in the middle would be neighbours
        whole.norm1.towers = whole.norm2.towers = 2
    images = torch.randn(2, 1, 28, 28, dtype=torch.float64)
    torch.testing.assert_close(whole(images), split(images))


# Independent implementations. None is known to have two towers with these constants.


def test_the_network_of_2014_is_torchvisions():
    ours = without_numbers(alexnet_owt, num_classes=10)
    theirs = without_numbers(torchvision.models.alexnet, num_classes=10)
    assert_same_function(ours, theirs, (3, 224, 224))


def test_the_network_of_2014_is_pytorchcvs():
    # It rounds pooled sizes up, which changes nothing here: 55, 27 and 13 are odd.
    ours = without_numbers(alexnet_owt, num_classes=10)
    theirs = without_numbers(pytorchcv.models.alexnet.alexnetb, num_classes=10)
    assert_same_function(ours, theirs, (3, 224, 224))


def test_one_tower_with_the_widths_of_2012_is_pytorchcvs():
    ours = without_numbers(create_model, name="alexnet_ungrouped", num_classes=10)
    theirs = without_numbers(pytorchcv.models.alexnet.alexnet, num_classes=10)
    for norm in (ours.norm1, ours.norm2):  # it passes 1e-4 to PyTorch, which divides by 5
        norm.alpha = 1e-4 / 5
    # It is meant for 224 pixels without padding, where poolings round up; 227 leave no remainder.
    assert_same_function(ours, theirs, (3, 227, 227))


# Options


def test_the_network_is_the_chain_of_its_children():
    model, images = small().eval(), torch.randn(2, 1, 28, 28)
    chain = nn.Sequential(*model.children())
    torch.testing.assert_close(chain(images), model(images), rtol=0, atol=0)


def test_small_images_leave_as_many_places_as_large_ones_in_the_paper():
    assert small().fc6[1].in_features == 16 * 6 * 6  # 16 maps are 256 / 16
    assert on_meta(alexnet).fc6[1].in_features == 256 * 6 * 6


@pytest.mark.parametrize(
    "name, dropped", [("alexnet", ["fc7", "fc8"]), ("alexnet_owt", ["fc6", "fc7"])]
)
def test_dropout_comes_before_two_of_the_fully_connected_layers(name, dropped):
    model = on_meta(create_model, name=name)
    drops = [n for n, m in model.named_modules() if isinstance(m, nn.Dropout) and m.p == 0.5]
    assert [n.split(".")[0] for n in drops] == dropped


def test_half_of_what_a_layer_sees_is_dropped_in_training_and_the_rest_doubled():
    model = small(hidden_units=2000).train()
    seen = {}
    model.fc7[1].register_forward_pre_hook(lambda _, args: seen.update(fc7=args[0]))
    model.fc6.register_forward_hook(lambda _, __, output: seen.update(fc6=output))
    model(torch.randn(4, 1, 28, 28))
    positive = seen["fc6"] > 0
    ratios = (seen["fc7"] / seen["fc6"])[positive]
    assert set(ratios.unique().tolist()) == {0.0, 2.0}
    assert 0.45 < (ratios > 0).float().mean() < 0.55


@pytest.mark.parametrize("name, function", [("tanh", torch.tanh), ("logistic", torch.sigmoid)])
def test_the_activation_follows_every_hidden_layer(name, function):
    model = small(activation=name).eval()
    outputs = {}
    for layer in (*[f"conv{i}" for i in range(1, 6)], "fc6", "fc7"):
        stage = model.get_submodule(layer)
        before, after = stage[-2], stage[-1]
        before.register_forward_hook(
            lambda _, __, y, layer=layer: outputs.update({layer: [function(y)]})
        )
        after.register_forward_hook(lambda _, __, y, layer=layer: outputs[layer].append(y))
    model(torch.randn(1, 1, 28, 28))
    assert len(outputs) == 7
    for expected, actual in outputs.values():
        torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("removed", [(3,), (3, 4), (6, 7), (3, 4, 6, 7), (2,), (5,)])
def test_removed_layers_are_gone_and_nothing_else(removed):
    full, reduced = on_meta(alexnet), on_meta(alexnet, removed=removed)

    def layers(model: nn.Module) -> list[str]:
        return [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]

    gone = {f"{'conv' if n < 6 else 'fc'}{n}" for n in removed}
    assert [n for n in layers(full) if n.split(".")[0] not in gone] == layers(reduced)
    shapes = [row.output_shape for row in summarize(reduced, (3, 227, 227)).rows]
    assert shapes[-1] == (1000,)


def test_without_lrn_nothing_is_normalised():
    assert not any(isinstance(m, ResponseNorm) for m in small(lrn=False).modules())
    assert sum(isinstance(m, ResponseNorm) for m in small().modules()) == 2


# Initial weights


def test_weights_start_as_in_section_5():
    model = AlexNet(num_classes=10, hidden_units=256, width_multiplier=1 / 2)
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert layer.weight.mean().item() == pytest.approx(0, abs=5e-4), name
            assert layer.weight.std().item() == pytest.approx(0.01, rel=0.05), name
            positive = name.split(".")[0] in ("conv2", "conv4", "conv5", "fc6", "fc7")
            assert (layer.bias == positive).all(), name


def test_he_weights_keep_the_size_of_signals():
    layer = small(width_multiplier=1, initial="he").conv3[0]
    assert layer.weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)
    assert not layer.bias.any()


# Every network


class TestInvariants(Invariants):
    networks = {
        "alexnet": Tiny("alexnet", {**SMALL, "image_size": 16, "dropout": 0.1}, (1, 16, 16)),
        "ungrouped, tanh": Tiny(
            "alexnet_ungrouped",
            {**SMALL, "image_size": 16, "activation": "tanh", "overlapping_pooling": False},
            (1, 16, 16),
        ),
        "2014, large images": Tiny(
            "alexnet_owt",
            {
                "width_multiplier": 1 / 8,
                "hidden_units": 64,
                "image_size": 63,
                "dropout": 0.1,
                "initial": "he",
            },
            (3, 63, 63),
        ),
    }


options = st.fixed_dictionaries(
    {
        "towers": st.integers(1, 3),
        "lrn": st.booleans(),
        "overlapping_pooling": st.booleans(),
        "activation": st.sampled_from(sorted(ACTIVATIONS)),
        "dropout_before": st.sets(st.sampled_from(["fc6", "fc7", "fc8"])),
        "removed": st.sets(st.integers(2, 7)),
        "widths": st.tuples(*[st.integers(1, 12)] * 5),
        "width_multiplier": st.floats(0.1, 1.5),
        "hidden_units": st.integers(1, 9),
        "image_size": st.integers(7, 30),
        "in_channels": st.integers(1, 4),
        "num_classes": st.integers(1, 5),
    }
)


@given(options=options)
@settings(max_examples=30, deadline=None)
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
    "options, smallest",
    [
        ({}, 67),
        ({"padding": 2}, 63),
        ({"stem": "small"}, 7),
        ({"overlapping_pooling": False}, 39),
        ({"stem": "small", "overlapping_pooling": False}, 4),
    ],
)
def test_an_image_size_that_leaves_nothing_is_refused_with_the_smallest_that_works(
    options, smallest
):
    few = {"width_multiplier": 1 / 48, "hidden_units": 2, "num_classes": 2} | options
    for size in (1, smallest - 1):
        with pytest.raises(ValueError, match=f"image_size must be at least {smallest}; got {size}"):
            AlexNet(image_size=size, **few)
    model = AlexNet(image_size=smallest, **few)
    assert model(torch.randn(1, 3, smallest, smallest)).shape == (1, 2)


@pytest.mark.parametrize(
    "option, message",
    [
        (
            {"activation": "sigmoid"},
            "activation must be one of relu, tanh, logistic; got 'sigmoid'",
        ),
        ({"stem": "tiny"}, "stem must be one of imagenet, small"),
        ({"initial": "glorot"}, "initial must be one of normal, he"),
        ({"removed": (1,)}, "removed must be one of 2, 3, 4, 5, 6, 7; got 1"),
        ({"dropout_before": ("conv5",)}, "dropout_before must be one of fc6, fc7, fc8"),
        ({"dropout": 1.0}, "dropout must be a share, at least 0 and below 1; got 1.0"),
        ({"dropout": -0.1}, "dropout must be a share"),
        ({"towers": 0}, "towers must be .* at least 1; got 0"),
        ({"hidden_units": 0}, "hidden_units must be .* at least 1"),
        ({"width_multiplier": 0}, "width_multiplier must be above 0"),
        ({"widths": (8, 8, 8)}, "widths must be those of conv1 to conv5"),
        ({"widths": (8, 8, 8, 8, 0)}, "width of conv5 must be .* at least 1"),
        ({"image_size": 0}, "image_size must be .* at least 1"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(option, message):
    with pytest.raises(ValueError, match=message):
        on_meta(AlexNet, **option)


def test_images_of_another_size_are_told_of_image_size():
    with pytest.raises(ValueError, match="28 x 28 pixels; got 32 x 32.*image_size"):
        small()(torch.zeros(1, 1, 32, 32))
