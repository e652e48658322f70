"""Chapter 1 in the browser: the convolution is steppable, the pad reads what is drawn.

The weights in the page are those of the chapter's own run. Here they are put back into a LeNet-5 of
the library, which is independent of both the page's JavaScript and the exporter, and the scores are
compared.
"""

import base64

import nbformat
import numpy as np
import pytest
import torch
from torch import Tensor

from cnnlib import data
from cnnlib.models import lenet
from tools import notebooks

pytestmark = pytest.mark.site

PATH = "chapters/01_lenet.html"
STATE = "application/vnd.jupyter.widget-state+json"
STROKES = {  # a person's strokes, in shares of the pad's side
    1: [[(0.5, 0.15), (0.5, 0.85)]],
    7: [[(0.25, 0.2), (0.75, 0.2), (0.45, 0.85)]],
    0: [[(0.5 + 0.2 * np.cos(a), 0.5 + 0.32 * np.sin(a)) for a in np.linspace(-1.6, 4.8, 26)]],
    2: [
        [(0.3, 0.32), (0.4, 0.18), (0.6, 0.18), (0.7, 0.32), (0.64, 0.48), (0.3, 0.8), (0.74, 0.8)]
    ],
}


@pytest.fixture(scope="module")
def stored_network() -> lenet.LeNet5:
    """The trained network of the chapter, from the numbers stored in the notebook."""
    chapter = nbformat.read(notebooks.ROOT / "chapters/01_lenet.ipynb", 4)
    models = chapter.metadata["widgets"][STATE]["state"].values()
    (pad,) = (m for m in models if "weights" in [b["path"][-1] for b in m.get("buffers", ())])
    (text,) = (b["data"] for b in pad["buffers"] if b["path"] == ["weights"])
    numbers = torch.from_numpy(np.frombuffer(base64.b64decode(text), "<f2").astype(np.float64))

    def tensors(kind: str, *names: str) -> list[Tensor]:
        found = []
        for op in pad["state"]["ops"]:
            if op["op"] == kind:
                for value in (op[name] for name in names):
                    size = int(np.prod(value["shape"]))
                    found.append(numbers[value["at"] :][:size].reshape(value["shape"]))
        return found

    c1, c1_bias, c3, c3_bias, c5, c5_bias = tensors("conv2d", "weight", "bias")
    s2, s2_bias, s4, s4_bias = tensors("affine", "scale", "shift")
    f6, f6_bias = tensors("linear", "weight", "bias")
    (codes,) = tensors("rbf", "codes")
    model = lenet.lenet5().double()
    to, origin = model.c3[0].links
    assert torch.equal(codes, model.output.codes)
    weights = {
        "c1.0.weight": c1, "c1.0.bias": c1_bias, "c3.0.weight": c3[to, origin],
        "c3.0.bias": c3_bias, "c5.0.weight": c5, "c5.0.bias": c5_bias, "f6.1.weight": f6,
        "f6.1.bias": f6_bias,
        # the program averages the four numbers, the paper's layer adds them up
        "s2.0.coefficient": s2 / 4, "s2.0.bias": s2_bias,
        "s4.0.coefficient": s4 / 4, "s4.0.bias": s4_bias,
    }  # fmt: skip
    kept = {k: v for k, v in model.state_dict().items() if k not in weights}
    model.load_state_dict(weights | kept)
    return model.eval()


def classify(page, image: Tensor) -> dict:
    """What the page's network says of a digit of 28 x 28 bytes."""
    return page.evaluate(
        """image => {
            const detail = { image };
            const event = new CustomEvent("cnn-classify", { detail });
            document.querySelector(".cnn-pad").dispatchEvent(event);
            return { scores: [...detail.scores], prediction: detail.prediction };
        }""",
        image.flatten().tolist(),
    )


def test_the_page_computes_the_scores_of_the_network_of_the_paper(page_at, stored_network):
    page = page_at(PATH)
    digits = data.load("mnist_5k", "test").select(range(40))
    prepared = digits.padded(32).rescaled(-0.1, 1.175).to(dtype=torch.float64)
    with torch.no_grad():
        expected = stored_network(prepared.images)
    for image, scores in zip(digits.images, expected, strict=True):
        answer = classify(page, image)
        torch.testing.assert_close(
            torch.tensor(answer["scores"], dtype=torch.float64), scores, rtol=1e-3, atol=1e-2
        )
        assert answer["prediction"] == int(scores.argmax())


def test_the_network_in_the_page_is_the_trained_one(page_at, stored_network):
    digits = data.load("mnist_5k", "test").padded(32).rescaled(-0.1, 1.175)
    with torch.no_grad():
        answers = stored_network(digits.to(dtype=torch.float64).images).argmax(1)
    assert (answers != digits.labels).double().mean() < 0.05


@pytest.mark.parametrize("digit", STROKES)
def test_a_digit_that_is_drawn_is_read(page_at, digit):
    page = page_at(PATH)
    surface = page.locator(".cnn-surface")
    surface.scroll_into_view_if_needed()
    box = surface.bounding_box()
    for stroke in STROKES[digit]:
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=8)
        page.mouse.up()
    assert page.locator(".cnn-pad").get_attribute("data-prediction") == str(digit)
    assert str(digit) in page.locator(".cnn-verdict").inner_text()


def test_the_pad_shows_the_maps_of_every_layer(page_at):
    page = page_at(PATH)
    page.locator(".cnn-example").nth(3).click()
    for stage, maps in {"c1": 6, "s2": 6, "c3": 16, "s4": 16}.items():
        page.locator(f'[role=tab][data-stage="{stage}"]').click()
        assert page.locator(".cnn-gallery canvas").count() == maps


def test_a_digit_can_be_drawn_with_the_keyboard_alone(page_at):
    page = page_at(PATH)
    page.locator(".cnn-surface").focus()
    for _ in range(4):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    for _ in range(9):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    assert page.locator(".cnn-pad").get_attribute("data-prediction") == "1"
    page.keyboard.press("Tab")


def test_the_stepper_floors_steps_that_do_not_fit_and_answers_to_keys(page_at):
    page = page_at(PATH)
    stepper = page.locator(".cnn-stepper")
    stepper.scroll_into_view_if_needed()
    stepper.locator('select[data-setting="stride"]').select_option("2")
    results = stepper.locator(".cnn-result")
    assert results.count() == 4  # (6 - 3) / 2 is 1.5: rounded down to 1, plus 1, in both directions
    assert stepper.locator(".cnn-unvisited").count() > 0
    stepper.locator('.cnn-result[tabindex="0"]').focus()
    page.keyboard.press("ArrowRight")
    assert "2" in stepper.locator(".cnn-counter").inner_text()
    page.keyboard.press("End")
    image = [
        [float(value) for value in row]
        for row in np.reshape(
            [i.input_value() for i in stepper.locator(".cnn-panel-image input").all()], (6, 6)
        )
    ]
    kernel = torch.tensor([[-1.0, 0.0, 1.0]] * 3)
    expected = torch.nn.functional.conv2d(
        torch.tensor(image)[None, None], kernel[None, None], stride=2
    )
    shown = stepper.locator(".cnn-total").inner_text()
    assert float(shown.split("=")[-1].replace("−", "-")) == expected[0, 0, 1, 1]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_quiz_tells_right_from_wrong(page_at, dark):
    page = page_at(PATH, dark=dark)
    quiz = page.locator(".quiz").first
    quiz.get_by_role("radio").nth(1).check()
    quiz.get_by_role("button", name="Check").click()
    assert "starting" in quiz.inner_text() or "position" in quiz.inner_text()
    assert "No" in quiz.locator('[role="status"], [aria-live]').first.inner_text()
    quiz.get_by_role("radio").nth(0).check()
    quiz.get_by_role("button", name="Check").click()
    assert "Yes" in quiz.locator('[role="status"], [aria-live]').first.inner_text()
