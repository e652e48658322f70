"""Chapter 8 in the browser: the widget counts what the library counts, and shows what it says.

Its JavaScript is compared with ``cnnlib.inspection``, which counts on the networks themselves.
"""

import pytest
import torch

from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models.densenet import DenseNet, densenet121, layers_per_block

pytestmark = pytest.mark.site

PATH = "chapters/08_densenet.html"


def number(page, selector: str) -> int:
    return int(page.locator(selector).inner_text().replace(",", ""))


def shown(page) -> tuple[int, ...]:
    """Depth, connections, parameters and multiply-adds of the bill."""
    names = ("depth", "connections", "parameters", "macs")
    return tuple(number(page, f".cnn-dense-bill [data-cell={name}]") for name in names)


def counted(**options) -> tuple[int, int]:
    """Parameters and multiply-adds of a network for CIFAR."""
    with torch.device("meta"):
        model = DenseNet(10, 3, stem="small", **options)
    return count_parameters(model), count_macs(model, (3, 32, 32))


def plain(layers: int, k: int) -> dict:
    return {
        "blocks": (layers,) * 3, "growth_rate": k, "bottleneck": False, "compression": 1.0
    }  # fmt: skip


def set_layers(page, layers: int) -> None:
    for block in (1, 2, 3):
        page.locator(f"[data-slider=layers{block}]").fill(str(layers))


def test_it_begins_with_the_forty_layers_of_table_2(page_at):
    page = page_at(PATH)
    depth, connections, *rest = shown(page)
    assert (depth, connections) == (40, 3 * 78) and tuple(rest) == counted(**plain(12, 12))
    assert page.locator(".cnn-dense-at").inner_text() == "Block 2, layer 6 of 12"


def test_the_first_thing_to_try_makes_the_b_and_the_bc_of_figure_4(page_at):
    page = page_at(PATH)
    page.locator("select[data-setting=bottleneck]").select_option("with")
    assert shown(page)[0] == 76
    set_layers(page, 6)
    network = page.locator("select[data-setting=network]")
    assert network.input_value() == "densenet_b_cifar_l40_k12"
    before = shown(page)
    page.locator("[data-slider=compression]").fill("0.5")
    assert network.input_value() == "densenet_bc_cifar_l40_k12"
    blocks = layers_per_block(40, bottleneck=True)
    assert shown(page)[2:] == counted(blocks=blocks, growth_rate=12)
    assert shown(page)[2] < before[2]


def test_the_second_thing_to_try_shows_that_half_of_what_is_read_came_in(page_at):
    page = page_at(PATH)
    page.locator("select[data-setting=network]").select_option("densenet121")
    with torch.device("meta"):
        model = densenet121()
    counts = count_parameters(model), count_macs(model, (3, 224, 224))
    assert shown(page) == (121, 535, *counts)
    page.get_by_role("slider", name="Layer to look at").focus()
    page.keyboard.press("End")
    assert page.locator(".cnn-dense-at").inner_text() == "Block 4, layer 16 of 16"
    reads = number(page, "[data-strip=side_by_side]")
    first = number(page, "[data-strip=added]")
    assert (reads, first) == (992, 512) and reads - first == 15 * 32


def test_the_third_thing_to_try_compares_many_thin_layers_with_few_wide_ones(page_at):
    page = page_at(PATH)
    bills = {}
    for layers, k in ((32, 12), (16, 24)):
        set_layers(page, layers)
        page.locator("[data-slider=growth_rate]").fill(str(k))
        bills[k] = shown(page)
        assert bills[k][2:] == counted(**plain(layers, k))
    assert bills[12][1] > 3 * bills[24][1]  # connections


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_tap_selects_a_layer_on_a_phone(page_at, dark):
    page = page_at(PATH, dark=dark, width=375)
    chart = page.locator(".cnn-dense-chart svg")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.click(box["x"] + 2, box["y"] + box["height"] - 10)
    assert page.locator(".cnn-dense-at").inner_text() == "Block 1, layer 1 of 12"
    assert number(page, "[data-strip=side_by_side]") == 16
