"""Two ways to look into networks: cover a part of a photograph, see what excites a unit."""

import io
import struct
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import traitlets
from torch import Tensor, nn

from cnnlib import datasets, explain
from cnnlib.models.layers import check_counts
from cnnlib.widgets.base import Widget

SIDE = 224  # of a photograph, in pixels
SHOWN = 160  # as it travels in the page, where it is only looked at


class Occluded(Protocol):
    """What a network says with a square over each place."""

    @property
    def probability(self) -> Tensor:
        """(rows, columns), of the target."""
        ...

    @property
    def winner(self) -> Sequence[Sequence[str]]:
        """The most probable class at each place."""
        ...


class Seen(Protocol):
    """What a network says of a photograph, as ``cnnlib.book.predictions`` gives it."""

    @property
    def top(self) -> Sequence[tuple[str, float]]:
        """Classes and probabilities, most probable first."""
        ...

    @property
    def target(self) -> str:
        """The class that is followed."""
        ...

    @property
    def occlusion(self) -> Mapping[int, Occluded]:
        """By side of the square in pixels."""
        ...


class InsideBrowser(Widget):
    """Move a grey square over a photograph, and browse through what excites the units of a network.

    The first part shows how probable the right class stays while the square covers a place, from
    stored answers of a real network. The second shows the strongest patches of a unit, each beside
    its projection by the deconvnet. Either part may be left out.

    Args:
        predictions: by name of a photograph, as ``cnnlib.book.predictions()`` returns it.
        model: a trained network whose layers run one after the other (see ``explain.deconvnet``).
        images: grey images (N, 1, H, W), as the network takes them, to look for patches in.
        layers: names of the layers to show.
        units: how many units of each layer: the first ones that answer to anything.
        patches: how many patches of each unit.
        labels: Words to use instead of the English ones in `LABELS`.

    Raises:
        ValueError: Neither part is given, a photograph is unknown, maps do not fit each other, or
            the images are not grey.
    """

    LABELS: ClassVar[dict[str, str]] = {
        "name": "Look inside",
        "cover": "Cover a part",
        "excite": "What excites a unit",
        "photograph": "Photograph",
        "photograph_chelsea": "a cat",
        "photograph_coffee": "a cup of coffee",
        "photograph_camera": "a man with a camera",
        "photograph_motorcycle": "a motorcycle",
        "photograph_rocket": "a rocket",
        "photograph_astronaut": "an astronaut",
        "square": "Grey square",
        "pixels": "{side} × {side} pixels",
        "no_square": "none",
        "heat": "Show the map",
        "stage": "{photograph}: place of the grey square",
        "help": (
            "Point at a place or tap on it. By keyboard: arrow keys move the square, Home and End "
            "lead to the places where the class is least and most probable."
        ),
        "place": "Square around row {row}, column {column} of {cells}",
        "uncovered": "Nothing is covered",
        "probability": "{name}: {percent} %",
        "before": "Uncovered it is {percent} %.",
        "winner": "Best guess now: {name}",
        "legend_low": "{percent} %",
        "legend_high": "{percent} %",
        "legend_middle": "uncovered {percent} %",
        "legend": "probability of {name}, by place of the square: blue lower, orange higher",
        "layer": "Layer",
        "unit": "Unit",
        "unit_number": "{number}",
        "patch_row": "Strongest patches",
        "projection_row": "Their projections",
        "patch": "Patch {number}: activation {value}, {rows} × {columns} pixels",
        "projection": "Projection of patch {number}",
        "field": "A unit of {layer} sees {rows} × {columns} pixels here.",
        "sheet": (
            "In the projections grey is zero: bright pixels speak for the unit, dark ones should "
            "be dark."
        ),
        "fallback": (
            "Here readers move a grey square over photographs and read what a network says then, "
            "and see which patches excite a unit. It needs JavaScript: open the page of the book, "
            "or run this notebook."
        ),
    }
    _source = Path(__file__)

    photographs = traitlets.List(help="what was said of each photograph").tag(sync=True)
    pictures = traitlets.Bytes(help="the JPEG files, one after the other").tag(sync=True)
    maps = traitlets.Bytes(
        help="per photograph and square: probabilities in thousandths (little-endian uint16), "
        "then the winner at each place (uint8)"
    ).tag(sync=True)
    layers = traitlets.List(help="the units that are shown").tag(sync=True)
    tiles = traitlets.Bytes(help="patches and projections, a byte per pixel").tag(sync=True)
    photograph = traitlets.Int(0, help="which photograph is shown").tag(sync=True)
    square = traitlets.Int(0, help="side of the square in pixels; 0: none").tag(sync=True)
    place = traitlets.List(traitlets.Int(), help="row and column of the square").tag(sync=True)
    heat = traitlets.Bool(True, help="whether the map is shown").tag(sync=True)
    layer = traitlets.Int(0, help="which layer is shown").tag(sync=True)
    unit = traitlets.Int(0, help="which unit of the list is shown").tag(sync=True)

    def __init__(
        self,
        predictions: Mapping[str, Seen] | None = None,
        model: nn.Module | None = None,
        images: Tensor | None = None,
        *,
        layers: Sequence[str] = ("conv1", "conv2", "conv3", "conv4", "conv5"),
        units: int = 5,
        patches: int = 3,
        labels: dict[str, str] | None = None,
    ) -> None:
        if not predictions and model is None:
            raise ValueError("give predictions, or a model with images, or both")
        if (model is None) != (images is None):
            raise ValueError("a model needs images to look for patches in, and images a model")
        check_counts(units=units, patches=patches)
        photographs, pictures, maps = _photographs(predictions or {})
        shown, tiles = [], b""
        if model is not None and images is not None:
            shown, tiles = _units(model, images, layers, units, patches)
        sizes = photographs[0]["squares"] if photographs else []
        cells = photographs[0]["cells"] if photographs else 1
        super().__init__(
            photographs=photographs,
            pictures=pictures,
            maps=maps,
            layers=shown,
            tiles=tiles,
            square=max(sizes, default=0),
            place=[cells // 2, cells // 2],
            layer=len(shown) // 2,
            labels=labels,
        )

    def __repr__(self) -> str:
        names = ", ".join(record["name"] for record in self.photographs) or "none"
        layers = ", ".join(record["name"] for record in self.layers) or "none"
        return f"InsideBrowser(photographs {names}; layers {layers})"

    def fallback_html(self) -> str:
        """The photographs, each with the class that is followed and its probability."""
        title, text = escape(self.labels["name"]), escape(self.labels["fallback"])
        items = []
        for record in self.photographs:
            said = self._probability(record["target"], record["uncovered"])
            lowest = min(self._shares(record, max(record["squares"])))
            worst = self._probability(record["target"], lowest / 1000)
            items.append(
                f"<li>{escape(self._title(record['name']))}: {escape(said)}; "
                f"{escape(self.labels['square'])} "
                f"{escape(self.labels['pixels'].format(side=max(record['squares'])))}: "
                f"≥ {escape(worst)}</li>"
            )
        listed = f"<ul>{''.join(items)}</ul>" if items else ""
        return (
            f'<div role="group" aria-label="{title}"><p><strong>{title}.</strong> {text}</p>'
            f"{listed}</div>"
        )

    def _title(self, name: str) -> str:
        return self.labels.get(f"photograph_{name}", name)

    def _probability(self, name: str, share: float) -> str:
        return self.labels["probability"].format(name=name, percent=f"{100 * share:.1f}")

    def _shares(self, record: dict[str, Any], square: int) -> list[int]:
        count, at = record["cells"] ** 2, record["maps"][str(square)]
        return list(struct.unpack_from(f"<{count}H", self.maps, at))


def _photographs(predictions: Mapping[str, Seen]) -> tuple[list[dict[str, Any]], bytes, bytes]:
    """What the script needs of each photograph; the files; the maps."""
    records, pictures, maps = [], b"", b""
    for name, seen in predictions.items():
        if name not in datasets.PHOTOGRAPHS:
            raise ValueError(
                f"no photograph is called {name!r}; there are {', '.join(datasets.PHOTOGRAPHS)}"
            )
        file = _small_jpeg(datasets.photograph(name))
        classes = [seen.target]
        offsets = {}
        cells = 0
        for square, answers in seen.occlusion.items():
            rows, columns = answers.probability.shape
            if rows != columns or SIDE % rows or cells not in (0, rows):
                raise ValueError(
                    f"maps of {name} must have as many rows as columns, a divisor of {SIDE} and "
                    f"the same for all squares; got {rows} × {columns}"
                )
            cells = rows
            winners = [winner for row in answers.winner for winner in row]
            classes += sorted(set(winners) - set(classes))
            offsets[str(square)] = len(maps)
            shares = [round(1000 * share) for share in answers.probability.flatten().tolist()]
            maps += struct.pack(f"<{len(shares)}H", *shares)
            maps += bytes(classes.index(winner) for winner in winners)
        named = dict(seen.top)
        records.append(
            {
                "name": name,
                "at": len(pictures),
                "length": len(file),
                "target": seen.target,
                "uncovered": named.get(seen.target, 0.0),
                "winner": seen.top[0][0],
                "classes": classes,
                "cells": cells,
                "squares": sorted(seen.occlusion),
                "maps": offsets,
            }
        )
        pictures += file
    return records, pictures, maps


def _units(
    model: nn.Module, images: Tensor, layers: Sequence[str], units: int, count: int
) -> tuple[list[dict[str, Any]], bytes]:
    """Of each layer the units to show; their patches and projections as bytes."""
    if images.ndim != 4 or images.shape[1] != 1:
        raise ValueError(f"images must be grey, (N, 1, H, W); got {tuple(images.shape)}")
    low, high = images.min(), images.max()
    height, width = images.shape[2:]
    records, tiles = [], b""
    for layer in layers:
        found = explain.strongest(model, layer, images, count)
        alive = [unit for unit, value in enumerate(found.values[:, 0].tolist()) if value > 0]
        if not alive:
            raise ValueError(f"no unit of {layer!r} answers to any of the images")
        listed = []
        for unit in alive[:units]:
            shown = []
            for i, (image, position) in enumerate(found.places(unit)):
                box = explain.seen_by(model, layer, position, (1, height, width))
                top, left = max(box.top, 0), max(box.left, 0)
                bottom = min(box.top + box.height, height)
                right = min(box.left + box.width, width)
                cut = (0, slice(top, bottom), slice(left, right))
                pixels = (images[image][cut] - low) / (high - low)
                back = explain.deconvnet(model, images[image], layer, unit, position)[cut]
                largest = back.abs().max().clamp(min=1e-12)
                value = float(found.values[unit, i])
                shown.append(
                    {
                        "at": len(tiles),
                        "rows": bottom - top,
                        "columns": right - left,
                        "value": float(f"{value:.4g}"),
                    }
                )
                tiles += _grey(pixels) + _grey((back / largest + 1) / 2)
            listed.append({"unit": unit, "patches": shown})
        first = explain.seen_by(model, layer, (0, 0), (1, height, width))
        records.append(
            {
                "name": layer,
                "rows": min(first.height, height),
                "columns": min(first.width, width),
                "units": listed,
            }
        )
    return records, tiles


def _grey(shares: Tensor) -> bytes:
    """Numbers in [0, 1] as bytes, row by row."""
    return bytes(shares.mul(255).round().clamp(0, 255).to("cpu").byte().flatten().tolist())


def _small_jpeg(pixels: np.ndarray) -> bytes:
    """A photograph (H, W, 3) as a smaller JPEG file: with six of them a page would be heavy."""
    from PIL import Image  # comes with matplotlib

    stream = io.BytesIO()
    picture = Image.fromarray(pixels).resize((SHOWN, SHOWN), Image.Resampling.BICUBIC)
    picture.save(stream, "JPEG", quality=80, optimize=True)
    return stream.getvalue()
