"""What is printed of MobileNet agrees with itself and the network, but for the known misprints."""

import pytest
import torch

from cnnlib.inspection import convolutions, count_macs, summarize
from cnnlib.models import create_model, mobilenet
from cnnlib.papers import mobilenet as printed
from cnnlib.published import parse, published

TABLES = {"4": printed.TABLE_4, "5": printed.TABLE_5, "6": printed.TABLE_6, "7": printed.TABLE_7,
          "8": printed.TABLE_8, "9": printed.TABLE_9}  # fmt: skip


@pytest.fixture(scope="module")
def network():
    with torch.device("meta"):
        return create_model("mobilenet_v1_1_224")


def test_the_sizes_of_table_1_are_those_of_the_network(network):
    rows = summarize(network, (3, 224, 224), depth=2).rows
    sides = {row.name: row.output_shape[1] for row in rows if row.name.endswith("wise")}
    for number, (depthwise, pointwise) in enumerate(printed.INPUT_SIDES[1:], start=1):
        assert sides[f"block{number}.depthwise"] == pointwise
        before = sides.get(f"block{number - 1}.pointwise", 112)
        assert before == depthwise
    assert printed.INPUT_SIDES[0] == (224,) and len(printed.INPUT_SIDES) == len(mobilenet.TABLE_1)


def test_the_last_depthwise_stride_is_a_misprint():
    assert printed.INPUT_SIDES[-1] == (7, 7)  # nothing is halved
    assert mobilenet.TABLE_1[-1].stride == 1 != printed.TABLE_1_LAST_DEPTHWISE_STRIDE


def test_counted_separately_the_convolutions_and_the_classifier_are_28_layers(network):
    layers = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    assert len(layers) == printed.LAYERS


def test_the_shares_of_table_2_are_those_of_the_weights_but_for_two_exchanged_digits(network):
    layers = dict(network.named_modules())
    sums = {name: [0, 0] for name in printed.TABLE_2}
    for row in summarize(network, (3, 224, 224), depth=3).rows:
        layer = layers.get(row.name)
        if isinstance(layer, torch.nn.Linear):
            name = "Fully connected"
        elif not isinstance(layer, torch.nn.Conv2d):
            continue
        elif layer.groups > 1:
            name = "Conv DW 3 × 3"
        else:
            name = "Conv 1 × 1" if layer.kernel_size == (1, 1) else "Conv 3 × 3"
        sums[name][0] += row.macs
        sums[name][1] += layer.weight.numel()  # neither biases nor batch normalisation
    macs, weights = map(sum, zip(*sums.values(), strict=True))
    for name, (some_macs, some_weights) in sums.items():
        share = printed.TABLE_2[name]
        assert round(100 * some_weights / weights, 2) == share.parameters, name
        assert round(100 * some_macs / macs, 2) == (1.91 if share.macs == 1.19 else share.macs)


def test_the_steps_of_table_3_are_those_of_a_layer():
    full = convolutions.cost("full", 512, 512, 14)
    separable = convolutions.cost("separable", 512, 512, 14)
    thinner = convolutions.cost("separable", 384, 384, 14)
    smaller = convolutions.cost("separable", 384, 384, 10)
    for row, cost in zip(
        printed.TABLE_3.values(), (full, separable, thinner, smaller), strict=True
    ):
        assert abs(cost.macs / 1e6 - row.macs) < 0.5
        assert cost.parameters / 1e6 == pytest.approx(row.parameters, abs=0.005)


@pytest.mark.parametrize("table", TABLES)
def test_a_row_says_what_is_published_of_its_network(table):
    for name, row in TABLES[table].items():
        record = published(row.model)
        if record.paper == "mobilenet":
            assert record.top1_error == pytest.approx(100 - row.accuracy), name
            assert parse(record.printed_macs).value == row.macs * 1e6
            assert parse(record.printed_parameters).fits(round(row.parameters * 1e6))


def test_one_row_of_table_9_counts_double():
    squeezenet = published("squeezenet1_0")
    assert parse(squeezenet.printed_macs).fits(1_720_000_000)  # additions counted too
    with torch.device("meta"):
        macs = count_macs(create_model("squeezenet1_0"), (3, 227, 227))
    assert abs(2 * macs / 1e6 - printed.TABLE_9["Squeezenet"].macs) < 100
    ratio = printed.TABLE_9["Squeezenet"].macs / printed.TABLE_9["0.50 MobileNet-160"].macs
    assert int(ratio) == printed.FEWER_THAN_SQUEEZENET


def test_the_grid_of_figures_4_and_5_is_in_the_registry():
    names = [f"mobilenet_v1_{a}_{r}" for a in printed.ALPHAS for r in printed.RESOLUTIONS]
    assert len(names) == printed.GRID
    for name in names:
        assert published(name).paper == "mobilenet"


def test_thinner_is_better_than_shallower_by_as_much_as_the_text_says():
    thin, shallow = printed.TABLE_5.values()
    assert round(thin.accuracy - shallow.accuracy) == printed.THINNER_BEATS_SHALLOWER
