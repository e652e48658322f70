"""What is printed of MobileNetV2 agrees with the network, but for the known misprints."""

import pytest
import torch

from cnnlib.models import create_model
from cnnlib.models.mobilenet_v2 import TABLE_2, InvertedResidual
from cnnlib.papers import mobilenet, mobilenet_v3
from cnnlib.papers import mobilenet_v2 as printed
from cnnlib.published import parse, published


@pytest.fixture(scope="module")
def network():
    with torch.device("meta"):
        return create_model("mobilenet_v2_1")


def test_the_text_counts_two_blocks_more_than_the_table(network):
    blocks = [m for m in network.modules() if isinstance(m, InvertedResidual)]
    assert len(blocks) == sum(row.n for row in TABLE_2) == printed.BLOCKS_IN_THE_TEXT - 2
    assert {row.t for row in TABLE_2[1:]} == {printed.EXPANSION}


@pytest.mark.parametrize("row", ["MobileNetV1", "MobileNetV2", "MobileNetV2 (1.4)"])
def test_table_4_says_what_is_published_of_its_networks(row):
    result = printed.TABLE_4[row]
    record = published(result.model)
    assert record.top1_error == pytest.approx(100 - result.accuracy)
    if row != "MobileNetV1":  # 575 million here, 569 in its own paper
        assert parse(record.printed_macs).value == result.macs * 1e6
        assert parse(record.printed_parameters).value == pytest.approx(result.parameters * 1e6)
    else:
        assert (result.macs, mobilenet.BASE.macs) == (575, 569)


@pytest.mark.parametrize("name, maps", [("MobileNetV1", 128), ("MobileNetV2", 32)])
def test_the_largest_maps_have_16_bits_for_each_number(name, maps):
    assert printed.LARGEST_KILOBYTES[name] == pytest.approx(2 * maps * 56**2 / 1000, rel=0.01)


def test_the_same_network_on_the_same_phone_took_less_time_a_year_later():
    before = printed.TABLE_4["MobileNetV2"]
    after = mobilenet_v3.TABLE_3["V2 1.0"]
    assert (before.accuracy, before.macs, before.parameters) == (
        after.accuracy, after.macs, after.parameters)  # fmt: skip
    assert before.milliseconds > after.milliseconds[0]
