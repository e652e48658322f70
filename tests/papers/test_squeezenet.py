"""What is printed of SqueezeNet and Deep Compression agrees with itself and with the networks."""

import math

import pytest
import torch

from cnnlib.inspection import count_parameters, summarize
from cnnlib.models import alexnet, create_model, squeezenet
from cnnlib.papers import squeezenet as printed
from cnnlib.published import parse, published


@pytest.fixture(scope="module")
def rows():
    with torch.device("meta"):
        summary = summarize(squeezenet.squeezenet1_0(), (3, 227, 227))
    return {row.name: row for row in summary.rows}


def test_the_rows_are_the_layers_of_the_network(rows):
    assert list(printed.TABLE_1) == [name for name in rows if name != "dropout9"]


def test_the_sizes_are_those_of_the_network_but_for_one_misprint(rows):
    off = []
    for layer, row in printed.TABLE_1.items():
        maps, *size = (*rows[layer].output_shape, 1, 1)[:3]
        if (maps, *size) != row.output:
            off.append(layer)
    assert off == ["maxpool8"] and rows["maxpool8"].output_shape == (512, 13, 13)


def test_the_parameters_are_those_of_the_network(rows):
    for layer, row in printed.TABLE_1.items():
        assert rows[layer].parameters == (row.parameters or 0), layer
    assert sum(row.parameters or 0 for row in printed.TABLE_1.values()) == printed.PARAMETERS
    assert published("squeezenet1_0").parameters == printed.PARAMETERS


def test_what_is_left_by_pruning_adds_up():
    left = [row.pruned or 0 for row in printed.TABLE_1.values()]
    assert sum(left) == printed.PRUNED
    assert all((row.pruned or 0) <= (row.parameters or 0) for row in printed.TABLE_1.values())
    assert round(100 * printed.PRUNED / printed.PARAMETERS) == 34  # the text has 33 %


def test_all_factors_of_table_2_divide_alexnet_uncompressed():
    base = printed.TABLE_2[0]
    assert base.times == 1
    for row in printed.TABLE_2:
        assert math.floor(base.after / row.after) in (row.times, row.times - 1), row
        assert row.after <= row.before
    assert {row.before for row in printed.TABLE_2 if row.network == "SqueezeNet"} == {4.8}


def test_the_uncompressed_sizes_are_four_bytes_for_each_parameter():
    for network, name, unit in (
        ("AlexNet", "alexnet", 1e6),
        ("SqueezeNet", "squeezenet1_0", 2**20),
    ):
        with torch.device("meta"):
            count = 4 * count_parameters(create_model(name))
        [row] = [r for r in printed.TABLE_2 if r.network == network and r.approach == "none"]
        assert math.isclose(count / unit, row.after, rel_tol=0.02)


def test_the_accuracies_are_those_that_the_book_compares_by():
    record = published("squeezenet1_0")
    for row in printed.TABLE_2:
        if row.network == "SqueezeNet":
            assert 100 - row.top1 == pytest.approx(record.top1_error)
            assert 100 - row.top5 == pytest.approx(record.top5_error)


def test_the_two_papers_mean_the_same_alexnet():
    reported = printed.HAN_TABLE_1["AlexNet"]
    [row] = [r for r in printed.TABLE_2 if r[:2] == ("AlexNet", "Deep Compression")]
    assert (row.before, row.after) == reported.size and row.times == reported.times
    assert row.top1 == pytest.approx(100 - reported.top1[1], abs=0.05)
    assert row.top5 == pytest.approx(100 - reported.top5[1], abs=0.05)
    assert (printed.HAN_STAGES["none"], printed.HAN_STAGES["Huffman"]) == reported.size


@pytest.mark.parametrize("ratio", printed.SQUEEZE_RATIOS)
def test_networks_of_other_squeeze_ratios_have_the_printed_size(ratio):
    fires = squeezenet.fire_widths(squeeze_ratio=ratio)
    with torch.device("meta"):
        count = count_parameters(squeezenet.SqueezeNet(fires=fires))
    sizes = [4 * count / unit for unit in (2**20, 1e6)]  # 4.8 is in units of 2^20, 19 is not
    printed_size = printed.SQUEEZE_RATIOS[ratio].megabytes
    assert any(math.isclose(size, printed_size, rel_tol=0.02) for size in sizes)
    assert [math.isclose(size, printed_size, rel_tol=0.02) for size in sizes].count(True) == 1


def test_the_network_with_half_of_3x3_has_the_printed_size():
    with torch.device("meta"):
        fires = squeezenet.fire_widths(squeeze_ratio=0.5)
        count = count_parameters(squeezenet.SqueezeNet(fires=fires))
    assert math.isclose(4 * count / 2**20, printed.HALF_OF_3X3.megabytes, rel_tol=0.03)


def test_the_complex_bypass_is_larger_than_its_parameters_explain():
    with torch.device("meta"):
        count = count_parameters(create_model("squeezenet1_0_complex"))
    assert parse(published("squeezenet1_0_complex").printed_parameters).value > 1.2 * count


def test_deep_compression_divides_what_it_says():
    for row in printed.HAN_TABLE_1.values():
        assert round(row.size[0] / row.size[1]) in (row.times, row.times - 1, row.times + 1)


def test_the_layers_of_deep_compression_are_those_of_alexnet_in_two_towers():
    with torch.device("meta"):
        network = alexnet.alexnet()
    for name, row in printed.HAN_TABLE_4.items():
        weights = sum(p.numel() for p in network.get_submodule(name).parameters() if p.ndim > 1)
        assert math.isclose(weights, 1000 * row.weights, rel_tol=0.03), name


def test_the_rates_of_a_layer_follow_from_its_bits_and_a_little_more():
    for name, row in printed.HAN_TABLE_4.items():
        for step in (0, 1):
            least = row.kept * (row.bits[step] + row.gap_bits[step]) / 32
            assert 0.94 * least < row.rate[step] < 1.25 * least, name  # fillers, tables, rounding


def test_the_last_row_is_the_mean_of_the_layers():
    weights = [row.weights for row in printed.HAN_TABLE_4.values()]
    for step in (0, 1):
        rates = [row.rate[step] for row in printed.HAN_TABLE_4.values()]
        mean = sum(map(math.prod, zip(weights, rates, strict=True))) / sum(weights)
        assert math.isclose(mean, printed.HAN_RATE[step], rel_tol=0.06)
    shares = [row.kept for row in printed.HAN_TABLE_4.values()]
    mean = sum(map(math.prod, zip(weights, shares, strict=True))) / sum(weights)
    assert math.isclose(mean, printed.HAN_KEPT, rel_tol=0.06)
    assert round(100 / printed.HAN_RATE[1]) == printed.HAN_TABLE_1["AlexNet"].times


def test_fewer_bits_never_lower_the_printed_errors_by_more_than_a_hair():
    errors = [row.top1 for row in printed.HAN_TABLE_6]
    assert errors == sorted(errors)
    assert printed.HAN_TABLE_6[0].top1 == printed.HAN_TABLE_1["AlexNet"].top1[0]
