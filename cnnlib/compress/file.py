"""A compressed model as a file, and what each part of it costs.

Nothing is left out of the count: the size is that of the file. It holds::

    5 bytes      "CNNC" and the version of the format
    4 bytes      length of the header, little-endian
    header       JSON, zlib-compressed: name, type, shape and form of each tensor
    ...          the tensors, one after the other, in one of the forms below
    4 bytes      CRC-32 of everything before

A tensor is *raw*, or has these parts: values or codes of what is kept, gaps between them, and for
codes the shared values; what is Huffman-coded has the lengths of the words before it.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cnnlib import fetch
from cnnlib.checkpoint import DTYPES, NAMES
from cnnlib.compress import huffman
from cnnlib.compress.gaps import from_gaps, to_gaps
from cnnlib.compress.layers import Shared, chosen, compressible, kind, parametrisation

MAGIC = b"CNNC\x01"
CODINGS = ("dense", "sparse", "shared", "huffman")
GAP_BITS = {"convolution": 8, "fully connected": 5}  # Deep Compression, table 4


@dataclass(frozen=True)
class Size:
    """Bytes of a file, by what they are for.

    Attributes:
        values: weights: raw, or as codes of shared values.
        gaps: where they are.
        codebooks: the shared values.
        tables: lengths of Huffman's words.
        rest: everything that is not compressed, as biases and batch normalisation.
        header: names, types and shapes; the checksum.
    """

    values: int = 0
    gaps: int = 0
    codebooks: int = 0
    tables: int = 0
    rest: int = 0
    header: int = 0

    @property
    def total(self) -> int:
        """Bytes of the file."""
        return sum(getattr(self, part.name) for part in fields(self))


class _Piece(NamedTuple):
    part: str  # an attribute of Size
    data: bytes


def pack(
    model: nn.Module, coding: str = "huffman", gap_bits: int | Mapping[str, int] | None = None
) -> bytes:
    """The bytes of the file that `save` writes; the same arguments and errors."""
    return b"".join(piece.data for piece in _pieces(model, coding, gap_bits))


def measure(
    model: nn.Module, coding: str = "huffman", gap_bits: int | Mapping[str, int] | None = None
) -> Size:
    """What `save` would write, in bytes, without writing it; the same arguments and errors."""
    return _size(_pieces(model, coding, gap_bits))


def save(
    model: nn.Module,
    path: str | Path,
    coding: str = "huffman",
    gap_bits: int | Mapping[str, int] | None = None,
) -> Size:
    """Write the model's state to a file, whole or not at all.

    Args:
        model: pruned and shared by `prune` and `share`, or not yet.
        path: of the file; one that is there is replaced when the new one is complete.
        coding: "dense", every tensor raw; "sparse", pruned layers by their kept weights and the
            gaps between them; "shared", layers with shared weights by codes; "huffman", codes and
            gaps in Huffman's code.
        gap_bits: of a gap, 1 to 16; one for all, or by patterns of layers' names. Default: 8 for
            convolutions and 5 for fully connected layers, as in the paper's table 4.

    Returns:
        The size of the file, by parts.

    Raises:
        ValueError: unknown coding, bits out of range, or codes are asked for and nothing is shared.
        OSError: the file cannot be written; an old one stays.
    """
    pieces = list(_pieces(model, coding, gap_bits))
    fetch.write([piece.data for piece in pieces], Path(path))
    return _size(pieces)


def load(path: str | Path, model: nn.Module) -> None:
    """Put the state of a file into a model of the same architecture, bit for bit.

    Args:
        path: a file that `save` wrote.
        model: changed in place once everything is read and fits; its layers are plain ones.

    Raises:
        ValueError: the file is damaged or no such file, or the model is another one.
        OSError: the file cannot be read.
    """
    unpack(Path(path).read_bytes(), model, str(path))


def unpack(data: bytes, model: nn.Module, name: str = "these bytes") -> None:
    """As `load`, from the bytes that `pack` gave; ``name`` is what messages call them."""
    read = _state(data, name)
    computed = [key for key in model.state_dict() if ".parametrizations." in f".{key}"]
    if computed:
        raise ValueError(
            f"the model's {computed[0].split('.parametrizations')[0]!r} is pruned or shared; "
            "give a new model, or settle this one before"
        )
    own = model.state_dict()
    for key in sorted({*own, *read}, key=lambda k: (k in own and k in read, k)):
        if key not in read or key not in own:
            where = "the model" if key in own else name
            raise ValueError(f"{name} is of another model: only {where} has {key!r}")
        mine, its = own[key], read[key]
        if mine.shape != its.shape or mine.dtype != its.dtype:
            raise ValueError(
                f"{name} is of another model: {key!r} is {its.dtype} of shape {tuple(its.shape)}, "
                f"the model's is {mine.dtype} of shape {tuple(mine.shape)}"
            )
    model.load_state_dict(read)


# -- writing ---------------------------------------------------------------------------------


def _pieces(
    model: nn.Module, coding: str, gap_bits: int | Mapping[str, int] | None
) -> Iterator[_Piece]:
    if coding not in CODINGS:
        raise ValueError(f"coding must be one of {', '.join(CODINGS)}; got {coding!r}")
    layers = compressible(model)
    steps = {f"{name}.weight".lstrip("."): parametrisation(la) for name, la in layers.items()}
    if coding in ("shared", "huffman") and not any(isinstance(s, Shared) for s in steps.values()):
        raise ValueError(f"coding {coding!r} writes shared weights, and none are; call share first")
    bits = {name: GAP_BITS[kind(layer)] for name, layer in layers.items()}
    if gap_bits is not None:
        bits |= {name: int(b) for name, b in chosen(model, gap_bits, "gap_bits").items()}
    bits = {f"{name}.weight".lstrip("."): number for name, number in bits.items()}
    entries: list[dict[str, Any]] = []
    body: list[_Piece] = []
    for name, tensor in _plain_state(model).items():
        dtype = NAMES.get(tensor.dtype)
        if dtype is None:
            raise ValueError(f"{name!r} is {tensor.dtype}; this cannot be written")
        entry: dict[str, Any] = {"name": name, "dtype": dtype, "shape": list(tensor.shape)}
        step = None if coding == "dense" else steps.get(name)
        if isinstance(step, Shared) and coding != "sparse":
            mask = step.mask
        else:
            step, mask = None, None if step is None else step.mask
        pieces = _tensor(tensor, step, mask, bits.get(name, 0), coding == "huffman", entry)
        body += [
            _Piece(
                "rest" if piece.part == "values" and name not in steps else piece.part, piece.data
            )
            for piece in pieces
        ]
        entries.append(entry)
    header = zlib.compress(json.dumps(entries, separators=(",", ":")).encode(), 9)
    head = _Piece("header", MAGIC + struct.pack("<I", len(header)) + header)
    checksum = 0
    for piece in [head, *body]:
        checksum = zlib.crc32(piece.data, checksum)
        yield piece
    yield _Piece("header", struct.pack("<I", checksum))


def _plain_state(model: nn.Module) -> dict[str, Tensor]:
    """The state as it is without parametrisations: computed weights under their plain names."""
    layers = compressible(model)
    state: dict[str, Tensor] = {}
    for key, tensor in model.state_dict().items():
        path, computed, _ = f".{key}".partition(".parametrizations.weight.")
        if computed:
            name = path.lstrip(".")
            state[f"{path}.weight".lstrip(".")] = layers[name].weight.detach()
        else:
            state[key] = tensor
    return state


def _tensor(
    tensor: Tensor,
    shared: Shared | None,
    mask: Tensor | None,
    gap_bits: int,
    words: bool,
    entry: dict[str, Any],
) -> Iterator[_Piece]:
    """The parts of a tensor; what reading them takes is put into its ``entry``."""
    if mask is None:
        yield _Piece("values", _raw(tensor))
        return
    flat = tensor.flatten()
    numbers = torch.arange(len(flat), device=flat.device) if shared is None else shared.codes
    numbers = numbers.flatten().cpu().numpy()  # of the weight itself, or of its shared value
    if bool(mask.all()):
        stored = numbers
    else:
        gaps, is_filler = to_gaps(np.flatnonzero(mask.flatten().cpu().numpy()), gap_bits)
        entry |= {"gap_bits": gap_bits}
        yield from _numbers("gaps", gaps, gap_bits, words, entry)
        stored = numbers[from_gaps(gaps)]  # a filler's code is 0, its value too
    entry |= {"count": len(stored)}
    if shared is None:
        yield _Piece("values", _raw(flat[torch.from_numpy(stored).to(flat.device)]))
        return
    centres = _centres(shared, tensor)
    entry |= {"bits": shared.bits, "centres": len(centres)}
    yield _Piece("codebooks", _raw(centres))
    yield from _numbers("values", stored, shared.bits, words, entry)


def _centres(shared: Shared, weight: Tensor) -> Tensor:
    """The shared values as they are now, from the weights that have them."""
    count = int(shared.codes.max())
    centres = weight.new_zeros(count + 1)
    centres[shared.codes.flatten()] = weight.flatten()
    return centres[1:]


def _numbers(
    part: str, numbers: np.ndarray, bits: int, words: bool, entry: dict[str, Any]
) -> Iterator[_Piece]:
    """Whole numbers in ``bits`` each, or in Huffman's code."""
    if not words or not len(numbers):
        entry[part] = 0
        shifts = np.arange(bits - 1, -1, -1)
        yield _Piece(part, np.packbits((numbers[:, None] >> shifts) & 1).tobytes())
        return
    lengths = huffman.code_lengths(np.bincount(numbers).tolist())
    data = huffman.encode(numbers, lengths)
    entry[part] = [len(lengths), len(data)]
    yield _Piece("tables", bytes(lengths))
    yield _Piece(part, data)


def _raw(tensor: Tensor) -> bytes:
    flat = tensor.detach().cpu().contiguous().flatten()
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def _size(pieces: Iterator[_Piece] | list[_Piece]) -> Size:
    bytes_of: dict[str, int] = {}
    for piece in pieces:
        bytes_of[piece.part] = bytes_of.get(piece.part, 0) + len(piece.data)
    return Size(**bytes_of)


# -- reading ---------------------------------------------------------------------------------


class _Reader:
    """Takes one part after the other off the bytes of a file."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def take(self, count: int) -> bytes:
        piece = self.data[self.place : self.place + count]
        self.place += count
        return piece

    def numbers(self, coded: Any, count: int, bits: int) -> np.ndarray:
        """(count,) whole numbers of ``bits`` each, or in Huffman's code."""
        if not coded:
            digits = np.unpackbits(np.frombuffer(self.take((count * bits + 7) // 8), np.uint8))
            weights = 1 << np.arange(bits - 1, -1, -1)
            return digits[: count * bits].reshape(count, bits).astype(np.int64) @ weights
        symbols, length = coded
        lengths = list(self.take(symbols))
        return huffman.decode(self.take(length), lengths, count)

    def tensor(self, dtype: torch.dtype, count: int) -> Tensor:
        data = self.take(count * dtype.itemsize)
        return (
            torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)
        )


def _state(data: bytes, name: str) -> dict[str, Tensor]:
    if data[: len(MAGIC) - 1] != MAGIC[:-1]:
        raise ValueError(f"{name} is not a compressed model: it does not begin with CNNC")
    if len(data) < len(MAGIC) + 8 or struct.pack("<I", zlib.crc32(data[:-4])) != data[-4:]:
        raise ValueError(f"{name} is damaged or not complete: its checksum is wrong")
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError(f"{name} has a format of a later cnnlib, {data[len(MAGIC) - 1]}")
    reader = _Reader(data)
    reader.take(len(MAGIC))
    (length,) = struct.unpack("<I", reader.take(4))
    entries = json.loads(zlib.decompress(reader.take(length)))
    return {entry["name"]: _read(reader, entry) for entry in entries}


def _read(reader: _Reader, entry: dict[str, Any]) -> Tensor:
    dtype, shape = DTYPES[entry["dtype"]], entry["shape"]
    size = int(np.prod(shape, dtype=np.int64))
    if "count" not in entry:
        return reader.tensor(dtype, size).view(shape)
    count = entry["count"]
    places = slice(None)
    if "gap_bits" in entry:
        places = from_gaps(reader.numbers(entry["gaps"], count, entry["gap_bits"]))
    if "bits" not in entry:
        stored = reader.tensor(dtype, count)
    else:
        centres = reader.tensor(dtype, entry["centres"])
        codes = reader.numbers(entry["values"], count, entry["bits"])
        stored = torch.cat([centres.new_zeros(1), centres])[torch.from_numpy(codes)]
    weight = torch.zeros(size, dtype=dtype)
    weight[places] = stored
    return weight.view(shape)
