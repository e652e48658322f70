"""Chapter 7 in the browser: the comparer shows the real unit and the measured network.

What the page says is compared with units and networks of the library, made here.
"""

import re

import pytest
import torch
from torch import nn

from cnnlib import book
from cnnlib.models.preact_resnet import FIGURE_4, ResidualUnit

pytestmark = pytest.mark.site

PATH = "chapters/07_preact_resnet.html"


@pytest.fixture
def comparer(page_at):
    page = page_at(PATH)
    widget = page.locator(".cnn-orders")
    widget.scroll_into_view_if_needed()
    return widget


def shown(text: str) -> list[float]:
    """The numbers of a row, as the page writes them."""
    return [float(number.replace("−", "-")) for number in text.split()]


def through(order: str, numbers: list[float], times: int) -> list[float]:
    """What the library's unit makes of three numbers, its convolutions being factors 1 and -1."""
    unit = ResidualUnit(1, 1, order=order).double().train()
    convolutions = [layer for layer in unit.residual if isinstance(layer, nn.Conv2d)]
    x = torch.tensor(numbers, dtype=torch.float64).view(3, 1, 1, 1)
    with torch.no_grad():
        for conv, weight in zip(convolutions, (1.0, -1.0), strict=True):
            conv.weight[0, 0, 1, 1] = weight  # on one pixel only the middle counts
        for _ in range(times):
            x = unit(x)
    return x.flatten().tolist()


@pytest.mark.parametrize("order", FIGURE_4)
def test_three_numbers_pass_the_unit_as_in_the_library(comparer, order):
    comparer.locator(f"[data-order={order}]").click()
    comparer.locator(".cnn-orders-all").click()
    last = comparer.locator(".cnn-orders-steps tbody tr:last-child td").first
    for times in (1, 2, 3):
        expected = through(order, [2.0, -1.0, 0.5], times)
        assert shown(last.inner_text()) == pytest.approx(expected, abs=0.0051)
        comparer.locator(".cnn-orders-again").click()


def test_numbers_before_which_relu_stands_never_fall(comparer):
    comparer.locator("[data-order=relu_before_addition]").click()
    comparer.locator(".cnn-orders-all").click()
    last = comparer.locator(".cnn-orders-steps tbody tr:last-child td").first
    before = [2.0, -1.0, 0.5]
    for _ in range(5):
        after = shown(last.inner_text())
        assert all(new >= old for new, old in zip(after, before, strict=True))
        before = after
        comparer.locator(".cnn-orders-again").click()


def test_the_chart_shows_what_was_measured(comparer):
    flows = book.stored_runs("preact_flow")
    comparer.locator("[data-order=full]").click()
    comparer.locator("select[data-setting=shortcut]").select_option("scaling")
    for measure in ("signal", "gradient", "direct"):
        comparer.locator(f"[data-measure={measure}]").click()
        values = flows["full scaling"].runs[0][measure]
        row = comparer.locator(".cnn-readout-row").first
        assert row.locator(".cnn-readout-name").inner_text() == "(e), halved"
        written = row.locator(".cnn-readout-value").inner_text()
        assert written.startswith(f"{values[-1]:.1e}".split("e")[0])
    slider = comparer.get_by_role("slider")
    slider.focus()
    slider.press("Home")
    assert slider.get_attribute("aria-valuetext").startswith("Unit 1")
    factor = comparer.locator(".cnn-orders-factor").inner_text()
    assert re.search(r"1\.1·10⁻¹⁶", factor), factor  # 0.5 to the power of 53
    assert not comparer.locator(".cnn-orders-floor").is_visible()


def test_what_stands_on_the_path_follows_the_choice_by_keyboard_alone(comparer):
    told = comparer.locator(".cnn-orders-path")
    assert told.inner_text().endswith("stands: ReLU.")
    button = comparer.locator("[data-order=full]")
    button.focus()
    button.press("Enter")
    assert told.inner_text().endswith("it is clean.")
    shortcut = comparer.locator("select[data-setting=shortcut]")
    shortcut.focus()
    shortcut.press("ArrowDown")
    assert told.inner_text().endswith("stands: × 0.5.")


def test_the_stored_runs_can_be_compared_by_order(page_at):
    page = page_at(PATH)
    curves = page.locator(".cnn-curves")
    curves.scroll_into_view_if_needed()
    rows = curves.locator(".cnn-readout-row")
    assert rows.count() == len(FIGURE_4)
    curves.locator("button[data-facet=Order]").first.click()
    assert rows.count() == len(FIGURE_4) - 1


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_fits_a_phone(page_at, dark):
    page = page_at(PATH, dark=dark, width=375, touch=True)
    page.locator(".cnn-orders [data-order=bn_after_addition]").tap()
    page.locator(".cnn-orders .cnn-orders-all").tap()
    assert page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    ) <= 0  # fmt: skip
