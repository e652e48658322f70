"""Summaries against published totals, PyTorch's own counter, and gradients."""

import copy
import html.parser
import sys
import time
import warnings

import pandas
import pytest
import timm
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune
from torch.utils.flop_counter import FlopCounterMode

from cnnlib.inspection import Row, Summary, count_macs, count_parameters, summarize
from cnnlib.models import create_model
from cnnlib.published import networks, published


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def column(summary: Summary, attribute: str) -> dict:
    return {row.name: getattr(row, attribute) for row in summary.rows}


def torchvision_model(name: str) -> nn.Module:
    plain = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device("meta"):
        return torchvision.models.get_model(name, **plain)


# LeNet-5


def test_lenet_costs_what_its_links_cost():
    summary = summarize(create_model("lenet5"))
    macs = {name: n for name, n in column(summary, "macs").items() if n}
    assert macs == {"c1": 117_600, "c3": 150_000, "c5": 48_000, "f6": 10_080, "output": 840}
    assert summary.macs == count_macs(create_model("lenet5")) == 326_520
    assert summary.parameters == count_parameters(create_model("lenet5")) == 60_000


def test_lenet_rows_are_the_layers_of_the_paper():
    summary = summarize(create_model("lenet5"))
    assert column(summary, "output_shape") == {
        "c1": (6, 28, 28),
        "s2": (6, 14, 14),
        "c3": (16, 10, 10),
        "s4": (16, 5, 5),
        "c5": (120, 1, 1),
        "f6": (84,),
        "output": (10,),
    }
    assert list(column(summary, "receptive_field").values()) == [5, 6, 14, 16, 32, 32, 32]
    assert list(column(summary, "stride").values()) == [1, 2, 2, 4, 4, None, None]
    assert summary.rows[0].kind == "Conv2d, ScaledTanh"


def test_deeper_rows_add_up_to_the_same_totals():
    model = create_model("lenet5_modern", batch_norm=True)
    stages, layers = summarize(model), summarize(model, depth=2)
    assert sum(row.parameters for row in layers.rows) == stages.parameters == 61_990
    assert sum(row.macs for row in layers.rows) == stages.macs
    assert [row.name for row in layers.rows][:4] == ["c1.0", "c1.1", "c1.2", "s2"]
    assert layers.rows == summarize(model, depth=9).rows


# Other people's networks

TOTALS = {  # parameters and MACs at 3 x 224 x 224
    "resnet18": (11_689_512, 1_814_073_344),
    "alexnet": (61_100_840, 714_188_480),
    "mobilenet_v2": (3_504_872, 300_774_272),
}


@pytest.mark.parametrize("name", TOTALS)
def test_totals_of_known_networks(name):
    summary = summarize(torchvision_model(name), (3, 224, 224))
    assert (summary.parameters, summary.macs) == TOTALS[name]


def operations(model: nn.Module, shape: tuple[int, ...], training: bool = False) -> int:
    """What PyTorch counts for one image; normalisation, which costs nothing there, left out."""
    model = copy.deepcopy(model).train(training)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, nn.Identity())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, *shape, device="meta"))
    return counter.get_total_flops()


@pytest.mark.parametrize(
    "name", [n for n in networks() if n != "lenet5"]
)  # which counts its own links
def test_macs_are_half_of_what_pytorch_counts_as_operations(name):
    record = published(name)
    with torch.device("meta"):
        model = create_model(name)
    ours = count_macs(model, record.input, training=record.training)
    assert 2 * ours == operations(model, record.input, record.training)


@pytest.mark.parametrize(
    "name, shape",
    [
        ("vit_tiny_patch16_224", (3, 224, 224)),
        ("swin_tiny_patch4_window7_224", (3, 224, 224)),
        ("convnext_tiny", (3, 224, 224)),
        ("mobilenetv3_large_100", (3, 224, 224)),
        ("resnet50d", (3, 200, 260)),
        ("regnety_004", (3, 224, 224)),
        ("mixer_s16_224", (3, 224, 224)),
        ("nfnet_l0", (3, 224, 224)),
    ],
)
def test_timms_networks_are_counted_too(name, shape):
    with torch.device("meta"):
        model = timm.create_model(name)
    summary = summarize(model, shape)
    assert 2 * summary.macs == operations(model, shape)
    assert summary.parameters == sum(p.numel() for p in model.parameters())
    assert sum(row.macs for row in summary.rows) == summary.macs


@pytest.mark.parametrize(
    "name",
    "alexnet convnext_tiny densenet161 efficientnet_v2_s googlenet inception_v3 maxvit_t "
    "mnasnet0_5 mobilenet_v2 mobilenet_v3_small resnext50_32x4d shufflenet_v2_x0_5 "
    "squeezenet1_0 swin_t swin_v2_t vgg19_bn vit_b_32 wide_resnet50_2".split(),
)
def test_counts_are_those_that_torchvision_publishes(name):
    weights = torchvision.models.get_model_weights(name).DEFAULT
    size = weights.transforms().crop_size[0]
    summary = summarize(torchvision_model(name), (3, size, size))
    assert round(summary.macs / 1e9, 3) == weights.meta["_ops"]
    if name != "googlenet":  # published without its auxiliary heads
        assert summary.parameters == weights.meta["num_params"]


def test_grouped_and_transposed_convolutions_and_batched_products_are_counted():
    model = nn.Sequential(
        nn.Conv2d(4, 8, 3, groups=2),  # 8 x 6 x 6 outputs of 2 x 9 inputs
        nn.ConvTranspose2d(8, 2, 2, stride=2),  # 8 x 6 x 6 inputs to 2 x 4 outputs
        nn.Flatten(2),  # (2, 144)
        nn.Linear(144, 5, bias=False),
    )
    by_layer = column(summarize(model, (4, 8, 8)), "macs")
    assert list(by_layer.values()) == [8 * 36 * 18, 8 * 36 * 8, 0, 2 * 5 * 144]


@pytest.mark.parametrize(
    "name, layer, receptive_field",
    [
        ("alexnet", "features", 195),
        ("vgg16", "features", 212),
        ("resnet18", "layer4", 435),
        ("googlenet", "maxpool1", 11),
        ("inception_v3", "Mixed_7c", 1311),  # 1 x 7 and 7 x 1 convolutions side by side
    ],
)
def test_receptive_fields_of_known_networks(name, layer, receptive_field):
    summary = summarize(torchvision_model(name), (3, 299, 299))
    assert column(summary, "receptive_field")[layer] == receptive_field


# Receptive fields


def measured_field(model: nn.Module, size: int, place: tuple[int, int]) -> list[tuple[int, int]]:
    """First and last row and column of the image on which one output value depends."""
    image = torch.rand(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    model(image)[0, :, *place].sum().backward()
    assert image.grad is not None
    used = image.grad[0, 0] != 0
    ends = []
    for axis in (1, 0):
        pixels = used.any(axis).nonzero().flatten().tolist()
        ends.append((pixels[0], pixels[-1]))
    return ends


def assert_field_is_measured(model: nn.Module, size: int, row: Row) -> None:
    """For the value in the middle, whose field must lie inside the image."""
    pairs = [
        v if isinstance(v, tuple) else (v, v) for v in (row.receptive_field, row.stride, row.offset)
    ]
    assert row.output_shape is not None
    place = tuple(n // 2 for n in row.output_shape[-2:])
    expected = []
    for (extent, stride, offset), i in zip(zip(*pairs, strict=True), place, strict=True):
        first = offset + i * stride
        assert first >= 0 and first + extent <= size, "the test needs a larger image"
        expected.append((first, first + extent - 1))
    assert measured_field(model, size, place) == expected


@pytest.mark.parametrize("layers", range(1, 6))
def test_receptive_field_of_lenet_is_where_the_gradient_is(layers):
    model = create_model("lenet5", subsampling="average").double()
    chain = nn.Sequential(*list(model.children())[:layers])
    row = summarize(chain, (1, 32, 32)).rows[-1]
    assert_field_is_measured(chain, 32, row)


class Positive(nn.Conv2d):
    """A convolution whose positive weights cannot cancel each other."""

    def forward(self, x):
        return F.conv2d(
            x, self.weight.abs() + 0.1, None, self.stride, self.padding, self.dilation, self.groups
        )


sizes = st.tuples(st.integers(1, 3), st.integers(1, 3))
convolutions = st.builds(
    lambda kernel, stride, padding, dilation: Positive(
        1, 1, kernel, stride=stride, padding=padding, dilation=dilation
    ).double(),
    kernel=sizes,
    stride=st.integers(1, 2),
    padding=sizes.map(lambda pair: (pair[0] - 1, pair[1] - 1)),
    dilation=st.integers(1, 2),
)
poolings = st.builds(
    lambda kernel, stride, pad: nn.AvgPool2d(kernel, stride, padding=kernel // 2 if pad else 0),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    pad=st.booleans(),
)


@given(layers=st.lists(convolutions | poolings, min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_receptive_field_of_any_chain_is_where_the_gradient_is(layers):
    chain = nn.Sequential(*layers)
    assert_field_is_measured(chain, 160, summarize(chain, (1, 160, 160)).rows[-1])


class Branches(nn.Module):
    """A wide path, with a shortcut added to it as in residual networks, beside a narrow one."""

    def __init__(self):
        super().__init__()
        self.wide = Positive(1, 1, 5, stride=2, padding=2)
        self.short = Positive(1, 1, 1, stride=2)
        self.tall = Positive(1, 1, (7, 1), stride=2, padding=(3, 0))
        self.last = Positive(2, 1, 3, padding=1)

    def forward(self, x):
        wide = self.wide(x)
        wide += self.short(x)
        return self.last(torch.cat([F.relu(wide), self.tall(x)], dim=1))


def test_receptive_field_of_branches_that_meet_is_where_the_gradient_is():
    model = nn.Sequential(Branches(), Positive(1, 1, (1, 3))).double()
    row = summarize(model, (1, 41, 41)).rows[-1]
    assert row.receptive_field == (7 + 4, 5 + 4 + 4)
    assert_field_is_measured(model, 41, row)


class Shifted(nn.Module):
    """Two paths whose fields overlap only in part: pixels -2 to 2, and 0 to 3."""

    def __init__(self):
        super().__init__()
        self.around, self.behind = Positive(1, 1, 5, 4, padding=2), Positive(1, 1, 4, 4)

    def forward(self, x):
        return self.around(x) + self.behind(x)


def test_fields_that_overlap_in_part_are_joined():
    model = nn.Sequential(Shifted()).double()
    row = summarize(model, (1, 40, 40)).rows[-1]
    assert (row.receptive_field, row.stride, row.offset) == (6, 4, -2)
    assert_field_is_measured(model, 40, row)


class Gate(nn.Module):
    """Scales a map by a number computed from all of it, as squeeze-and-excitation does."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Linear(1, 1)

    def forward(self, x):
        return x * self.scale(x.mean((2, 3)))[:, :, None, None]


def test_a_gate_makes_every_value_depend_on_the_whole_map():
    rows = summarize(nn.Sequential(Positive(1, 1, 3), Gate(), Positive(1, 1, 3)), (1, 9, 9)).rows
    assert [row.receptive_field for row in rows] == [3, 9, 9]
    assert [row.stride for row in rows] == [1, None, None]


@pytest.mark.parametrize(
    "layer",
    [nn.ConvTranspose2d(1, 1, 2, stride=2), nn.Upsample(scale_factor=2), nn.AdaptiveAvgPool2d(5)],
)
def test_receptive_fields_that_are_not_known_are_not_guessed(layer):
    rows = summarize(nn.Sequential(nn.Conv2d(1, 1, 3), layer, nn.Conv2d(1, 1, 1)), (1, 9, 9)).rows
    assert [row.receptive_field for row in rows] == [3, None, None]


def test_pooling_to_a_divisor_of_the_size_is_pooling_with_a_window():
    rows = summarize(nn.Sequential(nn.AdaptiveAvgPool2d(4)), (1, 12, 8)).rows
    assert (rows[0].receptive_field, rows[0].stride) == ((3, 2), (3, 2))


# Receptive fields of the registry's networks

SMALL = {  # few channels change no field, and make it quick
    "alexnet": ({"width_multiplier": 0.1, "hidden_units": 4}, 227),
    "zfnet": ({"width_multiplier": 0.1, "hidden_units": 4}, 224),
    "vgg_d": ({"width_multiplier": 0.05, "hidden_units": 4}, 224),
    "vgg_a_lrn": ({"width_multiplier": 0.05, "hidden_units": 4}, 224),
    "googlenet": ({"width_multiplier": 0.1}, 224),
    "googlenet_bn": ({"width_multiplier": 0.1}, 224),
    "resnet18_a": ({"widths": (4, 4, 8, 8)}, 256),
    "resnet50": ({"widths": (4, 4, 4, 4)}, 256),
    "resnet20_cifar": ({}, 40),
    "preact_resnet50": ({"widths": (4, 4, 4, 4)}, 256),
    "densenet121": ({"growth_rate": 2}, 256),
    "se_resnet18": ({"widths": (16, 16, 16, 16)}, 160),
    "squeezenet1_0": ({"width_multiplier": 0.2}, 227),
    "mobilenet_v1_0.25_224": ({}, 224),
    "mobilenet_v2_0.35": ({}, 224),
    "mobilenet_v3_small_0.75": ({}, 128),
    "nasnet_a_mobile": ({"filters": 96, "repeats": 1}, 160),
    "efficientnet_b0": ({"width_multiplier": 0.1}, 128),
    "efficientnet_lite0": ({"width_multiplier": 0.1}, 224),
}


def with_positive_weights(model: nn.Module) -> nn.Module:
    """In double precision, so that no two paths cancel and no signal explodes or dies."""
    model = model.double().eval()
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
            if layer.bias is not None:
                nn.init.constant_(layer.bias, 1e-3)
    return model


@pytest.mark.parametrize("name", SMALL)
def test_receptive_fields_are_where_the_gradients_are(name, monkeypatch):
    # A maximum hands its gradient to one pixel only; a mean over the same window, to all.
    def mean(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, **_):
        assert dilation == 1
        return F.avg_pool2d(x, kernel_size, stride, padding, ceil_mode)

    monkeypatch.setattr(F, "max_pool2d", mean)
    options, size = SMALL[name]
    model = with_positive_weights(create_model(name, num_classes=2, in_channels=1, **options))
    rows = {row.name: row for row in summarize(model, (1, size, size)).rows}
    outputs = {}
    for child, module in model.named_children():
        module.register_forward_hook(
            lambda _, __, output, child=child: outputs.update({child: output})
        )
    image = 1e-3 * torch.rand(1, 1, size, size, dtype=torch.float64)  # far from where ReLU6 ends
    model(image.requires_grad_())
    checked = 0
    for child, output in outputs.items():
        row = rows[child]
        assert row.receptive_field is not None, f"the field of {child} is not known"
        place = [n // 2 for n in output.shape[2:]] or [0, 0]
        value = output[(0, slice(None), *place)] if output.ndim == 4 else output[0]
        (gradient,) = torch.autograd.grad(value.sum(), image, retain_graph=True)
        for axis, i in enumerate(place):
            extent, stride, offset = (
                v[axis] if isinstance(v, tuple) else v
                for v in (row.receptive_field, row.stride or 0, row.offset)
            )
            first, last = offset + i * stride, offset + i * stride + extent - 1
            used = gradient[0, 0].abs().amax(1 - axis).nonzero().flatten().tolist()
            assert first <= used[0] and used[-1] <= last, (child, row)
            # A stride may leave rows at the far border unseen; elsewhere the ends are exact.
            assert used[0] == max(first, 0), (child, row)
            assert used[-1] >= min(last, size - 1 - (stride or 32)), (child, row)
            checked += 0 < first and last < size - 1
    assert checked > 0, "no field lies inside the image: the test needs a larger one"


@pytest.mark.parametrize(
    "name, layer, receptive_field, stride",
    [
        ("alexnet", "conv5", 163, 16),
        ("alexnet", "pool5", 195, 32),
        ("vgg_d", "pool5", 212, 32),
        ("resnet18", "conv5_x", 435, 32),
    ],
)
def test_receptive_fields_of_the_papers_networks(name, layer, receptive_field, stride):
    with torch.device("meta"):
        model = create_model(name)
    rows = {row.name: row for row in summarize(model, published(name).input).rows}
    assert (rows[layer].receptive_field, rows[layer].stride) == (receptive_field, stride)


# Operations that move, spread or hide values


class Does(nn.Module):
    """A function as a layer."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def assert_known_and_measured(function, size: int = 24) -> Row:
    chain = nn.Sequential(Positive(1, 4, 3), Does(function), Positive(4, 1, 3)).double()
    row = summarize(chain, (1, size, size)).rows[-1]
    assert row.receptive_field is not None
    assert_field_is_measured(chain, size, row)
    return row


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.pad(x, (1, 2, 0, 3)),
        lambda x: F.pad(x, (-1, -2, -3, 0)),
        lambda x: x[:, :, ::2, 1:],
        lambda x: x[:, :, 3:-2],
        lambda x: x[..., -15::3],
        lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True),
        lambda x: F.max_pool2d(x, 1, 2, ceil_mode=True),
        lambda x: x.reshape(1, 2, 2, *x.shape[2:]).transpose(1, 2).reshape(x.shape),
        lambda x: x.permute(1, 0, 2, 3).permute(1, 0, 2, 3),
        lambda x: x * x.mean(1, keepdim=True),
        lambda x: x * torch.softmax(x, 1),
        lambda x: torch.cat(x.split(2, 1)[::-1], 1),
        lambda x: torch.stack(list(x.unbind(1)), 1),
        lambda x: torch.stack([x, x], 2).sum(2),
        lambda x: x[:, [2, 0, 1, 3]] + x.select(1, 0).unsqueeze(1),
        lambda x: F.hardswish(x) * F.hardsigmoid(x) + F.silu(x) + F.relu6(x) + 1 - x,
        lambda x: x + torch.ones(1, 4, 1, 1, dtype=x.dtype, device=x.device),
        lambda x: x.clone().mul_(2).relu_(),
        lambda x: x + F.avg_pool2d(x, 3, 1, 1),
        lambda x: x.squeeze(0).unsqueeze(0),
        lambda x: x.to(torch.float32).double().contiguous().detach() + x,
    ],
)  # fmt: skip
def test_operations_that_keep_or_move_places_are_followed(function):
    assert_known_and_measured(function)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.flip(2),
        lambda x: x.roll(1, 3),
        lambda x: x.transpose(2, 3),
        lambda x: x.permute(0, 2, 3, 1).reshape(x.shape),
        lambda x: x[:, :, torch.arange(x.shape[2] - 1, -1, -1, device=x.device)],
        lambda x: x.index_select(3, torch.zeros(x.shape[3], dtype=torch.long, device=x.device)),
        lambda x: torch.cat([x[:, :, 1:], x[:, :, :1]], 2),
        lambda x: torch.softmax(x, 3),
        lambda x: x.cumsum(2),
        lambda x: x.flatten(1).reshape(x.shape),
        lambda x: x @ x.transpose(2, 3),
        lambda x: F.layer_norm(x, x.shape[1:]),
        lambda x: F.interpolate(x, scale_factor=1.0, recompute_scale_factor=True) + x.flip(3),
        lambda x: F.pixel_shuffle(x, 2),
        lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"),
        lambda x: F.conv2d(x, x.mean((0, 2, 3)).reshape(1, 4, 1, 1)),
        lambda x: x.max(),
    ],
)  # fmt: skip
def test_fields_behind_operations_that_mix_places_are_not_guessed(function):
    rows = summarize(nn.Sequential(nn.Conv2d(1, 4, 3), Does(function)), (1, 12, 12)).rows
    assert rows[0].receptive_field == 3
    assert rows[1].receptive_field in (None, 12)  # 12: all of the image, which is never too little
    if rows[1].receptive_field == 12:
        assert rows[1].stride is None


def test_a_flattened_map_has_no_single_field_until_a_product_mixes_it():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.ReLU(), nn.Linear(72, 3), nn.ReLU())
    fields = [row.receptive_field for row in summarize(model, (1, 8, 8)).rows]
    assert fields == [3, None, None, 8, 8]


def test_normalisation_over_the_whole_map_sees_the_whole_map():
    for layer in (nn.GroupNorm(2, 4), nn.InstanceNorm2d(4)):
        rows = summarize(nn.Sequential(nn.Conv2d(1, 4, 3), layer), (1, 9, 9)).rows
        assert rows[1].receptive_field in (9, None) and rows[1].stride is None


def test_a_gate_along_one_axis_leaves_the_other_as_it_is():
    gate = Does(lambda x: x.mean(2, keepdim=True) * x)
    rows = summarize(nn.Sequential(nn.Conv2d(1, 4, 3), gate), (1, 12, 12)).rows
    assert (rows[1].receptive_field, rows[1].stride, rows[1].offset) == ((12, 3), None, 0)


class PartlyWritten(nn.Module):
    """Puts maps with different fields into one tensor, one after the other."""

    def __init__(self, into_zeros: bool):
        super().__init__()
        self.into_zeros = into_zeros
        self.near, self.far = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 5, padding=2)

    def forward(self, x):
        both = (
            x.new_zeros(1, 4, *x.shape[2:]) if self.into_zeros else self.near(x).repeat(1, 2, 1, 1)
        )
        both[:, 2:] = self.far(x)
        return both + 0


@pytest.mark.parametrize("into_zeros", [True, False])
def test_tensors_written_in_parts_are_not_guessed(into_zeros):
    rows = summarize(nn.Sequential(PartlyWritten(into_zeros)), (1, 9, 9)).rows
    assert rows[0].receptive_field is None


def test_a_view_of_what_was_written_to_is_not_what_it_was():
    def add_in_place(x):
        view = x.view(2, 2, *x.shape[2:])
        x += F.avg_pool2d(x, 3, 1, 1)
        return view.view(x.shape) + 0

    rows = summarize(nn.Sequential(nn.Conv2d(1, 4, 1), Does(add_in_place)), (1, 9, 9)).rows
    assert rows[0].receptive_field == 1  # as it was when the layer returned it
    assert rows[1].receptive_field in (None, 3)


# Memory


def kept_by_autograd(model: nn.Module, shape: tuple[int, ...]) -> int:
    """Bytes that a real pass over two images saves for the backward pass, and the outputs."""
    torch.manual_seed(0)
    own = {p.untyped_storage().data_ptr() for p in [*model.parameters(), *model.buffers()]}
    images = torch.randn(2, *shape)
    own.add(images.untyped_storage().data_ptr())
    saved = {}

    def pack(tensor):
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = model.train()(images)
    for output in outputs if isinstance(outputs, tuple) else (outputs,):
        pack(output)
    return sum(storage.nbytes() for place, storage in saved.items() if place not in own)


@pytest.mark.parametrize(
    "name, options, shape",
    [
        ("lenet5", {}, (1, 32, 32)),
        ("lenet5_modern", {"batch_norm": True}, (1, 32, 32)),
        ("resnet18", {"widths": (8, 8, 16, 16)}, (3, 64, 64)),
        ("resnet20_cifar", {}, (3, 32, 32)),
        ("preact_resnet18", {"widths": (8, 8, 16, 16)}, (3, 64, 64)),
        ("densenet_bc_cifar_l40_k12", {}, (3, 32, 32)),
        ("mobilenet_v1_0.25_224", {}, (3, 64, 64)),
        ("squeezenet1_1", {"dropout": 0.0}, (3, 64, 64)),
    ],
)
def test_what_training_keeps_is_what_autograd_saves(name, options, shape):
    model = create_model(name, **options)
    summary = summarize(model, shape, memory=True)
    assert 2 * summary.kept_bytes == kept_by_autograd(model, shape)
    assert sum(row.kept_bytes for row in summary.rows) == summary.kept_bytes


def test_memory_is_divided_among_the_layers():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3),  # the maps, which batch normalisation needs: 4 x 8 x 8 of 4 bytes
        nn.BatchNorm2d(4),  # the same again for the ReLU; means and deviations, half for each image
        nn.ReLU(inplace=True),  # nothing of its own
        nn.Flatten(),
        nn.Linear(256, 10),  # the scores themselves
    )
    rows = summarize(model, (1, 10, 10), memory=True).rows
    assert [row.output_bytes for row in rows] == [1024, 1024, 1024, 1024, 40]
    assert [row.kept_bytes for row in rows] == [1024, 1024 + 2 * 4 * 4 // 2, 0, 0, 40]
    assert [row.output_numbers for row in rows] == [256, 256, 256, 256, 10]


def test_half_precision_takes_half_the_memory():
    model = create_model("lenet5_modern")
    single = summarize(model, memory=True).kept_bytes
    half = summarize(model.bfloat16(), memory=True).kept_bytes
    indices = 6 * 14 * 14 * 8 + 16 * 5 * 5 * 8  # of the maxima, always 8 bytes each
    assert half - indices == (single - indices) / 2


def test_frozen_layers_keep_nothing():
    model = create_model("lenet5_modern").requires_grad_(False)
    assert summarize(model, memory=True).kept_bytes == 4 * 10  # the scores


def test_memory_saving_saves_memory():
    options = {"blocks": (6, 12, 24, 16), "growth_rate": 12}
    plain, saving = (
        summarize(
            create_model("densenet121", memory_saving=saving, **options), (3, 64, 64), memory=True
        )
        for saving in (False, True)
    )
    assert saving.kept_bytes < 0.5 * plain.kept_bytes
    assert saving.macs == plain.macs and saving.parameters == plain.parameters


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["resnet50", "densenet121", "vgg_d", "mobilenet_v2_1"])
def test_what_training_keeps_is_what_a_gpu_keeps(name):
    model = create_model(name).to("cuda")
    images = torch.randn(2, 3, 224, 224, device="cuda")
    model(images).sum().backward()  # libraries take their workspace at the first use
    model.zero_grad(set_to_none=True)
    before = torch.cuda.memory_allocated()
    outputs = model(images)
    kept = torch.cuda.memory_allocated() - before
    del outputs
    ours = 2 * summarize(model, (3, 224, 224), memory=True).kept_bytes
    assert ours == pytest.approx(kept, rel=0.05)  # blocks are rounded up, libraries keep masks


# Any module, left as it was


def test_the_model_is_left_as_it_was():
    model = create_model("lenet5_modern", batch_norm=True)
    model.c3.eval()
    model.c1[0].weight.requires_grad_(False)
    model(torch.randn(4, 1, 32, 32)).sum().backward()
    seen = []
    model.f6.register_forward_hook(lambda *_: seen.append("called"))
    model.register_forward_pre_hook(lambda *_: None)
    state = {name: t.clone() for name, t in model.state_dict().items()}
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    modes = [m.training for m in model.modules()]
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
    random = torch.get_rng_state()

    summary = summarize(model, depth=2)

    assert all(torch.equal(t, state[name]) for name, t in model.state_dict().items())
    assert all(
        p.grad is None if g is None else torch.equal(p.grad, g)
        for p, g in zip(model.parameters(), gradients, strict=True)
    )
    assert [m.training for m in model.modules()] == modes
    assert [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()] == hooks
    assert seen == []
    assert torch.equal(torch.get_rng_state(), random)
    assert all(p.device.type == "cpu" for p in model.parameters())
    assert summary.parameters == 61_990 - 150  # one weight is not trained


def test_models_on_meta_give_the_same_summary():
    with torch.device("meta"):
        model = create_model("lenet5")
    assert summarize(model) == summarize(create_model("lenet5"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtype_of_the_model_does_not_matter(dtype):
    assert summarize(create_model("lenet5").to(dtype)) == summarize(create_model("lenet5"))


def test_cost_does_not_depend_on_the_size_of_the_model():
    with torch.device("meta"):
        model = nn.Sequential(nn.Flatten(), nn.Linear(10**6, 10**6))  # 4 TB, if it were real
    assert summarize(model, (1, 1000, 1000)).macs == 10**12


class Reused(nn.Module):
    """Calls one layer three times, owns a weight itself, and has a layer that never runs."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(7))
        self.layer = nn.Linear(7, 7, bias=False)
        self.same = self.tied()
        self.idle = nn.Linear(7, 2)

    def tied(self):
        layer = nn.Linear(7, 7, bias=False)
        layer.weight = self.layer.weight
        return layer

    def forward(self, x):
        x = self.layer(self.layer(x)) * self.scale
        return self.same(x) @ self.layer.weight


def test_layers_used_again_and_weights_without_a_layer_are_counted_once():
    summary = summarize(Reused(), (7,))
    assert column(summary, "macs") == {"layer": 98, "same": 49, "idle": 0, "(elsewhere)": 49}
    assert column(summary, "parameters") == {
        "layer": 49,
        "same": 0,
        "idle": 16,
        "(elsewhere)": 7,
    }
    assert summary.parameters == 49 + 16 + 7 == count_parameters(Reused())
    assert column(summary, "output_shape")["idle"] is None


class Listed(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(1, 1, 3), nn.ModuleList([nn.Conv2d(1, 2, 3)])])

    def forward(self, x):
        return self.layers[1][0](self.layers[0](x))


def test_a_list_of_layers_counts_what_they_do():
    (row,) = summarize(Listed(), (1, 8, 8)).rows
    assert row == Row("layers", "ModuleList", (2, 4, 4), 10 + 20, 9 * 36 + 18 * 16, 5, 1, 0)


def test_an_empty_layer_is_a_row():
    rows = summarize(nn.Sequential(nn.Conv2d(1, 1, 3), nn.Sequential()), (1, 8, 8), depth=2).rows
    assert [row.receptive_field for row in rows] == [3, 3]


def test_normalisation_across_maps_keeps_the_receptive_field():
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.LocalResponseNorm(5), nn.BatchNorm2d(8))
    assert [row.receptive_field for row in summarize(model, (1, 8, 8)).rows] == [3, 3, 3]


def test_a_single_layer_is_its_own_row():
    (row,) = summarize(nn.Conv2d(1, 2, 3), (1, 5, 5)).rows
    assert row == Row("Conv2d", "Conv2d", (2, 3, 3), 20, 162, 3, 1, 0)


def test_pruned_models_work():
    model = create_model("lenet5_modern")
    prune.l1_unstructured(model.c1[0], "weight", amount=0.5)
    model(torch.randn(1, 1, 32, 32))
    assert summarize(model).macs == count_macs(create_model("lenet5_modern"))


def test_repeated_kinds_are_gathered():
    rows = summarize(torchvision_model("resnet18"), (3, 64, 64)).rows
    assert column_kind(rows, "layer1") == "2 × BasicBlock"
    rows = summarize(torchvision_model("alexnet"), (3, 64, 64)).rows
    assert column_kind(rows, "features") == "Sequential"  # 13 layers would not fit


def column_kind(rows: list[Row], name: str) -> str:
    return next(row.kind for row in rows if row.name == name)


# Rows of a paper's table


def test_layers_are_gathered_into_the_rows_of_a_table():
    model = torchvision_model("resnet18")
    summary = summarize(
        model,
        (3, 224, 224),
        rows={
            "conv1": ("conv1", "bn1", "relu"),
            "conv2_x": ["maxpool", "layer1"],
            "conv3_x": "layer2",
            "conv4_x": "layer3",
            "conv5_x": "layer4",
            "classifier": ("avgpool", "fc"),
        },
    )
    assert column(summary, "output_shape") == {
        "conv1": (64, 112, 112),
        "conv2_x": (64, 56, 56),
        "conv3_x": (128, 28, 28),
        "conv4_x": (256, 14, 14),
        "conv5_x": (512, 7, 7),
        "classifier": (1000,),
    }
    plain = summarize(model, (3, 224, 224))
    assert (summary.parameters, summary.macs) == (plain.parameters, plain.macs)
    assert sum(row.parameters for row in summary.rows) == plain.parameters
    assert summary.rows[1].receptive_field == column(plain, "receptive_field")["layer1"]
    assert summary.rows[0].kind == "Conv2d, BatchNorm2d, ReLU"
    assert column_kind(summary.rows, "conv2_x") == "MaxPool2d, 2 × BasicBlock"


def test_layers_without_a_row_are_counted_elsewhere():
    summary = summarize(create_model("lenet5"), rows={"first": ("c1", "s2")}, memory=True)
    assert [row.name for row in summary.rows] == ["first", "(elsewhere)"]
    assert summary.rows[1].parameters == 60_000 - 156 - 12
    assert sum(row.kept_bytes for row in summary.rows) == summary.kept_bytes


def test_no_rows_give_the_totals_alone():
    summary = summarize(create_model("lenet5"), rows={})
    assert summary.rows == [] and (summary.parameters, summary.macs) == (60_000, 326_520)
    assert summary.output_shape == (10,)
    assert str(summary).splitlines()[-1].split() == ["Total", "60,000", "326,520"]


@pytest.mark.parametrize(
    "rows, sentence",
    [
        ({"a": "c9"}, "row 'a': the model has no layer 'c9'; its own are c1, s2"),
        ({"a": ()}, "row 'a' names no layer"),
        ({"a": "c1", "b": ("s2", "c1")}, "'c1' of row 'b' is or overlaps 'c1' of row 'a'"),
        ({"a": "c1.0", "b": "c1"}, "'c1' of row 'b' is or overlaps 'c1.0' of row 'a'"),
    ],
)
def test_rows_that_cannot_be_made_are_refused(rows, sentence):
    with pytest.raises(ValueError, match=sentence):
        summarize(create_model("lenet5"), rows=rows)


def test_auxiliary_heads_are_counted_in_training():
    model = torchvision_model("googlenet")
    assert count_macs(model, (3, 224, 224)) == 1_498_376_192
    heads = summarize(model, (3, 224, 224), training=True)
    without = summarize(model, (3, 224, 224))
    assert column(without, "output_shape")["aux1"] is None
    assert column(heads, "output_shape")["aux1"] == (1000,)
    assert heads.macs - without.macs == sum(column(heads, "macs")[f"aux{i}"] for i in (1, 2)) > 0
    assert count_macs(model, (3, 224, 224), training=True) == heads.macs


def test_one_image_is_enough_for_training_with_batch_normalisation():
    model = nn.Sequential(nn.Conv2d(1, 2, 4), nn.BatchNorm2d(2))
    assert count_macs(model, (1, 4, 4), training=True) == 32


# Wrapped, compiled, traced and unfinished models


def test_of_wrapped_and_compiled_models_the_inside_is_shown():
    model = create_model("lenet5_modern")
    plain = summarize(model)
    assert summarize(torch.compile(model)) == plain
    assert summarize(nn.DataParallel(model)) == plain
    inner = nn.Sequential(torch.compile(model.c1), model.s2)
    assert summarize(inner).macs == plain.rows[0].macs
    model.compile()
    assert summarize(model) == plain


def test_traced_models_give_the_same_counts():
    model = create_model("resnet20_cifar")
    plain, traced = (
        summarize(model, (3, 32, 32)),
        summarize(torch.fx.symbolic_trace(model), (3, 32, 32)),
    )
    assert (traced.parameters, traced.macs) == (plain.parameters, plain.macs)
    assert traced.output_shape == (10,)


def test_scripted_models_are_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch would rather have nobody script any more
        scripted = torch.jit.script(nn.Conv2d(1, 1, 3))
    with pytest.raises(TypeError, match="is or holds a scripted module"):
        summarize(nn.Sequential(scripted), (1, 8, 8))


def test_what_is_no_module_is_refused():
    with pytest.raises(TypeError, match=r"torch\.nn\.Module is wanted; got function"):
        count_macs(create_model, (1, 8, 8))


def test_layers_without_a_shape_yet_are_refused():
    with pytest.raises(ValueError, match="lazy layers"):
        summarize(nn.Sequential(nn.LazyConv2d(4, 3)), (1, 8, 8))


def test_parametrised_layers_work_and_stay_as_they_are():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(6, 4))
    weight = layer.weight.clone()
    summary = summarize(nn.Sequential(nn.Flatten(), layer), (1, 2, 3), memory=True)
    assert (summary.macs, summary.parameters) == (24, 24 + 4 + 4)
    assert torch.equal(layer.weight, weight) and layer.weight.device.type == "cpu"


class Irregular(nn.Module):
    """Holds layers and tensors in places where PyTorch does not look for them."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 2, 3)
        self.again = [self.first]
        self.scale = torch.full((2, 1, 1), 3.0)
        self.shared = {"weight": self.first.weight}

    def forward(self, x):
        return self.again[0](x) * self.scale + F.conv2d(x, self.shared["weight"])


def test_layers_and_tensors_in_lists_are_copied_too():
    model = Irregular()
    assert summarize(model, (1, 8, 8)).macs == 2 * 2 * 9 * 36
    assert model.again[0] is model.first and model.scale.device.type == "cpu"


def test_random_numbers_are_not_used_up_by_a_run_in_training():
    model = create_model("lenet5_modern")
    state = torch.get_rng_state()
    summarize(nn.Sequential(model, nn.Dropout()), training=True, memory=True)
    assert torch.equal(torch.get_rng_state(), state)


# Speed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet1202_cifar", "preact_resnet1001_cifar", "nasnet_a_large"])
def test_building_and_counting_takes_about_a_second(name):
    def seconds() -> float:
        start = time.process_time()
        with torch.device("meta"):
            model = create_model(name)
        count_macs(model, published(name).input)
        return time.process_time() - start

    limit = 3.0 if name == "nasnet_a_large" else 1.0
    assert min(seconds() for _ in range(5)) < limit


# What is shown


def test_text_is_aligned_and_ends_with_the_totals():
    text = str(summarize(create_model("lenet5")))
    lines = text.splitlines()
    assert lines[0] == "LeNet5 on 1 × 32 × 32"
    assert lines[2].split() == "Layer Kind Output Parameters MACs Receptive field Stride".split()
    assert lines[-1].split() == ["Total", "60,000", "326,520"]
    end = lines[2].index("MACs") + len("MACs")
    assert [line[:end].split()[-1] for line in lines[4:6]] == ["117,600", "0"]
    assert all(len(line) <= len(lines[1]) for line in lines)


class Cells(html.parser.HTMLParser):
    """Text of a table, line by line; remembers headers and unclosed tags."""

    def __init__(self):
        super().__init__()
        self.lines, self.scopes, self.open, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.text.append(f"<{tag}>")
        if tag == "tr":
            self.lines.append([])
        if tag == "th":
            self.scopes.append(dict(attrs).get("scope"))
        if tag in ("td", "th"):
            self.lines[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.lines[-1][-1] += data


def test_html_is_a_table_with_headers_and_the_same_cells():
    summary = summarize(create_model("lenet5"))
    page = summary._repr_html_()
    table = Cells()
    table.feed(page)
    assert table.open == []
    assert table.lines[0] == list(Summary.HEADINGS)
    assert table.scopes == ["col"] * 7 + ["row"] * 8  # and the totals
    assert table.lines[3] == [
        "c3",
        "TableConv2d, ScaledTanh",
        "16 × 10 × 10",
        "1,516",
        "150,000",
        "14",
        "2",
    ]
    assert table.lines[-1][3:5] == ["60,000", "326,520"]
    assert "<caption" in page and summary.caption in page


def test_html_leaves_colours_to_the_page_and_escapes_names():
    page = summarize(create_model("lenet5"))._repr_html_()
    assert "#" not in page and "background" not in page and "rgb" not in page
    row = Row("<b>", "A & B", None, 0, 0)
    page = Summary("<i>", (1,), [row], 0, 0)._repr_html_()
    assert "&lt;b&gt;" in page and "A &amp; B" in page and "&lt;i&gt;" in page
    assert "<b>" not in page and "<i>" not in page


def test_the_same_model_is_shown_the_same_way_every_time():
    first, second = (summarize(create_model("lenet5")) for _ in range(2))
    assert str(first) == repr(second) and first._repr_html_() == second._repr_html_()


def test_memory_adds_two_columns_on_request():
    plain, full = (summarize(create_model("lenet5"), memory=memory) for memory in (False, True))
    assert plain.headings == Summary.HEADINGS
    assert full.headings == Summary.HEADINGS + Summary.MEMORY_HEADINGS
    lines = str(full).splitlines()
    assert lines[4].split()[-2:] == [f"{4 * 6 * 28 * 28:,}", f"{full.rows[0].kept_bytes:,}"]
    assert lines[-1].split()[-1] == f"{full.kept_bytes:,}"
    table = Cells()
    table.feed(full._repr_html_())
    assert table.lines[0][-2:] == ["Output bytes", "Kept bytes"]
    assert table.lines[-1][-1] == f"{full.kept_bytes:,}"


def test_the_rows_become_a_frame():
    frame = summarize(create_model("lenet5"), memory=True).to_dataframe()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.index) == ["c1", "s2", "c3", "s4", "c5", "f6", "output"]
    assert frame.macs.sum() == 326_520 and frame.loc["c3", "parameters"] == 1_516
    assert frame.loc["c1", "output_shape"] == (6, 28, 28)
    assert frame.kept_bytes.sum() > 0


def test_without_pandas_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        summarize(create_model("lenet5")).to_dataframe()


# Bad input


@pytest.mark.parametrize("shape", [(), (0, 32, 32), (1, 32.0, 32), (1, -1, 2), ("1", 2, 3)])
def test_shapes_that_are_none_are_refused(shape):
    with pytest.raises(ValueError, match=r"input_shape must be \(C, H, W\)"):
        summarize(create_model("lenet5"), shape)


def test_depth_below_one_is_refused():
    with pytest.raises(ValueError, match="depth must be at least 1"):
        summarize(create_model("lenet5"), depth=0)


def test_a_shape_that_does_not_fit_gets_the_models_own_answer():
    with pytest.raises(ValueError, match="Pad 28 x 28 images"):
        summarize(create_model("lenet5"), (1, 28, 28))


@pytest.mark.gpu
def test_models_on_a_gpu_stay_there_and_give_the_same_summary():
    model = create_model("lenet5").to("cuda")
    assert summarize(model) == summarize(create_model("lenet5"))
    assert all(p.is_cuda for p in model.parameters())
