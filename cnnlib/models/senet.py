"""SENet: "Squeeze-and-Excitation Networks".

J. Hu, L. Shen, S. Albanie, G. Sun, E. Wu, CVPR 2018 and TPAMI 2020, arXiv:1709.01507.

The idea: before a block's maps are added to the shortcut, each of them is scaled by a number
between 0 and 1, which is computed from the means of all. So a network can favour some channels, by
what is in the image as a whole, and that costs next to nothing.

Departures: classifier and squeeze-and-excitation units start like the rest, from N(0, 2 / fan-in)
with zero biases. The stem pools as in ``resnet``, with one pixel of padding; ``pooling="ceil"`` is
that of the authors' Caffe models, where the grid is one pixel further right and down. SE-ResNets of
18 and 34 layers and the stem for small images are not in the paper.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from . import resnext
from .layers import (
    SqueezeExcitation,
    check_choice,
    check_counts,
    check_images,
    check_share,
    evaluation_mode,
    init_he,
)
from .resnet import TABLE_1, WIDTHS, ResidualBlock, ResNet, check_stages
from .resnext import ResNeXt

POSITIONS = ("standard", "pre", "post", "identity")  # Fig. 5, (b) to (e)
EXCITATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}  # Table 12
POOLINGS = ("padded", "ceil")
SENET_154 = (3, 8, 36, 3)  # blocks per stage, as in ResNet-152 (Appendix)


class SEBlock(ResidualBlock):
    """A residual block with squeeze and excitation: shapes are those of the block (Fig. 3).

    Args:
        block: what the unit is built into.
        reduction: r, channels per unit of the excitation's first layer.
        position: of the unit (Fig. 5): after the residual branch (``"standard"``), before it
            (``"pre"``), after the addition and its ReLU (``"post"``), or on the shortcut
            (``"identity"``), after its projection if there is one.
        excitation: what ends the unit: ``"sigmoid"``, ``"tanh"`` or ``"relu"`` (Table 12).

    Raises:
        ValueError: an unknown option, or more reduction than channels.
    """

    def __init__(
        self,
        block: ResidualBlock,
        *,
        reduction: int = 16,
        position: str = "standard",
        excitation: str = "sigmoid",
    ) -> None:
        super().__init__(block.residual, block.shortcut, block.out_channels)
        check_counts(reduction=reduction)
        check_choice("position", position, POSITIONS)
        check_choice("excitation", excitation, EXCITATIONS)
        channels = block.out_channels
        if position == "pre":
            channels = next(m for m in block.residual if isinstance(m, nn.Conv2d)).in_channels
        if reduction > channels:
            raise ValueError(
                f"reduction must be at most {channels}, the channels of a block; got {reduction}: "
                "nothing would be left between squeeze and excitation"
            )
        self.position = position
        self.se = SqueezeExcitation(channels, channels // reduction, gate=EXCITATIONS[excitation])
        init_he(self.se)

    def forward(self, x: Tensor) -> Tensor:
        y = self.residual(self.se(x) if self.position == "pre" else x)
        if self.position == "standard":
            y = self.se(y)
        if self.shortcut is not None:
            shortcut = self.shortcut(x)
            y += self.se(shortcut) if self.position == "identity" else shortcut
        y = self.relu(y)
        return self.se(y) if self.position == "post" else y


class SEResNet(ResNet):
    """ResNet with a unit in every block: images (N, in_channels, H, W) -> logits (N, num_classes).

    Table 1, middle column; the defaults are SE-ResNet-50.

    Args:
        num_classes: 1000 for ImageNet.
        in_channels: 3 for colour images.
        blocks, block, widths, stem, shortcut, stride_on: as of ``ResNet``; ``stem="small"`` is for
            images of about 28 to 64 pixels, as are the CIFAR networks of Table 4.
        reduction: r, of all units (Section 6.1).
        position: of the units in their blocks: ``"standard"``, ``"pre"``, ``"post"`` or
            ``"identity"`` (Section 6.5, Fig. 5).
        excitation: ``"sigmoid"``, ``"tanh"`` or ``"relu"`` (Section 6.3).
        pooling: of the stem for ImageNet, 3 x 3 with stride 2: ``"padded"`` by a pixel at each
            side, or ``"ceil"``, without padding and with the size rounded up.

    Raises:
        ValueError: an option that is unknown or out of range; in ``forward``, images of another
            shape.
        TypeError: in ``forward``, images that are not floating-point numbers.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        blocks: Sequence[int] = TABLE_1[50][1],
        block: str = "bottleneck",
        widths: Sequence[int] = WIDTHS,
        reduction: int = 16,
        position: str = "standard",
        excitation: str = "sigmoid",
        stem: str = "imagenet",
        shortcut: str = "B",
        stride_on: str = "1x1",
        pooling: str = "padded",
    ) -> None:
        check_choice("block", block, ("basic", "bottleneck"))
        check_choice("shortcut", shortcut, ("A", "B", "C"))
        super().__init__(
            num_classes,
            in_channels,
            blocks=blocks,
            block=block,
            widths=widths,
            stem=stem,
            shortcut=shortcut,
            stride_on=stride_on,
        )
        self.smallest = _set_pooling(self, pooling)
        _build_in(self, reduction=reduction, position=position, excitation=excitation)

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self.in_channels, smallest=self.smallest)
        return super().forward(images)


class SEResNeXt(ResNeXt):
    """ResNeXt with a unit in every block: images (N, in_channels, H, W) -> logits (N, num_classes).

    Table 1, right column; the defaults are SE-ResNeXt-50 (32 x 4d).

    Args:
        num_classes: 1000 for ImageNet.
        in_channels: 3 for colour images.
        blocks, widths, cardinality, width_per_group, stem: as of ``ResNeXt``.
        reduction, position, excitation, pooling: as of ``SEResNet``.

    Raises:
        ValueError: an option that is unknown or out of range; in ``forward``, images of another
            shape.
        TypeError: in ``forward``, images that are not floating-point numbers.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        blocks: Sequence[int] = resnext.TABLE_1[50],
        widths: Sequence[int] = WIDTHS,
        cardinality: int = 32,
        width_per_group: int = 4,
        reduction: int = 16,
        position: str = "standard",
        excitation: str = "sigmoid",
        stem: str = "imagenet",
        pooling: str = "padded",
    ) -> None:
        super().__init__(
            num_classes,
            in_channels,
            blocks=blocks,
            widths=widths,
            cardinality=cardinality,
            width_per_group=width_per_group,
            stem=stem,
        )
        self.smallest = _set_pooling(self, pooling)
        _build_in(self, reduction=reduction, position=position, excitation=excitation)

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self.in_channels, smallest=self.smallest)
        return super().forward(images)


def _set_pooling(model: ResNet, pooling: str) -> int:
    """Sets the pooling of the stem, if it has one; returns the smallest images that it takes."""
    check_choice("pooling", pooling, POOLINGS)
    if model.pool1 is None or pooling == "padded":
        return 1
    model.pool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
    return 3  # the first convolution leaves 2 of 3 pixels, and the pooling 1 of 2 but 0 of 1


def _build_in(model: ResNet, **options) -> None:
    """Makes an ``SEBlock`` of each block, in place."""
    for name in model.stage_names:
        stage = getattr(model, name)
        for place, block in enumerate(stage):
            stage[place] = SEBlock(block, **options)


class SENetBottleneck(ResidualBlock):
    """Of SENet-154: (N, C, H, W) -> (N, 4 width, H / stride, W / stride) (Appendix).

    Twice the filters of a ResNeXt block of 64 x 4d, of which its first 1 x 1 keeps half; a
    shortcut that makes images smaller is a 3 x 3 convolution.
    """

    def __init__(self, in_channels: int, width: int, stride: int, *, cardinality: int) -> None:
        filters, out_channels = 4 * width, 4 * width
        if filters // 2 % cardinality:
            raise ValueError(
                f"cardinality must divide twice each width, here {filters // 2}; got {cardinality}"
            )
        residual = nn.Sequential(
            OrderedDict[str, nn.Module](
                conv1=nn.Conv2d(in_channels, filters // 2, 1, bias=False),
                bn1=nn.BatchNorm2d(filters // 2),
                relu1=nn.ReLU(inplace=True),
                conv2=nn.Conv2d(
                    filters // 2, filters, 3, stride, padding=1, groups=cardinality, bias=False
                ),
                bn2=nn.BatchNorm2d(filters),
                relu2=nn.ReLU(inplace=True),
                conv3=nn.Conv2d(filters, out_channels, 1, bias=False),
                bn3=nn.BatchNorm2d(out_channels),
            )
        )
        shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            kernel = 1 if stride == 1 else 3
            shortcut = nn.Sequential(
                nn.Conv2d(
                    in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False
                ),
                nn.BatchNorm2d(out_channels),
            )
        super().__init__(residual, shortcut, out_channels)


class SENet(nn.Module):
    """SENet-154: images (N, in_channels, H, W) of any size -> logits (N, num_classes) (Appendix).

    Three 3 x 3 convolutions come first, and dropout before the classifier.

    Args:
        num_classes: 1000 for ImageNet.
        in_channels: 3 for colour images.
        blocks: number of blocks in each stage.
        widths: a quarter of the output channels of each stage; the stem has the first, the first
            and twice the first.
        cardinality: groups of the 3 x 3 convolutions.
        reduction: r, of all units.
        dropout: share of the features dropped before the classifier.
        stem: ``"imagenet"``; or ``"small"``, without stride and pooling, for images of about 28 to
            64 pixels.
        pooling: of the stem, as of ``SEResNet``.

    Raises:
        ValueError: an option that is unknown or out of range; in ``forward``, images of another
            shape.
        TypeError: in ``forward``, images that are not floating-point numbers.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        blocks: Sequence[int] = SENET_154,
        widths: Sequence[int] = WIDTHS,
        cardinality: int = 64,
        reduction: int = 16,
        dropout: float = 0.2,
        stem: str = "imagenet",
        pooling: str = "padded",
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels, cardinality=cardinality)
        check_stages(blocks, widths)
        check_share(dropout=dropout)
        check_choice("stem", stem, ("imagenet", "small"))
        check_choice("pooling", pooling, POOLINGS)
        self.in_channels, imagenet = in_channels, stem == "imagenet"
        self.smallest = 3 if imagenet and pooling == "ceil" else 1  # as in _set_pooling

        self.conv1, channels = nn.Sequential(), in_channels
        for place, width in enumerate((widths[0], widths[0], 2 * widths[0])):
            stride = 2 if imagenet and place == 0 else 1
            self.conv1.append(nn.Conv2d(channels, width, 3, stride, padding=1, bias=False))
            self.conv1.extend([nn.BatchNorm2d(width), nn.ReLU(inplace=True)])
            channels = width
        self.pool1 = nn.Identity()
        if imagenet and pooling == "padded":
            self.pool1 = nn.MaxPool2d(3, stride=2, padding=1)
        elif imagenet:
            self.pool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)

        self.stage_names = tuple(f"conv{number}_x" for number in range(2, 2 + len(blocks)))
        for name, depth, width in zip(self.stage_names, blocks, widths, strict=True):
            stage = nn.Sequential()
            for place in range(depth):
                stride = 2 if place == 0 and name != "conv2_x" else 1
                block = SENetBottleneck(channels, width, stride, cardinality=cardinality)
                stage.append(SEBlock(block, reduction=reduction))
                channels = block.out_channels
            self.add_module(name, stage)
        self.average_pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes)
        init_he(self)

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self.in_channels, smallest=self.smallest)
        x = self.pool1(self.conv1(images))  # (N, 128, 112, 112), then (N, 128, 56, 56)
        for name in self.stage_names:
            x = getattr(self, name)(x)  # (N, 256, 56, 56) ... (N, 2048, 7, 7)
        x = self.average_pool(x).flatten(1)  # (N, 2048)
        return self.fc(self.dropout(x))  # (N, num_classes)


@torch.no_grad()
def excitations(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """What each unit multiplies its channels by, first unit first (Section 7.2, Fig. 6).

    The model runs in ``eval`` mode, and is then put back.

    Returns:
        By the unit's name, such as ``"conv2_x.0.se"``: (N, C).
    """
    found: dict[str, Tensor] = {}

    def watch(name: str, unit: SqueezeExcitation):
        def note(_: nn.Module, __: tuple, output: Tensor) -> None:
            found[name] = output.flatten(1).clone()

        return unit.gate.register_forward_hook(note)

    hooks = [
        watch(name, unit)
        for name, unit in model.named_modules()
        if isinstance(unit, SqueezeExcitation)
    ]
    try:
        with evaluation_mode(model):
            model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def se_resnet50(**options) -> SEResNet:
    """SE-ResNet-50 with r = 16: 28,088,024 parameters, 2,530,992 of them in the units."""
    return SEResNet(**options)


def se_resnet101(**options) -> SEResNet:
    """SE-ResNet-101 with r = 16: 49,326,872 parameters."""
    return SEResNet(**(_layers(101) | options))


def se_resnet152(**options) -> SEResNet:
    """SE-ResNet-152 with r = 16: 66,821,848 parameters."""
    return SEResNet(**(_layers(152) | options))


def se_resnext50_32x4d(**options) -> SEResNeXt:
    """SE-ResNeXt-50 (32 x 4d) with r = 16: 27,559,896 parameters."""
    return SEResNeXt(**options)


def senet154(**options) -> SENet:
    """SENet-154: 115,088,984 parameters."""
    return SENet(**options)


def _layers(depth: int) -> dict:
    block, blocks = TABLE_1[depth]
    return {"block": block, "blocks": blocks}


MODELS: dict[str, tuple[type[nn.Module], dict]] = {
    **{f"se_resnet{depth}": (SEResNet, _layers(depth)) for depth in TABLE_1},
    **{  # Table 10
        f"se_resnet50_r{reduction}": (SEResNet, _layers(50) | {"reduction": reduction})
        for reduction in (2, 4, 8, 32)
    },
    **{
        f"se_resnext{depth}_32x4d": (SEResNeXt, {"blocks": blocks})
        for depth, blocks in resnext.TABLE_1.items()
    },
    "senet154": (SENet, {}),
}
