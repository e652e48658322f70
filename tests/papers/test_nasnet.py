"""What is printed of NASNet agrees with itself, with the networks and with later papers."""

import pytest
import torch

from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models import nasnet
from cnnlib.papers import nasnet as printed
from cnnlib.published import parse, published

RECORDS = {  # rows of the tables that the library builds
    "NASNet-A (6 @ 768)": ("nasnet_a_cifar", printed.TABLE_1),
    "NASNet-A (6 @ 4032)": ("nasnet_a_large", printed.TABLE_2),
    "NASNet-A (4 @ 1056)": ("nasnet_a_mobile", printed.TABLE_3),
}


@pytest.mark.parametrize("row", RECORDS)
def test_rows_of_our_networks_are_what_is_published_of_them(row):
    name, table = RECORDS[row]
    record, figures = published(name), table[row]
    assert figures.parameters == record.printed_parameters
    if isinstance(figures, printed.Cifar):
        assert figures.error == record.top1_error
        return
    assert figures.macs == record.printed_macs and figures.side == record.input[1]
    assert 100 - figures.top1 == pytest.approx(record.top1_error)
    assert 100 - figures.top5 == pytest.approx(record.top5_error)


def test_the_search_space_is_the_one_that_the_model_knows():
    assert len(nasnet.OPERATIONS) == printed.OPERATIONS
    assert len(nasnet.COMBINATIONS) == printed.COMBINATIONS
    assert len(nasnet.NASNET_A) == printed.CELLS
    assert all(len(cell.blocks) == printed.BLOCKS for cell in nasnet.NASNET_A)
    two_inputs_with_an_operation_each = 2 * 2
    assert two_inputs_with_an_operation_each + 1 == printed.DECISIONS
    assert nasnet.AUXILIARY_WEIGHT == printed.AUXILIARY_WEIGHT


def test_what_the_paper_calls_hours_are_days():
    with_figures = [s for s in printed.SEARCHES.values() if s.printed is not None]
    assert len(with_figures) == 2
    for search in with_figures:
        assert search.printed == search.gpu_days  # 24 times as many hours
    older, newer = with_figures
    assert older.days / newer.days == printed.TIMES_FASTER


def test_later_papers_count_the_same_searches_in_days():
    _, newer, amoeba = printed.SEARCHES.values()
    assert printed.AFTERWARDS["NASNet-A"].gpu_days == newer.gpu_days
    assert printed.AFTERWARDS["AmoebaNet-B"].gpu_days == amoeba.gpu_days
    nasnet_a = printed.TABLE_1["NASNet-A (6 @ 768) + cutout"]
    assert printed.AFTERWARDS["NASNet-A"].error == nasnet_a.error
    assert f"{printed.AFTERWARDS['NASNet-A'].parameters}M" == nasnet_a.parameters


def test_the_gain_of_the_abstract_is_that_of_the_table():
    table = printed.TABLE_3
    gain = table["NASNet-A (4 @ 1056)"].top1 - table["ShuffleNet (2x)"].top1
    assert gain == pytest.approx(3.1)


@pytest.mark.parametrize("table", [printed.TABLE_2, printed.TABLE_3])
def test_rows_make_sense(table):
    for row in table.values():
        assert row.top1 < row.top5 < 100
        assert parse(row.parameters).value < parse(row.macs).value


def test_1538_filters_cannot_be():
    with pytest.raises(ValueError, match="1536"):
        nasnet.first_filters(1538)
    assert nasnet.first_filters(1536) == 64
    assert "NASNet-A (5 @ 1538)" in printed.TABLE_2


@pytest.mark.parametrize("row, repeats, filters", [("5 @ 1538", 5, 1536), ("7 @ 1920", 7, 1920)])
def test_the_two_middle_networks_are_larger_by_the_rules_of_the_published_code(
    row, repeats, filters
):
    figures = printed.TABLE_2[f"NASNet-A ({row})"]
    with torch.device("meta"):
        network = nasnet.NASNet(repeats=repeats, filters=filters)
    macs = count_macs(network, (3, figures.side, figures.side))
    assert 1.05 < macs / parse(figures.macs).value < 1.10
    assert 1.05 < count_parameters(network) / parse(figures.parameters).value < 1.15
