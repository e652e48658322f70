"""Pre-activation ResNet: "Identity Mappings in Deep Residual Networks".

K. He, X. Zhang, S. Ren, J. Sun, ECCV 2016, arXiv:1603.05027.

The idea: keep the shortcut clean. If nothing stands on it, and no ReLU follows the addition, then
the features of any unit are those of an earlier one plus a sum of residuals, and the gradient of
any unit is that of a later one plus a term: neither fades with depth. So batch normalisation and
ReLU move to the front of the residual branch.

Departures: the paper leaves open what becomes of the shortcut where the shape changes. Here the
activation at the front of such a unit serves both paths, as in the authors' code, whose projections
are not normalised; in the other orders they are if the residual branch ends normalised. The stride
of a bottleneck is on the 3 x 3 layer on ImageNet and on the first 1 x 1 layer on CIFAR, both as in
public code. A gate is computed from the shortcut, which is the input but where the shape changes.
Initial weights, max pooling and the place of the zeros in option A are those of ``resnet``.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from .layers import check_choice, check_counts, check_images, init_he
from .resnet import (
    CIFAR_WIDTHS,
    STEMS,
    STRIDES,
    TABLE_1,
    WIDTHS,
    ZeroPadding,
    check_stages,
    cifar_blocks,
)

LAYERS = TABLE_1 | {200: ("bottleneck", (3, 24, 36, 3))}  # Section 5; the others of He et al. 2015


class Order(NamedTuple):
    """Where batch normalisation and ReLU stand in a residual unit."""

    first: str  # before the first layer of the residual branch
    between: str  # between its layers
    last: str  # after its last layer, before the addition
    after: str  # after the addition


FIGURE_4 = {  # (a) to (e)
    "original": Order("", "BN ReLU", "BN", "ReLU"),
    "bn_after_addition": Order("", "BN ReLU", "", "BN ReLU"),
    "relu_before_addition": Order("", "BN ReLU", "BN ReLU", ""),
    "relu_only": Order("ReLU", "BN ReLU", "BN", ""),
    "full": Order("BN ReLU", "BN ReLU", "", ""),
}
GATE_BIAS = -6.0  # the best of Table 1 for both kinds of gates: they start nearly closed


class Addition(nn.Module):
    """Fig. 2 (a): the shortcut as it is, plus the residual; all of (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, shortcut: Tensor, residual: Tensor) -> Tensor:
        return shortcut + residual


class ScaledAddition(Addition):
    """Fig. 2 (b): half of both."""

    def forward(self, shortcut: Tensor, residual: Tensor) -> Tensor:
        return 0.5 * (shortcut + residual)


class ShortcutOnlyGating(Addition):
    """Fig. 2 (d): the shortcut times 1 - g, plus the residual.

    The gate g, for each channel and place, is computed from the shortcut by a 1 x 1 convolution
    with a bias and a logistic sigmoid.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.gate = nn.Conv2d(channels, channels, 1)

    def forward(self, shortcut: Tensor, residual: Tensor) -> Tensor:
        return (1 - self.gate(shortcut).sigmoid()) * shortcut + residual


class ExclusiveGating(ShortcutOnlyGating):
    """Fig. 2 (c): the shortcut times 1 - g, plus the residual times g."""

    def forward(self, shortcut: Tensor, residual: Tensor) -> Tensor:
        g = self.gate(shortcut).sigmoid()
        return (1 - g) * shortcut + g * residual


class DropoutShortcut(Addition):
    """Fig. 2 (f): dropout with a ratio of 0.5 on the shortcut, plus the residual."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.dropout = nn.Dropout(0.5)

    def forward(self, shortcut: Tensor, residual: Tensor) -> Tensor:
        return self.dropout(shortcut) + residual


FIGURE_2: dict[str, type[Addition]] = {  # (a) to (f); what becomes of shortcut and residual
    "identity": Addition,
    "scaling": ScaledAddition,
    "exclusive_gating": ExclusiveGating,
    "shortcut_only_gating": ShortcutOnlyGating,
    "conv": Addition,  # of a shortcut that is a 1 x 1 convolution in every unit
    "dropout": DropoutShortcut,
}


def activation(order: str, channels: int) -> nn.Sequential:
    """The layers that a field of ``Order`` names; ReLU overwrites what is normalised only."""
    layers = nn.Sequential()
    for name in order.split():
        layers.append(
            nn.BatchNorm2d(channels) if name == "BN" else nn.ReLU(inplace=len(layers) > 0)
        )
    return layers


class ResidualUnit(nn.Module):
    """A residual unit (eq. 1 and 2): (N, C, H, W) -> (N, out_channels, H / stride, W / stride).

    Args:
        in_channels: C.
        width: filters of the 3 x 3 layers.
        stride: of the whole unit.
        bottleneck: 1 x 1, 3 x 3 and 1 x 1 layers, the last 4 times as wide, instead of two 3 x 3.
        order: a key of ``FIGURE_4``.
        shortcut: a key of ``FIGURE_2``.
        widening: option A or B of He et al. (2015), where the shape changes.
        stride_on: layer of a bottleneck that has the stride.
        first: the first unit of a network gets its input activated already.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int = 1,
        *,
        bottleneck: bool = False,
        order: str = "full",
        shortcut: str = "identity",
        widening: str = "B",
        stride_on: str = "3x3",
        first: bool = False,
    ) -> None:
        super().__init__()
        place = FIGURE_4[order]
        if bottleneck:
            on_1x1, on_3x3 = (stride, 1) if stride_on == "1x1" else (1, stride)
            layers = [(1, width, on_1x1), (3, width, on_3x3), (1, 4 * width, 1)]
        else:
            layers = [(3, width, stride), (3, width, 1)]

        self.activation = activation("" if first else place.first, in_channels)
        self.residual, channels = nn.Sequential(), in_channels
        for number, (kernel, filters, step) in enumerate(layers):
            if number > 0:
                self.residual.extend(activation(place.between, channels))
            self.residual.append(
                nn.Conv2d(channels, filters, kernel, step, padding=kernel // 2, bias=False)
            )
            channels = filters
        self.residual.extend(activation(place.last, channels))

        self.out_channels = channels
        self.changes_shape = stride != 1 or in_channels != channels
        if shortcut == "conv" or (self.changes_shape and widening == "B"):
            self.shortcut = nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride, bias=False))
            if place.last:
                self.shortcut.append(nn.BatchNorm2d(channels))
        elif self.changes_shape:
            self.shortcut = ZeroPadding(in_channels, channels, stride)
        else:
            self.shortcut = nn.Identity()
        self.addition = FIGURE_2[shortcut](channels)
        self.after = activation(place.after, channels)

    def forward(self, x: Tensor) -> Tensor:
        activated = self.activation(x)
        around = self.shortcut(activated if self.changes_shape else x)
        return self.after(self.addition(around, self.residual(activated)))


class PreActResNet(nn.Module):
    """Images (N, in_channels, H, W) of any size -> logits (N, num_classes).

    As the appendix has it, the activation of the first unit stands right behind the first layer,
    and that of the unit that would follow the last one stands behind the last.

    Args:
        num_classes: 1000 for ImageNet, 10 for CIFAR-10.
        in_channels: 3 for colour images.
        blocks: number of units in each stage, conv2_x first; as many stages as you like.
        block: ``"basic"``, two layers of 3 x 3; or ``"bottleneck"``.
        widths: filters of the 3 x 3 layers of each stage; the stem has as many as the first.
        stem: ``"imagenet"`` or ``"small"``, as of ``ResNet``.
        order: a key of ``FIGURE_4``; ``"original"`` is the ResNet of 2015.
        shortcut: a key of ``FIGURE_2``.
        widening: where the shape changes, zeros (``"A"``) or a projection (``"B"``).
        stride_on: layer of a bottleneck that has the stride, ``"1x1"`` or ``"3x3"``.
        gate_bias: initial bias of the gates, where there are any.

    Raises:
        ValueError: an unknown option, a number below 1, not one width per stage, or option A with
            fewer channels in a stage than before; in ``forward``, images of another shape.
        TypeError: in ``forward``, images that are not floating-point numbers.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        blocks: Sequence[int] = LAYERS[50][1],
        block: str = "bottleneck",
        widths: Sequence[int] = WIDTHS,
        stem: str = "imagenet",
        order: str = "full",
        shortcut: str = "identity",
        widening: str = "B",
        stride_on: str = "3x3",
        gate_bias: float = GATE_BIAS,
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels)
        check_stages(blocks, widths)
        check_choice("block", block, ("basic", "bottleneck"))
        check_choice("stem", stem, STEMS)
        check_choice("order", order, FIGURE_4)
        check_choice("shortcut", shortcut, FIGURE_2)
        check_choice("widening", widening, ("A", "B"))
        check_choice("stride_on", stride_on, STRIDES)

        self.in_channels = in_channels
        kernel, stride = (7, 2) if stem == "imagenet" else (3, 1)
        channels = widths[0]
        self.conv1 = nn.Sequential(
            nn.Conv2d(in_channels, channels, kernel, stride, padding=kernel // 2, bias=False),
            *activation("BN ReLU", channels),  # in all orders: the first unit's comes before it
        )
        self.pool1 = nn.MaxPool2d(3, stride=2, padding=1) if stem == "imagenet" else None

        self.stage_names = tuple(f"conv{number}_x" for number in range(2, 2 + len(blocks)))
        for name, depth, width in zip(self.stage_names, blocks, widths, strict=True):
            stage = nn.Sequential()
            for place in range(depth):  # the first unit of all stages but the first halves
                unit = ResidualUnit(
                    channels,
                    width,
                    stride=2 if place == 0 and name != "conv2_x" else 1,
                    bottleneck=block == "bottleneck",
                    order=order,
                    shortcut=shortcut,
                    widening=widening,
                    stride_on=stride_on,
                    first=place == 0 and name == "conv2_x",
                )
                stage.append(unit)
                channels = unit.out_channels
            self.add_module(name, stage)

        after_all = FIGURE_4[order].first  # what would stand at the front of one more unit
        self.last_activation = activation(after_all, channels) if after_all else None
        self.average_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        init_he(self)
        for name, parameter in self.named_parameters():
            if name.endswith("gate.bias"):
                nn.init.constant_(parameter, gate_bias)

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self.in_channels)
        x = self.conv1(images)  # (N, 64, 112, 112)
        if self.pool1 is not None:
            x = self.pool1(x)  # (N, 64, 56, 56)
        for name in self.stage_names:
            x = getattr(self, name)(x)  # (N, 256, 56, 56) ... (N, 2048, 7, 7)
        if self.last_activation is not None:
            x = self.last_activation(x)
        x = self.average_pool(x)  # (N, 2048, 1, 1)
        return self.fc(x.flatten(1))  # (N, num_classes)

    def residual_units(self) -> Iterator[ResidualUnit]:
        """The units of all stages, in the order in which they run."""
        for name in self.stage_names:
            yield from getattr(self, name)


def preact_resnet50(**options) -> PreActResNet:
    """50 layers: 25,549,352 parameters."""
    return PreActResNet(**(_imagenet(50) | options))


def preact_resnet152(**options) -> PreActResNet:
    """152 layers, Table 5: 60,185,128 parameters."""
    return PreActResNet(**(_imagenet(152) | options))


def preact_resnet200(**options) -> PreActResNet:
    """200 layers, Table 5: 64,666,152 parameters."""
    return PreActResNet(**(_imagenet(200) | options))


def preact_resnet_cifar(depth: int = 164, **options) -> PreActResNet:
    """For 32 x 32 pixels, with bottlenecks and 9n + 2 layers: 1,703,258 parameters with 164 layers.

    With ``block="basic"``, as in the network of 110 layers, there must be 6n + 2.

    Raises:
        ValueError: there is no network of this depth.
    """
    return PreActResNet(**(_cifar(depth, options.get("block", "bottleneck")) | options))


def _imagenet(depth: int) -> dict:
    block, blocks = LAYERS[depth]
    return {"block": block, "blocks": blocks}


def _cifar(depth: int, block: str) -> dict:
    bottleneck = block == "bottleneck"
    return {
        "num_classes": 10,
        "block": block,
        "blocks": cifar_blocks(depth, layers_per_block=3 if bottleneck else 2),
        "widths": CIFAR_WIDTHS,
        "stem": "small",
        "widening": "B" if bottleneck else "A",
        "stride_on": "1x1",
    }


MODELS: dict[str, tuple[type[nn.Module], dict]] = {
    **{f"preact_resnet{depth}": (PreActResNet, _imagenet(depth)) for depth in LAYERS},
    "preact_resnet110_cifar": (PreActResNet, _cifar(110, "basic")),
    "preact_resnet164_cifar": (PreActResNet, _cifar(164, "bottleneck")),
    "preact_resnet1001_cifar": (PreActResNet, _cifar(1001, "bottleneck")),
}
