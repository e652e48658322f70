"""MobileNetV3: "Searching for MobileNetV3".

A. Howard, M. Sandler, G. Chu, L.-C. Chen, B. Chen, M. Tan, W. Wang, Y. Zhu, R. Pang, V. Vasudevan,
Q. V. Le, H. Adam, ICCV 2019, arXiv:1905.02244.

The idea: a search for the best network on a phone's clock chose the blocks, and hands improved what
it left: a smooth activation that is cheap to compute, squeeze and excitation on the wide maps, and
a last stage that pools before it widens instead of after.

Departures: the last convolution of the small network has no squeeze and excitation, though Table 2
marks it, as in the authors' code and as its printed 2.5M parameters require; that code also gives
the rules for other widths. The 1 x 1 convolutions after pooling are written as the fully connected
layers that they are. Padding is symmetric, which the paper leaves open; the weights start as He et
al. (2015) suggest, since the paper says nothing of them. ``stem="small"`` is ours.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor, nn

from .layers import (
    SqueezeExcitation,
    check_choice,
    check_counts,
    check_images,
    check_positive,
    check_share,
    init_he,
)
from .mobilenet import check_odd, convolution
from .mobilenet_v2 import make_divisible

NONLINEARITIES: dict[str, Callable[[], nn.Module]] = {
    # h-swish, x ReLU6(x + 3) / 6 (Section 5.2); in place it would copy first, for its gradient
    "HS": nn.Hardswish,
    "RE": partial(nn.ReLU, inplace=True),
}


class Bneck(NamedTuple):
    """A row of Tables 1 and 2; the input is the output of the row above."""

    kernel_size: int
    exp_size: int
    out: int
    se: bool
    nl: str
    s: int


STEM = 16  # conv2d 3 x 3, HS, stride 2: 112 x 112 pixels remain of 224 x 224
TABLE_1 = (  # MobileNetV3-Large; on the right the size of the output
    Bneck(3, 16, 16, False, "RE", 1),  # 112 x 112
    Bneck(3, 64, 24, False, "RE", 2),  # 56 x 56
    Bneck(3, 72, 24, False, "RE", 1),
    Bneck(5, 72, 40, True, "RE", 2),  # 28 x 28
    Bneck(5, 120, 40, True, "RE", 1),
    Bneck(5, 120, 40, True, "RE", 1),
    Bneck(3, 240, 80, False, "HS", 2),  # 14 x 14
    Bneck(3, 200, 80, False, "HS", 1),
    Bneck(3, 184, 80, False, "HS", 1),
    Bneck(3, 184, 80, False, "HS", 1),
    Bneck(3, 480, 112, True, "HS", 1),
    Bneck(3, 672, 112, True, "HS", 1),
    Bneck(5, 672, 160, True, "HS", 2),  # 7 x 7
    Bneck(5, 960, 160, True, "HS", 1),
    Bneck(5, 960, 160, True, "HS", 1),
)
TABLE_2 = (  # MobileNetV3-Small
    Bneck(3, 16, 16, True, "RE", 2),  # 56 x 56
    Bneck(3, 72, 24, False, "RE", 2),  # 28 x 28
    Bneck(3, 88, 24, False, "RE", 1),
    Bneck(5, 96, 40, True, "HS", 2),  # 14 x 14
    Bneck(5, 240, 40, True, "HS", 1),
    Bneck(5, 240, 40, True, "HS", 1),
    Bneck(5, 120, 48, True, "HS", 1),
    Bneck(5, 144, 48, True, "HS", 1),
    Bneck(5, 288, 96, True, "HS", 2),  # 7 x 7
    Bneck(5, 576, 96, True, "HS", 1),
    Bneck(5, 576, 96, True, "HS", 1),
)
HEAD = {"large": (960, 1280), "small": (576, 1024)}  # conv2d 1 x 1; after pooling, another


class BneckBlock(nn.Module):
    """MobileNetV2's block with squeeze and excitation (Fig. 4): (N, C, H, W) -> (N, C', H', W').

    Args:
        in_channels: C.
        out_channels: C'.
        exp_size: channels inside; the layer that expands is left out if that is C.
        kernel_size: of the depthwise convolution, in pixels.
        stride: of the depthwise convolution; H' = H / stride, rounded up.
        se: squeeze and excitation with a fourth of the expanded channels (Section 5.3).
        activation: after the expansion and the depthwise convolution.
        norm: makes the normalisation of so many channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        exp_size: int,
        kernel_size: int,
        stride: int,
        se: bool,
        activation: Callable[[], nn.Module],
        norm: Callable[[int], nn.Module],
    ) -> None:
        super().__init__()
        conv = partial(convolution, norm=norm, activation=activation)
        self.shortcut = stride == 1 and in_channels == out_channels
        self.expand = conv(in_channels, exp_size, 1) if exp_size != in_channels else nn.Identity()
        self.depthwise = conv(exp_size, exp_size, kernel_size, stride=stride, groups=exp_size)
        self.excite = (
            SqueezeExcitation(exp_size, make_divisible(exp_size / 4), gate=nn.Hardsigmoid)
            if se
            else nn.Identity()
        )
        self.project = conv(exp_size, out_channels, 1, activation=None)

    def forward(self, maps: Tensor) -> Tensor:
        x = self.expand(maps)  # (N, exp_size, H, W)
        x = self.depthwise(x)  # (N, exp_size, H', W')
        x = self.excite(x)
        x = self.project(x)  # (N, C', H', W')
        return x + maps if self.shortcut else x


class MobileNetV3(nn.Module):
    """MobileNetV3 (Tables 1 and 2): images (N, in_channels, H, W) -> logits (N, num_classes).

    Any image size works. Children: ``conv1``; ``bneck1``, ``bneck2``, ..., one for each row of the
    table; then ``conv2``, ``pool``, ``hidden``, ``dropout`` and ``fc``.

    Other widths follow the authors' code: each is rounded to a multiple of 8; an expansion keeps
    the printed ratio to its rounded input; the hidden layer is widened but never thinned.

    Args:
        num_classes: k.
        in_channels: 3 for colour.
        config: ``"large"`` or ``"small"``.
        width_multiplier: what each width is multiplied by; from 0.35 to 1.25 in the paper.
        rows: of blocks; None takes Table 1 or 2. A shorter table trains in seconds.
        stem_width: channels of the first convolution.
        head_widths: of the last convolution and of the layer after pooling; None takes those of
            Table 1 or 2.
        dropout: share of the features that is dropped before the last layer, in training; the paper
            keeps 0.8 (Section 6.1.1).
        norm_momentum: the weight of a new batch in the running statistics; the paper's average
            decay of 0.99 is 0.01 here. A training of a few hundred steps needs 0.1 for them to
            arrive.
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
        config: str = "large",
        width_multiplier: float = 1.0,
        rows: Sequence[Bneck | tuple[int, int, int, bool, str, int]] | None = None,
        stem_width: int = STEM,
        head_widths: tuple[int, int] | None = None,
        dropout: float = 0.2,
        norm_momentum: float = 0.01,
        stem: str = "imagenet",
    ) -> None:
        super().__init__()
        check_choice("config", config, HEAD)
        table = {"large": TABLE_1, "small": TABLE_2}[config] if rows is None else rows
        last, hidden = HEAD[config] if head_widths is None else head_widths
        check_counts(num_classes=num_classes, in_channels=in_channels, rows=len(table))
        check_counts(stem_width=stem_width, last_convolution=last, hidden_layer=hidden)
        check_positive(width_multiplier=width_multiplier, norm_momentum=norm_momentum)
        check_share(dropout=dropout)
        check_choice("stem", stem, ("imagenet", "small"))
        norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=norm_momentum)
        conv = partial(convolution, norm=norm, activation=NONLINEARITIES["HS"])

        self.in_channels = in_channels
        printed = stem_width
        width = make_divisible(stem_width * width_multiplier)
        self.conv1 = conv(in_channels, width, 3, stride=2 if stem == "imagenet" else 1)
        for number, row in enumerate(map(lambda row: Bneck(*row), table), start=1):
            check_counts(kernel_size=row.kernel_size, exp_size=row.exp_size, out=row.out, s=row.s)
            check_odd(row.kernel_size)
            check_choice("nl", row.nl, NONLINEARITIES)
            out = make_divisible(row.out * width_multiplier)
            block = BneckBlock(
                width,
                out,
                exp_size=make_divisible(width * row.exp_size / printed),
                kernel_size=row.kernel_size,
                stride=row.s,
                se=row.se,
                activation=NONLINEARITIES[row.nl],
                norm=norm,
            )
            self.add_module(f"bneck{number}", block)
            printed, width = row.out, out
        last = make_divisible(last * width_multiplier)
        hidden = make_divisible(hidden * max(1, width_multiplier))
        self.conv2 = conv(width, last, 1)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.hidden = nn.Sequential(nn.Linear(last, hidden), NONLINEARITIES["HS"]())
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(hidden, num_classes)
        init_he(self)

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self.in_channels)
        x = images
        for layer in self.children():  # the rows of the table, one after the other
            x = layer(x)
        return x  # (N, num_classes)


def mobilenet_v3_large(width_multiplier: float = 1.0, **options: Any) -> MobileNetV3:
    """Table 1: 5,483,032 parameters and 217 million MACs at width 1."""
    return MobileNetV3(config="large", width_multiplier=width_multiplier, **options)


def mobilenet_v3_small(width_multiplier: float = 1.0, **options: Any) -> MobileNetV3:
    """Table 2: 2,542,856 parameters and 57 million MACs at width 1."""
    return MobileNetV3(config="small", width_multiplier=width_multiplier, **options)


MODELS: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    f"mobilenet_v3_{config}_{width}": (
        MobileNetV3,
        {"config": config, "width_multiplier": float(width)},
    )
    for config in HEAD
    for width in ("1", "0.75")
}
