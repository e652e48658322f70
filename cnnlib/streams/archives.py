"""Images in tar files, as the webdataset package writes them.

Reading many small files is slow on the network disks of a cluster, reading a few large ones is not.
The webdataset package streams through them: each worker deals with shards of its own, so that with
several of them a pass is only about as long as the set, and a place in it is found again only by
going through all that comes before. Here each shard's headers are read once, which gives the place
of each image; from then on any image is one read, a pass has every image exactly once, and can
begin anywhere. (So worked ``wids``, a companion that webdataset 1.0.2 comes without.) The format is
simple: the standard library's ``tarfile`` is enough for it, and what either side writes the other
reads.
"""

import glob
import hashlib
import io
import json
import math
import os
import re
import tarfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cnnlib import fetch
from cnnlib.augment import Crops, check_whole
from cnnlib.data import Images, ImageSet

from .decoding import Files
from .folders import SUFFIXES, some
from .stream import Stream

OPEN_SHARDS = 64  # files that a process keeps open


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
        raise OSError(f"no images in {some([str(path) for path in paths])}")
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
            f"{path} has images without a label (.cls, or .json with label or cls): {some(missing)}"
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
