"""Summaries against published totals, PyTorch's own counter, and gradients."""

import html.parser

import pytest
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


@pytest.mark.parametrize(
    "name", ["resnet50", "densenet121", "efficientnet_b0", "shufflenet_v2_x1_0"]
)
def test_macs_are_half_of_what_pytorch_counts_as_operations(name):
    model = torchvision_model(name).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, 3, 224, 224, device="meta"))
    assert 2 * count_macs(model, (3, 224, 224)) == counter.get_total_flops()


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
