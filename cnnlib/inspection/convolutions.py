"""Kinds of convolution: what each costs by counting, and what it cost by the clock.

A convolution of C maps into N costs less if it does less: filter each map alone (depthwise), mix
maps without looking at neighbours (pointwise), do one after the other (separable), or mix within
groups only (grouped). ``cost`` counts multiply-adds, parameters and the numbers that have to be
moved; ``seconds`` measures a call; ``measurements`` holds what ``experiments/mobilenet_speed.py``
measured on one processor, which is not yours.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from importlib import resources
from typing import Any, NamedTuple

import torch
from torch import nn

from . import count_macs, count_parameters

KINDS = ("full", "grouped", "separable", "depthwise", "pointwise")
BYTES = 4  # of a number in float32


class Cost(NamedTuple):
    """What a convolution costs for one image.

    Attributes:
        macs: multiply-adds.
        parameters: weights; there is no bias.
        moved: numbers that go between memory and processor at least: every input and every weight
            is read once, every output is written once. Of two layers, the maps between them are
            written and read as well.
    """

    macs: int
    parameters: int
    moved: int

    @property
    def intensity(self) -> float:
        """Multiply-adds for each byte that is moved, in float32."""
        return self.macs / (BYTES * self.moved)


def make(
    kind: str, in_channels: int, out_channels: int, kernel_size: int = 3, groups: int = 4
) -> nn.Sequential:
    """A convolution of some kind that keeps the size of its maps: (N, C, H, W) -> (N, C', H, W).

    Args:
        kind: one of ``KINDS``.
        in_channels: C.
        out_channels: C'; of a depthwise convolution it must be C.
        kernel_size: side of the window in pixels, odd; a pointwise convolution has 1 whatever it
            is.
        groups: of a grouped convolution; must divide C and C'.

    Raises:
        ValueError: an unknown kind, an even window, or numbers of channels that do not fit the
            kind.
    """
    if kind not in KINDS:
        raise ValueError(f"no kind {kind!r}; there are {', '.join(KINDS)}")
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(
            f"kernel_size must be odd, so that maps keep their size; got {kernel_size}"
        )
    if kind == "depthwise" and in_channels != out_channels:
        raise ValueError(
            "a depthwise convolution gives as many maps as it gets; "
            f"got {in_channels} and {out_channels}"
        )
    if kind == "grouped" and (in_channels % groups or out_channels % groups):
        raise ValueError(
            f"groups must divide both numbers of channels; got {groups} groups for "
            f"{in_channels} and {out_channels}"
        )

    def layer(maps: int, side: int, share: int = 1) -> nn.Conv2d:
        return nn.Conv2d(in_channels, maps, side, padding=side // 2, groups=share, bias=False)

    filters = layer(in_channels, kernel_size, in_channels)
    mixes = layer(out_channels, 1)
    parts = {
        "full": lambda: [layer(out_channels, kernel_size)],
        "grouped": lambda: [layer(out_channels, kernel_size, groups)],
        "separable": lambda: [filters, mixes],
        "depthwise": lambda: [filters],
        "pointwise": lambda: [mixes],
    }
    return nn.Sequential(*parts[kind]())


def cost(
    kind: str,
    in_channels: int,
    out_channels: int,
    size: int,
    kernel_size: int = 3,
    groups: int = 4,
) -> Cost:
    """What ``make(...)`` costs for one image of ``size`` x ``size``, counted on the layers.

    Raises:
        ValueError: what ``make`` refuses, or a size below 1.
    """
    with torch.device("meta"):
        layers = make(kind, in_channels, out_channels, kernel_size, groups)
    shape = (in_channels, size, size)
    maps = [
        layer.in_channels + layer.out_channels
        for layer in layers.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    parameters = count_parameters(layers)
    return Cost(count_macs(layers, shape), parameters, sum(maps) * size * size + parameters)


def seconds(call: Callable[[], Any], *, rounds: int = 5, least: float = 0.01) -> list[float]:
    """Processor seconds of one call without gradients, in rounds, the quickest first.

    The calls of a round take at least ``least`` seconds together. With one thread, the processor's
    time hardly depends on what else the machine does; the median of the rounds is a good answer,
    the first one the best that the machine can do.

    Args:
        call: what to measure; it is called a few times beforehand, to warm up.
        rounds: how often.
        least: seconds of a round.

    Raises:
        ValueError: fewer than one round.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}")
    with torch.inference_mode():
        call()
        times, spent = 1, _spent(call, 1)
        while spent < least:
            times = max(2 * times, int(1.2 * times * least / max(spent, 1e-6)))
            spent = _spent(call, times)
        return sorted(_spent(call, times) / times for _ in range(rounds))


def _spent(call: Callable[[], Any], times: int) -> float:
    start = time.process_time()
    for _ in range(times):
        call()
    return time.process_time() - start


def seconds_of(
    layers: nn.Module,
    in_channels: int,
    size: int,
    *,
    batch: int = 1,
    channels_last: bool = False,
    rounds: int = 5,
    least: float = 0.01,
) -> float:
    """Processor seconds of a layer for one image, median of some rounds, in float32.

    Args:
        layers: takes (batch, in_channels, size, size).
        in_channels: maps that come in.
        size: their height and width in pixels.
        batch: images at a time; the time is divided by it.
        channels_last: the numbers of a pixel lie side by side in memory, instead of those of a map.
        rounds: see ``seconds``.
        least: see ``seconds``.
    """
    form = torch.channels_last if channels_last else torch.contiguous_format
    layers = layers.float().eval().to(memory_format=form)
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(batch, in_channels, size, size, generator=draw, dtype=torch.float32)
    images = images.contiguous(memory_format=form)
    found = seconds(lambda: layers(images), rounds=rounds, least=least)
    return found[len(found) // 2] / batch


@functools.cache
def measurements() -> dict[str, Any]:
    """What was measured on one processor, with one thread, in float32.

    Returns:
        ``about``, ``device``, ``versions``; ``channels`` and ``sizes``, the axes of the tables;
        ``tables``, each of one ``kind``, ``kernel``, ``groups``, ``layout`` (``"NCHW"`` or
        ``"channels last"``) and ``batch``, with ``microseconds`` per image, a row for every size
        and a number for every number of channels, None where nothing was measured;
        ``roofs``: ``gmacs``, billions of multiply-adds per second of a matrix product, and
        ``gigabytes``, billions of bytes per second that copying moves; ``networks`` with
        ``milliseconds`` for one image; ``parts`` of MobileNet with their shares of the time.
    """
    path = resources.files("cnnlib") / "assets" / "convolutions.json"
    return json.loads(path.read_text(encoding="utf-8"))


def measured(
    kind: str,
    channels: int,
    size: int,
    *,
    kernel_size: int = 3,
    groups: int = 4,
    layout: str = "NCHW",
    batch: int = 1,
) -> float | None:
    """Stored microseconds per image of a convolution of C maps into C; None if not measured."""
    record = measurements()
    wanted = {
        "kind": kind,
        "kernel": 1 if kind == "pointwise" else kernel_size,
        "groups": groups if kind == "grouped" else None,
        "layout": layout,
        "batch": batch,
    }
    for table in record["tables"]:
        if all(table[key] == value for key, value in wanted.items()):
            if channels in record["channels"] and size in record["sizes"]:
                row = table["microseconds"][record["sizes"].index(size)]
                return row[record["channels"].index(channels)]
    return None
