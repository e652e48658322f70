"""A convolution that the reader carries out step by step."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import traitlets

from cnnlib.widgets.base import Widget

Matrix = Sequence[Sequence[float]] | np.ndarray

# Dark on the left, bright on the right: a vertical edge between the third and the fourth column.
EDGE_IMAGE = [
    [1, 0, 1, 8, 9, 8],
    [0, 1, 1, 9, 8, 9],
    [1, 1, 0, 9, 9, 8],
    [0, 1, 1, 8, 9, 9],
    [1, 0, 1, 9, 8, 8],
    [1, 1, 0, 8, 9, 9],
]

PRESETS = {
    "vertical": [[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]],
    "horizontal": [[-1, -1, -1], [0, 0, 0], [1, 1, 1]],
    "blur": [[1 / 9, 1 / 9, 1 / 9], [1 / 9, 1 / 9, 1 / 9], [1 / 9, 1 / 9, 1 / 9]],
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
}

IMAGE_SIDES = (3, 10)
KERNEL_SIDES = (1, 5)


class ConvStepper(Widget):
    """A small image, a kernel and their convolution, one output value after the other.

    The reader edits every number, chooses stride and padding, and moves the window by buttons,
    arrow keys or a tap on an output cell; the sum of products behind the current value is written
    out. As in PyTorch the kernel is not flipped and a size that the stride does not divide evenly
    is rounded down; the cells that no window reaches are marked.

    Args:
        image: Rows of numbers, 3 to 10 rows and columns; a 6 × 6 vertical edge by default.
        kernel: Rows of numbers, 1 to 5 rows and columns, or a name of `PRESETS`.
        stride: Cells that the window moves per step, 1 to 3.
        padding: Rings of zeros around the image, 0 to 2.
        labels: Words to use instead of the English ones in `LABELS`.

    Raises:
        ValueError: A matrix is not rectangular or holds something else than finite numbers, a side
            is outside its range, or a preset is unknown.
    """

    LABELS: ClassVar[dict[str, str]] = {
        "name": "Convolution, step by step",
        "image": "Image",
        "padded_image": "Image with padding",
        "kernel": "Kernel",
        "output": "Output",
        "image_size": "Image size",
        "kernel_size": "Kernel size",
        "preset": "Kernel",
        "stride": "Stride",
        "padding": "Padding",
        "size": "{rows} × {columns}",
        "preset_own": "own numbers",
        "preset_vertical": "vertical edge",
        "preset_horizontal": "horizontal edge",
        "preset_blur": "blur",
        "preset_sharpen": "sharpen",
        "preset_identity": "identity",
        "cell": "row {row}, column {column}",
        "padding_cell": "row {row}, column {column}: padding, 0",
        "output_cell": "row {row}, column {column}: {value}",
        "output_cell_open": "row {row}, column {column}: not computed yet",
        "output_keys": "Arrow keys move the window, space plays or pauses.",
        "first": "First step",
        "previous": "Previous step",
        "play": "Play",
        "pause": "Pause",
        "next": "Next step",
        "last": "Last step",
        "step": "Step {step} of {steps}",
        "sum": "Row {row}, column {column} of the output:",
        "sum_region": "Sum of products",
        "formula": "Output size: ⌊({size} + 2·{padding} − {kernel}) / {stride}⌋ + 1 = {result}",
        "formula_rows": (
            "Output rows: ⌊({size} + 2·{padding} − {kernel}) / {stride}⌋ + 1 = {result}"
        ),
        "formula_columns": (
            "Output columns: ⌊({size} + 2·{padding} − {kernel}) / {stride}⌋ + 1 = {result}"
        ),
        "unvisited_rows": "Rows at the bottom that no window reaches (hatched): {rows}.",
        "unvisited_columns": "Columns at the right that no window reaches (hatched): {columns}.",
        "unvisited_why": "The division leaves a remainder, and PyTorch rounds down.",
        "skipped": (
            "The stride is larger than the kernel, so cells between two windows are skipped "
            "(hatched)."
        ),
        "impossible": (
            "A {kernel} kernel does not fit into a {image} image. "
            "Add padding or take a smaller kernel."
        ),
        "not_a_number": "“{text}” is not a number; the old value stays.",
    }
    _source = Path(__file__)

    image = traitlets.Any(help="rows of numbers").tag(sync=True)
    kernel = traitlets.Any(help="rows of numbers").tag(sync=True)
    stride = traitlets.Int(1).tag(sync=True)
    padding = traitlets.Int(0).tag(sync=True)
    step = traitlets.Int(0, help="index of the output value that is shown, row by row").tag(
        sync=True
    )
    presets = traitlets.Dict(PRESETS, read_only=True).tag(sync=True)

    def __init__(
        self,
        image: Matrix | None = None,
        kernel: Matrix | str | None = None,
        stride: int = 1,
        padding: int = 0,
        labels: dict[str, str] | None = None,
    ) -> None:
        if isinstance(kernel, str) and kernel not in PRESETS:
            raise ValueError(f"no kernel is called {kernel!r}; there are {', '.join(PRESETS)}")
        if kernel is None or isinstance(kernel, str):
            kernel = PRESETS[kernel or "vertical"]
        super().__init__(
            image=EDGE_IMAGE if image is None else image,
            kernel=kernel,
            stride=stride,
            padding=padding,
            labels=labels,
        )

    @traitlets.validate("image", "kernel")
    def _check_matrix(self, proposal: Any) -> list[list[float]]:
        name = proposal["trait"].name
        return _checked(proposal["value"], name, IMAGE_SIDES if name == "image" else KERNEL_SIDES)

    @traitlets.validate("stride", "padding", "step")
    def _check_number(self, proposal: Any) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        low, high = {"stride": (1, 3), "padding": (0, 2), "step": (0, float("inf"))}[name]
        if not low <= value <= high:
            expected = f"0 or more, got {value}" if name == "step" else f"{low} to {high}"
            raise ValueError(f"{name} must be {expected}, got {value}")
        return value

    def output(self) -> np.ndarray:
        """The convolution that the widget carries out, equal to torch's ``conv2d``.

        Returns:
            float64 array (rows, columns).

        Raises:
            ValueError: The kernel is larger than the padded image.
        """
        padded = np.pad(np.asarray(self.image, dtype=float), self.padding)
        kernel = np.asarray(self.kernel, dtype=float)
        if kernel.shape[0] > padded.shape[0] or kernel.shape[1] > padded.shape[1]:
            raise ValueError(self._impossible(padded.shape))
        windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape)
        return np.einsum("ijuv,uv->ij", windows[:: self.stride, :: self.stride], kernel)

    def _size(self, shape: tuple[int, ...]) -> str:
        return self.labels["size"].format(rows=shape[0], columns=shape[1])

    def _impossible(self, padded: tuple[int, ...]) -> str:
        kernel = self._size(np.shape(self.kernel))
        return self.labels["impossible"].format(kernel=kernel, image=self._size(padded))

    def __repr__(self) -> str:
        image, kernel = (" x ".join(map(str, np.shape(m))) for m in (self.image, self.kernel))
        return (
            f"ConvStepper(image {image}, kernel {kernel}, "
            f"stride {self.stride}, padding {self.padding})"
        )

    def fallback_html(self) -> str:
        """Image, kernel and the computed output as three small tables."""
        parts = [
            _table(f"{self.labels['image']}, {self._size(np.shape(self.image))}", self.image),
            _table(f"{self.labels['kernel']}, {self._size(np.shape(self.kernel))}", self.kernel),
        ]
        try:
            output = self.output()
        except ValueError as error:
            parts.append(f"<p>{escape(str(error))}</p>")
        else:
            parts.append(_table(f"{self.labels['output']}, {self._size(output.shape)}", output))
        settings = f"{self.labels['stride']} {self.stride}, {self.labels['padding']} {self.padding}"
        return (
            f'<div role="group" aria-label="{escape(self.labels["name"])}">'
            f"<p>{escape(settings)}</p>"
            f'<div style="display: flex; flex-wrap: wrap; gap: 1.5em">{"".join(parts)}</div></div>'
        )


def _checked(matrix: Any, name: str, sides: tuple[int, int]) -> list[list[float]]:
    matrix = matrix.tolist() if hasattr(matrix, "tolist") else matrix  # arrays and tensors
    if not isinstance(matrix, list | tuple) or not all(isinstance(r, list | tuple) for r in matrix):
        raise ValueError(f"{name} must be rows of numbers such as [[1, 2], [3, 4]], got {matrix!r}")
    lengths = [len(row) for row in matrix]
    if len(set(lengths)) > 1:
        raise ValueError(f"{name} must be rectangular, got rows of {lengths} numbers")
    low, high = sides
    shape = (len(lengths), lengths[0] if lengths else 0)
    if not all(low <= side <= high for side in shape):
        raise ValueError(
            f"{name} must have {low} to {high} rows and columns, got {shape[0]} × {shape[1]}"
        )
    for value in (value for row in matrix for value in row):
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise ValueError(f"{name} must hold numbers, got {value!r}")
        if not np.isfinite(value):
            raise ValueError(f"{name} must hold finite numbers, got {value!r}")
    return [
        [value.item() if isinstance(value, np.number) else value for value in r] for r in matrix
    ]


def _readable(value: float) -> str:
    """At most three decimals, no trailing zeros, a real minus sign: ``readable`` of common.js."""
    text = f"{value:.3f}".rstrip("0").rstrip(".")
    return ("0" if text == "-0" else text).replace("-", "−")


def _table(caption: str, rows: Any) -> str:
    cell = '<td style="text-align: right; padding: 0.2em 0.5em; border: 1px solid #888">{}</td>'
    body = "".join(
        f"<tr>{''.join(cell.format(_readable(value)) for value in row)}</tr>" for row in rows
    )
    return (
        '<table style="border-collapse: collapse">'
        f'<caption style="text-align: left">{escape(caption)}</caption>'
        f"<tbody>{body}</tbody></table>"
    )
