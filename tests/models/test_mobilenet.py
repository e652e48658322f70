"""MobileNet against the paper's tables, plain arithmetic and other implementations."""

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorchcv.models import mobilenet as pytorchcv
from torch import nn
from torch.nn import functional as F

from cnnlib.inspection import count_macs, count_parameters, summarize
from cnnlib.models import create_model
from cnnlib.models.mobilenet import (
    MODELS,
    SHALLOW,
    TABLE_1,
    DepthwiseSeparable,
    MobileNet,
    mobilenet_v1,
    mobilenet_v1_fullconv,
    mobilenet_v1_shallow,
)
from tests.models.invariants import Invariants, Tiny
from tests.models.transplant import assert_same_function

SMALL = ((16, 1), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1))

# Table 1 as printed: kind, stride, filter, input. (*): its stride is printed as 2.
PRINTED = """
Conv    2 3x3x3x32     224x224x3
Conv dw 1 3x3x32       112x112x32
Conv    1 1x1x32x64    112x112x32
Conv dw 2 3x3x64       112x112x64
Conv    1 1x1x64x128   56x56x64
Conv dw 1 3x3x128      56x56x128
Conv    1 1x1x128x128  56x56x128
Conv dw 2 3x3x128      56x56x128
Conv    1 1x1x128x256  28x28x128
Conv dw 1 3x3x256      28x28x256
Conv    1 1x1x256x256  28x28x256
Conv dw 2 3x3x256      28x28x256
Conv    1 1x1x256x512  14x14x256
Conv dw 1 3x3x512      14x14x512
Conv    1 1x1x512x512  14x14x512
Conv dw 1 3x3x512      14x14x512
Conv    1 1x1x512x512  14x14x512
Conv dw 1 3x3x512      14x14x512
Conv    1 1x1x512x512  14x14x512
Conv dw 1 3x3x512      14x14x512
Conv    1 1x1x512x512  14x14x512
Conv dw 1 3x3x512      14x14x512
Conv    1 1x1x512x512  14x14x512
Conv dw 2 3x3x512      14x14x512
Conv    1 1x1x512x1024 7x7x512
Conv dw 1 3x3x1024     7x7x1024 (*)
Conv    1 1x1x1024x1024 7x7x1024
""".strip().splitlines()


def run_on_meta(model: nn.Module, side: int) -> list[tuple[nn.Module, torch.Size, torch.Size]]:
    """Convolutions and fully connected layers as they run: layer, input shape, output shape."""
    seen = []
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(lambda m, i, o: seen.append((m, i[0].shape, o.shape)))
    model(torch.empty(1, 3, side, side, device="meta"))
    return seen


# The paper's tables


def test_layers_are_those_of_table_1():
    with torch.device("meta"):
        *convolutions, (fc, *_) = run_on_meta(mobilenet_v1(), 224)
    for printed, (layer, before, _) in zip(PRINTED, convolutions, strict=True):
        k, (_, channels, height, width) = layer.kernel_size[0], before
        if layer.groups == 1:
            kind, size = "Conv", f"{k}x{k}x{channels}x{layer.out_channels}"
        else:
            assert layer.groups == channels == layer.out_channels
            kind, size = "Conv dw", f"{k}x{k}x{channels}"
        here = f"{kind} {layer.stride[0]} {size} {height}x{width}x{channels}"
        assert here.split() == printed.removesuffix("(*)").split()
    assert (fc.in_features, fc.out_features) == (1024, 1000)


def test_there_are_28_layers_counting_depthwise_and_pointwise_separately():
    with torch.device("meta"):
        assert len(run_on_meta(mobilenet_v1(), 224)) == 28


def test_every_convolution_is_followed_by_batch_norm_and_relu():
    layers = [m for m in mobilenet_v1().modules() if not list(m.children())][: 3 * 27]
    for conv, norm, relu in zip(layers[::3], layers[1::3], layers[2::3], strict=True):
        assert isinstance(conv, nn.Conv2d) and conv.bias is None
        assert type(norm) is nn.BatchNorm2d and type(relu) is nn.ReLU


def test_shares_of_cost_are_those_of_table_2():
    with torch.device("meta"):
        seen = run_on_meta(mobilenet_v1(), 224)
    macs, weights = dict.fromkeys(("1x1", "dw", "3x3", "fc"), 0), {}
    for layer, _, output in seen:
        if isinstance(layer, nn.Linear):
            kind = "fc"
        else:
            kind = "dw" if layer.groups > 1 else "1x1" if layer.kernel_size == (1, 1) else "3x3"
        places = 1 if isinstance(layer, nn.Linear) else output[2] * output[3]
        macs[kind] += layer.weight.numel() * places
        weights[kind] = weights.get(kind, 0) + layer.weight.numel()

    def percent(counts):
        return {kind: round(100 * n / sum(counts.values()), 2) for kind, n in counts.items()}

    assert percent(weights) == {"1x1": 74.59, "dw": 1.06, "3x3": 0.02, "fc": 24.33}
    # The paper prints 1.19 for the 3 x 3 convolution; then the four would add up to 99.3 percent.
    assert percent(macs) == {"1x1": 94.86, "dw": 3.06, "3x3": 1.91, "fc": 0.18}


def test_one_layer_costs_what_table_3_prints():
    # 3 x 3 filters, 512 maps of 14 x 14 in and out; then alpha = 0.75, then also rho = 0.714
    printed = [(462, 2.36), (52.3, 0.27), (29.6, 0.15), (15.1, 0.15)]
    with torch.device("meta"):
        layers = [
            (nn.Conv2d(512, 512, 3, padding=1, bias=False), (512, 14, 14)),
            (DepthwiseSeparable(512, 512), (512, 14, 14)),
            (DepthwiseSeparable(384, 384), (384, 14, 14)),
            (DepthwiseSeparable(384, 384), (384, 10, 10)),
        ]
    for (layer, shape), (macs, parameters) in zip(layers, printed, strict=True):
        weights = sum(p.numel() for p in layer.parameters() if p.ndim == 4)
        assert count_macs(layer, shape) / 1e6 == pytest.approx(macs, abs=0.5 if macs > 99 else 0.05)
        assert round(weights / 1e6, 2) == parameters


@pytest.mark.parametrize(
    "name, mega_macs, mega_parameters",
    [
        ("mobilenet_v1_fullconv", 4866, 29.3),  # Table 4
        ("mobilenet_v1_shallow", 307, 2.9),  # Table 5
        ("mobilenet_v1_1_224", 569, 4.2),  # Tables 6 and 7
        ("mobilenet_v1_0.75_224", 325, 2.6),
        ("mobilenet_v1_0.5_224", 149, 1.3),
        ("mobilenet_v1_0.25_224", 41, 0.5),
        ("mobilenet_v1_1_192", 418, 4.2),
        ("mobilenet_v1_1_160", 290, 4.2),
        ("mobilenet_v1_1_128", 186, 4.2),
        ("mobilenet_v1_0.5_160", 76, 1.3),  # Table 9
    ],
)
def test_cost_is_what_the_paper_prints(name, mega_macs, mega_parameters):
    side = int(name[-3:]) if name[-3:].isdigit() else 224
    with torch.device("meta"):
        model = create_model(name)
    macs = count_macs(model, (3, side, side)) / 1e6
    # rounded for most, down for some; 4866 leaves the last layer out
    assert abs(macs - mega_macs) < (1 if mega_macs < 1000 else 1.5)
    assert round(count_parameters(model) / 1e6, 1) == mega_parameters


def test_the_shallow_network_lacks_the_five_equal_layers():
    assert len(TABLE_1) - len(SHALLOW) == 5
    removed = TABLE_1[7:12]
    assert (*SHALLOW[:7], *removed, *SHALLOW[7:]) == TABLE_1
    with torch.device("meta"):
        sizes = [
            row.output_shape
            for row in summarize(mobilenet_v1(), (3, 224, 224)).rows
            if row.kind == "DepthwiseSeparable"
        ]
    assert sizes[5:11] == [(512, 14, 14)] * 6  # the first of them halves the size: it stays


# Other implementations


@pytest.mark.parametrize("scale", ["w1", "w3d4", "wd2", "wd4"])
def test_it_is_the_function_of_pytorchcv(scale):
    theirs = getattr(pytorchcv, f"mobilenet_{scale}")(num_classes=10)
    theirs.features.final_pool = nn.AdaptiveAvgPool2d(1)  # theirs takes 224 x 224 pixels only
    alpha = {"w1": 1, "w3d4": 0.75, "wd2": 0.5, "wd4": 0.25}[scale]
    assert_same_function(MobileNet(10, width_multiplier=alpha), theirs, (3, 65, 96))


@pytest.mark.parametrize("name, alpha", [("mobilenetv1_100", 1), ("mobilenetv1_125", 1.25)])
def test_it_is_the_function_of_timm_with_relu(name, alpha):
    # timm has ReLU6 after each convolution. Its mobilenetv1_100h has one more layer, a head.
    theirs = timm.create_model(name, num_classes=10, act_layer=nn.ReLU)
    assert_same_function(mobilenet_v1(alpha, num_classes=10), theirs, (3, 65, 96))


# The full-convolution twin and Table 5 have no other implementation that we know of.


def test_a_separable_convolution_is_a_standard_one_with_factored_filters():
    torch.manual_seed(0)
    block = DepthwiseSeparable(5, 7, stride=2).double().eval()
    depthwise, pointwise = block.depthwise[0], block.pointwise[0]
    maps = torch.randn(2, 5, 9, 8, dtype=torch.float64)
    product = pointwise.weight * depthwise.weight[:, 0]  # (7, 5, 3, 3)
    expected = F.conv2d(maps, product, stride=2, padding=1)
    torch.testing.assert_close(pointwise(depthwise(maps)), expected)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 8))
def test_a_separable_convolution_saves_what_section_3_1_says(m, n, side):
    with torch.device("meta"):
        separable = count_macs(DepthwiseSeparable(m, n), (m, side, side))
        standard = count_macs(nn.Conv2d(m, n, 3, padding=1), (m, side, side))
    assert separable / standard == pytest.approx(1 / n + 1 / 9)


# Options


def test_small_networks_have_the_widths_of_their_table():
    shapes = [(16, 28), (32, 28), (64, 14), (64, 14), (128, 7), (128, 7)]
    for separable, parameters in ((True, 36_874), (False, 283_386)):
        model = MobileNet(10, 1, rows=SMALL, separable=separable)
        rows = summarize(model, (1, 28, 28)).rows[: len(SMALL)]
        assert [row.output_shape for row in rows] == [(c, s, s) for c, s in shapes]
        assert count_parameters(model) == parameters


def test_the_small_stem_differs_in_the_first_stride_only():
    model = mobilenet_v1(stem="small", num_classes=10)
    strides = [m.stride for m in model.modules() if isinstance(m, nn.Conv2d)]
    usual = [m.stride for m in mobilenet_v1().modules() if isinstance(m, nn.Conv2d)]
    assert (strides[0], usual[0]) == ((1, 1), (2, 2)) and strides[1:] == usual[1:]
    assert summarize(model, (3, 28, 28)).rows[13].output_shape == (1024, 2, 2)


def test_constructors_build_the_registered_networks():
    with torch.device("meta"):
        for build, name in (
            (mobilenet_v1, "mobilenet_v1_1_224"),
            (mobilenet_v1_fullconv, "mobilenet_v1_fullconv"),
            (mobilenet_v1_shallow, "mobilenet_v1_shallow"),
        ):
            built = [(key, p.shape) for key, p in build(num_classes=7).named_parameters()]
            model = create_model(name, num_classes=7)
            assert built == [(key, p.shape) for key, p in model.named_parameters()]


def test_every_width_and_resolution_of_the_paper_is_registered():
    assert len(MODELS) == 4 * 4 + 2


@settings(max_examples=15, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 3)), min_size=1, max_size=4),
    alpha=st.sampled_from([0.1, 0.37, 1.0, 1.5]),
    separable=st.booleans(),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
)
def test_any_table_takes_any_image(rows, alpha, separable, size):
    model = MobileNet(3, 2, rows=rows, width_multiplier=alpha, separable=separable).eval()
    height, width = size
    for _, stride in rows:
        height, width = -(-height // stride), -(-width // stride)
    maps = []
    model.pool.register_forward_pre_hook(lambda _, args: maps.append(args[0].shape))
    assert model(torch.zeros(1, 2, *size)).shape == (1, 3)
    assert maps == [(1, max(1, int(rows[-1][0] * alpha)), height, width)]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"width_multiplier": 0}, "width_multiplier must be above 0; got 0"),
        ({"rows": ()}, "rows must be a whole number of at least 1; got 0"),
        ({"rows": ((0, 1),)}, "width must be a whole number of at least 1; got 0"),
        ({"rows": ((8, 0),)}, "stride must be a whole number of at least 1; got 0"),
        ({"stem": "tiny"}, "stem must be one of imagenet, small; got 'tiny'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MobileNet(**options)


# Initial weights


def test_initial_weights_keep_the_size_of_signals():
    torch.manual_seed(0)
    for name, layer in mobilenet_v1().named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight.numel() > 3000:
            expected = (2 / layer.weight[0].numel()) ** 0.5
            assert layer.weight.std().item() == pytest.approx(expected, rel=0.05), name


# What all networks share


TINY = {
    "separable": Tiny(
        "mobilenet_v1_1_224", {"rows": SMALL, "width_multiplier": 0.5}, (1, 14, 14), lr=5e-3
    ),
    "full convolutions, small stem": Tiny(
        "mobilenet_v1_fullconv",
        {"rows": SMALL, "width_multiplier": 0.25, "stem": "small"},
        (1, 14, 14),
        lr=5e-3,
    ),
}


class TestInvariants(Invariants):
    networks = TINY
