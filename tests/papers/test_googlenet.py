"""What is printed of GoogLeNet agrees with itself and the network, but for the known misprints."""

import math

import pytest
import torch

from cnnlib.inspection import summarize
from cnnlib.models import googlenet
from cnnlib.papers import googlenet as printed
from cnnlib.papers import ilsvrc
from cnnlib.published import parse, published


@pytest.fixture(scope="module")
def rows():
    with torch.device("meta"):
        return {row.name: row for row in summarize(googlenet.googlenet(), (3, 224, 224)).rows}


def test_the_rows_are_the_layers_of_the_network(rows):
    assert list(rows) == list(printed.TABLE_1)


@pytest.mark.parametrize("layer", printed.TABLE_1)
def test_the_sizes_are_those_of_the_network(rows, layer):
    maps, *size = (*rows[layer].output_shape, 1, 1)[:3]
    assert (maps, *size) == printed.TABLE_1[layer].output


def test_the_operations_are_those_of_the_network_but_for_two_rows(rows):
    off = {
        layer: round(rows[layer].macs / 1e6)
        for layer, row in printed.TABLE_1.items()
        if row.ops is not None and abs(rows[layer].macs / 1e6 - row.ops) >= 1
    }
    assert off == {"conv1": 118, "inception5a": 51}
    assert printed.TABLE_1["conv1"].ops == 34 and printed.TABLE_1["inception5a"].ops == 54


def test_depth_and_sums_are_those_of_the_text():
    rows = printed.TABLE_1.values()
    assert sum(row.depth for row in rows) == printed.DEPTH
    poolings = sum("pool" in layer for layer in printed.TABLE_1)
    assert printed.DEPTH + poolings == printed.DEPTH_WITH_POOLING
    operations = sum(row.ops or 0 for row in rows)
    assert math.isclose(1e6 * operations, printed.BUDGET, rel_tol=0.01)
    record = published("googlenet")
    assert parse(record.printed_macs).value == 1e6 * operations
    parameters = sum(row.params or 0 for row in rows)
    assert parse(record.printed_parameters).fits(round(1e3 * parameters))


def test_the_constants_are_those_of_the_network():
    network = googlenet.googlenet(auxiliary_heads=True, stem="small", width_multiplier=1 / 64)
    assert network.dropout.p == printed.DROPOUT
    assert list(printed.AUXILIARY_OUTPUTS) == ["4a", "4d"]
    for row, (maps, height, width) in printed.AUXILIARY_OUTPUTS.items():
        assert printed.TABLE_1[f"inception{row}"].output == (maps, 14, 14)
        head = getattr(network, f"auxiliary{row}")
        assert head.pool(torch.zeros(1, 1, 14, 14)).shape == (1, 1, height, width)


def test_the_crops_multiply_to_those_of_the_best_row():
    assert math.prod(printed.CROPS.values()) == printed.TABLE_3[-1].crops
    assert all(row.cost == row.networks * row.crops for row in printed.TABLE_3)


def test_the_changes_are_the_differences_but_for_the_last():
    first, *others = printed.TABLE_3
    differences = [round(row.error - first.error, 2) for row in others]
    assert differences[:-1] == [row.change for row in others[:-1]]
    assert differences[-1] == -3.40 and others[-1].change == -3.45


def test_the_first_row_is_the_result_that_the_book_compares_by():
    assert printed.TABLE_3[0].error == published("googlenet").top5_error


def test_the_winner_is_the_ensemble_with_all_crops():
    best = min(printed.TABLE_2, key=lambda entry: entry.error)
    assert best.team == "GoogLeNet" and best.error == printed.TABLE_3[-1].error
    places = {entry.team: entry.place for entry in printed.TABLE_2 if entry.year == 2014}
    assert sorted(places, key=places.get) == ["GoogLeNet", "VGG", "MSRA"]


def test_the_winners_are_those_of_the_pages_of_results():
    entries = {(entry.team, entry.year): entry.error for entry in ilsvrc.ENTRIES}
    assert abs(entries["GoogLeNet", 2014] - printed.TABLE_2[-1].error) < 0.02
    assert abs(entries["VGG", 2014] - printed.TABLE_2[-2].error) < 0.02
