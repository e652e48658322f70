"""ZFNet: "Visualizing and Understanding Convolutional Networks".

M. D. Zeiler, R. Fergus, ECCV 2014, LNCS 8689:818-833; arXiv:1311.2901.

The idea: see what a unit responds to by running the network backwards, unpooling with the places
that the pooling chose. AlexNet seen in this way had dead and coarse filters in its first layers, so
these look closer here: 7 x 7 pixels every 2 instead of 11 x 11 every 4. The rest stays.

Departures: the paper gives no padding, no constants for the contrast normalisation and no spread
for the initial weights ("10^-2"). Its sizes (110, 55, 26, 13, 6) follow with a padding of 1 in the
first layer, 0 in the second and poolings that round up; the constants are AlexNet's, and so is
N(0, 0.01) for the weights.
"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .alexnet import ResponseNorm
from .layers import (
    check_choice,
    check_counts,
    check_images,
    check_positive,
    check_share,
    init_he,
    map_side,
)


class Layer(NamedTuple):
    """A column of Fig. 3: how many maps, filters of which size and stride."""

    maps: int
    size: int  # pixels
    stride: int
    padding: int  # ours: not printed


FIGURE_3 = {
    "conv1": Layer(96, 7, 2, 1),
    "conv2": Layer(256, 5, 2, 0),
    "conv3": Layer(384, 3, 1, 1),
    "conv4": Layer(384, 3, 1, 1),
    "conv5": Layer(256, 3, 1, 1),
}
WIDTHS = tuple(layer.maps for layer in FIGURE_3.values())
WIDE = (96, 256, 512, 1024, 512)  # table 3, "adjust layers 3,4,5: 512, 1024, 512 maps"


class ZFNet(nn.Module):
    """ZFNet (Fig. 3): images (N, in_channels, 224, 224) -> logits (N, num_classes).

    The children run one after the other: convolution and ReLU, max pooling, contrast normalisation.
    So a deconvolutional network can walk them backwards; a pooling tells its switches, the places
    of the maxima, once ``pool.return_indices`` is set.

    Args:
        num_classes: width of the last layer.
        in_channels: 3 for colour images.
        removed: numbers from 2 to 7 of layers to leave out, as in table 3: 3 and 4, 6 and 7, or all
            four (there it is done to AlexNet, see its option). Poolings stay.
        widths: maps of conv1 to conv5.
        width_multiplier: of these, rounded.
        hidden_units: width of fc6 and fc7; table 3 also tries 2048 and 8192.
        dropout: share of the outputs of fc6 and fc7 that is dropped (Section 3).
        image_size: height and width of the images, in pixels.
        stem: ``"imagenet"``; or ``"small"``, ours, for images of 28 to 64 pixels: conv1 of 3 x 3
            pixels and stride 1 without pooling.
        initial: ``"normal"``, the paper's weights (Section 3); or ``"he"``, which suits narrow
            networks better.

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
        removed: Collection[int] = (),
        widths: Sequence[int] = WIDTHS,
        width_multiplier: float = 1.0,
        hidden_units: int = 4096,
        dropout: float = 0.5,
        image_size: int = 224,
        stem: str = "imagenet",
        initial: str = "normal",
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels, hidden_units=hidden_units)
        check_positive(width_multiplier=width_multiplier)
        check_share(dropout=dropout)
        check_choice("stem", stem, ("imagenet", "small"))
        check_choice("initial", initial, ("normal", "he"))
        for number in removed:
            check_choice("removed", number, range(2, 8))
        if len(widths) != len(FIGURE_3):
            raise ValueError(f"widths must be those of conv1 to conv5; got {tuple(widths)}")
        check_counts(**dict(zip((f"width of {name}" for name in FIGURE_3), widths, strict=True)))
        small = stem == "small"
        maps = in_channels

        def convolve(name: str) -> nn.Module:
            nonlocal maps
            number = int(name.removeprefix("conv"))
            if number in removed:
                return nn.Identity()
            _, size, stride, padding = FIGURE_3[name]
            if small and number == 1:
                size, stride, padding = 3, 1, 1
            width = max(1, round(widths[number - 1] * width_multiplier))
            layer = nn.Conv2d(maps, width, size, stride, padding)
            maps = width
            return nn.Sequential(layer, nn.ReLU(inplace=True))

        def pool() -> nn.Module:
            return nn.MaxPool2d(3, stride=2, ceil_mode=True)

        self.in_channels, self.image_size = in_channels, image_size
        self.conv1 = convolve("conv1")
        self.pool1 = nn.Identity() if small else pool()
        self.norm1 = ResponseNorm()
        self.conv2 = convolve("conv2")
        self.pool2 = pool()
        self.norm2 = ResponseNorm()
        self.conv3 = convolve("conv3")
        self.conv4 = convolve("conv4")
        self.conv5 = convolve("conv5")
        self.pool5 = pool()
        units = maps * map_side(self, image_size) ** 2

        def connect(number: int) -> list[nn.Module]:
            nonlocal units
            if number in removed:
                return []
            layer = nn.Linear(units, hidden_units)
            units = hidden_units
            return [layer, nn.ReLU(inplace=True), nn.Dropout(dropout)]

        self.fc6 = nn.Sequential(nn.Flatten(), *connect(6))
        self.fc7 = nn.Sequential(*connect(7))
        self.fc8 = nn.Linear(units, num_classes)
        self._draw_weights(initial)

    @torch.no_grad()
    def _draw_weights(self, initial: str) -> None:
        if initial == "he":
            return init_he(self)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                weight, bias = layer.parameters()
                weight.normal_(0, 0.01)
                bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self.in_channels, exactly=self.image_size)
        x = self.conv1(images)  # (N, 96, 110, 110)
        x = self.norm1(self.pool1(x))  # (N, 96, 55, 55)
        x = self.conv2(x)  # (N, 256, 26, 26)
        x = self.norm2(self.pool2(x))  # (N, 256, 13, 13)
        x = self.conv3(x)  # (N, 384, 13, 13)
        x = self.conv4(x)  # (N, 384, 13, 13)
        x = self.conv5(x)  # (N, 256, 13, 13)
        x = self.pool5(x)  # (N, 256, 6, 6)
        x = self.fc6(x)  # (N, 4096)
        x = self.fc7(x)  # (N, 4096)
        return self.fc8(x)  # (N, num_classes)


@torch.no_grad()
def renormalize_filters(model: nn.Module, radius: float = 0.1) -> None:
    """Shrinks convolution filters whose root mean square is above ``radius`` to it, in place.

    To be called after each training step: so no filter of the first layer dominates (Section 3.1).
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            rms = layer.weight.square().mean((1, 2, 3), keepdim=True).sqrt()
            layer.weight.mul_(radius / rms.clamp(min=radius))


def zfnet(**options) -> ZFNet:
    """The network of Fig. 3: 62,357,608 parameters."""
    return ZFNet(**options)


def zfnet_wide(**options) -> ZFNet:
    """The form of table 3 with more maps in layers 3 to 5: 107,627,624 parameters."""
    return ZFNet(**(_WIDE | options))


_WIDE: dict[str, Any] = {"widths": WIDE}


MODELS: dict[str, tuple[type[nn.Module], dict]] = {
    "zfnet": (ZFNet, {}),
    "zfnet_wide": (ZFNet, _WIDE),
}
