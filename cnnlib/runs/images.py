"""The images of a run: named in a word, brought to a size, normalised."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cnnlib import data
from cnnlib.augment import Crops
from cnnlib.data import ImageSet
from cnnlib.datasets import DATASETS

if TYPE_CHECKING:
    from cnnlib.streams import Files, Stream

STREAMS = ("imagenette", "imagefolder:PATH", "shards:PATTERN")
CHUNK = 1000  # images that are scaled at a time

Numbers = tuple[float, ...]  # one per channel


class NoData(RuntimeError):
    """The images cannot be fetched, through no fault of the arguments."""


@dataclass(frozen=True)
class Wanted:
    """Which images, and how they are prepared.

    Args:
        name: see `cnnlib.runs.Settings`.
        size: height and width in pixels; None leaves images in memory as they are.
        pad: whether images in memory get a border of background to be of that size, instead of
            being scaled.
        limit: so many images of a split at most; None for all.
        crops: how training images of a stream are cut; None for images in memory.
    """

    name: str
    size: int | None = None
    pad: bool = False
    limit: int | None = None
    crops: Crops | None = None

    def open(
        self,
        split: str,
        statistics: tuple[Numbers, Numbers] | None = None,
        classes: Sequence[str] | None = None,
    ) -> ImageSet | Stream:
        """One split, as float32.

        Args:
            split: ``"train"`` or ``"test"``.
            statistics: mean and standard deviation per channel with which to normalise; None takes
                those of the split.
            classes: names of the classes, for shards that do not know them.

        Raises:
            ValueError: too many images for memory at this size.
            OSError: a path that does not lead to images.
            NoData: named data that cannot be fetched.
        """
        if self.crops is not None:
            return self._stream(split, self.crops, statistics, classes)
        try:
            images = data.load(self.name, split)
        except OSError as error:
            raise NoData(str(error)) from error
        if (chosen := _some(len(images), self.limit)) is not None:
            images = images.select(chosen)
        if self.size is not None and images.images.shape[2:] != (self.size, self.size):
            _check_memory(images, self.size)
            images = images.padded(self.size) if self.pad else scaled(images, self.size)
        return images.normalized(*(statistics or ()))

    def _stream(
        self,
        split: str,
        crops: Crops,
        statistics: tuple[Numbers, Numbers] | None,
        classes: Sequence[str] | None,
    ) -> Stream:
        from cnnlib import streams

        crops = crops if split == "train" else crops.evaluation()
        kind, _, where = self.name.partition(":")
        if kind == "imagefolder":
            images = streams.image_folder(where, split, crops=crops)
        elif kind == "shards":
            images = streams.shards(shards_of(where, split), classes=classes, crops=crops)
        else:
            # Scaled down from the smallest of its three sizes that is large enough.
            large_enough = (side for side in (160, 320) if side >= max(crops.sides))
            try:
                images = streams.imagenette(split, size=next(large_enough, None), crops=crops)
            except OSError as error:
                raise NoData(str(error)) from error
        if (chosen := _some(len(images), self.limit)) is not None:
            images = replace(images, files=_Part(images.files, chosen.numpy()))
        mean, std = statistics or images.statistics()[:2]
        return images.normalized(mean, std)


def check_name(name: str) -> None:
    """TypeError or ValueError unless there are such data, or such a way to name them."""
    if not isinstance(name, str):
        raise TypeError(f"data must be named by a string; got {name!r}")
    kind, colon, where = name.partition(":")
    if name in DATASETS or name == "imagenette" or (kind in ("imagefolder", "shards") and where):
        return
    known = [*DATASETS, *STREAMS]
    near = difflib.get_close_matches(
        kind.lower() if colon else name.lower(), known, n=1, cutoff=0.5
    )
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    raise ValueError(f"there are no data {name!r}; {hint}")


def is_stream(name: str) -> bool:
    """Whether the images are read as they are needed, instead of being held in memory."""
    return name not in DATASETS


def short(name: str) -> str:
    """The name of the data as part of the name of a folder."""
    kind, _, where = name.partition(":")
    last = re.sub(r"[^\w.]+", "-", os.path.basename(os.path.normpath(where))).strip("-.")
    return f"{kind}-{last}" if where and last else kind


def sized(crops: Crops | None, size: int) -> Crops:
    """How a recipe cuts its images, for another size; all lengths change in proportion."""
    if crops is None:
        return Crops(size)
    if crops.size == size:
        return crops

    def scale(side: int) -> int:
        return max(size, round(side * size / crops.size))

    resize = crops.resize
    if resize is not None:
        resize = scale(resize) if isinstance(resize, int) else (scale(resize[0]), scale(resize[1]))
    return replace(crops, size=size, resize=resize)


def shards_of(pattern: str, split: str) -> str:
    """Where the shards of a split are.

    A folder has the folders ``train`` and ``test`` (or ``val``) in it. Any other pattern names the
    training shards and has "train" in its last part; those of the test have "test" or "val" in its
    place, and any numbers.

    Raises:
        FileNotFoundError: there is neither.
        ValueError: a pattern without "train".
    """
    path = Path(pattern).expanduser()
    names = ("train",) if split == "train" else ("test", "val")
    if path.is_dir():
        places = [path / name for name in names]
        for place in places:
            if place.is_dir():
                return str(place)
        raise FileNotFoundError(f"there is no folder {' or '.join(map(str, places))}")
    before, train, after = path.name.rpartition("train")
    if not train:
        raise ValueError(
            f"shards:{pattern} is no folder, so it names the training shards and must have 'train' "
            "in its last part, as imagenet-train-*.tar: test or val in its place give the test"
        )
    if split == "train":
        return str(path)
    after = re.sub(r"\{\d+\.\.\d+\}|\d+", "*", after)
    patterns = [path.with_name(f"{before}{name}{after}") for name in names]
    for other in patterns:
        if any(other.parent.glob(other.name)):
            return str(other)
    raise FileNotFoundError(f"there are no test shards {' or '.join(map(str, patterns))}")


def scaled(images: ImageSet, size: int) -> ImageSet:
    """Images of bytes scaled to squares of ``size`` pixels, bilinearly and without aliasing."""
    parts = [
        F.interpolate(part.float(), (size, size), mode="bilinear", antialias=True)
        .round_()
        .clamp_(0, 255)
        .to(torch.uint8)
        for part in images.images.split(CHUNK)
    ]
    return replace(images, images=torch.cat(parts))


def _check_memory(images: ImageSet, size: int) -> None:
    """ValueError if the images would not fit into this computer's memory as float32."""
    wanted = len(images) * images.images.shape[1] * size * size * 5  # the bytes are there too
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # a system that does not say
        return
    if wanted > 0.8 * there:
        raise ValueError(
            f"{len(images):,} images of {images.name} at {size}x{size} pixels need "
            f"{wanted / 2**30:,.0f} GiB of memory, this computer has {there / 2**30:.0f}: choose a "
            "smaller --size or a --limit"
        )


def _some(count: int, limit: int | None) -> Tensor | None:
    """Positions of some of the images, of all classes whatever their order; always the same."""
    if limit is None or limit >= count:
        return None
    chosen = torch.randperm(count, generator=torch.Generator().manual_seed(0))[:limit]
    return chosen.sort().values


@dataclass(frozen=True, eq=False)
class _Part:
    """Some files of a stream."""

    files: Files
    chosen: np.ndarray  # (N,) int64

    @property
    def labels(self) -> np.ndarray:
        return self.files.labels[self.chosen]

    def read(self, index: int) -> bytes:
        return self.files.read(int(self.chosen[index]))

    def name(self, index: int) -> str:
        return self.files.name(int(self.chosen[index]))

    def order(self, generator: torch.Generator) -> Tensor:
        return torch.randperm(len(self.chosen), generator=generator, device=generator.device)

    def fingerprint(self) -> str:
        text = self.files.fingerprint().encode() + self.chosen.tobytes()
        return hashlib.sha256(text).hexdigest()
