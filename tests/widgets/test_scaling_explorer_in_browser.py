"""The explorer in a real browser: every number that it shows is that of ``cnnlib.inspection``."""

import pytest

from cnnlib.models.efficientnet import VARIANTS, compound_scaling
from cnnlib.published import published
from cnnlib.widgets import ScalingExplorer
from tests.widgets.test_in_browser import contrasts, overflow, text_of

pytestmark = pytest.mark.site


def cell(page, name):
    return text_of(page, f"[data-cell='{name}']")


def slide(page, name, value):
    page.locator(f"[data-slider={name}]").fill(str(value))


def bill(page):
    """What is counted: multiply-adds, parameters."""
    return tuple(
        int(cell(page, f"{name} counted").replace(",", "")) for name in ("macs", "parameters")
    )


def expected(explorer):
    counted = explorer.counts()
    return sum(stage.macs for stage in counted), sum(stage.parameters for stage in counted)


def test_every_released_network_is_counted_as_in_the_library(show):
    page = show(ScalingExplorer())
    for name in VARIANTS:
        page.locator("select").select_option(name.upper())
        explorer, record = ScalingExplorer(name), published(f"efficientnet_{name}")
        assert bill(page) == expected(explorer)
        assert cell(page, "macs printed") == record.printed_macs
        assert cell(page, "parameters printed") == record.printed_parameters
        for number, stage in enumerate(explorer.counts(), 1):
            assert cell(page, f"layers {number}") == str(stage.layers)
            assert cell(page, f"channels {number}") == str(stage.channels)
            assert cell(page, f"side {number}") == f"{stage.side} × {stage.side}"


def test_the_rule_moves_all_three_and_says_where_it_is(show):
    page = show(ScalingExplorer())
    slide(page, "phi", 2)
    assert page.evaluate("['depth', 'width', 'resolution'].map((name) => model.get(name))") == [
        compound_scaling(2).depth,
        compound_scaling(2).width,
        compound_scaling(2).resolution,
    ]
    assert bill(page) == expected(ScalingExplorer(phi=2))
    value = page.locator("label:has([data-slider=phi]) .cnn-scaling-value")
    assert value.inner_text() == "2"
    slide(page, "depth", 3)
    assert value.inner_text() == "not by the rule"


def test_a_little_more_depth_is_much_more_after_rounding(show):
    page = show(ScalingExplorer("b1"))
    assert cell(page, "depth asked") == "× 1.1"
    assert cell(page, "depth got") == "16 → 23 blocks: × 1.44"
    assert cell(page, "cost asked") == "expected by d · w² · r²: × 1.26"
    assert cell(page, "cost got") == "counted: × 1.78"


def test_sliders_change_one_dimension_each(show):
    page = show(ScalingExplorer())
    seen = [bill(page)]
    for name, value in (("depth", 2), ("width", 1.5), ("resolution", 320)):
        slide(page, name, value)
        seen.append(bill(page))
    assert len(set(seen)) == 4
    assert seen[-1] == expected(ScalingExplorer(depth=2, width=1.5, resolution=320))
    assert page.locator("select").input_value() == "own"
    assert cell(page, "macs printed") == "–"


def test_only_a_network_of_ones_own_has_a_line_and_no_error(show):
    page = show(ScalingExplorer())
    line = page.locator("[data-macs]")
    assert line.count() == 0 and not page.locator(".cnn-scaling-note").is_visible()
    slide(page, "width", 2)
    assert int(line.get_attribute("data-macs")) == bill(page)[0]
    assert page.locator(".cnn-scaling-note").is_visible()
    assert page.locator(".cnn-scaling-plot circle").count() == len(VARIANTS)


def test_the_bars_are_to_one_scale(show):
    page = show(ScalingExplorer("b4"))
    widths = page.evaluate(
        """() => [...document.querySelectorAll(".cnn-scaling-bar")].map((bar) =>
            bar.getBoundingClientRect().width
                / bar.parentElement.getBoundingClientRect().width)"""
    )
    macs = [stage.macs for stage in ScalingExplorer("b4").counts()]
    for width, one in zip(widths, macs, strict=True):
        assert width == pytest.approx(one / max(macs), abs=0.02)


def test_the_keyboard_moves_a_slider_and_the_result_is_said(show):
    page = show(ScalingExplorer())
    page.locator("[data-slider=phi]").focus()
    page.keyboard.press("End")
    assert page.evaluate("model.get('resolution')") == compound_scaling(7).resolution
    page.keyboard.press("Home")
    assert page.evaluate("model.get('resolution')") == 224
    page.locator("[data-slider=depth]").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("model.get('depth')") == 1.1
    page.wait_for_function(
        "document.querySelector('.cnn-spoken[role=status]').textContent.includes('times B0')"
    )


def test_a_finger_moves_a_slider(show):
    page = show(ScalingExplorer(), touch=True, width=375)
    box = page.locator("[data-slider=resolution]").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] - 4, box["y"] + box["height"] / 2)
    assert page.evaluate("model.get('resolution')") == 640


def test_a_change_from_the_kernel_is_shown(show):
    page = show(ScalingExplorer())
    page.evaluate("model.set('resolution', 320); model.set('width', 1.4)")
    page.wait_for_function("document.querySelector('[data-slider=width]').value === '1.4'")
    assert bill(page) == expected(ScalingExplorer(width=1.4, resolution=320))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_overflows_on_a_phone_and_everything_can_be_read(show, theme):
    page = show(ScalingExplorer(phi=3), theme=theme, width=375)
    assert overflow(page) <= 0
    selectors = [".cnn-scaling-word", ".cnn-scaling-value", ".cnn-scaling-table td"]
    selectors += [".cnn-scaling-share", ".cnn-scaling-note", ".cnn-scaling-table th"]
    for selector, contrast in zip(selectors, contrasts(page, selectors), strict=True):
        assert contrast >= 4.5, selector


def test_all_words_come_from_the_labels(show):
    marked = {key: f"¤{text}" for key, text in ScalingExplorer.LABELS.items()}
    page = show(ScalingExplorer(labels=marked))
    words = page.evaluate(
        """() => {
            const words = [];
            const walker = document.createTreeWalker(
                document.querySelector(".cnn-widget"), NodeFilter.SHOW_TEXT);
            while (walker.nextNode()) words.push(walker.currentNode.textContent);
            return words;
        }"""
    )
    names = {name.upper() for name in VARIANTS}
    printed = {published(f"efficientnet_{name}").printed_macs for name in VARIANTS}
    printed |= {published(f"efficientnet_{name}").printed_parameters for name in VARIANTS}
    plain = [w for w in words if "¤" not in w and any(map(str.isalpha, w))]
    assert [word for word in plain if word not in names | printed] == []
    assert len(words) > 60
