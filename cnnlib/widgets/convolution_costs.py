"""What the kinds of convolution cost: counted for every size, timed where it was measured."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Any, ClassVar

import torch
import traitlets

from cnnlib.inspection import convolutions, count_macs, count_parameters
from cnnlib.inspection.convolutions import Cost
from cnnlib.models.mobilenet import TABLE_1, MobileNet
from cnnlib.published import published
from cnnlib.widgets.base import Widget

CHANNELS = (16, 32, 64, 128, 256, 512)
SIZES = (7, 14, 28, 56)
KERNELS = (3, 5)
GROUPS = (2, 4, 8, 16)
ORDERS = ("NCHW", "channels last")
BATCHES = (1, 8)
QUANTITIES = ("macs", "parameters", "intensity", "time", "speed")
ALPHAS = (0.25, 1.0)
SIDES = (96, 224)  # of an image
VIEWS = ("layer", "network")


class ConvolutionCosts(Widget):
    """The bill of a convolution of every kind, and of MobileNet at every width and resolution.

    In the first view the reader moves sliders for maps, their size, the window and the groups; bars
    show multiply-adds, parameters, multiply-adds per byte, the measured time or the multiply-adds
    per second of five kinds of convolution. In the second, alpha and the side of the image shrink
    MobileNet: counts for all of them, printed accuracy and measured time for the paper's sixteen.

    Args:
        channels: C, maps that come in and go out.
        size: their height and width.
        kernel: side of the window.
        groups: of the grouped convolution.
        quantity: what the bars show first: ``"macs"``, ``"parameters"``, ``"intensity"``,
            ``"time"`` or ``"speed"``.
        order: of the numbers in memory for the times, ``"NCHW"`` or ``"channels last"``.
        batch: images at a time for the times, 1 or 8.
        alpha: width multiplier of the network.
        side: of the network's image in pixels.
        view: ``"layer"`` or ``"network"``.
        labels: words to use instead of the English ones in `LABELS`.

    Raises:
        ValueError: a choice that is not among those offered.
    """

    LABELS: ClassVar[dict[str, str]] = {
        "name": "What does a convolution cost?",
        "view": "Show",
        "view_layer": "one layer",
        "view_network": "a whole MobileNet",
        "quantity": "Bars show",
        "macs": "multiply-adds (MACs)",
        "parameters": "parameters",
        "intensity": "MACs for each byte moved",
        "time": "measured time",
        "speed": "MACs per second",
        "order": "Numbers in memory",
        "order_NCHW": "map by map (NCHW)",
        "order_channels last": "pixel by pixel (channels last)",
        "batch": "Images at a time",
        "channels": "Maps in and out",
        "size": "Height and width",
        "kernel": "Window",
        "window": "{side} × {side}",
        "groups": "Groups",
        "full": "full",
        "grouped": "grouped, {groups}",
        "separable": "separable",
        "depthwise": "depthwise",
        "pointwise": "pointwise",
        "kind": "Convolution",
        "part": "of the separable bar: its depthwise part (hatched)",
        "column_macs": "MACs",
        "column_parameters": "parameters",
        "column_intensity": "MACs per byte",
        "column_time": "time, µs",
        "column_speed": "GMAC/s",
        "number": "{number}",
        "millions": "{number} M",
        "microseconds": "{number} µs",
        "gmacs": "{number} G/s",
        "none": "–",
        "unmeasured": "This size was not measured, so there is no time.",
        "verdict": (
            "Separable against full: {macs} × fewer multiply-adds, {time} × less time ({device})."
        ),
        "verdict_counts": "Separable against full: {macs} × fewer multiply-adds.",
        "formula": "1 / C + 1 / K² = {value}",
        "alpha": "Width multiplier α",
        "side": "Side of the image",
        "resolution": "ρ = {rho}",
        "share": "of α = 1, 224 pixels",
        "network_macs": "MACs",
        "network_parameters": "parameters",
        "square": "α² ρ²",
        "percent": "{number} %",
        "accuracy": "Printed top-1 accuracy: {accuracy} % (ILSVRC-2012 validation).",
        "no_accuracy": "The paper's tables print no accuracy for this one.",
        "network_time": "Measured here: {plain} ms for an image, {optimized} ms prepared for use.",
        "network_ratio": (
            "{macs} × fewer MACs than α = 1 at 224 pixels, {time} × less time (prepared for use)."
        ),
        "no_network_time": "Only the paper's sixteen networks were measured.",
        "spoken": "{kind}: {value}",
        "device": "Times: {device}, PyTorch {torch}.",
        "fallback": (
            "With a script, sliders change every number: open the page of the book, or run this "
            "notebook."
        ),
        "about": "{channels} maps of {size} × {size} in and out, window {kernel} × {kernel}.",
    }
    _source = Path(__file__)

    channels = traitlets.Int(128).tag(sync=True)
    size = traitlets.Int(28).tag(sync=True)
    kernel = traitlets.Int(3).tag(sync=True)
    groups = traitlets.Int(4).tag(sync=True)
    quantity = traitlets.Unicode("macs").tag(sync=True)
    order = traitlets.Unicode("NCHW").tag(sync=True)
    batch = traitlets.Int(1).tag(sync=True)
    alpha = traitlets.Float(1.0).tag(sync=True)
    side = traitlets.Int(224).tag(sync=True)
    view = traitlets.Unicode("layer").tag(sync=True)
    choices = traitlets.Dict(read_only=True, help="what each control offers").tag(sync=True)
    times = traitlets.List(read_only=True, help="tables of microseconds").tag(sync=True)
    rows = traitlets.List(read_only=True, help="width and stride, table 1").tag(sync=True)
    grid = traitlets.List(read_only=True, help="the paper's networks").tag(sync=True)
    device = traitlets.List(read_only=True, help="processor, version of torch").tag(sync=True)

    def __init__(
        self,
        channels: int = 128,
        size: int = 28,
        *,
        kernel: int = 3,
        groups: int = 4,
        quantity: str = "macs",
        order: str = "NCHW",
        batch: int = 1,
        alpha: float = 1.0,
        side: int = 224,
        view: str = "layer",
        labels: dict[str, str] | None = None,
    ) -> None:
        super().__init__(
            channels=channels,
            size=size,
            kernel=kernel,
            groups=groups,
            quantity=quantity,
            order=order,
            batch=batch,
            alpha=alpha,
            side=side,
            view=view,
            labels=labels,
        )

    @traitlets.default("choices")
    def _offered(self) -> dict[str, Any]:
        return {
            "channels": list(CHANNELS),
            "size": list(SIZES),
            "kernel": list(KERNELS),
            "groups": list(GROUPS),
            "quantity": list(QUANTITIES),
            "order": list(ORDERS),
            "batch": list(BATCHES),
            "view": list(VIEWS),
            "alpha": list(ALPHAS),
            "side": list(SIDES),
        }

    @traitlets.default("times")
    def _measured(self) -> list[dict[str, Any]]:
        record = convolutions.measurements()
        if (tuple(record["channels"]), tuple(record["sizes"])) != (CHANNELS, SIZES):
            raise ValueError("the stored times are of other maps than the sliders offer")
        return record["tables"]

    @traitlets.default("rows")
    def _table_1(self) -> list[list[int]]:
        return [list(row) for row in TABLE_1]

    @traitlets.default("grid")
    def _networks(self) -> list[dict[str, Any]]:
        found = []
        for record in convolutions.measurements()["networks"]:
            if name := re.fullmatch(r"mobilenet_v1_([\d.]+)_(\d+)", record["name"]):
                error = published(record["name"]).top1_error
                found.append(
                    {
                        "alpha": float(name[1]),
                        "side": int(name[2]),
                        "accuracy": None if error is None else round(100 - error, 1),
                        "milliseconds": record["milliseconds"],
                    }
                )
        return found

    @traitlets.default("device")
    def _machine(self) -> list[str]:
        record = convolutions.measurements()
        return [record["device"], record["versions"]["torch"]]

    @traitlets.validate(
        "channels", "size", "kernel", "groups", "quantity", "order", "batch", "view"
    )
    def _check_choice(self, proposal: Any) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        offered = self._offered()[name]
        if value not in offered:
            raise ValueError(f"{name} must be one of {', '.join(map(str, offered))}; got {value!r}")
        return value

    @traitlets.validate("alpha", "side")
    def _check_range(self, proposal: Any) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        low, high = self._offered()[name]
        if not low <= value <= high:
            raise ValueError(f"{name} must be {low} to {high}, got {value}")
        return value

    def costs(self) -> dict[str, Cost]:
        """What every kind costs for one image, counted on the layers by ``cnnlib.inspection``."""
        return {
            kind: convolutions.cost(
                kind, self.channels, self.channels, self.size, self.kernel, self.groups
            )
            for kind in convolutions.KINDS
        }

    def microseconds(self) -> dict[str, float | None]:
        """The stored time of every kind for one image; None where nothing was measured."""
        return {
            kind: convolutions.measured(
                kind,
                self.channels,
                self.size,
                kernel_size=self.kernel,
                groups=self.groups,
                layout=self.order,
                batch=self.batch,
            )
            for kind in convolutions.KINDS
        }

    def network(self) -> tuple[int, int]:
        """Multiply-adds and parameters of MobileNet at this width and resolution."""
        with torch.device("meta"):
            model = MobileNet(width_multiplier=self.alpha)
        return count_macs(model, (3, self.side, self.side)), count_parameters(model)

    def __repr__(self) -> str:
        return (
            f"ConvolutionCosts({self.channels} maps of {self.size} x {self.size}, window "
            f"{self.kernel}; MobileNet with alpha {self.alpha:g} at {self.side} pixels)"
        )

    def fallback_html(self) -> str:
        """Both bills as tables: all kinds of one layer, and the paper's networks."""
        text, cell = self.labels, "padding: 0.2em 0.6em; text-align: {}"

        def table(heads: list[str], rows: list[list[str]]) -> str:
            head = "".join(f'<th scope="col">{escape(word)}</th>' for word in heads)
            body = "".join(
                f'<tr><th scope="row" style="{cell.format("left")}">{escape(row[0])}</th>'
                + "".join(f'<td style="{cell.format("right")}">{escape(v)}</td>' for v in row[1:])
                + "</tr>"
                for row in rows
            )
            return (
                f'<div style="overflow-x: auto"><table><thead><tr>{head}</tr></thead>'
                f"<tbody>{body}</tbody></table></div>"
            )

        times = self.microseconds()
        layer = [
            [
                text[kind].format(groups=self.groups),
                f"{cost.macs:,}",
                f"{cost.parameters:,}",
                f"{cost.intensity:.1f}",
                text["none"] if (time := times[kind]) is None else f"{time:g}",
                text["none"] if time is None else f"{cost.macs / time / 1000:.1f}",
            ]
            for kind, cost in self.costs().items()
        ]
        macs, parameters = self.network()
        network = [[f"α = {self.alpha:g}, {self.side}", f"{macs:,}", f"{parameters:,}"]]
        about = text["about"].format(channels=self.channels, size=self.size, kernel=self.kernel)
        device = text["device"].format(device=self.device[0], torch=self.device[1])
        return (
            f'<div role="group" aria-label="{escape(text["name"])}">'
            f"<p>{escape(about)} {escape(text['fallback'])}</p>"
            + table([text["kind"], *(text[f"column_{name}"] for name in QUANTITIES)], layer)
            + f"<p>{escape(device)}</p>"
            + table(
                [text["view_network"], text["network_macs"], text["network_parameters"]], network
            )
            + "</div>"
        )
