"""The network around a small cell: two of them, with one step down in size between."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .space import NODES, WIDTHS, SmallCell


class WiredCell(nn.Module):
    """A cell with weights: (N, width, H, W) -> the same shape.

    It is built of the canonical encoding, so that all encodings of a cell make the same network.
    Where nothing gets through, zeros come out.

    Args:
        cell: how it is wired.
        width: channels of every node.
    """

    def __init__(self, cell: SmallCell, width: int) -> None:
        super().__init__()
        self.cell = cell.canonical
        self.operations = nn.ModuleDict(
            {
                f"{source}-{target}": _operation(name, width)
                for source, target, name in self.cell.edges()
            }
        )

    def forward(self, maps: Tensor) -> Tensor:
        nodes: list[Tensor | None] = [maps] + [None] * (NODES - 1)
        for source, target, _ in self.cell.edges():
            brought = self.operations[f"{source}-{target}"](nodes[source])
            there = nodes[target]
            nodes[target] = brought if there is None else there + brought
        out = nodes[-1]
        return maps * 0 if out is None else out  # a product: gradients are 0, not missing


def _operation(name: str, width: int) -> nn.Module:
    """What an edge does: (N, width, H, W) -> the same shape."""
    if name == "identity":
        return nn.Identity()
    if name == "avg 3x3":  # the mean of the pixels that are there, at the border of fewer
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return nn.Sequential(nn.ReLU(), *_conv(width, width))


def _conv(origin: int, target: int, stride: int = 1) -> list[nn.Module]:
    layer = nn.Conv2d(origin, target, 3, stride, padding=1, bias=False)
    return [layer, nn.BatchNorm2d(target)]


class CellNetwork(nn.Module):
    """Stem, cell, half the size and twice the channels, cell, mean of each map, classifier.

    (N, in_channels, H, W) -> (N, num_classes). The two cells are wired alike and have weights of
    their own, as in Zoph et al. (CVPR 2018, Section 3): what is searched for is the wiring. The
    order within an edge is ReLU, convolution, batch normalisation, and so it is between the cells.

    Args:
        cell: the wiring.
        num_classes: scores per image.
        in_channels: of the images.
        widths: channels before and after the step down.

    Raises:
        TypeError: something other than a SmallCell.
    """

    def __init__(
        self,
        cell: SmallCell,
        num_classes: int = 10,
        in_channels: int = 1,
        widths: tuple[int, int] = WIDTHS,
    ) -> None:
        super().__init__()
        if not isinstance(cell, SmallCell):
            raise TypeError(
                f"cell must be a SmallCell, such as SmallCell.from_code('cc-ip'); got {cell!r}"
            )
        first, second = widths
        self.stem = nn.Sequential(*_conv(in_channels, first))
        self.cell1 = WiredCell(cell, first)
        self.reduction = nn.Sequential(nn.ReLU(), *_conv(first, second, stride=2))
        self.cell2 = WiredCell(cell, second)
        self.average = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(second, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.cell1(self.stem(images))  # [N, 8, 14, 14]
        maps = self.cell2(self.reduction(maps))  # [N, 16, 7, 7]
        return self.fc(self.average(maps))


def build(cell: SmallCell, seed: int, dtype: torch.dtype = torch.float32) -> CellNetwork:
    """The network of a cell with the weights of a seed, the same ones in every dtype.

    They are drawn in float64 on the CPU. The random state and the default dtype of torch are as
    before afterwards.
    """
    before = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            torch.set_default_dtype(torch.float64)
            model = CellNetwork(cell)
        finally:
            torch.set_default_dtype(before)
    return model.to(dtype)
