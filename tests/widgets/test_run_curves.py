import re
import statistics
from types import SimpleNamespace

import pytest

from cnnlib.widgets import RunCurves
from cnnlib.widgets.chart import Line, picture, summary

MEASURES = {"train_error": "Training error", "loss": "Loss"}


def curve(layers, shortcut, value=0.1, seeds=3, points=4):
    """A curve that falls from point to point; every seed a little higher than the one before."""
    falling = [
        [value * (1 + seed / 10) / (point + 1) for point in range(points)] for seed in range(seeds)
    ]
    return {
        "facets": {"Layers": layers, "Shortcut": shortcut},
        "seeds": {"train_error": falling, "loss": [[10 * y for y in run] for run in falling]},
    }


def four(**options):
    curves = [
        curve(layers, shortcut, value)
        for layers, shortcut, value in (
            ("44", "plain", 0.8),
            ("44", "A", 0.2),
            ("14", "plain", 0.4),
            ("14", "A", 0.3),
        )
    ]
    return RunCurves(curves, MEASURES, [1, 2, 3, 4], **options)


def test_the_mean_is_that_over_the_seeds_point_by_point():
    mean = four().mean("train_error", {"Layers": "44", "Shortcut": "plain"})
    assert mean == pytest.approx([0.88 / point for point in (1, 2, 3, 4)])
    with pytest.raises(ValueError, match="no curve of 'accuracy'"):
        four().mean("accuracy", {"Layers": "44", "Shortcut": "plain"})
    with pytest.raises(ValueError, match=r"no curve of 'loss' with .*'20'"):
        four().mean("loss", {"Layers": "20", "Shortcut": "plain"})


def test_everything_is_shown_unless_a_choice_is_given_and_numbers_are_in_their_order():
    assert four().shown == {"Layers": ["14", "44"], "Shortcut": ["plain", "A"]}
    assert four(shown={"Layers": [44]}).shown == {"Layers": ["44"], "Shortcut": ["plain", "A"]}


def test_the_kind_of_a_measure_follows_from_its_name_unless_given():
    assert four().measures == [
        ["train_error", "Training error", "percent"],
        ["loss", "Loss", "number"],
    ]
    kinds = [kind for _, _, kind in four(percent=(), log=("loss",)).measures]
    assert kinds == ["number", "log"]


def test_the_description_tells_curves_seeds_facets_and_measures():
    assert repr(four()) == (
        "RunCurves(4 curves of 3 seeds; Layers 14, 44; Shortcut plain, A; train_error, loss)"
    )


def test_the_fallback_has_a_picture_and_the_last_value_of_each_curve_that_is_on():
    html = four(shown={"Layers": ["44"]}).fallback_html()
    assert html.count("<polyline") == 2
    rows = re.findall(r"<th scope=\"row\"[^>]*>(.*?)</th>.*?>4</td><td[^>]*>(.*?)</td>", html)
    runs = [0.8 * (1 + seed / 10) / 4 for seed in range(3)]
    assert rows[0] == (
        "44, plain",
        f"{100 * statistics.mean(runs):.1f} ± {100 * statistics.stdev(runs):.1f} %",
    )
    assert [name for name, _ in rows] == ["44, plain", "44, A"]
    assert "Training error by Epoch" in html


def test_the_fallback_says_when_nothing_is_on():
    assert "No curve has been chosen" in four(shown={"Layers": []}).fallback_html()


def test_lines_come_in_the_order_of_the_buttons_whatever_that_of_the_curves():
    names = re.findall(r'<th scope="row"[^>]*>(.*?)</th>', four().fallback_html())
    assert names == ["14, plain", "14, A", "44, plain", "44, A"]


def test_names_from_outside_are_escaped():
    html = RunCurves([curve("<i>", "&")], MEASURES, [1, 2, 3, 4]).fallback_html()
    assert "&lt;i&gt;, &amp;" in html and "<i>" not in html


def test_a_value_is_written_by_its_kind():
    assert summary([0.1, 0.2], "percent") == "15.0 ± 7.1 %"
    assert summary([0.125], "percent") == "12.5 %"
    assert summary([1.5], "number") == "1.500"
    assert summary([3e-7, 1e-7], "log") == "2e-07"


def test_the_picture_spans_what_it_shows():
    line = Line("one", [0, 2], [[0.0, 1.0], [0.0, 3.0]])
    assert line.means() == [0.0, 2.0]
    assert 'points="8.0,232.0 552.0,8.0"' in picture([line], "number", "title")
    log = picture([Line("one", [0, 1, 2], [[0.1, 1.0, 10.0]])], "log", "title")
    assert 'points="8.0,232.0 280.0,120.0 552.0,8.0"' in log


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"curves": []}, "at least one curve"),
        ({"curves": [{"facets": {"a": "1"}}]}, r"needs 'facets' and 'seeds', got \['facets'\]"),
        ({"curves": [curve("1", "a"), curve("1", "a")]}, "two curves with"),
        (
            {"curves": [curve("1", "a"), {**curve("1", "a"), "facets": {"Layers": "1"}}]},
            r"curve 1 has the facets \['Layers'\]",
        ),
        (
            {"curves": [curve("1", "a", points=3)]},
            r"list of 4 values of 'train_error'.*\[3, 3, 3\]",
        ),
        ({"curves": [curve("1", "a", seeds=0)]}, "got no seed"),
        ({"curves": [curve("1", "a", value=float("nan"))]}, "must be finite, got nan"),
        ({"measures": {}}, "at least one measure"),
        ({"measures": {"accuracy": "Accuracy"}}, "curve 0 has no seeds for 'accuracy'"),
        ({"x": None}, "curve 0 has no 'x'"),
        ({"x": {"loss": [1, 2, 3, 4]}}, "curve 0 has no x for 'train_error'"),
        ({"x": [1, 2, 2, 3]}, "must grow from point to point"),
        ({"percent": ["accuracy"]}, r"percent names \['accuracy'\]"),
        ({"log": ["train_error"]}, "cannot be in percent and on a logarithmic axis"),
        ({"log": ["loss"], "curves": [curve("1", "a", value=0.0)]}, "must be positive, got 0.0"),
        ({"shown": {"Layers": ["15"]}}, r"shown asks for \['15'\] of 'Layers'"),
        ({"shown": {"Depth": ["14"]}}, "of 'Depth'"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_the_reason(change, message):
    arguments = {"curves": [curve("14", "A")], "measures": MEASURES, "x": [1, 2, 3, 4]} | change
    curves, measures, x = (arguments.pop(name) for name in ("curves", "measures", "x"))
    with pytest.raises(ValueError, match=message):
        RunCurves(curves, measures, x, **arguments)


def test_only_a_measure_that_there_is_can_be_chosen():
    widget = four()
    widget.measure = "loss"
    with pytest.raises(ValueError, match="'train_error', 'loss'.*got 'speed'"):
        widget.measure = "speed"


def arm(name, depth, shortcut):
    runs = [{"curves": {"loss": [3.0 - seed, 2.0, 1.0]}} for seed in range(2)]
    more = {"facets": {"depth": depth, "shortcut": shortcut}, "x": {"loss": [1, 2, 3]}}
    return SimpleNamespace(name=name, runs=runs, more=more)


def test_arms_of_a_stored_experiment_become_curves():
    widget = RunCurves.of_arms(
        [arm("a", 14, "none"), arm("b", 44, "A")],
        {"loss": "Loss"},
        {"shortcut": "Shortcut", "depth": "Layers"},
        values={"none": "none (plain)"},
        x_label="Epochs",
    )
    assert [c["facets"] for c in widget.curves] == [
        {"Shortcut": "none (plain)", "Layers": "14"},
        {"Shortcut": "A", "Layers": "44"},
    ]
    assert widget.mean("loss", {"Shortcut": "A", "Layers": "44"}) == [2.5, 2.0, 1.0]
    assert widget.x_label == "Epochs"
    with pytest.raises(ValueError, match="arm 'a' has no 'lr' to draw"):
        RunCurves.of_arms([arm("a", 14, "A")], {"loss": "Loss"}, {"lr": "Rate"})
    with pytest.raises(ValueError, match="arm 'a' has no 'speed' to draw"):
        RunCurves.of_arms([arm("a", 14, "A")], {"speed": "Speed"}, {"depth": "Layers"})


def test_the_script_draws_the_lines_that_the_fallback_draws(node_tests):
    widget = four()
    lines, _ = widget._lines()
    node_tests(
        "run_curves.test.mjs",
        script=RunCurves._esm,
        cases={
            "curves": widget.curves,
            "shown": widget.shown,
            "lines": [[line.name, line.colour, line.dash, line.means()] for line in lines],
            "summaries": [
                [values, kind, summary(values, kind)]
                for values in ([0.1, 0.25], [0.5], [0.123, 0.124, 0.12])
                for kind in ("percent",)
            ],
        },
    )
