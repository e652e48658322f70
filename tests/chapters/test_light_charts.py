"""Charts get a palette, photographs and transparent sheets stay to the byte."""

import base64
import io

import nbformat
from PIL import Image

from tools import light_charts


def png(mode: str, colour) -> str:
    image = Image.new(mode, (60, 40), colour)
    for x in range(60):
        image.putpixel((x, x // 2), (x * 4, 10, 200) + ((255,) if mode == "RGBA" else ()))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode() + "\n"


def notebook(picture: str, tag: str) -> nbformat.NotebookNode:
    output = nbformat.v4.new_output("display_data", {"image/png": picture})
    cell = nbformat.v4.new_code_cell("chart()", outputs=[output], metadata={"tags": [tag]})
    return nbformat.v4.new_notebook(cells=[cell])


def stored(book: nbformat.NotebookNode) -> str:
    return light_charts.lighten(book).cells[0].outputs[0].data["image/png"]


def test_a_chart_gets_a_palette_once():
    small = stored(notebook(png("RGBA", (255, 255, 255, 255)), "dark-invert"))
    assert Image.open(io.BytesIO(base64.b64decode(small))).mode == "P"
    assert stored(notebook(small, "dark-invert")) == small


def test_photographs_and_transparent_sheets_stay():
    photograph = png("RGB", (255, 255, 255))
    assert stored(notebook(photograph, "transparent")) == photograph
    sheet = png("RGBA", (255, 255, 255, 0))
    assert stored(notebook(sheet, "dark-invert")) == sheet
