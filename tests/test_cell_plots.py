"""Drawings of cells and scattered points: what is asked for is on the paper, once."""

import matplotlib

matplotlib.use("Agg")

import pytest

from cnnlib import plots
from cnnlib.models.nasnet import NASNET_A, Block, Cell


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("wiring", NASNET_A, ids=NASNET_A._fields)
def test_every_operation_and_sum_of_a_cell_is_drawn(wiring):
    shown = texts(plots.cell(wiring))
    operations = sorted(operation for block in wiring.blocks for _, operation in block[:2])
    assert sorted(set(shown) & set(operations)) == sorted(set(operations))
    for operation in set(operations):
        assert shown.count(operation) == operations.count(operation)
    assert shown.count("+") == len(wiring.blocks)


def test_a_line_leads_from_every_state_that_is_read_or_handed_on():
    for wiring in NASNET_A:
        lines = plots.cell(wiring).axes[0].lines
        into_operations = 2 * len(wiring.blocks)
        assert len(lines) == 2 * into_operations + len(wiring.concatenated)


def test_a_block_stands_above_those_that_it_reads():
    wiring = Cell(
        (
            Block((0, "3x3"), (1, "identity")),
            Block((2, "1x1"), (2, "avg 3x3"), "concatenate"),
        ),
        (3, 1),
    )
    figure = plots.cell(wiring)
    heights = {text.get_text(): text.get_position()[1] for text in figure.axes[0].texts}
    assert heights["$h_i$"] < heights["3x3"] or heights["3x3"] < heights["1x1"]
    assert heights["3x3"] < heights["+"] < heights["1x1"] < heights["⧺"]


def test_points_stand_where_they_belong_and_groups_are_named():
    figure = plots.scatter(
        {"a": [(1, 2), (3, 4)], "b": [(5, 6)]}, x="across", y="up", notes={"here": (3, 4)}
    )
    [axis] = figure.axes
    drawn = {line.get_label(): [tuple(p) for p in line.get_xydata()] for line in axis.lines}
    assert drawn == {"a": [(1, 2), (3, 4)], "b": [(5, 6)]}
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("across", "up")
    assert [text.xy for text in axis.texts] == [(3, 4)] and texts(figure) == ["here"]
    assert len({(line.get_color(), line.get_marker()) for line in axis.lines}) == 2


def test_nothing_to_draw_is_refused():
    for nothing in ({}, {"a": []}):
        with pytest.raises(ValueError, match="at least one point"):
            plots.scatter(nothing, x="x", y="y")
