"""What is printed of DenseNet agrees with itself, with the networks and with the book's records."""

import pytest
import torch

from cnnlib.inspection import count_parameters, summarize
from cnnlib.models import create_model, list_models
from cnnlib.models.densenet import TABLE_1, layers_per_block
from cnnlib.papers import densenet as printed
from cnnlib.papers import preact_resnet
from cnnlib.published import parse, published


@pytest.mark.parametrize("name, row", printed.TABLE_2.items())
def test_the_rows_of_table_2_are_those_of_the_book(name, row):
    record = published(name)
    assert record.printed_parameters == row.parameters
    assert record.top1_error == row.c10_plus and "C10+" in record.protocol
    with torch.device("meta"):
        assert parse(row.parameters).fits(count_parameters(create_model(name)))


def test_the_names_of_table_2_tell_the_depth():
    for name, row in printed.TABLE_2.items():
        assert f"_l{row.depth}_" in name
        assert layers_per_block(row.depth, bottleneck="_bc_" in name)
    drawn_only = set(list_models("densenet*cifar*")) - set(printed.TABLE_2)
    assert all(published(name).top1_error is None for name in drawn_only)


def test_augmentation_helps_every_network_and_100_classes_are_harder_than_10():
    for row in (*printed.TABLE_2.values(), *printed.RIVALS.values()):
        for plain, plus in ((row.c10, row.c10_plus), (row.c100, row.c100_plus)):
            assert plus is None or plain is None or plus < plain
        if row.c100_plus is not None:
            assert row.c100_plus > row.c10_plus


def test_the_rivals_are_those_of_their_own_papers():
    errors = {  # CIFAR-10 and CIFAR-100, with augmentation, as the later of the two papers has them
        (row.network, row.unit, row.batch_size): [] for row in preact_resnet.TABLE_4
    }
    for row in preact_resnet.TABLE_4:
        errors[row.network, row.unit, row.batch_size].append((row.parameters, row.error))
    here = printed.RIVALS
    assert errors["ResNet-110", "original", 128] == [(here["ResNet"].parameters, 6.61)]
    assert here["ResNet"].c10_plus == 6.61
    rival = here["pre-activation ResNet-164"]
    expected = [(rival.parameters, e) for e in (rival.c10_plus, rival.c100_plus)]
    assert errors["ResNet-164", "full", 128] == expected
    rival = here["pre-activation ResNet-1001"]
    assert errors["ResNet-1001", "full", 64] == [(rival.parameters, rival.c10_plus)]
    assert errors["ResNet-1001", "full", 128][1] == (rival.parameters, rival.c100_plus)


def test_a_tenth_of_the_parameters_of_1001_layers_reaches_their_error():
    small = printed.TABLE_2["densenet_bc_cifar_l100_k12"]
    large = printed.RIVALS["pre-activation ResNet-1001"]
    share = parse(small.parameters).value / parse(large.parameters).value
    assert round(1 - share, 1) == printed.FEWER_THAN_1001
    assert small.c10_plus < large.c10_plus and small.c100_plus < large.c100_plus


@pytest.mark.parametrize("name, row", printed.TABLE_3.items())
def test_the_crops_are_those_of_the_book_and_ten_are_better_than_one(name, row):
    record = published(name)
    assert (record.top1_error, record.top5_error) == (row.top1, row.top5)
    assert row.top1_ten < row.top1 and row.top5_ten < row.top5


def test_table_3_has_the_networks_of_table_1_and_depth_helps():
    assert list(printed.TABLE_3) == [f"densenet{depth}" for depth in TABLE_1]
    for measure in zip(*printed.TABLE_3.values(), strict=True):
        assert list(measure) == sorted(measure, reverse=True)


def test_the_sides_are_those_of_the_network():
    with torch.device("meta"):
        rows = summarize(create_model("densenet121"), (3, 224, 224)).rows
    shapes = {row.name: row.output_shape for row in rows}
    for name, side in printed.SIDES.items():
        assert shapes[name][1:] == (side, side)


def test_no_layer_is_more_transitions_away_from_the_classifier_than_there_are():
    assert {len(blocks) - 1 for blocks in TABLE_1.values()} == {max(printed.MOST_TRANSITIONS)}
    assert len(layers_per_block(40, bottleneck=False)) - 1 == min(printed.MOST_TRANSITIONS)


def test_on_imagenet_less_than_half_of_the_parameters_is_needed_not_a_third():
    with torch.device("meta"):
        dense, residual = (count_parameters(create_model(n)) for n in ("densenet201", "resnet101"))
    assert dense < residual / 2  # section 4.4: 20 million against more than 40
    assert residual / dense < printed.FEWER_THAN_RESNET  # the third is that of figure 4


def test_saving_memory_lets_larger_networks_in():
    before, after = (parse(text).value for text in printed.FITS_ONE_GPU)
    assert after > 3 * before
    assert published("densenet264_k48").printed_parameters == "73M"
