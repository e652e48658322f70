import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from cnnlib.widgets import ResidualPaths
from cnnlib.widgets.residual_paths import NETWORKS


def tables(blocks=3, seeds=2):
    """Errors that tell their set and seed: .01 per bit of the set's number, .001 per seed."""
    sets = range(2**blocks)
    return [[0.01 * number + 0.001 * seed for number in sets] for seed in range(seeds)]


DEEP = {
    "single": {"residual": [[0.2, 0.3], [0.4, 0.5]], "plain": [[0.9, 0.8], [0.9, 0.8]]},
    "several": {"residual": {"1": [0.2, 0.3], "2": [0.4, 0.5]}, "plain": {"1": [0.9], "2": [0.9]}},
    "path_gradients": [[1.0, 0.1, 0.01], [1.0, 0.3, 0.03]],
}


def three(**options):
    return ResidualPaths(tables(), tables(), **options)


def test_paths_are_counted_as_they_are_when_written_out():
    widget = ResidualPaths(tables(5), tables(5))
    assert widget.blocks == 5
    for count in range(6):
        for deleted in itertools.combinations(range(1, 6), count):
            paths = [
                path
                for length in range(6)
                for path in itertools.combinations(range(1, 6), length)
                if not set(path) & set(deleted)
            ]
            expected = np.bincount([len(path) for path in paths], minlength=6).tolist()
            assert widget.lengths(deleted) == expected
            assert sum(expected) == 2 ** (5 - count)


def test_the_error_is_that_of_the_very_set_of_blocks():
    widget = three()
    assert widget.error("residual") == pytest.approx(0.0005)
    assert widget.error("residual", [1]) == pytest.approx(0.0105)
    assert widget.error("plain", (3, 1)) == pytest.approx(0.0505)
    with pytest.raises(ValueError, match="network must be one of.*got 'dense'"):
        widget.error("dense")
    with pytest.raises(ValueError, match=r"numbered 1 to 3, got \[0\]"):
        widget.error("plain", [0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"residual": [[0.1] * 7]}, "got 7"),
        ({"residual": [[0.1] * 128]}, "with n from 2 to 6.*got 128"),
        ({"residual": [[0.1, 0.2]]}, "got 2"),
        ({"residual": []}, r"equally many errors for each seed, got \[\]"),
        ({"residual": [[0.1] * 8, [0.1] * 4]}, r"for each seed, got \[8, 4\]"),
        ({"residual": [[1.5] * 8]}, "residual must hold errors from 0 to 1, got 1.5"),
        ({"plain": [[float("nan")] * 8]}, "plain must hold errors from 0 to 1, got nan"),
        ({"plain": [[0.1] * 4]}, "plain must have 8 errors per seed, as residual; got 4"),
        ({"stages": (2, 2)}, r"stages must add up to 3 blocks, got \[2, 2\]"),
        ({"stages": (0, 3)}, "stages must add up"),
        ({"chance": 90}, "chance must be a fraction from 0 to 1, got 90"),
        ({"deep": {"triple": {}}}, r"deep has \['triple'\]"),
        ({"deep": {"single": {"plain": [[0.1]]}}}, r"deep\['single'\] must have.*got \['plain'\]"),
        ({"deep": {"path_gradients": [[1.0, 0.0]]}}, "positive numbers"),
        ({"deep": {"path_gradients": [[1.0], [1.0, 2.0]]}}, "equally many numbers"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_the_reason(options, message):
    arguments = {"residual": tables(), "plain": tables()} | options
    with pytest.raises(ValueError, match=message):
        ResidualPaths(**arguments)


def test_a_set_of_blocks_that_there_is_not_cannot_be_taken_out():
    widget = three()
    widget.deleted = 7
    with pytest.raises(ValueError, match="a set of 3 blocks, 0 to 7, got 8"):
        widget.deleted = 8


def test_the_first_picture_of_deep_networks_is_one_that_there_is():
    assert three().view == ""
    assert three(deep=DEEP).view == "single"
    assert three(deep={"path_gradients": DEEP["path_gradients"]}).view == "gradients"


def test_the_description_tells_blocks_paths_and_pictures():
    assert repr(three()) == "ResidualPaths(3 blocks, 8 paths, 2 seeds; no deep networks)"
    assert repr(three(deep=DEEP)).endswith("2 seeds; single, several, gradients)")


def test_the_fallback_counts_paths_and_averages_over_sets_of_equal_size():
    html = three().fallback_html()
    for length, count in enumerate([1, 3, 3, 1]):
        assert f">passes {length}</td>" in html
        assert f">passes {length}</td><td style" in html and f">{count}</td>" in html
    # one block out: sets 1, 2 and 4, errors .01, .02 and .04; the seeds differ by .001
    assert ">2.4 ± 0.1 %</td>" in html


def test_stored_runs_of_the_depth_experiment_fill_it():
    class Runs(dict):
        def __getitem__(self, name):
            return SimpleNamespace(values=lambda key: super(Runs, self).__getitem__(name)[key])

    runs = Runs()
    for number, network in enumerate(NETWORKS):
        runs[f"{network}-14"] = {"subset_test_error": tables(6, 5)}
        runs[f"{network}-44"] = {
            "single_test_error": [[0.1 * (number + 1)] * 21] * 5,
            "several_test_error": [{"1": [0.1, 0.2], "5": [0.3, 0.4]}] * 5,
            "path_gradients": [[0.1] * 22] * 5,
        }
    widget = ResidualPaths.of_runs(runs)
    assert widget.blocks == 6 and widget.stages == [2, 2, 2]
    assert widget.deep["single"]["plain"][0][0] == 0.2
    assert widget.deep["several"]["residual"]["5"] == [0.3, 0.4] * 5
    assert len(widget.deep["gradients"]) == 5


def test_the_script_counts_paths_as_python_does(node_tests):
    cases = []
    for blocks in (2, 3, 6):
        widget = ResidualPaths(tables(blocks), tables(blocks), deep=DEEP)
        for deleted in range(2**blocks):
            numbers = [i + 1 for i in range(blocks) if deleted >> i & 1]
            cases.append([blocks, deleted, numbers, widget.lengths(numbers)])
    deep = three(deep=DEEP).deep
    node_tests(
        "residual_paths.test.mjs",
        script=ResidualPaths._esm,
        cases={"paths": cases, "deep": deep, "table": tables()},
    )
