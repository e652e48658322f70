"""What several papers share: input checks, squeeze and excitation, TensorFlow's padding, drop path.

And evaluation mode for a while, which everybody needs who looks at a network from outside.

A layer is here only if the papers that use it define the same thing; else each writes its own.
"""

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F


def check_images(
    images: Tensor, in_channels: int, *, smallest: int = 1, exactly: int | None = None
) -> None:
    """Refuses what a network cannot take, in words that say what it can.

    Args:
        images: what came; (N, in_channels, H, W) in floating point is wanted.
        in_channels: channels that the network takes.
        smallest: height and width, in pixels, that the network needs at least.
        exactly: the one height and width that its fully connected layers fit; None if any will do.

    Raises:
        ValueError: another shape.
        TypeError: numbers that are not floating-point.
    """
    if isinstance(images, fx.Proxy):  # the network is being traced: there is nothing to look at yet
        return
    size = "H, W" if exactly is None else f"{exactly}, {exactly}"
    if images.ndim != 4 or images.shape[1] != in_channels:
        raise ValueError(
            f"images must be of shape (N, {in_channels}, {size}); got {tuple(images.shape)}. "
            "Make a single image a batch with image[None]; set in_channels for another number of "
            "channels"
        )
    height, width = images.shape[2:]
    if exactly is not None and (height != exactly or width != exactly):
        raise ValueError(
            f"images must be {exactly} x {exactly} pixels; got {height} x {width}. The fully "
            "connected layers fit one size only: build the network with another image_size"
        )
    if height < smallest or width < smallest:
        raise ValueError(
            f"images must be at least {smallest} x {smallest} pixels; got {height} x {width}: "
            "each pooling and stride shrinks them, and here nothing would be left"
        )
    if not images.is_floating_point():
        raise TypeError(
            f"images must be floating-point numbers; got {images.dtype}. Scale the pixels first, "
            "for instance with images / 255"
        )


def check_choice(option: str, value: object, accepted: Collection[object]) -> None:
    """Raises a ValueError that lists what is accepted, unless ``value`` is."""
    if value not in accepted:
        raise ValueError(f"{option} must be one of {', '.join(map(str, accepted))}; got {value!r}")


def check_positive(**numbers: float) -> None:
    """Raises a ValueError that names the first of the arguments that is not above 0."""
    for name, number in numbers.items():
        if not number > 0:
            raise ValueError(f"{name} must be above 0; got {number}")


def check_share(**numbers: float) -> None:
    """Raises a ValueError that names the first of the arguments that is not in [0, 1)."""
    for name, number in numbers.items():
        if not 0 <= number < 1:
            raise ValueError(f"{name} must be a share, at least 0 and below 1; got {number}")


def check_counts(**numbers: int) -> None:
    """Raises a ValueError that names the first of the arguments that is not 1, 2, 3, ..."""
    for name, number in numbers.items():
        if not isinstance(number, int) or number < 1:
            raise ValueError(f"{name} must be a whole number of at least 1; got {number}")


def map_side(chain: nn.Module, image_size: int) -> int:
    """Height and width of what a chain of convolutions and poolings makes of a square image.

    For networks whose fully connected layers fit one size of maps only.

    Args:
        chain: its layers are listed in the order in which they run; those that are neither keep
            the size. Kernels, strides and padding are alike along both axes.
        image_size: height and width of the images, in pixels.

    Raises:
        ValueError: nothing is left of such images; names the smallest that work.
    """
    check_counts(image_size=image_size)
    windows = [m for m in chain.modules() if isinstance(m, nn.Conv2d | nn.MaxPool2d)]

    def left_of(side: int) -> int:
        for window in windows:
            kernel, stride, padding = (
                length if isinstance(length, int) else int(length[0])
                for length in (window.kernel_size, window.stride, window.padding)
            )
            ceil = isinstance(window, nn.MaxPool2d) and window.ceil_mode
            places = side + 2 * padding - kernel + (stride - 1 if ceil else 0)
            side = max(places // stride + 1, 0)
        return side

    if not left_of(image_size):
        smallest = next(side for side in itertools.count(image_size) if left_of(side))
        raise ValueError(
            f"image_size must be at least {smallest}; got {image_size}: the poolings and strides "
            "would leave nothing for the fully connected layers"
        )
    return left_of(image_size)


@torch.no_grad()
def init_he(model: nn.Module) -> None:
    """Fresh weights from N(0, 2 / fan-in) and zero biases, in place (He et al. 2015, eq. 10).

    So a chain of ReLUs keeps the size of its signals. Applies to convolutions and linear layers.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and not layer.weight.is_meta:  # slow on meta
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class SqueezeExcitation(nn.Module):
    """Scales each channel by a number in (0, 1) computed from all of them: (N, C, H, W) -> same.

    Squeeze: the mean of each map. Excitation: two fully connected layers, written as 1 x 1
    convolutions, which compute the same (Hu et al. 2018, Sections 3.1 and 3.2, Fig. 2).

    Args:
        channels: C.
        squeezed: units between the two layers, C / r in the paper.
        activation: between the two layers.
        gate: after them; the hard sigmoid in MobileNetV3.
    """

    def __init__(
        self,
        channels: int,
        squeezed: int,
        *,
        activation: Callable[[], nn.Module] = nn.ReLU,
        gate: Callable[[], nn.Module] = nn.Sigmoid,
    ) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.activation = activation()
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.gate = gate()

    def excitation(self, maps: Tensor) -> Tensor:
        """What each channel is multiplied by: (N, C, H, W) -> (N, C, 1, 1)."""
        squeezed = maps.mean((2, 3), keepdim=True)
        return self.gate(self.expand(self.activation(self.reduce(squeezed))))

    def forward(self, maps: Tensor) -> Tensor:
        return maps * self.excitation(maps)


class Conv2dSame(nn.Conv2d):
    """A convolution padded as TensorFlow's ``SAME``: the output has ceil(size / stride) rows.

    Where the padding is odd, the extra row or column is at the bottom and the right. With stride 1
    and an odd kernel this is the usual symmetric padding; with stride 2 it moves the grid.
    """

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(pad_same(input, self.kernel_size, self.stride, self.dilation))


@fx.wrap  # a tracer keeps it as one operation, since it depends on the size of the maps
def pad_same(
    maps: Tensor, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> Tensor:
    """Zeros around maps (N, C, H, W), as many as TensorFlow's ``SAME`` adds."""
    height, width = maps.shape[2:]
    top, bottom = same_padding(height, kernel[0], stride[0], dilation[0])
    left, right = same_padding(width, kernel[1], stride[1], dilation[1])
    return F.pad(maps, (left, right, top, bottom))


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Rows of zeros that TensorFlow's ``SAME`` adds before and after ``size`` rows."""
    covered = (-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1
    total = max(covered - size, 0)
    return total // 2, total - total // 2


class DropPath(nn.Module):
    """In training, drops the whole branch of an image at random: (N, ...) -> same shape.

    What is kept is divided by the share that is kept, so that the mean stays; in ``eval`` nothing
    is dropped. "Stochastic depth" (Huang et al. 2016) where the branch is a residual.

    Args:
        rate: share dropped, in [0, 1); may be changed between steps.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"the share of paths dropped must be in [0, 1); got {rate}")
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        # Compared with a tensor, the rate may change without the network being compiled again.
        kept = torch.rand((x.shape[0],) + (1,) * (x.ndim - 1), device=x.device) >= self.rate
        # one number per image: the maps are read only once
        return x * (kept.to(x.dtype) / (1 - self.rate))

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; every module then returns to the mode that it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
