"""Occlusion: cover a part of the image and ask again (Zeiler and Fergus, Section 4.2, Fig. 7)."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnnlib.models.layers import check_counts, evaluation_mode

from .asking import Box, check_image, picked, scores_of

Square = tuple[slice, slice]  # rows and columns of an image


def squares(height: int, width: int, patch: int, stride: int) -> list[list[Square]]:
    """Where the covering square lies for each cell of the map, row by row.

    The image is divided into cells of ``stride`` pixels; for each cell the square is put around its
    middle. At the border it is cut off, so that the map shows all of the image.

    Args:
        height: of the image, in pixels.
        width: of the image, in pixels.
        patch: side of the square, in pixels.
        stride: side of a cell, in pixels.

    Returns:
        As many rows and columns as there are cells, the last ones perhaps narrower than the others.
    """
    check_counts(height=height, width=width, patch=patch, stride=stride)

    def spans(length: int) -> list[slice]:
        firsts = (start + (stride - patch) // 2 for start in range(0, length, stride))
        # a square that is smaller than its cell may lie beyond the last, incomplete cell
        return [slice(min(max(f, 0), length), min(f + patch, length)) for f in firsts]

    return [[(rows, columns) for columns in spans(width)] for rows in spans(height)]


@torch.no_grad()
def occlusion(
    model: nn.Module,
    image: Tensor,
    target: int | None = None,
    *,
    patch: int,
    stride: int = 1,
    fill: float | Sequence[float] = 0.0,
    batch_size: int = 64,
) -> Tensor:
    """How probable a class is while a square of one colour covers each place of the image.

    Where the probability falls, there was something that the network needs for this class.

    Args:
        model: a network that returns scores (N, classes).
        image: (C, H, W), prepared as the network wants it.
        target: the class, or None for all of them.
        patch: side of the square, in pixels.
        stride: pixels from one place to the next; see ``squares``.
        fill: colour of the square, in the units of ``image``: one number, or one per channel. The
            paper takes grey, which is about 0 in normalised images.
        batch_size: images that are run at a time.

    Returns:
        (rows, columns) probabilities; without a target (rows, columns, classes).

    Raises:
        ValueError: arguments that do not fit this description.
    """
    check_image(image)
    check_counts(batch_size=batch_size)
    colour = torch.as_tensor(fill, dtype=image.dtype, device=image.device)
    if colour.ndim > 1 or (colour.ndim == 1 and len(colour) != len(image)):
        raise ValueError(
            f"fill must be one number or one for each of the {len(image)} channels; got {fill!r}"
        )
    colour = colour.expand(len(image))[:, None, None]
    _, height, width = image.shape
    places = squares(height, width, patch, stride)
    shares = []
    with evaluation_mode(model):
        for some in _chunks([place for row in places for place in row], batch_size):
            covered = image.repeat(len(some), 1, 1, 1)
            for one, (rows, columns) in zip(covered, some, strict=True):
                one[:, rows, columns] = colour
            answers = scores_of(model, covered).softmax(1)
            shares.append(answers if target is None else picked(answers, target))
    return torch.cat(shares).unflatten(0, (len(places), len(places[0])))


def hottest(values: Tensor, patch: int, within: Box | None = None) -> Square:
    """The square of ``patch`` x ``patch`` pixels in which a map's values have the largest sum.

    Args:
        values: (H, W).
        patch: side of the square, in pixels.
        within: the square lies inside this box, and inside the map; default anywhere in the map.

    Returns:
        Rows and columns.

    Raises:
        ValueError: not one map, or a square that does not fit.
    """
    check_counts(patch=patch)
    if values.ndim != 2:
        raise ValueError(f"values must be one map (H, W); got {tuple(values.shape)}")
    height, width = values.shape
    box = within or Box(0, 0, height, width)
    top, left = max(box.top, 0), max(box.left, 0)
    part = values[top : max(box.top + box.height, top), left : max(box.left + box.width, left)]
    if min(part.shape) < patch:
        raise ValueError(
            f"a square of {patch} pixels does not fit into {part.shape[0]} x {part.shape[1]}"
        )
    sums = F.avg_pool2d(part[None, None], patch, stride=1)[0, 0]
    row, column = divmod(int(sums.argmax()), sums.shape[1])
    row, column = top + row, left + column
    return slice(row, row + patch), slice(column, column + patch)


def _chunks(places: list[Square], size: int) -> Iterator[list[Square]]:
    for start in range(0, len(places), size):
        yield places[start : start + size]
