"""Chapter 11 in the browser: the costs are those of the library, by mouse, touch and keys."""

import pytest

from cnnlib.inspection import convolutions
from cnnlib.papers.mobilenet import TABLE_6, TABLE_9
from cnnlib.widgets import ConvolutionCosts

pytestmark = pytest.mark.site

PATH = "chapters/11_mobilenet.html"


def shown(page):
    """Kind -> (MACs, parameters) from the page's table."""
    return {
        kind: tuple(
            int(page.locator(f"[data-cell='{kind} {name}']").inner_text().replace(",", ""))
            for name in ("macs", "parameters")
        )
        for kind in convolutions.KINDS
    }


def expected(*sizes, **options):
    costs = ConvolutionCosts(*sizes, **options).costs()
    return {kind: (cost.macs, cost.parameters) for kind, cost in costs.items()}


def number(page, cell):
    return float(page.locator(f"[data-cell='{cell}']").inner_text().replace(",", ""))


def test_it_begins_with_the_layer_of_the_prediction(page_at):
    page = page_at(PATH)
    assert shown(page) == expected(64, 28)
    assert "7.89 × fewer" in page.locator(".cnn-costs-verdict").inner_text()


def test_only_the_depthwise_layer_hardly_moves_in_work_per_byte(page_at):
    page = page_at(PATH)
    page.locator("select[data-setting=quantity]").select_option("intensity")
    seen = {kind: [] for kind in convolutions.KINDS}
    for place in range(6):
        page.locator("[data-slider=channels]").fill(str(place))
        for kind, values in seen.items():
            values.append(number(page, f"{kind} intensity"))
    spread = {kind: max(values) / min(values) for kind, values in seen.items()}
    assert spread["depthwise"] < 1.1 < 1.9 < min(v for k, v in spread.items() if k != "depthwise")


def test_times_are_those_that_are_stored(page_at):
    page = page_at(PATH)
    page.locator("[data-slider=channels]").fill("1")
    page.locator("[data-slider=size]").fill("3")
    for order in ("NCHW", "channels last"):
        page.locator("select[data-setting=order]").select_option(order)
        stored = convolutions.measured("depthwise", 32, 56, layout=order)
        assert number(page, "depthwise time") == pytest.approx(stored, rel=0.01)


def test_the_cheapest_network_above_65_percent_can_be_found(page_at):
    page = page_at(PATH)
    page.locator("select[data-setting=view]").select_option("network")
    page.locator("[data-slider=alpha]").fill("0.25")
    printed = TABLE_6["0.25 MobileNet-224"].accuracy
    assert f"{printed} %" in page.locator(".cnn-costs-accuracy").inner_text()
    page.locator("[data-slider=alpha]").fill("0.5")
    page.locator("[data-slider=side]").fill("160")
    printed = TABLE_9["0.50 MobileNet-160"].accuracy
    assert f"{printed} %" in page.locator(".cnn-costs-accuracy").inner_text()
    macs, parameters = ConvolutionCosts(alpha=0.5, side=160).network()
    counted = page.locator(".cnn-costs-counted").inner_text()
    assert f"{macs:,}" in counted and f"{parameters:,}" in counted


def test_the_keyboard_is_enough(page_at):
    page = page_at(PATH)
    page.locator("[data-slider=channels]").focus()
    page.keyboard.press("End")
    assert shown(page) == expected(512, 28)
    page.keyboard.press("Tab")
    page.keyboard.press("Home")
    assert shown(page) == expected(512, 7)
