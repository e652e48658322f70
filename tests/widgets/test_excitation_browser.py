"""Excitations by class and depth: the numbers, what is refused, and the script's arithmetic."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import traitlets

from cnnlib.data import ImageSet
from cnnlib.models import senet
from cnnlib.models.resnet import resnet_cifar
from cnnlib.widgets import ExcitationBrowser

NAMES = ["shirt", "shoe", "bag"]


def tables(seeds=2, units=(4, 6), classes=3):
    """Excitations as they may be, in whole thousandths."""
    draw = random.Random(0)
    return [
        [[[draw.randrange(1001) / 1000 for _ in range(n)] for _ in range(classes)] for n in units]
        for _ in range(seeds)
    ]


def browser(**options):
    return ExcitationBrowser(tables(), NAMES, **options)


def test_the_spread_is_the_deviation_of_class_means_averaged_over_channels():
    widget = browser()
    for seed, units in enumerate(tables()):
        for unit, table in enumerate(units):
            expected = np.array(table).std(axis=0, ddof=1).mean()
            assert widget.spread(unit, seed) == pytest.approx(expected)


def test_pairs_of_classes_come_most_alike_first():
    widget = ExcitationBrowser([[[[0.1, 0.5], [0.1, 0.6], [0.9, 0.5]]]], NAMES)
    pairs = widget.pairs(0)
    assert [(a, b) for a, b, _ in pairs] == [("shirt", "shoe"), ("shirt", "bag"), ("shoe", "bag")]
    assert pairs[0].distance == pytest.approx(0.1 / 2**0.5)
    assert pairs[-1].distance == pytest.approx((0.8**2 + 0.1**2) ** 0.5 / 2**0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ["shirt"]}, r"2 to 16 different names, got \['shirt'\]"),
        ({"classes": ["shirt", "shirt", "bag"]}, "different names"),
        ({"classes": ["shirt", "bag"]}, "must have 2 rows, one per class; got 3"),
        ({"means": []}, "same sizes for every seed"),
        ({"means": [[]]}, "at least one"),
        ({"means": [*tables(1), *tables(1, units=(4, 5))]}, "same sizes for every seed"),
        ({"means": [[[[0.1, 0.2], [0.1], [0.3, 0.2]]]]}, r"as many channels, got \[1, 2\]"),
        ({"means": [[[[], [], []]]]}, r"as many channels, got \[0\]"),
        ({"means": [[[[0.1], [1.2], [0.3]]]]}, "from 0 to 1, got 1.2"),
        ({"means": [[[[0.1], [float("nan")], [0.3]]]]}, "from 0 to 1, got nan"),
        ({"shown": ["shirt", "hat"]}, r"shown has \['hat'\], but the classes are"),
        ({"unit": 2}, "unit must be 0 to 1, got 2"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_the_reason(options, message):
    arguments = {"means": tables(), "classes": NAMES} | options
    with pytest.raises(ValueError, match=message):
        ExcitationBrowser(**arguments)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("unit", -1, "unit must be 0 to 1, got -1"),
        ("seed", 2, "seed must be 0 to 1, got 2"),
        ("shown", [3], r"classes 0 to 2, got \[3\]"),
        ("order", "size", "number, mean, spread; got 'size'"),
    ],
)
def test_what_is_not_there_cannot_be_chosen_later(name, value, message):
    widget = browser()
    with pytest.raises((ValueError, traitlets.TraitError), match=message):
        setattr(widget, name, value)


def test_it_begins_with_the_last_unit_and_the_classes_that_were_asked_for():
    widget = browser(shown=["bag", "shirt"])
    assert (widget.unit, widget.seed, widget.order) == (1, 0, "mean")
    assert widget.shown == [0, 2]
    assert browser(unit=0).unit == 0
    assert repr(widget) == "ExcitationBrowser(2 units of 4, 6 channels, 3 classes, 2 seeds)"


def test_the_fallback_has_the_spread_of_every_unit_over_the_seeds():
    widget = browser()
    html = widget.fallback_html()
    for unit in range(2):
        spreads = [widget.spread(unit, seed) for seed in range(2)]
        assert f">{np.mean(spreads):.3f} ± {np.std(spreads, ddof=1):.3f}</td>" in html
    assert html.count("<polyline") == len(NAMES)
    assert "<polyline" not in browser(shown=[]).fallback_html()


def test_stored_runs_fill_it():
    thousandths = [[[[round(1000 * v) for v in row] for row in t] for t in u] for u in tables()]
    arm = SimpleNamespace(values=lambda key: {"means": thousandths}[key])
    widget = ExcitationBrowser.of_runs({"with units": arm}, NAMES, shown=["bag"])
    assert widget.means == thousandths and widget.shown == [2]


@pytest.fixture
def few():
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    draw = torch.Generator().manual_seed(0)
    return ImageSet("few", torch.rand(6, 1, 8, 8, generator=draw), labels, tuple(NAMES))


def test_a_network_at_hand_fills_it(few):
    torch.manual_seed(0)
    options = {"blocks": (1, 1), "block": "basic", "widths": (4, 8), "stem": "small"}
    model = senet.SEResNet(3, 1, reduction=2, **options)
    widget = ExcitationBrowser.of_network(model, few)
    assert repr(widget).startswith("ExcitationBrowser(2 units of 4, 8 channels, 3 classes, 1 seeds")
    found = senet.excitations(model, few.images)["conv3_x.0.se"]
    expected = torch.stack([found[label::3].mean(0) for label in range(3)])
    assert torch.allclose(torch.tensor(widget.means[0][1]) / 1000, expected, atol=6e-4)


def test_a_network_without_units_or_a_class_without_images_is_refused(few):
    with pytest.raises(ValueError, match="ResNet has no unit"):
        ExcitationBrowser.of_network(resnet_cifar(8, in_channels=1, num_classes=3), few)
    options = {"blocks": (1,), "block": "basic", "widths": (4,), "stem": "small"}
    model = senet.SEResNet(3, 1, reduction=2, **options)
    with pytest.raises(ValueError, match="no image of the class 'bag'"):
        ExcitationBrowser.of_network(model, few.select([0, 1]))


def test_the_script_counts_as_python_does(node_tests):
    widget = browser()
    units = [(seed, unit) for seed in range(2) for unit in range(2)]
    cases = [
        {
            "table": tables()[seed][unit],
            "spread": widget.spread(unit, seed),
            "pairs": [
                [NAMES.index(p.first), NAMES.index(p.second), p.distance]
                for p in widget.pairs(unit, seed)
            ],
        }
        for seed, unit in units
    ]
    node_tests("excitation_browser.test.mjs", script=ExcitationBrowser._esm, cases=cases)
