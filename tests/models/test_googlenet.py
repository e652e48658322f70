"""GoogLeNet against the paper's Table 1, against arithmetic by hand and against torchvision."""

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.googlenet import GoogLeNet as TorchvisionGoogLeNet
from torchvision.models.googlenet import Inception as TorchvisionInception

from cnnlib.data import ImageSet
from cnnlib.inspection import count_macs, count_parameters, summarize
from cnnlib.models import create_model
from cnnlib.models.googlenet import (
    AUXILIARY_WEIGHT,
    TABLE_1,
    AuxiliaryHead,
    GoogLeNet,
    Inception,
    NaiveInception,
    Widths,
    auxiliary_loss,
    googlenet,
    googlenet_bn,
)
from cnnlib.train import Recipe, fit
from tests.models.invariants import Invariants, Tiny
from tests.models.transplant import assert_same_function, randomize, transplant

# Table 1 as printed: layer -> output size, depth, parameters in thousands, million multiply-adds
PAPER = {
    "conv1": ((64, 112, 112), 1, 2.7, 34),
    "pool1": ((64, 56, 56), 0, None, None),
    "conv2": ((192, 56, 56), 2, 112, 360),
    "pool2": ((192, 28, 28), 0, None, None),
    "inception3a": ((256, 28, 28), 2, 159, 128),
    "inception3b": ((480, 28, 28), 2, 380, 304),
    "pool3": ((480, 14, 14), 0, None, None),
    "inception4a": ((512, 14, 14), 2, 364, 73),
    "inception4b": ((512, 14, 14), 2, 437, 88),
    "inception4c": ((512, 14, 14), 2, 463, 100),
    "inception4d": ((528, 14, 14), 2, 580, 119),
    "inception4e": ((832, 14, 14), 2, 840, 170),
    "pool4": ((832, 7, 7), 0, None, None),
    "inception5a": ((832, 7, 7), 2, 1072, 54),
    "inception5b": ((1024, 7, 7), 2, 1388, 71),
    "avgpool": ((1024,), 0, None, None),
    "dropout": ((1024,), 0, None, None),
    "linear": ((1000,), 1, 1000, 1),
}
MODULES = [f"inception{name}" for name in TABLE_1]

SIXTEENTH = {"stem": "small", "width_multiplier": 1 / 16}
EIGHTH = {"stem": "small", "width_multiplier": 1 / 8, "dropout": 0.0}
TINY = {
    "published": Tiny("googlenet", EIGHTH | {"stem": "imagenet"}, (3, 48, 48)),
    "auxiliary heads": Tiny("googlenet_aux", EIGHTH | {"image_size": 14}, (1, 14, 14)),
    "batch norm": Tiny("googlenet_bn_aux", EIGHTH, (1, 14, 14)),
}


@functools.cache
def summary():
    with torch.device("meta"):
        return summarize(googlenet(), (3, 224, 224))


def row(layer: str):
    return next(row for row in summary().rows if row.name == layer)


# Table 1


def test_layers_are_the_rows_of_table_1():
    assert [row.name for row in summary().rows] == list(PAPER)


@pytest.mark.parametrize("layer", PAPER)
def test_output_sizes_are_those_of_table_1(layer):
    assert row(layer).output_shape == PAPER[layer][0]


@pytest.mark.parametrize("layer", [layer for layer in PAPER if PAPER[layer][3]])
def test_multiply_adds_are_those_of_table_1(layer):
    millions, printed = row(layer).macs / 1e6, PAPER[layer][3]
    if layer == "conv1":
        # 7 x 7 windows take 49 multiply-adds per channel. The printed 34M and 2.7K would be those
        # of 14, as if each window were a column of 7 times a row of 7.
        assert round(millions) == 118
        assert round(millions * 14 / 49) == printed
        assert round(64 * 3 * 14 / 1000, 1) == PAPER[layer][2]
    elif layer == "inception5a":
        assert round(millions) == 51 != printed  # the row's own widths do not make 54
    else:
        assert abs(millions - printed) < 1  # 73.6 is printed as 73, 70.7 as 71


def test_the_multiply_adds_of_table_1_add_up_to_the_budget_of_1_5_billion():
    assert sum(macs for *_, macs in PAPER.values() if macs) == 1502
    # with 7 x 7 windows in the first layer they are 5 % more
    assert round(summary().macs / 1e6) == 1583


@pytest.mark.parametrize("layer", ["conv2", *MODULES, "linear"])
def test_parameters_are_those_of_table_1_roughly(layer):
    # The table counts weights in units of 1,024; some of its rows do not fit their own widths:
    # of 4c, 498K, it prints 463K.
    with torch.device("meta"):
        module = googlenet().get_submodule(layer)
    weights = sum(p.numel() for p in module.parameters() if p.ndim > 1) / 1024
    assert weights == pytest.approx(PAPER[layer][2], rel=0.08)


def test_12_times_fewer_parameters_than_alexnet_is_a_generous_count():
    assert 60_965_224 / summary().parameters == pytest.approx(8.7, abs=0.05)


def test_there_are_22_layers_with_parameters_and_27_with_the_poolings():
    def longest(module: nn.Module) -> int:
        if isinstance(module, Inception):
            return max(longest(child) for child in module.children())
        if isinstance(module, nn.Conv2d | nn.Linear):
            return 1
        return sum(longest(child) for child in module.children())

    with torch.device("meta"):
        model = googlenet()
    depths = {name: longest(child) for name, child in model.named_children()}
    assert depths == {layer: depth for layer, (_, depth, *_) in PAPER.items()}
    assert sum(depths.values()) == 22
    assert sum(depths.values()) + sum("pool" in layer for layer in PAPER) == 27


def test_filters_of_every_module_are_the_columns_of_table_1():
    with torch.device("meta"):
        model = googlenet()
    for name, widths in TABLE_1.items():
        module = model.get_submodule(f"inception{name}")
        convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
        assert [conv.out_channels for conv in convolutions] == list(widths)
        assert [conv.kernel_size[0] for conv in convolutions] == [1, 1, 3, 1, 5, 1]


def test_heads_have_the_sizes_of_section_5():
    assert count_parameters(create_model("googlenet_aux")) == 6_998_552 + sum(
        (channels * 128 + 128) + (4 * 4 * 128 * 1024 + 1024) + (1024 * 1000 + 1000)
        for channels in (512, 528)
    )
    for channels in (512, 528):  # "4x4x512 output for the (4a), and 4x4x528 for the (4d) stage"
        with torch.device("meta"):
            head = AuxiliaryHead(channels, 1000)
            assert head.pool(torch.empty(1, channels, 14, 14)).shape == (1, channels, 4, 4)
            shapes = {r.name: r.output_shape for r in summarize(head, (channels, 14, 14)).rows}
        assert shapes["conv"] == (128, 4, 4)
        assert shapes["fc"] == shapes["dropout"] == (1024,)
        assert shapes["linear"] == (1000,)


def test_dropout_is_40_percent_before_the_classifier_and_70_in_the_heads():
    with torch.device("meta"):
        model = create_model("googlenet_aux")
    rates = {name: m.p for name, m in model.named_modules() if isinstance(m, nn.Dropout)}
    assert rates == {"dropout": 0.4, "auxiliary4a.dropout": 0.7, "auxiliary4d.dropout": 0.7}


# Equal function: the published network, composed by hand


def by_hand(model: GoogLeNet, images: Tensor, pools: int = 4) -> list[Tensor]:
    """Logits of the classifier and the heads from the weights alone, without dropout."""
    weights = dict(model.named_parameters())

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight, bias = weights[f"{name}.0.weight"], weights[f"{name}.0.bias"]
        return F.conv2d(x, weight, bias, stride, padding=weight.shape[-1] // 2).relu()

    def pool(x: Tensor) -> Tensor:  # even sizes: the last window hangs over by one
        return F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=float("-inf")), 3, 2)

    def norm(x: Tensor) -> Tensor:
        squares = F.pad(x.square(), (0, 0, 0, 0, 2, 2))
        neighbours = sum(squares[:, i : i + x.shape[1]] for i in range(5))
        return x / (1 + 1e-4 / 5 * neighbours) ** 0.75

    def inception(x: Tensor, name: str) -> Tensor:
        name = f"inception{name}"
        around = F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=float("-inf")), 3, 1)
        return torch.cat(
            [
                conv(x, f"{name}.conv1x1"),
                conv(conv(x, f"{name}.conv3x3.0"), f"{name}.conv3x3.1"),
                conv(conv(x, f"{name}.conv5x5.0"), f"{name}.conv5x5.1"),
                conv(around, f"{name}.pool_proj.1"),
            ],
            1,
        )

    def head(x: Tensor, name: str) -> Tensor:
        patches = x.unfold(2, 5, 3).unfold(3, 5, 3).mean((4, 5))
        x = conv(patches, f"{name}.conv").flatten(1)
        x = F.linear(x, weights[f"{name}.fc.1.weight"], weights[f"{name}.fc.1.bias"]).relu()
        return F.linear(x, weights[f"{name}.linear.weight"], weights[f"{name}.linear.bias"])

    x = conv(images, "conv1", stride=2 if pools == 4 else 1)
    x = norm(pool(x) if pools == 4 else x)
    x = norm(conv(conv(x, "conv2.0"), "conv2.1"))
    x = pool(x) if pools == 4 else x
    x = pool(inception(inception(x, "3a"), "3b"))
    x = inception(x, "4a")
    heads = [x]
    x = inception(inception(inception(x, "4b"), "4c"), "4d")
    heads.append(x)
    x = pool(inception(x, "4e"))
    x = inception(inception(x, "5a"), "5b").mean((2, 3))
    logits = F.linear(x, weights["linear.weight"], weights["linear.bias"])
    if model.auxiliary4a is None:
        return [logits]
    return [logits, head(heads[0], "auxiliary4a"), head(heads[1], "auxiliary4d")]


def without_dropout(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


@torch.no_grad()
def test_published_network_and_its_heads_are_the_function_composed_by_hand():
    model = without_dropout(randomize(create_model("googlenet_aux", num_classes=20)))
    images = torch.randn(2, 3, 224, 224, dtype=torch.float64)
    expected = by_hand(model, images)
    torch.testing.assert_close(model.eval()(images), expected[0])
    actual = model.train()(images)
    assert isinstance(actual, tuple) and len(actual) == 3
    for head, wanted in zip(actual, expected, strict=True):
        assert (wanted[0] - wanted[1]).abs().max() > 1e-3
        torch.testing.assert_close(head, wanted)


@torch.no_grad()
def test_small_stem_only_changes_what_comes_before_module_3a():
    model = without_dropout(randomize(create_model("googlenet_aux", **SIXTEENTH))).train()
    images = torch.randn(2, 3, 28, 28, dtype=torch.float64)
    for head, wanted in zip(model(images), by_hand(model, images, pools=2), strict=True):
        torch.testing.assert_close(head, wanted)
    shapes = {r.name: r.output_shape for r in summarize(model, (3, 28, 28)).rows if r.output_shape}
    for layer in PAPER:
        if layer not in ("conv1", "pool1", "conv2", "linear"):
            assert shapes[layer][1:] == PAPER[layer][0][1:]  # as in the paper at 224 x 224


# Equal function: torchvision's network, and the published one with torchvision's wiring


def torchvision_googlenet(**options) -> nn.Module:
    given = {"num_classes": 20, "init_weights": False, "aux_logits": False} | options
    return TorchvisionGoogLeNet(**given)


def test_batch_norm_variant_is_the_network_of_torchvision():
    theirs = torchvision_googlenet()
    assert_same_function(googlenet_bn(num_classes=20), theirs, (3, 96, 96))
    assert_same_function(googlenet_bn(num_classes=20), theirs, (3, 75, 101))


@torch.no_grad()
def test_batch_norm_variant_with_heads_is_the_network_of_torchvision_in_training_too():
    theirs = without_dropout(randomize(torchvision_googlenet(aux_logits=True))).train()
    ours = without_dropout(create_model("googlenet_bn_aux", num_classes=20)).double().train()
    images = torch.randn(2, 3, 96, 80, dtype=torch.float64)
    transplant(theirs, ours, images)
    logits, second, first = theirs(images)
    for actual, expected in zip(ours(images), (logits, first, second), strict=True):
        assert (expected[0] - expected[1]).abs().max() > 1e-3
        torch.testing.assert_close(actual, expected)


class ConvReLU(nn.Sequential):
    def __init__(self, in_channels: int, out_channels: int, **options) -> None:
        super().__init__(nn.Conv2d(in_channels, out_channels, **options), nn.ReLU())


class InceptionWith5x5(TorchvisionInception):
    def __init__(self, in_channels: int, *widths: int) -> None:
        super().__init__(in_channels, *widths, conv_block=ConvReLU)
        self.branch3[1] = ConvReLU(*widths[3:5], kernel_size=5, padding=2)


def test_published_network_has_the_wiring_of_torchvision():
    # No library has the network as published. Torchvision's, with what the paper has otherwise put
    # in, checks the order of the modules and the poolings once more; pytorchcv's bninception and
    # timm's Inception networks are of later papers, with other modules.
    theirs = torchvision_googlenet(blocks=[ConvReLU, InceptionWith5x5, nn.Module])
    norm = functools.partial(nn.LocalResponseNorm, 5, alpha=1e-4, beta=0.75, k=1.0)
    theirs.maxpool1 = nn.Sequential(theirs.maxpool1, norm())
    theirs.maxpool2 = nn.Sequential(norm(), theirs.maxpool2)
    theirs.maxpool4 = nn.MaxPool2d(3, 2, ceil_mode=True)
    assert_same_function(googlenet(num_classes=20), theirs, (3, 97, 120))


# The module


@torch.no_grad()
@given(
    widths=st.builds(Widths, *[st.integers(1, 4)] * 6),
    channels=st.integers(1, 5),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    wide=st.sampled_from([3, 5]),
)
@settings(max_examples=25, deadline=None)
def test_naive_module_puts_three_convolutions_and_the_pooled_input_side_by_side(
    widths, channels, size, wide
):
    module = NaiveInception(channels, widths, wide_kernel=wide).double()
    maps = torch.randn(2, channels, *size, dtype=torch.float64)
    expected = []
    for kernel, conv in ((1, module.conv1x1), (3, module.conv3x3), (wide, module.conv5x5)):
        weight, bias = conv.parameters()
        assert weight.shape[1:] == (channels, kernel, kernel)
        expected.append(F.conv2d(maps, weight, bias, padding="same").relu())
    patches = F.pad(maps, (1, 1, 1, 1), value=float("-inf")).unfold(2, 3, 1).unfold(3, 3, 1)
    expected.append(patches.amax((4, 5)))
    torch.testing.assert_close(module(maps), torch.cat(expected, 1))
    assert module.out_channels == widths.n1x1 + widths.n3x3 + widths.n5x5 + channels


@given(
    widths=st.builds(Widths, *[st.integers(1, 5)] * 6),
    channels=st.integers(1, 5),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    options=st.fixed_dictionaries(
        {"batch_norm": st.booleans(), "wide_kernel": st.sampled_from([3, 5])}
    ),
)
@settings(max_examples=25, deadline=None)
def test_both_modules_keep_the_size_and_say_how_many_maps_they_make(
    widths, channels, size, options
):
    for kind in (Inception, NaiveInception):
        module = kind(channels, widths, **options).eval()
        assert module(torch.randn(1, channels, *size)).shape == (1, module.out_channels, *size)


# in and out of the module, then multiply-adds and parameters of the reduced and the naive form
COSTS = {
    "3a": (192, 256, 416, 128_049_152, 303_464_448, 163_696, 387_296),
    "3b": (256, 480, 672, 304_267_264, 854_196_224, 388_736, 1_089_952),
}


@pytest.mark.parametrize("name", COSTS)
def test_reductions_save_more_than_half_of_what_the_naive_module_costs(name):
    channels, reduced_maps, naive_maps, *costs = COSTS[name]
    with torch.device("meta"):
        reduced = Inception(channels, TABLE_1[name])
        naive = NaiveInception(channels, TABLE_1[name])
    assert (reduced.out_channels, naive.out_channels) == (reduced_maps, naive_maps)
    size = (channels, 28, 28)
    assert [count_macs(reduced, size), count_macs(naive, size)] == costs[:2]
    assert [count_parameters(reduced), count_parameters(naive)] == costs[2:]
    assert costs[1] > 2 * costs[0]


def test_cost_of_the_naive_module_3a_is_that_of_its_three_windows():
    places, pairs = 28 * 28, {1: 192 * 64, 3: 192 * 128, 5: 192 * 32}
    by_window = {k: places * pair * k * k for k, pair in pairs.items()}
    assert [round(macs / 1e6, 1) for macs in by_window.values()] == [9.6, 173.4, 120.4]
    assert sum(by_window.values()) == COSTS["3a"][4]


# Auxiliary heads


def test_loss_adds_three_tenths_of_that_of_each_head():
    torch.manual_seed(0)
    heads, labels = [torch.randn(4, 3) for _ in range(3)], torch.tensor([0, 2, 1, 1])
    by_hand = [-head.log_softmax(1)[range(4), labels].mean() for head in heads]
    assert AUXILIARY_WEIGHT == 0.3
    expected = by_hand[0] + 0.3 * by_hand[1] + 0.3 * by_hand[2]
    torch.testing.assert_close(auxiliary_loss(tuple(heads), labels), expected)
    torch.testing.assert_close(auxiliary_loss(heads[0], labels), by_hand[0])


def test_heads_only_work_in_training_mode():
    model = TINY["auxiliary heads"].build()
    images = TINY["auxiliary heads"].images(2)
    assert isinstance(model.eval()(images), Tensor)
    scores = model.train()(images)
    assert isinstance(scores, tuple)
    assert [tuple(head.shape) for head in scores] == [(2, 10)] * 3


def test_without_its_heads_the_trained_network_is_the_plain_one():
    with_heads = TINY["auxiliary heads"].build().eval()
    plain = TINY["auxiliary heads"].build(seed=1, auxiliary_heads=False).eval()
    left_over = plain.load_state_dict(with_heads.state_dict(), strict=False)
    assert not left_over.missing_keys
    assert all(key.startswith("auxiliary4") for key in left_over.unexpected_keys)
    images = TINY["auxiliary heads"].images(2)
    assert torch.equal(plain(images), with_heads(images))


@pytest.mark.parametrize(
    "head, last, first_beyond",
    [(1, "inception4a", "inception4b"), (2, "inception4d", "inception4e")],
)
def test_a_head_trains_what_comes_before_it_and_nothing_after(head, last, first_beyond):
    model = TINY["auxiliary heads"].build()
    scores = model(TINY["auxiliary heads"].images(4))
    F.cross_entropy(scores[head], torch.arange(4)).backward()
    trained = {name: p.grad is not None for name, p in model.named_parameters()}
    layers = [name for name, _ in model.named_children() if not name.startswith("auxiliary")]
    before = layers[: layers.index(first_beyond)]
    assert before[-1] == last
    for name, got_gradient in trained.items():
        layer = name.split(".")[0]
        own = layer == ("auxiliary4a", "auxiliary4d")[head - 1]
        assert got_gradient == (own or layer in before), name


def test_shared_training_loop_takes_the_network_with_heads_and_its_loss():
    tiny = TINY["auxiliary heads"]
    labels = torch.arange(40) % 10
    images = tiny.images(40) + torch.linspace(-2, 2, 10)[labels][:, None, None, None]
    data = ImageSet("flat", images, labels, tuple(map(str, range(10))))
    model = tiny.build()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    recipe = Recipe(epochs=2, lr=0.01, batch_size=20)
    history = fit(model, data, data, recipe=recipe, loss=auxiliary_loss, progress=False)
    assert history.loss == "auxiliary_loss"
    assert 0 <= history.final["train_error"] <= 1
    # three losses of about ln 10, two of them times 0.3, in training; one of them in evaluation
    assert history.rows[0]["train_loss"] > 1.3 * history.rows[0]["test_loss"]
    unchanged = [name for name, p in model.named_parameters() if torch.equal(p, before[name])]
    assert not unchanged


def test_strided_heads_train_on_images_of_one_size_and_answer_for_any():
    model = create_model("googlenet_aux", image_size=40, **SIXTEENTH)
    with pytest.raises(ValueError, match="must be 40 x 40 pixels; got 28 x 28"):
        model.train()(torch.randn(1, 3, 28, 28))
    assert len(model(torch.randn(1, 3, 40, 40))) == 3
    assert model.eval()(torch.randn(1, 3, 28, 33)).shape == (1, 1000)


@given(
    size=st.integers(6, 60),
    stem=st.sampled_from(["small", "imagenet"]),
    pool=st.sampled_from(["strided", "adaptive"]),
)
@settings(max_examples=20, deadline=None)
def test_heads_fit_every_image_size_that_is_not_refused(size, stem, pool):
    options = {"stem": stem, "auxiliary_pool": pool, "image_size": size, "num_classes": 3}
    least = 47 if stem == "imagenet" else 6
    if pool == "strided" and size < least:
        with pytest.raises(ValueError, match=f"image_size must be at least {least} .*got {size}"):
            create_model("googlenet_aux", width_multiplier=1 / 64, **options)
        return
    if pool == "adaptive" and stem == "imagenet":
        size = max(size, 31)
    with torch.device("meta"):
        model = create_model("googlenet_aux", width_multiplier=1 / 64, **options).train()
        scores = model(torch.empty(2, 3, size, size))
    assert [tuple(head.shape) for head in scores] == [(2, 3)] * 3


# Sizes and options


@pytest.mark.parametrize(
    "options, smallest",
    [
        ({}, 31),
        ({"pool4": 2}, 15),
        ({"stem": "small"}, 4),
        ({"stem": "small", "pool4": 2}, 2),
    ],
)
def test_smallest_images_follow_from_the_poolings(options, smallest):
    model = googlenet(width_multiplier=1 / 64, **options).eval()
    assert model(torch.zeros(1, 3, smallest, smallest)).shape == (1, 1000)
    with pytest.raises(ValueError, match=f"at least {smallest} x {smallest} pixels"):
        model(torch.zeros(1, 3, smallest, smallest - 1))
    with pytest.raises(RuntimeError, match="too small"):  # and one less is indeed too small
        model.smallest = 1
        model(torch.zeros(1, 3, smallest - 1, smallest - 1))


@given(size=st.tuples(st.integers(31, 90), st.integers(31, 90)))
@settings(max_examples=20, deadline=None)
def test_sizes_halve_five_times_rounding_as_caffe_does(size):
    with torch.device("meta"):
        rows = summarize(googlenet(width_multiplier=1 / 64), (3, *size)).rows
    shapes = {row.name: row.output_shape for row in rows}
    for layer, halvings in (("pool1", 1), ("pool2", 2), ("pool3", 3), ("pool4", 4)):
        halved = tuple((n + 1) // 2 // 2**halvings for n in size)
        assert shapes[layer][1:] == halved


def test_width_multiplier_scales_every_width_but_classes_and_channels():
    model = create_model("googlenet_aux", stem="small", width_multiplier=0.5)
    widths = [m.out_channels for m in model.inception4b.modules() if isinstance(m, nn.Conv2d)]
    assert widths == [width // 2 for width in TABLE_1["4b"]]
    assert [model.conv1[0].out_channels, model.linear.in_features] == [32, 512]
    assert [m.out_features for m in model.auxiliary4d.modules() if isinstance(m, nn.Linear)] == [
        512,
        1000,
    ]
    thinnest = create_model("googlenet", stem="small", width_multiplier=1e-6)
    assert all(m.out_channels == 1 for m in thinnest.modules() if isinstance(m, nn.Conv2d))


def test_batch_norm_takes_the_place_of_biases_and_of_the_response_normalisation():
    for batch_norm in (False, True):
        model = create_model("googlenet", batch_norm=batch_norm, **SIXTEENTH)
        convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
        norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        assert len(norms) == (len(convolutions) if batch_norm else 0)
        assert all((conv.bias is None) == batch_norm for conv in convolutions)
        responses = [m for m in model.modules() if isinstance(m, nn.LocalResponseNorm)]
        assert len(responses) == (0 if batch_norm else 2)
        assert all(norm.eps == 1e-3 for norm in norms)


@pytest.mark.parametrize(
    "option, message",
    [
        ({"wide_kernel": 7}, "wide_kernel must be one of 3, 5; got 7"),
        ({"pool4": 4}, "pool4 must be one of 2, 3; got 4"),
        ({"auxiliary_pool": "none"}, "auxiliary_pool must be one of strided, adaptive"),
        ({"stem": "tiny"}, "stem must be one of imagenet, small; got 'tiny'"),
        ({"width_multiplier": 0}, "width_multiplier must be above 0; got 0"),
        ({"image_size": 0}, "image_size must be a whole number of at least 1; got 0"),
        ({"dropout": 1.5}, "dropout probability"),
    ],
)
def test_bad_options_are_refused(option, message):
    with pytest.raises(ValueError, match=message):
        googlenet(**option)


# Initial weights


def test_weights_start_with_the_deviation_of_he_and_biases_at_zero():
    torch.manual_seed(0)
    for name, p in create_model("googlenet_aux", width_multiplier=0.5).named_parameters():
        if p.ndim == 1:
            assert not p.any(), name
        elif p.numel() > 5000:
            he = (2 / p[0].numel()) ** 0.5
            assert p.std().item() == pytest.approx(he, rel=0.05), name


def test_signals_survive_22_layers():
    torch.manual_seed(0)
    model = create_model("googlenet", stem="small", width_multiplier=0.25).eval()
    sizes = []
    for name in MODULES:
        model.get_submodule(name).register_forward_hook(lambda *a: sizes.append(a[2].std().item()))
    with torch.no_grad():
        model(torch.randn(4, 3, 28, 28))
    assert 0.1 < min(sizes) and max(sizes) < 10, sizes


class TestInvariants(Invariants):
    networks = TINY
