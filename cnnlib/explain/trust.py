"""How far to trust an explanation: cover what it shows, and make the network forget.

* Zeiler and Fergus, Section 4.2 and Fig. 7: a unit falls silent when the part of the image is
  covered that its projection shows.
* J. Adebayo, J. Gilmer, M. Muelly, I. Goodfellow, M. Hardt, B. Kim, "Sanity Checks for Saliency
  Maps", NeurIPS 2018; arXiv:1810.03292: an explanation that stays when the weights are drawn anew
  explains the image, not the network.
"""

import copy
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cnnlib.models.layers import check_counts

from .asking import layer_of
from .backwards import backproject
from .occluding import Square, hottest
from .units import activations, seen_by, strongest

CHANCE = "chance"
WAYS = ("deconvnet", "gradient", CHANCE)


class PointedAt(NamedTuple):
    """Where several explanations of one activation point.

    Attributes:
        unit: number of the map.
        position: row and column within it.
        value: of the activation.
        image: number of the image.
        squares: by way, the rows and columns where the explanation is strongest.
    """

    unit: int
    position: tuple[int, int]
    value: float
    image: int
    squares: dict[str, Square]


def pointed_at(
    model: nn.Module,
    layer: str,
    images: Tensor,
    *,
    patch: int,
    k: int = 3,
    ways: Sequence[str] = WAYS,
    seed: int = 0,
) -> Iterator[PointedAt]:
    """For each unit of a layer and its k strongest images: where do explanations point?

    The square lies inside what the activation can see, on the place where the explanation has the
    largest absolute values. Units that answer to no image are left out.

    Args:
        model: any network whose ReLUs are PyTorch's.
        layer: whose output are maps.
        images: (N, C, H, W).
        patch: side of the square, in pixels.
        k: images for each unit.
        ways: rules of ``backproject``, and "chance": a place that is drawn.
        seed: of chance.
    """
    check_counts(patch=patch, k=k)
    draw = torch.Generator().manual_seed(seed)
    found = strongest(model, layer, images, k)
    for unit, values in enumerate(found.values.tolist()):
        for value, (image, position) in zip(values, found.places(unit), strict=True):
            if value <= 0:
                continue
            picture = images[image]
            channels, height, width = picture.shape
            box = seen_by(model, layer, position, (channels, height, width))
            squares = {}
            for way in ways:
                if way == CHANCE:
                    shown = torch.rand(height, width, generator=draw)
                else:
                    back = backproject(model, picture[None], layer, unit, position, rule=way)
                    shown = back[0].abs().sum(0)
                squares[way] = hottest(shown, patch, box)
            yield PointedAt(unit, position, value, image, squares)


def drop_when_covered(
    model: nn.Module,
    layer: str,
    images: Tensor,
    *,
    patch: int,
    fill: float = 0.0,
    k: int = 3,
    ways: Sequence[str] = WAYS,
    seed: int = 0,
) -> dict[str, float]:
    """How much of its activation a unit loses when a square covers what an explanation points at.

    Args:
        model: any network whose ReLUs are PyTorch's.
        layer: whose output are maps.
        images: (N, C, H, W).
        patch: side of the square, in pixels.
        fill: colour of the square, in the units of the images.
        k: images for each unit.
        ways: see ``pointed_at``, which says where the squares lie.
        seed: of chance.

    Returns:
        By way, the mean over units and images of the share that is lost, 0 to 1. Units that answer
        to no image are left out.

    Raises:
        ValueError: no unit answers to any image, or what the functions used say.
    """
    lost: dict[str, list[float]] = {way: [] for way in ways}
    options: dict[str, Any] = {"patch": patch, "k": k, "ways": ways, "seed": seed}
    for unit, (row, column), value, image, squares in pointed_at(model, layer, images, **options):
        covered = images[image].repeat(len(ways), 1, 1, 1)
        for one, (rows, columns) in zip(covered, squares.values(), strict=True):
            one[:, rows, columns] = fill
        left = activations(model, layer, covered)[:, unit, row, column].clamp(min=0)
        for way, rest in zip(ways, left.tolist(), strict=True):
            lost[way].append(1 - rest / value)
    if not any(lost.values()):
        raise ValueError(f"no unit of {layer!r} answers to any of the images")
    return {way: fmean(shares) for way, shares in lost.items()}


def forgetting(model: nn.Module, fresh: nn.Module, layers: Sequence[str]) -> nn.Module:
    """A copy of a network in which some layers have the weights of another, untrained one.

    Args:
        model: a trained network; it stays as it is.
        fresh: the same network before training.
        layers: names of the layers to take from there.

    Raises:
        ValueError: a layer that does not exist.
    """
    mixed = copy.deepcopy(model)
    for layer in layers:
        layer_of(mixed, layer).load_state_dict(layer_of(fresh, layer).state_dict())
    return mixed


def rank_correlation(maps: Tensor, others: Tensor) -> Tensor:
    """Spearman's rank correlation of each map with its counterpart: (N,), from -1 to 1.

    Of equal values the one that comes first has the lower rank.

    Args:
        maps: (N, ...), with at least two values each.
        others: the same shape.

    Raises:
        ValueError: shapes that differ, or maps of a single value.
    """
    if maps.shape != others.shape or maps.ndim < 2 or maps[0].numel() < 2:
        raise ValueError(
            "two batches of maps of one shape are compared, with two or more values each; got "
            f"{tuple(maps.shape)} and {tuple(others.shape)}"
        )
    ranks = [
        batch.flatten(1).argsort(dim=1, stable=True).argsort(dim=1).double()
        for batch in (maps, others)
    ]
    one, two = (rank - rank.mean(1, keepdim=True) for rank in ranks)
    return (one * two).sum(1) / (one.norm(dim=1) * two.norm(dim=1))
