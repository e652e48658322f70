"""EfficientNet: "Rethinking Model Scaling for Convolutional Neural Networks".

M. Tan, Q. V. Le, ICML 2019, arXiv:1905.11946.

The idea: a network grows in depth, width and image resolution, and each alone soon stops paying.
Grow all three together in a fixed ratio. Starting from a small network B0, itself found by search,
that gives a family of networks, each with a better accuracy for its cost than those before it.

Departures: what the paper leaves open is the authors' code: widths are rounded to multiples of 8,
repeats up, stochastic depth grows linearly over the blocks, and initial weights are its, see
``init_tensorflow``. Two details are torchvision's instead, so that its weights fit: convolutions
are padded symmetrically, and in B0 to B4 batch normalisation adds 1e-5 to the variance. With
``padding="same", norm_eps=1e-3`` the networks are those of the authors. Lite0 is not in the paper
but in the same authors' code, without such changes. ``stem="small"`` is ours.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .layers import (
    Conv2dSame,
    DropPath,
    SqueezeExcitation,
    check_choice,
    check_counts,
    check_images,
    check_positive,
    check_share,
)
from .mobilenet import check_odd
from .mobilenet_v2 import make_divisible, relu6


class Stage(NamedTuple):
    """A row of Table 1: ``layers`` MBConv blocks, of which the first has the stride."""

    expansion: int
    channels: int
    layers: int
    stride: int
    kernel_size: int = 3


STEM = 32  # stage 1, a 3 x 3 convolution of stride 2: 112 x 112 pixels remain of 224 x 224
TABLE_1 = (  # stages 2 to 8; on the right the size of the output (the paper prints the input's)
    Stage(expansion=1, channels=16, layers=1, stride=1, kernel_size=3),  # 112 x 112
    Stage(expansion=6, channels=24, layers=2, stride=2, kernel_size=3),  # 56 x 56
    Stage(expansion=6, channels=40, layers=2, stride=2, kernel_size=5),  # 28 x 28
    Stage(expansion=6, channels=80, layers=3, stride=2, kernel_size=3),  # 14 x 14
    Stage(expansion=6, channels=112, layers=3, stride=1, kernel_size=5),
    Stage(expansion=6, channels=192, layers=4, stride=2, kernel_size=5),  # 7 x 7
    Stage(expansion=6, channels=320, layers=1, stride=1, kernel_size=3),
)
HEAD = 1280  # stage 9: 1 x 1 convolution, pooling, fully connected layer


class Scaling(NamedTuple):
    """What a network is made of B0 with: two multipliers, and the side of its images in pixels."""

    width: float
    depth: float
    resolution: int


# Tabulated in the authors' code, and not quite what ``compound_scaling`` gives: at phi = 1, 2 and 6
# that is (1.1, 1.2, 258), (1.21, 1.44, 296) and (1.77, 2.99, 518). B2 and B3 are close to the rule,
# but B1 is no wider than B0, and B7 has more of everything than any phi below 6.2 would give it.
VARIANTS = {
    "b0": Scaling(1.0, 1.0, 224),
    "b1": Scaling(1.0, 1.1, 240),
    "b2": Scaling(1.1, 1.2, 260),
    "b3": Scaling(1.2, 1.4, 300),
    "b4": Scaling(1.4, 1.8, 380),
    "b5": Scaling(1.6, 2.2, 456),
    "b6": Scaling(1.8, 2.6, 528),
    "b7": Scaling(2.0, 3.1, 600),
}
DROPOUT = {"b0": 0.2, "b1": 0.2, "b2": 0.3, "b3": 0.3, "b4": 0.4, "b5": 0.4, "b6": 0.5, "b7": 0.5}


def compound_scaling(
    phi: float,
    alpha: float = 1.2,
    beta: float = 1.1,
    gamma: float = 1.15,
    *,
    resolution: int = 224,
) -> Scaling:
    """Depth times alpha^phi, width times beta^phi, resolution times gamma^phi (eq. 3).

    MACs grow with depth and with the squares of width and resolution, so by (alpha beta^2
    gamma^2)^phi; the paper wants that to be about 2^phi, and its ratios give 1.92^phi.

    Args:
        phi: how much is spent; 0 is the baseline.
        alpha: of the depth.
        beta: of the width.
        gamma: of the resolution.
        resolution: of the baseline, in pixels; the result is rounded to whole pixels.

    Raises:
        ValueError: a ratio or a resolution that is not above 0.
    """
    check_positive(alpha=alpha, beta=beta, gamma=gamma, resolution=resolution)
    return Scaling(width=beta**phi, depth=alpha**phi, resolution=round(resolution * gamma**phi))


def round_filters(channels: int, width_multiplier: float, divisor: int = 8) -> int:
    """Channels of a widened layer: rounded as in MobileNetV2, to a multiple of ``divisor``."""
    return make_divisible(channels * width_multiplier, divisor)


def round_repeats(layers: int, depth_multiplier: float) -> int:
    """Blocks of a deepened stage: rounded up."""
    return math.ceil(layers * depth_multiplier)


Convolution = Callable[..., nn.Sequential]  # ``convolution`` below, given all that is common


def convolution(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 1,
    *,
    stride: int = 1,
    groups: int = 1,
    padding: str,
    norm_eps: float,
    norm_momentum: float,
    activation: Callable[[], nn.Module] | None,
) -> nn.Sequential:
    """Convolution, batch normalisation, activation: (N, C, H, W) -> (N, C', H/stride, W/stride)."""
    if padding == "same" and stride > 1:
        conv: type[nn.Conv2d] = Conv2dSame
        rows = 0  # it sees itself how many are needed
    else:  # with stride 1 both paddings are the same
        conv, rows = nn.Conv2d, kernel_size // 2
    layers: list[nn.Module] = [
        conv(in_channels, out_channels, kernel_size, stride, rows, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels, eps=norm_eps, momentum=norm_momentum),
    ]
    if activation is not None:
        layers.append(activation())
    return nn.Sequential(*layers)


class MBConv(nn.Module):
    """MobileNetV2's block with squeeze and excitation: (N, C, H, W) -> (N, C', H', W').

    Args:
        in_channels: C.
        out_channels: C'.
        expansion: how many times wider the maps are inside; 1 needs no layer to expand.
        kernel_size: of the depthwise convolution, in pixels.
        stride: of the depthwise convolution; H' = H / stride, rounded up.
        squeeze_excitation: with a fourth of C units (not of the wider maps that it scales).
        drop_rate: share of the images whose block is skipped, in training.
        activation: after the convolutions that are not linear, and inside squeeze and excitation.
        convolution: makes a convolution with its normalisation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        expansion: int,
        kernel_size: int,
        stride: int,
        squeeze_excitation: bool,
        drop_rate: float,
        activation: Callable[[], nn.Module],
        convolution: Convolution,
    ) -> None:
        super().__init__()
        wide = expansion * in_channels
        self.shortcut = stride == 1 and in_channels == out_channels
        self.expand = convolution(in_channels, wide) if expansion > 1 else nn.Identity()
        self.depthwise = convolution(wide, wide, kernel_size, stride=stride, groups=wide)
        self.excite = (
            SqueezeExcitation(wide, max(1, in_channels // 4), activation=activation)
            if squeeze_excitation
            else nn.Identity()
        )
        self.project = convolution(wide, out_channels, activation=None)
        self.drop_path = DropPath(drop_rate if self.shortcut else 0)

    def forward(self, maps: Tensor) -> Tensor:
        x = self.expand(maps)  # (N, expansion C, H, W)
        x = self.depthwise(x)  # (N, expansion C, H', W')
        x = self.excite(x)
        x = self.project(x)  # (N, C', H', W')
        return self.drop_path(x) + maps if self.shortcut else x


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "swish": nn.SiLU,  # not in place: its gradient needs what it would overwrite
    "relu6": relu6,
}


class EfficientNet(nn.Module):
    """EfficientNet (Table 1): images (N, in_channels, H, W) -> logits (N, num_classes).

    Any image size works; the resolutions of ``VARIANTS`` are what the authors train with. Children:
    ``stage1`` to ``stage9`` as the paper counts them, then ``pool``, ``dropout`` and ``fc``.

    Args:
        num_classes: k.
        in_channels: 3 for colour.
        width_multiplier: what all channels are multiplied by, see ``round_filters``.
        depth_multiplier: what the number of blocks in each stage is multiplied by, see
            ``round_repeats``.
        rows: the MBConv stages; a shorter table trains in seconds. The kernel size may be left out.
        stem_width: channels of the first convolution.
        head_width: channels of the last one.
        divisor: of all channels.
        squeeze_excitation: whether blocks have it; not in Lite0.
        activation: ``"swish"``, or ``"relu6"`` in Lite0.
        dropout: share of the features that is dropped before the last layer, in training.
        stochastic_depth: the share of images for which a block with a shortcut is skipped in
            training grows from 0 in the first block to this after the last one.
        padding: ``"symmetric"``, or ``"same"`` as in TensorFlow, which at stride 2 pads an even
            number of pixels more at the bottom and the right.
        norm_eps: what batch normalisation adds to the variance.
        norm_momentum: the weight of a new batch in the running statistics; the paper's momentum of
            0.99 is 0.01 here. A training of a few hundred steps needs 0.1 for them to arrive.
        stem: ``"small"`` gives the first convolution stride 1, for images of about 28 pixels.

    Raises:
        ValueError: an unknown option or a number out of its range; in ``forward``, images of
            another shape.
        TypeError: in ``forward``, images that are not floating-point numbers.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        width_multiplier: float = 1.0,
        depth_multiplier: float = 1.0,
        rows: Sequence[Stage | tuple[int, int, int, int]] = TABLE_1,
        stem_width: int = STEM,
        head_width: int = HEAD,
        divisor: int = 8,
        squeeze_excitation: bool = True,
        activation: str = "swish",
        dropout: float = 0.2,
        stochastic_depth: float = 0.2,
        padding: str = "symmetric",
        norm_eps: float = 1e-3,
        norm_momentum: float = 0.01,
        stem: str = "imagenet",
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels, rows=len(rows))
        check_counts(stem_width=stem_width, head_width=head_width, divisor=divisor)
        check_positive(width_multiplier=width_multiplier, depth_multiplier=depth_multiplier)
        check_positive(norm_eps=norm_eps, norm_momentum=norm_momentum)
        check_share(dropout=dropout, stochastic_depth=stochastic_depth)
        check_choice("activation", activation, ACTIVATIONS)
        check_choice("padding", padding, ("symmetric", "same"))
        check_choice("stem", stem, ("imagenet", "small"))
        stages = [Stage(*row) for row in rows]
        for stage in stages:
            check_counts(**stage._asdict())
            check_odd(stage.kernel_size)

        act = ACTIVATIONS[activation]
        conv = partial(
            convolution,
            padding=padding,
            norm_eps=norm_eps,
            norm_momentum=norm_momentum,
            activation=act,
        )
        scale = partial(round_filters, width_multiplier=width_multiplier, divisor=divisor)
        layers = [round_repeats(stage.layers, depth_multiplier) for stage in stages]
        step = stochastic_depth / sum(layers)  # growth of the drop rate from block to block
        block = 0

        self.in_channels = in_channels
        width = scale(stem_width)
        self.stage1 = conv(in_channels, width, 3, stride=2 if stem == "imagenet" else 1)
        for number, (stage, repeats) in enumerate(zip(stages, layers, strict=True), start=2):
            blocks = nn.Sequential()
            for repeat in range(repeats):
                out = scale(stage.channels)
                blocks.append(
                    MBConv(
                        width,
                        out,
                        expansion=stage.expansion,
                        kernel_size=stage.kernel_size,
                        stride=stage.stride if repeat == 0 else 1,
                        squeeze_excitation=squeeze_excitation,
                        drop_rate=step * block,
                        activation=act,
                        convolution=conv,
                    )
                )
                width, block = out, block + 1
            self.add_module(f"stage{number}", blocks)
        self.add_module(f"stage{len(stages) + 2}", conv(width, scale(head_width)))
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(scale(head_width), num_classes)
        init_tensorflow(self)

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self.in_channels)
        x = images
        for layer in self.children():  # the stages of the table, one after the other
            x = layer(x)
        return x  # (N, num_classes)


@torch.no_grad()
def init_tensorflow(model: nn.Module) -> None:
    """Fresh weights in place, as in the authors' code; biases are zero.

    Convolutions from N(0, 2 / fan-out), where the fan-out is of one group, so that depthwise
    filters of k x k pixels have variance 2 / k^2; the last layer uniformly in +-1 / sqrt(classes).
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.weight[:, 0].numel() // layer.groups
            layer.weight.normal_(0, math.sqrt(2 / fan_out))
        elif isinstance(layer, nn.Linear):
            bound = 1 / math.sqrt(layer.out_features)
            layer.weight.uniform_(-bound, bound)
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            layer.bias.zero_()


def _variant(name: str) -> dict[str, Any]:
    """Arguments of B0 to B7, with the epsilon of torchvision's weights."""
    return {
        "width_multiplier": VARIANTS[name].width,
        "depth_multiplier": VARIANTS[name].depth,
        "dropout": DROPOUT[name],
        "norm_eps": 1e-5 if name <= "b4" else 1e-3,
    }


LITE0: dict[str, Any] = {"squeeze_excitation": False, "activation": "relu6", "padding": "same"}


def efficientnet(variant: str = "b0", **options: Any) -> EfficientNet:
    """B0 to B7, by name: B0 has 5,288,548 parameters and takes 386 million MACs at 224 pixels.

    Raises:
        ValueError: another name, or what ``EfficientNet`` does not accept.
    """
    check_choice("variant", variant, VARIANTS)
    return EfficientNet(**(_variant(variant) | options))


def efficientnet_lite0(**options: Any) -> EfficientNet:
    """B0 without squeeze and excitation and with ReLU6, for phones: 4,652,008 parameters."""
    return EfficientNet(**(LITE0 | options))


MODELS: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    **{f"efficientnet_{name}": (EfficientNet, _variant(name)) for name in VARIANTS},
    "efficientnet_lite0": (EfficientNet, LITE0),
}
