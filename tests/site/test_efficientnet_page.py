"""Chapter 13 in the browser: the explorer counts what the library counts, by mouse and keys."""

import pytest
import torch

from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models.efficientnet import (
    VARIANTS,
    EfficientNet,
    Scaling,
    compound_scaling,
    round_repeats,
)

pytestmark = pytest.mark.site

PATH = "chapters/13_efficientnet.html"


def counted(scaling: Scaling) -> tuple[int, int]:
    """Multiply-adds and parameters, counted on the network."""
    with torch.device("meta"):
        model = EfficientNet(width_multiplier=scaling.width, depth_multiplier=scaling.depth)
    side = scaling.resolution
    return count_macs(model, (3, side, side)), count_parameters(model)


def cell(page, name: str) -> str:
    return page.locator(f".cnn-scaling [data-cell='{name}']").inner_text()


def shown(page) -> tuple[int, int]:
    """The same two numbers as the page's table shows them."""
    macs, parameters = (cell(page, f"{name} counted") for name in ("macs", "parameters"))
    return int(macs.replace(",", "")), int(parameters.replace(",", ""))


def test_it_begins_with_b1(page_at):
    page = page_at(PATH)
    assert page.locator(".cnn-scaling select").input_value() == "B1"
    assert shown(page) == counted(VARIANTS["b1"]) == (686_802_832, 7_794_184)


def test_the_first_thing_to_try_shows_what_rounding_does(page_at):
    page = page_at(PATH)
    page.locator(".cnn-scaling select").select_option("B0")
    before = shown(page)
    page.locator("[data-slider=depth]").fill("1.1")
    assert shown(page) == counted(Scaling(1.0, 1.1, 224))
    assert shown(page)[0] > 1.4 * before[0]
    blocks = sum(round_repeats(n, 1.1) for n in (1, 2, 2, 3, 3, 4, 1))
    assert cell(page, "depth got").startswith(f"16 → {blocks} blocks")


def test_the_third_thing_to_try_tells_the_rule_from_b7(page_at):
    page = page_at(PATH)
    page.locator("[data-slider=phi]").fill("7")
    by_rule = shown(page)
    assert by_rule == counted(compound_scaling(7))
    page.locator(".cnn-scaling select").select_option("B7")
    assert shown(page) == counted(VARIANTS["b7"]) != by_rule


def test_keys_move_the_sliders(page_at):
    page = page_at(PATH)
    page.locator("[data-slider=phi]").focus()
    page.keyboard.press("End")
    assert shown(page) == counted(compound_scaling(7))
    page.keyboard.press("Home")
    assert shown(page) == counted(VARIANTS["b0"])
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    assert shown(page) == counted(compound_scaling(1))
    page.locator("[data-slider=resolution]").focus()
    page.keyboard.press("End")
    assert shown(page) == counted(compound_scaling(1)._replace(resolution=640))


def test_a_network_of_ones_own_has_no_printed_figures(page_at):
    page = page_at(PATH)
    assert cell(page, "macs printed") == "0.70B"
    page.locator("[data-slider=width]").fill("2")
    assert cell(page, "macs printed") == "–"
    assert page.locator(".cnn-scaling-note").is_visible()
