"""ResNet: "Deep Residual Learning for Image Recognition".

K. He, X. Zhang, S. Ren, J. Sun, CVPR 2016, arXiv:1512.03385.

The idea: a few layers learn what to add to their input, F(x), instead of their output, F(x) + x.
The input takes a shortcut around them, which costs nothing. To do nothing is then easy to learn,
and networks of a hundred layers train better than shallow ones, where plain ones train worse.

Departures: weights start from N(0, 2 / fan-in), one of the two choices in the paper's reference,
and so do those of the classifier. Max pooling pads by one pixel at each side; the authors' Caffe
models pool without padding and round the size up, which moves the grid by a pixel. The channels of
zeros of option A, whose place the paper leaves open, are split to both sides; appending them gives
the same network with its channels in another order. ``stride_on="3x3"`` is not in the paper.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import check_choice, check_counts, check_images, init_he

TABLE_1: dict[int, tuple[str, tuple[int, ...]]] = {
    # layers: block, number of blocks in conv2_x, conv3_x, conv4_x and conv5_x
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}
WIDTHS = (64, 128, 256, 512)  # filters of the 3 x 3 layers in conv2_x to conv5_x
CIFAR_WIDTHS = (16, 32, 64)  # Section 4.2
SHORTCUTS = ("A", "B", "C", "none")
STEMS = ("imagenet", "small")
STRIDES = ("1x1", "3x3")


class ZeroPadding(nn.Module):
    """Option A: every ``stride``-th pixel, and channels of zeros: (N, C, H, W) -> (N, D, H/s, W/s).

    Half of the zeros come before the channels and half after them, as in the trained networks that
    are in circulation.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        zeros = out_channels - in_channels
        if zeros < 0:
            raise ValueError(
                f'shortcut="A" can add channels but not remove them; got {in_channels} channels in '
                f'and {out_channels} out: use shortcut="B" or widths that do not shrink'
            )
        self.before, self.after, self.stride = zeros // 2, zeros - zeros // 2, stride

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.before, self.after))

    def extra_repr(self) -> str:
        return f"before={self.before}, after={self.after}, stride={self.stride}"


def make_shortcut(
    option: str, in_channels: int, out_channels: int, stride: int = 1
) -> nn.Module | None:
    """What the input of a block passes on its way around it (Section 4.1).

    Args:
        option: where the shape changes, zeros (``"A"``) or a 1 x 1 convolution, the projection
            (``"B"``); projections everywhere (``"C"``); or no shortcut at all (``"none"``).
        in_channels: of the block's input.
        out_channels: of its output.
        stride: of its residual branch.
    """
    check_choice("shortcut", option, SHORTCUTS)
    if option == "none":
        return None
    if in_channels == out_channels and stride == 1 and option != "C":
        return nn.Identity()
    if option == "A":
        return ZeroPadding(in_channels, out_channels, stride)
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
    )


class ResidualBlock(nn.Module):
    """ReLU(F(x) + shortcut(x)), eq. 2; the second ReLU comes after the addition (Fig. 2).

    The sum is written over F(x), and ReLU over the sum, to save memory. So a hook on ``residual``
    sees F(x), but must copy what it wants to keep; and what is appended to ``residual``, to act
    before the addition, must not need its own output for its gradient, as a sigmoid would.

    Args:
        residual: F, with batch normalisation and without ReLU at its end.
        shortcut: brings x to the shape of F(x); None makes the block plain, ReLU(F(x)).
        out_channels: of F(x).
    """

    def __init__(
        self, residual: nn.Sequential, shortcut: nn.Module | None, out_channels: int
    ) -> None:
        super().__init__()
        self.residual = residual
        self.shortcut = shortcut
        self.relu = nn.ReLU(inplace=True)
        self.out_channels = out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.residual(x)
        if self.shortcut is not None:
            y += self.shortcut(x)
        return self.relu(y)


class BasicBlock(ResidualBlock):
    """Two 3 x 3 layers (Fig. 5, left): (N, C, H, W) -> (N, width, H / stride, W / stride)."""

    def __init__(
        self, in_channels: int, width: int, stride: int = 1, *, shortcut: str = "B"
    ) -> None:
        residual = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False),
                bn1=nn.BatchNorm2d(width),
                relu1=nn.ReLU(inplace=True),
                conv2=nn.Conv2d(width, width, 3, padding=1, bias=False),
                bn2=nn.BatchNorm2d(width),
            )
        )
        super().__init__(residual, make_shortcut(shortcut, in_channels, width, stride), width)


class Bottleneck(ResidualBlock):
    """1 x 1, 3 x 3, 1 x 1 (Fig. 5, right): (N, C, H, W) -> (N, 4 width, H / stride, W / stride).

    Args:
        width: filters of the 3 x 3 layer.
        stride_on: which layer has the stride, the first 1 x 1 or the 3 x 3.
        out_channels: None for 4 times the width.
        groups: of the 3 x 3 layer; 1 in this paper.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int = 1,
        *,
        shortcut: str = "B",
        stride_on: str = "1x1",
        out_channels: int | None = None,
        groups: int = 1,
    ) -> None:
        check_choice("stride_on", stride_on, STRIDES)
        out_channels = 4 * width if out_channels is None else out_channels
        on_1x1, on_3x3 = (stride, 1) if stride_on == "1x1" else (1, stride)
        residual = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(in_channels, width, 1, on_1x1, bias=False),
                bn1=nn.BatchNorm2d(width),
                relu1=nn.ReLU(inplace=True),
                conv2=nn.Conv2d(width, width, 3, on_3x3, padding=1, groups=groups, bias=False),
                bn2=nn.BatchNorm2d(width),
                relu2=nn.ReLU(inplace=True),
                conv3=nn.Conv2d(width, out_channels, 1, bias=False),
                bn3=nn.BatchNorm2d(out_channels),
            )
        )
        around = make_shortcut(shortcut, in_channels, out_channels, stride)
        super().__init__(residual, around, out_channels)


class ResNet(nn.Module):
    """Images (N, in_channels, H, W) of any size -> logits (N, num_classes).

    A block with an identity shortcut can be taken out, as its input has no negative numbers:
    ``model.conv3_x[2] = nn.Identity()``. With the same seed, a plain network and the residual one
    of option A start from the same weights.

    Args:
        num_classes: 1000 for ImageNet, 10 for CIFAR-10.
        in_channels: 3 for colour images.
        blocks: number of blocks in each stage, conv2_x first; as many stages as you like.
        block: ``"basic"`` or ``"bottleneck"``; or a function of (in_channels, width, stride) that
            makes one, with an attribute ``out_channels``, for another kind of block.
        widths: filters of the 3 x 3 layers of each stage; the stem has as many as the first.
        stem: ``"imagenet"``, 7 x 7 and max pooling, which leave a quarter of the height and width
            (Table 1); or ``"small"``, 3 x 3 without stride (Section 4.2).
        shortcut: options A, B and C of Section 4.1, or ``"none"`` for a plain network.
        stride_on: layer of a bottleneck that has the stride, ``"1x1"`` or ``"3x3"``.

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
        blocks: Sequence[int] = TABLE_1[50][1],
        block: str | Callable[[int, int, int], ResidualBlock] = "bottleneck",
        widths: Sequence[int] = WIDTHS,
        stem: str = "imagenet",
        shortcut: str = "B",
        stride_on: str = "1x1",
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels)
        check_stages(blocks, widths)
        check_choice("stem", stem, STEMS)
        check_choice("shortcut", shortcut, SHORTCUTS)
        check_choice("stride_on", stride_on, STRIDES)

        def make_block(in_channels: int, width: int, stride: int) -> ResidualBlock:
            if callable(block):
                return block(in_channels, width, stride)
            check_choice("block", block, ("basic", "bottleneck"))
            if block == "basic":
                return BasicBlock(in_channels, width, stride, shortcut=shortcut)
            return Bottleneck(in_channels, width, stride, shortcut=shortcut, stride_on=stride_on)

        self.in_channels = in_channels
        kernel, stride = (7, 2) if stem == "imagenet" else (3, 1)
        self.conv1 = nn.Sequential(
            nn.Conv2d(in_channels, widths[0], kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        )
        self.pool1 = nn.MaxPool2d(3, stride=2, padding=1) if stem == "imagenet" else None

        self.stage_names = tuple(f"conv{number}_x" for number in range(2, 2 + len(blocks)))
        channels = widths[0]
        for name, depth, width in zip(self.stage_names, blocks, widths, strict=True):
            stage = nn.Sequential()
            for place in range(depth):  # the first block of all stages but the first halves
                stride = 2 if place == 0 and name != "conv2_x" else 1
                stage.append(made := make_block(channels, width, stride))
                channels = made.out_channels
            self.add_module(name, stage)

        self.average_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        init_he(self)  # Section 3.4

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self.in_channels)
        x = self.conv1(images)  # (N, 64, 112, 112)
        if self.pool1 is not None:
            x = self.pool1(x)  # (N, 64, 56, 56)
        for name in self.stage_names:
            x = getattr(self, name)(x)  # (N, 256, 56, 56) ... (N, 2048, 7, 7)
        x = self.average_pool(x)  # (N, 2048, 1, 1)
        return self.fc(x.flatten(1))  # (N, num_classes)

    def residual_blocks(self) -> Iterator[ResidualBlock]:
        """The blocks of all stages, in the order in which they run."""
        for name in self.stage_names:
            yield from getattr(self, name)


def check_stages(blocks: Sequence[int], widths: Sequence[int]) -> None:
    """Refuses stages without block or width, or not as many of the one as of the other."""
    for name, numbers in (("blocks", blocks), ("widths", widths)):
        for number in numbers:
            check_counts(**{name: number})
    if not blocks or len(blocks) != len(widths):
        raise ValueError(
            "blocks and widths must have one number per stage, at least one; got "
            f"{len(blocks)} numbers of blocks, {tuple(blocks)}, and {len(widths)} widths, "
            f"{tuple(widths)}"
        )


def cifar_blocks(depth: int, layers_per_block: int = 2) -> tuple[int, int, int]:
    """Blocks in each of the three stages of a CIFAR network of so many layers (Section 4.2).

    With n blocks of two layers per stage there are 6n + 2 layers: theirs, the stem and the
    classifier.

    Raises:
        ValueError: there is no network of this depth; the two nearest are named.
    """
    step = 3 * layers_per_block
    n, rest = divmod(depth - 2, step)
    if n < 1 or rest:
        low = step * max(n, 1) + 2
        raise ValueError(
            f"the depth must be {step}n + 2 with n at least 1, such as {low} or {low + step}; got "
            f"{depth}"
        )
    return n, n, n


@torch.no_grad()
def response_stds(model: nn.Module, images: Tensor) -> dict[str, float]:
    """Standard deviation of the responses of each layer, first layer first (Fig. 7).

    A response is what batch normalisation makes of a layer's output, before ReLU and before the
    addition. Projection shortcuts are left out. The model runs in ``eval`` mode.

    Returns:
        By the name of the batch normalisation, such as ``"conv2_x.0.residual.bn1"``.
    """
    stds: dict[str, float] = {}

    def watch(name: str, layer: nn.Module):
        def note(_: nn.Module, __: tuple, output: Tensor) -> None:
            stds[name] = output.std().item()

        return layer.register_forward_hook(note)

    hooks = [
        watch(name, layer)
        for name, layer in model.named_modules()
        if isinstance(layer, nn.BatchNorm2d) and ".shortcut." not in name
    ]
    training = model.training
    try:
        model.eval()(images)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return stds


def resnet18(**options) -> ResNet:
    """18 layers, option B: 11,689,512 parameters; with ``shortcut="A"``, 11,515,688."""
    return ResNet(**(_imagenet(18) | options))


def resnet34(**options) -> ResNet:
    """34 layers, option B: 21,797,672 parameters."""
    return ResNet(**(_imagenet(34) | options))


def resnet50(**options) -> ResNet:
    """50 layers, option B: 25,557,032 parameters."""
    return ResNet(**(_imagenet(50) | options))


def resnet101(**options) -> ResNet:
    """101 layers, option B: 44,549,160 parameters."""
    return ResNet(**(_imagenet(101) | options))


def resnet152(**options) -> ResNet:
    """152 layers, option B: 60,192,808 parameters."""
    return ResNet(**(_imagenet(152) | options))


def resnet_cifar(depth: int = 20, **options) -> ResNet:
    """6n + 2 layers for 32 x 32 pixels, option A: 269,722 parameters with 20 layers.

    With ``block="bottleneck"``, which the paper does not use here, there must be 9n + 2.

    Raises:
        ValueError: there is no network of this depth.
    """
    layers_per_block = 3 if options.get("block") == "bottleneck" else 2
    return ResNet(**(_cifar(depth, layers_per_block) | options))


def _imagenet(depth: int) -> dict:
    block, blocks = TABLE_1[depth]
    return {"block": block, "blocks": blocks}


def _cifar(depth: int, layers_per_block: int = 2) -> dict:
    return {
        "num_classes": 10,
        "block": "basic",
        "blocks": cifar_blocks(depth, layers_per_block),
        "widths": CIFAR_WIDTHS,
        "stem": "small",
        "shortcut": "A",
    }


MODELS: dict[str, tuple[type[nn.Module], dict]] = {
    **{f"resnet{depth}": (ResNet, _imagenet(depth)) for depth in TABLE_1},
    **{
        f"resnet{depth}_v1_5": (ResNet, _imagenet(depth) | {"stride_on": "3x3"})
        for depth in (50, 101, 152)
    },
    **{
        f"resnet{depth}_{shortcut.lower()}": (ResNet, _imagenet(depth) | {"shortcut": shortcut})
        for depth in (18, 34)
        for shortcut in ("A", "C")
    },
    **{f"plain{depth}": (ResNet, _imagenet(depth) | {"shortcut": "none"}) for depth in (18, 34)},
    **{f"resnet{depth}_cifar": (ResNet, _cifar(depth)) for depth in (20, 32, 44, 56, 110, 1202)},
    **{f"resnet{depth}_cifar_b": (ResNet, _cifar(depth) | {"shortcut": "B"}) for depth in (20, 56)},
    **{
        f"plain{depth}_cifar": (ResNet, _cifar(depth) | {"shortcut": "none"})
        for depth in (20, 32, 44, 56, 110)
    },
}
