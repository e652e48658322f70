"""The editor shows what the table knows of a cell, in Python and in its script."""

import random

import pytest

from cnnlib.search import (
    EDGES,
    LETTERS,
    OPERATIONS,
    SPACE,
    RandomSearch,
    RegularizedEvolution,
    SmallCell,
    Trace,
    load_table,
    run,
)
from cnnlib.widgets import CellEditor
from cnnlib.widgets import cell_editor as module


@pytest.fixture(scope="module")
def table():
    return load_table()


@pytest.fixture(scope="module")
def traces(table):
    return {
        "random": run(RandomSearch(), table, 30),
        "evolution": run(RegularizedEvolution(), table, 30),
    }


def test_edges_and_letters_are_those_of_the_space():
    assert module.EDGES == EDGES and module.LETTERS == LETTERS
    words = [CellEditor.LABELS[f"operation_{name}"] for name in module.NAMES]
    assert tuple(word.replace("conv ", "").replace(" × ", "x") for word in words) == OPERATIONS


def test_every_encoding_leads_to_the_row_and_rank_of_its_cell(table):
    editor = CellEditor(table)
    assert len(editor.encodings) == 1024 and len(editor.rows) == len(table) == 291
    for cell in SPACE.encodings():
        editor.code = cell.code
        row = table[cell]
        assert editor.rank() == table.rank(cell)
        code, expression, parameters, macs, encodings, convolutions, accuracies = editor.row()
        assert (code, expression) == (row.cell.code, cell.expression)
        assert (parameters, macs, encodings) == (row.parameters, row.macs, row.encodings)
        assert convolutions == cell.convolutions and tuple(accuracies) == row.accuracies


def test_the_script_finds_the_same_places_neighbours_and_steps(node_tests, table, traces):
    editor = CellEditor(table, traces)
    rng = random.Random(0)
    codes = [SPACE.random(rng).code for _ in range(60)] + ["-----", "ccccc"]
    cells = [SmallCell.from_code(code) for code in codes]
    best = []
    for cell in cells:
        better = min(cell.neighbours(), key=table.rank)
        best.append(table.rank(better) if table.rank(better) < table.rank(cell) else None)
    standing = []
    for trace in traces.values():
        for number in (1, 7, 30):
            part = Trace(trace.steps[:number])
            standing.append(
                {
                    "steps": [[s.cell.code, s.accuracy] for s in trace.steps],
                    "evaluations": number,
                    "tried": sorted({table.rank(s.cell) - 1 for s in part.steps}),
                    "best": part.best.cell.code,
                    "last": part.steps[-1].cell.code,
                }
            )
    rows = list(table)
    cases = {
        "rows": editor.rows,
        "encodings": editor.encodings,
        "codes": codes,
        "ranks": [table.rank(cell) for cell in cells],
        "neighbours": [sorted(n.code for n in cell.neighbours()) for cell in cells],
        "best": best,
        "standing": standing,
        "means": [row.accuracy for row in rows],
        "deviations": [row.sd for row in rows],
        "percents": [module.percent(row.accuracy) for row in rows],
        "columns": [row.cell.convolutions for row in rows],
    }
    node_tests("cell_editor.test.mjs", script=CellEditor._esm, cases=cases)


def test_the_state_is_small(table, traces):
    editor = CellEditor(table, traces)
    assert len(str(editor.get_state(["rows", "encodings", "searches"]))) < 60_000


def test_searches_are_listed_in_one_order_whatever_order_they_come_in(table, traces):
    one = CellEditor(table, traces)
    other = CellEditor(table, dict(reversed(traces.items())))
    assert one.searches == other.searches
    assert [name for name, _ in one.searches] == ["random", "evolution"]


def test_the_fallback_tells_the_same_as_the_table(table, traces):
    editor = CellEditor(table, traces, cell="c-c-c")
    text = editor.fallback_html()
    row = table["c-c-c"]
    assert f"{module.percent(row.accuracy)} ± {module.percent(row.sd)} %" in text
    assert f"{table.rank('c-c-c')} of 291" in text and f"{row.parameters:,} parameters" in text
    assert "conv1(conv2(conv3(x)))" in text and text.count("conv 3 × 3</text>") == 3
    for place in range(1, 12):
        assert (f"<td>{place}</td>" in text) == (place <= 5)
    for trace in traces.values():
        assert f"is {trace.best.cell.code}, rank {table.rank(trace.best.cell)}" in text
    assert "nothing gets through" in CellEditor(table, cell="-----").fallback_html()


def test_what_does_not_fit_is_refused(table, traces):
    with pytest.raises(ValueError, match="5 letters out of '-icp'.*'abc'"):
        CellEditor(table, cell="abc")
    with pytest.raises(ValueError, match="no search 'luck'; there are random, evolution"):
        CellEditor(table, {"luck": traces["random"]})
    with pytest.raises(ValueError, match="trace of evolution is empty"):
        CellEditor(table, {"evolution": Trace()})
    with pytest.raises(ValueError, match="at least 1,442; got 1,000"):
        CellEditor(table, max_parameters=1000)
    with pytest.raises(ValueError, match="search 'reinforce' is not there"):
        CellEditor(table, traces).search = "reinforce"
