"""ResNeXt: "Aggregated Residual Transformations for Deep Neural Networks".

S. Xie, R. Girshick, P. Dollár, Z. Tu, K. He, CVPR 2017, arXiv:1611.05431.

The idea: a block adds up many small transformations of the same shape instead of one large one.
Their number, the cardinality, is a third size of a network beside depth and width, and at equal
cost more of them help more than more layers or more filters. A grouped convolution computes them
all at once.

Departures: none beyond those of ``resnet``, whose stem, stages and classifier these are; so the
weights start as there. The stride is on the 3 x 3 layer and the shortcuts are of option B, as the
paper has them (Section 4, Section 5).
"""

from collections.abc import Sequence

from torch import nn

from .layers import check_counts
from .resnet import WIDTHS, Bottleneck, ResNet, check_stages

TABLE_1 = {  # layers: blocks in conv2 to conv5; the columns for 50 layers differ in width only
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
}


class ResNeXt(ResNet):
    """Images (N, in_channels, H, W) of any size -> logits (N, num_classes).

    Table 1, right column, in the equivalent form of Fig. 3 (c), with a grouped convolution.

    Args:
        num_classes: 1000 for ImageNet.
        in_channels: 3 for colour images.
        blocks: number of blocks in each stage, conv2 first; as many stages as you like.
        widths: a quarter of the output channels of each stage; the stem has as many filters as the
            first.
        cardinality: number of transformations in a block, C.
        width_per_group: filters of each transformation in the first stage, d; where the output of
            a stage is twice as wide, so are they.
        stem: ``"imagenet"`` or ``"small"``, as of ``ResNet``; the latter is that of the paper's
            CIFAR networks (Section 5.3).

    Raises:
        ValueError: an unknown option, a number below 1, not one width per stage, or a width that is
            not a whole number of filters for each transformation; in ``forward``, images of another
            shape.
        TypeError: in ``forward``, images that are not floating-point numbers.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        blocks: Sequence[int] = TABLE_1[50],
        widths: Sequence[int] = WIDTHS,
        cardinality: int = 32,
        width_per_group: int = 4,
        stem: str = "imagenet",
    ) -> None:
        check_stages(blocks, widths)
        check_counts(cardinality=cardinality, width_per_group=width_per_group)

        def make_block(in_channels: int, width: int, stride: int) -> Bottleneck:
            filters, rest = divmod(width_per_group * width, widths[0])
            if rest:
                raise ValueError(
                    f"a stage of width {width} would have {width_per_group * width / widths[0]:g} "
                    f"filters per transformation, {width_per_group} x {width} / {widths[0]}: "
                    "choose widths that are multiples of the first, or another width_per_group"
                )
            return Bottleneck(
                in_channels,
                cardinality * filters,
                stride,
                stride_on="3x3",
                out_channels=4 * width,
                groups=cardinality,
            )

        super().__init__(
            num_classes, in_channels, blocks=blocks, block=make_block, widths=widths, stem=stem
        )


def resnext50_32x4d(**options) -> ResNeXt:
    """50 layers, 32 transformations 4 filters wide: 25,028,904 parameters."""
    return ResNeXt(**(_layers(50) | options))


def resnext101_32x4d(**options) -> ResNeXt:
    """101 layers, 32 transformations 4 filters wide: 44,177,704 parameters."""
    return ResNeXt(**(_layers(101) | options))


def _layers(depth: int) -> dict:
    return {"blocks": TABLE_1[depth], "cardinality": 32, "width_per_group": 4}


MODELS: dict[str, tuple[type[nn.Module], dict]] = {"resnext50_32x4d": (ResNeXt, _layers(50))}
