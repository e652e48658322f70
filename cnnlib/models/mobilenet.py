"""MobileNets: "Efficient Convolutional Neural Networks for Mobile Vision Applications".

A. G. Howard, M. Zhu, B. Chen, D. Kalenichenko, W. Wang, T. Weyand, M. Andreetto, H. Adam, 2017.
arXiv:1704.04861.

The idea: a convolution filters and mixes channels at once; done one after the other, 3 x 3 filters
on each map alone (depthwise) and then 1 x 1 sums over the maps (pointwise), it costs 8 to 9 times
less. Two numbers trade accuracy for cost over the whole network: the width multiplier thins every
layer, the resolution multiplier shrinks the image.

Departures: the last depthwise layer has stride 1 where Table 1 prints 2, as its own sizes and
multiply-adds require; padding is symmetric, which the paper leaves open; the weights start as
He et al. (2015) suggest, since the paper says nothing of them. ``stem="small"`` is ours.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from .layers import check_choice, check_counts, check_images, check_positive, init_he


class Row(NamedTuple):
    """A layer of Table 1: output channels and stride; the input is the output of the row above."""

    width: int
    stride: int


# A standard convolution, then pairs of a depthwise one, which has the stride, and a pointwise one,
# which has the width. On the right the size of the output for an image of 224 x 224 pixels.
TABLE_1 = (
    Row(32, 2),  # 112 x 112
    Row(64, 1),
    Row(128, 2),  # 56 x 56
    Row(128, 1),
    Row(256, 2),  # 28 x 28
    Row(256, 1),
    Row(512, 2),  # 14 x 14
    *(5 * [Row(512, 1)]),
    Row(1024, 2),  # 7 x 7
    Row(1024, 1),  # printed with stride 2
)
SHALLOW = tuple(row for n, row in enumerate(TABLE_1) if not 7 <= n < 12)  # Table 5: without the 5


def check_odd(kernel_size: int) -> None:
    """Raises a ValueError unless a kernel can have as many pixels before its centre as after."""
    if kernel_size % 2 == 0:
        raise ValueError(
            f"kernel_size must be odd, so that maps keep their size; got {kernel_size}"
        )


def convolution(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    stride: int = 1,
    groups: int = 1,
    norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    activation: Callable[[], nn.Module] | None = lambda: nn.ReLU(inplace=True),
) -> nn.Sequential:
    """Convolution, batch normalisation, activation: (N, C, H, W) -> (N, C', H/stride, W/stride).

    Padded by half the kernel; H / stride is rounded up.
    """
    layers: list[nn.Module] = [
        nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2,
            groups=groups,
            bias=False,
        ),
        norm(out_channels),
    ]
    if activation is not None:
        layers.append(activation())
    return nn.Sequential(*layers)


class DepthwiseSeparable(nn.Module):
    """Filters each map, then mixes the maps (Fig. 3, right): (N, C, H, W) -> (N, C', H/s, W/s).

    Multiply-adds per output position: 9 C for the depthwise and C C' for the pointwise convolution,
    which is 1 / C' + 1 / 9 of the 9 C C' of a standard one (Section 3.1).

    Args:
        in_channels: C.
        out_channels: C'.
        stride: s, of the depthwise convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = convolution(in_channels, in_channels, 3, stride=stride, groups=in_channels)
        self.pointwise = convolution(in_channels, out_channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(maps))


class MobileNet(nn.Module):
    """MobileNet (Table 1): images (N, in_channels, H, W) -> logits (N, num_classes).

    The resolution multiplier is no argument: any image size works, and one of 224, 192, 160 or 128
    pixels sets it to 1, 6/7, 5/7 or 4/7. Children: ``conv1``, ``block1``, ``block2``, ..., then
    ``pool`` and ``fc``.

    Args:
        num_classes: k.
        in_channels: 3 for colour.
        width_multiplier: alpha, what each width is multiplied by (then rounded down, but not below
            1); 1, 0.75, 0.5 and 0.25 in the paper.
        rows: (width, stride) of each layer, the standard convolution first; ``SHALLOW`` is the
            network of Table 5, and a shorter table trains in seconds.
        separable: False replaces each depthwise separable convolution by a standard one (Table 4).
        stem: ``"small"`` gives the first convolution stride 1, for images of about 28 pixels.

    Raises:
        ValueError: an unknown option or a number below its least value; in ``forward``, images of
            another shape.
        TypeError: in ``forward``, images that are not floating-point numbers.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        width_multiplier: float = 1.0,
        rows: Sequence[tuple[int, int]] = TABLE_1,
        separable: bool = True,
        stem: str = "imagenet",
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels, rows=len(rows))
        check_positive(width_multiplier=width_multiplier)
        check_choice("stem", stem, ("imagenet", "small"))
        for width, stride in rows:
            check_counts(width=width, stride=stride)

        self.in_channels = in_channels
        widths = [max(1, int(width * width_multiplier)) for width, _ in rows]
        strides = [stride for _, stride in rows]
        first = strides[0] if stem == "imagenet" else 1
        self.conv1 = convolution(in_channels, widths[0], 3, stride=first)
        for number, (before, width, stride) in enumerate(
            zip(widths, widths[1:], strides[1:], strict=False), start=1
        ):
            if separable:
                block = DepthwiseSeparable(before, width, stride)
            else:
                block = convolution(before, width, 3, stride=stride)
            self.add_module(f"block{number}", block)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(widths[-1], num_classes)
        init_he(self)

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self.in_channels)
        x = images
        for layer in self.children():  # the rows of the table, one after the other
            x = layer(x)
        return x  # (N, num_classes)


def mobilenet_v1(width_multiplier: float = 1.0, **options: Any) -> MobileNet:
    """For images of 224 pixels: 4,231,976 parameters and 569 million MACs at width 1."""
    return MobileNet(width_multiplier=width_multiplier, **options)


def mobilenet_v1_fullconv(**options: Any) -> MobileNet:
    """The same with standard convolutions (Table 4): 29,294,088 parameters."""
    return MobileNet(separable=False, **options)


def mobilenet_v1_shallow(**options: Any) -> MobileNet:
    """Without the five equal layers at 14 x 14 (Table 5): 2,887,976 parameters."""
    return MobileNet(rows=SHALLOW, **options)


MODELS: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    **{  # the name says the size of the images too; the network is the same for all of them
        f"mobilenet_v1_{alpha}_{size}": (MobileNet, {"width_multiplier": float(alpha)})
        for alpha in ("1", "0.75", "0.5", "0.25")
        for size in (224, 192, 160, 128)
    },
    "mobilenet_v1_fullconv": (MobileNet, {"separable": False}),
    "mobilenet_v1_shallow": (MobileNet, {"rows": SHALLOW}),
}
