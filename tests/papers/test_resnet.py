"""What is printed of residual networks is what ours have, and says what the chapter makes of it."""

import pytest
import torch

from cnnlib.inspection import count_macs, count_parameters, summarize
from cnnlib.models import create_model
from cnnlib.papers import resnet as printed
from cnnlib.published import parse, published


def on_meta(name):
    with torch.device("meta"):
        return create_model(name)


@pytest.mark.parametrize("depth", printed.TABLE_1)
def test_table_1_prints_the_multiply_adds_of_our_networks(depth):
    record = published(printed.TABLE_1[depth])
    macs = count_macs(on_meta(record.name), record.input)
    assert parse(record.printed_macs).fits(macs)


@pytest.mark.parametrize("depth", printed.TABLE_1)
def test_table_1_prints_the_sizes_of_our_stages(depth):
    network = on_meta(printed.TABLE_1[depth])
    rows = {row.name: row for row in summarize(network, (3, 224, 224)).rows}
    assert printed.OUTPUT_SIDES["conv2_x"] * 4 == 224
    for stage, side in printed.OUTPUT_SIDES.items():
        last = [row for name, row in rows.items() if name.split(".")[0] == stage][-1]
        assert last.output_shape[-2:] == (side, side), stage


def test_networks_of_a_pair_have_the_same_parameters():
    for pair in printed.TABLE_2.values():
        plain, residual = (on_meta(name) for name in pair)
        assert count_parameters(plain) == count_parameters(residual)
        assert {published(name).protocol for name in pair} == {printed.TABLE_3_PROTOCOL}


def test_degradation_is_in_table_2():
    eighteen, thirty_four = (printed.TABLE_2[depth] for depth in (18, 34))
    assert published(thirty_four.plain).top1_error > published(eighteen.plain).top1_error
    assert published(thirty_four.residual).top1_error < published(eighteen.residual).top1_error


def test_table_3_is_sorted_from_the_worst_network_to_the_best():
    errors = [published(name).top1_error for name in printed.TABLE_3]
    assert errors == sorted(errors, reverse=True)
    assert {published(name).protocol for name in printed.TABLE_3} == {printed.TABLE_3_PROTOCOL}


def test_errors_of_cifar_fall_with_depth_but_for_the_last():
    errors = [published(f"resnet{depth}_cifar").top1_error for depth in printed.CIFAR_DEPTHS]
    *falling, last = errors
    assert falling == sorted(falling, reverse=True)
    assert last > falling[-1] and last > errors[2]  # worse than 44 layers


def test_other_protocols_give_lower_errors_than_table_3():
    best = published("resnet152")
    assert printed.BEST_SINGLE.top1 < best.top1_error
    assert printed.ENSEMBLE.top5 < printed.BEST_SINGLE.top5 < best.top5_error


def test_the_learning_rate_drops_at_half_and_at_three_quarters():
    training = printed.CIFAR_TRAINING
    assert [drop / training.steps for drop in training.drops] == [0.5, 0.75]
    assert training.warmup_lr < training.lr


def test_batch_normalisation_needs_fourteen_times_fewer_steps():
    steps = printed.BATCH_NORM_STEPS
    ratio = steps["Inception"].millions / steps["BN-x5"].millions
    assert int(ratio) == printed.BATCH_NORM_SPEEDUP
    assert steps["Inception"].best == printed.TARGET_ACCURACY
    for row in steps.values():  # who reaches the target says when
        assert (row.millions is None) == (row.best < printed.TARGET_ACCURACY)


def test_the_tables_of_the_best_errors_end_with_the_best():
    for table in (printed.TABLE_4, printed.TABLE_5):
        assert min(row.top5 for row in table) == table[-1].top5
    own = [row.top5 for row in printed.TABLE_4 if row.network.startswith("ResNet")]
    assert own == sorted(own, reverse=True) and len(own) == 5


def test_several_networks_are_better_than_one_of_them():
    alone = {row.network: row.top5 for row in printed.TABLE_4}
    for row in printed.TABLE_5[:-1]:
        assert row.top5 < alone[row.network]


def test_the_relative_gain_on_coco_follows_from_table_8():
    before, after = printed.COCO_MAP["VGG-16"], printed.COCO_MAP["ResNet-101"]
    assert round(100 * (after - before) / before) == printed.COCO_RELATIVE_GAIN


def test_the_flops_of_vgg_are_those_of_our_networks_or_of_their_convolutions():
    """VGG-19 is printed with its fully connected layers, VGG-16 without."""
    count = {16: "vgg_d", 19: "vgg_e"}
    macs = {layers: published(name).macs for layers, name in count.items()}
    fully_connected = 7 * 7 * 512 * 4096 + 4096 * 4096 + 4096 * 1000
    assert parse(printed.VGG_FLOPS[19]).fits(macs[19])
    assert not parse(printed.VGG_FLOPS[16]).fits(macs[16])
    assert parse(printed.VGG_FLOPS[16]).fits(macs[16] - fully_connected)
    flops = parse(published("plain34").printed_macs).value
    assert round(100 * flops / parse(printed.VGG_FLOPS[19]).value) == printed.VGG_SHARE
