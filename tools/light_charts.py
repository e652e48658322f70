"""Charts as small files: a palette of 128 colours is all that lines and letters need.

Only pictures of cells tagged ``dark-invert`` are touched: drawings on white. Photographs and sheets
of images stay as they are.
"""

from __future__ import annotations

import base64
import io

from nbformat import NotebookNode
from PIL import Image

from tools.notebooks import code_cells, tags

COLOURS = 128


def lighten(notebook: NotebookNode) -> NotebookNode:
    """Store every chart of a notebook with a palette; the notebook is changed and returned."""
    for cell in code_cells(notebook):
        if "dark-invert" in tags(cell):
            for output in cell.outputs:
                data = output.get("data", {})
                if "image/png" in data:
                    data["image/png"] = with_palette(data["image/png"])
    return notebook


def with_palette(picture: str) -> str:
    """A PNG in base64, with at most 128 colours; as it is if it has transparent places."""
    image = Image.open(io.BytesIO(base64.b64decode(picture)))
    opaque = image.convert("RGBA").getchannel("A").tobytes().strip(b"\xff") == b""
    if image.mode == "P" or not opaque:
        return picture
    small = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    stream = io.BytesIO()
    small.save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode() + "\n"
