"""The printed figures agree with each other and with what the networks have."""

import pytest
import torch

from cnnlib.inspection import count_macs
from cnnlib.models import efficientnet
from cnnlib.models.layers import DropPath
from cnnlib.papers import efficientnet as printed
from cnnlib.published import parse, published

WAYS = ("depth", "width", "resolution", "compound")


def figures(variant):
    record = published(f"efficientnet_{variant}")
    return parse(record.printed_parameters).value, parse(record.printed_macs).value


def test_table_1_is_the_network():
    stem, *stages, head = printed.TABLE_1
    assert (stem.channels, head.channels) == (efficientnet.STEM, efficientnet.HEAD)
    for row, stage in zip(stages, efficientnet.TABLE_1, strict=True):
        kernel = stage.kernel_size
        assert row.operator == f"MBConv{stage.expansion}, k{kernel}x{kernel}"
        assert (row.channels, row.layers) == (stage.channels, stage.layers)


def test_the_resolutions_of_table_1_are_those_of_what_comes_in():
    side, inputs = 224, [224]
    for stride in (2, *(stage.stride for stage in efficientnet.TABLE_1)):
        side //= stride
        inputs.append(side)
    assert [row.resolution for row in printed.TABLE_1] == inputs


def test_the_ratios_spend_a_little_less_than_twice():
    spent = printed.ALPHA * printed.BETA**2 * printed.GAMMA**2
    assert spent == pytest.approx(1.92, abs=0.005) and spent < printed.BUDGET
    assert efficientnet.compound_scaling(1) == efficientnet.compound_scaling(
        1, printed.ALPHA, printed.BETA, printed.GAMMA
    )


@pytest.mark.parametrize("rival", printed.TABLE_2, ids=lambda rival: rival.name)
def test_the_ratios_of_table_2_are_those_of_its_columns(rival):
    parameters, macs = figures(rival.beside)
    assert rival.parameters * 1e6 / parameters == pytest.approx(rival.more_parameters, rel=0.03)
    assert (rival.macs is None) == (rival.more_macs is None)
    if rival.macs is not None:
        billions = 25 if rival.name == "PNASNet" else rival.macs
        assert billions * 1e9 / macs == pytest.approx(rival.more_macs, rel=0.06)


def test_no_rival_in_table_2_is_better_than_the_efficientnet_beside_it():
    for rival in printed.TABLE_2:
        assert rival.top1 <= 100 - published(f"efficientnet_{rival.beside}").top1_error


@pytest.mark.parametrize("pair", printed.TABLE_4, ids=lambda pair: pair.rival)
def test_the_speedups_of_table_4_are_quotients(pair):
    assert pair.rival_seconds / pair.seconds == pytest.approx(pair.speedup, abs=0.06)


def test_in_every_comparison_compound_is_the_best():
    for table in (printed.TABLE_3, printed.TABLE_7):
        for network in {row.network for row in table}:
            rows = {row.way: row for row in table if row.network == network}
            assert set(rows) <= set(printed.COEFFICIENTS)
            assert max(rows.values(), key=lambda row: row.top1).way == "compound"
            assert min(rows.values(), key=lambda row: row.top1).way == "baseline"


def test_the_networks_of_table_7_cost_what_is_printed_only_if_they_are_compound():
    counted = {}
    for way, (depth, width, side) in printed.COEFFICIENTS.items():
        with torch.device("meta"):
            model = efficientnet.EfficientNet(width_multiplier=width, depth_multiplier=depth)
        side *= 224
        counted[way] = count_macs(model, (3, round(side), round(side)))
    ratio = {row.way: counted[row.way] / 1e9 / row.macs for row in printed.TABLE_7}
    assert ratio["compound"] == pytest.approx(1, abs=0.01)
    assert all(ratio[way] < 0.9 for way in WAYS[:3])


def test_the_accuracies_of_the_published_networks_are_those_of_tables_2_and_8():
    for variant, (validation, test) in printed.TABLE_8.items():
        top1 = 100 - published(f"efficientnet_{variant}").top1_error
        assert top1 == pytest.approx(validation, abs=0.0501)
        assert abs(test - validation) < 0.15
        assert printed.RECIPES["AutoAugment"][variant] == pytest.approx(top1)


def test_better_recipes_are_better_for_every_network():
    names = ["ResNet preprocessing", "AutoAugment", "AdvProp + AutoAugment"]
    names.append("NoisyStudent, more images")
    for earlier, later in zip(names, names[1:], strict=False):
        for variant, accuracy in printed.RECIPES[earlier].items():
            assert printed.RECIPES[later][variant] > accuracy
    for recipe in printed.RECIPES.values():
        assert list(recipe.values()) == sorted(recipe.values())
        assert set(recipe) <= set(efficientnet.VARIANTS)


def test_no_block_is_dropped_more_often_than_the_survival_of_the_last_allows():
    with torch.device("meta"):
        model = efficientnet.EfficientNet()
    rates = [layer.rate for layer in model.modules() if isinstance(layer, DropPath)]
    assert len(rates) == sum(stage.layers for stage in efficientnet.TABLE_1)
    assert 0.8 * (1 - printed.SURVIVAL) < max(rates) < 1 - printed.SURVIVAL
