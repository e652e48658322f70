"""The costs in a real browser: every number that it shows is that of ``cnnlib.inspection``."""

import pytest

from cnnlib.inspection.convolutions import KINDS
from cnnlib.papers.mobilenet import TABLE_6
from cnnlib.widgets import ConvolutionCosts
from tests.widgets.test_in_browser import contrasts, overflow, text_of

pytestmark = pytest.mark.site


def bill(page):
    """MACs and parameters of every kind, from the table."""
    return {
        kind: tuple(
            int(text_of(page, f"[data-cell='{kind} {name}']").replace(",", ""))
            for name in ("macs", "parameters")
        )
        for kind in KINDS
    }


def expected(widget):
    return {kind: (cost.macs, cost.parameters) for kind, cost in widget.costs().items()}


def slide(page, name, place):
    page.locator(f"[data-slider={name}]").fill(str(place))


def choose(page, name, value):
    page.locator(f"select[data-setting={name}]").select_option(value)


def test_sliders_and_choices_change_every_number(show):
    page = show(ConvolutionCosts())
    assert bill(page) == expected(ConvolutionCosts())
    slide(page, "channels", 1)
    slide(page, "size", 3)
    assert bill(page) == expected(ConvolutionCosts(32, 56))
    choose(page, "kernel", "5")
    choose(page, "groups", "16")
    assert bill(page) == expected(ConvolutionCosts(32, 56, kernel=5, groups=16))
    assert "1 / C + 1 / K² = 0.0713" in text_of(page, ".cnn-costs-formula")


@pytest.mark.parametrize("order, batch", [("NCHW", 1), ("channels last", 8)])
def test_the_times_are_those_of_the_library(show, order, batch):
    page = show(ConvolutionCosts())
    choose(page, "order", order)
    choose(page, "batch", str(batch))
    widget = ConvolutionCosts(order=order, batch=batch)
    for kind, time in widget.microseconds().items():
        shown = float(text_of(page, f"[data-cell='{kind} time']").replace(",", ""))
        assert shown == pytest.approx(time, rel=0.006)
        speed = float(text_of(page, f"[data-cell='{kind} speed']"))
        assert speed == pytest.approx(widget.costs()[kind].macs / time / 1000, rel=0.06, abs=0.006)


def test_the_bars_are_to_one_scale_and_the_verdict_compares_two(show):
    page = show(ConvolutionCosts())
    widths = page.evaluate(
        """() => [...document.querySelectorAll("[data-kind] .cnn-costs-bar")].map((bar) =>
            [...bar.children].reduce((sum, e) => sum + e.getBoundingClientRect().width, 0)
                / bar.getBoundingClientRect().width)"""
    )
    costs = ConvolutionCosts().costs()
    largest = max(cost.macs for cost in costs.values())
    for width, cost in zip(widths, costs.values(), strict=True):
        assert width == pytest.approx(cost.macs / largest, abs=0.02)
    ratio = costs["full"].macs / costs["separable"].macs
    assert f"{ratio:.2f} × fewer multiply-adds" in text_of(page, ".cnn-costs-verdict")


def test_a_size_that_was_not_measured_has_counts_and_no_time(show):
    page = show(ConvolutionCosts(512, 56))
    assert text_of(page, "[data-cell='full time']") == "–"
    assert "not measured" in text_of(page, ".cnn-costs-verdict")
    assert bill(page) == expected(ConvolutionCosts(512, 56))


def test_the_network_shrinks_by_alpha_and_rho(show):
    page = show(ConvolutionCosts())
    choose(page, "view", "network")
    assert not page.locator("[data-view=layer]").is_visible()
    for alpha, side in ((0.5, 224), (0.55, 160), (1, 128)):
        slide(page, "alpha", alpha)
        slide(page, "side", side)
        macs, parameters = ConvolutionCosts(alpha=alpha, side=side).network()
        shown = text_of(page, ".cnn-costs-counted")
        assert f"{macs:,}" in shown and f"{parameters:,}" in shown
    assert "64.4 %" in text_of(page, ".cnn-costs-accuracy")
    slide(page, "side", 224)
    slide(page, "alpha", 0.25)
    printed = TABLE_6["0.25 MobileNet-224"].accuracy
    assert f"{printed} %" in text_of(page, ".cnn-costs-accuracy")
    assert "fewer MACs" in text_of(page, ".cnn-costs-network-time")
    slide(page, "alpha", 0.3)
    assert "no accuracy" in text_of(page, ".cnn-costs-accuracy")
    assert "sixteen" in text_of(page, ".cnn-costs-network-time")


def test_the_keyboard_moves_a_slider_and_the_result_is_said(show):
    page = show(ConvolutionCosts())
    page.locator("[data-slider=channels]").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("model.get('channels')") == 256
    page.keyboard.press("Home")
    assert page.evaluate("model.get('channels')") == 16
    page.wait_for_function(
        "document.querySelector('.cnn-spoken[role=status]').textContent.includes('separable')"
    )


def test_a_finger_moves_a_slider(show):
    page = show(ConvolutionCosts(), touch=True, width=375)
    box = page.locator("[data-slider=size]").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] - 4, box["y"] + box["height"] / 2)
    assert page.evaluate("model.get('size')") == 56


def test_a_change_from_the_kernel_is_shown(show):
    page = show(ConvolutionCosts())
    page.evaluate("model.set('channels', 64); model.set('quantity', 'parameters')")
    assert bill(page) == expected(ConvolutionCosts(64))
    assert page.locator("[data-slider=channels]").input_value() == "2"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", ["layer", "network"])
def test_nothing_overflows_on_a_phone_and_everything_can_be_read(show, theme, view):
    page = show(ConvolutionCosts(512, 14, view=view), theme=theme, width=375)
    assert overflow(page) <= 0
    selectors = {
        "layer": [".cnn-costs-word", ".cnn-costs-number", ".cnn-costs-verdict", "td"],
        "network": [".cnn-costs-counted", ".cnn-costs-accuracy", ".cnn-costs-device"],
    }[view]
    inside = [f".cnn-costs {selector}" for selector in selectors]
    for selector, contrast in zip(inside, contrasts(page, inside), strict=True):
        assert contrast >= 4.5, selector
    wide = page.evaluate(
        """() => [...document.querySelectorAll(".cnn-costs-number, .cnn-costs-kind")]
            .filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent)"""
    )
    assert wide == []
