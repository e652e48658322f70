"""What is printed of AlexNet against the network, the registry and itself."""

import math

import torch

from cnnlib.inspection import summarize
from cnnlib.models import create_model
from cnnlib.papers import alexnet, paper
from cnnlib.published import published


def our_neurons() -> dict[str, int]:
    with torch.device("meta"):
        model = create_model("alexnet")
    rows = {row.name: row.output_shape for row in summarize(model, (3, 227, 227)).rows}
    return {name: math.prod(rows[name]) for name in alexnet.NEURONS}


def test_the_printed_neurons_are_ours_but_for_the_misprint():
    ours = our_neurons()
    different = [name for name, printed in alexnet.NEURONS.items() if ours[name] != printed]
    assert different == ["conv1"] and ours["conv1"] == 55 * 55 * 96
    assert alexnet.INPUT == alexnet.CROP**2 * 3


def test_the_errors_are_those_of_the_registry():
    network = alexnet.TABLE_1[-1]
    record = published("alexnet")
    assert (network.top1, network.top5) == (record.top1_error, record.top5_error)
    one = next(row for row in alexnet.TABLE_2 if row.model == "1 CNN")
    assert one.top5_validation == paper("alexnet").network.error


def test_ten_crops_and_more_networks_make_fewer_errors():
    network = alexnet.TABLE_1[-1]
    assert alexnet.ONE_CROP.top1 > network.top1 and alexnet.ONE_CROP.top5 > network.top5
    errors = [row.top5_test for row in alexnet.TABLE_2 if row.top5_test is not None]
    assert errors == sorted(errors, reverse=True) and errors[-1] == 15.3


def test_only_networks_of_one_protocol_are_in_a_table():
    assert all(row.networks is None or row.top5_validation for row in alexnet.TABLE_2)
    assert [row.model for row in alexnet.TABLE_2 if row.more_images] == ["1 CNN*", "7 CNNs*"]
    assert "2010" in alexnet.TABLE_1_PROTOCOL


def test_the_factor_of_the_crops_is_that_of_the_printed_sizes():
    assert 2 * (alexnet.IMAGE - alexnet.CROP) ** 2 == alexnet.CROPS_PER_IMAGE
