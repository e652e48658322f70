"""VGG against the paper's tables, dense evaluation by hand, and torchvision, timm, pytorchcv."""

import math

import pytest
import pytorchcv.models.vgg
import timm
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cnnlib.inspection import count_macs, count_parameters, summarize
from cnnlib.models import MODELS, create_model
from cnnlib.models.alexnet import ResponseNorm
from cnnlib.models.vgg import CONFIGS, TABLE_1, VGG, fully_convolutional, vgg_d, vgg_e
from tests.models.building import on_meta, without_numbers
from tests.models.invariants import Invariants, Tiny, settle
from tests.models.transplant import assert_same_function, randomize

TABLE_2 = {"A": 133, "A-LRN": 133, "B": 133, "C": 134, "D": 138, "E": 144}  # million parameters
WEIGHT_LAYERS = {"A": 11, "A-LRN": 11, "B": 13, "C": 16, "D": 16, "E": 19}  # heads of Table 1
SMALL = {
    "num_classes": 10,
    "in_channels": 1,
    "width_multiplier": 1 / 16,
    "hidden_units": 32,
    "image_size": 32,
    "initial": "he",
}
columns = pytest.mark.parametrize("config", TABLE_1)


def small(**options) -> VGG:
    torch.manual_seed(0)
    return VGG(**(SMALL | options))


def layers_of(model: nn.Module) -> list[nn.Module]:
    return [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


# The paper's tables


@columns
def test_layers_with_weights_are_as_many_as_table_1_says(config):
    assert len(layers_of(on_meta(VGG, config=config))) == WEIGHT_LAYERS[config]


@columns
def test_parameters_round_to_table_2(config):
    assert round(count_parameters(on_meta(VGG, config=config)) / 1e6) == TABLE_2[config]


@columns
def test_convolutions_are_built_as_they_are_printed(config):
    convolutions = [m for m in on_meta(VGG, config=config).modules() if isinstance(m, nn.Conv2d)]
    printed = [cell for block in TABLE_1[config] for cell in block if cell != "LRN"]
    assert [f"conv{c.kernel_size[0]}-{c.out_channels}" for c in convolutions] == printed
    assert all(c.stride == (1, 1) for c in convolutions)


@columns
def test_each_pooling_halves_the_maps_and_convolutions_keep_them(config):
    rows = summarize(on_meta(VGG, config=config), (3, 224, 224)).rows
    sides = [row.output_shape[1] for row in rows if len(row.output_shape) == 3]
    assert sides == [224, 112, 112, 56, 56, 28, 28, 14, 14, 7]
    widths = [row.output_shape[0] for row in rows if row.name.startswith("block")]
    assert widths == [64, 128, 256, 512, 512]
    assert [row.output_shape for row in rows[-3:]] == [(4096,), (4096,), (1000,)]


def test_the_columns_differ_as_the_table_marks_in_bold():
    def added(new: str, old: str) -> list[str]:
        pairs = zip(TABLE_1[new], TABLE_1[old], strict=True)
        return [" ".join(a[len(b) :]) for a, b in pairs if a[: len(b)] == b]

    assert added("A-LRN", "A") == ["LRN", "", "", "", ""]
    assert added("B", "A") == ["conv3-64", "conv3-128", "", "", ""]
    assert added("C", "B") == ["", "", "conv1-256", "conv1-512", "conv1-512"]
    assert added("D", "B") == ["", "", "conv3-256", "conv3-512", "conv3-512"]
    assert added("E", "D") == ["", "", "conv3-256", "conv3-512", "conv3-512"]


def test_response_normalisation_comes_once_after_the_first_relu():
    model = on_meta(VGG, config="A-LRN")
    assert [name for name, _ in model.block1.named_children()] == ["conv1_1", "relu1_1", "lrn1"]
    norms = [m for m in model.modules() if isinstance(m, ResponseNorm)]
    assert len(norms) == 1
    assert (norms[0].k, norms[0].n, norms[0].alpha, norms[0].beta) == (2, 5, 1e-4, 0.75)


def test_constructors_are_the_columns_of_16_and_19_layers():
    assert len(layers_of(on_meta(vgg_d))) == 16 and len(layers_of(on_meta(vgg_e))) == 19


@pytest.mark.parametrize("name", [name for name in MODELS if name.startswith("vgg_")])
def test_names_are_those_of_the_columns(name):
    model = on_meta(create_model, name=name)
    column = name.removeprefix("vgg_").removesuffix("_bn").replace("_", "-").upper()
    twin = on_meta(VGG, config=column, batch_norm=name.endswith("_bn"))
    assert repr(model) == repr(twin)


# Section 2.3: stacks of small filters


@pytest.mark.parametrize("layers, side", [(2, 5), (3, 7)])
def test_a_stack_of_3x3_sees_as_much_as_one_large_filter_with_fewer_weights(layers, side):
    channels = 8
    small_filters = [nn.Conv2d(channels, channels, 3, bias=False) for _ in range(layers)]
    stack = nn.Sequential(*small_filters)
    large = nn.Sequential(nn.Conv2d(channels, channels, side, bias=False))
    rows = [summarize(net, (channels, 32, 32)).rows[-1] for net in (stack, large)]
    assert rows[0].receptive_field == rows[1].receptive_field == side
    assert rows[0].output_shape == rows[1].output_shape
    assert count_parameters(stack) == layers * 9 * channels**2
    assert count_parameters(large) == side**2 * channels**2  # of 7 x 7: 81 % more


def test_the_shallow_twin_of_b_sees_as_much_with_a_layer_for_each_pair():
    shallow, deep = on_meta(VGG, config="B-5x5"), on_meta(VGG, config="B")
    assert CONFIGS["B-5x5"][0] == ("conv5-64",)
    convolutions = [m for m in shallow.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 5 and all(c.kernel_size == (5, 5) for c in convolutions)
    fields = [
        [row.receptive_field for row in summarize(net, (3, 224, 224)).rows]
        for net in (shallow, deep)
    ]
    assert fields[0] == fields[1]


# Section 3.2: dense evaluation


def test_on_an_image_of_its_own_size_the_convolutional_form_is_the_network():
    for config in ("A", "C"):
        for size in (32, 64, 70):
            vgg = randomize(small(config=config, image_size=size))
            images = torch.randn(2, 1, size, size, dtype=torch.float64)
            scores = fully_convolutional(vgg)(images)
            assert scores.shape == (2, 10, 1, 1)
            torch.testing.assert_close(scores[:, :, 0, 0], vgg(images))


def test_at_each_place_of_a_larger_image_the_convolutional_form_is_the_classifier_there():
    vgg = randomize(small(image_size=64, stem="small", batch_norm=True))
    dense = fully_convolutional(vgg)
    images = torch.randn(2, 1, 96, 80, dtype=torch.float64)
    scores, maps = dense(images), dense.features(images)
    assert maps.shape == (2, 32, 6, 5) and scores.shape == (2, 10, 3, 2)
    for i in range(3):
        for j in range(2):
            window = maps[:, :, i : i + 4, j : j + 4]
            expected = vgg.fc8(vgg.fc7(vgg.fc6(window)))
            torch.testing.assert_close(scores[:, :, i, j], expected)


def test_places_differ_from_crops_where_these_are_padded():
    """In a crop "feature maps are padded with zeros", here what lies around it is seen."""
    vgg = randomize(small(config="A"))
    image = torch.randn(1, 1, 64, 64, dtype=torch.float64)
    place = fully_convolutional(vgg)(image)[:, :, 0, 0]
    crop = vgg(image[:, :, :32, :32])
    assert (place - crop).abs().max() > 0.01 * crop.abs().max()


def test_crops_equal_places_when_convolutions_see_nothing_beyond_them():
    """With filters of 1 x 1 there is no padding, and dense evaluation is evaluation of crops."""
    vgg = randomize(small(config="A"))
    with torch.no_grad():
        for layer in vgg.modules():
            if isinstance(layer, nn.Conv2d):  # only the middle of the 3 x 3 is left
                middle = layer.weight[:, :, 1, 1].clone()
                layer.weight.zero_()
                layer.weight[:, :, 1, 1] = 3 * middle
    image = torch.randn(2, 1, 96, 64, dtype=torch.float64)
    scores = fully_convolutional(vgg)(image)
    assert scores.shape == (2, 10, 3, 2)
    assert (scores[:, :, 0, 0] - scores[:, :, 1, 1]).abs().max() > 1e-3
    for i in range(3):
        for j in range(2):
            crop = image[:, :, 32 * i : 32 * i + 32, 32 * j : 32 * j + 32]
            torch.testing.assert_close(scores[:, :, i, j], vgg(crop))


def test_the_convolutional_form_shares_the_weights():
    vgg = small()
    dense = fully_convolutional(vgg)
    assert dense.fc6[0].weight.shape == (32, 32, 1, 1)
    with torch.no_grad():
        vgg.fc6[1].weight.zero_()
    assert not dense.fc6[0].weight.any()
    assert dense.fc8.weight.data_ptr() == vgg.fc8.weight.data_ptr()
    assert count_parameters(dense) == count_parameters(vgg)


def test_fully_connected_layers_become_7x7_and_1x1_convolutions():
    dense = fully_convolutional(on_meta(vgg_d))
    shapes = [m.weight.shape for m in (dense.fc6[0], dense.fc7[0], dense.fc8)]
    assert shapes == [(4096, 512, 7, 7), (4096, 4096, 1, 1), (1000, 4096, 1, 1)]
    assert dense(torch.empty(1, 3, 384, 448, device="meta")).shape == (1, 1000, 6, 8)


def test_the_convolutional_form_keeps_the_mode():
    assert not fully_convolutional(small().eval()).training
    assert fully_convolutional(small().train()).fc6[2].training


@pytest.mark.parametrize("size, stem", [(32, "imagenet"), (70, "imagenet"), (33, "small")])
def test_the_convolutional_form_names_the_smallest_image(size, stem):
    dense = fully_convolutional(small(image_size=size, stem=stem).eval())
    assert dense.smallest == {32: 32, 70: 64, 33: 32}[size]
    assert dense(torch.zeros(1, 1, dense.smallest, dense.smallest)).shape == (1, 10, 1, 1)
    with pytest.raises(ValueError, match=f"at least {dense.smallest} x {dense.smallest} pixels"):
        dense(torch.zeros(1, 1, dense.smallest, dense.smallest - 1))


# Independent implementations, all of A, B, D and E. None is known of A-LRN and C.

SAME = {"A": "vgg11", "B": "vgg13", "D": "vgg16", "E": "vgg19"}
batch_norms = pytest.mark.parametrize("batch_norm", [False, True], ids=["", "bn"])
same = pytest.mark.parametrize("config", SAME)
mostly_slow = pytest.mark.parametrize(
    "config", [pytest.param(c, marks=() if c == "D" else pytest.mark.slow) for c in SAME]
)
NARROW = {"num_classes": 10, "width_multiplier": 1 / 16}  # with a head of 4096, as theirs


def thin(config: str) -> list[list[int]]:
    """Widths of the five blocks, divided by 16."""
    return [[int(cell.split("-")[1]) // 16 for cell in block] for block in TABLE_1[config]]


@same
@batch_norms
def test_it_is_torchvisions_in_narrow(config, batch_norm):
    module = torchvision.models.vgg
    letters = [width // 16 if width != "M" else "M" for width in module.cfgs[config]]
    with torch.device("meta"):
        theirs = module.VGG(module.make_layers(letters, batch_norm), num_classes=10)
    theirs.classifier[0] = nn.Linear(32 * 49, 48)
    theirs.classifier[3] = nn.Linear(48, 48)
    theirs.classifier[6] = nn.Linear(48, 10)
    theirs.to_empty(device="cpu")
    ours = VGG(config=config, batch_norm=batch_norm, hidden_units=48, **NARROW)
    assert_same_function(ours, theirs, (3, 224, 224))


@mostly_slow
@batch_norms
def test_it_is_pytorchcvs_in_narrow(config, batch_norm):
    # Its bn_vgg... have no biases, its bn_vgg...b have.
    with torch.device("meta"):
        theirs = pytorchcv.models.vgg.VGG(
            thin(config), bias=True, use_bn=batch_norm, num_classes=10
        )
    theirs.output.fc1.fc = nn.Linear(32 * 49, 4096, device="meta")
    theirs.to_empty(device="cpu")
    ours = without_numbers(VGG, config=config, batch_norm=batch_norm, **NARROW)
    assert_same_function(ours, theirs, (3, 224, 224))


@mostly_slow
@batch_norms
def test_dense_evaluation_is_timms_in_narrow(config, batch_norm):
    """It averages before its last layer, which is linear: the same as averaging the scores."""
    letters = [cell for block in thin(config) for cell in (*block, "M")]
    norm = nn.BatchNorm2d if batch_norm else None
    theirs = without_numbers(timm.models.vgg.VGG, cfg=letters, num_classes=10, norm_layer=norm)
    ours = without_numbers(VGG, config=config, batch_norm=batch_norm, **NARROW)
    ours = nn.Sequential(fully_convolutional(ours), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert_same_function(ours, theirs, (3, 256, 320))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg16", "vgg11_bn"])
def test_it_is_torchvisions_at_full_width(name):
    config = {theirs: column for column, theirs in SAME.items()}[name.removesuffix("_bn")]
    batch_norm = name.endswith("_bn")
    ours = without_numbers(VGG, config=config, batch_norm=batch_norm, num_classes=10)
    theirs = without_numbers(torchvision.models.get_model, name=name, num_classes=10)
    assert_same_function(ours, theirs, (3, 224, 224))


def test_batch_normalisation_folds_into_the_convolutions():
    vgg = settle(small(config="C", batch_norm=True).double())
    plain = small(config="C").double().eval()
    weights = vgg.state_dict()
    for name, block in vgg.named_children():
        for child, layer in block.named_children():
            if isinstance(layer, nn.Conv2d):
                norm = block.get_submodule(child.replace("conv", "norm"))
                folded = fuse_conv_bn_eval(layer, norm)
                weights[f"{name}.{child}.weight"] = folded.weight
                weights[f"{name}.{child}.bias"] = folded.bias
    plain.load_state_dict({name: weights[name] for name in plain.state_dict()})
    images = torch.randn(2, 1, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(plain(images), vgg(images))


# Options


def test_the_network_is_the_chain_of_its_children():
    model, images = small().eval(), torch.randn(2, 1, 32, 32)
    chain = nn.Sequential(*model.children())
    torch.testing.assert_close(chain(images), model(images), rtol=0, atol=0)


@columns
def test_batch_norm_adds_two_numbers_per_map_and_keeps_the_biases(config):
    plain, normed = on_meta(VGG, config=config), on_meta(VGG, config=config, batch_norm=True)
    maps = sum(m.out_channels for m in plain.modules() if isinstance(m, nn.Conv2d))
    assert count_parameters(normed) - count_parameters(plain) == 2 * maps
    assert count_macs(normed, (3, 224, 224)) == count_macs(plain, (3, 224, 224))


def test_a_width_multiplier_of_an_eighth_gives_the_widths_8_to_64():
    model = on_meta(VGG, config="D", width_multiplier=1 / 8, hidden_units=64, image_size=32)
    widths = [m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert widths == [8] * 2 + [16] * 2 + [32] * 3 + [64] * 6
    assert model.fc6[1].weight.shape == (64, 64)


def test_the_small_stem_has_no_first_pooling():
    model = on_meta(VGG, config="A", stem="small", image_size=28)
    sides = [
        row.output_shape[1]
        for row in summarize(model, (3, 28, 28)).rows
        if row.name.startswith("pool")
    ]
    assert sides == [28, 14, 7, 3, 1]


# Initial weights


@pytest.mark.parametrize(
    "initial, deviation",
    [
        ("glorot", lambda fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out))),
        ("normal", lambda *_: 0.1),  # whose square is the printed variance
        ("alexnet", lambda *_: 0.01),
        ("he", lambda fan_in, _: math.sqrt(2 / fan_in)),
    ],
)
def test_weights_have_the_deviation_of_their_scheme_and_biases_are_zero(initial, deviation):
    model = small(initial=initial, width_multiplier=1 / 2, hidden_units=256)
    for layer in layers_of(model):
        fan_in = layer.weight[0].numel()
        fan_out = layer.weight[:, 0].numel()
        if layer.weight.numel() > 10_000:
            expected = deviation(fan_in, fan_out)
            assert layer.weight.std().item() == pytest.approx(expected, rel=0.05), layer
        assert not layer.bias.any(), layer


def test_glorots_weights_are_uniform():
    weight = small(initial="glorot", width_multiplier=1).block3.conv3_1.weight
    bound = math.sqrt(6 / (128 * 9 + 256 * 9))
    assert 0.99 * bound < weight.abs().max() <= bound


def test_signals_keep_their_size_through_19_layers_only_with_hes_weights():
    images = torch.randn(8, 1, 32, 32)
    sizes = {}
    for initial in ("glorot", "normal", "alexnet", "he"):
        model = small(config="E", initial=initial, width_multiplier=1 / 4).eval()
        sizes[initial] = model(images).std().item()
    assert 0.1 < sizes["he"] < 10
    assert sizes["alexnet"] < 1e-6 and sizes["glorot"] < sizes["he"] / 50
    assert sizes["normal"] > 5 * sizes["he"]


# Every network

BIASES_BEFORE_NORM = r"block\d\.conv.*\.bias"


class TestInvariants(Invariants):
    networks = {
        "A-LRN": Tiny("vgg_a_lrn", SMALL | {"dropout": 0.1}, (1, 32, 32)),
        "C with batch norm, 28 x 28": Tiny(
            "vgg_c_bn",
            SMALL | {"image_size": 28, "stem": "small", "dropout": 0.0},
            (1, 28, 28),
            may_be_zero=BIASES_BEFORE_NORM,
        ),
        "D, colour": Tiny(
            "vgg_d", SMALL | {"in_channels": 3, "image_size": 33, "dropout": 0.0}, (3, 33, 33)
        ),
    }


options = st.fixed_dictionaries(
    {
        "config": st.sampled_from(sorted(CONFIGS)),
        "batch_norm": st.booleans(),
        "width_multiplier": st.floats(0.005, 0.05),
        "hidden_units": st.integers(1, 9),
        "image_size": st.integers(32, 70),
        "stem": st.sampled_from(["imagenet", "small"]),
        "initial": st.sampled_from(["glorot", "normal", "alexnet", "he"]),
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


@pytest.mark.parametrize("stem, smallest", [("imagenet", 32), ("small", 16)])
def test_an_image_size_that_leaves_nothing_is_refused_with_the_smallest_that_works(stem, smallest):
    for size in (1, smallest - 1):
        with pytest.raises(ValueError, match=f"image_size must be at least {smallest}; got {size}"):
            small(image_size=size, stem=stem)
    model = small(image_size=smallest, stem=stem)
    assert model(torch.randn(1, 1, smallest, smallest)).shape == (1, 10)


@pytest.mark.parametrize(
    "option, message",
    [
        ({"config": "F"}, "config must be one of A, A-LRN, B, C, D, E, B-5x5; got 'F'"),
        ({"stem": "tiny"}, "stem must be one of imagenet, small"),
        ({"initial": "zeros"}, "initial must be one of glorot, normal, alexnet, he"),
        ({"dropout": 1.0}, "dropout must be a share, at least 0 and below 1; got 1.0"),
        ({"hidden_units": 0}, "hidden_units must be .* at least 1"),
        ({"width_multiplier": 0}, "width_multiplier must be above 0"),
        ({"image_size": 0}, "image_size must be .* at least 1"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(option, message):
    with pytest.raises(ValueError, match=message):
        on_meta(VGG, **option)
