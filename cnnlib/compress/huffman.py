"""Huffman's code: frequent symbols get short words (Deep Compression, section 4).

The code is canonical: words of one length are consecutive numbers, in the order of the symbols. So
a file needs to hold the lengths only, and whoever reads it finds the same words.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np


def code_lengths(counts: Sequence[int]) -> list[int]:
    """Bits of each symbol's word, so that all symbols together take as few bits as can be.

    Args:
        counts: how often symbol 0, 1, 2, … occurs.

    Returns:
        lengths in bits, 0 for symbols that do not occur. A symbol that is alone gets 1 bit.

    Raises:
        ValueError: a negative count, or nothing occurs.
    """
    if any(count < 0 for count in counts):
        raise ValueError(f"counts must not be negative, got {min(counts)}")
    # each entry: how often, a tie-break that makes the code the same everywhere, its symbols
    heap = [(int(count), symbol, [symbol]) for symbol, count in enumerate(counts) if count]
    if not heap:
        raise ValueError("there is nothing to code: all counts are zero")
    lengths = [0] * len(counts)
    if len(heap) == 1:
        lengths[heap[0][1]] = 1
        return lengths
    heapq.heapify(heap)
    while len(heap) > 1:
        rare, _, symbols = heapq.heappop(heap)
        next_rare, tie, others = heapq.heappop(heap)
        for symbol in symbols + others:  # they move one branch away from the root
            lengths[symbol] += 1
        heapq.heappush(heap, (rare + next_rare, tie, symbols + others))
    return lengths


def codewords(lengths: Sequence[int]) -> list[str]:
    """The canonical words, as texts of 0 and 1; empty for symbols without one.

    Raises:
        ValueError: no code has words of these lengths.
    """
    words = [""] * len(lengths)
    word, before = 0, 0
    for length, symbol in sorted((n, s) for s, n in enumerate(lengths) if n):
        word <<= length - before
        if word >= 1 << length:
            raise ValueError("no code has words of these lengths: there are too many short ones")
        words[symbol] = f"{word:0{length}b}"
        word, before = word + 1, length
    return words


def encode(symbols: Sequence[int] | np.ndarray, lengths: Sequence[int]) -> bytes:
    """The words of all symbols in a row, filled up with zeros to whole bytes.

    Raises:
        ValueError: a symbol that has no word.
    """
    symbols = np.asarray(symbols, dtype=np.int64)
    widths = np.asarray(lengths, dtype=np.int64)
    known = (symbols >= 0) & (symbols < len(widths))
    if not known.all() or not widths[symbols].all():
        lost = symbols[~known] if not known.all() else symbols[widths[symbols] == 0]
        raise ValueError(f"symbol {lost[0]} has no word in this code")
    longest = int(widths.max(initial=0))
    table = np.zeros((len(widths), longest), dtype=np.uint8)
    for symbol, word in enumerate(codewords(lengths)):
        table[symbol, : len(word)] = [digit == "1" for digit in word]
    used = np.arange(longest) < widths[symbols][:, None]
    return np.packbits(table[symbols][used]).tobytes()


def decode(data: bytes, lengths: Sequence[int], count: int) -> np.ndarray:
    """The first ``count`` symbols of a row of words.

    Returns:
        (count,) int64.

    Raises:
        ValueError: the data end too early, or hold a word that this code does not have.
    """
    symbol_of = {(len(w), int(w, 2)): s for s, w in enumerate(codewords(lengths)) if w}
    longest = max(lengths, default=0)
    symbols = np.empty(count, dtype=np.int64)
    bits = iter(np.unpackbits(np.frombuffer(data, dtype=np.uint8)).tolist())
    for place in range(count):
        word = length = 0
        while (length, word) not in symbol_of:
            bit = next(bits, None)
            if bit is None or length == longest:
                raise ValueError(f"{count} symbols were expected; only {place} can be read")
            word, length = 2 * word + bit, length + 1
        symbols[place] = symbol_of[length, word]
    return symbols
