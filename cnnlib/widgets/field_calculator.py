"""A stack of layers that the reader builds: what one unit sees, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
import traitlets
from torch import nn

from cnnlib.inspection.fields import last_two
from cnnlib.models.alexnet import AlexNet
from cnnlib.models.vgg import VGG
from cnnlib.widgets.base import Widget

Layer = Mapping[str, Any]

LIMITS = {  # smallest and largest value of each number of a layer
    "kernel": (1, 15),
    "stride": (1, 4),
    "dilation": (1, 8),
    "padding": (0, 56),
    "maps": (1, 4096),
    "groups": (1, 4096),
}
MOST_LAYERS = 24
SIDES = (8, 512)
CHANNELS = (1, 1024)


def convolution(kernel: int, *, stride: int = 1, dilation: int = 1, maps: int = 64) -> Layer:
    """A convolution padded by half of what its kernel spans, so that stride 1 keeps the size."""
    padding = dilation * (kernel - 1) // 2
    return {
        "kind": "conv", "kernel": kernel, "stride": stride, "padding": padding,
        "dilation": dilation, "maps": maps, "groups": 1,
    }  # fmt: skip


def layers_of(model: nn.Module) -> list[dict[str, Any]]:
    """Convolutions and poolings of a network that is a chain, in the order of its modules.

    Raises:
        ValueError: a layer that is not square.
    """
    layers = []
    for name, module in model.named_modules():
        if not isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            continue
        conv = isinstance(module, nn.Conv2d)
        layer: dict[str, Any] = {"kind": "conv" if conv else "pool"}
        for ours, theirs in (
            ("kernel", "kernel_size"), ("stride", "stride"),
            ("padding", "padding"), ("dilation", "dilation"),
        ):  # fmt: skip
            sizes = last_two(getattr(module, theirs, 1))
            if sizes[0] != sizes[1]:
                raise ValueError(f"{name}: {theirs} must be the same in both directions: {sizes}")
            layer[ours] = sizes[0]
        layer["maps"] = module.out_channels if conv else None
        layers.append(layer | {"groups": module.groups if conv else 1})
    return layers


@cache
def presets() -> dict[str, dict[str, Any]]:
    """Name -> layers, channels of the input and side of the image; the networks from their code."""
    with torch.device("meta"):
        networks = {"vgg16": VGG(config="D"), "alexnet": AlexNet()}
    stacks: dict[str, list[Layer]] = {
        "three": [convolution(3) for _ in range(3)],
        "seven": [convolution(7)],
        "dilated": [convolution(3, dilation=step) for step in (1, 2, 4)],
    }
    return {
        **{name: {"layers": s, "channels": 64, "side": 56} for name, s in stacks.items()},
        **{
            name: {
                "layers": layers_of(model),
                "channels": model.in_channels,
                "side": model.image_size,
            }
            for name, model in networks.items()
        },
    }


class Costs(NamedTuple):
    """What a layer makes and costs, for one image.

    Attributes:
        side: of the maps that leave it; below 1 where the layer does not fit.
        maps: number of these maps.
        field: side of the square of pixels that one unit sees.
        jump: pixels between the fields of neighbouring units.
        start: pixel at which the field of the first unit begins; negative inside padding.
        weights: without biases.
        macs: multiply-adds.
    """

    side: int
    maps: int
    field: int
    jump: int
    start: int
    weights: int
    macs: int


class FieldCalculator(Widget):
    """A stack of convolutions and poolings, what one of its units sees, and what it costs.

    The reader adds, changes and removes layers, or starts from a preset, and steps through the
    stack: the square of pixels that one unit of the chosen layer sees grows, shaded by the number
    of ways in which each pixel reaches the unit. Beside it stands the single convolution that sees
    as much.

    Args:
        stack: a name of `presets`, or layers as `layers_of` gives them.
        channels: of the input, for layers of your own.
        side: of the square image, in pixels, for layers of your own.
        labels: words to use instead of the English ones in `LABELS`.

    Raises:
        ValueError: an unknown preset, no layer or too many, a number outside its range.
    """

    LABELS: ClassVar[dict[str, str]] = {
        "name": "Receptive field calculator",
        "preset": "Start from",
        "preset_three": "three 3×3",
        "preset_seven": "one 7×7",
        "preset_dilated": "three 3×3, dilated",
        "preset_vgg16": "VGG-16",
        "preset_alexnet": "AlexNet",
        "preset_own": "own stack",
        "channels": "Maps everywhere",
        "channels_own": "as in the network",
        "side": "Image",
        "square": "{side}×{side}",
        "stack": "Layers",
        "layer": "Layer",
        "conv": "{kernel}×{kernel}",
        "pool": "pool {kernel}×{kernel}",
        "stride_mark": "stride {stride}",
        "dilation_mark": "dilation {dilation}",
        "padding_mark": "no padding",
        "groups_mark": "{groups} groups",
        "output": "Output",
        "shape": "{maps}@{side}×{side}",
        "field": "Sees",
        "weights": "Weights",
        "macs": "MACs",
        "total": "All",
        "first": "First layer",
        "previous": "Previous layer",
        "next": "Next layer",
        "last": "Last layer",
        "step": "Layer {number} of {layers}",
        "edit": "Layer {number}",
        "kind": "Kind",
        "kind_conv": "convolution",
        "kind_pool": "pooling",
        "kernel": "Kernel",
        "stride": "Stride",
        "dilation": "Dilation",
        "padding": "Padding",
        "padding_none": "none",
        "padding_half": "half the kernel",
        "padding_other": "{padding}",
        "add": "Add a layer after it",
        "remove": "Remove it",
        "sees": "One unit sees {field}×{field} pixels. From one unit to the next: {jump}.",
        "holes": "Only {touched} of these {pixels} pixels count at all: dilation leaves holes.",
        "half": "Half of all ways begin in the middle {inner}×{inner} pixels.",
        "picture": (
            "The {field} by {field} pixels that one unit of layer {number} sees, darker where more "
            "ways lead to it: {middle} from the middle pixel, {corner} from a corner."
        ),
        "beside": "Beside one kernel that sees as much",
        "your_stack": "this stack",
        "single": "one {field}×{field}, stride {jump}",
        "nonlinearities": "ReLUs",
        "share": "The stack needs {weights} times the weights and {macs} times the MACs of that.",
        "formula": "For C maps in and C maps out: {stack}·C² weights against {single}·C².",
        "too_small": "Layer {number} does not fit: its maps are only {side}×{side}.",
        "note": "Biases, one per map, are left out, as in the paper.",
        "help": "Arrow keys move through the layers.",
    }
    _source = Path(__file__)

    stack = traitlets.Any(help="layers, first to last").tag(sync=True)
    channels = traitlets.Int(64).tag(sync=True)
    side = traitlets.Int(56).tag(sync=True)
    chosen = traitlets.Int(0, help="index of the layer whose unit is shown").tag(sync=True)
    presets = traitlets.Dict(read_only=True).tag(sync=True)

    def __init__(
        self,
        stack: str | Sequence[Layer] = "three",
        *,
        channels: int = 64,
        side: int = 56,
        labels: dict[str, str] | None = None,
    ) -> None:
        known = presets()
        if isinstance(stack, str):
            if stack not in known:
                raise ValueError(f"no stack is called {stack!r}; there are {', '.join(known)}")
            preset = known[stack]
            stack, channels, side = preset["layers"], preset["channels"], preset["side"]
        super().__init__(stack=stack, channels=channels, side=side, labels=labels)
        self.chosen = len(self.stack) - 1
        self.set_trait("presets", known)

    @traitlets.validate("stack")
    def _check_stack(self, proposal: Any) -> list[dict[str, Any]]:
        stack = proposal["value"]
        if not isinstance(stack, list | tuple) or not 1 <= len(stack) <= MOST_LAYERS:
            raise ValueError(f"a stack has 1 to {MOST_LAYERS} layers, got {stack!r}")
        return [_checked(layer, number) for number, layer in enumerate(stack, 1)]

    @traitlets.validate("channels", "side", "chosen")
    def _check_number(self, proposal: Any) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        ranges = {"channels": CHANNELS, "side": SIDES, "chosen": (0, MOST_LAYERS - 1)}
        _check_range(name, value, *ranges[name])
        return value

    def costs(self) -> list[Costs]:
        """What the script computes, layer by layer; equal to ``cnnlib.inspection.summarize``."""
        rows: list[Costs] = []
        side, maps, field, jump, start = self.side, self.channels, 1, 1, 0
        for layer in self.stack:
            kernel, stride, padding = layer["kernel"], layer["stride"], layer["padding"]
            span = layer["dilation"] * (kernel - 1)
            field += span * jump
            start -= padding * jump
            jump *= stride
            side = (side + 2 * padding - span - 1) // stride + 1
            weights = 0
            if layer["kind"] == "conv":
                weights = kernel**2 * maps // layer["groups"] * layer["maps"]
                maps = layer["maps"]
            rows.append(Costs(side, maps, field, jump, start, weights, weights * max(side, 0) ** 2))
        return rows

    def __repr__(self) -> str:
        last = self.costs()[-1]
        return (
            f"FieldCalculator({len(self.stack)} layers on {self.channels}@{self.side}x{self.side}; "
            f"the last sees {last.field} x {last.field})"
        )

    def fallback_html(self) -> str:
        """The layers as a table."""
        text = self.labels
        heads = [text[key] for key in ("layer", "output", "field", "weights", "macs")]
        cell = '<td style="text-align: right; padding: 0.2em 0.5em">{}</td>'
        body = ""
        for layer, row in zip(self.stack, self.costs(), strict=True):
            shape = text["shape"].format(maps=row.maps, side=row.side)
            shown = (
                text[layer["kind"]].format(kernel=layer["kernel"]),
                shape,
                text["square"].format(side=row.field),
                f"{row.weights:,}",
                f"{row.macs:,}",
            )
            body += f"<tr>{''.join(cell.format(escape(value)) for value in shown)}</tr>"
        head = "".join(f'<th scope="col">{escape(word)}</th>' for word in heads)
        return (
            f'<table aria-label="{escape(text["name"])}"><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table>"
        )


def _checked(layer: Any, number: int) -> dict[str, Any]:
    if not isinstance(layer, Mapping):
        raise ValueError(f"layer {number} must be a mapping with 'kind' and sizes, got {layer!r}")
    given = {"stride": 1, "dilation": 1, "padding": 0, "maps": None, "groups": 1} | dict(layer)
    if given.get("kind") not in ("conv", "pool"):
        raise ValueError(
            f"layer {number}: kind must be 'conv' or 'pool', got {given.get('kind')!r}"
        )
    if unknown := sorted(set(given) - {"kind", *LIMITS}):
        raise ValueError(f"layer {number} has no {unknown[0]!r}; it has kind, {', '.join(LIMITS)}")
    for name, limits in LIMITS.items():
        if name == "maps" and given["kind"] == "pool":
            continue
        _check_range(f"layer {number}: {name}", given.get(name), *limits)
    return given


def _check_range(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}, got {value!r}")
