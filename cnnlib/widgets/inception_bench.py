"""What an Inception module costs, naive and with reductions, at widths that the reader chooses."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
import traitlets

from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models.googlenet import TABLE_1, Inception, NaiveInception, Widths
from cnnlib.widgets.base import Widget

BRANCHES = {"1x1": "conv1x1", "3x3": "conv3x3", "5x5": "conv5x5", "pool": "pool"}
QUANTITIES = ("macs", "parameters", "maps")
WIDE_KERNELS = (3, 5, 7)
RANGES = {"in_channels": (8, 1024), "size": (7, 56), "width": (8, 512)}
SIDES = {"3": 28, "4": 14, "5": 7}  # height and width of the maps of a stage, for 224 x 224 images


class Cost(NamedTuple):
    """What a branch costs for one image.

    Attributes:
        macs: multiply-adds.
        parameters: weights and biases.
        maps: maps that go out.
    """

    macs: int
    parameters: int
    maps: int


class InceptionBench(Widget):
    """The bill of an Inception module: four branches, naive and with reductions, side by side.

    The reader moves sliders for what comes in (number and size of the maps) and for the six widths
    of table 1, or takes one of the paper's nine modules. Bars and numbers show multiply-adds,
    parameters or outgoing maps of every branch, and who pays most.

    Args:
        module: a row of table 1 to begin with, ``"3a"`` to ``"5b"``.
        in_channels: maps that come in; by default those that the module gets in GoogLeNet.
        size: their height and width; by default that in GoogLeNet.
        widths: the six widths of table 1, in the order of its columns; default: the module's.
        wide_kernel: side of the wide window: 5 as in the paper, 3 as in torchvision, or 7.
        quantity: what the bars show first: ``"macs"``, ``"parameters"`` or ``"maps"``.
        labels: words to use instead of the English ones in `LABELS`.

    Raises:
        ValueError: an unknown module or quantity, not six widths, or a number outside its range.
    """

    LABELS: ClassVar[dict[str, str]] = {
        "name": "What does an Inception module cost?",
        "module": "Module",
        "preset_own": "own widths",
        "preset_of_table": "{name} of GoogLeNet",
        "quantity": "Bars show",
        "macs": "multiply-adds (MACs)",
        "parameters": "parameters",
        "maps": "maps that go out",
        "wide_kernel": "Wide window",
        "window": "{side} × {side}",
        "coming_in": "What comes in",
        "in_channels": "Maps",
        "size": "Height and width",
        "widths": "Widths of the branches",
        "n1x1": "1 × 1",
        "n3x3_reduce": "3 × 3, reduction",
        "n3x3": "3 × 3",
        "n5x5_reduce": "{side} × {side}, reduction",
        "n5x5": "{side} × {side}",
        "pool_proj": "pooling, projection",
        "naive": "Naive module",
        "reduced": "Module with reductions",
        "branch_pool": "pooling",
        "total": "Total",
        "reduction_part": "part of the 1 × 1 reductions and the projection (hatched)",
        "most": "Pays most: {branch}, {percent} %",
        "free": "Nobody pays.",
        "number": "Number",
        "ratio": "Naive / reduced",
        "times": "{ratio} ×",
        "millions": "{number}\u00a0M",
        "spoken": "{quantity}: naive {naive}, with reductions {reduced}, ratio {ratio}.",
        "warning": "The reductions cost more than they save here: the naive module is cheaper.",
        "fallback": (
            "With a script, sliders change every number: open the page of the book, or run this "
            "notebook."
        ),
        "about": "{channels} maps of {size} × {size} come in; {module}.",
    }
    _source = Path(__file__)

    in_channels = traitlets.Int(192).tag(sync=True)
    size = traitlets.Int(28, help="height and width of the maps").tag(sync=True)
    widths = traitlets.List(traitlets.Int(), help="the six columns of table 1").tag(sync=True)
    wide_kernel = traitlets.Int(5).tag(sync=True)
    quantity = traitlets.Unicode("macs").tag(sync=True)
    presets = traitlets.Dict(read_only=True).tag(sync=True)
    ranges = traitlets.Dict(RANGES, read_only=True).tag(sync=True)

    def __init__(
        self,
        module: str = "3a",
        *,
        in_channels: int | None = None,
        size: int | None = None,
        widths: Sequence[int] | None = None,
        wide_kernel: int = 5,
        quantity: str = "macs",
        labels: dict[str, str] | None = None,
    ) -> None:
        known = _modules()
        if module not in known:
            raise ValueError(f"no module {module!r} in table 1; there are {', '.join(known)}")
        preset = known[module]
        super().__init__(
            in_channels=preset["in_channels"] if in_channels is None else in_channels,
            size=preset["size"] if size is None else size,
            widths=list(preset["widths"] if widths is None else widths),
            wide_kernel=wide_kernel,
            quantity=quantity,
            labels=labels,
        )

    @traitlets.default("presets")
    def _table(self) -> dict[str, Any]:
        return _modules()

    @traitlets.validate("in_channels", "size")
    def _check_number(self, proposal: Any) -> int:
        return _within(proposal["trait"].name, proposal["value"], *RANGES[proposal["trait"].name])

    @traitlets.validate("widths")
    def _check_widths(self, proposal: Any) -> list[int]:
        widths = proposal["value"]
        names = Widths._fields
        if len(widths) != len(names):
            raise ValueError(f"widths must be six numbers ({', '.join(names)}), got {widths}")
        for name, width in zip(names, widths, strict=True):
            _within(name, width, *RANGES["width"])
        return widths

    @traitlets.validate("wide_kernel")
    def _check_kernel(self, proposal: Any) -> int:
        if proposal["value"] not in WIDE_KERNELS:
            raise ValueError(f"wide_kernel must be one of {WIDE_KERNELS}, got {proposal['value']}")
        return proposal["value"]

    @traitlets.validate("quantity")
    def _check_quantity(self, proposal: Any) -> str:
        if proposal["value"] not in QUANTITIES:
            raise ValueError(
                f"quantity must be one of {', '.join(QUANTITIES)}; got {proposal['value']!r}"
            )
        return proposal["value"]

    def costs(self) -> dict[str, dict[str, Cost]]:
        """What every branch costs, counted on the modules themselves by ``cnnlib.inspection``.

        Returns:
            For ``"naive"`` and ``"reduced"`` the branches ``"1x1"``, ``"3x3"``, ``"5x5"`` (that of
            the wide window) and ``"pool"``.
        """
        kinds = {"naive": NaiveInception, "reduced": Inception}
        shape = (self.in_channels, self.size, self.size)
        widths = Widths(*self.widths)
        table: dict[str, dict[str, Cost]] = {}
        for form, kind in kinds.items():
            with torch.device("meta"):
                block = kind(self.in_channels, widths, wide_kernel=self.wide_kernel)
            maps = [widths.n1x1, widths.n3x3, widths.n5x5, widths.pool_proj]
            if form == "naive":
                maps[-1] = self.in_channels  # pooling passes on what came in
            table[form] = {
                branch: Cost(count_macs(layer, shape), count_parameters(layer), number)
                for branch, layer, number in zip(BRANCHES, block.children(), maps, strict=True)
            }
        return table

    def preset(self) -> str | None:
        """The module of table 1 that the numbers are those of, or None."""
        now = {"in_channels": self.in_channels, "size": self.size, "widths": list(self.widths)}
        return next((name for name, preset in self.presets.items() if preset == now), None)

    def __repr__(self) -> str:
        return (
            f"InceptionBench({self.preset() or 'own widths'}: {self.in_channels} maps of "
            f"{self.size} x {self.size}, widths {', '.join(map(str, self.widths))}, "
            f"wide window {self.wide_kernel})"
        )

    def fallback_html(self) -> str:
        """The whole bill as a table: both forms, all branches, all three quantities."""
        wide = self.labels["window"].format(side=self.wide_kernel)
        names = [self.labels["n1x1"], self.labels["n3x3"], wide, self.labels["branch_pool"]]
        cell = "padding: 0.2em 0.6em; text-align: {}"
        heads = [self.labels[key] for key in ("module", *QUANTITIES)]
        rows, all_together = [], self.labels["total"]
        for form, branches in self.costs().items():
            title = self.labels[form]
            for name, cost in zip(names, branches.values(), strict=True):
                rows.append((f"{title}, {name}", cost))
            total = Cost(*(sum(column) for column in zip(*branches.values(), strict=True)))
            rows.append((f"{title}, {all_together}", total))
        body = "".join(
            f'<tr><th scope="row" style="{cell.format("left")}">{escape(name)}</th>'
            + "".join(f'<td style="{cell.format("right")}">{value:,}</td>' for value in cost)
            + "</tr>"
            for name, cost in rows
        )
        head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
        module = self.preset()
        told = (
            self.labels["preset_of_table"].format(name=module)
            if module
            else self.labels["preset_own"]
        )
        about = self.labels["about"].format(channels=self.in_channels, size=self.size, module=told)
        more = self.labels["fallback"]
        return (
            f'<div role="group" aria-label="{escape(self.labels["name"])}">'
            f"<p>{escape(about)} {escape(more)}</p>"
            f'<div style="overflow-x: auto"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div></div>"
        )


def _modules() -> dict[str, Any]:
    """The nine rows of table 1 with what comes into them in GoogLeNet."""
    rows, channels = {}, 192
    for name, widths in TABLE_1.items():
        rows[name] = {"in_channels": channels, "size": SIDES[name[0]], "widths": list(widths)}
        channels = widths.n1x1 + widths.n3x3 + widths.n5x5 + widths.pool_proj
    return rows


def _within(name: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise ValueError(f"{name} must be {low} to {high}, got {value}")
    return value
