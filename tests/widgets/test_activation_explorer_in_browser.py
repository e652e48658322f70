"""The activation explorer in a real browser: what it shows is what torch computes."""

import pytest
import torch

from cnnlib.widgets import ActivationExplorer
from tests.widgets.test_activation_explorer import IN_TORCH, torch_chain
from tests.widgets.test_in_browser import contrasts, overflow, text_of

pytestmark = pytest.mark.site


def shown(page, name):
    return float(page.locator(".cnn-units").get_attribute(f"data-{name}"))


@pytest.mark.parametrize("unit", ["logistic", "tanh", "relu", "gelu"])
def test_the_page_computes_what_torch_computes(show, unit):
    page = show(ActivationExplorer())
    page.locator("select[data-setting=unit]").select_option(unit)
    for name, value in {"x": 1.5, "depth": 12, "scale": 1.4}.items():
        page.locator(f"[data-slider={name}]").fill(str(value))
    expected = torch_chain(unit, 12, 1.4, 0)
    page.wait_for_function("Number(document.querySelector('.cnn-units').dataset.gradient) > 0")
    assert shown(page, "gradient") == pytest.approx(expected[-1], rel=1e-7)
    x = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    y = IN_TORCH[unit](x)
    y.backward()
    said = text_of(page, ".cnn-units-reading")
    value, slope = round(y.item(), 3), round(x.grad.item(), 3)
    assert said == f"At 1.5 the value is {value:g} and the slope {slope:g}."


def test_the_product_of_the_slopes_is_written_out(show):
    explorer = ActivationExplorer("logistic", depth=8)
    page = show(explorer)
    product = torch.tensor(explorer.chain().slopes, dtype=torch.float64).prod().item()
    assert shown(page, "product") == pytest.approx(product, rel=1e-9)
    said = text_of(page, ".cnn-units-typical")
    assert f"{product ** (1 / 8):.3f}" in said and "over 8 layers" in said
    assert said.endswith("10⁻⁶." if product < 1e-5 else "10⁻⁵.")


def test_sliders_answer_to_keys(show):
    page = show(ActivationExplorer("relu", x=0.5))
    page.locator("[data-slider=x]").focus()
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
    assert page.evaluate("model.get('x')") == pytest.approx(-0.1)
    assert "nothing is learned" in text_of(page, ".cnn-units-verdict")
    words = page.locator("[data-slider=x]").get_attribute("aria-valuetext")
    assert words == "At −0.1 the value is 0 and the slope 0."
    page.locator("[data-slider=depth]").focus()
    page.keyboard.press("End")
    assert page.evaluate("model.get('depth')") == 30
    assert "over 30 layers" in text_of(page, ".cnn-units-typical")
    page.keyboard.press("Home")
    assert page.evaluate("model.get('depth')") == 1


def test_the_picture_is_dragged_and_tapped(show):
    page = show(ActivationExplorer("tanh", x=0.0), touch=True, width=375)
    picture = page.locator(".cnn-units-picture")
    box = picture.bounding_box()
    picture.tap(position={"x": box["width"] - 9, "y": 40})
    assert page.evaluate("model.get('x')") == pytest.approx(6, abs=0.11)
    assert "Saturated" in text_of(page, ".cnn-units-verdict")
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 40, box["y"] + 50, steps=3)
    page.mouse.up()
    assert page.evaluate("model.get('x')") < -5


def test_new_weights_change_the_numbers_but_not_the_story(show):
    page = show(ActivationExplorer("logistic", depth=10))
    before = shown(page, "gradient")
    page.get_by_role("button", name="New random weights").click()
    page.wait_for_function(
        f"Number(document.querySelector('.cnn-units').dataset.gradient) !== {before}"
    )
    assert page.evaluate("model.get('seed')") == 1
    assert shown(page, "gradient") == pytest.approx(torch_chain("logistic", 10, 1.0, 1)[-1])
    assert shown(page, "gradient") < 1e-5


def test_a_fourth_line_comes_with_a_fourth_unit(show):
    page = show(ActivationExplorer())
    assert page.locator(".cnn-readout-row").count() == 3
    page.locator("select[data-setting=unit]").select_option("silu")
    assert page.locator(".cnn-readout-row").count() == 4


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1200])
def test_it_fits_and_can_be_read(show, theme, width):
    page = show(ActivationExplorer(), theme=theme, width=width)
    assert overflow(page) <= 0
    selectors = [".cnn-units-reading", ".cnn-units-verdict", ".cnn-units-typical", ".cnn-title"]
    assert min(contrasts(page, selectors)) >= 4.5


def test_it_leaves_nothing_behind(show):
    page = show(ActivationExplorer())
    page.evaluate("cleanUp()")
    assert page.evaluate("listenersLeft()") == 0
