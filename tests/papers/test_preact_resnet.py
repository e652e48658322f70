"""What is printed about pre-activation agrees with itself, with the networks and with the book."""

import statistics

import pytest
import torch

from cnnlib.inspection import count_parameters
from cnnlib.models import create_model
from cnnlib.models.preact_resnet import FIGURE_2, FIGURE_4
from cnnlib.papers.preact_resnet import TABLE_1, TABLE_2, TABLE_3, TABLE_4, TABLE_5
from cnnlib.published import parse, published


def test_the_rows_are_named_as_the_options_of_the_network():
    assert list(TABLE_2) == list(FIGURE_4)
    assert {row.shortcut for row in TABLE_1} == {*FIGURE_2, "none"}
    assert [row.panel for row in TABLE_2.values()] == list("abcde")


def test_no_shortcut_of_table_1_beats_the_identity():
    first, *others = TABLE_1
    assert first.shortcut == "identity" and first.error is not None
    assert all(row.error is None or first.error < row.error < 20 for row in others)


def test_the_same_network_has_the_same_error_in_all_tables():
    assert TABLE_1[0].error == TABLE_2["original"].resnet110
    errors = {(row.dataset, row.network): row for row in TABLE_3}
    for network, original, full in (
        ("ResNet-110", TABLE_2["original"].resnet110, TABLE_2["full"].resnet110),
        ("ResNet-164", TABLE_2["original"].resnet164, TABLE_2["full"].resnet164),
    ):
        row = errors["CIFAR-10", network]
        assert (row.original, row.full) == (original, full)
    for row in TABLE_4:
        if row.batch_size == 128 and (row.dataset, row.network) in errors:
            assert getattr(errors[row.dataset, row.network], row.unit) == row.error


def test_the_mean_of_five_runs_is_near_their_median():
    given = [row for row in TABLE_4 if row.mean_sd]
    assert len(given) == 3
    for row in given:
        mean, sd = row.mean_sd
        assert abs(mean - row.error) < sd


@pytest.mark.parametrize("depth", [110, 164, 1001])
def test_the_figures_of_cifar_are_those_that_the_book_has_published(depth):
    record = published(f"preact_resnet{depth}_cifar")
    row = next(r for r in TABLE_3 if r.network == f"ResNet-{depth}" and r.dataset == "CIFAR-10")
    assert row.full == record.top1_error
    printed = {r.parameters for r in TABLE_4 if r.network == f"ResNet-{depth}"}
    assert printed == {record.printed_parameters}


@pytest.mark.parametrize("depth", [152, 200])
def test_the_figures_of_imagenet_are_those_that_the_book_has_published(depth):
    record = published(f"preact_resnet{depth}")
    row = next(r for r in TABLE_5 if r.network == f"ResNet-{depth}" and r.unit == "full")
    assert (row.top1, row.top5) == (record.top1_error, record.top5_error)
    assert f"one crop of {row.test_crop}" in record.protocol


@pytest.mark.parametrize("depth, fits", [(110, True), (164, True), (1001, False)])
def test_the_parameters_of_table_4_are_those_of_our_networks_except_at_1001_layers(depth, fits):
    with torch.device("meta"):
        model = create_model(f"preact_resnet{depth}_cifar")
    printed = parse(published(f"preact_resnet{depth}_cifar").printed_parameters)
    assert printed.fits(count_parameters(model)) == fits
    convolutions = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    assert printed.fits(sum(map(count_parameters, convolutions)))


def test_the_new_unit_wins_in_every_pair_that_is_printed():
    gains = [row.original - row.full for row in TABLE_3]
    assert min(gains) > 0 and statistics.median(gains) < 1 < max(gains)
