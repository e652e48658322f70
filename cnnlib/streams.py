r"""Images that do not fit into memory: read, decoded and cut to size while training goes on.

A `Stream` is taken by ``batches`` and by the training loop wherever an ``ImageSet`` is. Worker
processes read the files and cut squares of one size from them (`Crops`); the squares travel as
bytes, a quarter of what floating point would take, to the stream's device, and only there become
numbers of the dtype that training wants, are normalised, and are changed by ``Augmentation``.

==================  ==============================================================================
`image_folder`      PATH/train/CLASS/\*.jpeg and PATH/val/CLASS/\*.jpeg, as ImageNet is unpacked
`imagenette`        ten classes of ImageNet, 9,469 and 3,925 images, fetched once
`shards`            tar files as the webdataset package writes them, for the disks of a cluster
==================  ==============================================================================

What is random in the decoding of image i depends on i and on the ``salt`` of the pass alone. So a
pass is the same with any number of workers and processes, and can be taken up where it ended.

On tar files: reading many small files is slow on the network disks of a cluster, reading a few
large ones is not. The webdataset package streams through them: each worker deals with shards of its
own, so that with several of them a pass is only about as long as the set, and a place in it is
found again only by going through all that comes before. Here each shard's headers are read once,
which gives the place of each image; from then on any image is one read, a pass has every image
exactly once, and can begin anywhere. (So worked ``wids``, a companion that webdataset 1.0.2 comes
without.) The format is simple: the standard library's ``tarfile`` is enough for it, and what either
side writes the other reads.
"""

import atexit
import glob
import hashlib
import io
import json
import math
import os
import re
import signal
import tarfile
import warnings
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from cnnlib import fetch
from cnnlib.augment import Augmentation, Crops, check_whole
from cnnlib.data import Images, ImageSet
from cnnlib.datasets import SPLITS

if TYPE_CHECKING:
    from PIL.Image import Image

# Of ImageNet's training images; red, green, blue from 0 to 1. Published with fb.resnet.torch, and
# what torchvision's pretrained networks expect.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

SUFFIXES = frozenset(
    f".{name}" for name in "jpg jpeg png webp bmp gif tif tiff ppm pgm".split()
)  # upper or lower case
MOST_WORKERS = 8
OPEN_SHARDS = 64  # files that a process keeps open
GRACE = 30  # seconds that a worker goes on after SIGTERM, for its main process to end in order


class Files(Protocol):
    """Where the images of a stream lie."""

    @property
    def labels(self) -> np.ndarray:
        """(N,) int64."""
        ...

    def read(self, index: int) -> bytes:
        """One file as it is."""
        ...

    def name(self, index: int) -> str:
        """What to call it in an error."""
        ...

    def order(self, generator: torch.Generator) -> Tensor:
        """(N,) int64, a shuffled order in which they can be read quickly."""
        ...

    def fingerprint(self) -> str:
        """Digest of names, sizes and labels."""
        ...


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
    _workers: "_Workers" = field(default_factory=lambda: _Workers(), init=False, repr=False)

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
            _Decoder(self.files, self.crops),
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


# Decoding ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Decoder:
    """What a worker does: a data set in torch's sense, of batches and not of images."""

    files: Files
    crops: Crops

    def __getitems__(self, task: tuple[int, list[int]]) -> tuple[Tensor, Tensor] | OSError:
        """Squares (B, 3, S, S) uint8 and labels (B,) int64 of the images of a task, or what failed.

        The error is a result here, so that the process that wants the images raises it as it is and
        not wrapped into the story of a worker.
        """
        salt, chosen = task
        size, cut = self.crops.size, self.crops.transforms()
        squares = torch.empty(len(chosen), 3, size, size, dtype=torch.uint8)
        try:
            with torch.random.fork_rng(devices=[]):  # without workers it is everybody's generator
                for square, index in zip(squares, chosen, strict=True):
                    image = decode(self.files.read(index), self.files.name(index), self.crops)
                    # This one generator: torch.manual_seed would seed those of the GPUs as well.
                    torch.default_generator.manual_seed(seed_of(salt, index))
                    square.copy_(cut(image))
        except OSError as fault:
            return fault
        return squares, torch.from_numpy(self.files.labels[chosen])


def seed_of(salt: int, index: int) -> int:
    """A seed for image ``index`` in the pass ``salt`` that has nothing to do with any other's."""
    digest = hashlib.blake2b(f"{salt} {index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def decode(data: bytes, name: str, crops: Crops | None = None) -> Tensor:
    """The pixels of an image file: (3, H, W) uint8, the right way up, as red, green and blue.

    Grey images get three equal channels, those with a palette or four inks are converted, and
    transparent ones are laid on white. Of 16 bits per value the upper 8 are kept.

    Args:
        data: The file.
        name: What to call it in an error.
        crops: What will be done with the image: where far fewer pixels than it has are needed, a
            JPEG file is decoded at a half, a quarter or an eighth of its size, which is quicker.

    Raises:
        OSError: It is damaged, cut off, or no image in a known format.
    """
    from PIL import Image, UnidentifiedImageError
    from torchvision.transforms.v2.functional import pil_to_tensor

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, about EXIF data and very large images
            with Image.open(io.BytesIO(data)) as image:
                if crops is not None and (times := crops.to_spare(*image.size)) >= 2:
                    image.draft(None, (int(image.width / times), int(image.height / times)))
                return pil_to_tensor(_coloured(_upright(image)))
    except UnidentifiedImageError:
        raise OSError(f"{name} is damaged, or no image in a known format") from None
    except Exception as fault:  # Pillow's decoders raise all kinds of errors on damaged files
        raise OSError(f"{name} cannot be decoded: {fault}") from fault


def _upright(image: "Image") -> "Image":
    """Turned as the camera noted it in the EXIF data, if it did."""
    from PIL import ImageOps

    image.load()
    if "exif" not in image.info:
        return image
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # the note is damaged; the image is as good as one without
        return image


def _coloured(image: "Image") -> "Image":
    """As RGB, whatever it was."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits, which conversion would cut off at 255
        values = np.asarray(image).astype(np.int64)
        image = Image.fromarray((values >> 8).clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image if image.mode == "RGB" else image.convert("RGB")


# Workers ----------------------------------------------------------------------------------------


class _Workers:
    """The worker processes of a stream, behind torch's DataLoader.

    They take tasks (a salt and positions) in any number, so they know nothing of a pass and can be
    kept for the next one.
    """

    def __init__(self) -> None:
        self.kept: Any = None  # a DataLoader with its workers, between two passes

    def __reduce__(self):  # processes are not copied, nor sent to others
        return _Workers, ()

    def run(
        self, decoder: _Decoder, tasks: Iterator, *, count: int, pin: bool
    ) -> Generator[tuple[Tensor, Tensor]]:
        """The results of the tasks, in their order.

        Args:
            decoder: What is done with a task.
            tasks: Taken a few ahead of the results.
            count: Number of processes; 0: everything happens here, one task at a time.
            pin: Whether results are put into memory from which a GPU can fetch them by itself.

        Raises:
            OSError: As a task's result.
        """
        if not count:
            for task in tasks:
                yield _unless_failed(decoder.__getitems__(task))
            return
        # None is kept during a pass: a second one at the same time gets workers of its own.
        loader, self.kept = self.kept, None
        if loader is None:
            loader = _loader(decoder, count, pin)
        loader.batch_sampler.tasks = tasks
        results = iter(loader)
        _end_with_this_process(results)
        finished = False
        try:
            for result in results:
                yield _unless_failed(result)
            finished = True
        finally:
            loader.batch_sampler.tasks = iter(())
            if finished and self.kept is None:
                self.kept = loader
            else:
                # They would end with the last reference to them; but after an exception, such as
                # Ctrl-C, its traceback holds one as long as somebody looks at it.
                results._shutdown_workers()


def _unless_failed(result: tuple[Tensor, Tensor] | OSError) -> tuple[Tensor, Tensor]:
    if isinstance(result, OSError):
        raise result
    return result


class _Tasks:
    """The tasks of one pass after the other, as the loader's source of batches."""

    def __init__(self) -> None:
        self.tasks: Iterator = iter(())

    def __iter__(self) -> Iterator:
        return self.tasks


def _loader(decoder: _Decoder, count: int, pin: bool, context: str | None = None) -> Any:
    decoder.crops.transforms()  # imports what forked workers would else import one by one
    return torch.utils.data.DataLoader(
        decoder,  # type: ignore[arg-type]  # has __getitems__, for batches, and no __getitem__
        batch_sampler=_Tasks(),  # type: ignore[arg-type]  # has no length, which nobody asks for
        num_workers=count,
        collate_fn=_as_it_is,
        pin_memory=pin,
        persistent_workers=True,
        worker_init_fn=_outlive_signals,
        generator=torch.Generator(),  # else it would draw from the global one
        multiprocessing_context=context,
    )


def _as_it_is(batch: Any) -> Any:
    return batch


def _outlive_signals(worker: int) -> None:
    """Ctrl-C and a cluster's notice of the end reach all processes; the main one decides.

    It may want to finish a step and to save what it has, for which the workers must not be gone.
    They end when it tells them to, or when they find that it is gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "alarm"):  # elsewhere a process that is told to end is not asked
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(GRACE))


_RUNNING: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


def _end_with_this_process(results: Any) -> None:
    """Has workers end in order when the program does, however it does.

    Torch would ask them to end at once, which ours take their time for. The function must be the
    last that was registered: those are called first, while torch still has what it needs.
    """
    _RUNNING[results] = os.getpid()
    atexit.unregister(_end_running)
    atexit.register(_end_running)


def _end_running() -> None:
    for results, process in list(_RUNNING.items()):
        if process == os.getpid():  # a fork has a copy of this list, but they are not its own
            results._shutdown_workers()


# Folders of images ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Folder:
    """Files below a folder. Names are bytes in one array: a list would be copied by each worker."""

    root: str
    names: np.ndarray  # (N,) bytes, paths relative to the root
    labels: np.ndarray  # (N,) int64

    def name(self, index: int) -> str:
        return os.path.join(self.root, os.fsdecode(self.names[index]))

    def read(self, index: int) -> bytes:
        with open(self.name(index), "rb") as stream:
            return stream.read()

    def order(self, generator: torch.Generator) -> Tensor:
        return torch.randperm(len(self.labels), generator=generator, device=generator.device)

    def fingerprint(self) -> str:
        return self._digest

    @cached_property
    def _digest(self) -> str:
        sizes = (os.stat(self.name(i)).st_size for i in range(len(self.names)))
        digest = hashlib.sha256()
        for name, size, label in zip(self.names, sizes, self.labels, strict=True):
            digest.update(b"%b\0%d\0%d\0" % (name, size, label))
        return digest.hexdigest()


def image_folder(
    path: str | Path,
    split: str = "train",
    *,
    crops: Crops | None = None,
    workers: int | None = None,
    name: str | None = None,
) -> Stream:
    """Images in folders named after their classes, as ImageNet is usually unpacked.

    Below ``path`` there are ``train/CLASS/...`` and ``val/CLASS/...`` (or ``test``; where both
    hold class folders, ``test``). The classes are the folders of ``train``, sorted by name. Images
    may also lie deeper in a class's folder. Files are images by their suffix; others, and those
    whose name begins with a dot, are left out.

    Args:
        path: The folder with both splits.
        split: "train" or "test".
        crops: How squares are cut from the images. None: ``Crops()`` to train, and
            ``Crops.central()`` to test.
        workers: See `Stream`.
        name: Of the set; None: that of the folder.

    Raises:
        OSError: A folder is missing or holds no images.
        ValueError: The split is unknown, or has other classes than the training images.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be {' or '.join(map(repr, SPLITS))}, got {split!r}")
    top = Path(path).expanduser()
    if not top.is_dir():
        raise FileNotFoundError(f"{top} is no folder; expected one with train/CLASS/*.jpeg in it")
    root, classes = _split_folder(top, split)
    known = classes
    if split == "test" and (top / "train").is_dir():
        known = _class_folders(top / "train")
        if extra := sorted(set(classes) - set(known)):
            raise ValueError(f"{root} has classes that {top / 'train'} has not: {_some(extra)}")
        if missing := sorted(set(known) - set(classes)):
            raise ValueError(f"{root} lacks classes that {top / 'train'} has: {_some(missing)}")
    names: list[bytes] = []
    labels: list[int] = []
    for label, kind in enumerate(known):
        found = sorted(_images_below(root, kind))
        if not found:
            raise FileNotFoundError(
                f"{root / kind} holds no images (files that end with {', '.join(sorted(SUFFIXES))})"
            )
        names += found
        labels += [label] * len(found)
    files = _Folder(str(root), np.array(names, dtype=np.bytes_), np.array(labels, dtype=np.int64))
    if crops is None:
        crops = Crops() if split == "train" else Crops.central()
    return Stream(name or top.resolve().name, tuple(known), files, crops, workers=workers)


def _split_folder(top: Path, split: str) -> tuple[Path, list[str]]:
    """The folder of a split and its classes."""
    places = [top / name for name in (("train",) if split == "train" else ("test", "val"))]
    for place in places:
        if place.is_dir() and (classes := _class_folders(place)):
            return place, classes
    there = [place for place in places if place.is_dir()]
    if there:
        raise FileNotFoundError(
            f"{there[0]} holds no folders of classes; expected {there[0]}/CLASS/*.jpeg"
        )
    expected = " or ".join(f"{place}/CLASS/*.jpeg" for place in places)
    hint = ""
    if split == "train" and (classes := _class_folders(top)):
        hint = f". It holds {_some(classes)}: if those are classes, move them into {places[0]}"
    raise FileNotFoundError(f"{top} has no {split} images; expected {expected}{hint}")


def _class_folders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))


def _images_below(root: Path, kind: str) -> Iterator[bytes]:
    """Paths of the images of a class, relative to the root."""
    for folder, _, names in os.walk(root / kind):
        for name in names:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES:
                yield os.fsencode(os.path.relpath(os.path.join(folder, name), root))


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


# Imagenette -------------------------------------------------------------------------------------

# Sizes and checksums as TensorFlow Datasets lists them (datasets/imagenette/checksums.tsv).
IMAGENETTE = {
    160: fetch.File(
        "imagenette2-160.tgz",
        99_003_388,
        "64d0c4859f35a461889e0147755a999a48b49bf38a7e0f9bd27003f10db02fe5",
    ),
    320: fetch.File(
        "imagenette2-320.tgz",
        341_663_724,
        "569b4497c98db6dd29f335d1f109cf315fe127053cedf69010d047f0188e158c",
    ),
    None: fetch.File(
        "imagenette2.tgz",
        1_557_161_267,
        "6cbfac238434d89fe99e651496f0812ebc7a10fa62bd42d6874042bf01de4efd",
    ),
}
IMAGENETTE_CLASSES = {  # folders are named after WordNet's numbers
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
IMAGENETTE_HOST = "https://s3.amazonaws.com/fast-ai-imageclas/"


def imagenette(
    split: str = "train",
    *,
    size: int | None = 320,
    crops: Crops | None = None,
    workers: int | None = None,
    cache: str | Path | None = None,
) -> Stream:
    """Ten classes of ImageNet that are easily told apart: 9,469 training and 3,925 test images.

    Put together by Jeremy Howard (github.com/fastai/imagenette, second version). Fetched, checked
    and unpacked once per machine, by one process, while others wait.

    Args:
        split: "train" or "test".
        size: Length of the images' shorter side in pixels: 320 (342 MB), 160 (99 MB), or None for
            the images as ImageNet has them (1.6 GB, which also go through memory once).
        crops: How squares are cut from the images. None: of 224 pixels, or of 128 if ``size`` is
            160; at random to train, central to test.
        workers: See `Stream`.
        cache: Folder of fetched files; default ``CNNLIB_DATA``, else the platform's cache folder.

    Raises:
        OSError: The data cannot be had; the message says what was tried and what to do.
        ValueError: Unknown split or size.
    """
    if size not in IMAGENETTE:
        raise ValueError(f"size must be 160, 320, or None for the full images, got {size!r}")
    if split not in SPLITS:
        raise ValueError(f"split must be {' or '.join(map(repr, SPLITS))}, got {split!r}")
    file = IMAGENETTE[size]
    folder = fetch.fetch_unpacked(
        file,
        (fetch.cache_folder() if cache is None else Path(cache)) / "imagenette",
        mirrors=lambda: [IMAGENETTE_HOST + file.name],
        advice='Or use load("fashion_6k"): grey images of clothes, in the package.',
    )
    if crops is None:
        train = Crops(128, 160) if size == 160 else Crops()
        crops = train if split == "train" else train.evaluation()
    top = folder / file.name.removesuffix(".tgz")
    stream = image_folder(top, split, crops=crops, workers=workers, name="imagenette")
    words = tuple(IMAGENETTE_CLASSES.get(kind, kind) for kind in stream.classes)
    return replace(stream, classes=words)


# Shards -----------------------------------------------------------------------------------------


class _Open:
    """A few files kept open for reading at any place, by any number of processes."""

    def __init__(self) -> None:
        self.files: OrderedDict[str, io.FileIO] = OrderedDict()

    def __reduce__(self):
        return _Open, ()

    def __del__(self) -> None:
        for file in self.files.values():
            file.close()

    def read(self, path: str, offset: int, size: int) -> bytes:
        if path not in self.files:
            if len(self.files) >= OPEN_SHARDS:
                self.files.popitem(last=False)[1].close()
            self.files[path] = io.FileIO(path)
        self.files.move_to_end(path)
        file = self.files[path]
        if hasattr(os, "pread"):  # forked workers share an open file, and with it its position
            return os.pread(file.fileno(), size, offset)
        file.seek(offset)
        return file.read(size)


@dataclass(frozen=True, eq=False)
class _Shards:
    """Members of tar files."""

    paths: tuple[str, ...]
    shard: np.ndarray  # (N,) int64, which of the paths
    offset: np.ndarray  # (N,) int64, first byte of the image in the tar file
    size: np.ndarray  # (N,) int64, bytes
    names: np.ndarray  # (N,) bytes, of the member
    labels: np.ndarray  # (N,) int64
    together: int  # shards whose images are mixed
    _open: _Open = field(default_factory=_Open)

    def name(self, index: int) -> str:
        return f"{self.paths[self.shard[index]]}: {os.fsdecode(self.names[index])}"

    def read(self, index: int) -> bytes:
        path = self.paths[self.shard[index]]
        return self._open.read(path, int(self.offset[index]), int(self.size[index]))

    def order(self, generator: torch.Generator) -> Tensor:
        """The shards in shuffled order, a few at a time, and the images of those few shuffled."""
        home, shard = generator.device, torch.from_numpy(self.shard)
        place = torch.randperm(len(self.paths), generator=generator, device=home)
        chance = torch.randperm(len(shard), generator=generator, device=home)
        group = place[shard.to(home)] // self.together
        return torch.argsort(group * len(shard) + chance)

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for path in self.paths:
            digest.update(os.path.basename(path).encode() + b"\0")
        for array in (self.shard, self.offset, self.size, self.labels):
            digest.update(array.astype("<i8").tobytes())
        digest.update(b"\0".join(self.names.tolist()))
        return digest.hexdigest()


def shards(
    pattern: str | Path | Sequence[str | Path],
    *,
    classes: Sequence[str] | None = None,
    crops: Crops | None = None,
    workers: int | None = None,
    name: str | None = None,
    together: int = 16,
) -> Stream:
    """Images in uncompressed tar files, as the webdataset package and `write_shards` make them.

    A sample is all members that share a name up to its first dot: an image (``000.jpg``, or another
    suffix of a known format) and its label, a number in ``000.cls`` or under "label" or "cls" in
    ``000.json``. In the first pass over a shard its headers are read, and what they say is kept
    beside it as ``SHARD.index.npz`` where the folder can be written.

    A pass goes through the shards in shuffled order, ``together`` at a time, with the images of
    these mixed; so it matters that neighbours in a shard are of different classes, which
    `write_shards` sees to.

    Args:
        pattern: A folder (all its tar files), a path with wildcards (``train-*.tar``) or a range of
            numbers (``train-{000000..000146}.tar``), or several paths. On disks or mounted.
        classes: Names of the classes. None: from ``classes.json`` beside the shards, as
            `write_shards` puts it there; else the numbers from 0 to the largest label.
        crops: How squares are cut from the images; None: ``Crops()``. To test, give
            ``Crops.central()``.
        workers: See `Stream`.
        name: Of the set; None: that of the shards' folder.
        together: Shards whose images are mixed.

    Raises:
        OSError: There are no shards, or one is damaged or compressed.
        ValueError: A label is missing or is none of the classes.
    """
    check_whole(together, "together", at_least=1)
    paths = _matching(pattern)
    if classes is None:
        classes = _classes_beside(paths[0])
    names = None if classes is None else tuple(map(str, classes))
    parts = [_index(path) for path in paths]
    if not sum(len(part.names) for part in parts):
        raise OSError(f"no images in {_some([str(path) for path in paths])}")
    labels = np.concatenate([_numbers(part, names) for part in parts])
    files = _Shards(
        tuple(str(path) for path in paths),
        np.repeat(np.arange(len(parts)), [len(part.names) for part in parts]),
        np.concatenate([part.offset for part in parts]),
        np.concatenate([part.size for part in parts]),
        np.array([entry for part in parts for entry in part.names.tolist()], dtype=np.bytes_),
        labels,
        together,
    )
    if names is None:
        names = tuple(map(str, range(int(labels.max()) + 1)))
    return Stream(
        name or paths[0].resolve().parent.name, names, files, crops or Crops(), workers=workers
    )


def _matching(pattern: str | Path | Sequence[str | Path]) -> list[Path]:
    """The shards' paths, sorted; a range of numbers in braces stands for each of them."""
    if not isinstance(pattern, str | Path):
        paths = [Path(path).expanduser() for path in pattern]
        if not paths:
            raise ValueError("shards needs at least one path")
        return paths
    path = Path(pattern).expanduser()
    if path.is_dir():
        paths = sorted(path.glob("*.tar"))
    elif braces := re.search(r"\{(\d+)\.\.(\d+)\}", str(path)):
        low, high = braces.groups()
        before, after = str(path)[: braces.start()], str(path)[braces.end() :]
        numbers = range(int(low), int(high) + 1)
        paths = [Path(f"{before}{number:0{len(low)}}{after}") for number in numbers]
    elif glob.has_magic(str(path)) and not path.exists():
        paths = sorted(map(Path, glob.glob(str(path))))
    else:
        paths = [path]
    if not paths:
        raise FileNotFoundError(f"there are no shards {pattern}; expected tar files")
    return paths


def _classes_beside(shard: Path) -> list[str] | None:
    path = shard.with_name("classes.json")
    try:
        classes = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as fault:
        raise OSError(f"{path} is damaged ({fault}); write it again, or give classes") from fault
    if not isinstance(classes, list) or not all(isinstance(c, str) for c in classes):
        raise OSError(f"{path} should hold a list of names; write it again, or give classes")
    return classes


class _Index(NamedTuple):
    """What the headers of one shard say, in the order of the images in it."""

    path: Path
    offset: np.ndarray  # (n,) int64
    size: np.ndarray  # (n,) int64
    names: np.ndarray  # (n,) bytes
    answers: np.ndarray  # (n,) bytes: the labels as they are written


def _index(path: Path) -> _Index:
    """The index of a shard: that beside it, if it is the shard's, else read from the headers."""
    beside = path.with_name(path.name + ".index.npz")
    status = os.stat(path)
    stamp = np.array([status.st_size, status.st_mtime_ns])
    try:
        with np.load(beside, allow_pickle=False) as kept:
            if np.array_equal(kept["stamp"], stamp):
                return _Index(path, kept["offset"], kept["size"], kept["names"], kept["answers"])
    except Exception:  # not there, damaged, another version's: what it says is in the shard too
        pass
    index = _read_headers(path, status.st_size)
    data = io.BytesIO()
    np.savez(data, stamp=stamp, **{k: v for k, v in index._asdict().items() if k != "path"})
    try:
        fetch.write(data.getvalue(), beside)
    except OSError as fault:
        fetch.log.info("index not kept: %s", fault)
    return index


def _read_headers(path: Path, length: int) -> _Index:
    images: dict[str, tarfile.TarInfo] = {}
    answers: dict[str, str] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                folder, _, base = member.name.rpartition("/")
                key, _, suffix = base.partition(".")
                key = f"{folder}/{key}"
                if not member.isfile() or not key or not suffix:
                    continue
                if f".{suffix.lower()}" in SUFFIXES:
                    if key in images:
                        raise OSError(f"{path} has two images {key.lstrip('/')}")
                    if member.offset_data + member.size > length:
                        raise OSError(f"{path} is cut off in {member.name}")
                    images[key] = member
                elif suffix in ("cls", "json"):
                    stream = archive.extractfile(member)
                    text = stream.read().decode() if stream is not None else ""
                    if suffix == "cls":
                        answers[key] = text.strip()
                    elif key not in answers and (answer := _answer(text)) is not None:
                        answers[key] = answer
    except (tarfile.TarError, EOFError, UnicodeDecodeError) as fault:
        raise OSError(
            f"{path} cannot be read as an uncompressed tar file: {fault}. In a compressed one no "
            "image can be found without unpacking all before it: unpack it to .tar"
        ) from fault
    if missing := [member.name for key, member in images.items() if key not in answers]:
        raise ValueError(
            f"{path} has images without a label (.cls, or .json with label or cls): "
            f"{_some(missing)}"
        )
    members = list(images.values())
    return _Index(
        path,
        np.array([member.offset_data for member in members], dtype=np.int64),
        np.array([member.size for member in members], dtype=np.int64),
        np.array([os.fsencode(member.name) for member in members], dtype=np.bytes_),
        np.array([answers[key].encode() for key in images], dtype=np.bytes_),
    )


def _answer(text: str) -> str | None:
    """The label in a sample's JSON, if it holds one."""
    try:
        values = json.loads(text)
    except ValueError:
        return None
    if isinstance(values, dict):
        values = values.get("label", values.get("cls"))
    return str(values) if isinstance(values, int | str) else None


def _numbers(index: _Index, classes: tuple[str, ...] | None) -> np.ndarray:
    """The labels of a shard as positions in the classes; a label may also be a class's name."""
    place = {} if classes is None else {name: number for number, name in enumerate(classes)}
    labels = np.empty(len(index.answers), dtype=np.int64)
    for n, answer in enumerate(index.answers.tolist()):
        text = answer.decode()
        number = place.get(text, int(text) if re.fullmatch(r"\d{1,9}", text) else -1)
        if number < 0 or (classes is not None and number >= len(classes)):
            image = os.fsdecode(index.names[n])
            known = "a number from 0" if classes is None else f"0..{len(classes) - 1} or a name"
            raise ValueError(f"{index.path}: label {text!r} of {image} is not {known}")
        labels[n] = number
    return labels


def write_shards(
    data: Images,
    folder: str | Path,
    *,
    per_shard: int = 1000,
    seed: int | None = 0,
) -> list[Path]:
    """Writes images as tar files ``000000.tar`` and so on, for `shards` or the webdataset package.

    The files of a stream are copied as they are; the images of an ``ImageSet`` become PNG files.
    The names of the classes go into ``classes.json``. The same data give the same bytes.

    Args:
        data: A `Stream`, or an ``ImageSet`` of bytes with one or three channels.
        folder: Where they belong; made by this function, and not there before. It appears when it
            is complete.
        per_shard: Images in each but the last. Files of 100 MB to 1 GB read well.
        seed: Of the order in which the images are written, which should be shuffled (see `shards`);
            None: as they are.

    Returns:
        The shards' paths.

    Raises:
        FileExistsError: The folder is there already.
        OSError: A file cannot be read or written; nothing is left behind.
        TypeError, ValueError: The data are of another kind, or there are none.
    """
    check_whole(per_shard, "per_shard", at_least=1)
    if not len(data):
        raise ValueError(f"{data.name} has no images to write")
    if isinstance(data, Stream):
        labels, image = torch.from_numpy(data.files.labels), partial(_as_stored, data.files)
    elif isinstance(data, ImageSet):
        if data.images.dtype != torch.uint8 or data.images.shape[1] not in (1, 3):
            raise ValueError(
                "write_shards stores images of bytes with 1 or 3 channels, got "
                f"{data.images.dtype} with {data.images.shape[1]}: write the set as it was loaded"
            )
        labels, image = data.labels, partial(_as_png, data.images)
    else:
        raise TypeError(f"data must be a Stream or an ImageSet, got {type(data).__name__}")
    order = torch.arange(len(data))
    if seed is not None:
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    target = Path(folder).expanduser()
    with fetch.complete_folder(target) as part:
        written = [f"{number:06}.tar" for number in range(math.ceil(len(order) / per_shard))]
        for name, start in zip(written, range(0, len(order), per_shard), strict=True):
            places = range(start, min(start + per_shard, len(order)))
            members = (
                member
                for place in places
                for member in _sample(place, int(order[place]), labels, image)
            )
            with open(part / name, "wb") as shard:
                shard.writelines(_tar(members))
                shard.flush()
                os.fsync(shard.fileno())
        fetch.write(json.dumps(list(data.classes), indent=0).encode(), part / "classes.json")
    return [target / name for name in written]


def _sample(
    place: int, index: int, labels: Tensor, image: Callable[[int], tuple[str, bytes]]
) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the members of one sample."""
    suffix, data = image(index)
    yield f"{place:09}{suffix}", data
    yield f"{place:09}.cls", str(labels[index].item()).encode()


def _as_stored(files: Files, index: int) -> tuple[str, bytes]:
    return os.path.splitext(files.name(index))[1].lower(), files.read(index)


def _as_png(images: Tensor, index: int) -> tuple[str, bytes]:
    from PIL import Image

    pixels = images[index].permute(1, 2, 0).squeeze(2).cpu().numpy()  # (H, W) or (H, W, 3)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return ".png", data.getvalue()


def _tar(members: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    """A tar file in pieces: a header, what it announces, and zeros up to whole blocks."""
    for name, data in members:
        header = tarfile.TarInfo(name)
        header.size = len(data)
        yield header.tobuf(tarfile.USTAR_FORMAT)
        yield data
        yield bytes(-len(data) % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)
