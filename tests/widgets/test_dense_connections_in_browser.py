"""The widget in a real browser: what it shows is what ``cnnlib`` counts."""

import pytest

from cnnlib.models.densenet import TABLE_1
from cnnlib.widgets import DenseConnections
from tests.widgets.test_in_browser import contrasts, overflow, text_of

pytestmark = pytest.mark.site

BILL = ("depth", "connections", "maps", "parameters", "macs")


def bill(page):
    """The numbers of the network."""
    table = ".cnn-dense-bill"
    return tuple(
        int(text_of(page, f"{table} [data-cell={name}]").replace(",", "")) for name in BILL
    )


def block(page):
    """The numbers of the block, as it is and added."""
    return {
        way: tuple(
            int(text_of(page, f".cnn-dense-block [data-cell='{name} {way}']").replace(",", ""))
            for name in ("maps", "reads", "parameters")
        )
        for way in ("side_by_side", "added")
    }


def slide(page, name, value):
    page.locator(f"[data-slider={name}]").fill(str(value))


def test_every_preset_shows_the_bill_of_the_library(show):
    page = show(DenseConnections())
    for name, _, _ in DenseConnections().presets:
        page.locator("select[data-setting=network]").select_option(name)
        widget = DenseConnections(name)
        assert bill(page) == tuple(widget.counts()), name
        assert text_of(page, ".cnn-dense-bill caption") == f"The network: {widget.kind()}"
        sliders = page.locator("[data-slider^=layers]:visible").count()
        assert sliders == len(widget.blocks)


def test_b_and_c_change_the_bill(show):
    page = show(DenseConnections("densenet_cifar_l40_k12"))
    page.locator("select[data-setting=bottleneck]").select_option("with")
    for number in (1, 2, 3):
        slide(page, f"layers{number}", 6)
    network = page.locator("select[data-setting=network]")
    assert network.input_value() == "densenet_b_cifar_l40_k12"
    slide(page, "compression", 0.5)
    assert network.input_value() == "densenet_bc_cifar_l40_k12"
    assert bill(page) == tuple(DenseConnections("densenet_bc_cifar_l40_k12").counts())
    slide(page, "growth_rate", 13)
    assert network.input_value() == "own"


def test_there_is_an_arc_for_each_connection_and_each_reader_of_a_block(show):
    page = show(DenseConnections("densenet169", selected=[2, 5]))
    arcs = {
        name: page.locator(f".cnn-dense-arc.cnn-dense-{name}").get_attribute("d").count("M")
        for name in ("others", "reading", "read")
    }
    layers = TABLE_1[169]
    assert sum(arcs.values()) == sum(n * (n + 1) // 2 + n + 1 for n in layers)
    assert arcs["reading"] == 5 and arcs["read"] == layers[1] - 5 + 1


def test_a_bar_is_as_high_as_the_maps_that_its_layer_reads(show):
    widget = DenseConnections("small", blocks=[3, 2], compression=0.5)
    page = show(widget)
    tops = page.evaluate(
        """() => {
            const bars = [...document.querySelectorAll(".cnn-dense-bar:not(.cnn-dense-input)")];
            return bars.map((bar) => 260 - Number(bar.getAttribute("y")));
        }"""
    )
    reads = [maps for maps_of_block in widget.reads() for maps in maps_of_block]
    for top, maps in zip(tops, reads, strict=True):
        assert top == pytest.approx(106 * maps / max(reads), abs=0.02)


def test_keys_go_from_layer_to_layer_and_it_tells_what_is_read(show):
    page = show(DenseConnections("densenet121"))
    chart = page.get_by_role("slider", name="Layer to look at")
    chart.focus()
    assert text_of(page, ".cnn-dense-at") == "Block 1, layer 6 of 6"
    page.keyboard.press("ArrowRight")
    assert text_of(page, ".cnn-dense-at") == "Block 2, layer 1 of 12"
    page.keyboard.press("ArrowRight")
    assert text_of(page, ".cnn-dense-reads") == (
        "It reads 160 maps: 128 that came into the block, and 32 from each layer before it (1)."
    )
    assert text_of(page, ".cnn-dense-writes") == (
        "It writes 32 new ones. They are read by 10 later layers and the transition."
    )
    assert chart.get_attribute("aria-valuenow") == "8"
    assert "160 maps" in chart.get_attribute("aria-valuetext")
    page.keyboard.press("End")
    assert chart.get_attribute("aria-valuenow") == chart.get_attribute("aria-valuemax") == "58"
    assert "and the classifier" in text_of(page, ".cnn-dense-writes")
    page.keyboard.press("PageDown")
    assert page.evaluate("model.get('selected')") == [3, 1]
    page.keyboard.press("PageUp")
    assert page.evaluate("model.get('selected')") == [4, 1]
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("model.get('selected')") == [1, 1]


@pytest.mark.parametrize("touch", [False, True])
def test_pointing_selects_the_nearest_layer(show, touch):
    page = show(DenseConnections("small"), touch=touch, width=375)
    box = page.locator(".cnn-dense-chart svg").bounding_box()
    bars = page.locator(".cnn-dense-bar.cnn-dense-layers").all()
    for number, bar in enumerate(bars[:3], 1):
        spot = bar.bounding_box()
        x, y = spot["x"] + spot["width"] / 2, box["y"] + box["height"] - 12
        (page.touchscreen.tap if touch else page.mouse.click)(x, y)
        assert page.evaluate("model.get('selected')") == [1, number]


def test_side_by_side_and_added_are_compared_for_the_block_that_is_looked_at(show):
    widget = DenseConnections("small", selected=[2, 4])
    page = show(widget)
    pair = widget.added(2)
    assert block(page) == {"side_by_side": pair["dense"], "added": pair["added"]}
    numbers = [text_of(page, f"[data-strip={way}]") for way in ("side_by_side", "added")]
    assert numbers == [str(widget.reads()[1][3]), str(widget.reads()[1][0])]
    widths = page.evaluate(
        """() => [...document.querySelectorAll(".cnn-dense-strip")].map((strip) =>
            [...strip.children].reduce((sum, e) => sum + e.getBoundingClientRect().width, 0)
                / strip.getBoundingClientRect().width)"""
    )
    assert widths[0] == pytest.approx(1, abs=0.01)
    assert widths[1] == pytest.approx(widget.reads()[1][0] / widget.reads()[1][3], abs=0.01)


def test_a_layer_that_is_gone_is_not_looked_at_any_longer(show):
    page = show(DenseConnections("densenet121", selected=[3, 24]))
    slide(page, "layers3", 2)
    assert page.evaluate("model.get('selected')") == [3, 2]
    page.locator("select[data-setting=network]").select_option("small")
    assert text_of(page, ".cnn-dense-at") == "Block 3, layer 2 of 4"


def test_a_change_is_said_and_a_change_from_the_kernel_is_shown(show):
    page = show(DenseConnections())
    page.locator("[data-slider=growth_rate]").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("model.get('growth_rate')") == 33
    page.wait_for_function(
        "document.querySelector('.cnn-spoken[role=status]').textContent.includes('121 layers')"
    )
    page.evaluate("model.set('growth_rate', 48)")
    assert bill(page) == tuple(DenseConnections(growth_rate=48).counts())
    assert page.locator("[data-slider=growth_rate]").input_value() == "48"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("network", ["densenet264", "small"])
def test_nothing_overflows_on_a_phone_and_everything_can_be_read(show, theme, network):
    page = show(DenseConnections(network), theme=theme, width=375)
    selectors = [".cnn-dense-word", ".cnn-dense-value", ".cnn-dense-names span", ".cnn-dense-at"]
    selectors += [".cnn-dense-reads", ".cnn-dense-number", ".cnn-dense-table td:last-child"]
    assert overflow(page) <= 0
    for selector, contrast in zip(selectors, contrasts(page, selectors), strict=True):
        assert contrast >= 4.5, selector
    wide = page.evaluate(
        """() => [...document.querySelectorAll(".cnn-dense-number, .cnn-dense-table td")]
            .filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent)"""
    )
    assert wide == []
    names = page.evaluate(
        """() => [...document.querySelectorAll(".cnn-dense-names span")]
            .map((e) => e.getBoundingClientRect()).map(({ left, right }) => [left, right])"""
    )
    assert all(a[1] <= b[0] for a, b in zip(names, names[1:], strict=False))


def test_a_view_that_is_closed_leaves_nothing_behind(show):
    page = show(DenseConnections())
    assert page.evaluate("listenersLeft()") > 0
    page.evaluate("cleanUp()")
    assert page.evaluate("listenersLeft()") == 0


def test_all_words_come_from_the_labels(show):
    marked = {key: f"¤{text}" for key, text in DenseConnections.LABELS.items()}
    page = show(DenseConnections(labels=marked))
    words = page.evaluate(
        """() => {
            const walker = document.createTreeWalker(
                document.querySelector(".cnn-dense"), NodeFilter.SHOW_TEXT);
            const found = [];
            while (walker.nextNode()) found.push(walker.currentNode.textContent.trim());
            return found.filter((text) => /[a-z]{3}/i.test(text));
        }"""
    )
    unmarked = [word for word in words if "¤" not in word and "DenseNet" not in word]
    assert words and unmarked == []
