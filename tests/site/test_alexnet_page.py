"""The page of chapter 2: the explorer is alive, and what it says is what torch computes."""

import pytest
import torch

from cnnlib.widgets import ActivationExplorer

pytestmark = pytest.mark.site

PATH = "chapters/02_alexnet.html"


def explorer(page):
    found = page.locator(".cnn-units")
    found.scroll_into_view_if_needed()
    return found


def gradient_by_torch(unit, depth, scale):
    """The explorer's chain with torch's backpropagation, on the same random numbers."""
    from cnnlib.widgets.activation_explorer import INPUTS, WIDTH, _normals

    draw = _normals(0)

    def matrix(rows):
        numbers = [next(draw) for _ in range(rows * WIDTH)]
        return torch.tensor(numbers, dtype=torch.float64).view(rows, WIDTH)

    x, top = matrix(INPUTS).requires_grad_(), matrix(INPUTS)
    signals = x
    for _ in range(depth):
        signals = unit(signals @ (matrix(WIDTH) * scale / WIDTH**0.5).T)
    [gradient] = torch.autograd.grad((signals * top).sum(), x)
    return (gradient.square().mean() / top.square().mean()).sqrt().item()


@pytest.mark.parametrize("name, unit", [("tanh", torch.tanh), ("relu", torch.relu)])
def test_the_explorer_computes_what_torch_computes(page_at, name, unit):
    page = page_at(PATH)
    here = explorer(page)
    here.locator("select[data-setting=unit]").select_option(name)
    here.locator("[data-slider=depth]").fill("20")
    here.locator("[data-slider=scale]").fill("1.4")
    expected = gradient_by_torch(unit, 20, 1.4)
    page.wait_for_function(
        "(aim) => Math.abs(document.querySelector('.cnn-units').dataset.gradient / aim - 1) < 1e-6",
        arg=expected,
    )


def test_the_pencil_example_is_in_the_explorer(page_at):
    """Section "What a slope has to do with learning": the logistic unit at 2."""
    here = explorer(page_at(PATH))
    assert here.locator(".cnn-units-reading").inner_text() == (
        "At 2 the value is 0.881 and the slope 0.105."
    )


def test_the_explorer_is_worked_by_keys_alone(page_at):
    page = page_at(PATH)
    here = explorer(page)
    here.locator("select[data-setting=unit]").focus()
    page.keyboard.type("ReLU")
    page.keyboard.press("Tab")
    for _ in range(25):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function(
        "document.querySelector('.cnn-units-verdict').innerText.includes('nothing is learned')"
    )
    assert here.locator(".cnn-units-reading").inner_text() == (
        "At −0.5 the value is 0 and the slope 0."
    )


def test_the_explorer_fits_a_phone_and_answers_to_a_finger(page_at):
    page = page_at(PATH, width=375, touch=True, dark=True)
    here = explorer(page)
    picture = here.locator(".cnn-units-picture")
    box = picture.bounding_box()
    picture.tap(position={"x": box["width"] - 10, "y": 60})
    words = "document.querySelector('.cnn-units-verdict').innerText.includes('Saturated')"
    page.wait_for_function(words)
    assert box["width"] <= 375


def test_without_scripts_the_explorer_stands_still_but_tells_its_numbers(page_at):
    page = page_at(PATH, javascript=False)
    logistic = ActivationExplorer().chain("logistic").gradients[-1]
    assert f"{logistic:.2g}" in page.locator("article").inner_text()


def test_the_quiz_knows_three_protocols(page_at):
    page = page_at(PATH)
    quiz = page.locator(".quiz").nth(3)
    quiz.get_by_role("radio").nth(0).check()
    quiz.get_by_role("button", name="Check").click()
    assert "No" in quiz.locator('[role="status"], [aria-live]').first.inner_text()
    quiz.get_by_role("radio").nth(2).check()
    quiz.get_by_role("button", name="Check").click()
    assert "18.2" in quiz.locator('[role="status"], [aria-live]').first.inner_text()
