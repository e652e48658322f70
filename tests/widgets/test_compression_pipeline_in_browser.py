"""The pipeline in a real browser: what it shows is what the experiment stored."""

from statistics import mean, stdev

import pytest

from cnnlib import book
from cnnlib.widgets import CompressionPipeline
from cnnlib.widgets.compression_pipeline import PARTS, UNSHARED
from tests.widgets.test_in_browser import text_of

pytestmark = pytest.mark.site


@pytest.fixture(scope="module")
def runs():
    return book.stored_runs("deep_compression")


def slide(page, name, place):
    page.locator(f"[data-slider={name}]").fill(str(place))


def final_error(page):
    return text_of(page, "[data-error=final]")


def bytes_of(page, stage):
    return text_of(page, f"[data-stage={stage}] .cnn-pipeline-number")


def is_shown(text, errors):
    """Whether "58.3 ± 10.6 %" says it; Python and the browser round a half differently."""
    shown = [float(number) for number in text.removesuffix(" %").split(" ± ")]
    return shown == pytest.approx([100 * mean(errors), 100 * stdev(errors)], abs=0.0501)


def test_sliders_reach_every_setting_and_show_its_numbers(show, runs):
    widget = CompressionPipeline.of_runs(runs)
    page = show(widget)
    for number, record in enumerate(widget.networks):
        page.locator("select").select_option(str(number))
        for i, level in enumerate(record["levels"]):
            slide(page, "level", i)
            assert is_shown(text_of(page, "[data-error=cut]"), level["cut"])
            assert bytes_of(page, "sparse") == f"{level['sparse']:,}"
            for j, cell in enumerate(level["cells"]):
                slide(page, "bits", j)
                assert is_shown(final_error(page), cell["errors"])
                assert bytes_of(page, "plain") == f"{cell['plain']:,}"
                assert bytes_of(page, "huffman") == f"{sum(cell['parts']):,}"
                parts = [int(text_of(page, f"[data-part={p}]").replace(",", "")) for p in PARTS]
                assert parts == cell["parts"]


def test_the_bars_are_to_one_scale(show, runs):
    page = show(CompressionPipeline.of_runs(runs, level=3, bits=5))
    drawn = page.evaluate(
        """() => [...document.querySelectorAll(".cnn-pipeline-bar")].map((bar) =>
            [...bar.children].reduce((sum, e) => sum + e.getBoundingClientRect().width, 0)
                / bar.getBoundingClientRect().width)"""
    )
    written = [
        int(bytes_of(page, stage).replace(",", ""))
        for stage in ("dense", "sparse", "plain", "huffman")
    ]
    for share, number in zip(drawn, written, strict=True):
        assert share == pytest.approx(number / max(written), abs=0.02)


def test_without_sharing_the_last_stages_are_not_done(show, runs):
    widget = CompressionPipeline.of_runs(runs, level=3, bits=UNSHARED)
    page = show(widget)
    assert bytes_of(page, "plain") == bytes_of(page, "huffman") == "not done"
    assert not page.locator("[data-part=values]").is_visible()
    assert final_error(page) == text_of(page, "[data-error=retrained]")


def test_another_network_keeps_the_setting_where_it_has_it(show, runs):
    page = show(CompressionPipeline.of_runs(runs, level=5, bits=3))
    page.locator("select").select_option("1")
    assert page.evaluate("[model.get('level'), model.get('bits')]") == [2, 3]


def test_keys_move_the_sliders_and_the_result_is_said(show, runs):
    page = show(CompressionPipeline.of_runs(runs, level=0, bits=8))
    page.get_by_role("slider", name="Weights kept in the large layers").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("model.get('level')") == 1
    page.get_by_role("slider", name="Bits of a weight").focus()
    page.keyboard.press("Home")
    assert page.evaluate("model.get('bits')") == 2
    page.wait_for_function(
        "document.querySelector('.cnn-spoken[role=status]').textContent.includes('times smaller')"
    )


def test_a_tap_on_a_point_goes_there(show, runs):
    widget = CompressionPipeline.of_runs(runs, level=0, bits=8)
    page = show(widget, touch=True, width=375)
    dots = page.locator(".cnn-pipeline-dot")
    assert dots.count() == sum(len(level["cells"]) + 1 for level in widget.networks[0]["levels"])
    box = dots.nth(3 * 7 + 2).bounding_box()  # fourth pruning, third number of bits
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    chosen = page.evaluate("[model.get('level'), model.get('bits')]")
    level = widget.networks[0]["levels"][chosen[0]]
    assert chosen != [0, 8]
    cell = next(cell for cell in level["cells"] if cell["bits"] == chosen[1])
    assert is_shown(final_error(page), cell["errors"])
