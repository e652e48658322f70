"""The map shows what the census holds; its script finds the same dots and the same fronts."""

from itertools import product

import pytest

from cnnlib.inspection.census import entries
from cnnlib.widgets import NetworkMap
from cnnlib.widgets.network_map import ORDER, QUANTITIES, value


def maps():
    """Maps with many axes, on all data, with and without some tests."""
    for x, y in product(("macs", "time", "parameters", "year"), ("top1", "top5", "macs")):
        for data, hidden in (("ImageNet", []), ("ImageNet", ["1 crop"]), ("CIFAR-10", [])):
            widget = NetworkMap(x=x, y=y, data=data)
            widget.hidden = hidden
            yield widget


def test_the_script_shows_the_same_dots_and_fronts(node_tests):
    cases = []
    for widget in maps():
        state = {name: getattr(widget, name) for name in ("x", "y", "data", "hidden")}
        fronts = {testing: [e.name for e in widget.front(testing)] for testing in ORDER}
        shown = [entry.name for entry in widget.shown()]
        cases.append({"state": state, "shown": shown, "fronts": fronts})
    node_tests(
        "network_map.test.mjs",
        script=NetworkMap._esm,
        cases={"points": NetworkMap().points, "cases": cases},
    )


def test_all_networks_of_the_census_are_on_the_map():
    assert [point["name"] for point in NetworkMap().points] == [e.name for e in entries()]
    for point, entry in zip(NetworkMap().points, entries(), strict=True):
        assert {name: point[name] for name in QUANTITIES} == {
            name: value(entry, name) for name in QUANTITIES
        }


def test_every_way_of_testing_has_a_word():
    for testing in ORDER:
        assert f"testing_{testing.replace(' ', '_')}" in NetworkMap.LABELS
    assert {entry.testing for entry in entries()} == set(ORDER)


@pytest.mark.parametrize("option", [{"x": "speed"}, {"y": "accuracy"}, {"data": "ImageNette"}])
def test_what_does_not_exist_is_refused(option):
    [wrong] = option.values()
    with pytest.raises(ValueError, match=f"must be one of.*{wrong}"):
        NetworkMap(**option)


def test_a_map_without_networks_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        NetworkMap([])


def test_the_fallback_lists_the_front_of_one_crop_by_time():
    html = NetworkMap().fallback_html()
    alike = [e for e in entries() if e.testing == "1 crop"]
    best = min((e for e in alike if e.top1), key=lambda e: e.top1)
    assert best.label in html and "VGG" not in html


def test_a_map_says_what_it_shows():
    assert repr(NetworkMap(x="time")) == "NetworkMap(49 networks on ImageNet: top1 against time)"
    few = [entry for entry in entries() if entry.paper == "vgg"]
    assert (
        repr(NetworkMap(few)) == f"NetworkMap({len(few)} networks on ImageNet: top1 against macs)"
    )
