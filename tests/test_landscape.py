"""Pictures of many networks show all of them, apart by how they were tested."""

import pytest

from cnnlib import plots
from cnnlib.inspection.census import entries


def imagenet():
    return [entry for entry in entries() if entry.data == "ImageNet"]


@pytest.mark.parametrize("y", ["top1", "top5"])
def test_a_landscape_has_a_dot_for_each_network_and_a_marker_for_each_test(y):
    [axis] = plots.landscape(imagenet(), x="time", y=y).axes
    shown = [entry for entry in imagenet() if getattr(entry, y) is not None]
    ways = {entry.testing for entry in shown}
    named = [line for line in axis.lines if line.get_label() in ways]
    assert {line.get_label() for line in named} == ways
    assert len({line.get_marker() for line in named}) == len(ways)
    assert sum(len(line.get_xdata()) for line in named) == len(shown)
    assert axis.get_xscale() == "log"


def test_a_front_falls_from_left_to_right():
    [axis] = plots.landscape(imagenet()).axes
    fronts = [line for line in axis.lines if line.get_linestyle() == "--"]
    assert len(fronts) == 4
    for line in fronts:
        errors = list(line.get_ydata())
        assert errors == sorted(errors, reverse=True)


def test_only_the_names_that_are_asked_for_are_written():
    [axis] = plots.landscape(imagenet(), named=("ResNet-50", "VGG-16")).axes
    assert sorted(text.get_text() for text in axis.texts) == ["ResNet-50", "VGG-16"]


def test_a_landscape_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="'year'"):
        plots.landscape(imagenet(), x="year")
    with pytest.raises(ValueError, match="no network"):
        plots.landscape([e for e in entries() if e.data == "CIFAR-10"], y="top5")


def test_presence_has_a_dot_for_each_thing_that_is_there():
    [axis] = plots.presence({"a": ["x", "z"], "b": [], "c": ["y"]}, ["x", "y", "z"]).axes
    dots = {(x, y) for line in axis.lines for x, y in zip(*line.get_data(), strict=True)}
    assert dots == {(0, 0), (0, 2), (2, 1)}
    with pytest.raises(ValueError, match="'a' has .'w'."):
        plots.presence({"a": ["w"]}, ["x"])


def test_spreads_has_a_dot_for_each_run_and_the_smallest_mean_on_top():
    values = {"good": [0.1, 0.2], "bad": [0.4, 0.5], "middle": [0.3, 0.3]}
    [axis] = plots.spreads(values, label="error", bar=0.1, bar_name="luck").axes
    assert [text.get_text() for text in axis.get_yticklabels()] == ["bad", "middle", "good"]
    runs = [line for line in axis.lines if line.get_marker() == "o"]
    assert [list(line.get_xdata()) for line in runs] == [[0.4, 0.5], [0.3, 0.3], [0.1, 0.2]]
    [bar] = [line for line in axis.lines if line.get_marker() == "|"]
    left, right = bar.get_xdata()
    assert right - left == pytest.approx(0.1)
    with pytest.raises(ValueError, match="at least one"):
        plots.spreads({}, label="error")
