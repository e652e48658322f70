"""VGG: "Very Deep Convolutional Networks for Large-Scale Image Recognition".

K. Simonyan, A. Zisserman, ICLR 2015; arXiv:1409.1556.

The idea: small 3 x 3 filters only, many layers of them. Two see as much of the image as one of
5 x 5, three as much as one of 7 x 7, with fewer weights and more nonlinearities in between. Six
networks of 11 to 19 layers with weights, otherwise alike, show that depth helps.

Departures: initial weights are Glorot's, of which Section 3.1 says that they make all depths
trainable, found after the experiments were done; for these, network A started from a normal
distribution and lent its layers to the deeper ones. Batch normalisation, published a few months
later, is an option; the biases that it makes redundant stay, as is usual for these networks.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

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

_TABLE_1 = """
A         A-LRN     B         C         D         E
conv3-64  conv3-64  conv3-64  conv3-64  conv3-64  conv3-64
.         LRN       conv3-64  conv3-64  conv3-64  conv3-64
maxpool   maxpool   maxpool   maxpool   maxpool   maxpool
conv3-128 conv3-128 conv3-128 conv3-128 conv3-128 conv3-128
.         .         conv3-128 conv3-128 conv3-128 conv3-128
maxpool   maxpool   maxpool   maxpool   maxpool   maxpool
conv3-256 conv3-256 conv3-256 conv3-256 conv3-256 conv3-256
conv3-256 conv3-256 conv3-256 conv3-256 conv3-256 conv3-256
.         .         .         conv1-256 conv3-256 conv3-256
.         .         .         .         .         conv3-256
maxpool   maxpool   maxpool   maxpool   maxpool   maxpool
conv3-512 conv3-512 conv3-512 conv3-512 conv3-512 conv3-512
conv3-512 conv3-512 conv3-512 conv3-512 conv3-512 conv3-512
.         .         .         conv1-512 conv3-512 conv3-512
.         .         .         .         .         conv3-512
maxpool   maxpool   maxpool   maxpool   maxpool   maxpool
conv3-512 conv3-512 conv3-512 conv3-512 conv3-512 conv3-512
conv3-512 conv3-512 conv3-512 conv3-512 conv3-512 conv3-512
.         .         .         conv1-512 conv3-512 conv3-512
.         .         .         .         .         conv3-512
maxpool   maxpool   maxpool   maxpool   maxpool   maxpool
"""  # conv<side of the filters>-<maps>; below, all have FC-4096, FC-4096, FC-1000 and soft-max

TABLE_1: dict[str, tuple[tuple[str, ...], ...]] = {  # column -> its five blocks
    name: tuple(
        tuple(cell for cell in block.split() if cell != ".")
        for block in " ".join(cells).removesuffix("maxpool").split("maxpool")
    )
    for name, *cells in zip(*map(str.split, _TABLE_1.strip().splitlines()), strict=True)
}
CONFIGS = TABLE_1 | {  # Section 4.1: B with a 5 x 5 layer for each pair of 3 x 3
    "B-5x5": tuple((pair[0].replace("conv3", "conv5"),) for pair in TABLE_1["B"])
}
INITIAL: dict[str, Callable[[Tensor], object]] = {
    "glorot": nn.init.xavier_uniform_,
    "normal": partial(nn.init.normal_, std=math.sqrt(1e-2)),  # "10^-2 variance" (Section 3.1)
    "alexnet": partial(nn.init.normal_, std=1e-2),  # if 10^-2 was meant as the deviation, as there
}


class VGG(nn.Module):
    """A column of Table 1: images (N, in_channels, 224, 224) -> logits (N, num_classes).

    Each block of convolutions and each pooling is a child; they run one after the other.

    Args:
        num_classes: width of the last layer.
        in_channels: 3 for colour images.
        config: column of Table 1; or ``"B-5x5"``, with which Section 4.1 compares B.
        batch_norm: between each convolution and its ReLU.
        width_multiplier: of the maps, rounded.
        hidden_units: width of fc6 and fc7.
        dropout: share of the outputs of fc6 and fc7 that is dropped (Section 3.1).
        image_size: height and width of the images, in pixels.
        stem: ``"imagenet"``; or ``"small"``, ours, without the first pooling, for images of 16 to
            64 pixels. The paper's five poolings need 32.
        initial: weights from ``"glorot"`` (uniform); ``"normal"``, N(0, variance 0.01), which the
            paper uses for A; ``"alexnet"``, the same with 0.01 as the deviation; or ``"he"``, which
            keeps the signals' size in any depth. Biases are 0.

    Raises:
        ValueError: an option that does not exist, an image size that leaves nothing; in
            ``forward``, images of another shape.
        TypeError: in ``forward``, images that are not floating-point numbers.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        config: str = "D",
        batch_norm: bool = False,
        width_multiplier: float = 1.0,
        hidden_units: int = 4096,
        dropout: float = 0.5,
        image_size: int = 224,
        stem: str = "imagenet",
        initial: str = "glorot",
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels, hidden_units=hidden_units)
        check_positive(width_multiplier=width_multiplier)
        check_share(dropout=dropout)
        check_choice("config", config, CONFIGS)
        check_choice("stem", stem, ("imagenet", "small"))
        check_choice("initial", initial, (*INITIAL, "he"))
        maps = in_channels

        def block(number: int) -> nn.Sequential:
            nonlocal maps
            layers = OrderedDict()
            for place, cell in enumerate(CONFIGS[config][number - 1], start=1):
                if cell == "LRN":
                    layers[f"lrn{number}"] = ResponseNorm()
                    continue
                side, width = map(int, cell.removeprefix("conv").split("-"))
                width = max(1, round(width * width_multiplier))
                layers[f"conv{number}_{place}"] = nn.Conv2d(maps, width, side, padding=side // 2)
                if batch_norm:
                    layers[f"norm{number}_{place}"] = nn.BatchNorm2d(width)
                layers[f"relu{number}_{place}"] = nn.ReLU(inplace=True)
                maps = width
            return nn.Sequential(layers)

        def hide(inputs: int) -> list[nn.Module]:
            return [nn.Linear(inputs, hidden_units), nn.ReLU(inplace=True), nn.Dropout(dropout)]

        self.in_channels, self.image_size = in_channels, image_size
        self.block1 = block(1)
        self.pool1 = nn.MaxPool2d(2) if stem == "imagenet" else nn.Identity()
        self.block2 = block(2)
        self.pool2 = nn.MaxPool2d(2)
        self.block3 = block(3)
        self.pool3 = nn.MaxPool2d(2)
        self.block4 = block(4)
        self.pool4 = nn.MaxPool2d(2)
        self.block5 = block(5)
        self.pool5 = nn.MaxPool2d(2)
        self.fc6 = nn.Sequential(nn.Flatten(), *hide(maps * map_side(self, image_size) ** 2))
        self.fc7 = nn.Sequential(*hide(hidden_units))
        self.fc8 = nn.Linear(hidden_units, num_classes)
        self._draw_weights(initial)

    @torch.no_grad()
    def _draw_weights(self, initial: str) -> None:
        if initial == "he":
            return init_he(self)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                weight, bias = layer.parameters()
                INITIAL[initial](weight)
                bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self.in_channels, exactly=self.image_size)
        x = self.pool1(self.block1(images))  # (N, 64, 112, 112)
        x = self.pool2(self.block2(x))  # (N, 128, 56, 56)
        x = self.pool3(self.block3(x))  # (N, 256, 28, 28)
        x = self.pool4(self.block4(x))  # (N, 512, 14, 14)
        x = self.pool5(self.block5(x))  # (N, 512, 7, 7)
        x = self.fc6(x)  # (N, 4096)
        x = self.fc7(x)  # (N, 4096)
        return self.fc8(x)  # (N, num_classes)


class DenseVGG(nn.Module):
    """A VGG for whole images (Section 3.2): (N, C, H, W) -> score maps (N, num_classes, h, w).

    The fully connected layers slide over the last pooling's maps as convolutions: one as large as
    the maps that it was trained on, 7 x 7, and two of 1 x 1. An image of the network's own size has
    one place. For larger ones the paper averages, ``scores.mean((2, 3))``. Each place sees the
    image around it, where a crop of the image would have been padded with zeros.

    Args:
        vgg: the network; its weights are shared, not copied, as is its mode (``train``, ``eval``).

    Raises:
        ValueError: in ``forward``, images that are smaller than the network's own.
    """

    def __init__(self, vgg: VGG) -> None:
        super().__init__()
        children = vgg.named_children()
        layers = OrderedDict((name, m) for name, m in children if not name.startswith("fc"))
        self.features = nn.Sequential(layers)
        maps = [m.out_channels for m in self.features.modules() if isinstance(m, nn.Conv2d)][-1]
        side = map_side(self.features, vgg.image_size)
        self.in_channels = vgg.in_channels
        self.smallest = side * 2 ** sum(isinstance(m, nn.MaxPool2d) for m in layers.values())

        def slide(layer: nn.Module) -> nn.Module:
            nonlocal maps, side
            if not isinstance(layer, nn.Linear):
                return layer
            convolution = nn.Conv2d(maps, layer.out_features, side, device="meta")
            weight = layer.weight.detach().view(layer.out_features, maps, side, side)
            convolution.weight, convolution.bias = nn.Parameter(weight), layer.bias
            maps, side = layer.out_features, 1
            return convolution

        self.fc6 = nn.Sequential(*map(slide, vgg.fc6[1:]))  # all but its Flatten
        self.fc7 = nn.Sequential(*map(slide, vgg.fc7))
        self.fc8 = slide(vgg.fc8)
        self.train(vgg.training)

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self.in_channels, smallest=self.smallest)
        x = self.features(images)  # (N, 512, H / 32, W / 32)
        x = self.fc7(self.fc6(x))  # (N, 4096, H / 32 - 6, W / 32 - 6)
        return self.fc8(x)  # (N, num_classes, H / 32 - 6, W / 32 - 6)


def fully_convolutional(vgg: VGG) -> DenseVGG:
    """The same network for whole images of any size that is at least its own (Section 3.2)."""
    return DenseVGG(vgg)


def vgg_d(**options) -> VGG:
    """VGG-16, with as many layers that have weights: 138,357,544 parameters."""
    return VGG(config="D", **options)


def vgg_e(**options) -> VGG:
    """VGG-19: 143,667,240 parameters."""
    return VGG(config="E", **options)


MODELS: dict[str, tuple[type[nn.Module], dict]] = {
    "vgg_a": (VGG, {"config": "A"}),
    "vgg_a_bn": (VGG, {"config": "A", "batch_norm": True}),
    "vgg_a_lrn": (VGG, {"config": "A-LRN"}),
    "vgg_b": (VGG, {"config": "B"}),
    "vgg_b_bn": (VGG, {"config": "B", "batch_norm": True}),
    "vgg_c": (VGG, {"config": "C"}),
    "vgg_c_bn": (VGG, {"config": "C", "batch_norm": True}),
    "vgg_d": (VGG, {"config": "D"}),
    "vgg_d_bn": (VGG, {"config": "D", "batch_norm": True}),
    "vgg_e": (VGG, {"config": "E"}),
    "vgg_e_bn": (VGG, {"config": "E", "batch_norm": True}),
}
