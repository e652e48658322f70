"""Chapter 10 in the browser: the sliders show what was run, by mouse, touch and keys."""

from statistics import mean, stdev

import pytest

from cnnlib import book
from cnnlib.widgets import CompressionPipeline

pytestmark = pytest.mark.site

PATH = "chapters/10_squeezenet.html"


@pytest.fixture(scope="module")
def stored():
    return CompressionPipeline.of_runs(book.stored_runs("deep_compression")).networks


def shown(page):
    """The bytes of every stage and the last error, (mean, deviation), as the page has them."""
    stages = {
        stage: page.locator(f"[data-stage={stage}] .cnn-pipeline-number").inner_text()
        for stage in ("dense", "sparse", "plain", "huffman")
    }
    error = page.locator("[data-error=final]").inner_text().removesuffix(" %")
    return stages, tuple(float(number) for number in error.split(" ± "))


def assert_shows(page, record, level, place):
    at = record["levels"][level]
    if place == len(at["cells"]):  # 32 bits, not shared
        errors, plain, huffman = at["errors"], "not done", "not done"
    else:
        cell = at["cells"][place]
        errors = cell["errors"]
        plain, huffman = f"{cell['plain']:,}", f"{sum(cell['parts']):,}"
    stages, error = shown(page)
    sizes = {"dense": f"{record['dense']:,}", "sparse": f"{at['sparse']:,}"}
    assert stages == sizes | {"plain": plain, "huffman": huffman}
    assert error == pytest.approx((100 * mean(errors), 100 * stdev(errors)), abs=0.0501)


def test_it_begins_with_alexnet_in_the_middle(page_at, stored):
    page = page_at(PATH)
    record = stored[0]
    bits = [cell["bits"] for cell in record["levels"][0]["cells"]]
    assert_shows(page, record, len(record["levels"]) // 2, bits.index(5))


def test_every_setting_of_both_networks_shows_what_was_stored(page_at, stored):
    page = page_at(PATH)
    for number, record in enumerate(stored):
        page.locator("select[data-setting=network]").select_option(str(number))
        for level, at in enumerate(record["levels"]):
            page.locator("[data-slider=level]").fill(str(level))
            for place in range(len(at["cells"]) + 1):
                page.locator("[data-slider=bits]").fill(str(place))
                assert_shows(page, record, level, place)


def test_fewer_bits_shrink_the_codes_but_not_the_gaps(page_at):
    page = page_at(PATH)
    seen = []
    for place in (3, 1):  # 5 bits, 3 bits
        page.locator("[data-slider=bits]").fill(str(place))
        seen.append(
            [
                int(page.locator(f"[data-part={part}]").inner_text().replace(",", ""))
                for part in ("values", "gaps")
            ]
        )
    assert seen[1][0] < seen[0][0] and seen[1][1] == seen[0][1]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_keys_move_the_sliders_and_the_numbers_follow(page_at, stored, dark):
    page = page_at(PATH, dark=dark, width=375)
    page.get_by_role("slider", name="Weights kept in the large layers").focus()
    page.keyboard.press("Home")
    page.get_by_role("slider", name="Bits of a weight").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert_shows(page, stored[0], 0, 1)
