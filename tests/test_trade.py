"""Charts of cost and gain: right marks, clear errors."""

import matplotlib

matplotlib.use("Agg")

import pytest
import torch

from cnnlib import plots


def test_a_roofline_has_a_flat_roof_slopes_up_to_it_and_every_point():
    points = {"full": [(50.0, 60.0), (80.0, 70.0)], "depthwise": [(1.0, 5.0)]}
    [axis] = plots.roofline(points, 80.0, {"cache": 40.0, "memory": 10.0}).axes
    roof, cache, memory, full, depthwise = axis.lines
    assert set(roof.get_ydata()) == {80.0}
    for line, slope in ((cache, 40.0), (memory, 10.0)):
        assert line.get_ydata()[-1] == pytest.approx(80.0)
        assert line.get_xdata()[-1] == pytest.approx(80.0 / slope)
    assert list(zip(*full.get_data(), strict=True)) == points["full"]
    assert list(zip(*depthwise.get_data(), strict=True)) == points["depthwise"]
    assert full.get_marker() != depthwise.get_marker()
    assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")


@pytest.mark.parametrize(
    "points, roof, slopes",
    [({}, 1.0, {"a": 1.0}), ({"a": [(1.0, 1.0)]}, 1.0, {})],
)
def test_a_roofline_without_points_or_slopes_is_refused(points, roof, slopes):
    with pytest.raises(ValueError, match="at least one point and one slope"):
        plots.roofline(points, roof, slopes)


def test_a_roofline_of_nothing_per_byte_is_refused():
    with pytest.raises(ValueError, match="must be positive"):
        plots.roofline({"a": [(0.0, 1.0)]}, 1.0, {"memory": 1.0})


def test_a_tradeoff_has_a_line_for_each_family():
    families = {"alpha": [(41, 50.6), (569, 70.6)], "rho": [(186, 64.4), (569, 70.6)]}
    [axis] = plots.tradeoff(families, log=False).axes
    assert [line.get_label() for line in axis.lines] == list(families)
    assert list(axis.lines[0].get_xdata()) == [41, 569]
    assert axis.get_xscale() == "linear"
    with pytest.raises(ValueError, match="at least one point"):
        plots.tradeoff({})


def test_planes_show_every_point_and_hide_what_is_left_over():
    figure = plots.planes({str(n): torch.rand(20, 2) for n in range(4)}, columns=3)
    shown = [axis for axis in figure.axes if axis.collections]
    assert [axis.get_title() for axis in shown] == ["0", "1", "2", "3"]
    assert all(len(axis.collections[0].get_offsets()) == 20 for axis in shown)
    assert [axis.axison for axis in figure.axes] == [True] * 4 + [False] * 2


def test_planes_want_points_of_a_plane():
    with pytest.raises(ValueError, match="at least one panel"):
        plots.planes({})
    with pytest.raises(ValueError, match=r"'a' must be \(points, 2\), got \(5, 3\)"):
        plots.planes({"a": torch.rand(5, 3)})
