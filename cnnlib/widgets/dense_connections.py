"""Who reads whom in a DenseNet, how its maps grow, and what it costs, for options of one's own."""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
import traitlets
from torch import nn

from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models.densenet import (
    BOTTLENECK_WIDTH,
    MODELS,
    DenseBlock,
    DenseNet,
    connections,
)
from cnnlib.widgets.base import Widget

RANGES = {"layers": (1, 64), "growth_rate": (1, 48), "compression": (0.1, 1.0)}
IMAGES = {"imagenet": (3, 224, 224), "small": (3, 32, 32)}  # of the paper, by stem
CLASSES = {"imagenet": 1000, "small": 10}
BLOCKS = 4  # at most
SMALL = {  # the network that chapter 8 trains
    "blocks": [4, 4, 4],
    "growth_rate": 6,
    "bottleneck": False,
    "compression": 1.0,
    "stem": "small",
}


class Counts(NamedTuple):
    """What a network of the widget has and costs.

    Attributes:
        depth: layers with weights.
        connections: within the blocks, without those to what reads a whole block.
        maps: that the classifier gets.
        parameters: trainable numbers.
        macs: multiply-adds for one image.
    """

    depth: int
    connections: int
    maps: int
    parameters: int
    macs: int


class AddedBlock(NamedTuple):
    """A block, and what it would be if its layers added to their input.

    Attributes:
        maps: that leave the block.
        reads: maps that its last layer reads.
        parameters: trainable numbers.
    """

    maps: int
    reads: int
    parameters: int


class DenseConnections(Widget):
    """Arcs from every layer to all that read it, bars of how many maps each reads, and the bill.

    The reader takes a network of the paper or makes one: layers of each block, growth rate,
    bottlenecks, compression. A layer that is pointed at tells what it reads and who reads it, and
    what its block would cost if maps were added instead of put side by side.

    Args:
        network: name in ``cnnlib.list_models("densenet*")`` to begin with, or ``"small"`` for
            that of chapter 8.
        blocks: layers of each dense block, one to four of them; default: the network's.
        growth_rate: k.
        bottleneck: whether each 3 x 3 convolution has a 1 x 1 before it.
        compression: theta, share of the maps that a transition keeps.
        stem: ``"imagenet"`` for images of 224 pixels, ``"small"`` for 32.
        selected: block and layer that are shown first, counted from 1.
        labels: words to use instead of the English ones in `LABELS`.

    Raises:
        ValueError: an unknown network or stem, a number outside its range, a layer that is not
            there.
    """

    LABELS: ClassVar[dict[str, str]] = {
        "name": "Who reads whom in a DenseNet?",
        "network": "Network",
        "own": "own choice",
        "small": "small network of this chapter",
        "bottleneck": "A layer is",
        "without": "one 3 × 3 convolution",
        "with": "1 × 1, then 3 × 3 (-B)",
        "growth_rate": "Growth rate k",
        "compression": "Compression θ",
        "layers": "Layers of block {block}",
        "choices": "Make a network",
        "chart": "Layer to look at",
        "chart_title": (
            "Arcs: who reads whom. Bars: how many maps each layer reads (up to {most}; the lower "
            "part came into the block; grey: what leaves it). Below: number of the block."
        ),
        "block": "Block {block}",
        "at": "Block {block}, layer {layer} of {layers}",
        "reads": (
            "It reads {maps} maps: {first} that came into the block, and {k} from each layer "
            "before it ({before})."
        ),
        "writes": "It writes {k} new ones. They are read by {after} later layers and the {end}.",
        "transition": "transition",
        "classifier": "classifier",
        "strip": "What it reads, map by map",
        "side_by_side": "concatenated",
        "added": "added",
        "compared": "Block {block}",
        "maps": "maps that leave it",
        "last_reads": "maps that its last layer reads",
        "block_parameters": "parameters",
        "kind": "The network: {kind}",
        "depth": "layers with weights, L",
        "connections": "connections within the blocks",
        "end_maps": "maps for the classifier",
        "parameters": "parameters",
        "macs": "multiply-adds (MACs), {side} × {side} colour pixels",
        "spoken": "{kind}, {depth} layers: {parameters} parameters, {macs} multiply-adds.",
        "fallback": (
            "With a script, sliders change the network: open the page of the book, or run this "
            "notebook."
        ),
        "stage": "Stage",
        "layers_column": "Layers",
        "maps_in": "Maps in",
        "maps_out": "Maps out",
    }
    _source = Path(__file__)

    blocks = traitlets.List(traitlets.Int()).tag(sync=True)
    growth_rate = traitlets.Int(32).tag(sync=True)
    bottleneck = traitlets.Bool(True).tag(sync=True)
    compression = traitlets.Float(0.5).tag(sync=True)
    stem = traitlets.Unicode("imagenet").tag(sync=True)
    selected = traitlets.List(traitlets.Int(), help="[block, layer], from 1").tag(sync=True)
    presets = traitlets.List(read_only=True, help="[name, title, options] each").tag(sync=True)
    ranges = traitlets.Dict(RANGES, read_only=True).tag(sync=True)
    images = traitlets.Dict(IMAGES, read_only=True).tag(sync=True)
    classes = traitlets.Dict(CLASSES, read_only=True).tag(sync=True)
    bottleneck_width = traitlets.Int(BOTTLENECK_WIDTH, read_only=True).tag(sync=True)

    def __init__(
        self,
        network: str = "densenet121",
        *,
        blocks: Sequence[int] | None = None,
        growth_rate: int | None = None,
        bottleneck: bool | None = None,
        compression: float | None = None,
        stem: str | None = None,
        selected: Sequence[int] | None = None,
        labels: dict[str, str] | None = None,
    ) -> None:
        known = {name: options for name, _, options in presets()}
        if network not in known:
            raise ValueError(f"no network {network!r}; there are {', '.join(known)}")
        given: dict[str, Any] = {
            "blocks": None if blocks is None else list(blocks),
            "growth_rate": growth_rate,
            "bottleneck": bottleneck,
            "compression": compression,
            "stem": stem,
        }
        values = known[network] | {key: v for key, v in given.items() if v is not None}
        layers = values["blocks"]
        if selected is None:
            selected = [1, layers[0]] if layers else [1, 1]
        super().__init__(labels=labels, **values)
        self.selected = list(selected)

    @traitlets.default("presets")
    def _table(self) -> list[Any]:
        return presets()

    @traitlets.validate("blocks")
    def _check_blocks(self, proposal: Any) -> list[int]:
        blocks = proposal["value"]
        if not 1 <= len(blocks) <= BLOCKS:
            raise ValueError(f"blocks must list the layers of 1 to {BLOCKS} blocks, got {blocks}")
        for number, layers in enumerate(blocks, 1):
            _within(f"layers of block {number}", layers, *RANGES["layers"])
        return blocks

    @traitlets.validate("growth_rate", "compression")
    def _check_number(self, proposal: Any) -> Any:
        return _within(proposal["trait"].name, proposal["value"], *RANGES[proposal["trait"].name])

    @traitlets.validate("stem")
    def _check_stem(self, proposal: Any) -> str:
        if proposal["value"] not in IMAGES:
            raise ValueError(f"stem must be one of {', '.join(IMAGES)}; got {proposal['value']!r}")
        return proposal["value"]

    @traitlets.validate("selected")
    def _check_selected(self, proposal: Any) -> list[int]:
        value = proposal["value"]
        if value:  # empty only until the network is known
            there = len(value) == 2 and 1 <= value[0] <= len(self.blocks)
            if not (there and 1 <= value[1] <= self.blocks[value[0] - 1]):
                raise ValueError(
                    f"selected must be [block, layer] of blocks with {self.blocks} layers, "
                    f"counted from 1; got {value}"
                )
        return value

    def network(self) -> DenseNet:
        """The network that is shown, without numbers in its weights (device ``meta``)."""
        with torch.device("meta"):
            return DenseNet(
                CLASSES[self.stem],
                IMAGES[self.stem][0],
                blocks=self.blocks,
                growth_rate=self.growth_rate,
                bottleneck=self.bottleneck,
                compression=self.compression,
                stem=self.stem,
            )

    def counts(self) -> Counts:
        """What the network has and costs, counted on itself by ``cnnlib.inspection``."""
        model = self.network()
        inside = [c for c in connections(model) if c.target <= self.blocks[c.block - 1]]
        return Counts(
            depth=sum(isinstance(m, nn.Conv2d | nn.Linear) for m in model.modules()),
            connections=len(inside),
            maps=model.classifier.in_features,
            parameters=count_parameters(model),
            macs=count_macs(model, IMAGES[self.stem]),
        )

    def reads(self) -> list[list[int]]:
        """Maps that each layer reads, a list for each block; last, the maps that leave it."""
        model = self.network()
        found: list[list[int]] = [[] for _ in self.blocks]
        for c in connections(model):
            found[c.block - 1] += [0] * (c.target - len(found[c.block - 1]))
            found[c.block - 1][c.target - 1] = c.columns.stop
        return found

    def added(self, block: int) -> dict[str, AddedBlock]:
        """A block as it is, ``"dense"``, and with layers that add to their input, ``"added"``.

        Added, a layer reads the sum of all that went before, and must write as many maps as came
        in; it has the same convolutions otherwise.
        """
        layers, reads = self.blocks[block - 1], self.reads()[block - 1]
        first = reads[0]
        options = {"bottleneck": self.bottleneck, "dropout": 0.0, "memory_saving": False}
        with torch.device("meta"):
            dense = DenseBlock(layers, first, self.growth_rate, **options)
        width = BOTTLENECK_WIDTH * self.growth_rate if self.bottleneck else first
        unit = 2 * width + 9 * width * first  # BN and the 3 x 3 convolution
        if self.bottleneck:
            unit += 2 * first + first * width
        return {
            "dense": AddedBlock(reads[-1], reads[-2], count_parameters(dense)),
            "added": AddedBlock(first, first, layers * unit),
        }

    def kind(self) -> str:
        """DenseNet, DenseNet-B, -C or -BC, as in section 3 of the paper."""
        return kind(self.bottleneck, self.compression)

    def preset(self) -> str | None:
        """The network of the paper that the options are those of, or None."""
        now = {name: getattr(self, name) for name in _OPTIONS}
        return next((name for name, _, options in self.presets if options == now), None)

    def __repr__(self) -> str:
        return (
            f"DenseConnections({self.preset() or 'own'}: {self.kind()}, blocks of "
            f"{', '.join(map(str, self.blocks))} layers, k = {self.growth_rate}, "
            f"theta = {self.compression:g}, {self.stem} stem)"
        )

    def fallback_html(self) -> str:
        """The growth of the maps, block by block, and the bill of the network."""
        text, counts, side = self.labels, self.counts(), IMAGES[self.stem][1]
        cell = "padding: 0.2em 0.6em; text-align: {}"

        def row(name: str, *values: int) -> str:
            data = "".join(f'<td style="{cell.format("right")}">{v:,}</td>' for v in values)
            return (
                f'<tr><th scope="row" style="{cell.format("left")}">{escape(name)}</th>{data}</tr>'
            )

        heads = [text[key] for key in ("stage", "layers_column", "maps_in", "maps_out")]
        head = "".join(f'<th scope="col">{escape(word)}</th>' for word in heads)
        stages = "".join(
            row(text["block"].format(block=number), layers, reads[0], reads[-1])
            for number, (layers, reads) in enumerate(zip(self.blocks, self.reads(), strict=True), 1)
        )
        bill = "".join(
            row(name, value)
            for name, value in zip(
                [
                    text["depth"],
                    text["connections"],
                    text["end_maps"],
                    text["parameters"],
                    text["macs"].format(side=side),
                ],
                counts,
                strict=True,
            )
        )
        title = text["kind"].format(kind=self.kind())
        return (
            f'<div role="group" aria-label="{escape(text["name"])}">'
            f"<p>{escape(title)}, k = {self.growth_rate}, θ = {self.compression:g}. "
            f"{escape(text['fallback'])}</p>"
            f'<div style="overflow-x: auto"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{stages}</tbody></table><table><tbody>{bill}</tbody></table></div></div>"
        )


_OPTIONS = ("blocks", "growth_rate", "bottleneck", "compression", "stem")


def presets() -> list[list[Any]]:
    """Name, title and options of the registry's networks, and of the small one of chapter 8."""
    listed = []
    for name, (_, options) in MODELS.items():
        values = {"growth_rate": 32, "bottleneck": True, "compression": 0.5, "stem": "imagenet"}
        values |= {key: options[key] for key in _OPTIONS if key in options}
        values["blocks"] = list(options["blocks"])
        listed.append([name, _title(name, values), values])
    return [*listed, ["small", "", dict(SMALL)]]  # its title is a label


def _title(name: str, values: dict[str, Any]) -> str:
    """As the paper writes it: "DenseNet-121", "DenseNet-BC, L = 100, k = 12"."""
    if values["stem"] == "imagenet":
        depth, _, growth_rate = name.removeprefix("densenet").partition("_k")
        return f"DenseNet-{depth}" + (f", k = {growth_rate}" if growth_rate else "")
    depth = re.search(r"_l(\d+)_", name)
    assert depth, name
    return f"{kind(**values)}, L = {depth[1]}, k = {values['growth_rate']}"


def kind(bottleneck: bool, compression: float, **others: Any) -> str:
    """DenseNet, DenseNet-B, -C or -BC, as in section 3 of the paper."""
    letters = "B" * bottleneck + "C" * (compression < 1)
    return "-".join(["DenseNet", *[letters] * bool(letters)])


def _within(name: str, value: Any, low: float, high: float) -> Any:
    if not low <= value <= high:
        raise ValueError(f"{name} must be {low} to {high}, got {value}")
    return value
