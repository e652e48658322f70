"""The published figures: complete, well-formed, and read as they are printed."""

import doctest
import math

import pytest

from cnnlib import published
from cnnlib.models import list_models
from cnnlib.papers import PAPERS
from cnnlib.published import Printed, networks, parse


def test_every_network_of_the_registry_has_a_record_and_no_record_is_without_a_network():
    assert set(networks()) == set(list_models())
    assert len(networks()) >= 130


@pytest.mark.parametrize("record", networks().values(), ids=lambda r: r.name)
def test_records_are_well_formed(record):
    assert record.paper in PAPERS
    channels, height, width = record.input
    assert channels in (1, 3) and height == width >= 32
    assert record.classes in (10, 1000)
    assert (record.parameters is None) == (record.macs is None)
    errors = [e for e in (record.top1_error, record.top5_error) if e is not None]
    assert all(0 < error < 100 for error in errors) and errors == sorted(errors, reverse=True)
    assert (record.protocol is not None) == bool(errors), "an error needs its protocol"
    for quantity, reason in record.differs.items():
        assert getattr(record, f"printed_{quantity}"), "what differs has to be printed"
        assert reason.endswith(".")
    for note in record.notes:
        assert note.endswith(".") and note == note.strip()


@pytest.mark.parametrize("record", networks().values(), ids=lambda r: r.name)
def test_printed_figures_can_be_read(record):
    for text in (record.printed_parameters, record.printed_macs):
        assert text is None or parse(text).value > 1000


@pytest.mark.parametrize("paper", PAPERS)
def test_every_paper_has_networks_and_they_follow_each_other(paper):
    owners = [record.paper for record in networks().values()]
    assert paper in owners
    if paper not in ("senet", "resnext"):  # ResNeXt-50 stands between the networks made of it
        first, count = owners.index(paper), owners.count(paper)
        assert owners[first : first + count] == [paper] * count


@pytest.mark.parametrize(
    "text, value, unit",
    [
        ("4.2M", 4.2e6, 1e5),
        ("569M", 569e6, 1e6),
        ("1,502M (sum of table 1)", 1502e6, 1e6),
        ("1.8e9", 1.8e9, 1e8),
        ("60 million", 60e6, 1e6),
        ("0.70B", 0.70e9, 1e7),
        ("3.87 GFLOPs", 3.87e9, 1e7),
        ("1,248,424", 1_248_424, 1),
        ("60,000", 60_000, 1),
        ("4.8 MB", 4.8 * 2**18, 0.1 * 2**18),
    ],
)
def test_printed_figures_are_read_with_the_worth_of_their_last_place(text, value, unit):
    printed = parse(text)
    assert math.isclose(printed.value, value) and math.isclose(printed.unit, unit)


@pytest.mark.parametrize(
    "text", ["", "many", "4.2 parsecs", "M", "4.2M and more", "-3M", "1e", "."]
)
def test_what_is_no_figure_is_refused(text):
    with pytest.raises(ValueError, match="is not understood; a figure reads"):
        parse(text)


@pytest.mark.parametrize(
    "text, fitting, others",
    [
        ("4.2M", (4_150_001, 4_200_000, 4_231_976, 4_299_999), (4_149_999, 4_300_000)),
        ("3.8e9", (3_857_973_248, 3_750_000_001), (3_900_000_000, 3_749_999_999)),
        ("60,000", (60_000,), (59_999, 60_001)),
        ("4.8 MB", (1_248_424,), (1_300_000,)),
    ],
)
def test_a_count_fits_if_it_is_printed_so_when_rounded_or_cut_off(text, fitting, others):
    assert all(parse(text).fits(count) for count in fitting)
    assert not any(parse(text).fits(count) for count in others)


def test_a_figure_fits_only_counts_within_one_of_its_last_place():
    printed = Printed(4.2e6, 1e5)
    for count in range(4_000_000, 4_400_000, 9_973):
        if printed.fits(count):
            assert abs(count - printed.value) <= printed.unit


def test_a_typo_in_a_name_gets_the_nearest_one():
    assert published.published("vgg_d").name == "vgg_d"
    with pytest.raises(ValueError, match="'ResNet_50'; did you mean 'resnet50'?"):
        published.published("ResNet_50")
    with pytest.raises(ValueError, match="list_models"):
        published.published("qqqq")


def test_records_cannot_be_changed():
    with pytest.raises(AttributeError):
        networks()["lenet5"].parameters = 1


def test_the_examples_of_the_documentation_hold():
    assert doctest.testmod(published).attempted > 0
    assert doctest.testmod(published).failed == 0
