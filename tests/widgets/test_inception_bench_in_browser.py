"""The bench in a real browser: every number that it shows is that of ``cnnlib.inspection``."""

import pytest

from cnnlib.models.googlenet import TABLE_1
from cnnlib.widgets import InceptionBench
from cnnlib.widgets.inception_bench import BRANCHES, QUANTITIES
from tests.widgets.test_in_browser import contrasts, overflow, text_of

pytestmark = pytest.mark.site


def bill(page):
    """The numbers of the table: quantity -> (naive, with reductions)."""
    return {
        name: tuple(
            int(text_of(page, f"[data-cell='{name} {form}']").replace(",", ""))
            for form in ("naive", "reduced")
        )
        for name in QUANTITIES
    }


def expected(bench):
    costs = bench.costs()
    return {
        name: tuple(
            sum(getattr(cost, name) for cost in costs[form].values())
            for form in ("naive", "reduced")
        )
        for name in QUANTITIES
    }


def numbers(page, form):
    """The labels of the four bars."""
    return page.locator(f"[data-form={form}] .cnn-bench-number").all_inner_texts()


def as_label(number):
    return f"{number / 1e6:.1f}\u00a0M" if number >= 1e6 else f"{number:,}"


def slide(page, name, value):
    page.locator(f"[data-slider={name}]").fill(str(value))


@pytest.mark.parametrize("row", TABLE_1)
def test_every_preset_shows_the_bill_of_the_library(show, row):
    page = show(InceptionBench())
    page.locator("select[data-setting=module]").select_option(row)
    bench = InceptionBench(row)
    assert bill(page) == expected(bench)
    for quantity in QUANTITIES:
        page.locator("select[data-setting=quantity]").select_option(quantity)
        for form, branches in bench.costs().items():
            labels = [as_label(getattr(cost, quantity)) for cost in branches.values()]
            assert numbers(page, form) == labels


def test_sliders_change_every_number(show):
    page = show(InceptionBench())
    widths = [72, 104, 136, 24, 40, 48]
    names = ("n1x1", "n3x3_reduce", "n3x3", "n5x5_reduce", "n5x5", "pool_proj")
    seen = [bill(page)]
    for name, width in [*zip(names, widths, strict=True), ("in_channels", 256), ("size", 14)]:
        slide(page, name, width)
        seen.append(bill(page))
    assert all(a != b for a, b in zip(seen, seen[1:], strict=False))
    assert seen[-1] == expected(InceptionBench(in_channels=256, size=14, widths=widths))
    assert page.locator("select[data-setting=module]").input_value() == "own"
    page.locator("select[data-setting=wide_kernel]").select_option("7")
    again = InceptionBench(in_channels=256, size=14, widths=widths, wide_kernel=7)
    assert bill(page) == expected(again)
    assert "7 × 7" in text_of(page, "[data-form=naive] li:nth-child(3)")


def test_the_bars_are_to_one_scale(show):
    page = show(InceptionBench("3b"))
    widths = page.evaluate(
        """() => [...document.querySelectorAll(".cnn-bench-bar")].map((bar) =>
            [...bar.children].reduce((sum, e) => sum + e.getBoundingClientRect().width, 0)
                / bar.getBoundingClientRect().width)"""
    )
    costs = [cost.macs for branches in InceptionBench("3b").costs().values()
             for cost in branches.values()]  # fmt: skip
    for width, cost in zip(widths, costs, strict=True):
        assert width == pytest.approx(cost / max(costs), abs=0.02)


def test_it_says_who_pays_most(show):
    page = show(InceptionBench("3a"))
    for form, branches in InceptionBench("3a").costs().items():
        macs = [cost.macs for cost in branches.values()]
        share = round(100 * max(macs) / sum(macs))
        assert text_of(page, f"[data-form={form}] .cnn-bench-most") == (
            f"Pays most: 3 × 3, {share} %"
        )
        row = page.locator(f"[data-form={form}] li").nth(macs.index(max(macs)))
        assert "cnn-bench-payer" in row.get_attribute("class")
    page.locator("select[data-setting=quantity]").select_option("maps")
    assert text_of(page, "[data-form=naive] .cnn-bench-most") == "Pays most: pooling, 46 %"


def test_reductions_that_do_not_pay_are_told(show):
    page = show(InceptionBench())
    assert not page.locator(".cnn-bench-warning").is_visible()
    for name in ("n3x3_reduce", "n5x5_reduce"):
        slide(page, name, 504)
    assert page.locator(".cnn-bench-warning").is_visible()


def test_the_keyboard_moves_a_slider_and_the_result_is_said(show):
    page = show(InceptionBench())
    page.locator("[data-slider=n5x5_reduce]").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("model.get('widths')[3]") == 24
    page.keyboard.press("Home")
    assert page.evaluate("model.get('widths')[3]") == 8
    page.keyboard.press("End")
    assert page.evaluate("model.get('widths')[3]") == 512
    page.wait_for_function(
        "document.querySelector('.cnn-spoken[role=status]').textContent.includes('ratio')"
    )


def test_a_finger_moves_a_slider(show):
    page = show(InceptionBench(), touch=True, width=375)
    box = page.locator("[data-slider=size]").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] - 4, box["y"] + box["height"] / 2)
    assert page.evaluate("model.get('size')") == 56


def test_a_change_from_the_kernel_is_shown(show):
    page = show(InceptionBench())
    page.evaluate("model.set('in_channels', 480); model.set('quantity', 'parameters')")
    assert bill(page) == expected(InceptionBench(in_channels=480))
    assert page.locator("[data-slider=in_channels]").input_value() == "480"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_overflows_on_a_phone_and_everything_can_be_read(show, theme):
    page = show(InceptionBench("5b"), theme=theme, width=375)
    selectors = [".cnn-bench-word", ".cnn-bench-value", ".cnn-bench-branch", ".cnn-bench-number"]
    selectors += [".cnn-bench-total", ".cnn-bench-most", ".cnn-bench-legend", ".cnn-bench-bill td"]
    assert overflow(page) <= 0
    for selector, contrast in zip(selectors, contrasts(page, selectors), strict=True):
        assert contrast >= 4.5, selector
    wide = page.evaluate(
        """() => [...document.querySelectorAll(".cnn-bench-number, .cnn-bench-bill td")]
            .filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent)"""
    )
    assert wide == []


def test_all_words_come_from_the_labels(show):
    marked = {key: f"¤{text}" for key, text in InceptionBench.LABELS.items()}
    page = show(InceptionBench(labels=marked))
    words = page.evaluate(
        """() => {
            const words = [];
            const walker = document.createTreeWalker(
                document.querySelector(".cnn-widget"), NodeFilter.SHOW_TEXT);
            while (walker.nextNode()) words.push(walker.currentNode.textContent);
            for (const e of document.querySelectorAll(".cnn-widget [aria-label]")) {
                words.push(e.getAttribute("aria-label"));
            }
            return words;
        }"""
    )
    assert [word for word in words if "¤" not in word and any(map(str.isalpha, word))] == []
    assert len(words) > 40 and len(BRANCHES) == 4
