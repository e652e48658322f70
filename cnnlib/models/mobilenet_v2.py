"""MobileNetV2: "Inverted Residuals and Linear Bottlenecks".

M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen, CVPR 2018, arXiv:1801.04381.

The idea: what passes between blocks is narrow and linear, since ReLU destroys information where
there are few channels. Each block expands it, filters in the wide space with a depthwise
convolution and projects back; shortcuts join the narrow ends. So memory holds mostly narrow maps.

Departures: the last row of Table 2, a 1 x 1 convolution on 1 x 1 maps, is written as the fully
connected layer that it is; before it there is dropout of 0.2, from the authors' code. Padding is
symmetric, which the paper leaves open; the weights start as He et al. (2015) suggest, since the
paper says nothing of them. ``stem="small"`` is ours. The printed 6.9M parameters at width 1.4 are
not those of Table 2, which has 6.1M; nor has it the 19 blocks of the text, but 17.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from .layers import check_choice, check_counts, check_images, check_positive, check_share, init_he
from .mobilenet import convolution


class Row(NamedTuple):
    """Blocks of Table 2: expansion, output channels, how many, and the stride of the first."""

    t: int
    c: int
    n: int
    s: int


STEM = 32  # conv2d 3 x 3, stride 2: 112 x 112 pixels remain of 224 x 224
TABLE_2 = (  # on the right the size of the output
    Row(t=1, c=16, n=1, s=1),  # 112 x 112
    Row(t=6, c=24, n=2, s=2),  # 56 x 56
    Row(t=6, c=32, n=3, s=2),  # 28 x 28
    Row(t=6, c=64, n=4, s=2),  # 14 x 14
    Row(t=6, c=96, n=3, s=1),
    Row(t=6, c=160, n=3, s=2),  # 7 x 7
    Row(t=6, c=320, n=1, s=1),
)
HEAD = 1280  # conv2d 1 x 1


def make_divisible(width: float, divisor: int = 8) -> int:
    """The multiple of ``divisor`` nearest to a width, at least one and never below 90 % of it.

    Not in the paper but in the authors' code, so that hardware can use its vectors in full.
    """
    nearest = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return nearest if nearest >= 0.9 * width else nearest + divisor


def relu6() -> nn.Module:
    """min(max(x, 0), 6): robust where numbers are kept in 8 bits (Section 3.3)."""
    return nn.ReLU6(inplace=True)


class InvertedResidual(nn.Module):
    """Expand, filter, project (Table 1, Fig. 3b): (N, C, H, W) -> (N, C', H/s, W/s).

    Args:
        in_channels: C.
        out_channels: C'.
        expansion: t, how many times wider the maps are inside; 1 needs no layer to expand.
        stride: s, of the depthwise convolution.
        linear: False puts a ReLU6 after the projection too (Fig. 6a).
        shortcut: whether input and output are added where they have the same shape (Fig. 6b).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        expansion: int = 6,
        stride: int = 1,
        linear: bool = True,
        shortcut: bool = True,
    ) -> None:
        super().__init__()
        wide = expansion * in_channels
        self.shortcut = shortcut and stride == 1 and in_channels == out_channels
        self.expand = (
            convolution(in_channels, wide, 1, activation=relu6) if expansion > 1 else nn.Identity()
        )
        self.depthwise = convolution(wide, wide, 3, stride=stride, groups=wide, activation=relu6)
        self.project = convolution(wide, out_channels, 1, activation=None if linear else relu6)

    def forward(self, maps: Tensor) -> Tensor:
        x = self.expand(maps)  # (N, t C, H, W)
        x = self.depthwise(x)  # (N, t C, H/s, W/s)
        x = self.project(x)  # (N, C', H/s, W/s)
        return x + maps if self.shortcut else x


class MobileNetV2(nn.Module):
    """MobileNetV2 (Table 2): images (N, in_channels, H, W) -> logits (N, num_classes).

    Any image size works. Children: ``conv1``; ``stage1``, ``stage2``, ..., one for each row of
    blocks; then ``conv2``, ``pool``, ``dropout`` and ``fc``.

    Args:
        num_classes: k.
        in_channels: 3 for colour.
        width_multiplier: what each width is multiplied by, to a multiple of ``divisor``; below 1
            it leaves the last convolution alone (Section 6.1). From 0.35 to 1.4 in the paper.
        rows: (t, c, n, s) of each row of blocks; a shorter table trains in seconds.
        stem_width: channels of the first convolution.
        head_width: channels of the last one.
        divisor: of all widths, see ``make_divisible``.
        linear: False puts a ReLU6 on the bottlenecks (Fig. 6a).
        shortcut: False leaves the residual connections out (Fig. 6b).
        dropout: share of the features that is dropped before the last layer, in training.
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
        rows: Sequence[tuple[int, int, int, int]] = TABLE_2,
        stem_width: int = STEM,
        head_width: int = HEAD,
        divisor: int = 8,
        linear: bool = True,
        shortcut: bool = True,
        dropout: float = 0.2,
        stem: str = "imagenet",
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels, rows=len(rows))
        check_counts(stem_width=stem_width, head_width=head_width, divisor=divisor)
        check_positive(width_multiplier=width_multiplier)
        check_share(dropout=dropout)
        check_choice("stem", stem, ("imagenet", "small"))
        self.in_channels = in_channels

        width = make_divisible(stem_width * width_multiplier, divisor)
        stride = 2 if stem == "imagenet" else 1
        self.conv1 = convolution(in_channels, width, 3, stride=stride, activation=relu6)
        for number, (t, c, n, s) in enumerate(rows, start=1):
            check_counts(t=t, c=c, n=n, s=s)
            stage = nn.Sequential()
            for block in range(n):
                out = make_divisible(c * width_multiplier, divisor)
                stage.append(
                    InvertedResidual(
                        width,
                        out,
                        expansion=t,
                        stride=s if block == 0 else 1,
                        linear=linear,
                        shortcut=shortcut,
                    )
                )
                width = out
            self.add_module(f"stage{number}", stage)
        head = make_divisible(head_width * max(1, width_multiplier), divisor)
        self.conv2 = convolution(width, head, 1, activation=relu6)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(head, num_classes)
        init_he(self)

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self.in_channels)
        x = images
        for layer in self.children():  # the rows of the table, one after the other
            x = layer(x)
        return x  # (N, num_classes)


def mobilenet_v2(width_multiplier: float = 1.0, **options: Any) -> MobileNetV2:
    """For images of 224 pixels: 3,504,872 parameters and 301 million MACs at width 1."""
    return MobileNetV2(width_multiplier=width_multiplier, **options)


MODELS: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    f"mobilenet_v2_{width}": (MobileNetV2, {"width_multiplier": float(width)})
    for width in ("1.4", "1", "0.75", "0.5", "0.35")
}
