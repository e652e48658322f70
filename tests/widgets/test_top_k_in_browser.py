"""TopK in a real browser: what is tapped is counted, by mouse, touch and keyboard."""

import pytest

from cnnlib.widgets import TopK
from tests.widgets.test_in_browser import contrasts, overflow, text_of

pytestmark = pytest.mark.site

NAMES = ["tiger cat", "Egyptian cat", "tabby", "lynx", "a class with a rather long name", "fox"]
SHARES = [0.4, 0.35, 0.2, 0.01, 0.002, 0.001]
GUESSES = {
    "chelsea": list(zip(NAMES, SHARES, strict=True)),
    "coffee": list(zip(reversed(NAMES), SHARES, strict=True)),
    "rocket": [(f"thing {i}", 0.1) for i in range(6)],
}


def widget(**options):
    return TopK(GUESSES, **({"k": 5, "descriptions": {"chelsea": "a cat's face"}} | options))


def verdicts(page):
    return page.locator(".cnn-topk-verdicts span").all_inner_texts()


def errors(page):
    lines = page.locator(".cnn-topk-error")
    texts = [line.inner_text() for line in lines.all() if line.is_visible()]
    return [text.replace("\u00a0", " ") for text in texts]


def test_a_label_makes_the_answer_right_or_wrong(show):
    page = show(widget())
    assert not page.locator(".cnn-topk-verdicts").is_visible()
    assert errors(page)[0] == "Top-1 error: no photograph has a label yet"
    page.get_by_role("radio", name="tabby").click()
    assert verdicts(page) == ["Top-1: wrong", "Top-5: right"]
    assert text_of(page, ".cnn-topk-place") == "The true label is guess 3."
    assert errors(page) == ["Top-1 error: 1 of 1 = 100 %", "Top-5 error: 0 of 1 = 0 %"]
    page.get_by_role("radio", name="None of these").click()
    assert verdicts(page) == ["Top-1: wrong", "Top-5: wrong"]
    assert text_of(page, ".cnn-topk-place").endswith("not among the first 6 guesses.")
    page.get_by_role("radio", name="tiger cat").click()
    assert verdicts(page) == ["Top-1: right", "Top-5: right"]
    assert page.evaluate("model.get('truths')") == [0, -2, -2]


def test_the_page_counts_as_the_library_does(show):
    ours = widget(k=2)
    page = show(ours)
    for index, truth in enumerate((1, 4, -1)):
        page.locator(".cnn-topk-thumbnail").nth(index).click()
        page.locator(f"input[type=radio][value='{truth}']").click()
    ours.truths = page.evaluate("model.get('truths')")
    assert ours.truths == [1, 4, -1]
    for k in range(1, 7):
        page.locator("input[type=range]").fill(str(k))
        wrong, labelled = ours.errors(k)
        assert errors(page)[-1].startswith(f"Top-{k} error: {wrong} of {labelled} = ")
    assert "Photographs with a label: 3 of 3." in text_of(page, ".cnn-topk-tally")
    page.get_by_role("button", name="Clear all labels").click()
    assert page.evaluate("model.get('truths')") == [-2, -2, -2]
    assert "no photograph has a label" in errors(page)[0]


def test_k_moves_the_border_between_the_guesses(show):
    page = show(widget())
    place = """() => [...document.querySelectorAll(".cnn-topk-list > :not(legend)")]
        .findIndex((e) => e.classList.contains("cnn-topk-border"))"""
    for k in (5, 1, 6, 3):
        page.locator("input[type=range]").fill(str(k))
        assert page.evaluate(place) == k
        assert page.locator(".cnn-topk-counts").count() == k
        assert text_of(page, ".cnn-topk-border") == f"Up to here it counts as right (k = {k})"
    page.locator("input[type=range]").fill("1")  # top-1 is then told once
    page.get_by_role("radio", name="lynx").click()
    assert verdicts(page) == ["Top-1: wrong"] and len(errors(page)) == 1


def test_each_photograph_keeps_its_label(show):
    page = show(widget())
    page.get_by_role("radio", name="tabby").click()
    page.get_by_role("button", name="coffee").click()
    assert page.locator("input[type=radio]:checked").count() == 0
    assert text_of(page, ".cnn-topk-place") == "Pick the label that you think is true."
    picture = page.locator(".cnn-topk-picture")
    assert picture.get_attribute("alt") == "coffee"
    assert picture.evaluate("image => image.naturalWidth") == 224
    page.get_by_role("button", name="a cat's face, has a label").click()
    assert page.locator("input[type=radio]:checked").get_attribute("value") == "2"


def test_the_keyboard_does_it_all(show):
    page = show(widget())
    page.locator(".cnn-topk-thumbnail").nth(1).focus()
    page.keyboard.press("Enter")
    assert page.evaluate("model.get('chosen')") == 1
    page.locator("input[type=range]").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("model.get('k')") == 3
    page.keyboard.press("Home")
    assert page.evaluate("model.get('k')") == 1
    page.locator("input[type=radio]").first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("model.get('truths')[1]") == 1
    page.wait_for_function(
        "document.querySelector('.cnn-spoken[role=status]').textContent"
        " === 'Top-1: wrong. The true label is guess 2.'"
    )
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")  # from the first around to the last
    assert page.evaluate("model.get('truths')[1]") == -1


def test_a_finger_picks_a_label_anywhere_in_its_row(show):
    page = show(widget(), touch=True, width=375)
    page.locator(".cnn-topk-guess").nth(3).tap(position={"x": 200, "y": 20})
    assert page.evaluate("model.get('truths')") == [3, -2, -2]
    assert page.locator(".cnn-topk-guess.cnn-topk-chosen .cnn-topk-true").is_visible()


def test_a_change_from_the_kernel_is_shown(show):
    page = show(widget())
    page.evaluate("model.set('truths', [-2, 0, -1]); model.set('chosen', 1); model.set('k', 2)")
    assert verdicts(page) == ["Top-1: right", "Top-2: right"]
    assert errors(page)[0] == "Top-1 error: 1 of 2 = 50 %"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_overflows_on_a_phone_and_everything_can_be_read(show, theme):
    page = show(widget(), theme=theme, width=375)
    page.get_by_role("radio", name="tabby").click()
    selectors = [".cnn-topk-border", ".cnn-topk-name", ".cnn-topk-percent", ".cnn-topk-rank"]
    selectors += [".cnn-topk-right-answer", ".cnn-topk-wrong-answer", ".cnn-topk-error"]
    selectors += [".cnn-topk-rest", ".cnn-topk-chosen .cnn-topk-true", ".cnn-topk-clear"]
    assert overflow(page) <= 0
    for selector, contrast in zip(selectors, contrasts(page, selectors), strict=True):
        assert contrast >= 4.5, selector


def test_all_words_come_from_the_labels(show):
    marked = {key: f"¤{text}" for key, text in TopK.LABELS.items()}
    page = show(widget(labels=marked))
    page.get_by_role("radio", name="tabby").click()
    words = page.evaluate(
        """() => {
            const words = [];
            const walker = document.createTreeWalker(
                document.querySelector(".cnn-widget"), NodeFilter.SHOW_TEXT);
            while (walker.nextNode()) words.push(walker.currentNode.textContent);
            for (const e of document.querySelectorAll(".cnn-widget [aria-label]")) {
                words.push(e.getAttribute("aria-label"));
            }
            return words;
        }"""
    )
    foreign = {word for word in words if "¤" not in word and any(map(str.isalpha, word))}
    assert foreign <= {*NAMES, "coffee", "rocket"}
    assert len(words) > 20
