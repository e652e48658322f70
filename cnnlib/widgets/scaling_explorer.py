"""What depth, width and resolution do to EfficientNet: asked for, got, and paid."""

from html import escape
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
import traitlets

from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models.efficientnet import (
    HEAD,
    STEM,
    TABLE_1,
    VARIANTS,
    EfficientNet,
    Scaling,
    compound_scaling,
)
from cnnlib.published import published
from cnnlib.widgets import chart
from cnnlib.widgets.base import Widget

BASE = VARIANTS["b0"]
CLASSES = 1000
RANGES = {"depth": (0.5, 4.0), "width": (0.5, 4.0), "resolution": (64, 640), "phi": (0.0, 7.0)}
STEPS = {"depth": 0.1, "width": 0.1, "resolution": 4, "phi": 0.25}


class StageCount(NamedTuple):
    """A stage of table 1 after scaling.

    Attributes:
        layers: how often its operator is repeated.
        channels: of what leaves it.
        side: height and width of what leaves it, in pixels; 1 behind the classifier.
        macs: multiply-adds for one image.
        parameters: trainable numbers.
    """

    layers: int
    channels: int
    side: int
    macs: int
    parameters: int


class ScalingExplorer(Widget):
    """EfficientNet-B0, made larger in three directions, with the bill.

    The reader moves sliders for depth, width and resolution, or one for all three by the paper's
    rule, or takes one of B0 to B7 as they were released. It shows what rounding makes of the three
    factors, what the rule expects of the multiply-adds, what they are, stage by stage, and where
    the network stands among B0 to B7.

    Args:
        variant: ``"b0"`` to ``"b7"``, to begin with.
        phi: the paper's coefficient, to begin with, instead of a variant.
        depth: multiplier of the blocks; by default the variant's.
        width: multiplier of the channels; by default the variant's.
        resolution: side of the images in pixels; by default the variant's.
        labels: words to use instead of the English ones in `LABELS`.

    Raises:
        ValueError: an unknown variant, or a number outside its range.
    """

    LABELS: ClassVar[dict[str, str]] = {
        **chart.LABELS,  # of its script, from which the map is drawn
        "name": "EfficientNet: where do the multiply-adds go?",
        "network": "Network",
        "own": "own factors",
        "released": "{name}, as released",
        "by_rule": "by the rule, φ = {phi}",
        "phi": "φ, all three by the rule",
        "off_rule": "not by the rule",
        "depth": "Depth",
        "width": "Width",
        "resolution": "Resolution",
        "factor": "× {value}",
        "pixels": "{value} pixels",
        "alone": "All three together",
        "separately": "Each alone",
        "asked": "Asked for",
        "got": "After rounding",
        "dimension": "Against B0",
        "blocks": "{before} → {after} blocks: × {ratio}",
        "channels": "{before} → {after} channels: × {ratio}",
        "sides": "{before} → {after} pixels: × {ratio}",
        "expected": "expected by d · w² · r²: × {ratio}",
        "counted": "counted: × {ratio}",
        "cost": "Multiply-adds",
        "bill": "The bill",
        "macs": "Multiply-adds (MACs)",
        "parameters": "Parameters",
        "counted_here": "Counted",
        "printed": "Printed in the paper",
        "operator": "Operator",
        "stem": "Conv 3 × 3",
        "block": "MBConv{expansion}, {kernel} × {kernel}",
        "head": "Conv 1 × 1, pooling, FC",
        "layers": "Layers",
        "width_of": "Channels",
        "side": "Output",
        "share": "MACs, % of all",
        "millions": "{number}\u00a0M",
        "stages": "Stages of the network",
        "map": "Printed top-1 error (%) against multiply-adds, B0 to B7",
        "map_x": "multiply-adds (billions)",
        "map_y": "top-1 error (%)",
        "yours": "yours",
        "nobody": "The line is your network: nobody has trained it, so it has no error.",
        "spoken": "{macs} multiply-adds, {ratio} times B0; {parameters} parameters.",
        "fallback": (
            "With a script, sliders change every number: open the page of the book, or run this "
            "notebook."
        ),
        "about": "{name}: depth × {depth}, width × {width}, {resolution} pixels.",
    }
    _source = Path(__file__)

    depth = traitlets.Float(1.0).tag(sync=True)
    width = traitlets.Float(1.0).tag(sync=True)
    resolution = traitlets.Int(224, help="side of the images in pixels").tag(sync=True)
    rows = traitlets.List(read_only=True, help="table 1, with the stem before").tag(sync=True)
    variants = traitlets.List(read_only=True).tag(sync=True)
    rule = traitlets.List(read_only=True, help="the three by the rule, by steps of phi").tag(
        sync=True
    )
    ranges = traitlets.Dict(
        {name: [*RANGES[name], STEPS[name]] for name in RANGES}, read_only=True
    ).tag(sync=True)

    def __init__(
        self,
        variant: str = "b0",
        *,
        phi: float | None = None,
        depth: float | None = None,
        width: float | None = None,
        resolution: int | None = None,
        labels: dict[str, str] | None = None,
    ) -> None:
        if variant not in VARIANTS:
            raise ValueError(f"no variant {variant!r}; there are {', '.join(VARIANTS)}")
        start = VARIANTS[variant]
        if phi is not None:
            start = compound_scaling(_within("phi", phi))
        super().__init__(
            depth=start.depth if depth is None else depth,
            width=start.width if width is None else width,
            resolution=start.resolution if resolution is None else resolution,
            labels=labels,
        )

    @traitlets.default("rows")
    def _table(self) -> list[dict[str, int]]:
        return [
            {"expansion": 0, "channels": STEM, "layers": 1, "stride": 2, "kernel_size": 3},
            *(stage._asdict() for stage in TABLE_1),
            {"expansion": 0, "channels": HEAD, "layers": 1, "stride": 1, "kernel_size": 1},
        ]

    @traitlets.default("variants")
    def _released(self) -> list[dict[str, Any]]:
        released = []
        for name, scaling in VARIANTS.items():
            record = published(f"efficientnet_{name}")
            released.append(
                {
                    "name": name.upper(),
                    **scaling._asdict(),
                    "parameters": record.printed_parameters,
                    "macs": record.printed_macs,
                    "error": record.top1_error,
                }
            )
        return released

    @traitlets.default("rule")
    def _by_rule(self) -> list[dict[str, float]]:
        low, high = RANGES["phi"]
        steps = round((high - low) / STEPS["phi"])
        places = [low + STEPS["phi"] * step for step in range(steps + 1)]
        return [{"phi": phi, **compound_scaling(phi)._asdict()} for phi in places]

    @traitlets.validate("depth", "width", "resolution")
    def _check_number(self, proposal: Any) -> float:
        return _within(proposal["trait"].name, proposal["value"])

    def scaling(self) -> Scaling:
        """The three factors as the library takes them."""
        return Scaling(self.width, self.depth, self.resolution)

    def counts(self) -> list[StageCount]:
        """What every stage of table 1 costs, counted on the network by ``cnnlib.inspection``."""
        with torch.device("meta"):
            model = EfficientNet(CLASSES, width_multiplier=self.width, depth_multiplier=self.depth)
        stages = [layer for name, layer in model.named_children() if name.startswith("stage")]
        channels, side, counted = 3, self.resolution, []
        strides = [row["stride"] for row in self.rows]
        for stage, stride in zip(stages, strides, strict=True):
            macs = count_macs(stage, (channels, side, side))
            side = -(-side // stride)
            channels = _channels_out(stage)
            layers = 1 if len(counted) in (0, len(stages) - 1) else len(list(stage.children()))
            counted.append(StageCount(layers, channels, side, macs, count_parameters(stage)))
        head = counted[-1]
        counted[-1] = head._replace(
            side=1,
            macs=head.macs + count_macs(model.fc, (channels,)),
            parameters=head.parameters + count_parameters(model.fc),
        )
        return counted

    def variant(self) -> str | None:
        """The released network that the three factors are those of, or None."""
        return next((name for name, one in VARIANTS.items() if one == self.scaling()), None)

    def phi(self) -> float | None:
        """The step of phi that gives the three factors by the rule, or None."""
        now = self.scaling()._asdict()
        return next((row["phi"] for row in self.rule if {k: row[k] for k in now} == now), None)

    def _title(self) -> str:
        variant, phi = self.variant(), self.phi()
        if variant is not None:
            return self.labels["released"].format(name=variant.upper())
        if phi is not None:
            return self.labels["by_rule"].format(phi=f"{phi:g}")
        return self.labels["own"]

    def __repr__(self) -> str:
        return (
            f"ScalingExplorer({self._title()}: depth x {self.depth:.4g}, width x {self.width:.4g}, "
            f"{self.resolution} pixels)"
        )

    def fallback_html(self) -> str:
        """The network's stages as a table, and what B0 to B7 cost and err as another."""
        text = self.labels
        counted = self.counts()
        macs = sum(stage.macs for stage in counted)
        about = text["about"].format(
            name=self._title(),
            depth=f"{self.depth:.4g}",
            width=f"{self.width:.4g}",
            resolution=self.resolution,
        )
        rows = []
        for i, (row, stage) in enumerate(zip(self.rows, counted, strict=True)):
            operator = text["block"].format(expansion=row["expansion"], kernel=row["kernel_size"])
            if i in (0, len(counted) - 1):
                operator = text["stem"] if i == 0 else text["head"]
            share = f"{100 * stage.macs / macs:.1f}"
            size = f"{stage.side} × {stage.side}"
            rows.append((operator, stage.layers, stage.channels, size, f"{stage.macs:,}", share))
        total = sum(stage.parameters for stage in counted)
        sums = f"{text['macs']}: {macs:,}. {text['parameters']}: {total:,}."
        more = text["fallback"]
        heads = [text[key] for key in ("operator", "layers", "width_of", "side", "macs", "share")]
        released = [
            (
                one["name"],
                f"{one['depth']:g}",
                f"{one['width']:g}",
                one["resolution"],
                one["parameters"],
                one["macs"],
                one["error"],
            )
            for one in self.variants
        ]
        columns = ("network", "depth", "width", "resolution", "parameters", "macs", "map_y")
        return (
            f'<div role="group" aria-label="{escape(text["name"])}">'
            f"<p>{escape(about)} {escape(sums)} {escape(more)}</p>"
            + _html_table(text["stages"], heads, rows)
            + _html_table(text["printed"], [text[key] for key in columns], released)
            + "</div>"
        )


def _channels_out(stage: torch.nn.Module) -> int:
    """Channels that leave a stage: those of its last normalisation."""
    norms = [layer for layer in stage.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    return norms[-1].num_features


def _html_table(caption: str, heads: list[str], rows: list[tuple[Any, ...]]) -> str:
    cell = "padding: 0.2em 0.6em; text-align: {}"
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    body = "".join(
        f'<tr><th scope="row" style="{cell.format("left")}">{escape(str(row[0]))}</th>'
        + "".join(
            f'<td style="{cell.format("right")}">{escape(str(value))}</td>' for value in row[1:]
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div style="overflow-x: auto"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _within(name: str, value: float) -> Any:
    low, high = RANGES[name]
    if not low <= value <= high:
        raise ValueError(f"{name} must be {low:g} to {high:g}, got {value}")
    return value
