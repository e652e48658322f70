"""The widget shows what the experiment stored, and refuses what it does not have."""

import copy
import re
from statistics import mean

import pytest

from cnnlib import book
from cnnlib.widgets import CompressionPipeline
from cnnlib.widgets.compression_pipeline import PARTS, UNSHARED
from tests.widgets.samples import PIPELINE


@pytest.fixture(scope="module")
def runs():
    return book.stored_runs("deep_compression")


def all_settings(widget):
    """(network, level, bits) of everything that can be chosen."""
    for i, record in enumerate(widget.networks):
        for j, level in enumerate(record["levels"]):
            for bits in [*(cell["bits"] for cell in level["cells"]), UNSHARED]:
                yield i, j, bits


def test_every_setting_shows_what_was_measured(runs):
    for i, j, bits in all_settings(CompressionPipeline.of_runs(runs)):
        arm = runs.arms[i]
        widget = CompressionPipeline.of_runs(runs, network=arm.name, level=j, bits=bits)
        prunings = [run["prunings"][j] for run in arm.runs]
        if bits == UNSHARED:
            errors = [pruning["test_error"] for pruning in prunings]
            sizes = [pruning["sparse"] for pruning in prunings]
        else:
            cells = [next(c for c in p["shared"] if c["bits"] == bits) for p in prunings]
            errors = [cell["test_error"] for cell in cells]
            sizes = [sum(cell["size"].values()) for cell in cells]
        assert widget.chosen()["errors"] == errors
        assert widget.chosen()["bytes"] == pytest.approx(mean(sizes), abs=len(PARTS))


def test_the_script_finds_the_same_numbers(runs, node_tests):
    widget = CompressionPipeline.of_runs(runs)
    cases = []
    for i, j, bits in all_settings(widget):
        name = runs.arms[i].name
        found = CompressionPipeline.of_runs(runs, network=name, level=j, bits=bits).chosen()
        cases.append({"network": i, "level": j, "bits": bits, **found})
    node_tests(
        "compression_pipeline.test.mjs",
        script=CompressionPipeline._esm,
        cases={"networks": widget.networks, "cases": cases},
    )


def test_the_share_that_is_left_is_counted_over_all_weights(runs):
    for record, arm in zip(CompressionPipeline.of_runs(runs).networks, runs.arms, strict=True):
        kept = [level["kept"] for level in record["levels"]]
        assert kept[0] == 1 and kept == sorted(kept, reverse=True)
        weights = arm.runs[0]["prunings"][0]["kept"]
        assert weights < arm.parameters  # biases are not counted
        for share, pruning in zip(kept, arm.runs[0]["prunings"], strict=True):
            assert share == pytest.approx(pruning["kept"] / weights, abs=1e-4)


def test_a_network_can_be_chosen_by_its_name(runs):
    widget = CompressionPipeline.of_runs(runs, network="fire", level=1, bits=8)
    assert repr(widget) == "CompressionPipeline(fire: keep 0.5, 8 bits)"


@pytest.mark.parametrize(
    "options, words",
    [
        ({"network": "VGG"}, "no network 'VGG'; there are LeNet"),
        ({"level": 2}, "level must be 0 to 1, got 2"),
        ({"bits": 4}, "bits must be one of [5, 32], got 4"),
    ],
)
def test_a_setting_that_was_not_run_is_refused(options, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        CompressionPipeline([PIPELINE], **options)


def test_a_change_is_checked_like_the_start():
    widget = CompressionPipeline([PIPELINE])
    for trait, value in {"network": 1, "level": -1, "bits": 7}.items():
        before = getattr(widget, trait)
        with pytest.raises(ValueError, match="must be"):
            setattr(widget, trait, value)
        assert getattr(widget, trait) == before


def test_records_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="at least one network"):
        CompressionPipeline([])
    for change, words in (
        (lambda levels: levels.clear(), "no level of pruning"),
        (lambda levels: levels[1]["cells"].clear(), "cells for the same bits"),
        (lambda levels: levels[0]["cells"][0].update(bits=6), "cells for the same bits"),
        (lambda levels: levels[0]["cells"][0]["parts"].pop(), "must be 6 numbers: values"),
    ):
        record = copy.deepcopy(PIPELINE)
        change(record["levels"])
        with pytest.raises(ValueError, match=words):
            CompressionPipeline([record])


def test_the_fallback_holds_every_setting():
    html = CompressionPipeline([PIPELINE]).fallback_html()
    assert html.count("<td style") == 4
    assert "30.0 ± 14.1<br>39<" in html and "25.0 ± 7.1<br>3,000<" in html
