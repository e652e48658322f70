"""State in one file that is whole, unaltered and safe to open, or refused: tensors and plain data.

A training that may be killed at any moment needs three things of its checkpoint. It is there, old
or new, whatever happens while it is written (`cnnlib.fetch.write`). Damage is noticed, not trained
on: two checksums cover every byte. And opening it runs nothing: unlike pickles, what is read are
numbers and JSON.

The file is a safetensors file (https://github.com/huggingface/safetensors, "Format"), so that other
programs can look into it::

    8 bytes      length of the header, little-endian
    header       JSON: names, types, shapes and places of the tensors; and, in its metadata, the
                 state itself, with a reference to its name in place of each tensor
    32 bytes     a seal, as a tensor of bytes: SHA-256 of everything before it
    ...          the tensors, one after the other
    32 bytes     another seal, of everything before it, which is the whole file

The first seal lets `describe` trust the header without reading gigabytes. We write and read this
ourselves because then it needs no copy of the tensors in memory, and because the seals are made and
checked as the bytes pass by: once over the data, be it 50 KB or 5 GB. For files without seals, as
those of weights, the lower half of this module serves alone: `pack` and `Unpacked`.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from cnnlib import fetch

FORMAT = "cnnlib checkpoint"
VERSION = 1  # of the format; a file with a greater one is of a later cnnlib
SEALS = ("seal of the header", "seal of the file")  # names of other tensors begin with a slash
SEAL = 32  # bytes

DTYPES = {  # the types that safetensors names and training needs
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


class CheckpointError(ValueError):
    """This file is not a checkpoint that can be used; the message says why."""


def write(path: str | Path, state: dict[str, Any]) -> None:
    """Writes a state to a file, whole or not at all: until it is on disk, the old file stays.

    Args:
        path: the file; one that is there already is replaced.
        state: dicts with strings as keys, lists, tuples, tensors, numbers, strings, True, False and
            None, nested in any way. Tensors may be on any device and need not be contiguous; those
            that share memory are written each for itself.

    Raises:
        TypeError: the state holds something else; the message says what and where.
        OSError: the file cannot be written; nothing is left behind and the old file stays.
    """
    if not isinstance(state, dict):
        raise TypeError(f"a state is a dict, got {type(state).__name__}")
    found: dict[str, Tensor] = {}
    skeleton = json.dumps(_encode(state, "", found))
    metadata = {"format": FORMAT, "version": str(VERSION), "state": skeleton}
    blank = torch.zeros(SEAL, dtype=torch.uint8)
    tensors = {SEALS[0]: blank, **aligned(found), SEALS[1]: blank}
    fetch.write(_sealed(pack(tensors, metadata), list(tensors)), Path(path))


def read(path: str | Path) -> dict[str, Any]:
    """The state in a file that `write` wrote, with all its tensors on the CPU.

    Everything comes back as it was, with these exceptions: parameters are plain tensors, no two
    tensors share memory, subclasses of dict, tuple, str, int and float are those types themselves.

    Raises:
        CheckpointError: the file is damaged, incomplete, of a later cnnlib or something else.
        OSError: it cannot be read.
    """
    with open(path, "rb") as stream:
        file = _opened(stream)
        digest = hashlib.sha256(file.header)
        tensors = {}
        for name, tensor in file.tensors():
            if name in SEALS and _bytes(tensor) != digest.digest():
                raise _damaged(stream.name)
            digest.update(_bytes(tensor))
            tensors[name] = tensor
    return _decoded(file, tensors)


def describe(path: str | Path) -> dict[str, Any]:
    """The state in a file without its tensors, each of which is only named: "float32 (64, 3)".

    Reads, and checks, the beginning of the file only: quick however large the file is.

    Raises:
        CheckpointError, OSError: as `read`, but for damage beyond the header.
    """
    with open(path, "rb") as stream:
        file = _opened(stream)
        if stream.read(SEAL) != hashlib.sha256(file.header).digest():
            raise _damaged(stream.name)
    names = {
        name: f"{str(place.dtype).removeprefix('torch.')} {place.shape}"
        for name, place in file.places.items()
    }
    return _decoded(file, names)


# -- the state as JSON ------------------------------------------------------------------------

# What JSON does not know is a dict with one of these keys. An exclamation mark at the beginning of
# any other key is doubled, so that no state can be mistaken for one of them.
TENSOR, TUPLE = "!tensor", "!tuple"
LAYOUT = "!channels_last"  # beside TENSOR: the layout in memory, which optimisers hand on


def _encode(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """The value as JSON can hold it; tensors are put into ``tensors``, by names like their path."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        name = path
        while name in tensors:  # {"a": {"b": ...}, "a/b": ...}
            name += "'"
        tensors[name] = _storable(value.detach(), path)
        channels_last = value.ndim == 4 and value.is_contiguous(memory_format=torch.channels_last)
        marks = {LAYOUT: True} if channels_last and not value.is_contiguous() else {}
        return {TENSOR: name, **marks}
    if isinstance(value, list | tuple):
        items = [_encode(item, f"{path}/{index}", tensors) for index, item in enumerate(value)]
        return {TUPLE: items} if isinstance(value, tuple) else items
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{path or '/'} of the state has the key {key!r}, not a string")
        return {
            key if key[:1] != "!" else f"!{key}": _encode(item, f"{path}/{key}", tensors)
            for key, item in value.items()
        }
    raise TypeError(
        f"{path} of the state is a {type(value).__module__}.{type(value).__qualname__}; a state "
        "holds tensors, numbers, strings, True, False, None, and dicts, lists and tuples of these"
    )


def _decode(value: Any, tensors: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if TUPLE in value:
        return tuple(_decode(item, tensors) for item in value[TUPLE])
    if TENSOR in value:
        tensor = tensors[value[TENSOR]]
        if LAYOUT in value and isinstance(tensor, Tensor):
            return tensor.contiguous(memory_format=torch.channels_last)
        return tensor
    return {
        key if key[:1] != "!" else key[1:]: _decode(item, tensors) for key, item in value.items()
    }


def _storable(tensor: Tensor, path: str) -> Tensor:
    if tensor.layout != torch.strided or tensor.is_meta or tensor.dtype not in NAMES:
        kind = f"{tensor.dtype}, {tensor.layout}, on the device {tensor.device.type}"
        raise TypeError(f"{path} of the state is a tensor of a kind that cannot be kept: {kind}")
    return tensor


def _sealed(pieces: Iterator[fetch.Piece], names: list[str]) -> Iterator[fetch.Piece]:
    """The pieces of a file, header first, with the SHA-256 of all before it for each seal."""
    digest = hashlib.sha256()
    for name, piece in zip(["", *names], pieces, strict=True):
        if name in SEALS:
            piece = digest.digest()
        digest.update(piece)
        yield piece


def _opened(stream: BinaryIO) -> "Unpacked":
    """A file whose header says that it is a checkpoint of a known version."""
    file = Unpacked(stream)
    writer, version = file.metadata.get("format"), file.metadata.get("version")
    if writer != FORMAT:
        kind = "holds the weights of a network" if writer == "cnnlib" else "is of other origin"
        raise CheckpointError(f"{stream.name} is no checkpoint: this safetensors file {kind}")
    if version != str(VERSION):
        raise CheckpointError(
            f"{stream.name} has version {version} of the format, this cnnlib knows {VERSION}: it "
            "is of a later cnnlib, or damaged"
        )
    names = list(file.places)
    if (names[:1], names[-1:]) != ([SEALS[0]], [SEALS[1]]):
        raise _damaged(stream.name)
    return file


def _decoded(file: "Unpacked", tensors: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return _decode(json.loads(file.metadata["state"]), tensors)
    except (ValueError, TypeError, KeyError, RecursionError, RuntimeError) as fault:
        raise CheckpointError(
            f"{file.name} is whole, but not as cnnlib writes it: {fault!r}"
        ) from fault


def _damaged(name: str) -> CheckpointError:
    return CheckpointError(
        f"{name} is damaged: its bytes are not those that were written (the checksum differs)"
    )


# -- tensors as a safetensors file ------------------------------------------------------------


class Place(NamedTuple):
    """What the header says of a tensor; ``begin`` and ``end`` count from the end of the header."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


def aligned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Large items first, so that in a file every tensor begins at a multiple of its item's size."""
    return dict(sorted(tensors.items(), key=lambda named: -named[1].itemsize))


def pack(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Iterator[fetch.Piece]:
    """The pieces of a safetensors file: the header, then one per tensor, in their order.

    A tensor that is contiguous and on the CPU is not copied; of the others there is one copy at a
    time.

    Raises:
        KeyError: the format has no name for a tensor's type.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.numel() * tensor.itemsize
        dtype, shape = NAMES[tensor.dtype], list(tensor.shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that tensors begin at multiples of eight
    yield len(text).to_bytes(8, "little") + text
    for tensor in tensors.values():
        yield _bytes(tensor.detach().cpu().contiguous())


class Unpacked:
    """The header of a safetensors file, understood and checked against the size of the file.

    Args:
        stream: the file, opened at its beginning.

    Attributes:
        name: path of the file.
        header: with its length, as it is in the file.
        metadata: strings by name.
        places: of the tensors, by name, in the order in which they lie in the file.

    Raises:
        CheckpointError: this is no such file, or too short or too long for its header.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.name, self._stream = stream.name, stream
        size = os.fstat(stream.fileno()).st_size
        beginning = stream.read(8)
        length = int.from_bytes(beginning, "little")
        if len(beginning) < 8 or length > size - 8:
            raise self._fault(_guess(beginning))
        text = stream.read(length)
        self.header = beginning + text
        try:
            header = json.loads(text)
            self.metadata = {str(k): str(v) for k, v in header.pop("__metadata__", {}).items()}
            self.places = dict(sorted(map(_place, header.items()), key=lambda named: named[1][2:]))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as fault:
            raise self._fault(f"its header cannot be understood: {fault!r}") from fault
        end = 0
        for name, place in self.places.items():
            if place.begin != end:
                raise self._fault(f"its header leaves a gap or an overlap before {name!r}")
            end = place.end
        if 8 + length + end != size:
            raise self._fault(f"it has {size:,} bytes, by its header {8 + length + end:,}")

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Names and tensors in the order of the file, each read into memory of its own; once."""
        for name, place in self.places.items():
            tensor = torch.empty(place.shape, dtype=place.dtype)
            if self._stream.readinto(_bytes(tensor)) != place.end - place.begin:  # type: ignore
                raise self._fault(f"it became shorter while it was read, in {name!r}")
            yield name, tensor

    def _fault(self, why: str) -> CheckpointError:
        return CheckpointError(f"{self.name} is damaged or no safetensors file: {why}")


def _place(named: tuple[str, Any]) -> tuple[str, Place]:
    """What the header says of a tensor; ValueError, TypeError or KeyError if that is impossible."""
    name, entry = named
    begin, end = entry["data_offsets"]
    place = Place(DTYPES[entry["dtype"]], tuple(entry["shape"]), begin, end)
    count = place.dtype.itemsize
    for number in place.shape:
        if not isinstance(number, int) or number < 0:
            raise ValueError(f"{name!r} has the shape {place.shape}")
        count *= number
    if end - begin != count:
        raise ValueError(f"{name!r} takes {end - begin} bytes, not the {count} of its shape")
    return name, place


def _guess(beginning: bytes) -> str:
    """What a file may be that is no safetensors file."""
    if not beginning:
        return "it is empty"
    if beginning[:2] == b"PK" or beginning[:1] == b"\x80":
        return "it looks like a pickle, as torch.save writes it, which is never opened here"
    return "it is no safetensors file, or only the beginning of one"


def _bytes(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor on the CPU, not a copy."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data
