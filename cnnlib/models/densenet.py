"""DenseNet: "Densely Connected Convolutional Networks".

G. Huang, Z. Liu, L. van der Maaten, K. Q. Weinberger, CVPR 2017, arXiv:1608.06993. Saving memory:
G. Pleiss, D. Chen, G. Huang, T. Li, L. van der Maaten, K. Q. Weinberger, "Memory-Efficient
Implementation of DenseNets", 2017, arXiv:1707.06990.

The idea: inside a block, every layer sees the maps of all layers before it, side by side and not
added up, and contributes k maps of its own. So k, the growth rate, can be small, features are
reused rather than learned again, and L layers have L (L + 1) / 2 connections instead of L.

Departures: weights are drawn from N(0, 2 / fan-in), as in the paper that the text cites for it; the
authors' program takes the fan-out. Nothing else is known to differ.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.checkpoint import checkpoint

from .layers import check_choice, check_counts, check_images, check_share, init_he

TABLE_1: dict[int, tuple[int, ...]] = {  # depth -> layers of the four dense blocks, k = 32
    # 121 = 1 + 2 (6 + 12 + 24 + 16) + 3 + 1; by the same count, "264" has 265
    121: (6, 12, 24, 16),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
    264: (6, 12, 64, 48),
}
DENSENET_161 = (6, 12, 36, 24)  # with k = 48; in the authors' repository, not in the last version
BOTTLENECK_WIDTH = 4  # the 1 x 1 convolution of a layer gives 4k maps (Section 3)
STEMS = ("imagenet", "small")


def layers_per_block(depth: int, *, bottleneck: bool, blocks: int = 3) -> tuple[int, ...]:
    """Layers of each block so that the network has L = ``depth`` layers with weights.

    All blocks have the same number. Beside them there are the first convolution, a convolution per
    transition and the classifier: L = 3n + 4 for the networks of Table 2, 6n + 4 with bottlenecks.

    Args:
        depth: L, as in Table 2.
        bottleneck: layers consist of two convolutions.
        blocks: how many.

    Raises:
        ValueError: no n gives this depth; names the nearest depths that work.
    """
    check_counts(depth=depth, blocks=blocks)
    step, rest = blocks * (2 if bottleneck else 1), blocks + 1
    n, left = divmod(depth - rest, step)
    if n < 1 or left:
        n = max(n, 1)
        kind = "with bottlenecks" if bottleneck else "without bottlenecks"
        raise ValueError(
            f"depth must be {step}n + {rest} for {blocks} equal blocks {kind}; got {depth}: the "
            f"nearest are {step * n + rest} and {step * (n + 1) + rest}"
        )
    return (n,) * blocks


class DenseLayer(nn.Sequential):
    """H in eq. 2, the composite function, of maps with C channels in all -> (N, k, H, W).

    BN-ReLU-3x3; with a bottleneck BN-ReLU-1x1-BN-ReLU-3x3 (Section 3).

    Args:
        in_channels: C, of all maps before this layer together.
        growth_rate: k.
        bottleneck: squeeze to 4k maps first ("B").
        dropout: share of the values dropped after each convolution.
    """

    def __init__(
        self, in_channels: int, growth_rate: int, *, bottleneck: bool, dropout: float
    ) -> None:
        super().__init__()
        self.bottleneck = bottleneck
        width = in_channels
        if bottleneck:
            width = BOTTLENECK_WIDTH * growth_rate
            self.norm1 = nn.BatchNorm2d(in_channels)
            self.relu1 = nn.ReLU(inplace=True)
            self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
            if dropout:
                self.dropout1 = nn.Dropout(dropout)
        self.norm2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, growth_rate, 3, padding=1, bias=False)
        if dropout:
            self.dropout2 = nn.Dropout(dropout)

    def forward(self, *features: Tensor) -> Tensor:
        return super().forward(torch.cat(features, 1))


class DenseBlock(nn.Module):
    """Layers that see all maps before them: (N, C, H, W) -> (N, C + layers * k, H, W) (Fig. 1).

    Args:
        layers: how many.
        in_channels: C.
        growth_rate: k.
        bottleneck, dropout: of each layer.
        memory_saving: in training, keep only the k maps of each layer and compute all between them
            anew on the way back.
    """

    def __init__(
        self,
        layers: int,
        in_channels: int,
        growth_rate: int,
        *,
        bottleneck: bool,
        dropout: float,
        memory_saving: bool,
    ) -> None:
        super().__init__()
        self.in_channels, self.growth_rate = in_channels, growth_rate
        self.memory_saving = memory_saving
        self.layers = nn.ModuleList(
            DenseLayer(
                in_channels + number * growth_rate,
                growth_rate,
                bottleneck=bottleneck,
                dropout=dropout,
            )
            for number in range(layers)
        )

    def forward(self, maps: Tensor) -> Tensor:
        features = [maps]
        for layer in self.layers:  # eq. 2: x_l = H_l([x_0, x_1, ..., x_l-1])
            features.append(run(layer, *features, keep=not self.memory_saving))
        return torch.cat(features, 1)


def run(module: nn.Module, *inputs: Tensor, keep: bool) -> Tensor:
    """``module(*inputs)``; unless ``keep``, its insides are computed anew on the way back."""
    if keep or not (module.training and torch.is_grad_enabled()):
        return module(*inputs)
    if torch.compiler.is_compiling():  # what is compiled has no side effects the second time
        return checkpoint(module, *inputs, use_reentrant=False)
    return checkpoint(
        module,
        *inputs,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), unchanged_statistics(module)),
    )


@contextmanager
def unchanged_statistics(model: nn.Module) -> Iterator[None]:
    """Puts the running statistics of batch normalisation back to what they are now.

    Else what is computed a second time on the way back would count twice in them.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    statistics = [buffer for norm in norms for buffer in norm.buffers()]
    before = [buffer.clone() for buffer in statistics]
    try:
        yield
    finally:
        for buffer, value in zip(statistics, before, strict=True):
            buffer.copy_(value)


class Transition(nn.Sequential):
    """Fewer and smaller maps between blocks: (N, C, H, W) -> (N, out_channels, H / 2, W / 2).

    BN-ReLU-1x1, then 2 x 2 average pooling (Section 3; the ReLU is in the authors' program).
    """

    def __init__(self, in_channels: int, out_channels: int, *, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        if dropout:
            self.dropout = nn.Dropout(dropout)
        self.pool = nn.AvgPool2d(2)


class Stem(nn.Sequential):
    """The first row of Table 1: (N, in_channels, H, W) -> (N, out_channels, H / 2, W / 2)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 7, stride=2, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)


class DenseNet(nn.Module):
    """DenseNet: images (N, in_channels, H, W) -> logits (N, num_classes).

    The defaults are DenseNet-121 of Table 1, a DenseNet-BC. Without ``bottleneck`` and with
    ``compression=1`` it is the plain DenseNet; one of the two gives DenseNet-B and DenseNet-C.

    Args:
        num_classes: logits.
        in_channels: channels of the images.
        blocks: layers of each dense block; ``layers_per_block`` finds them for a depth L.
        growth_rate: k, maps that each layer adds.
        bottleneck: a 1 x 1 convolution to 4k maps before each 3 x 3 ("B").
        compression: theta in (0, 1], share of the maps that a transition keeps ("C" if below 1).
        initial_width: maps of the first convolution. None stands for 2k in DenseNet-BC and with
            ``stem="imagenet"``, else for 16 (Section 3, "Implementation Details").
        stem: ``"imagenet"``, 7 x 7 with stride 2 and pooling; or ``"small"``, 3 x 3 with stride 1,
            as for CIFAR, for images of about 28 to 64 pixels.
        dropout: share of the values dropped after each convolution except the first; 0.2 in the
            paper for data that are not augmented (Section 4.2).
        memory_saving: in training, compute what lies between the maps of the layers a second time
            on the way back instead of keeping it. Outputs, gradients and running statistics are
            the same; only memory and time change (Pleiss et al. 2017).

    Raises:
        ValueError: an option outside its range; in ``forward``, images of another shape.
        TypeError: in ``forward``, images that are not floating-point numbers.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        blocks: Sequence[int] = TABLE_1[121],
        growth_rate: int = 32,
        bottleneck: bool = True,
        compression: float = 0.5,
        initial_width: int | None = None,
        stem: str = "imagenet",
        dropout: float = 0.0,
        memory_saving: bool = False,
    ) -> None:
        super().__init__()
        if initial_width is None:
            doubled = stem == "imagenet" or (bottleneck and compression < 1)
            initial_width = 2 * growth_rate if doubled else 16
        _check_options(blocks, compression, stem, dropout)
        check_counts(
            num_classes=num_classes,
            in_channels=in_channels,
            growth_rate=growth_rate,
            initial_width=initial_width,
        )
        self.in_channels = in_channels
        halved = 2 ** (len(blocks) - 1)  # by the transitions, rounded down each time
        # The strides of the stem round up: of 4 s - 3 pixels, s are left
        self.smallest = 4 * halved - 3 if stem == "imagenet" else halved

        if stem == "imagenet":
            self.convolution = Stem(in_channels, initial_width)
            self.pooling = nn.MaxPool2d(3, stride=2, padding=1)
        else:
            self.convolution = nn.Conv2d(in_channels, initial_width, 3, padding=1, bias=False)
        maps = initial_width
        for number, layers in enumerate(blocks, start=1):
            block = DenseBlock(
                layers,
                maps,
                growth_rate,
                bottleneck=bottleneck,
                dropout=dropout,
                memory_saving=memory_saving,
            )
            self.add_module(f"block{number}", block)
            maps += layers * growth_rate
            if number < len(blocks):
                kept = int(round(compression * maps, 6))  # rounded down (Section 3, "Compression")
                if kept < 1:
                    raise ValueError(
                        f"compression={compression} leaves none of the {maps} maps of block "
                        f"{number}: it must be at least {1 / maps:.3g} there"
                    )
                transition = Transition(maps, kept, dropout=dropout)
                self.add_module(f"transition{number}", transition)
                maps = kept
        self.norm = nn.BatchNorm2d(maps)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(maps, num_classes)
        init_he(self)  # Section 4.2

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self.in_channels, smallest=self.smallest)
        x = images
        for stage in self.children():  # DenseNet-121 on 224 x 224:
            # convolution (N, 64, 112, 112), pooling (N, 64, 56, 56)
            # block1 (N, 256, 56, 56), transition1 (N, 128, 28, 28)
            # block2 (N, 512, 28, 28), transition2 (N, 256, 14, 14)
            # block3 (N, 1024, 14, 14), transition3 (N, 512, 7, 7)
            # block4 (N, 1024, 7, 7), pool (N, 1024, 1, 1), classifier (N, num_classes)
            x = stage(x)
        return x


def _check_options(blocks: Sequence[int], compression: float, stem: str, dropout: float) -> None:
    check_choice("stem", stem, STEMS)
    if not blocks:
        raise ValueError("blocks must list the layers of at least one dense block; got none")
    for number, layers in enumerate(blocks, start=1):
        check_counts(**{f"layers of block {number}": layers})
    if not 0 < compression <= 1:
        raise ValueError(
            f"compression must be above 0 and at most 1, which keeps all maps; got {compression}"
        )
    check_share(dropout=dropout)


def densenet121(**options) -> DenseNet:
    """DenseNet-121 (Table 1, k = 32): 7,978,856 parameters."""
    return DenseNet(**options)


def densenet169(**options) -> DenseNet:
    """DenseNet-169 (Table 1, k = 32): 14,149,480 parameters."""
    return DenseNet(blocks=TABLE_1[169], **options)


def densenet201(**options) -> DenseNet:
    """DenseNet-201 (Table 1, k = 32): 20,013,928 parameters."""
    return DenseNet(blocks=TABLE_1[201], **options)


def densenet264(**options) -> DenseNet:
    """DenseNet-264 (Table 1, k = 32): 33,337,704 parameters."""
    return DenseNet(blocks=TABLE_1[264], **options)


def densenet161(**options) -> DenseNet:
    """DenseNet-161 (the authors' repository, k = 48): 28,681,000 parameters."""
    return DenseNet(blocks=DENSENET_161, growth_rate=48, **options)


# Who reads what


class Connection(NamedTuple):
    """A source of maps in a dense block, and a layer that reads them.

    Attributes:
        block: number of the block, from 1.
        source: 0 for the block's input, l for its layer l.
        target: the layer that reads, from 1; after the last layer, the transition or classifier.
        weight: parameter of the convolution or classifier that reads, (outputs, inputs, ...).
        columns: which of its inputs are the source's maps.
    """

    block: int
    source: int
    target: int
    weight: Tensor
    columns: slice


def connections(model: DenseNet) -> Iterator[Connection]:
    """All connections within the blocks, by block, target and source, as in Fig. 5.

    A block of L layers has L (L + 1) / 2 of them, and L + 1 more to what reads the whole block.
    """
    stages = dict(model.named_children())
    blocks = [stage for stage in stages.values() if isinstance(stage, DenseBlock)]
    for number, block in enumerate(blocks, start=1):
        readers: list[nn.Conv2d | nn.Linear] = [
            layer.conv1 if layer.bottleneck else layer.conv2
            for layer in block.layers
            if isinstance(layer, DenseLayer)
        ]
        transition = stages.get(f"transition{number}")
        readers.append(transition.conv if isinstance(transition, Transition) else model.classifier)
        for target, reader in enumerate(readers, start=1):
            first = 0
            for source in range(target):
                last = block.in_channels + source * block.growth_rate
                yield Connection(number, source, target, reader.weight, slice(first, last))
                first = last


# Inference without concatenations


def without_copies(model: DenseNet) -> DenseNet:
    """A copy of a trained network that gives the same outputs in about two thirds of the time.

    - Each block writes into one tensor with room for the maps of all its layers. So a map is copied
      once, not again for every later layer.
    - Batch normalisation joins a convolution before or after it (``clamp_and_product``).
    - A transition pools first, so that its 1 x 1 convolution has a quarter of the places. One mixes
      channels and the other places, and both are linear: their order does not matter.
    - The channels of a pixel lie side by side in memory (``channels_last``), so that the maps so
      far are columns of a matrix with a row per pixel, and a 1 x 1 convolution is a product.

    The copy is for inference only: it keeps today's statistics, has no trainable parameters, and
    no gradient passes through it, also not to the images, since maps are written over.

    Raises:
        TypeError: not a DenseNet.
        ValueError: a network that was converted before.
    """
    if not isinstance(model, DenseNet):
        raise TypeError(f"without_copies takes a DenseNet; got {type(model).__name__}")
    twin = copy.deepcopy(model).eval()
    for name, stage in list(twin.named_children()):
        if isinstance(stage, BlockInPlace):
            raise ValueError("this DenseNet is without copies already: convert the original")
        if isinstance(stage, DenseBlock):
            setattr(twin, name, BlockInPlace(stage))
        elif isinstance(stage, Transition):
            setattr(twin, name, PoolingTransition(stage))
        elif isinstance(stage, Stem):
            setattr(
                twin, name, nn.Sequential(fuse_conv_bn_eval(stage.conv, stage.norm), stage.relu)
            )
    return twin.requires_grad_(False).to(memory_format=torch.channels_last)


class BlockInPlace(nn.Module):
    """A dense block for inference: (N, C, H, W) -> (N, C + layers * k, H, W)."""

    def __init__(self, block: DenseBlock) -> None:
        super().__init__()
        self.in_channels, self.growth_rate = block.in_channels, block.growth_rate
        self.layers = nn.ModuleList(
            BottleneckInPlace(layer) if layer.bottleneck else BasicInPlace(layer)
            for layer in block.layers
            if isinstance(layer, DenseLayer)
        )

    def forward(self, maps: Tensor) -> Tensor:
        n, _, height, width = maps.shape
        filled = self.in_channels
        room = filled + len(self.layers) * self.growth_rate
        pixels = maps.new_empty((n, height, width, room))
        all_maps = pixels.permute(0, 3, 1, 2)  # the same memory, seen as (N, C, H, W)
        all_maps.narrow(1, 0, filled).copy_(maps)
        for layer in self.layers:
            new_maps = layer(pixels.narrow(3, 0, filled))
            all_maps.narrow(1, filled, self.growth_rate).copy_(new_maps)
            filled += self.growth_rate
        return all_maps


class BottleneckInPlace(nn.Module):
    """BN-ReLU-1x1-BN-ReLU-3x3 with known statistics: (N, H, W, C) -> (N, k, H, W)."""

    def __init__(self, layer: DenseLayer) -> None:
        super().__init__()
        squeeze = fuse_conv_bn_eval(layer.conv1, layer.norm2)
        self.lower, self.upper, self.matrix, self.bias = clamp_and_product(layer.norm1, squeeze)
        self.kernels = layer.conv2.weight

    def forward(self, pixels: Tensor) -> Tensor:
        n, height, width, channels = pixels.shape
        rows = torch.clamp(pixels, self.lower, self.upper).view(-1, channels)
        rows = torch.addmm(self.bias, rows, self.matrix).relu_()
        maps = rows.view(n, height, width, -1).permute(0, 3, 1, 2)
        return F.conv2d(maps, self.kernels, padding=1)


class BasicInPlace(nn.Module):
    """BN-ReLU-3x3 with known statistics: (N, H, W, C) -> (N, k, H, W)."""

    def __init__(self, layer: DenseLayer) -> None:
        super().__init__()
        self.scale, self.shift = map(nn.Parameter, scale_and_shift(layer.norm2))
        self.kernels = layer.conv2.weight

    def forward(self, pixels: Tensor) -> Tensor:
        # nn.BatchNorm2d would first copy its input, which is only a part of a tensor
        maps = torch.addcmul(self.shift, pixels, self.scale).relu_().permute(0, 3, 1, 2)
        return F.conv2d(maps, self.kernels, padding=1)


class PoolingTransition(nn.Module):
    """A transition for inference: (N, C, H, W) -> (N, out_channels, H / 2, W / 2)."""

    def __init__(self, transition: Transition) -> None:
        super().__init__()
        numbers = clamp_and_product(transition.norm, transition.conv)
        self.lower, self.upper, self.matrix, self.bias = numbers

    def forward(self, maps: Tensor) -> Tensor:
        pixels = torch.clamp(maps.permute(0, 2, 3, 1), self.lower, self.upper)
        pixels = F.avg_pool2d(pixels.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
        rows = torch.addmm(self.bias, pixels.flatten(0, 2), self.matrix)
        return rows.unflatten(0, pixels.shape[:3]).permute(0, 3, 1, 2)


def clamp_and_product(norm: nn.BatchNorm2d, conv: nn.Conv2d) -> Iterator[nn.Parameter]:
    """BN with known statistics, ReLU and a 1 x 1 convolution, as a clamp and a matrix product.

    Let BN be s x + b. Then ReLU(s x + b) = s clamp(x) + b, where the clamp stops x at -b / s, the
    place where BN gives 0: from below if s > 0, from above if s < 0. So s and b can join the
    weights and biases of the convolution, and the maps are read and written only once before it.

    Returns:
        Lower and upper limits (C,), matrix (C, out_channels) and bias (out_channels,).
    """
    scale, shift = scale_and_shift(norm)
    zero = -shift / scale
    constant = ~zero.isfinite()  # s is 0, or nearly: ReLU(b) whatever x
    zero, scale = zero.masked_fill(constant, 0), scale.masked_fill(constant, 0)
    shift = torch.where(constant, shift.relu(), shift)
    weight = conv.weight.detach().flatten(1)  # (out_channels, C)
    bias = weight @ shift
    yield nn.Parameter(torch.where(scale < 0, -torch.inf, zero))
    yield nn.Parameter(torch.where(scale > 0, torch.inf, zero))
    yield nn.Parameter((weight * scale).t().contiguous())
    yield nn.Parameter(bias if conv.bias is None else bias + conv.bias.detach())


def scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Batch normalisation with its running statistics: times the one, plus the other, (C,)."""
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise ValueError("batch normalisation without running statistics depends on the batch")
    scale = norm.weight.detach() * torch.rsqrt(variance + norm.eps)
    return scale, norm.bias.detach() - mean * scale


# Table 2, and the -B and -C networks of Fig. 4 (left): kind -> (bottleneck, compression), sizes
TABLE_2: dict[str, tuple[bool, float, tuple[tuple[int, int], ...]]] = {  # (L, k)
    "densenet": (False, 1.0, ((40, 12), (100, 12), (100, 24))),
    "densenet_b": (True, 1.0, ((40, 12), (100, 12))),
    "densenet_c": (False, 0.5, ((40, 12), (100, 12))),
    "densenet_bc": (True, 0.5, ((40, 12), (100, 12), (250, 24), (190, 40))),
}

MODELS: dict[str, tuple[type[nn.Module], dict]] = {
    **{f"densenet{depth}": (DenseNet, {"blocks": blocks}) for depth, blocks in TABLE_1.items()},
    "densenet161": (DenseNet, {"blocks": DENSENET_161, "growth_rate": 48}),
    "densenet264_k48": (DenseNet, {"blocks": TABLE_1[264], "growth_rate": 48}),
    **{
        f"{kind}_cifar_l{depth}_k{growth_rate}": (
            DenseNet,
            {
                "num_classes": 10,
                "blocks": layers_per_block(depth, bottleneck=bottleneck),
                "growth_rate": growth_rate,
                "bottleneck": bottleneck,
                "compression": compression,
                "stem": "small",
            },
        )
        for kind, (bottleneck, compression, sizes) in TABLE_2.items()
        for depth, growth_rate in sizes
    },
}
