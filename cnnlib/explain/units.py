"""What excites a unit: its strongest activations over many images, and the patches it saw there."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cnnlib.inspection import summarize
from cnnlib.models.layers import check_counts, evaluation_mode

from .asking import Box, check_batch, check_image, layer_of
from .backwards import activations_at


@dataclass(frozen=True)
class Strongest:
    """The strongest activations of each unit of a layer, each from another image.

    Attributes:
        layer: its name.
        values: (K, k), of every unit the k strongest activations, in falling order.
        images: (K, k) int64, in which image each was.
        rows: (K, k) int64, where in the map; 0 in a fully connected layer.
        columns: (K, k) int64.
    """

    layer: str
    values: Tensor
    images: Tensor
    rows: Tensor
    columns: Tensor

    def alive(self) -> list[int]:
        """Units that answer to any image, strongest first."""
        peaks = self.values[:, 0]
        order = peaks.argsort(descending=True, stable=True).tolist()
        return [unit for unit in order if peaks[unit] > 0]

    def places(self, unit: int) -> Iterator[tuple[int, tuple[int, int]]]:
        """Of one unit, image and (row, column) of its activations, strongest first."""
        numbers = (table[unit].tolist() for table in (self.images, self.rows, self.columns))
        for image, row, column in zip(*numbers, strict=True):
            yield image, (row, column)


@torch.no_grad()
def activations(model: nn.Module, layer: str, images: Tensor, *, batch_size: int = 256) -> Tensor:
    """The output of a layer for each image: (N, K, h, w), or (N, K) of a fully connected one.

    Args:
        model: any network.
        layer: name of the layer, such as "conv5".
        images: (N, C, H, W).
        batch_size: images that are run at a time.

    Raises:
        ValueError, TypeError: arguments that do not fit this description.
    """
    check_batch(images)
    check_counts(batch_size=batch_size)
    with evaluation_mode(model):
        return torch.cat([activations_at(model, layer, some) for some in images.split(batch_size)])


@torch.no_grad()
def strongest(
    model: nn.Module, layer: str, images: Tensor, k: int = 9, *, batch_size: int = 256
) -> Strongest:
    """Of every unit of a layer the images that excite it most, and where (paper, Fig. 2).

    A unit is a map, or a number of a fully connected layer. Of each image its strongest place
    counts, so that the k patches come from k images.

    Args:
        model: any network.
        layer: name of the layer, such as "conv5".
        images: (N, C, H, W); the activations of one batch must fit into memory, not those of all.
        k: how many, at most N.
        batch_size: images that are run at a time.

    Raises:
        ValueError, TypeError: arguments that do not fit this description.
    """
    check_batch(images)
    check_counts(k=k, batch_size=batch_size)
    if k > len(images):
        raise ValueError(f"k={k} patches from {k} images asked for, but there are {len(images)}")
    peaks, places, width = [], [], 1
    with evaluation_mode(model):
        for some in images.split(batch_size):
            maps = activations_at(model, layer, some)
            if maps.ndim not in (2, 4):
                raise ValueError(
                    f"units are maps (N, K, h, w) or numbers (N, K); layer {layer!r} gives "
                    f"{tuple(maps.shape)}"
                )
            width = maps.shape[3] if maps.ndim == 4 else 1
            value, place = maps.flatten(2).max(2) if maps.ndim == 4 else (maps, None)
            peaks.append(value)
            places.append(torch.zeros_like(value, dtype=torch.int64) if place is None else place)
    # stable: of equal activations the earlier image wins, everywhere
    values, order = torch.cat(peaks).T.sort(dim=1, descending=True, stable=True)  # (K, N)
    order = order[:, :k]
    place = torch.cat(places).T.gather(1, order)
    return Strongest(layer, values[:, :k], order, place // width, place % width)


def seen_by(
    model: nn.Module,
    layer: str,
    position: tuple[int, int],
    input_shape: tuple[int, int, int],
) -> Box:
    """The pixels that one activation of a layer depends on: its receptive field.

    Args:
        model: any network that ``cnnlib.inspection`` can look into.
        layer: name of the layer.
        position: row and column within its maps; any, in a fully connected layer.
        input_shape: (C, H, W) of the images.

    Returns:
        A box that may reach beyond the image, into padding.

    Raises:
        ValueError: a layer that does not exist, or whose receptive field is not known.
    """
    layer_of(model, layer)
    (row, *_) = summarize(model, input_shape, rows={layer: layer}).rows
    sizes, starts = _pair(row.receptive_field), _pair(row.offset)
    if sizes is None or starts is None:
        raise ValueError(f"the receptive field of layer {layer!r} is not known")
    strides = _pair(row.stride) or (0, 0)  # none: all values see the same pixels
    top, left = (
        start + place * stride
        for start, place, stride in zip(starts, position, strides, strict=True)
    )
    return Box(top, left, *sizes)


def patch(image: Tensor, box: Box, fill: float = 0.0) -> Tensor:
    """The part of an image in a box: (C, height, width); beyond the border it is ``fill``.

    Raises:
        ValueError: not one image.
    """
    check_image(image)
    cut = image.new_full((len(image), box.height, box.width), fill)
    height, width = image.shape[1:]
    rows = slice(max(box.top, 0), min(box.top + box.height, height))
    columns = slice(max(box.left, 0), min(box.left + box.width, width))
    if rows.start < rows.stop and columns.start < columns.stop:
        inside = (
            slice(rows.start - box.top, rows.stop - box.top),
            slice(columns.start - box.left, columns.stop - box.left),
        )
        cut[:, inside[0], inside[1]] = image[:, rows, columns]
    return cut


def _pair(extent: int | tuple[int, int] | None) -> tuple[int, int] | None:
    return (extent, extent) if isinstance(extent, int) else extent
