"""GoogLeNet: "Going Deeper with Convolutions".

C. Szegedy, W. Liu, Y. Jia, P. Sermanet, S. Reed, D. Anguelov, D. Erhan, V. Vanhoucke,
A. Rabinovich, CVPR 2015, arXiv:1409.4842; the network is Table 1, the module Fig. 2.

The idea: nobody knows which size of window a layer should have, so an Inception module looks
through several at once and puts what they see side by side. 1 x 1 convolutions before the wide
windows take the channels down first, which makes the width affordable. Two auxiliary classifiers,
for training only, bring gradients to the middle of a network that is 22 layers deep.

Departures: the paper does not give the constants of its local response normalisation; they are
those of Caffe's reference model, whose pooling also rounds up as Table 1 needs. Nor does it say how
weights start; here from N(0, 2 / fan-in) with zero biases (He et al. 2015), which keeps the signal
alive through 22 layers. The heads pool 5 x 5 patches rounding up, too, which for 224 x 224 images
changes nothing. ``stem="small"`` and ``width_multiplier`` are ours.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import check_choice, check_counts, check_images, check_positive, init_he


class Widths(NamedTuple):
    """Filters of an Inception module: the six columns of Table 1."""

    n1x1: int
    n3x3_reduce: int
    n3x3: int
    n5x5_reduce: int
    n5x5: int
    pool_proj: int

    def times(self, multiplier: float) -> "Widths":
        return Widths(*(_times(width, multiplier) for width in self))


# Table 1. The inception rows; the others are two convolutions and what pools or classifies.
CONV1 = 64  # #filters of "convolution 7x7/2"
CONV2 = (64, 192)  # #3x3 reduce and #3x3 of "convolution 3x3/1"
TABLE_1 = {
    # module      #1x1 #3x3 reduce #3x3 #5x5 reduce #5x5 pool proj
    "3a": Widths(64, 96, 128, 16, 32, 32),
    "3b": Widths(128, 128, 192, 32, 96, 64),
    # max pool 3x3/2
    "4a": Widths(192, 96, 208, 16, 48, 64),
    "4b": Widths(160, 112, 224, 24, 64, 64),
    "4c": Widths(128, 128, 256, 24, 64, 64),
    "4d": Widths(112, 144, 288, 32, 64, 64),
    "4e": Widths(256, 160, 320, 32, 128, 128),
    # max pool 3x3/2
    "5a": Widths(256, 160, 320, 32, 128, 128),
    "5b": Widths(384, 192, 384, 48, 128, 128),
}

AUXILIARY_WEIGHT = 0.3  # of each head's loss (Section 5)
AUXILIARY_DROPOUT = 0.7  # Section 5
AUXILIARY_WIDTHS = (128, 1024)  # of a head's 1 x 1 convolution and first linear layer (Section 5)

# Batch normalisation came half a year later (Ioffe and Szegedy 2015); networks that are called
# GoogLeNet today have it, and 3 x 3 windows where the paper's table says 5 x 5.
MODERN: dict[str, Any] = {
    "batch_norm": True,
    "wide_kernel": 3,
    "pool4": 2,
    "dropout": 0.2,
    "auxiliary_pool": "adaptive",
}


def _times(width: int, multiplier: float) -> int:
    return max(1, round(width * multiplier))


def convolution(
    in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, batch_norm: bool = False
) -> nn.Sequential:
    """Convolution that keeps the size but for its stride, batch normalisation if asked, ReLU."""
    padding = kernel // 2
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=not batch_norm)
    norm = [nn.BatchNorm2d(out_channels, eps=1e-3)] if batch_norm else []
    return nn.Sequential(conv, *norm, nn.ReLU(inplace=True))


def max_pool(kernel: int = 3) -> nn.MaxPool2d:
    """Halves the size, rounding up as Caffe does: 112 -> 56 -> 28 -> 14 -> 7."""
    return nn.MaxPool2d(kernel, stride=2, ceil_mode=True)


class Inception(nn.Module):
    """Module with reductions (Fig. 2b): (N, in_channels, H, W) -> (N, out_channels, H, W).

    Args:
        in_channels: maps that come in.
        widths: a row of Table 1.
        wide_kernel: side of the windows of the column #5x5.
        batch_norm: after every convolution, which then has no bias.

    Attributes:
        out_channels: maps that go out, #1x1 + #3x3 + #5x5 + pool proj.
    """

    def __init__(
        self, in_channels: int, widths: Widths, *, wide_kernel: int = 5, batch_norm: bool = False
    ) -> None:
        super().__init__()

        def conv(origin: int, width: int, kernel: int) -> nn.Sequential:
            return convolution(origin, width, kernel, batch_norm=batch_norm)

        w = widths
        self.out_channels = w.n1x1 + w.n3x3 + w.n5x5 + w.pool_proj
        self.conv1x1 = conv(in_channels, w.n1x1, 1)
        self.conv3x3 = nn.Sequential(
            conv(in_channels, w.n3x3_reduce, 1), conv(w.n3x3_reduce, w.n3x3, 3)
        )
        self.conv5x5 = nn.Sequential(
            conv(in_channels, w.n5x5_reduce, 1), conv(w.n5x5_reduce, w.n5x5, wide_kernel)
        )
        self.pool_proj = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1), conv(in_channels, w.pool_proj, 1)
        )

    def forward(self, maps: Tensor) -> Tensor:
        branches = (self.conv1x1, self.conv3x3, self.conv5x5, self.pool_proj)
        return torch.cat([branch(maps) for branch in branches], 1)


class NaiveInception(nn.Module):
    """Module without reductions (Fig. 2a): (N, in_channels, H, W) -> (N, out_channels, H, W).

    The wide windows look at all maps and pooling passes all of them on, so that both the cost and
    the number of maps grow from module to module. Same arguments and attributes as ``Inception``;
    the three columns of Table 1 that reduce or project are not used.
    """

    def __init__(
        self, in_channels: int, widths: Widths, *, wide_kernel: int = 5, batch_norm: bool = False
    ) -> None:
        super().__init__()

        def conv(width: int, kernel: int) -> nn.Sequential:
            return convolution(in_channels, width, kernel, batch_norm=batch_norm)

        self.out_channels = widths.n1x1 + widths.n3x3 + widths.n5x5 + in_channels
        self.conv1x1 = conv(widths.n1x1, 1)
        self.conv3x3 = conv(widths.n3x3, 3)
        self.conv5x5 = conv(widths.n5x5, wide_kernel)
        self.pool = nn.MaxPool2d(3, stride=1, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        branches = (self.conv1x1, self.conv3x3, self.conv5x5, self.pool)
        return torch.cat([branch(maps) for branch in branches], 1)


class AuxiliaryHead(nn.Module):
    """A classifier on the side (Section 5): (N, in_channels, side, side) -> (N, num_classes).

    Args:
        in_channels: maps of the module that it listens to.
        num_classes: scores per image.
        widths: of the 1 x 1 convolution and of the first linear layer.
        side: of the maps that come in; None pools whatever comes to 4 x 4.
        batch_norm: after the convolution.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        widths: tuple[int, int] = AUXILIARY_WIDTHS,
        *,
        side: int | None = 14,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        maps, units = widths
        if side is None:
            self.pool, pooled = nn.AdaptiveAvgPool2d(4), 4
        else:
            self.pool = nn.AvgPool2d(5, stride=3, ceil_mode=True)
            pooled = -(-(side - 5) // 3) + 1  # 14 -> 4
        self.conv = convolution(in_channels, maps, 1, batch_norm=batch_norm)
        self.fc = nn.Sequential(
            nn.Flatten(), nn.Linear(maps * pooled**2, units), nn.ReLU(inplace=True)
        )
        self.dropout = nn.Dropout(AUXILIARY_DROPOUT)
        self.linear = nn.Linear(units, num_classes)

    def forward(self, maps: Tensor) -> Tensor:
        x = self.conv(self.pool(maps))  # (N, 128, 4, 4)
        x = self.dropout(self.fc(x))  # (N, 1024)
        return self.linear(x)  # (N, num_classes)


class GoogLeNet(nn.Module):
    """GoogLeNet (Table 1, Fig. 3): images (N, in_channels, 224, 224) -> logits (N, num_classes).

    Other sizes will do as well, since the last pooling averages over whatever is left. With
    auxiliary heads, training mode gives ``(logits, logits of 4a, logits of 4d)`` and evaluation
    mode the logits alone; ``auxiliary_loss`` takes both.

    Args:
        num_classes: logits per image.
        in_channels: channels of the images.
        auxiliary_heads: classifiers on modules 4a and 4d, in training mode only (Section 5).
        batch_norm: instead of local response normalisation and of biases.
        wide_kernel: side of the windows of the column #5x5; 3 or 5.
        pool4: side of the windows of the last max pooling; 2 or 3.
        dropout: share of the 1,024 averages that training leaves out.
        auxiliary_pool: ``"strided"``, 5 x 5 with stride 3 as in the paper, for which the images to
            train on must be of one size; or ``"adaptive"``, to 4 x 4 from any size.
        image_size: of the images to train on, in pixels, for strided auxiliary pooling alone; None
            is 224, or 28 with the small stem.
        stem: ``"imagenet"``, or ``"small"`` for images of about 28 to 64 pixels: 3 x 3 with stride
            1 and no pooling before module 3a. From there on, 28 x 28 images give the same sizes as
            224 x 224 in the paper.
        width_multiplier: of all numbers of filters and of the heads' hidden units.

    Raises:
        ValueError: an option out of range, an ``image_size`` too small for the heads; in
            ``forward``, images of another shape.
        TypeError: in ``forward``, images that are not floating-point numbers.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        auxiliary_heads: bool = False,
        batch_norm: bool = False,
        wide_kernel: int = 5,
        pool4: int = 3,
        dropout: float = 0.4,
        auxiliary_pool: str = "strided",
        image_size: int | None = None,
        stem: str = "imagenet",
        width_multiplier: float = 1.0,
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels)
        if image_size is not None:
            check_counts(image_size=image_size)
        check_choice("wide_kernel", wide_kernel, (3, 5))
        check_choice("pool4", pool4, (2, 3))
        check_choice("auxiliary_pool", auxiliary_pool, ("strided", "adaptive"))
        check_choice("stem", stem, ("imagenet", "small"))
        check_positive(width_multiplier=width_multiplier)
        small = stem == "small"
        # Windows of 3 with stride 2, rounding up, take n >= 2 rows to n // 2; the stem has four
        # times as many rows as module 3a, and 7 x 7 with stride 2 makes them out of 2 n - 1 pixels.
        self.smallest = _pixels(pool4 - 1, small)
        self.in_channels = in_channels
        self.trained_on = None  # the one size for training mode, if there is only one
        side = None  # of the maps that the heads see
        if auxiliary_heads and auxiliary_pool == "strided":
            self.trained_on = image_size or (28 if small else 224)
            if self.trained_on < _pixels(3, small):
                raise ValueError(
                    f"with auxiliary heads, image_size must be at least {_pixels(3, small)} for "
                    f"the {stem} stem, so that 5 x 5 pooling finds maps of 3 x 3; got {image_size}."
                    ' Or choose auxiliary_pool="adaptive"'
                )
            side = self.trained_on // 2 if small else (self.trained_on + 1) // 16

        def times(width: int) -> int:
            return _times(width, width_multiplier)

        def conv(origin: int, width: int, kernel: int, stride: int = 1) -> nn.Sequential:
            return convolution(origin, width, kernel, stride=stride, batch_norm=batch_norm)

        def norm() -> list[nn.Module]:  # constants of Caffe's reference model
            return [] if batch_norm else [nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1)]

        channels = times(CONV2[1])

        def inception(row: str) -> Inception:
            nonlocal channels
            widths = TABLE_1[row].times(width_multiplier)
            module = Inception(channels, widths, wide_kernel=wide_kernel, batch_norm=batch_norm)
            channels = module.out_channels
            return module

        def head() -> AuxiliaryHead | None:
            if not auxiliary_heads:
                return None
            maps, units = AUXILIARY_WIDTHS
            widths = times(maps), times(units)
            return AuxiliaryHead(channels, num_classes, widths, side=side, batch_norm=batch_norm)

        first, (reduced, second) = times(CONV1), map(times, CONV2)
        self.conv1 = conv(in_channels, first, 3) if small else conv(in_channels, first, 7, 2)
        self.pool1 = nn.Sequential(nn.Identity() if small else max_pool(), *norm())
        self.conv2 = nn.Sequential(conv(first, reduced, 1), conv(reduced, second, 3), *norm())
        self.pool2 = nn.Identity() if small else max_pool()
        self.inception3a = inception("3a")
        self.inception3b = inception("3b")
        self.pool3 = max_pool()
        self.inception4a = inception("4a")
        self.auxiliary4a = head()
        self.inception4b = inception("4b")
        self.inception4c = inception("4c")
        self.inception4d = inception("4d")
        self.auxiliary4d = head()
        self.inception4e = inception("4e")
        self.pool4 = max_pool(pool4)
        self.inception5a = inception("5a")
        self.inception5b = inception("5b")
        self.avgpool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels, num_classes)
        init_he(self)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        exactly = self.trained_on if self.training else None
        check_images(images, self.in_channels, smallest=self.smallest, exactly=exactly)
        heads = []
        x = self.conv1(images)  # (N, 64, 112, 112)
        x = self.pool1(x)  # (N, 64, 56, 56)
        x = self.conv2(x)  # (N, 192, 56, 56)
        x = self.pool2(x)  # (N, 192, 28, 28)
        x = self.inception3a(x)  # (N, 256, 28, 28)
        x = self.inception3b(x)  # (N, 480, 28, 28)
        x = self.pool3(x)  # (N, 480, 14, 14)
        x = self.inception4a(x)  # (N, 512, 14, 14)
        if self.training and self.auxiliary4a is not None:
            heads.append(self.auxiliary4a(x))
        x = self.inception4b(x)
        x = self.inception4c(x)
        x = self.inception4d(x)  # (N, 528, 14, 14)
        if self.training and self.auxiliary4d is not None:
            heads.append(self.auxiliary4d(x))
        x = self.inception4e(x)  # (N, 832, 14, 14)
        x = self.pool4(x)  # (N, 832, 7, 7)
        x = self.inception5a(x)
        x = self.inception5b(x)  # (N, 1024, 7, 7)
        x = self.avgpool(x)  # (N, 1024)
        logits = self.linear(self.dropout(x))  # (N, num_classes)
        return (logits, *heads) if heads else logits


def _pixels(side: int, small: bool) -> int:
    """Smallest images that have so many rows left in stage 4."""
    return 2 * side if small else 16 * side - 1


def auxiliary_loss(scores: Tensor | tuple[Tensor, ...], labels: Tensor) -> Tensor:
    """Cross-entropy, with 0.3 times that of each auxiliary head added (Section 5).

    Args:
        scores: what the network returns, in either mode; (N, classes) each.
        labels: (N,), whole numbers from 0 on.

    Returns:
        The mean over the N images; a scalar.
    """
    logits, *heads = scores if isinstance(scores, tuple) else (scores,)
    loss = F.cross_entropy(logits, labels)
    for head in heads:
        loss = loss + AUXILIARY_WEIGHT * F.cross_entropy(head, labels)
    return loss


def googlenet(**options) -> GoogLeNet:
    """The network of the paper: 6,998,552 parameters; 13,378,280 with its auxiliary heads."""
    return GoogLeNet(**options)


def googlenet_bn(**options) -> GoogLeNet:
    """What is usually called GoogLeNet today: 6,624,904 parameters; 13,004,888 with heads."""
    return GoogLeNet(**(MODERN | options))


MODELS = {
    "googlenet": (GoogLeNet, {}),
    "googlenet_aux": (GoogLeNet, {"auxiliary_heads": True}),
    "googlenet_bn": (GoogLeNet, MODERN),
    "googlenet_bn_aux": (GoogLeNet, MODERN | {"auxiliary_heads": True}),
}
LOSSES = {GoogLeNet: lambda model: auxiliary_loss}
