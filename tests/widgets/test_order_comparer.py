"""The order comparer: its unit is the network's, its curves are the stored ones, and it can be
driven by mouse, finger and keyboard."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from cnnlib import book
from cnnlib.models.preact_resnet import FIGURE_4, ResidualUnit
from cnnlib.widgets import OrderComparer
from cnnlib.widgets.order_comparer import CLEAN, MEASURES, SHORTCUTS
from experiments.preact_flow import arms, run


def some_flows(units=4):
    """Curves that are all different from one another."""
    number = iter(range(1, 10_000))
    return {
        order: {
            shortcut: {key: [next(number) / 7 for _ in range(units)] for key in MEASURES}
            for shortcut in SHORTCUTS
        }
        for order in FIGURE_4
    }


@pytest.fixture(autouse=True)
def dtype():
    """The experiment's own measurement sets a default for its process; other tests have another."""
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)


@pytest.fixture
def comparer():
    return OrderComparer.of_runs(book.stored_runs("preact_flow"))


def unit_of_one_channel(order, shortcut, weights):
    """The network's own unit; on images of one pixel only the middle of a kernel counts."""
    kind, _, bias = shortcut.rpartition("_") if "gating" in shortcut else (shortcut, "", "0")
    unit = ResidualUnit(1, 1, order=order, shortcut=kind).double().train()
    convolutions = [m for m in unit.residual if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        for conv, weight in zip(convolutions, weights, strict=True):
            conv.weight[0, 0, 1, 1] = weight
        if kind == "conv":
            unit.shortcut[0].weight.fill_(0.8)
        elif kind == "dropout":
            unit.addition.dropout = EverySecond()
        elif "gating" in kind:
            unit.addition.gate.weight.fill_(0.5)
            unit.addition.gate.bias.fill_(-float(bias))
    return unit


class EverySecond(nn.Module):
    """Stands in for dropout: drops the second number, doubles the others."""

    def forward(self, x):
        return x * torch.tensor([2.0, 0.0, 2.0], dtype=x.dtype).view(3, 1, 1, 1)


def test_the_script_computes_what_the_networks_unit_computes(node_tests):
    rng = np.random.default_rng(0)
    cases = []
    for order in FIGURE_4:
        for shortcut in SHORTCUTS:
            for _ in range(6):
                x, weights = rng.normal(size=3).round(3), rng.normal(size=2).round(3)
                unit = unit_of_one_channel(order, shortcut, weights.tolist())
                with torch.no_grad():
                    output = unit(torch.tensor(x).view(3, 1, 1, 1)).flatten().tolist()
                place = [part.split() for part in FIGURE_4[order]]
                cases.append(
                    dict(
                        place=place,
                        shortcut=shortcut,
                        x=x.tolist(),
                        weights=weights.tolist(),
                        output=output,
                    )
                )
    node_tests("order_comparer.test.mjs", script=OrderComparer._esm, cases=cases)


@pytest.mark.parametrize(
    "order, shortcut",
    [("original", "identity"), ("full", "identity"), ("relu_only", "exclusive_gating_6")],
)
def test_the_curves_are_measured_in_the_networks(comparer, order, shortcut):
    [arm] = [a for a in arms() if a["facets"] == {"order": order, "shortcut": shortcut}]
    measured = run(arm, 0)
    for key in MEASURES:
        assert measured[key] == pytest.approx(comparer.flows[order][shortcut][key], rel=1e-5)


def test_along_clean_shortcuts_the_gradient_arrives_whole(comparer):
    assert comparer.units == 54
    for order in FIGURE_4:
        blocked = bool(FIGURE_4[order].after)
        share = comparer.factor("direct", order, "identity")
        assert share < 0.5 if blocked else share == pytest.approx(1, rel=1e-5)
    assert comparer.factor("direct", "full", "scaling") == pytest.approx(0.5**53, rel=1e-5)
    assert comparer.factor("signal", *CLEAN) == pytest.approx(54**0.5, rel=0.2)


def test_what_stands_on_the_path_is_told():
    comparer = OrderComparer(some_flows())
    assert comparer.on_path() == ["ReLU"]
    comparer.order = "full"
    assert comparer.on_path() == []
    assert "it is clean" in comparer.fallback_html()
    comparer.shortcut = "conv"
    assert comparer.on_path() == ["1×1 conv"]
    comparer.order = "bn_after_addition"
    assert comparer.on_path() == ["1×1 conv", "BN", "ReLU"]
    assert "stands: 1×1 conv, BN, ReLU" in comparer.fallback_html()


def test_without_scripts_the_numbers_of_all_orders_are_there():
    comparer = OrderComparer(some_flows(), order="relu_only", shortcut="dropout")
    html = comparer.fallback_html()
    for order in FIGURE_4:
        assert comparer.LABELS[f"order_{order}"] in html
        for key in MEASURES:
            assert f"{comparer.factor(key, order):.1e}" in html
    assert "<svg" in html and "(d), dropout" in html
    assert repr(comparer) == ("OrderComparer(5 orders, 8 shortcuts, 4 units; relu_only, dropout)")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda f: f.pop("full"), "lacks the signal of 'full'"),
        (lambda f: f["full"].pop("conv"), "'full' with the shortcut 'conv'"),
        (lambda f: f["original"]["identity"].pop("direct"), "lacks the direct of 'original'"),
        (lambda f: f["full"]["conv"]["signal"].append(1.0), "as many units as the others"),
        (lambda f: f["full"]["conv"].update(signal=[1, -1, 1, 1]), "0 or more"),
        (lambda f: f["full"]["conv"].update(signal=[1, float("nan"), 1, 1]), "finite"),
        (lambda f: f["full"]["conv"].update(signal=["1", 1, 1, 1]), "finite"),
    ],
)
def test_curves_that_are_not_complete_are_refused(change, message):
    flows = some_flows()
    change(flows)
    with pytest.raises(ValueError, match=message):
        OrderComparer(flows)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"order": "reversed"}, "order must be one of original"),
        ({"shortcut": "gating"}, "shortcut must be one of identity"),
        ({"numbers": (1, 2)}, "numbers must be 3 finite numbers"),
        ({"numbers": (1, 2, float("inf"))}, "numbers must be 3 finite numbers"),
        ({"labels": {"nothing": "x"}}, "no label 'nothing'"),
    ],
)
def test_unknown_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        OrderComparer(some_flows(), **options)


# -- in a browser ----------------------------------------------------------------------------------


def numbers_of(page):
    return page.locator(".cnn-orders-steps tbody tr:last-child td:nth-child(2)").inner_text()


@pytest.mark.site
def test_a_unit_is_stepped_through_by_mouse_and_keyboard(show):
    page = show(OrderComparer(some_flows()))
    rows = page.locator(".cnn-orders-steps tbody tr")
    assert rows.locator("th").all_inner_texts() == [
        "x", "conv 1", "BN", "ReLU", "conv 2", "BN", "sum", "ReLU"
    ]  # fmt: skip
    assert rows.nth(1).locator("td").nth(1).inner_text() == ""
    page.locator(".cnn-orders-next").click()
    assert rows.nth(1).locator("td").nth(1).inner_text().split() == ["2", "−1", "0.5"]
    page.locator(".cnn-orders-next").focus()
    page.keyboard.press("Enter")
    assert rows.nth(2).get_attribute("aria-current") == "step"
    page.locator(".cnn-orders-all").click()
    assert numbers_of(page).split() == ["0.59", "0", "1.21"]
    page.wait_for_function(
        "document.querySelector('.cnn-orders > .cnn-spoken').textContent.includes('0.59')"
    )
    page.locator(".cnn-orders-again").click()
    assert page.evaluate("model.get('passed')") == 1
    assert "2. time" in page.locator(".cnn-orders-title").first.inner_text()
    page.locator(".cnn-orders-restart").click()
    assert page.evaluate("model.get('numbers')") == [2, -1, 0.5]


def test_the_orders_keep_their_order_where_a_notebook_sorts_all_keys(comparer):
    state = json.loads(json.dumps(comparer.get_state(), sort_keys=True, default=str))
    assert [name for name, _ in state["orders"]] == list(FIGURE_4)
    assert state["shortcuts"] == list(SHORTCUTS)


@pytest.mark.site
def test_the_orders_are_offered_from_a_to_e(show):
    page = show(OrderComparer(some_flows()))
    shown = page.locator("[data-order]").all_inner_texts()
    assert [text[:3] for text in shown] == ["(a)", "(b)", "(c)", "(d)", "(e)"]


@pytest.mark.site
def test_the_order_decides_what_is_on_the_path(show):
    page = show(OrderComparer(some_flows()), touch=True, width=375)
    told = page.locator(".cnn-orders-path")
    assert told.inner_text().endswith("stands: ReLU.")
    page.locator("[data-order=full]").tap()
    assert told.inner_text().endswith("it is clean.")
    page.locator("select[data-setting=shortcut]").select_option("scaling")
    assert told.inner_text().endswith("stands: × 0.5.")
    page.locator(".cnn-orders-all").tap()
    for _ in range(3):
        page.locator(".cnn-orders-again").tap()
    assert page.evaluate("model.get('passed')") == 3


@pytest.mark.site
def test_numbers_can_be_changed_and_nonsense_is_not_taken(show):
    page = show(OrderComparer(some_flows(), order="full"))
    first = page.locator(".cnn-orders-inputs input").first
    first.fill("7")
    first.press("Enter")
    assert page.evaluate("model.get('numbers')") == [7, -1, 0.5]
    first.fill("")
    first.press("Enter")
    assert first.input_value() == "7"
    page.locator(".cnn-orders-fields label input").first.fill("0")
    page.locator(".cnn-orders-fields label input").first.press("Enter")
    page.locator(".cnn-orders-all").click()
    assert numbers_of(page).split() == ["7", "−1", "0.5"]  # a branch of zeros adds nothing


@pytest.mark.site
def test_the_chart_shows_the_chosen_network_beside_the_clean_one(show):
    comparer = OrderComparer(some_flows())
    page = show(comparer)
    assert page.locator(".cnn-readout-name").all_inner_texts() == ["(a), identity", "(e), identity"]
    page.locator("[data-measure=signal]").click()
    assert page.locator("[data-measure=signal]").get_attribute("aria-pressed") == "true"
    slider = page.get_by_role("slider")
    slider.focus()
    page.keyboard.press("Home")
    assert slider.get_attribute("aria-valuenow") == "0"
    assert "Unit 1" in slider.get_attribute("aria-valuetext")
    value = comparer.flows["original"]["identity"]["signal"][0]
    assert f"{value:.1e}".split("e")[0] in page.locator(".cnn-readout-value").first.inner_text()
    page.locator("[data-order=full]").click()
    assert page.locator(".cnn-readout-name").all_inner_texts() == ["(e), identity"]


@pytest.mark.site
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_overflows_on_a_phone_and_everything_can_be_read(show, comparer, theme):
    from tests.widgets.test_in_browser import contrasts, overflow

    page = show(comparer, theme=theme, width=375)
    page.locator("[data-order=bn_after_addition]").click()
    page.locator("select[data-setting=shortcut]").select_option("exclusive_gating_6")
    page.locator(".cnn-orders-all").click()
    assert overflow(page) <= 0
    selectors = [".cnn-orders-path", ".cnn-orders-on-path td", ".cnn-orders-steps th"]
    selectors += [".cnn-orders-fields input", ".cnn-orders-again", ".cnn-orders-factor"]
    for selector, contrast in zip(selectors, contrasts(page, selectors), strict=True):
        assert contrast >= 4.5, selector


@pytest.mark.site
def test_all_words_come_from_the_labels_and_nothing_is_left_behind(show):
    marked = {key: f"¤{text}" for key, text in OrderComparer.LABELS.items()}
    page = show(OrderComparer(some_flows(), labels=marked))
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
    foreign = [word for word in words if "¤" not in word and any(map(str.isalpha, word))]
    assert foreign == [] and len(words) > 20
    page.evaluate("cleanUp()")
    assert page.evaluate("listenersLeft()") == 0
