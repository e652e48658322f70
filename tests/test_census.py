"""The census counts what is counted elsewhere, keeps protocols apart, and finds Pareto fronts."""

import itertools

import pytest
import torch
from torch import nn

from cnnlib.inspection import census
from cnnlib.inspection.census import Entry, count_activations, entries, front
from cnnlib.models import create_model
from cnnlib.papers import PAPERS, alexnet
from cnnlib.published import published

BY_NAME = {entry.name: entry for entry in entries()}


def test_every_network_with_a_name_was_measured():
    assert set(BY_NAME) == set(census.LABELS)
    assert len({entry.label for entry in entries()}) == len(entries())


def test_every_measured_network_is_one_of_those_with_a_printed_error():
    assert set(census.measured()["networks"]) == set(census.names())


@pytest.mark.parametrize("paper", PAPERS)
def test_the_stored_counts_of_the_network_of_a_paper_are_counted_again(paper):
    name = PAPERS[paper].network.model
    entry = BY_NAME[name]
    counted = census.count(name)
    assert counted == {key: getattr(entry, key) for key in counted}


def test_stored_counts_are_those_of_the_records_at_the_same_size():
    compared = 0
    for entry in entries():
        record = published(entry.name)
        if record.parameters is not None:
            assert entry.parameters == record.parameters
            if record.macs is not None and record.input[1] == entry.side:
                assert entry.macs == record.macs
                compared += 1
    assert compared > 30


def test_a_time_lies_between_its_quartiles_and_grows_with_the_depth():
    for entry in entries():
        for time in (entry.time, entry.folded or entry.time):
            assert 0 < time.low <= time.median <= time.high
    depths = [BY_NAME[f"resnet{depth}"].time.median for depth in (50, 101, 152)]
    assert depths == sorted(depths)


def test_protocols_are_sorted_by_what_was_shown_of_an_image():
    assert {entry.testing for entry in entries() if entry.data == "ImageNet"} == {
        "1 crop",
        "10 crops",
        "whole image",
        "not said",
    }
    for entry in entries():
        for clue, testing in census.TESTINGS.items():
            assert (clue in entry.protocol) == (entry.testing == testing), entry.protocol
    assert BY_NAME["vgg_d"].testing == "whole image"
    assert BY_NAME["mobilenet_v1_1_224"].testing == "not said"
    assert BY_NAME["lenet5"].testing == BY_NAME["resnet20_cifar"].testing == "as it is"


def test_alexnet_stands_beside_the_others_with_its_error_on_their_images():
    entry = BY_NAME["alexnet"]
    [row] = [row for row in alexnet.TABLE_2 if row.model == "1 CNN"]
    assert (entry.top1, entry.top5) == (row.top1_validation, row.top5_validation)
    assert "2012" in entry.protocol


def test_a_network_is_measured_at_the_size_that_it_was_tested_at():
    assert census.tested_input("preact_resnet152") == (3, 320, 320)
    assert census.tested_input("nasnet_a_large") == (3, 331, 331)
    assert census.tested_input("resnet152") == (3, 224, 224)


def test_unknown_data_are_refused():
    with pytest.raises(ValueError, match="ImageNette.*ImageNet"):
        census.names("ImageNette")


def test_activations_are_what_convolutions_and_linear_layers_put_out():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3),  # 4 x 6 x 6
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 2, 1),  # 2 x 6 x 6
        nn.Flatten(),
        nn.Linear(72, 5),
    )
    assert count_activations(model, (3, 8, 8)) == 4 * 36 + 2 * 36 + 5


def test_activations_of_a_network_are_those_that_hooks_see():
    model, seen = create_model("mobilenet_v3_small_1").eval(), []
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(lambda _, __, out: seen.append(out.numel()))
    with torch.no_grad():
        model(torch.zeros(1, 3, 64, 64))
    assert count_activations(model, (3, 64, 64)) == sum(seen)


def beats(a, b):
    return a != b and a[0] <= b[0] and a[1] <= b[1]


def test_a_front_is_what_nothing_beats():
    draw = torch.Generator().manual_seed(0)
    for _ in range(20):  # small whole numbers: many ties
        points = list(map(tuple, torch.randint(0, 6, (12, 2), generator=draw).tolist()))
        found = front(points, lambda p: p[0], lambda p: p[1])
        assert found == sorted(p for p in points if not any(beats(o, p) for o in points))


def test_what_has_no_error_takes_no_part_in_a_front():
    points = [(1, None), (2, 3), (3, 4)]
    assert front(points, lambda p: p[0], lambda p: p[1]) == [(2, 3)]
    assert front([], lambda p: p, lambda p: p) == []


def test_who_is_on_the_front_depends_on_the_axis():
    alike = [entry for entry in entries() if entry.testing == "not said"]

    def labels(cost):
        return {entry.label for entry in front(alike, cost, lambda e: e.top1)}

    costs = (lambda e: e.macs, lambda e: e.parameters, lambda e: e.time.median)
    fronts = [labels(cost) for cost in costs]
    assert all(a != b for a, b in itertools.combinations(fronts, 2))


def test_an_entry_is_complete():
    entry = BY_NAME["resnet50"]
    assert isinstance(entry, Entry)
    assert (entry.chapter, entry.year, entry.label) == ("06_resnet", 2015, "ResNet-50")
    assert entry.top1 == published("resnet50").top1_error
