"""What the units of squeeze and excitation multiply by, class by class, from block to block."""

from collections.abc import Sequence
from html import escape
from itertools import combinations
from math import isfinite, sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import traitlets

from cnnlib.widgets import chart
from cnnlib.widgets.base import Widget

if TYPE_CHECKING:
    from torch import nn

    from cnnlib.data import ImageSet

ORDERS = ("number", "mean", "spread")
CLASSES = (2, 16)
SCALE = 1000  # what travels to the page are whole thousandths


class Pair(NamedTuple):
    """Two classes and how far their excitations are apart.

    Attributes:
        first: name of a class.
        second: name of another.
        distance: root of the mean squared difference over the channels.
    """

    first: str
    second: str
    distance: float


class ExcitationBrowser(Widget):
    """Mean excitations of each class in each block of a trained network (Hu et al. 2018, Fig. 6).

    The reader walks from block to block, switches classes on and off, sorts the channels, and reads
    off single channels with a cursor. Bars over the blocks show how far the classes are apart in
    each: the standard deviation of the class means, averaged over the channels. Two sentences name
    the classes that are most and least alike.

    Args:
        means: [seed][unit][class][channel], mean excitations from 0 to 1.
        classes: their names.
        shown: classes that are drawn at first, by name; the first four by default.
        unit: which is shown first, from 0; the last one by default.
        labels: Words to use instead of the English ones in `LABELS`.

    Raises:
        ValueError: Tables that are not equally large for all seeds, or not one row per class; a
            number outside 0 to 1; names that are missing, twice or unknown; no such unit.
    """

    LABELS: ClassVar[dict[str, str]] = {
        "name": "Excitations by class and depth",
        "blocks": "Block: how far the classes are apart",
        "block": "Block {number}",
        "seed": "Network",
        "seed_number": "seed {number}",
        "classes": "Classes",
        "every_class": "All",
        "no_class": "None",
        "order": "Channels",
        "order_number": "as numbered",
        "order_mean": "by mean",
        "order_spread": "by spread",
        "all_classes": "mean of all classes",
        "title": "Block {number}: {channels} channels",
        "x_number": "Channel",
        "x_mean": "Channel by mean, no.",
        "x_spread": "Channel by spread, no.",
        "excitation": "Mean excitation",
        "chart": "Mean excitation of each channel in block {number}, by class",
        "spread": "Spread of the classes: {spread}. That is {times} × the first block's.",
        "alike": "Most alike: {first} and {second}, {distance} apart.",
        "apart": "Furthest apart: {first} and {second}, {distance}.",
        "said": "Block {number}: spread {spread}. Most alike: {first} and {second}.",
        "fallback": "Spread of the classes, block by block, {seeds} networks",
        "fallback_block": "Block",
        "fallback_channels": "Channels",
        "fallback_spread": "Spread",
        **chart.LABELS,
    }
    _source = Path(__file__)

    means = traitlets.List(help="thousandths: [seed][unit][class][channel]").tag(sync=True)
    classes = traitlets.List(traitlets.Unicode()).tag(sync=True)
    shown = traitlets.List(traitlets.Int(), help="classes that are drawn").tag(sync=True)
    unit = traitlets.Int(0).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    order = traitlets.Unicode("mean", help="of the channels").tag(sync=True)

    def __init__(
        self,
        means: Sequence[Sequence[Sequence[Sequence[float]]]],
        classes: Sequence[str],
        *,
        shown: Sequence[str] | None = None,
        unit: int | None = None,
        labels: dict[str, str] | None = None,
    ) -> None:
        names = list(classes)
        if not CLASSES[0] <= len(names) <= CLASSES[1] or len(set(names)) < len(names):
            raise ValueError(
                f"classes must be {CLASSES[0]} to {CLASSES[1]} different names, got {names}"
            )
        tables = _checked(means, names)
        chosen = names[:4] if shown is None else list(shown)
        if unknown := [name for name in chosen if name not in names]:
            raise ValueError(f"shown has {unknown}, but the classes are {names}")
        super().__init__(
            means=tables,
            classes=names,
            shown=sorted({names.index(name) for name in chosen}),
            unit=len(tables[0]) - 1 if unit is None else unit,
            labels=labels,
        )

    @classmethod
    def of_runs(
        cls,
        runs: Any,
        classes: Sequence[str],
        *,
        arm: str = "with units",
        shown: Sequence[str] | None = None,
        labels: dict[str, str] | None = None,
    ) -> Self:
        """The widget of the stored experiment ``senet_gain``.

        Args:
            runs: What ``cnnlib.book.stored_runs("senet_gain")`` gives.
            classes: Their names, in the order of their labels.
            arm: A network with units.
            shown: As above.
            labels: As above.
        """
        means = [
            [[[value / SCALE for value in row] for row in table] for table in tables]
            for tables in runs[arm].values("means")
        ]
        return cls(means, classes, shown=shown, labels=labels)

    @classmethod
    def of_network(
        cls, model: "nn.Module", images: "ImageSet", *, labels: dict[str, str] | None = None
    ) -> Self:
        """The widget of a network at hand.

        Args:
            model: Any network with ``SqueezeExcitation`` units whose gates are from 0 to 1.
            images: Labelled images of all classes, as many as fit into memory at once.
            labels: As above.

        Raises:
            ValueError: The network has no such units, or there is no image of a class.
        """
        from cnnlib.models import senet

        found = senet.excitations(model, images.images)
        if not found:
            raise ValueError(f"{type(model).__name__} has no unit of squeeze and excitation")
        groups = [images.labels == label for label in range(len(images.classes))]
        for name, group in zip(images.classes, groups, strict=True):
            if not group.any():
                raise ValueError(f"there is no image of the class {name!r}")
        means = [[values[group].mean(0).tolist() for group in groups] for values in found.values()]
        return cls([means], images.classes, labels=labels)

    @traitlets.validate("unit", "seed")
    def _check_place(self, proposal: Any) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        count = len(self.means) if name == "seed" else len(self.means[0])
        if not 0 <= value < count:
            raise ValueError(f"{name} must be 0 to {count - 1}, got {value}")
        return value

    @traitlets.validate("shown")
    def _check_shown(self, proposal: Any) -> list[int]:
        shown = proposal["value"]
        if any(not 0 <= place < len(self.classes) for place in shown):
            raise ValueError(f"shown must name classes 0 to {len(self.classes) - 1}, got {shown}")
        return shown

    @traitlets.validate("order")
    def _check_order(self, proposal: Any) -> str:
        if proposal["value"] not in ORDERS:
            raise ValueError(f"order must be one of {', '.join(ORDERS)}; got {proposal['value']!r}")
        return proposal["value"]

    def spread(self, unit: int, seed: int = 0) -> float:
        """Standard deviation of the class means, averaged over the channels of a unit."""
        table = self.means[seed][unit]
        return mean(stdev(column) for column in zip(*table, strict=True)) / SCALE

    def pairs(self, unit: int, seed: int = 0) -> list[Pair]:
        """All pairs of classes, most alike first."""
        table = self.means[seed][unit]
        found = [
            Pair(self.classes[i], self.classes[k], _distance(table[i], table[k]) / SCALE)
            for i, k in combinations(range(len(table)), 2)
        ]
        return sorted(found, key=lambda pair: pair.distance)

    def __repr__(self) -> str:
        channels = ", ".join(str(len(table[0])) for table in self.means[0])
        return (
            f"ExcitationBrowser({len(self.means[0])} units of {channels} channels, "
            f"{len(self.classes)} classes, {len(self.means)} seeds)"
        )

    def fallback_html(self) -> str:
        """The spread of every unit over the seeds, and the curves of the unit that is shown."""
        text = self.labels
        cell = '<td style="padding: 0.1em 0.7em; text-align: right">{}</td>'
        body = ""
        for unit, table in enumerate(self.means[0]):
            spreads = [self.spread(unit, seed) for seed in range(len(self.means))]
            cells = (unit + 1, len(table[0]), chart.summary(spreads, "number"))
            body += f"<tr>{''.join(cell.format(value) for value in cells)}</tr>"
        names = ("fallback_block", "fallback_channels", "fallback_spread")
        head = "".join(f'<th scope="col">{escape(text[name])}</th>' for name in names)
        caption = text["fallback"].format(seeds=len(self.means))
        table = self.means[self.seed][self.unit]
        places = range(1, len(table[0]) + 1)
        lines = [
            chart.Line(self.classes[i], places, [[v / SCALE for v in table[i]]], i, i // 8)
            for i in self.shown
        ]
        title = text["chart"].format(number=self.unit + 1)
        picture = chart.picture(lines, "number", title) if lines else ""
        key = ", ".join(line.name for line in lines)
        return (
            f'<div role="group" aria-label="{escape(text["name"])}">'
            f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>"
            f"<p>{escape(title)}: {escape(key)}</p>{picture}</div>"
        )


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    return sqrt(mean((a - b) ** 2 for a, b in zip(one, other, strict=True)))


def _checked(means: Any, names: list[str]) -> list[list[list[list[int]]]]:
    """The tables in thousandths, or a ValueError that says what is wrong with them."""
    tables = [[[list(row) for row in table] for table in seed] for seed in means]
    shapes = [[(len(t), {len(row) for row in t}) for t in seed] for seed in tables]
    if not shapes or not shapes[0] or any(shape != shapes[0] for shape in shapes):
        raise ValueError("means must hold tables of the same sizes for every seed, at least one")
    for rows, lengths in shapes[0]:
        if rows != len(names):
            raise ValueError(f"a unit must have {len(names)} rows, one per class; got {rows}")
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError(
                f"all classes must have as many channels, got {sorted(lengths)} in one unit"
            )
    for value in (v for seed in tables for table in seed for row in table for v in row):
        if not isfinite(value) or not 0 <= value <= 1:
            raise ValueError(f"an excitation must be from 0 to 1, got {value}")
    return [
        [[[round(SCALE * value) for value in row] for row in table] for table in seed]
        for seed in tables
    ]
