"""AlexNet: "ImageNet Classification with Deep Convolutional Neural Networks".

A. Krizhevsky, I. Sutskever, G. E. Hinton, Advances in Neural Information Processing Systems 25,
2012 (not on arXiv). Also its successor with one tower, by A. Krizhevsky, "One weird trick for
parallelizing convolutional neural networks", arXiv:1404.5997, 2014.

The idea: a large network, trained long on many images by two graphics cards. Units that do not
saturate (ReLU) make the training quick; dropout and random crops keep so many weights from learning
the images by heart. Each card holds a tower of half the maps, and the towers meet only in the third
layer and in the fully connected ones.

Departures: images have 227 x 227 pixels, since the printed 224 do not give maps of 55 x 55 with
kernels of 11 and steps of 4 (``padding=2`` makes 224 fit); Figure 2 prints 253,440 neurons for the
first layer, where 55 x 55 x 96 are 290,400. Neighbours in the response normalisation are those of
the same tower, as the cards exchange no maps there, though the paper does not spell it out. Dropout
scales what it keeps in training rather than everything in the test, which is the same function.
"""

from collections.abc import Collection, Sequence
from functools import reduce
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import (
    check_choice,
    check_counts,
    check_images,
    check_positive,
    check_share,
    init_he,
    map_side,
)


class Kernels(NamedTuple):
    """The weights of a layer as the paper words them: "256 kernels of size 5 x 5 x 48"."""

    count: int
    side: int  # pixels
    depth: int  # input maps that each of them sees


SECTION_3_5 = {
    "conv1": Kernels(96, 11, 3),  # with a stride of 4 pixels
    "conv2": Kernels(256, 5, 48),
    "conv3": Kernels(384, 3, 256),
    "conv4": Kernels(384, 3, 192),
    "conv5": Kernels(256, 3, 192),
}
WIDTHS = tuple(kernels.count for kernels in SECTION_3_5.values())
ONE_TOWER = (64, 192, 384, 256, 256)  # the widths of 2014
SPLIT = tuple(  # layers whose kernels see one tower only: those that see half of the maps
    name
    for name, before in zip(list(SECTION_3_5)[1:], WIDTHS, strict=False)
    if 2 * SECTION_3_5[name].depth == before
)
ACTIVATIONS = {
    "relu": lambda: nn.ReLU(inplace=True),
    "tanh": nn.Tanh,  # this and the next are the "standard ways" of Section 3.1, which saturate
    "logistic": nn.Sigmoid,
}


class ResponseNorm(nn.Module):
    """Local response normalisation (Section 3.3): (N, C, H, W) -> same shape.

    Divides a by (k + alpha times the sum of squares over n adjacent maps, same place) ** beta, as
    printed; ``nn.LocalResponseNorm`` computes the same, but divides its alpha by n.

    Args:
        towers: maps are adjacent only within one of so many groups of equal size.
        n: adjacent maps in the sum, the map itself in their middle; odd.
    """

    def __init__(
        self, towers: int = 1, *, n: int = 5, k: float = 2, alpha: float = 1e-4, beta: float = 0.75
    ) -> None:
        super().__init__()
        self.towers, self.n, self.k, self.alpha, self.beta = towers, n, k, alpha, beta

    def forward(self, maps: Tensor) -> Tensor:
        squares = maps.square().unflatten(1, (self.towers, -1))  # (N, towers, C / towers, H, W)
        depth, reach = squares.shape[2], self.n // 2
        padded = F.pad(squares, (0, 0, 0, 0, reach, reach))  # beyond the first map and the last
        windows = (padded.narrow(2, first, depth) for first in range(self.n))
        sums = reduce(torch.add, windows).flatten(1, 2)  # (N, C, H, W)
        return maps * (self.k + self.alpha * sums).pow(-self.beta)

    def extra_repr(self) -> str:
        numbers = f"n={self.n}, k={self.k}, alpha={self.alpha}, beta={self.beta}"
        return numbers if self.towers == 1 else f"towers={self.towers}, {numbers}"


class AlexNet(nn.Module):
    """AlexNet (Fig. 2): images (N, in_channels, 227, 227) -> logits (N, num_classes).

    The defaults are the paper's network; each option changes one thing that the paper, or that of
    2014, compares. The children run one after the other.

    Args:
        num_classes: width of the last layer.
        in_channels: 3 for colour images.
        towers: halves that see each other only in conv3 and in the fully connected layers; 1 for
            the same widths without a split.
        lrn: response normalisation after conv1 and conv2 (Section 3.3).
        overlapping_pooling: over 3 x 3 places every 2 (Section 3.4); else over 2 x 2 every 2.
        activation: ``"relu"``, or what Section 3.1 compares it with: ``"tanh"`` or ``"logistic"``.
        dropout: share of the inputs of two fully connected layers that is dropped (Section 4.2).
        dropout_before: these layers; here those that see the outputs of fc6 and fc7.
        removed: numbers from 2 to 7 of layers to leave out (Section 7 removes convolutions; Zeiler
            and Fergus, arXiv:1311.2901, table 3, remove 3 and 4, 6 and 7, all four). Poolings stay.
        widths: maps of conv1 to conv5.
        width_multiplier: of these, rounded so that the towers are equally wide.
        hidden_units: width of fc6 and fc7.
        image_size: height and width of the images, in pixels.
        padding: of conv1; 0 fits 227 x 227 pixels, 2 the 224 x 224 that the paper prints.
        stem: ``"imagenet"``; or ``"small"``, ours, for images of 28 to 64 pixels: conv1 of 3 x 3
            pixels and stride 1 without pooling, so that fc6 sees 6 x 6 places at 28 x 28 as well.
        initial: ``"normal"``, the paper's weights (Section 5); or ``"he"``, which suits ReLUs in
            narrow networks better.

    Raises:
        ValueError: an option that does not exist or does not fit, an image size that leaves
            nothing; in ``forward``, images of another shape.
        TypeError: in ``forward``, images that are not floating-point numbers.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        towers: int = 2,
        lrn: bool = True,
        overlapping_pooling: bool = True,
        activation: str = "relu",
        dropout: float = 0.5,
        dropout_before: Collection[str] = ("fc7", "fc8"),
        removed: Collection[int] = (),
        widths: Sequence[int] = WIDTHS,
        width_multiplier: float = 1.0,
        hidden_units: int = 4096,
        image_size: int = 227,
        padding: int = 0,
        stem: str = "imagenet",
        initial: str = "normal",
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels, towers=towers)
        check_counts(hidden_units=hidden_units)
        check_positive(width_multiplier=width_multiplier)
        check_share(dropout=dropout)
        check_choice("activation", activation, ACTIVATIONS)
        check_choice("stem", stem, ("imagenet", "small"))
        check_choice("initial", initial, ("normal", "he"))
        for number in removed:
            check_choice("removed", number, range(2, 8))
        for name in dropout_before:
            check_choice("dropout_before", name, ("fc6", "fc7", "fc8"))
        if len(widths) != len(SECTION_3_5):
            raise ValueError(f"widths must be those of conv1 to conv5; got {tuple(widths)}")
        check_counts(**dict(zip((f"width of {name}" for name in SECTION_3_5), widths, strict=True)))
        small = stem == "small"
        maps = in_channels

        def convolve(name: str, stride: int = 1, padding: int | None = None) -> nn.Module:
            nonlocal maps
            number = int(name.removeprefix("conv"))
            if number in removed:
                return nn.Identity()
            side = 3 if small and number == 1 else SECTION_3_5[name].side
            width = max(1, round(widths[number - 1] * width_multiplier / towers)) * towers
            groups = towers if name in SPLIT else 1
            padding = side // 2 if padding is None else padding
            layer = nn.Conv2d(maps, width, side, stride, padding, groups=groups)
            maps = width
            return nn.Sequential(layer, ACTIVATIONS[activation]())

        def normalize() -> nn.Module:
            return ResponseNorm(towers) if lrn else nn.Identity()

        def pool() -> nn.Module:
            return nn.MaxPool2d(3 if overlapping_pooling else 2, stride=2)

        self.in_channels, self.image_size = in_channels, image_size
        self.conv1 = convolve("conv1") if small else convolve("conv1", 4, padding)
        self.norm1 = normalize()
        self.pool1 = nn.Identity() if small else pool()
        self.conv2 = convolve("conv2")
        self.norm2 = normalize()
        self.pool2 = pool()
        self.conv3 = convolve("conv3")
        self.conv4 = convolve("conv4")
        self.conv5 = convolve("conv5")
        self.pool5 = pool()
        units = maps * map_side(self, image_size) ** 2

        def connect(name: str, width: int) -> list[nn.Module]:
            nonlocal units
            drop = [nn.Dropout(dropout)] if name in dropout_before else []
            layer = nn.Linear(units, width)
            units = width
            return [*drop, layer]

        def hide(name: str) -> list[nn.Module]:
            if int(name.removeprefix("fc")) in removed:
                return []
            return [*connect(name, hidden_units), ACTIVATIONS[activation]()]

        self.fc6 = nn.Sequential(nn.Flatten(), *hide("fc6"))
        self.fc7 = nn.Sequential(*hide("fc7"))
        self.fc8 = nn.Sequential(*connect("fc8", num_classes))
        self._draw_weights(initial)

    @torch.no_grad()
    def _draw_weights(self, initial: str) -> None:
        if initial == "he":
            return init_he(self)
        for name, layer in self.named_modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                weight, bias = layer.parameters()
                weight.normal_(0, 0.01)
                # 1 gives the ReLUs positive inputs at the start, which makes learning begin sooner
                bias.fill_(name.startswith((*SPLIT, "fc6", "fc7")))

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self.in_channels, exactly=self.image_size)
        x = self.conv1(images)  # (N, 96, 55, 55)
        x = self.pool1(self.norm1(x))  # (N, 96, 27, 27)
        x = self.conv2(x)  # (N, 256, 27, 27)
        x = self.pool2(self.norm2(x))  # (N, 256, 13, 13)
        x = self.conv3(x)  # (N, 384, 13, 13)
        x = self.conv4(x)  # (N, 384, 13, 13)
        x = self.conv5(x)  # (N, 256, 13, 13)
        x = self.pool5(x)  # (N, 256, 6, 6)
        x = self.fc6(x)  # (N, 4096)
        x = self.fc7(x)  # (N, 4096)
        return self.fc8(x)  # (N, num_classes)


def alexnet(**options) -> AlexNet:
    """The network of the paper, in two towers: 60,965,224 parameters."""
    return AlexNet(**options)


def alexnet_owt(**options) -> AlexNet:
    """The network of 2014, in one tower and without normalisation: 61,100,840 parameters."""
    return AlexNet(**(_OWT | options))


_OWT: dict[str, Any] = {
    "widths": ONE_TOWER,
    "towers": 1,
    "lrn": False,
    "dropout_before": ("fc6", "fc7"),
    "image_size": 224,
    "padding": 2,
}
MODELS: dict[str, tuple[type[nn.Module], dict]] = {
    "alexnet": (AlexNet, {}),
    "alexnet_ungrouped": (AlexNet, {"towers": 1}),
    "alexnet_owt": (AlexNet, _OWT),
}
