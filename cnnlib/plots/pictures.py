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
    """A grid of small images; grey ones are stretched to their own range, colours stay as they are.

    Args:
        pictures: (N, H, W) or (N, 1, H, W), grey; or (N, 3, H, W), colours in [0, 1].
        titles: N short texts, one above each image.
        columns: images per row.
        size: width of one image in inches.
        signed: keep zero at middle grey (for kernels), one scale for all.

    Raises:
        ValueError: another shape, colours outside [0, 1] or signed, or another number of titles.
    """
    pictures = pictures.detach().cpu().float()
    if pictures.ndim == 4 and pictures.shape[1] == 1:
        pictures = pictures[:, 0]
    colours = pictures.ndim == 4 and pictures.shape[1] == 3
    if pictures.ndim != 3 and not colours:
        raise ValueError(
            "images takes (N, H, W) or (N, 1, H, W), or colours (N, 3, H, W); got "
            f"{tuple(pictures.shape)}"
        )
    if colours and (signed or pictures.min() < 0 or pictures.max() > 1):
        raise ValueError(
            "colours are numbers from 0 to 1 and have no sign; got "
            f"{pictures.min():.3g} to {pictures.max():.3g}, signed={signed}"
        )
    if titles is not None and len(titles) != len(pictures):
        raise ValueError(f"{len(titles)} titles for {len(pictures)} images")
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    height = size * pictures.shape[-2] / pictures.shape[-1] + (0.22 if titles else 0.05)
    figure, axes = plt.subplots(
        rows, columns, figsize=(columns * size, rows * height), squeeze=False
    )
    figure.set_facecolor("none")  # on dark pages no white plate behind dark images
    limit = float(pictures.abs().max())
    scale: dict[str, Any] = {"vmin": -limit, "vmax": limit} if signed else {}
    for i, axis in enumerate(axes.flat):
        axis.axis("off")
        if i < len(pictures):
            shown = pictures[i].permute(1, 2, 0) if colours else pictures[i]
            how = "antialiased" if colours else "nearest"  # photographs are shrunk, pixels are not
            axis.imshow(shown.numpy(), cmap="gray", interpolation=how, **scale)
            if titles is not None:
                axis.set_title(titles[i], fontsize=8, pad=2, color="#808080")  # on any page
    return closed(figure)
