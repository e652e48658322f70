"""What is printed of MobileNetV3 agrees with what is published of it, but for the small network."""

import pytest
import torch

from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models import create_model
from cnnlib.models.layers import SqueezeExcitation
from cnnlib.models.mobilenet_v3 import TABLE_1
from cnnlib.papers import mobilenet_v2
from cnnlib.papers import mobilenet_v3 as printed
from cnnlib.published import parse, published


@pytest.mark.parametrize("row", ["V3-Large 1.0", "V3-Large 0.75", "V2 1.0"])
def test_table_3_says_what_is_published_of_its_networks(row):
    result = printed.TABLE_3[row]
    record = published(result.model)
    assert record.top1_error == pytest.approx(100 - result.accuracy)
    assert parse(record.printed_macs).value == pytest.approx(result.macs * 1e6)
    assert parse(record.printed_parameters).value == pytest.approx(result.parameters * 1e6)


def test_the_small_network_is_smaller_than_table_3_prints():
    with torch.device("meta"):
        network = create_model("mobilenet_v3_small_1")
    row = printed.TABLE_3["V3-Small 1.0"]
    assert count_macs(network, (3, 224, 224)) < 0.9 * 1e6 * row.macs
    assert count_parameters(network) < 0.9 * 1e6 * row.parameters
    assert parse(published("mobilenet_v3_small_1").printed_parameters).fits(
        count_parameters(network)
    )


def test_the_gain_over_v2_is_that_of_table_3():
    large, second = printed.TABLE_3["V3-Large 1.0"], printed.TABLE_3["V2 1.0"]
    assert large.accuracy - second.accuracy == pytest.approx(printed.ACCURACY_OVER_V2)
    saved = 100 * (1 - large.milliseconds[0] / second.milliseconds[0])
    assert round(saved) == printed.LATENCY_UNDER_V2
    assert second.accuracy == mobilenet_v2.TABLE_4["MobileNetV2"].accuracy


def test_excitations_squeeze_to_a_fourth_of_the_expanded_maps():
    with torch.device("meta"):
        network = create_model("mobilenet_v3_large_1")
    layers = [m for m in network.modules() if isinstance(m, SqueezeExcitation)]
    assert len(layers) == sum(row.se for row in TABLE_1)
    for layer in layers:
        narrow, wide = sorted({len(p) for p in layer.parameters()})
        assert narrow % 8 == 0 and abs(narrow - printed.SE_SHARE * wide) < 8
