"""Sheets of images: inputs, kernels, feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from cnnlib.plots.style import closed


def images(
    pictures: Tensor,
    titles: Sequence[str] | None = None,
    *,
    columns: int = 10,
    size: float = 0.75,
    signed: bool = False,
) -> Figure:
    """A grid of small grey images, each stretched to its own range.

    Args:
        pictures: (N, H, W) or (N, 1, H, W).
        titles: N short texts, one above each image.
        columns: images per row.
        size: width of one image in inches.
        signed: keep zero at middle grey (for kernels), one scale for all.

    Raises:
        ValueError: another shape, or another number of titles.
    """
    pictures = pictures.detach().cpu().float()
    if pictures.ndim == 4 and pictures.shape[1] == 1:
        pictures = pictures[:, 0]
    if pictures.ndim != 3:
        raise ValueError(f"images takes (N, H, W) or (N, 1, H, W), got {tuple(pictures.shape)}")
    if titles is not None and len(titles) != len(pictures):
        raise ValueError(f"{len(titles)} titles for {len(pictures)} images")
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    height = size * pictures.shape[1] / pictures.shape[2] + (0.22 if titles else 0.05)
    figure, axes = plt.subplots(
        rows, columns, figsize=(columns * size, rows * height), squeeze=False
    )
    figure.set_facecolor("none")  # on dark pages no white plate behind dark images
    limit = float(pictures.abs().max())
    scale: dict[str, Any] = {"vmin": -limit, "vmax": limit} if signed else {}
    for i, axis in enumerate(axes.flat):
        axis.axis("off")
        if i < len(pictures):
            axis.imshow(pictures[i].numpy(), cmap="gray", interpolation="nearest", **scale)
            if titles is not None:
                axis.set_title(titles[i], fontsize=8, pad=2, color="#808080")  # on any page
    return closed(figure)
