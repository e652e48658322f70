"""FieldCalculator in a real browser: its numbers are those of ``cnnlib.inspection``."""

import pytest
from torch import nn

from cnnlib.inspection import summarize
from cnnlib.models import create_model
from cnnlib.widgets import FieldCalculator
from cnnlib.widgets.field_calculator import convolution
from tests.models.building import on_meta
from tests.widgets.test_in_browser import contrasts, overflow, text_of

pytestmark = pytest.mark.site


def setting(page, name):
    return page.locator(f"select[data-setting={name}]")


def cells(page):
    """Rows of the table of layers: lists of texts, the sum at the end."""
    rows = page.locator(".cnn-layers :is(tbody, tfoot) tr").all()
    return [row.locator("th, td").all_inner_texts() for row in rows]


@pytest.mark.parametrize("preset, model", [("vgg16", "vgg_d"), ("alexnet", "alexnet")])
def test_a_network_sees_and_costs_what_the_library_counts(show, preset, model):
    page = show(FieldCalculator())
    setting(page, "preset").select_option(preset)
    network = on_meta(create_model, name=model)
    shape = (3, network.image_size, network.image_size)
    layers = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.MaxPool2d)
    }
    rows = summarize(network, shape, rows={name: name for name in layers}).rows[: len(layers)]
    computed = page.evaluate(
        """() => {
            const detail = {};
            document.querySelector(".cnn-fields").dispatchEvent(
                new CustomEvent("cnn-costs", { detail }));
            return detail.rows;
        }"""
    )
    for row, layer, ours in zip(rows, layers.values(), computed, strict=True):
        biases = layer.out_channels if isinstance(layer, nn.Conv2d) else 0
        assert (ours["maps"], ours["side"], ours["side"]) == row.output_shape
        assert ours["field"] == row.receptive_field and ours["jump"] == row.stride
        assert ours["start"] == row.offset and ours["macs"] == row.macs
        assert ours["weights"] == row.parameters - biases
    shown = cells(page)
    assert len(shown) == len(rows) + 1
    assert shown[-2][2] == f"{rows[-1].receptive_field}×{rows[-1].receptive_field}"


def test_three_small_kernels_stand_beside_a_large_one(show):
    page = show(FieldCalculator("three"))
    sees = text_of(page, ".cnn-sees")
    assert sees.startswith("One unit sees 7×7 pixels. From one unit to the next: 1.")
    assert "Half of all ways begin in the middle 5×5 pixels." in sees
    assert text_of(page, ".cnn-formula") == (
        "For C maps in and C maps out: 27·C² weights against 49·C²."
    )
    beside = page.locator(".cnn-beside tbody tr").all()
    assert beside[0].locator("td").all_inner_texts() == [f"{27 * 64**2:,}", "347 M", "3"]
    assert beside[1].locator("td").all_inner_texts() == [f"{49 * 64**2:,}", "629 M", "1"]
    assert "The stack needs 0.55 times the weights and 0.55 times the MACs" in text_of(
        page, ".cnn-verdict"
    )
    setting(page, "channels").select_option("256")
    weights = beside[0].locator("td").first.inner_text()
    assert weights == "1.77 M" and round(27 * 256**2 / 1e6, 2) == 1.77


def test_the_square_grows_layer_by_layer(show):
    page = show(FieldCalculator("three"))
    squares = page.locator(".cnn-square")
    page.locator(".cnn-first").click()
    fields = []
    for number in (1, 2, 3):
        assert text_of(page, ".cnn-counter") == f"Layer {number} of 3"
        assert squares.count() == number
        fields.append(page.locator(".cnn-outer").get_attribute("width"))
        page.locator(".cnn-next").click(force=True)
    assert fields == ["3", "5", "7"]
    assert page.locator(".cnn-next").get_attribute("aria-disabled") == "true"
    label = page.get_by_role("img").get_attribute("aria-label")
    assert label.startswith("The 7 by 7 pixels that one unit of layer 3 sees")
    assert label.endswith("49 from the middle pixel, 1 from a corner.")


def test_the_shading_is_the_number_of_ways(show):
    page = show(FieldCalculator("three"))
    row = page.evaluate(
        """() => {
            const canvas = document.querySelector(".cnn-picture canvas");
            const middle = Math.floor(canvas.height / 2);
            const { data } = canvas.getContext("2d").getImageData(0, middle, canvas.width, 1);
            return [...data].filter((_, i) => i % 4 === 3);
        }"""
    )
    inside = [alpha for alpha in row if alpha]
    assert len(inside) == 7 and inside == inside[::-1]
    assert inside[:4] == sorted(inside[:4]) and len(set(inside[:4])) == 4


def test_the_keyboard_moves_through_the_layers(show):
    page = show(FieldCalculator("vgg16"))
    page.locator(".cnn-layers tbody button[tabindex='0']").focus()
    for key, chosen in {"Home": 0, "ArrowDown": 1, "ArrowUp": 0, "End": 17}.items():
        page.keyboard.press(key)
        assert page.evaluate("model.get('chosen')") == chosen, key
        pressed = page.evaluate("document.activeElement.getAttribute('aria-pressed')")
        assert pressed == "true"
    page.wait_for_selector(".cnn-spoken[role=status]:has-text('212×212')", state="attached")


def test_a_tap_on_a_layer_chooses_it(show):
    page = show(FieldCalculator("vgg16"), touch=True, width=375)
    page.locator(".cnn-layers tbody button").nth(2).tap()
    assert text_of(page, ".cnn-counter") == "Layer 3 of 18"
    assert "6×6 pixels" in text_of(page, ".cnn-sees")


def test_layers_can_be_added_changed_and_removed(show):
    page = show(FieldCalculator("seven"))
    page.locator(".cnn-add").click()
    assert [row[2] for row in cells(page)] == ["7×7", "9×9", "9×9"]
    assert setting(page, "preset").input_value() == "own"
    setting(page, "kernel").select_option("5")
    assert cells(page)[-1][2] == "11×11"
    assert cells(page)[1][1] == "64@56×56"  # the padding followed the kernel
    setting(page, "dilation").select_option("2")
    assert cells(page)[-1][2] == "15×15" and cells(page)[1][1] == "64@56×56"
    setting(page, "stride").select_option("2")
    assert cells(page)[1][1] == "64@28×28"
    assert not page.locator(".cnn-formula").is_visible()
    setting(page, "kind").select_option("pool")
    assert cells(page)[1][0] == "pool 2×2" and cells(page)[1][3] == "–"
    assert not setting(page, "dilation").is_visible()
    setting(page, "kind").select_option("conv")
    page.locator(".cnn-previous").click()
    page.locator(".cnn-remove").click()
    assert len(cells(page)) == 2 and cells(page)[0][2] == "3×3"
    assert page.locator(".cnn-remove").get_attribute("aria-disabled") == "true"
    page.locator(".cnn-remove").click(force=True)
    assert len(cells(page)) == 2


def test_forgotten_padding_eats_the_image(show):
    page = show(FieldCalculator("three"))
    for at in range(3):
        page.locator(".cnn-layers tbody button").nth(at).click()
        setting(page, "padding").select_option("0")
    assert [row[1] for row in cells(page)[:3]] == ["64@54×54", "64@52×52", "64@50×50"]
    assert cells(page)[0][0] == "3×3, no padding"
    assert cells(page)[-1][2] == "7×7"  # what a unit sees does not depend on it


def test_a_stack_that_does_not_fit_is_explained(show):
    stack = [convolution(3), {"kind": "pool", "kernel": 9, "stride": 4}, convolution(3)]
    page = show(FieldCalculator(stack, side=8))
    assert text_of(page, ".cnn-problem") == "Layer 2 does not fit: its maps are only 8×8."
    assert not page.locator(".cnn-beside").is_visible()
    assert cells(page)[1][1] == "–"
    setting(page, "side").select_option("28")
    assert not page.locator(".cnn-problem").is_visible()


def test_dilation_leaves_holes_that_are_counted(show):
    page = show(FieldCalculator([convolution(3, dilation=4)]))
    assert "Only 9 of these 81 pixels count at all" in text_of(page, ".cnn-sees")
    setting(page, "preset").select_option("dilated")
    assert "15×15" in text_of(page, ".cnn-sees")
    assert "holes" not in text_of(page, ".cnn-sees")  # 1, 2, 4: every pixel counts


def test_a_change_from_the_kernel_is_shown(show):
    page = show(FieldCalculator("vgg16"))
    page.evaluate("model.set('chosen', 1)")
    assert text_of(page, ".cnn-counter") == "Layer 2 of 18"
    page.evaluate("model.set('stack', model.get('stack').slice(0, 1))")
    assert text_of(page, ".cnn-counter") == "Layer 1 of 1"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("stack", ["vgg16", "dilated"])
def test_nothing_overflows_on_a_phone_and_everything_can_be_read(show, stack, theme):
    page = show(FieldCalculator(stack), theme=theme, width=375)
    assert overflow(page) <= 0
    selectors = [".cnn-sees", ".cnn-counter", ".cnn-layers td", ".cnn-beside td", ".cnn-verdict"]
    selectors += [".cnn-layers [aria-pressed=true]", ".cnn-edit .cnn-title", ".cnn-add"]
    for selector, contrast in zip(selectors, contrasts(page, selectors), strict=True):
        assert contrast >= 4.5, selector


def test_all_words_come_from_the_labels(show):
    marked = {key: f"¤{text}" for key, text in FieldCalculator.LABELS.items()}
    for stack in ("alexnet", "dilated"):
        page = show(FieldCalculator(stack, labels=marked))
        words = page.evaluate(
            """() => {
                const words = [];
                const walker = document.createTreeWalker(
                    document.querySelector(".cnn-widget"), NodeFilter.SHOW_TEXT);
                while (walker.nextNode()) words.push(walker.currentNode.textContent);
                for (const e of document.querySelectorAll(".cnn-widget [aria-label], [title]")) {
                    words.push(e.getAttribute("aria-label") ?? e.title);
                }
                return words;
            }"""
        )
        units = {"M", "G"}  # of large numbers
        foreign = [
            word
            for word in words
            if "¤" not in word and any(map(str.isalpha, word)) and word.split()[-1] not in units
        ]
        assert foreign == [] and len(words) > 20
