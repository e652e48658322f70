"""The browser of excitations in a real browser: its numbers are those of Python."""

import re

import pytest

from cnnlib.widgets import ExcitationBrowser
from tests.widgets.test_excitation_browser import NAMES, tables
from tests.widgets.test_in_browser import contrasts, overflow, text_of

pytestmark = pytest.mark.site

CLASSES = [*NAMES, "coat", "dress", "sandal", "boot", "pullover", "trouser", "sneaker"]


def ten_classes(**options):
    means = tables(seeds=5, units=(16, 16, 32, 32, 64, 64), classes=10)
    return ExcitationBrowser(means, CLASSES, **options)


def pressed(page, kind):
    buttons = page.locator(f"button[data-{kind}][aria-pressed=true]")
    return [b.get_attribute(f"data-{kind}") for b in buttons.all()]


def readout(page):
    names = page.locator(".cnn-readout-name").all_inner_texts()
    values = page.locator(".cnn-readout-value").all_inner_texts()
    return dict(zip(names, map(float, values), strict=True))


def assert_facts(page, widget, unit, seed):
    """The three sentences are about this unit of this network."""
    spread = widget.spread(unit, seed)
    pairs = widget.pairs(unit, seed)
    times = spread / widget.spread(0, seed)
    said = text_of(page, "[data-fact=spread]")
    assert re.findall(r"\d\.\d+", said) == [f"{spread:.3f}", f"{times:.1f}"]
    for fact, pair in (("alike", pairs[0]), ("apart", pairs[-1])):
        said = text_of(page, f"[data-fact={fact}]")
        assert f"{pair.first} and {pair.second}" in said and f"{pair.distance:.3f}" in said


def test_every_unit_of_every_network_shows_its_own_numbers(show):
    widget = ten_classes()
    page = show(widget)
    assert pressed(page, "unit") == ["5"] and pressed(page, "seed") == ["0"]
    for seed in range(5):
        page.locator(f"button[data-seed='{seed}']").click()
        numbers = page.locator(".cnn-excitation-number").all_inner_texts()
        assert numbers == [f"{widget.spread(unit, seed):.3f}" for unit in range(6)]
        for unit in (0, 3, 5):
            page.locator(f"button[data-unit='{unit}']").click()
            assert_facts(page, widget, unit, seed)
            assert pressed(page, "unit") == [str(unit)]


def test_bars_are_to_one_scale_for_all_networks(show):
    widget = ten_classes()
    page = show(widget)
    page.locator("button[data-seed='2']").click()
    heights = page.evaluate(
        """() => [...document.querySelectorAll(".cnn-excitation-bar")].map((bar) =>
            bar.getBoundingClientRect().height / (bar.parentElement.clientHeight))"""
    )
    largest = max(widget.spread(unit, seed) for unit in range(6) for seed in range(5))
    for unit, height in enumerate(heights):
        assert height == pytest.approx(widget.spread(unit, 2) / largest, abs=0.02)


def test_classes_are_switched_on_and_off(show):
    page = show(ten_classes(shown=["bag"]))
    assert pressed(page, "class") == ["2"]
    page.locator("button[data-class='6']").click()
    assert set(readout(page)) == {"bag", "boot", "mean of all classes"}
    page.locator("button[data-class='2']").click()
    assert set(readout(page)) == {"boot", "mean of all classes"}
    page.locator("button[data-classes=all]").click()
    assert set(readout(page)) == {*CLASSES, "mean of all classes"}
    page.locator("button[data-classes=none]").click()
    assert set(readout(page)) == {"mean of all classes"}


def test_the_cursor_reads_off_a_channel_by_keyboard(show):
    widget = ten_classes(unit=0)
    page = show(widget)
    page.locator("button[data-order=number]").click()
    page.get_by_role("slider").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    shown = readout(page)
    for name in CLASSES[:4]:
        assert shown[name] == widget.means[0][0][CLASSES.index(name)][1] / 1000
    column = [row[1] / 1000 for row in widget.means[0][0]]
    assert shown["mean of all classes"] == pytest.approx(sum(column) / 10, abs=6e-4)


def test_sorted_channels_rise_or_come_apart_first(show):
    widget = ten_classes(unit=2)
    page = show(widget)
    assert pressed(page, "order") == ["mean"]
    page.get_by_role("slider").focus()
    page.keyboard.press("Home")
    lowest = readout(page)["mean of all classes"]
    page.keyboard.press("End")
    highest = readout(page)["mean of all classes"]
    means = [sum(column) / 10_000 for column in zip(*widget.means[0][2], strict=True)]
    assert (lowest, highest) == pytest.approx((min(means), max(means)), abs=6e-4)
    page.locator("button[data-order=spread]").click()
    assert text_of(page, ".cnn-readout-title") == "Channel by spread, no. 32"


def test_the_keyboard_walks_through_the_units_and_hears_them(show):
    widget = ten_classes()
    page = show(widget)
    page.locator("button[data-unit='0']").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.evaluate("model.get('unit')") == 1
    pair = widget.pairs(1)[0]
    page.wait_for_function(
        "(words) => [...document.querySelectorAll('.cnn-spoken[role=status]')]"
        ".some((e) => e.textContent.includes(words))",
        arg=f"Block 2: spread {widget.spread(1):.3f}. Most alike: {pair.first} and {pair.second}",
    )


def test_a_finger_chooses_a_unit(show):
    page = show(ten_classes(), touch=True, width=375)
    page.locator("button[data-unit='3']").tap()
    assert pressed(page, "unit") == ["3"]


def test_one_network_needs_no_choice_of_networks(show):
    means = tables(seeds=1)
    page = show(ExcitationBrowser(means, NAMES))
    assert page.locator("button[data-seed]").count() == 0
    assert page.locator("button[data-unit]").count() == 2


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_overflows_on_a_phone_and_everything_can_be_read(show, theme):
    page = show(ten_classes(), theme=theme, width=375)
    assert overflow(page) <= 0
    selectors = [".cnn-excitation-number", ".cnn-excitation-fact", ".cnn-excitation-title"]
    selectors += ["button[data-class='0']", "button[data-unit='0']", "button[data-unit='5']"]
    for selector, contrast in zip(selectors, contrasts(page, selectors), strict=True):
        assert contrast >= 4.5, selector
    wide = page.evaluate(
        """() => [...document.querySelectorAll(".cnn-excitations button")]
            .filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent)"""
    )
    assert wide == []


def test_a_view_that_is_closed_leaves_nothing_behind(show):
    page = show(ten_classes())
    assert page.evaluate("listenersLeft()") > 0
    page.evaluate("cleanUp()")
    assert page.evaluate("listenersLeft()") == 0
