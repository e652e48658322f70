"""What the extension adds to pages, tried on a small book with one of everything."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect


@pytest.fixture(params=["light", "dark"])
def dark(request: pytest.FixtureRequest) -> bool:
    return request.param == "dark"


# --- widgets -------------------------------------------------------------------------------------


def test_anywidgets_need_only_the_loader(mini_page_at) -> None:
    page = mini_page_at("chapters/live.html")
    scripts = {name for name in mini_page_at.visits[0].sizes if name.startswith("_static/lib/")}
    assert scripts == {"_static/lib/anywidget_loader.js"}
    assert page.get_by_text("first byte 7").is_visible()
    page.get_by_role("button", name="count 2").click()
    expect(page.get_by_role("button", name="count 3")).to_be_visible()
    mini_page_at.visits[0].faults.clear()  # of the widget that is broken on purpose


def test_a_broken_widget_leaves_its_picture_and_the_others_alone(mini_page_at) -> None:
    page = mini_page_at("chapters/live.html")
    expect(page.get_by_text("The still picture of widget 1.")).to_be_visible()
    expect(page.get_by_text("The still picture of widget 0.")).to_be_hidden()
    (fault,) = mini_page_at.visits[0].faults
    assert "broken on purpose" in fault
    mini_page_at.visits[0].faults.clear()


def test_core_widgets_get_the_manager(mini_page_at) -> None:
    page = mini_page_at("chapters/managed.html")
    handle = page.get_by_role("slider", name="side")
    handle.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect(page.locator(".widget-readout")).to_have_text("7")
    page.get_by_role("button", name="count 2").click()
    expect(page.get_by_role("button", name="count 3")).to_be_visible()
    expect(page.get_by_text("The still picture of widget 0.")).to_be_hidden()
    expect(page.get_by_text("The still picture of widget 1.")).to_be_hidden()


def test_pages_without_widgets_get_no_script_for_them(mini_page_at) -> None:
    mini_page_at("words.html")
    assert not [name for name in mini_page_at.visits[0].sizes if "/lib/" in name]


def test_without_javascript_and_on_paper_the_still_pictures_are_seen(mini_page_at) -> None:
    page = mini_page_at("chapters/live.html", javascript=False)
    expect(page.get_by_text("The still picture of widget 0.")).to_be_visible()
    page = mini_page_at("chapters/live.html")
    page.emulate_media(media="print")
    expect(page.get_by_text("The still picture of widget 0.")).to_be_visible()
    expect(page.get_by_role("button", name="count 2")).to_be_hidden()
    mini_page_at.visits[-1].faults.clear()


# --- quizzes -------------------------------------------------------------------------------------


def test_a_quiz_answers_to_the_mouse(mini_page_at, accessible, dark: bool) -> None:
    page = mini_page_at("index.html", dark=dark)
    quiz, feedback = page.locator(".quiz"), page.locator(".quiz-feedback")
    quiz.get_by_role("button", name="Check").click()
    expect(feedback).to_have_text("Choose an answer first.")
    quiz.get_by_text("three", exact=True).click()
    quiz.get_by_role("button", name="Check").click()
    expect(feedback).to_have_text("No. That is one side.")
    expect(quiz.locator(".quiz-choice").first).to_contain_text("✗")  # not by colour alone
    accessible(page)
    quiz.get_by_text("nine").first.click()
    quiz.get_by_role("button", name="Check").click()
    expect(feedback).to_have_text("Yes. Three by three.")
    expect(quiz.locator(".quiz-choice").nth(1)).to_contain_text("✓")
    accessible(page)


def test_a_quiz_answers_to_the_keyboard(mini_page_at) -> None:
    page = mini_page_at("index.html")
    page.get_by_role("radio").first.focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio", name="nine")).to_be_checked()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Yes. Three by three.")


def test_a_quiz_is_named_by_its_question(mini_page_at) -> None:
    page = mini_page_at("index.html")
    expect(page.get_by_role("radiogroup", name=re.compile("How many weights"))).to_be_visible()


def test_without_javascript_a_quiz_is_text_with_folded_answers(mini_page_at) -> None:
    page = mini_page_at("index.html", javascript=False)
    expect(page.locator(".quiz > ul > li")).to_have_count(3)
    expect(page.get_by_text("Three by three.")).to_be_hidden()
    page.get_by_text("Answers").click()
    expect(page.get_by_text("Three by three.")).to_be_visible()


# --- formulas, tables, pictures ------------------------------------------------------------------


def test_formulas_are_there_without_javascript(mini_page_at) -> None:
    page = mini_page_at("index.html", javascript=False)
    expect(page.locator("div.math .katex-html").first).to_be_visible()
    assert page.locator("math annotation").first.text_content().startswith("y_{ij}")


def test_equations_are_numbered_and_referred_to(mini_page_at) -> None:
    page = mini_page_at("index.html")
    expect(page.locator("#equation-sum .eqno")).to_contain_text("(1)")
    page.get_by_role("link", name="equation 1").click()
    assert page.url.endswith("#equation-sum")


def test_what_is_too_wide_scrolls_by_keyboard(mini_page_at) -> None:
    page = mini_page_at("index.html", width=375)
    wide = [".formula >> nth=2", ".pst-scrollable-table-container >> nth=0", "div.highlight pre"]
    for selector in wide:
        element = page.locator(selector).first
        expect(element).to_have_attribute("tabindex", "0")
        element.focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_function("(element) => element.scrollLeft > 0", arg=element.element_handle())


@pytest.mark.parametrize("path", ["index.html", "words.html", "references.html"])
def test_pages_of_text_are_accessible_on_a_phone(mini_page_at, accessible, dark, path) -> None:
    page = mini_page_at(path, dark=dark, width=375)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    accessible(page)


@pytest.mark.parametrize("width", [375, 1280])
def test_a_page_with_core_widgets_is_accessible(mini_page_at, accessible, dark, width) -> None:
    page = mini_page_at("chapters/managed.html", dark=dark, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    accessible(page)


def test_charts_are_turned_over_in_the_dark(mini_page_at) -> None:
    for dark, filter_ in ((False, "none"), (True, "invert(0.93) hue-rotate(180deg)")):
        page = mini_page_at("index.html", dark=dark)
        drawing = page.get_by_alt_text("A line from the lower left")
        assert drawing.evaluate("(image) => getComputedStyle(image).filter") == filter_


def test_without_a_repository_there_are_no_links_to_one(mini_site) -> None:
    for path in mini_site.folder.rglob("*.html"):
        assert "colab.research" not in path.read_text("utf-8")
        assert "Source repository" not in path.read_text("utf-8")
