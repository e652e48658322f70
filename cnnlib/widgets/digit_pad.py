"""A pad to draw a digit on; the network that the chapter trained reads it in the page."""

import base64
import struct
import zlib
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import traitlets
from torch import nn

from cnnlib.program import Program, to_program
from cnnlib.widgets.base import Widget


class DigitPad(Widget):
    """Draw a digit by mouse, finger, pen or keyboard and watch a network read it.

    The drawing is prepared as MNIST's digits were (cropped, fitted into 20 × 20 pixels, centred by
    its mass in 28 × 28, padded), run through the network by plain JavaScript, and shown as ten
    scores and as the maps of every stage.

    Args:
        model: The trained network (see `cnnlib.program.to_program` for what it may consist of), or
            a `Program` made from one.
        low: Value of the background that the network was trained with.
        high: Value of full ink.
        size: Side of the network's input in pixels, at least 28.
        examples: uint8 images (N, 28, 28), ink 255, that the reader may choose instead of drawing.
        labels: Words to use instead of the English ones in `LABELS`.

    Raises:
        TypeError: The model contains a layer that cannot be exported.
        ValueError: The size is too small, an example is not a 28 × 28 image of bytes, or the
            program is for images of another shape.
    """

    LABELS: ClassVar[dict[str, str]] = {
        "name": "Draw a digit",
        "pad": "Drawing pad",
        "pad_hint": "Draw one digit here",
        "pad_help": (
            "Draw with mouse, finger or pen. By keyboard: arrow keys move, space sets the pen down "
            "or lifts it, Backspace undoes."
        ),
        "pen_down": "Pen down",
        "pen_up": "Pen up",
        "position": "row {row}, column {column}",
        "clear": "Clear",
        "undo": "Undo",
        "examples": "Or take a digit from the test set:",
        "example": "Example {number}",
        "nothing": "Nothing drawn yet",
        "reads": "Reads it as {digit}",
        "unsure": "Not sure: {digit} or {second}",
        "spoken": "{reads}, {percent} %",
        "scores": "Probability of each digit",
        "percent": "{percent} %",
        "inside": "Inside the network",
        "stages": "Stage to show",
        "stage_input": "Input",
        "stage_output": "Scores",
        "about_input": (
            "What the network gets: the drawing cropped, fitted into 20 × 20 pixels, centred by "
            "its mass and padded."
        ),
        "about_maps": "{count} maps of {rows} × {columns} values.",
        "about_units": "{count} units, one square each.",
        "about_codes": (
            "{count} units, laid out like the 7 × 12 bitmaps that they are compared with."
        ),
        "about_scores": "The raw scores; the largest wins.",
        "scale": "from {low} (faint) to {high} (strong)",
        "map": "{stage}, map {number}: {low} to {high}, strongest in row {row}, column {column}",
        "units": "{stage}: {count} units, {low} to {high}, strongest is unit {number}",
        "picture": "{stage}: {rows} × {columns} pixels, {low} to {high}",
        "score": "{digit}: {value}",
        "fallback": (
            "Here readers draw a digit, and the trained network reads it in the page and shows its "
            "maps. The pad needs JavaScript: open the page of the book, or run this notebook."
        ),
    }
    _source = Path(__file__)

    ops = traitlets.List(help="the program, see cnnlib.program").tag(sync=True)
    weights = traitlets.Bytes(help="little-endian float16").tag(sync=True)
    low = traitlets.Float().tag(sync=True)
    high = traitlets.Float().tag(sync=True)
    size = traitlets.Int().tag(sync=True)
    examples = traitlets.Bytes(help="28 x 28 bytes each").tag(sync=True)
    input = traitlets.List(
        traitlets.Float(), help="set it to classify: 784 bytes, or size * size input values"
    ).tag(sync=True)
    prediction = traitlets.Int(-1, help="the class that is read; -1: nothing").tag(sync=True)
    scores = traitlets.List(traitlets.Float(), help="of the network, per class").tag(sync=True)

    def __init__(
        self,
        model: nn.Module | Program,
        low: float = -0.1,
        high: float = 1.175,
        size: int = 32,
        examples: Any = None,
        labels: dict[str, str] | None = None,
    ) -> None:
        if size < 28:
            raise ValueError(f"size must be at least 28, the side of an MNIST digit; got {size}")
        if isinstance(model, Program):
            if model.input_shape != (1, size, size):
                raise ValueError(
                    f"the program is for images of shape {model.input_shape}, "
                    f"the pad makes {(1, size, size)}"
                )
            program, low, high = model, model.low, model.high
        else:
            program = to_program(model, input_shape=(1, size, size), low=low, high=high)
        self._model_name_shown = type(model).__name__
        super().__init__(
            ops=program.ops,
            weights=program.weights,
            low=low,
            high=high,
            size=size,
            examples=_example_bytes(examples),
            labels=labels,
        )

    @traitlets.validate("input")
    def _check_input(self, proposal: Any) -> list[float]:
        values = proposal["value"]
        if len(values) not in (0, 784, self.size**2):
            raise ValueError(
                f"input must hold 784 values (0 to 255) or {self.size**2} (the network's input), "
                f"got {len(values)}"
            )
        return values

    def __repr__(self) -> str:
        return f"DigitPad({self._model_name_shown})"

    def fallback_html(self) -> str:
        """A sentence, and the examples as pictures."""
        title, text = escape(self.labels["name"]), escape(self.labels["fallback"])
        pictures = "".join(
            f'<img src="{_png_url(self.examples[at : at + 784])}" width="56" height="56" '
            f'style="image-rendering: pixelated" '
            f'alt="{escape(self.labels["example"].format(number=at // 784 + 1))}"> '
            for at in range(0, len(self.examples), 784)
        )
        return (
            f'<div role="group" aria-label="{title}"><p><strong>{title}.</strong> {text}</p>'
            f"{f'<p>{pictures}</p>' if pictures else ''}</div>"
        )


def _example_bytes(examples: Any) -> bytes:
    """Images, arrays or tensors of shape (N, 28, 28) or (N, 1, 28, 28), as N x 784 bytes."""
    if examples is None or (isinstance(examples, Sequence) and not examples):
        return b""
    images = np.stack([np.asarray(image) for image in examples])
    if (
        images.dtype != np.uint8
        or images.size != len(images) * 784
        or images.shape[-2:] != (28, 28)
    ):
        raise ValueError(
            f"examples must be uint8 images of shape (N, 28, 28), got {images.dtype} {images.shape}"
        )
    return images.tobytes()


def _png_url(pixels: bytes) -> str:
    """A 28 x 28 grey picture as a data URL.

    Written uncompressed, because two versions of zlib compress the same picture to different bytes
    and stored outputs are compared.
    """
    lines = b"".join(b"\0" + pixels[at : at + 28] for at in range(0, 784, 28))
    stored = b"\1" + struct.pack("<HH", len(lines), 0xFFFF - len(lines)) + lines
    data = b"\x78\x01" + stored + struct.pack(">I", zlib.adler32(lines))
    header = struct.pack(">IIBBBBB", 28, 28, 8, 0, 0, 0, 0)  # 8 bits of grey
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return "data:image/png;base64," + base64.b64encode(png).decode()
