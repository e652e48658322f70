"""What is printed of VGG fits together, and fits our networks."""

import pytest
import torch
from torch import nn

from cnnlib.inspection import count_parameters
from cnnlib.models.vgg import TABLE_1, VGG
from cnnlib.papers import vgg as printed
from cnnlib.published import published


@pytest.mark.parametrize("config", TABLE_1)
def test_our_networks_have_the_layers_and_parameters_that_are_printed(config):
    with torch.device("meta"):
        model = VGG(config=config)
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == printed.WEIGHT_LAYERS[config]
    assert round(count_parameters(model) / 1e6) == printed.MILLION_PARAMETERS[config]


def test_every_network_stands_in_table_3_and_at_256_as_published():
    assert {row.config for row in printed.TABLE_3} == set(TABLE_1)
    row = next(r for r in printed.TABLE_3 if r.config == "A-LRN")
    assert (row.top1, row.top5) == (published("vgg_a_lrn").top1_error, 10.5)
    assert len(printed.TABLE_3) == 12 and len(printed.TABLE_4) == 10


def test_jittered_networks_are_tested_in_the_middle_of_their_scales():
    """Q = S for a fixed S, else the middle of its range (section 4.1)."""
    for row in printed.TABLE_3:
        assert row.test == (sum(row.train) // len(row.train),)


def test_test_scales_lie_around_those_of_training():
    """Q = S - 32, S, S + 32, or the ends and the middle of a range (section 4.2)."""
    for row in printed.TABLE_4:
        low, high = row.train[0], row.train[-1]
        middle = (low + high) // 2
        around = (low - 32, low, low + 32) if low == high else (low, middle, high)
        assert row.test == around


def test_more_scales_lower_the_error_of_every_network():
    for row in printed.TABLE_4:
        [one] = [r for r in printed.TABLE_3 if (r.config, r.train) == (row.config, row.train)]
        assert row.top1 < one.top1 and row.top5 < one.top5


def test_dense_evaluation_of_table_5_is_the_last_row_of_table_4():
    for config in ("D", "E"):
        [dense] = [r for r in printed.TABLE_5 if (r.config, r.method) == (config, "dense")]
        [row] = [r for r in printed.TABLE_4 if (r.config, r.train) == (config, printed.JITTER)]
        assert (dense.top1, dense.top5) == (row.top1, row.top5)


def test_both_ways_of_looking_together_are_best():
    for config in ("D", "E"):
        rows = [r for r in printed.TABLE_5 if r.config == config]
        assert min(rows, key=lambda r: (r.top1, r.top5)).method == "multi-crop and dense"


def test_one_network_of_table_7_is_the_best_row_of_table_5():
    [one] = [r for r in printed.TABLE_7 if (r.who, r.networks) == ("VGG", 1)]
    best = min(printed.TABLE_5, key=lambda r: (r.top1, r.top5))
    assert (one.top1, one.top5) == (best.top1, best.top5)


def test_googlenet_won_with_seven_networks_and_vgg_is_ahead_with_one():
    def error(who, networks):
        [row] = [r for r in printed.TABLE_7 if (r.who, r.networks) == (who, networks)]
        assert row.test is not None
        return row.test

    assert error("GoogLeNet", 7) < error("VGG", 7)
    assert error("VGG", 1) < error("GoogLeNet", 1)


def test_the_rivals_are_quoted_as_their_own_records_have_them():
    krizhevsky = printed.TABLE_7[-1]
    assert krizhevsky.networks == 1 and krizhevsky.top5 == 18.2
    assert published("alexnet").top5_error != krizhevsky.top5  # that is of ILSVRC-2010


def test_eighty_one_percent_more_is_what_49_is_of_27():
    assert round(100 * (49 / 27 - 1)) == printed.SEVEN_NEEDS_MORE


def test_epochs_follow_from_iterations():
    training = printed.TRAINING
    seen = training.iterations * training.batch_size
    assert seen / training.images == pytest.approx(training.epochs, rel=0.02)


def test_a_network_without_a_published_error_is_refused():
    with pytest.raises(ValueError, match="no error is published of vgg_b_bn"):
        printed._at_256("B-BN")
