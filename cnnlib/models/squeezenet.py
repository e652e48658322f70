"""SqueezeNet: "AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size".

F. N. Iandola, S. Han, M. W. Moskewicz, K. Ashraf, W. J. Dally, K. Keutzer, arXiv:1602.07360, 2016;
the network is Table 1, version 1.1 is from the authors' repository.

The idea: a Fire module squeezes its input to few channels by 1 x 1 convolutions, so that the
expensive 3 x 3 windows of the expand layer look at few of them; half of that layer is 1 x 1 anyway.
Pooling comes late, so that most layers see large maps, and nothing is fully connected.

Departures: none in the defaults. Table 1 prints images of 224 pixels, but its sizes 111, 55, 27 and
13 come from 227, which is also what the authors' files crop; 224 gives 109, 54, 27, 13. The paper
does not say how weights start; they do as in those files. So does the ReLU after conv10, where
Section 3.3 names squeeze and expand layers only: ``conv10_relu=False`` is without. The files also
pad conv10, by ``conv10_padding=1``, which Table 1 does not. ``batch_norm``, ``stem="small"`` and
``width_multiplier`` are ours.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .layers import check_choice, check_counts, check_images, check_positive


class FireWidths(NamedTuple):
    """Filters of a Fire module, in the notation of Section 3.2."""

    s1x1: int  # squeeze layer
    e1x1: int  # expand layer
    e3x3: int

    def times(self, multiplier: float) -> "FireWidths":
        return FireWidths(*(_times(width, multiplier) for width in self))


CONV1 = (7, 96)  # Table 1: side of the windows and filters of conv1
TABLE_1 = {
    #              s1x1 e1x1 e3x3
    # conv1, maxpool1
    "fire2": FireWidths(16, 64, 64),
    "fire3": FireWidths(16, 64, 64),
    "fire4": FireWidths(32, 128, 128),
    # maxpool4
    "fire5": FireWidths(32, 128, 128),
    "fire6": FireWidths(48, 192, 192),
    "fire7": FireWidths(48, 192, 192),
    "fire8": FireWidths(64, 256, 256),
    # maxpool8
    "fire9": FireWidths(64, 256, 256),
    # conv10, avgpool10
}
POOLS = (1, 4, 8)  # numbers of the layers with a max pooling after them
VERSION_1_1: dict[str, Any] = {"conv1": (3, 64), "pools": (1, 3, 5)}  # less than half the MACs

BYPASSES = ("none", "simple", "complex")  # Fig. 2: left, middle, right


def fire_widths(
    modules: int = 8,
    *,
    base_e: int = 128,
    incr_e: int = 128,
    pct_3x3: float = 0.5,
    freq: int = 2,
    squeeze_ratio: float = 0.125,
) -> tuple[FireWidths, ...]:
    """Widths of all modules from the metaparameters of Section 5.1; the defaults give Table 1.

    Args:
        modules: how many.
        base_e: expand filters of the first module.
        incr_e: expand filters that come on top after every ``freq`` modules.
        pct_3x3: share of the expand filters that are 3 x 3, between 0 and 1.
        freq: modules of equal width.
        squeeze_ratio: squeeze filters per expand filter, SR.

    Raises:
        ValueError: a metaparameter out of range, or so small that a layer would have no filters.
    """
    check_counts(modules=modules, base_e=base_e, freq=freq)
    check_positive(squeeze_ratio=squeeze_ratio)
    if incr_e < 0 or not 0 < pct_3x3 < 1:
        raise ValueError(
            "incr_e must be at least 0 and pct_3x3 between 0 and 1, both excluded; got "
            f"incr_e={incr_e} and pct_3x3={pct_3x3}"
        )
    rows = []
    for i in range(modules):
        e = base_e + incr_e * (i // freq)
        e3x3 = round(pct_3x3 * e)
        rows.append(FireWidths(round(squeeze_ratio * e), e - e3x3, e3x3))
        if min(rows[-1]) < 1:
            raise ValueError(
                f"every layer needs filters, but module {i} would have {rows[-1]}: raise base_e "
                "or squeeze_ratio, or take pct_3x3 nearer to 1/2"
            )
    return tuple(rows)


def _times(width: int, multiplier: float) -> int:
    return max(1, round(width * multiplier))


def convolution(
    in_channels: int,
    out_channels: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int = 0,
    batch_norm: bool = False,
) -> nn.Sequential:
    """Convolution, batch normalisation if asked (then without bias), ReLU."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=not batch_norm)
    norm = [nn.BatchNorm2d(out_channels)] if batch_norm else []
    return nn.Sequential(conv, *norm, nn.ReLU(inplace=True))


class Fire(nn.Module):
    """Fire module (Fig. 1): (N, in_channels, H, W) -> (N, e1x1 + e3x3, H, W).

    Args:
        in_channels: maps that come in.
        widths: a row of Table 1.
        bypass: what is added to the expand layer (Section 6): ``"none"``; ``"simple"``, the input
            itself, if it has as many maps; or ``"complex"``, a 1 x 1 convolution of it.
        batch_norm: after every convolution but that of a bypass.

    Raises:
        ValueError: a simple bypass between different numbers of maps.
    """

    def __init__(
        self,
        in_channels: int,
        widths: FireWidths,
        *,
        bypass: str = "none",
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        check_choice("bypass", bypass, BYPASSES)
        s1x1, e1x1, e3x3 = widths
        self.out_channels = e1x1 + e3x3
        self.squeeze = convolution(in_channels, s1x1, 1, batch_norm=batch_norm)
        self.expand1x1 = convolution(s1x1, e1x1, 1, batch_norm=batch_norm)
        self.expand3x3 = convolution(s1x1, e3x3, 3, padding=1, batch_norm=batch_norm)
        if bypass == "simple" and in_channels != self.out_channels:
            raise ValueError(
                f"a simple bypass adds input to output, but {in_channels} maps come in and "
                f'{self.out_channels} go out: use bypass="complex"'
            )
        self.bypass: nn.Module | None = None
        if bypass == "simple":
            self.bypass = nn.Identity()
        elif bypass == "complex":
            self.bypass = nn.Conv2d(in_channels, self.out_channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        squeezed = self.squeeze(maps)
        expanded = torch.cat((self.expand1x1(squeezed), self.expand3x3(squeezed)), 1)
        return expanded if self.bypass is None else expanded + self.bypass(maps)


class SqueezeNet(nn.Module):
    """SqueezeNet (Table 1): images (N, in_channels, H, W) -> logits (N, num_classes).

    Made for 227 x 227; any size does that the poolings leave something of. The children are the
    rows of Table 1 and are called one after the other.

    Args:
        num_classes: logits per image.
        in_channels: channels of the images.
        fires: widths of the Fire modules, three numbers each; see also ``fire_widths``.
        conv1: side of the windows and filters of the first convolution; the small stem takes only
            the filters.
        pools: numbers of the layers with a 3 x 3 max pooling of stride 2 after them; 1 is the
            first convolution and 2 the first Fire module.
        bypass: Fig. 2. ``"simple"`` adds the input to the output of Fire modules that have as many
            maps out as in; ``"complex"`` does, and has a 1 x 1 convolution around the others.
        conv10_padding: zeros around the maps that the last convolution sees; 1 in the authors'
            files for version 1.0.
        conv10_relu: no logit below 0. Then a class that gets no positive value anywhere learns no
            more; small networks, of few classes and places, train better without.
        batch_norm: after conv1 and in the Fire modules. Without, small networks may not train.
        dropout: share of the last module's values that training leaves out.
        stem: ``"imagenet"``, or ``"small"`` for images of about 28 to 64 pixels: a first
            convolution of 3 x 3 with stride 1 and padding 1, and no pooling after it.
        width_multiplier: of all numbers of filters but the last layer's.

    Raises:
        ValueError: an option out of range; in ``forward``, images of another shape.
        TypeError: in ``forward``, images that are not floating-point numbers.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        fires: Sequence[Sequence[int]] = tuple(TABLE_1.values()),
        conv1: tuple[int, int] = CONV1,
        pools: Sequence[int] = POOLS,
        bypass: str = "none",
        conv10_padding: int = 0,
        conv10_relu: bool = True,
        batch_norm: bool = False,
        dropout: float = 0.5,
        stem: str = "imagenet",
        width_multiplier: float = 1.0,
    ) -> None:
        super().__init__()
        kernel, filters = conv1
        rows = [_checked_row(number, widths) for number, widths in enumerate(fires, start=2)]
        last = len(rows) + 1  # number of the last Fire module; conv1 is number 1
        check_counts(num_classes=num_classes, in_channels=in_channels)
        check_counts(**{"number of fires": len(rows)})
        check_counts(**{"side of conv1": kernel, "filters of conv1": filters})
        check_choice("bypass", bypass, BYPASSES)
        check_choice("stem", stem, ("imagenet", "small"))
        check_positive(width_multiplier=width_multiplier)
        for place in pools:
            check_choice("each of pools", place, range(1, last + 1))
        if conv10_padding < 0:
            raise ValueError(f"conv10_padding must be at least 0; got {conv10_padding}")
        small = stem == "small"
        places = {place for place in pools if not (small and place == 1)}
        # Windows of 3 with stride 2, rounding up, take n >= 2 rows to n // 2.
        needed = 2 ** len(places)  # rows that conv1 must leave
        self.smallest = needed if small else 2 * (needed - 1) + kernel
        self.in_channels = in_channels

        def pool_after(number: int) -> None:
            if number in places:
                self.add_module(f"maxpool{number}", nn.MaxPool2d(3, stride=2, ceil_mode=True))

        channels = _times(filters, width_multiplier)
        window = {"kernel": 3, "padding": 1} if small else {"kernel": kernel, "stride": 2}
        self.conv1 = convolution(in_channels, channels, **window, batch_norm=batch_norm)
        pool_after(1)
        for number, row in enumerate(rows, start=2):
            row = row.times(width_multiplier)
            around = bypass
            if channels == row.e1x1 + row.e3x3:
                around = "none" if bypass == "none" else "simple"
            elif bypass == "simple":
                around = "none"
            fire = Fire(channels, row, bypass=around, batch_norm=batch_norm)
            channels = fire.out_channels
            self.add_module(f"fire{number}", fire)
            pool_after(number)
        self.add_module(f"dropout{last}", nn.Dropout(dropout))
        classify = nn.Conv2d(channels, num_classes, 1, padding=conv10_padding)
        relu = [nn.ReLU(inplace=True)] if conv10_relu else []
        self.add_module(f"conv{last + 1}", nn.Sequential(classify, *relu))
        average = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.add_module(f"avgpool{last + 1}", average)
        init_xavier(self)
        nn.init.normal_(classify.weight, std=0.01)

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self.in_channels, smallest=self.smallest)
        # At 227 x 227: 111 after conv1, 55 from maxpool1, 27 from maxpool4, 13 from maxpool8 on
        x = images
        for layer in self.children():
            x = layer(x)
        return x  # (N, num_classes)


def _checked_row(number: int, widths: Sequence[int]) -> FireWidths:
    if len(widths) != 3:
        raise ValueError(
            f"each of fires must be three numbers, (s1x1, e1x1, e3x3); got {widths} for "
            f"fire{number}"
        )
    row = FireWidths(*widths)
    named = zip(row._fields, row, strict=True)
    check_counts(**{f"{part} of fire{number}": width for part, width in named})
    return row


@torch.no_grad()
def init_xavier(model: nn.Module) -> None:
    """Weights uniform with variance 1 / fan-in, zero biases, in place: Caffe's "xavier" filler."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            bound = (3 / layer.weight[0].numel()) ** 0.5
            nn.init.uniform_(layer.weight, -bound, bound)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def squeezenet1_0(**options) -> SqueezeNet:
    """The network of the paper: 1,248,424 parameters."""
    return SqueezeNet(**options)


def squeezenet1_1(**options) -> SqueezeNet:
    """Smaller first windows and earlier pooling, at the same accuracy: 1,235,496 parameters."""
    return SqueezeNet(**(VERSION_1_1 | options))


MODELS: dict[str, tuple[type[SqueezeNet], dict[str, Any]]] = {
    "squeezenet1_0": (SqueezeNet, {}),
    "squeezenet1_0_simple": (SqueezeNet, {"bypass": "simple"}),
    "squeezenet1_0_complex": (SqueezeNet, {"bypass": "complex"}),
    "squeezenet1_1": (SqueezeNet, VERSION_1_1),
}
