"""What is printed of squeeze and excitation agrees with itself and with the networks."""

import pytest
import torch

from cnnlib.inspection import count_parameters
from cnnlib.models import create_model, senet
from cnnlib.papers import ilsvrc
from cnnlib.papers import senet as printed
from cnnlib.published import parse, published


def size(model):
    """Millions of numbers with the running statistics, which the tables of section 6 count."""
    statistics = sum(b.numel() for b in model.buffers() if b.ndim)
    return (count_parameters(model) + statistics) / 1e6


@pytest.fixture(scope="module")
def networks():
    """ResNet-50 without and with units, without weights."""
    with torch.device("meta"):
        return create_model("resnet50"), create_model("se_resnet50")


def test_units_help_every_network_of_the_tables():
    pairs = [*printed.TABLE_2.values(), *printed.TABLE_3.values()]
    assert all(pair.gain > 0 for pair in pairs)
    assert all(pair.with_units.top5 < pair.without.top5 for pair in pairs)
    assert all(after < before for before, after in printed.CIFAR_10.values())
    assert printed.TABLE_2["ResNet-50"].gain == 1.51


def test_units_cost_a_hundredth_or_two_of_a_thousand_million():
    for name, (without, with_units) in printed.TABLE_2.items():
        assert round(with_units.gflops - without.gflops, 2) in (0.01, 0.02), name


def test_multiply_adds_without_units_are_those_of_the_networks():
    for name, model in {"ResNet-50": "resnet50", "VGG-16 with batch norm": "vgg_d"}.items():
        macs = published(model).macs
        assert printed.TABLE_2[name].without.gflops == round(macs / 1e9, 2), name


def test_the_printed_share_is_the_quotient_of_rounded_figures():
    without, with_units = printed.TABLE_2["ResNet-50"]
    assert round(100 * (with_units.gflops / without.gflops - 1), 2) == printed.MORE_MACS


def test_added_parameters_are_those_of_the_network(networks):
    plain, with_units = map(count_parameters, networks)
    assert round((with_units - plain) / 1e6, 1) * 1e6 == printed.ADDED_WEIGHTS
    assert round(100 * (with_units / plain - 1)) == printed.MORE_PARAMETERS
    last = count_parameters(networks[1].conv5_x) - count_parameters(networks[0].conv5_x)
    assert round(100 * ((with_units - last) / plain - 1)) == printed.WITHOUT_LAST_STAGE


def test_sizes_with_running_statistics_are_those_of_table_10():
    for reduction, name in printed.TABLE_10.items():
        with torch.device("meta"):
            model = create_model(name)
        assert model.conv2_x[0].se.reduce.out_channels == 256 // reduction
        assert parse(published(name).printed_parameters).fits(round(1e6 * size(model))), name


def test_sizes_of_single_stages_are_those_of_table_13(networks):
    plain, with_units = networks
    for stage, row in printed.TABLE_13.items():
        units = with_units.get_submodule(stage)
        added = count_parameters(units) - count_parameters(plain.get_submodule(stage))
        assert round(size(plain) + added / 1e6, 1) == row.millions, stage


def test_the_options_are_those_of_the_library():
    assert set(printed.TABLE_14) == set(senet.POSITIONS)
    assert set(printed.TABLE_12) == set(senet.EXCITATIONS)


def test_the_standard_unit_is_in_every_table_and_better_than_none():
    for table in (printed.TABLE_11, printed.TABLE_12, printed.TABLE_14):
        assert printed.STANDARD in table.values()
    assert printed.STANDARD.top1 < printed.NO_SQUEEZE.top1 < printed.WITHOUT.top1
    worse = [name for name, result in printed.TABLE_12.items() if result > printed.WITHOUT]
    assert worse == ["relu"]


def test_the_errors_of_table_10_stand_within_half_a_point():
    errors = [published(name).top1_error for r, name in printed.TABLE_10.items() if r != 16]
    assert max(errors) - min(*errors, printed.STANDARD.top1) < 0.5
    assert max(errors) < printed.WITHOUT.top1


def test_larger_crops_help_senet_154():
    at_224 = published("senet154")
    assert printed.SENET_154_AT_320.top1 < at_224.top1_error
    assert printed.SENET_154_AT_320.top5 < at_224.top5_error


def test_the_contest_was_won_by_several_networks_and_better_than_by_one():
    [entry] = [e for e in ilsvrc.ENTRIES if e.year == 2017 and e.place == 1]
    assert entry.error < printed.SENET_154_AT_320.top5


def test_the_panels_of_figure_6_are_units_of_the_network(networks):
    units = [name for name, _ in networks[1].named_modules() if name.endswith(".se")]
    assert [units.index(name) for name in printed.FIGURE_6.values()] == [2, 6, 12, 13, 14, 15]
    for panel, name in printed.FIGURE_6.items():
        stage, block = name.removesuffix(".se").split(".")
        assert panel == f"SE_{stage[4]}_{int(block) + 1}"


def test_a_network_without_published_errors_is_refused():
    with pytest.raises(ValueError, match="se_resnet18 are not published"):
        printed._as_published("se_resnet18")
