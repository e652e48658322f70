"""Chapter 12 in the browser: the editor says what the table says, by mouse, touch and keys.

Its JavaScript is compared with ``cnnlib.search``: ranks, neighbours, and what each search tried.
"""

import pytest

from cnnlib.search import STRATEGIES, SmallCell, load_table, run
from cnnlib.widgets.cell_editor import percent

pytestmark = pytest.mark.site

PATH = "chapters/12_nasnet.html"
CAP, SEED, EVALUATIONS = 10_226, 3, 60  # as in the chapter


@pytest.fixture(scope="module")
def table():
    return load_table()


def shown(page) -> tuple[str, str, str]:
    """The code that the five lists make, and what is said of accuracy and rank."""
    letters = [page.locator(f".cnn-cell select[data-edge='{e}']").input_value() for e in range(5)]
    facts = [page.locator(f"[data-fact={key}]").inner_text() for key in ("accuracy", "rank")]
    return ("".join(letters), *facts)


def expected(table, code: str) -> tuple[str, str, str]:
    row = table[code]
    accuracy = f"{percent(row.accuracy)} ± {percent(row.sd)} %"
    return code, accuracy, f"{table.rank(code)} of {len(table)}"


def test_it_begins_with_the_residual_block_of_the_text(page_at, table):
    page = page_at(PATH)
    assert shown(page) == expected(table, "cic-i")
    assert page.locator("[data-fact=computes]").inner_text() == "conv1(conv2(x)) + x"


def test_the_first_thing_to_try_ends_where_no_single_change_helps(page_at, table):
    page = page_at(PATH)
    button = page.get_by_role("button", name="Best single change")
    code = "cic-i"
    for _ in range(12):
        best = min(SmallCell.from_code(code).neighbours(), key=table.rank)
        button.click()
        if table.rank(best) >= table.rank(code):
            break
        code = shown(page)[0]
        assert table.rank(code) == table.rank(best)
        assert shown(page) == expected(table, code)
    assert page.locator(".cnn-cell-top").is_visible()


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_searches_are_those_of_the_chapter(page_at, table, name):
    trace = run(STRATEGIES[name](seed=SEED), table, EVALUATIONS)
    page = page_at(PATH)
    page.locator("select[data-setting=search]").select_option(name)
    for number in (EVALUATIONS, 1, 20):
        page.locator("[data-slider=evaluations]").fill(str(number))
        tried = {table.rank(step.cell) for step in trace.steps[:number]}
        assert page.locator("circle.cnn-cell-tried").count() == len(tried)
        best = max(trace.steps[:number], key=lambda step: step.accuracy)
        told = page.locator(".cnn-cell-told").inner_text()
        assert f"Best so far: {best.cell.code}, seen {percent(best.accuracy)} %" in told


def test_the_limit_closes_the_large_cells(page_at, table):
    page = page_at(PATH)
    page.locator("[data-setting=capped]").check()
    large = sum(row.parameters > CAP for row in table)
    assert page.locator("circle.cnn-cell-shut").count() == large > 0


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_keys_walk_through_the_ranks(page_at, table, dark):
    page = page_at(PATH, dark=dark, width=375)
    page.get_by_role("slider", name="Walk by rank").focus()
    page.keyboard.press("Home")
    for rank in (1, 2, 3):
        code = shown(page)[0]
        assert table.rank(code) == rank and shown(page) == expected(table, code)
        page.keyboard.press("ArrowRight")
