"""AlexNet's towers, drawn from the model: what one card holds, and where the cards meet."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from cnnlib.inspection import summarize
from cnnlib.models.alexnet import AlexNet
from cnnlib.plots.style import COLOURS, closed

_STEP = 1.0  # from one layer to the next
_AWAY = 0.95  # from the middle to a tower


def towers(model: AlexNet) -> Figure:
    """The layers with weights in two rows, one for each tower, as in the paper's figure 2.

    A box is as high as the maps of half a layer are (square root of their side), and as wide as
    they are many; fully connected layers are bars. Solid arrows stay in a tower, dashed ones cross.

    Args:
        model: with two towers and no layer removed; may be on the ``meta`` device.

    Raises:
        ValueError: another number of towers, or a layer that was removed.
    """
    layers = {
        name: module
        for name, child in model.named_children()
        for module in child.modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }
    groups = {name: m.groups for name, m in layers.items() if isinstance(m, nn.Conv2d)}
    if len(layers) != 8 or groups["conv2"] != 2:
        raise ValueError(
            f"towers draws eight layers in two towers; this network has {len(layers)} layers, "
            f"and conv2 {groups.get('conv2', 'no')} group(s)"
        )
    shape = (model.in_channels, model.image_size, model.image_size)
    shapes = {row.name: row.output_shape for row in summarize(model, shape).rows}
    figure, axis = plt.subplots(figsize=(8.6, 3.4))
    before = [_box(axis, 0, 0, "image", shape)]
    for number, name in enumerate(layers, start=1):
        out = shapes[name]
        assert out is not None  # every layer of an AlexNet has one
        last = number == len(layers)
        half = out if last else (out[0] // 2, *out[1:])
        rows = (0.0,) if last else (_AWAY, -_AWAY)
        now = [_box(axis, number * _STEP, y, name if y >= 0 else "", half) for y in rows]
        apart = groups.get(name, 1) > 1
        for i, (start, height) in enumerate(before):
            for j, (end, other) in enumerate(now):
                crossing = len(before) == len(now) == 2 and i != j
                if apart and crossing:
                    continue
                axis.annotate(
                    "", (end - 0.03, other), xytext=(start + 0.03, height),
                    arrowprops={
                        "arrowstyle": "->", "lw": 1.1, "shrinkA": 0, "shrinkB": 0,
                        "color": COLOURS[1] if crossing else "black",
                        "linestyle": "--" if crossing else "-",
                    },
                )  # fmt: skip
        before = [(x + _width(half), y) for x, y in now]
    axis.set(xlim=(-0.35, len(layers) * _STEP + 0.5), ylim=(-1.95, 1.95))
    axis.axis("off")
    return closed(figure)


def _width(shape: tuple[int, ...]) -> float:
    return 0.09 if len(shape) == 1 else 0.06 + 0.34 * shape[0] / 192


def _box(axis: Axes, x: float, y: float, name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Draws one box with its texts; where an arrow may begin or end: (left side, middle)."""
    maps, side = shape[0], (shape[1] if len(shape) > 1 else 0)
    height = 1.15 * ((side / 227) ** 0.5 if side else maps / 2048)
    width = _width(shape)
    axis.add_patch(Rectangle((x, y - height / 2), width, height, fc="#dbe9f4", ec="black", lw=0.9))
    size = f"{maps}@{side}×{side}" if side else f"{maps}"
    axis.text(x + width / 2, y - height / 2 - 0.06, size, ha="center", va="top", fontsize=7.5)
    if name:
        axis.text(x + width / 2, y + height / 2 + 0.06, name, ha="center", fontsize=9)
    return (x + width, y) if name == "image" else (x, y)
