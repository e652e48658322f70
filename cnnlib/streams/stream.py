"""A set of images in files, in the terms that `cnnlib.data.Images` lays down."""

import math
import os
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cnnlib.augment import Augmentation, Crops, check_whole

from .decoding import Decoder, Files
from .workers import Workers

# Of ImageNet's training images; red, green, blue from 0 to 1. Published with fb.resnet.torch, and
# what torchvision's pretrained networks expect.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MOST_WORKERS = 8


class Statistics(NamedTuple):
    """Colours of images, red, green and blue from 0 to 1; see `Stream.statistics`."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    axes: tuple[tuple[float, float, float], ...]  # principal ones, as `Crops` wants them


@dataclass(frozen=True, eq=False)
class Stream:
    """Labelled images in files. Every method returns a new stream and leaves this one as it is.

    Batches are (B, 3, S, S), S the size of the crops. Made by `image_folder`, `imagenette` and
    `shards`.

    Worker processes are started by the first batch and kept from one pass to the next; they end
    with the stream, and at once when a pass is broken off.

    Args:
        name: Name of the set.
        classes: Names of the classes.
        files: Where the images lie, with their labels.
        crops: How squares are cut from them.
        mean: Subtracted per channel; red, green, blue from 0 to 1.
        std: Divided by, per channel.
        workers: Processes that decode; 0: this one does it, between the batches. None: as many as
            this process has cores, at most 8, under ``torchrun`` a fair share of them; but none
            where that would not help: on one or two cores that also train the network, and for
            fewer than 1,000 images.
        device: Where the batches are.
        dtype: Of the images in the batches.

    Raises:
        TypeError, ValueError: Something does not fit this description.
    """

    name: str
    classes: tuple[str, ...]
    files: Files
    crops: Crops
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    workers: int | None = None
    device: torch.device = torch.device("cpu")
    dtype: torch.dtype = torch.float32
    _workers: "Workers" = field(default_factory=lambda: Workers(), init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.crops, Crops):
            raise TypeError(
                f"crops must be a cnnlib.augment.Crops, such as Crops(size=128), got {self.crops!r}"
            )
        if self.workers is not None:
            check_whole(self.workers, "workers", at_least=0)
        if not self.dtype.is_floating_point:
            raise ValueError(f"a stream gives floating point images, so dtype cannot {self.dtype}")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if len(values) != 3 or not all(math.isfinite(v) for v in values):
                raise ValueError(f"{name} must be three finite numbers, got {values}")
        if min(self.std) <= 0:
            raise ValueError(f"std must be above 0 in every channel, got {self.std}")
        labels = self.files.labels
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.classes):
            raise ValueError(
                f"labels must lie in 0..{len(self.classes) - 1}, one for each of the "
                f"{len(self.classes)} classes; got {labels.min()}..{labels.max()}"
            )

    def __len__(self) -> int:
        return len(self.files.labels)

    @property
    def labels(self) -> Tensor:
        """(N,) int64, each an index into ``classes``; on the CPU."""
        return torch.from_numpy(self.files.labels)

    def __repr__(self) -> str:
        kind = str(self.dtype).removeprefix("torch.")
        return (
            f"Stream({self.name}: {len(self):,} images, crops of 3x{self.crops.size}x"
            f"{self.crops.size}, {len(self.classes)} classes, {kind} on {self.device})"
        )

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> "Stream":
        """The same files with batches on another device, their images of another dtype."""
        device = self.device if device is None else torch.device(device)
        return replace(self, device=device, dtype=self.dtype if dtype is None else dtype)

    def with_crops(self, crops: Crops) -> "Stream":
        """The same files, cut in another way."""
        return replace(self, crops=crops)

    def normalized(self, mean: Sequence[float], std: Sequence[float]) -> "Stream":
        """The same files, with other numbers subtracted and divided by; in units from 0 to 1."""
        return replace(self, mean=tuple(mean), std=tuple(std))

    def counts(self) -> dict[str, int]:
        """Number of images per class."""
        count = np.bincount(self.files.labels, minlength=len(self.classes))
        return dict(zip(self.classes, count.tolist(), strict=True))

    def order(self, generator: torch.Generator) -> Tensor:
        """A shuffled order for one pass, (N,) int64, in which the files can be read quickly."""
        return self.files.order(generator)

    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with the names, sizes and labels of the files."""
        return self.files.fingerprint()[:16]

    def statistics(self, images: int = 2000, *, seed: int = 0) -> Statistics:
        """Mean, standard deviation and principal axes of the colours, from some of the images.

        Args:
            images: How many, drawn by chance; the central squares of all are taken if there are no
                more.
            seed: Of the choice.

        Raises:
            ValueError: There are no images, or ``images`` is below 1.
        """
        check_whole(images, "images", at_least=1)
        if not len(self):
            raise ValueError(f"{self.name} has no images to take statistics from")
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(self), generator=generator)[:images].sort().values
        raw = replace(
            self,
            crops=self.crops.evaluation(),
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            device=torch.device("cpu"),
            dtype=torch.float32,
        )
        count, total, squares = 0, torch.zeros(3).double(), torch.zeros(3, 3).double()
        passes = raw.iterate(chosen, 16, generator=None, augment=None)
        with closing(passes):
            for batch, _ in passes:
                colours = batch.movedim(1, 0).flatten(1).double()  # (3, pixels)
                count += colours.shape[1]
                total += colours.sum(1)
                squares += colours @ colours.T
        mean = total / count
        covariance = squares / count - mean.outer(mean)
        variances, axes = torch.linalg.eigh(covariance)  # smallest first, axes as columns
        axes = (axes * variances.clamp(min=0).sqrt()).T.flip(0)
        return Statistics(
            tuple(mean.tolist()),
            tuple(covariance.diagonal().clamp(min=0).sqrt().tolist()),
            tuple(tuple(row) for row in axes.tolist()),
        )

    def iterate(
        self,
        order: Tensor,
        batch_size: int,
        *,
        generator: torch.Generator | None,
        augment: Augmentation | None,
        share: slice = slice(None),
        salt: int = 0,
    ) -> Generator[tuple[Tensor, Tensor]]:
        """What ``batches`` yields, once it has checked its arguments, which are explained there.

        Files are read ahead of the batches, but the generator is not: with each batch it is where
        it would be if nothing were read ahead, so that a pass can be taken up from there. Nobody
        else should draw from it meanwhile.

        Raises:
            OSError: A file cannot be read, or is not an image; the message names it.
        """
        ahead = None if generator is None or augment is None else generator.clone_state()
        order, size = order.cpu(), self.crops.size
        drawn: deque[tuple[Any, Tensor | None]] = deque()

        def tasks() -> Iterator[tuple[int, list[int]]]:
            for start in range(0, len(order), batch_size):
                chosen = order[start : start + batch_size]
                if augment is None or ahead is None:
                    chosen = chosen[share]
                    drawn.append((None, None))
                else:
                    draws = augment.draw(len(chosen), size, size, ahead, share)
                    sources = draws.sources
                    chosen = chosen[sources if isinstance(sources, slice) else sources.cpu()]
                    drawn.append((draws, ahead.get_state()))
                yield salt, chosen.tolist()

        squares = self._workers.run(
            Decoder(self.files, self.crops),
            tasks(),
            count=min(self._worker_count(), math.ceil(len(self) / batch_size)),
            pin=self.device.type == "cuda",
        )
        with closing(squares):
            for result in squares:
                images, labels = (self._moved(tensor) for tensor in result)
                images = self._normalized(images)
                draws, state = drawn.popleft()
                if generator is not None and state is not None:
                    generator.set_state(state)
                    # Background 0 is the mean colour, which DeVries and Taylor paint with too.
                    images, labels = draws.apply(images, labels, classes=len(self.classes))
                yield images, labels

    def _moved(self, tensor: Tensor) -> Tensor:
        # A pinned tensor is copied while the computer goes on; nobody may touch it meanwhile, and
        # nobody does, for its memory is not reused before the copy is finished.
        return tensor.to(self.device, non_blocking=tensor.is_pinned())

    def _normalized(self, squares: Tensor) -> Tensor:
        """Bytes (B, 3, S, S) as normalised images."""
        # Half precision would round the mean in units of bytes to whole ones.
        wide = torch.promote_types(self.dtype, torch.float32)
        if self.device.type == "mps":
            wide = torch.float32  # it has no float64
        images = squares.to(wide)
        mean, std = (
            (255 * torch.tensor(v, dtype=torch.float64)).to(self.device, wide).view(3, 1, 1)
            for v in (self.mean, self.std)
        )
        return images.sub_(mean).div_(std).to(self.dtype)

    def _worker_count(self) -> int:
        if self.workers is not None:
            return self.workers
        together = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes that torchrun started
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        cores = max(1, (cores or 1) // together)
        if len(self) < 1000 or (cores <= 2 and self.device.type == "cpu"):
            return 0
        return min(MOST_WORKERS, cores)
