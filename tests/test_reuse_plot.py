"""Triangles of who reads whom: every value stands where its reader and its source are."""

import matplotlib

matplotlib.use("Agg")

import pytest
from matplotlib.patches import Rectangle

from cnnlib import plots

TWO = [(1, 0, 1), (1, 0, 2), (1, 1, 2), (2, 0, 1)]


def test_every_value_stands_in_its_square():
    figure = plots.reuse(TWO, [0.5, 0.25, -0.011, 2.0])
    first, second = figure.axes
    texts = {text.get_position(): text.get_text() for text in first.texts}
    assert texts == {(1, 0): "0.50", (2, 0): "0.25", (2, 1): "−0.01"}
    assert [text.get_text() for text in second.texts] == ["2.00"]
    assert [axis.get_title() for axis in figure.axes] == ["1", "2"]


def test_the_larger_a_value_the_darker_its_square_and_the_largest_has_light_ink():
    figure = plots.reuse(TWO, [0.5, 0.25, -0.2, 2.0], digits=1)
    shades = [
        sum(patch.get_facecolor()[:3])
        for axis in figure.axes
        for patch in axis.patches
        if isinstance(patch, Rectangle)
    ]
    half, quarter, negative, most = shades
    assert negative == 3 and negative > quarter > half > most
    assert figure.axes[1].texts[0].get_color() == "white"
    assert figure.axes[0].texts[1].get_color() == "black"


def test_nothing_but_zeros_can_be_drawn():
    figure = plots.reuse([(1, 0, 1)], [0.0])
    assert figure.axes[0].texts[0].get_text() == "0.00"


@pytest.mark.parametrize("values", [[], [1.0], [1.0] * 5])
def test_each_connection_needs_a_value(values):
    with pytest.raises(ValueError, match=f"got {len(values)} for 4"):
        plots.reuse(TWO, values)
