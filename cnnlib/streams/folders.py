"""Images in folders named after their classes; Imagenette, which comes so."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cnnlib import fetch
from cnnlib.augment import Crops
from cnnlib.datasets import SPLITS

from .stream import Stream

SUFFIXES = frozenset(
    f".{name}" for name in "jpg jpeg png webp bmp gif tif tiff ppm pgm".split()
)  # upper or lower case


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
            raise ValueError(f"{root} has classes that {top / 'train'} has not: {some(extra)}")
        if missing := sorted(set(known) - set(classes)):
            raise ValueError(f"{root} lacks classes that {top / 'train'} has: {some(missing)}")
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
        hint = f". It holds {some(classes)}: if those are classes, move them into {places[0]}"
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


def some(names: Sequence[str], most: int = 5) -> str:
    """A few names in a sentence, and how many more there are."""
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
