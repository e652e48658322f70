"""Chapter 3 in the browser: the square asks the stored answers, units show their patches.

What the page shows is compared with ``cnnlib.book.predictions``, and the patches with the pictures
of the data set from which they were cut.
"""

import base64

import nbformat
import numpy as np
import pytest
import torch

from cnnlib import book, data
from tools import notebooks

pytestmark = pytest.mark.site

PATH = "chapters/03_zfnet.html"
STATE = "application/vnd.jupyter.widget-state+json"


@pytest.fixture(scope="module")
def stored() -> dict:
    """The state of the browser in the notebook, its bytes decoded."""
    chapter = nbformat.read(notebooks.ROOT / "chapters/03_zfnet.ipynb", 4)
    models = chapter.metadata["widgets"][STATE]["state"].values()
    (browser,) = (m for m in models if "tiles" in [b["path"][-1] for b in m.get("buffers", ())])
    bytes_ = {b["path"][-1]: base64.b64decode(b["data"]) for b in browser["buffers"]}
    return {**browser["state"], **bytes_}


def inside(page):
    widget = page.locator(".cnn-inside")
    widget.scroll_into_view_if_needed()
    return widget


def said(seen, square: int, row: int, column: int) -> str:
    share = float(seen.occlusion[square].probability[row, column])
    return f"{seen.target}: {100 * share:.1f} %"


def choose(widget, setting: str, index: int) -> None:
    widget.locator(f"select[data-setting={setting}]").select_option(index=index)


def test_every_photograph_answers_as_the_network_did(page_at):
    page = page_at(PATH)
    widget = inside(page)
    stage, verdict = widget.locator(".cnn-photo-stage"), widget.locator(".cnn-verdict")
    for number, seen in enumerate(book.predictions().values()):
        choose(widget, "photograph", number)
        for index, square in enumerate((32, 64), start=1):  # 0 is no square
            choose(widget, "square", index)
            shares = seen.occlusion[square].probability
            stage.focus()
            for key, flat in (("Home", int(shares.argmin())), ("End", int(shares.argmax()))):
                page.keyboard.press(key)
                row, column = divmod(flat, shares.shape[1])
                assert verdict.inner_text() == said(seen, square, row, column)
                winner = seen.occlusion[square].winner[row][column]
                assert winner in widget.locator(".cnn-winner").inner_text()


def test_the_mouse_moves_the_square(page_at):
    page = page_at(PATH)
    widget = inside(page)
    choose(widget, "photograph", 2)
    stage = widget.locator(".cnn-photo-stage")
    stage.scroll_into_view_if_needed()
    box, seen = stage.bounding_box(), book.predictions()["camera"]
    for row, column in ((3, 4), (23, 17), (26, 1)):
        x, y = ((at + 0.5) / 28 * box["width"] for at in (column, row))
        page.mouse.move(box["x"] + x, box["y"] + y)
        assert widget.locator(".cnn-verdict").inner_text() == said(seen, 64, row, column)


def test_the_photograph_in_the_page_is_that_of_the_library(page_at):
    page = page_at(PATH)
    widget = inside(page)
    choose(widget, "photograph", 1)
    page.wait_for_function("document.querySelector('.cnn-photo').complete")
    pixels = page.evaluate(
        """() => {
            const canvas = Object.assign(document.createElement("canvas"),
                                         { width: 224, height: 224 });
            const context = canvas.getContext("2d");
            context.drawImage(document.querySelector(".cnn-photo"), 0, 0, 224, 224);
            return [...context.getImageData(0, 0, 224, 224).data];
        }"""
    )
    shown = torch.tensor(pixels).view(224, 224, 4)[:, :, :3].permute(2, 0, 1) / 255
    assert (shown - data.photograph("coffee")).abs().mean() < 0.04  # it is smaller in the page


def test_the_patches_are_cut_from_the_test_pictures(page_at, stored):
    page = page_at(PATH)
    widget = inside(page)
    pictures = data.load("fashion_6k", "test").images[:, 0].numpy()
    assert [layer["name"] for layer in stored["layers"]] == [f"conv{n}" for n in range(1, 6)]
    number = 2
    choose(widget, "layer", number)
    for unit in range(len(stored["layers"][number]["units"])):
        choose(widget, "unit", unit)
        first = stored["layers"][number]["units"][unit]["patches"][0]
        shown = widget.locator("canvas.cnn-patch").first.evaluate(
            """c => [...c.getContext("2d").getImageData(0, 0, c.width, c.height).data]
                .filter((_, i) => i % 4 === 0)"""
        )
        patch = np.array(shown, dtype=np.uint8).reshape(first["rows"], first["columns"])
        windows = np.lib.stride_tricks.sliding_window_view(pictures, patch.shape, axis=(1, 2))
        off = np.abs(windows[:, :, :, ::3, ::3].astype(int) - patch[::3, ::3].astype(int))
        assert off.max(axis=(3, 4)).min() <= 1  # somewhere in the test set
        assert widget.locator("canvas.cnn-projection").count() == 3


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_map_can_be_switched_off(page_at, dark):
    page = page_at(PATH, dark=dark)
    widget = inside(page)
    assert widget.locator(".cnn-heat").is_visible()
    widget.locator("input[data-setting=heat]").uncheck()
    assert not widget.locator(".cnn-heat").is_visible()
    choose(widget, "square", 0)
    assert not widget.locator(".cnn-square").is_visible()
    seen = book.predictions()["chelsea"]
    uncovered = f"{seen.target}: {100 * dict(seen.top)[seen.target]:.1f} %"
    assert widget.locator(".cnn-verdict").inner_text() == uncovered
