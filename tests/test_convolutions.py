"""Kinds of convolution: what they cost, how they are timed, what is stored of a processor."""

import itertools
import time

import pytest
import torch
from torch import nn

from cnnlib.inspection import convolutions, count_macs, count_parameters
from cnnlib.models import create_model
from cnnlib.published import published
from experiments import mobilenet_speed


@pytest.mark.parametrize("kind", convolutions.KINDS)
def test_every_kind_keeps_the_size_of_its_maps(kind):
    layers = convolutions.make(kind, 8, 8, kernel_size=5, groups=2)
    assert layers(torch.zeros(2, 8, 6, 7)).shape == (2, 8, 6, 7)
    assert all(layer.bias is None for layer in layers)


@pytest.mark.parametrize("m, n, k, f", [(4, 8, 3, 5), (8, 4, 5, 7), (16, 16, 1, 3)])
def test_costs_are_those_of_the_formulas(m, n, k, f):
    area = f * f
    full = convolutions.cost("full", m, n, f, k)
    assert full == (k * k * m * n * area, k * k * m * n, (m + n) * area + k * k * m * n)
    pointwise = convolutions.cost("pointwise", m, n, f, k)
    assert pointwise == (m * n * area, m * n, (m + n) * area + m * n)
    depthwise = convolutions.cost("depthwise", m, m, f, k)
    assert depthwise == (k * k * m * area, k * k * m, 2 * m * area + k * k * m)
    separable = convolutions.cost("separable", m, n, f, k)
    assert separable == tuple(a + b for a, b in zip(pointwise, depthwise, strict=True))
    grouped = convolutions.cost("grouped", m, n, f, k, 4)
    assert (4 * grouped.macs, 4 * grouped.parameters) == (full.macs, full.parameters)
    assert full.intensity == full.macs / (4 * full.moved)


def test_a_depthwise_layer_does_about_one_multiply_add_for_each_byte():
    for channels, size in itertools.product((16, 512), (14, 56)):
        assert 1 < convolutions.cost("depthwise", channels, channels, size).intensity < 9 / 8
    assert convolutions.cost("full", 512, 512, 14).intensity > 30


@pytest.mark.parametrize(
    "options, words",
    [
        (("round", 4, 4), "no kind 'round'; there are full, grouped"),
        (("full", 4, 4, 2), "kernel_size must be odd"),
        (("depthwise", 4, 8), "gives as many maps as it gets; got 4 and 8"),
        (("grouped", 6, 8, 3, 4), "groups must divide both numbers of channels; got 4 groups"),
    ],
)
def test_bad_input_is_explained(options, words):
    with pytest.raises(ValueError, match=words):
        convolutions.make(*options)


def test_seconds_are_those_of_a_call_in_rounds():
    calls = []

    def call():
        calls.append(torch.is_grad_enabled())
        end = time.process_time() + 0.002
        while time.process_time() < end:
            pass

    found = convolutions.seconds(call, rounds=3, least=0.005)
    assert len(found) == 3 and found == sorted(found)
    assert 0.002 <= found[0] < 0.02
    assert not any(calls)
    with pytest.raises(ValueError, match="rounds must be at least 1, got 0"):
        convolutions.seconds(call, rounds=0)


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_layer_is_timed_on_images_of_the_order_that_was_asked_for(channels_last):
    seen = []

    class Spy(nn.Module):
        def forward(self, maps):
            seen.append(maps)
            return maps

    convolutions.seconds_of(Spy(), 3, 5, batch=2, channels_last=channels_last, rounds=1, least=1e-4)
    assert seen[0].shape == (2, 3, 5, 5) and seen[0].dtype == torch.float32
    assert seen[0].is_contiguous(memory_format=torch.channels_last) == channels_last


@pytest.fixture(scope="module")
def record():
    return convolutions.measurements()


def test_what_is_stored_is_what_the_script_measures(record):
    assert (tuple(record["channels"]), tuple(record["sizes"])) == (
        mobilenet_speed.CHANNELS, mobilenet_speed.SIZES)  # fmt: skip
    assert record["about"] == mobilenet_speed.ABOUT and record["device"]
    asked = set(itertools.product(mobilenet_speed.BATCHES, mobilenet_speed.LAYOUTS,
                                  mobilenet_speed.WAYS))  # fmt: skip
    stored = {
        (t["batch"], t["layout"], (t["kind"], t["kernel"], t["groups"])) for t in record["tables"]
    }
    assert stored == asked and len(record["tables"]) == len(asked)
    for table in record["tables"]:
        for size, row in zip(record["sizes"], table["microseconds"], strict=True):
            for channels, value in zip(record["channels"], row, strict=True):
                measured = channels * size <= mobilenet_speed.LARGEST
                assert value is None if not measured else value > 0
    assert [n["name"] for n in record["networks"]] == list(mobilenet_speed.NETWORKS)


def test_stored_counts_are_those_of_the_networks(record):
    for network in record["networks"]:
        shape = published(network["name"]).input
        assert network["size"] == shape[1]
        with torch.device("meta"):
            model = create_model(network["name"])
        assert network["macs"] == count_macs(model, shape)
        assert network["parameters"] == count_parameters(model)
    first = next(n for n in record["networks"] if n["name"] == "mobilenet_v1_1_224")
    for key in ("macs", "parameters"):
        assert sum(part[key] for part in record["parts"]) == first[key]


def test_a_stored_time_is_found_by_what_was_measured(record):
    table = next(t for t in record["tables"] if t["groups"] == 8 and t["batch"] == 8)
    row = record["sizes"].index(14)
    found = convolutions.measured("grouped", 64, 14, groups=8, layout=table["layout"], batch=8)
    assert found == table["microseconds"][row][record["channels"].index(64)]
    assert convolutions.measured("full", 512, 56) is None
    assert convolutions.measured("full", 48, 14) is None
    assert convolutions.measured("grouped", 64, 14, groups=3) is None
    # the window of a pointwise convolution is 1, whatever is asked for
    assert convolutions.measured("pointwise", 64, 14, kernel_size=5) == convolutions.measured(
        "pointwise", 64, 14
    )


def test_stored_times_do_not_follow_the_count(record):
    parts = {part["part"]: part for part in record["parts"]}
    macs, milliseconds = (sum(part[k] for part in parts.values()) for k in ("macs", "milliseconds"))
    assert parts["pointwise"]["macs"] > 0.94 * macs
    assert parts["pointwise"]["milliseconds"] < 0.75 * milliseconds


def test_parts_are_told_apart():
    kinds = {
        "depthwise": nn.Conv2d(4, 4, 3, groups=4),
        "pointwise": nn.Conv2d(4, 8, 1),
        "first convolution": nn.Conv2d(3, 4, 3),
        "fully connected": nn.Linear(4, 2),
        "batch norm": nn.BatchNorm2d(4),
        "ReLU, pooling": nn.ReLU(),
    }
    for name, layer in kinds.items():
        assert mobilenet_speed.part_of("", layer) == name


@pytest.mark.slow
def test_a_depthwise_convolution_is_slower_per_multiply_add_here_too():
    speeds = {}
    for kind in ("depthwise", "pointwise"):
        seconds = convolutions.seconds_of(convolutions.make(kind, 64, 64), 64, 28)
        speeds[kind] = convolutions.cost(kind, 64, 64, 28).macs / seconds
    assert speeds["depthwise"] < speeds["pointwise"] / 1.5
