"""Chapter 4 in the browser: the calculator's numbers are the library's, the curves those stored.

What it computes is compared with ``cnnlib.inspection``, which knows nothing of the page.
"""

import pytest
import torch
from torch import nn

from cnnlib import book
from cnnlib.inspection import summarize

pytestmark = pytest.mark.site

PATH = "chapters/04_vgg.html"


def rows_of(calculator):
    """The numbers behind the table of layers."""
    return calculator.evaluate(
        """element => {
            const detail = {};
            element.dispatchEvent(new CustomEvent("cnn-costs", { detail }));
            return detail.rows;
        }"""
    )


def choose(calculator, **settings):
    for name, value in settings.items():
        calculator.locator(f'select[data-setting="{name}"]').select_option(str(value))


@pytest.fixture
def calculator(page_at):
    element = page_at(PATH).locator(".cnn-fields")
    element.scroll_into_view_if_needed()
    return element


def test_it_starts_with_three_small_kernels_beside_a_large_one(calculator):
    assert "7×7 pixels" in calculator.locator(".cnn-sees").inner_text()
    assert "27·C² weights against 49·C²" in calculator.locator(".cnn-formula").inner_text()


def test_a_stack_built_by_hand_costs_what_the_library_counts(calculator):
    choose(calculator, preset="seven", channels=16, side=28)
    calculator.locator(".cnn-add").click()
    choose(calculator, kind="pool")
    calculator.locator(".cnn-add").click()
    choose(calculator, kernel=5, dilation=2, padding=0)
    with torch.device("meta"):
        network = nn.Sequential(
            nn.Conv2d(16, 16, 7, padding=3, bias=False),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 16, 5, dilation=2, bias=False),
        )
    for ours, row in zip(rows_of(calculator), summarize(network, (16, 28, 28)).rows, strict=True):
        assert (ours["maps"], ours["side"], ours["side"]) == row.output_shape
        assert (ours["field"], ours["jump"]) == (row.receptive_field, row.stride)
        assert (ours["weights"], ours["macs"]) == (row.parameters, row.macs)


def test_vgg_16_sees_212_pixels_and_the_arrow_keys_lead_there(calculator):
    choose(calculator, preset="vgg16")
    calculator.locator('.cnn-layers button[tabindex="0"]').focus()
    page = calculator.page
    page.keyboard.press("Home")
    assert "3×3 pixels" in calculator.locator(".cnn-sees").inner_text()
    for _ in range(17):
        page.keyboard.press("ArrowDown")
    assert "212×212 pixels" in calculator.locator(".cnn-sees").inner_text()
    assert rows_of(calculator)[-1]["jump"] == 32


def test_forgotten_padding_shrinks_the_maps_and_not_the_view(calculator):
    for layer in range(3):
        calculator.locator(".cnn-layers tbody button").nth(layer).click()
        choose(calculator, padding=0)
    last = rows_of(calculator)[-1]
    assert (last["side"], last["field"]) == (50, 7)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits_on_a_phone(page_at, dark):
    page = page_at(PATH, dark=dark, width=375, touch=True)
    calculator = page.locator(".cnn-fields")
    calculator.locator(".cnn-layers tbody button").first.tap()
    assert "Layer 1 of 3" in calculator.locator(".cnn-counter").inner_text()
    assert calculator.evaluate("e => e.getBoundingClientRect().right <= innerWidth")


def test_the_curves_are_those_of_the_stored_runs(page_at):
    page = page_at(PATH)
    curves = page.locator(".cnn-curves")
    curves.scroll_into_view_if_needed()
    network = curves.locator("button[data-facet][data-value='E']")
    network.click()
    curves.get_by_role("slider").focus()
    page.keyboard.press("End")
    losses = book.stored_runs("vgg_depth")["He, batch norm: E"].values("losses")
    mean = sum(run[-1] for run in losses) / len(losses)
    rows = curves.locator(".cnn-readout-row").all_inner_texts()
    [shown] = [row for row in rows if "E, He, batch norm" in row]
    assert f"{mean:.3f}" in shown
