"""The browser of photographs and units, driven in a real browser: mouse, finger and keys."""

import pytest
import torch

from cnnlib import book, explain
from cnnlib.models import create_model
from cnnlib.widgets import InsideBrowser
from tests.widgets.samples import SMALL

pytestmark = pytest.mark.site


@pytest.fixture(scope="module")
def browser():
    torch.manual_seed(0)
    return InsideBrowser(
        book.predictions(), create_model("zfnet", **SMALL), torch.rand(8, 1, 28, 28), units=3
    )


@pytest.fixture(scope="module")
def seen():
    return book.predictions()


def shown(page):
    return page.locator(".cnn-verdict").inner_text()


def said(seen, name, square, row, column):
    share = float(seen[name].occlusion[square].probability[row, column])
    return f"{seen[name].target}: {100 * share:.1f} %"


def at(page, row, column, cells=28):
    """The point of the page in the middle of a cell."""
    page.locator(".cnn-photo-stage").scroll_into_view_if_needed()
    box = page.locator(".cnn-photo-stage").bounding_box()
    step = box["width"] / cells
    return box["x"] + (column + 0.5) * step, box["y"] + (row + 0.5) * step


def test_the_mouse_moves_the_square_and_the_answer_follows(show, browser, seen):
    page = show(browser)
    assert shown(page) == said(seen, "chelsea", 64, 14, 14)
    for row, column in ((0, 0), (20, 3), (27, 27)):
        page.mouse.move(*at(page, row, column))
        assert shown(page) == said(seen, "chelsea", 64, row, column)
        winner = seen["chelsea"].occlusion[64].winner[row][column]
        assert page.locator(".cnn-winner").inner_text() == f"Best guess now: {winner}"
    assert page.evaluate("model.get('place')") == [27, 27]


def test_the_square_covers_the_pixels_that_were_covered(show, browser):
    page = show(browser)
    page.mouse.move(*at(page, 10, 20))
    outer = page.locator(".cnn-photo-stage").bounding_box()
    inner = page.locator(".cnn-square").bounding_box()
    rows, columns = explain.squares(224, 224, 64, 8)[10][20]
    scale = outer["width"] / 224
    assert inner["x"] - outer["x"] == pytest.approx(columns.start * scale, abs=1)
    assert inner["y"] - outer["y"] == pytest.approx(rows.start * scale, abs=1)
    assert inner["width"] == pytest.approx((columns.stop - columns.start) * scale, abs=1)


def test_a_finger_moves_it_too(show, browser, seen):
    page = show(browser, touch=True, width=375)
    page.touchscreen.tap(*at(page, 5, 9))
    assert shown(page) == said(seen, "chelsea", 64, 5, 9)


def test_arrow_keys_move_it_and_home_finds_the_worst_place(show, browser, seen):
    page = show(browser)
    page.locator("select[data-setting=photograph]").select_option(label="a man with a camera")
    stage = page.locator(".cnn-photo-stage")
    stage.focus()
    for key in ("ArrowUp", "ArrowUp", "ArrowLeft"):
        page.keyboard.press(key)
    assert shown(page) == said(seen, "camera", 64, 12, 13)
    shares = seen["camera"].occlusion[64].probability
    page.keyboard.press("Home")
    assert shown(page) == said(seen, "camera", 64, *divmod(int(shares.argmin()), 28))
    page.keyboard.press("End")
    assert shown(page) == said(seen, "camera", 64, *divmod(int(shares.argmax()), 28))
    page.wait_for_timeout(600)
    assert "tripod" in page.locator(".cnn-spoken").first.inner_text()
    page.keyboard.press("Tab")  # the focus is not caught


def test_the_size_of_the_square_and_no_square(show, browser, seen):
    page = show(browser)
    page.locator("select[data-setting=square]").select_option("32")
    assert shown(page) == said(seen, "chelsea", 32, 14, 14)
    page.locator("select[data-setting=square]").select_option("0")
    target = seen["chelsea"].target
    assert shown(page) == f"{target}: {100 * dict(seen['chelsea'].top)[target]:.1f} %"
    assert not page.locator(".cnn-square").is_visible()
    assert not page.locator(".cnn-heat").is_visible()


def test_the_map_can_be_hidden(show, browser):
    page = show(browser)
    assert page.locator(".cnn-heat").is_visible()
    page.get_by_label("Show the map").uncheck()
    assert not page.locator(".cnn-heat").is_visible()
    assert not page.locator(".cnn-legend").is_visible()


def test_the_map_is_blue_at_the_worst_place_and_orange_at_the_best(show, browser, seen):
    page = show(browser)
    pixels = page.evaluate(
        """() => {
            const canvas = document.querySelector(".cnn-heat");
            const { data } = canvas.getContext("2d").getImageData(0, 0, 28, 28);
            return Array.from({ length: 28 * 28 }, (_, i) => [...data.slice(4 * i, 4 * i + 4)]);
        }"""
    )
    shares = seen["chelsea"].occlusion[64].probability.flatten()
    red, _, blue, alpha = pixels[int(shares.argmin())]
    assert blue > red and 215 > alpha > 100  # a rise changes it more here
    red, _, blue, alpha = pixels[int(shares.argmax())]
    assert red > blue and alpha >= 214
    uncovered = dict(seen["chelsea"].top)[seen["chelsea"].target]
    same = int((shares - uncovered).abs().argmin())
    assert pixels[same][3] < 20


def test_every_photograph_appears(show, browser, seen):
    page = show(browser)
    for name, label in {
        "coffee": "a cup of coffee",
        "rocket": "a rocket",
        "astronaut": "an astronaut",
    }.items():
        page.locator("select[data-setting=photograph]").select_option(label=label)
        page.wait_for_function("document.querySelector('.cnn-photo').complete")
        size = page.locator(".cnn-photo").evaluate("i => [i.naturalWidth, i.naturalHeight]")
        assert size == [160, 160]
        assert seen[name].target in shown(page)


def test_units_are_browsed(show, browser):
    page = show(browser)
    for number, layer in enumerate(browser.layers):
        page.locator("select[data-setting=layer]").select_option(index=number)
        units = page.locator("select[data-setting=unit]").locator("option").all_inner_texts()
        assert units == [str(unit["unit"]) for unit in layer["units"]]
        page.locator("select[data-setting=unit]").select_option(index=len(units) - 1)
        tiles = page.locator("canvas.cnn-patch")
        assert tiles.count() == page.locator("canvas.cnn-projection").count() == 3
        first = layer["units"][-1]["patches"][0]
        assert tiles.first.evaluate("c => [c.height, c.width]") == [first["rows"], first["columns"]]
        pixels = tiles.first.evaluate(
            """c => [...c.getContext("2d").getImageData(0, 0, c.width, c.height).data]
                .filter((_, i) => i % 4 === 0)"""
        )
        size = first["rows"] * first["columns"]
        assert pixels == list(browser.tiles[first["at"] : first["at"] + size])
        assert "activation" in tiles.first.get_attribute("aria-label")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_nothing_overflows(show, browser, theme, width):
    page = show(browser, theme=theme, width=width)
    assert (
        page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        <= 0
    )


def test_every_picture_has_a_name(show, browser):
    page = show(browser)
    for canvas in page.locator(".cnn-inside canvas").all():
        assert canvas.evaluate("e => e.closest('[aria-hidden=true]') || e.ariaLabel")
    assert page.locator(".cnn-photo-stage").get_attribute("aria-label").startswith("a cat")
