"""The editor in a real browser: every figure that it shows is that of the table."""

import pytest

from cnnlib.search import EDGES, RandomSearch, RegularizedEvolution, SmallCell, load_table, run
from cnnlib.widgets import CellEditor
from cnnlib.widgets.cell_editor import percent
from tests.widgets.test_in_browser import contrasts, overflow, text_of

pytestmark = pytest.mark.site
CAP = 10_226


@pytest.fixture(scope="module")
def table():
    return load_table()


@pytest.fixture(scope="module")
def traces(table):
    return {
        "random": run(RandomSearch(), table, 40),
        "evolution": run(RegularizedEvolution(), table, 40),
    }


@pytest.fixture
def page(show, table, traces):
    return show(CellEditor(table, traces, max_parameters=CAP))


def code(page):
    return page.evaluate("model.get('code')")


def check_facts(page, table):
    """What stands on the page is what the table says of the page's cell."""
    cell = SmallCell.from_code(code(page))
    row = table[cell]
    fact = {
        key: text_of(page, f"[data-fact={key}]") for key in ("accuracy", "rank", "size", "computes")
    }
    assert fact["accuracy"] == f"{percent(row.accuracy)} ± {percent(row.sd)} %"
    assert fact["rank"] == f"{table.rank(cell)} of 291"
    assert fact["size"] == f"{row.parameters:,} parameters"
    assert fact["computes"] == cell.expression or not cell.connected
    letters = [page.locator(f"select[data-edge='{edge}']").input_value() for edge in range(5)]
    assert "".join(letters) == cell.code
    assert page.locator("[data-slider=rank]").input_value() == str(table.rank(cell))


def test_lists_change_the_cell_and_all_that_is_said_of_it(page, table):
    check_facts(page, table)
    for edge, letter in ((3, "c"), (0, "p"), (1, "-"), (4, "c"), (2, "i"), (0, "-")):
        page.locator(f"select[data-edge='{edge}']").select_option(letter)
        check_facts(page, table)
    assert code(page) == "--icc" and not SmallCell.from_code("--icc").connected
    assert "nothing gets through" in text_of(page, "[data-fact=computes]")


def test_a_tap_on_the_drawing_brings_the_next_operation(page, table):
    for edge in range(len(EDGES)):
        for _ in range(4):
            before = code(page)
            page.locator(f"g[data-edge='{edge}']").click()
            after = code(page)
            assert [i for i in range(5) if before[i] != after[i]] == [edge]
            check_facts(page, table)
    assert code(page) == "cic-i"


def test_the_best_single_change_climbs_until_none_is_left(page, table):
    button = page.get_by_role("button", name="Best single change")
    ranks = [table.rank(code(page))]
    for _ in range(20):
        button.click()
        rank = table.rank(code(page))
        if rank == ranks[-1]:
            break
        ranks.append(rank)
    assert len(ranks) > 1 and ranks == sorted(ranks, reverse=True)
    assert min(table.rank(n) for n in SmallCell.from_code(code(page)).neighbours()) >= ranks[-1]
    assert page.locator(".cnn-cell-top").is_visible()
    page.locator("select[data-edge='0']").select_option("-")
    assert not page.locator(".cnn-cell-top").is_visible()


def test_under_the_limit_only_small_cells_come_up(page, table):
    page.locator("[data-setting=capped]").check()
    shut = page.locator("circle.cnn-cell-shut").count()
    assert shut == sum(row.parameters > CAP for row in table)
    for _ in range(25):
        page.get_by_role("button", name="Random cell").click()
        assert table[code(page)].parameters <= CAP
    for _ in range(12):
        page.get_by_role("button", name="Best single change").click()
    assert table[code(page)].parameters <= CAP


def test_the_slider_walks_from_the_best_to_the_worst(page, table):
    slider = page.get_by_role("slider", name="Walk by rank")
    slider.focus()
    page.keyboard.press("Home")
    assert table.rank(code(page)) == 1
    page.keyboard.press("ArrowRight")
    assert table.rank(code(page)) == 2
    check_facts(page, table)
    page.keyboard.press("End")
    assert table.rank(code(page)) == len(table)
    page.wait_for_function(
        "document.querySelector('.cnn-spoken[role=status]').textContent.includes('rank 291')"
    )


def test_a_search_is_followed_step_by_step(page, table, traces):
    for name, trace in traces.items():
        page.locator("select[data-setting=search]").select_option(name)
        for number in (40, 1, 12):
            page.locator("[data-slider=evaluations]").fill(str(number))
            done = trace.steps[:number]
            tried = {table.rank(step.cell) for step in done}
            assert page.locator("circle.cnn-cell-tried").count() == len(tried)
            best = max(done, key=lambda step: step.accuracy)
            told = text_of(page, ".cnn-cell-told")
            assert f"Evaluation {number} of 40: cell {done[-1].cell.code}" in told
            seen, mean = percent(done[-1].accuracy), percent(table.mean(done[-1].cell))
            assert f"seen {seen} %, mean of its seeds {mean} %" in told
            assert f"Best so far: {best.cell.code}, seen {percent(best.accuracy)} %" in told
            assert f"rank {table.rank(best.cell)}." in told
            label = page.locator("svg.cnn-cell-map").get_attribute("aria-label")
            assert label is not None and told in label
    page.locator("select[data-setting=search]").select_option("")
    assert page.locator("circle.cnn-cell-tried").count() == 0
    assert not page.locator(".cnn-cell-told").is_visible()


def test_a_tap_on_a_dot_loads_its_cell(show, table, traces):
    page = show(CellEditor(table, traces), touch=True, width=375)
    page.locator("svg.cnn-cell-map").scroll_into_view_if_needed()
    box = page.locator("svg.cnn-cell-map").bounding_box()
    dots = page.locator("circle.cnn-cell-dot")
    assert dots.count() == len(table)
    worst = page.evaluate(
        """() => [...document.querySelectorAll("circle.cnn-cell-dot")]
            .map((dot) => [+dot.getAttribute("cx"), +dot.getAttribute("cy")])
            .reduce((low, dot) => (dot[1] > low[1] ? dot : low))"""
    )
    page.touchscreen.tap(box["x"] + worst[0], box["y"] + worst[1])
    assert table.rank(code(page)) == len(table)
    check_facts(page, table)


def test_a_change_from_the_kernel_is_shown(page, table):
    page.evaluate("model.set('code', 'ccccc'); model.set('capped', true)")
    check_facts(page, table)
    assert page.locator("[data-setting=capped]").is_checked()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1200])
def test_nothing_overflows_and_everything_can_be_read(show, table, traces, theme, width):
    page = show(CellEditor(table, traces, max_parameters=CAP), theme=theme, width=width)
    page.locator("select[data-setting=search]").select_option("evolution")
    assert overflow(page) <= 0
    selectors = [".cnn-cell-value", ".cnn-cell-more", ".cnn-cell-told", ".cnn-cell-legend"]
    selectors += [".cnn-cell-word", ".cnn-cell-cap"]
    for selector, contrast in zip(selectors, contrasts(page, selectors), strict=True):
        assert contrast >= 4.5, selector


def test_a_view_that_is_closed_leaves_nothing_behind(page):
    assert page.evaluate("listenersLeft()") > 0
    page.evaluate("cleanUp()")
    assert page.evaluate("listenersLeft()") == 0
