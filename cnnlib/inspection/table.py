"""The table of a network's layers: as text, as HTML, as a pandas frame."""

import html
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import nn

from .watch import Call

if TYPE_CHECKING:
    import pandas

# int when height and width agree, else (height, width); None where there is no single answer
Extent = int | tuple[int, int] | None


@dataclass(frozen=True)
class Row:
    """One line of a summary: a layer, or a stage of several.

    Attributes:
        name: as in ``model.get_submodule(name)``.
        kind: class, or the classes of which a ``Sequential`` consists.
        output_shape: without the batch dimension; None if the layer was not run.
        parameters: trainable numbers; shared ones count where they appear first.
        macs: multiply-adds for one image, of convolutions and matrix products.
        receptive_field: side, in pixels of the input, of the square that a value depends on,
            padding included; None where it is not known, as after a transposed convolution.
        stride: pixels of the input between the fields of neighbouring values; None also where all
            values see the same field, as in fully connected layers.
        offset: pixel at which the field of the first value begins; negative inside padding.
        output_bytes: memory of the output for one image; None unless memory was asked for.
        kept_bytes: memory that was taken while the layer ran in training, and is needed until the
            backward pass, for one image; None unless memory was asked for.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...] | None
    parameters: int
    macs: int
    receptive_field: Extent = None
    stride: Extent = None
    offset: Extent = None
    output_bytes: int | None = None
    kept_bytes: int | None = None

    @classmethod
    def of(
        cls, name: str, layer: nn.Module, call: Call | None, parameters: int, kept_bytes: int | None
    ) -> "Row":
        """A layer and what was seen of it; ``call`` is None if it was not run."""
        if call is None:
            return cls(name, _kind(layer), None, parameters, 0, kept_bytes=kept_bytes)
        fields = call.fields
        moves = fields is not None and all(axis.stride for axis in fields)
        return cls(
            name,
            _kind(layer),
            call.shape,
            parameters,
            call.macs,
            receptive_field=_extent(axis.size for axis in fields) if fields else None,
            stride=_extent(axis.stride for axis in fields) if fields and moves else None,
            offset=_extent(axis.start for axis in fields) if fields else None,
            output_bytes=None if kept_bytes is None else math.prod(call.shape) * call.itemsize,
            kept_bytes=kept_bytes,
        )

    @property
    def output_numbers(self) -> int:
        """How many numbers the output has, for one image; 0 if the layer was not run."""
        return 0 if self.output_shape is None else math.prod(self.output_shape)


@dataclass(frozen=True, repr=False)
class Summary:
    """A table of a network's layers, for a prompt, ``print`` and a notebook.

    Attributes:
        model: class of the network.
        input_shape: of one image, (C, H, W).
        rows: in the order in which the network lists its layers.
        parameters: trainable numbers in all.
        macs: multiply-adds in all, for one image.
        kept_bytes: memory in all, for one image, that a forward pass in training leaves behind for
            the backward pass, without the image and the parameters themselves. It is measured on
            two images: what is kept once per batch, as the means of batch normalisation, counts
            half. None unless memory was asked for.
        output_shape: of what the network returns for one image, without the batch dimension; of
            several outputs, the first.
    """

    model: str
    input_shape: tuple[int, ...]
    rows: list[Row]
    parameters: int
    macs: int
    kept_bytes: int | None = None
    output_shape: tuple[int, ...] | None = None

    HEADINGS = ("Layer", "Kind", "Output", "Parameters", "MACs", "Receptive field", "Stride")
    MEMORY_HEADINGS = ("Output bytes", "Kept bytes")
    _TEXT_COLUMNS = 2  # aligned left, the others right

    @property
    def caption(self) -> str:
        return f"{self.model} on {_times(self.input_shape)}"

    @property
    def headings(self) -> tuple[str, ...]:
        """The names of the columns that are shown."""
        return self.HEADINGS + (self.MEMORY_HEADINGS if self.kept_bytes is not None else ())

    def to_dataframe(self) -> "pandas.DataFrame":
        """The rows as a pandas frame, one column per attribute of ``Row``, without the totals.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError(
                "to_dataframe needs pandas, which is not installed: pip install pandas"
            ) from error
        return pandas.DataFrame([vars(row) for row in self.rows]).set_index("name")

    def _cells(self) -> list[tuple[str, ...]]:
        cells = []
        for row in self.rows:
            line = (
                row.name,
                row.kind,
                _times(row.output_shape),
                f"{row.parameters:,}",
                f"{row.macs:,}",
                _times(row.receptive_field),
                _times(row.stride),
            )
            if self.kept_bytes is not None:
                line += (_count(row.output_bytes), _count(row.kept_bytes))
            cells.append(line)
        return cells

    def _total(self) -> tuple[str, ...]:
        line = ("Total", "", "", f"{self.parameters:,}", f"{self.macs:,}", "", "")
        return line if self.kept_bytes is None else (*line, "", _count(self.kept_bytes))

    def __str__(self) -> str:
        lines = [self.headings, *self._cells(), self._total()]
        return align(lines, text_columns=self._TEXT_COLUMNS, caption=self.caption)

    __repr__ = __str__  # so that a prompt shows the table too

    def _repr_html_(self) -> str:
        def tag(cell: str, place: int, line: str = "") -> str:
            side = "left" if place < self._TEXT_COLUMNS else "right"
            name, scope = ("th", f' scope="{line}"') if line else ("td", "")
            style = f"text-align: {side}; padding: 0.2em 0.6em"
            return f'<{name}{scope} style="{style}">{html.escape(cell)}</{name}>'

        def row(cells: tuple[str, ...]) -> str:
            first, *others = cells
            rest = "".join(tag(cell, place) for place, cell in enumerate(others, start=1))
            return f"<tr>{tag(first, 0, 'row')}{rest}</tr>"

        # No colours: text and rules take those of the page, be it light or dark. The frame scrolls
        # on a narrow screen, and can be focused so that the keyboard scrolls it too.
        head = "".join(tag(cell, place, "col") for place, cell in enumerate(self.headings))
        body = "\n".join(map(row, self._cells()))
        rule = "border-{}: 1px solid currentColor"
        return (
            f'<div role="group" tabindex="0" aria-label="{html.escape(self.caption)}" '
            'style="overflow-x: auto">\n'
            '<table class="cnnlib-summary" style="border-collapse: collapse; color: inherit">\n'
            '<caption style="caption-side: top; text-align: left; color: inherit">'
            f"{html.escape(self.caption)}</caption>\n"
            f'<thead style="{rule.format("bottom")}"><tr>{head}</tr></thead>\n'
            f"<tbody>\n{body}\n</tbody>\n"
            f'<tfoot style="{rule.format("top")}">{row(self._total())}</tfoot>\n'
            "</table>\n</div>"
        )


def align(
    lines: Sequence[Sequence[str]], *, text_columns: int, caption: str, foot: bool = True
) -> str:
    """Lines of cells as text in columns, with rules below the first and above the last.

    Args:
        lines: the headings, the rows and, if ``foot``, the totals.
        text_columns: so many columns from the left are aligned left, the others right.
        caption: goes above the table, if there is one.
        foot: the last line is set off from the rows.
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "  ".join(
            cell.ljust(width) if place < text_columns else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    rule = "-" * max(map(len, text))
    body = [*text[1:-1], rule, text[-1]] if foot else text[1:]
    return "\n".join([*([caption] if caption else []), rule, text[0], rule, *body])


def merged(name: str, rows: Sequence[Row]) -> Row:
    """Several layers as one row: their costs added up, the output that of the last that ran."""
    ran = [row for row in rows if row.output_shape is not None]
    last = ran[-1] if ran else rows[-1]
    kept = [row.kept_bytes for row in rows if row.kept_bytes is not None]
    return replace(
        last,
        name=name,
        kind=_runs(row.kind for row in rows) or "several",
        parameters=sum(row.parameters for row in rows),
        macs=sum(row.macs for row in rows),
        kept_bytes=sum(kept) if kept else None,
    )


def _kind(module: nn.Module) -> str:
    """Class of a module; for a short ``Sequential``, the classes in it."""
    if type(module) is not nn.Sequential:
        return type(module).__name__
    return _runs(map(_kind, module)) or "Sequential"


def _runs(kinds: Iterable[str]) -> str:
    """Kinds in their order, the same ones in a row counted; empty if more than four would show."""
    runs = [(kind, len(list(same))) for kind, same in itertools.groupby(kinds)]
    if len(runs) > 4:
        return ""
    return ", ".join(kind if n == 1 else f"{n} × {kind}" for kind, n in runs)


def _times(sizes: Extent | Sequence[int]) -> str:
    if sizes is None:
        return "–"
    return " × ".join(map(str, [sizes] if isinstance(sizes, int) else sizes))


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def _extent(axes: Iterable[int]) -> Extent:
    height, width = axes
    return height if height == width else (height, width)
