"""Where the kept weights are: how many zeros stand before each (Deep Compression, figure 2).

A gap gets few bits. Where one is too long for them, a zero is kept as a filler, and counted: with b
bits it stands after 2^b - 1 other zeros.
"""

from __future__ import annotations

import numpy as np


def to_gaps(positions: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions as the zeros before each of them.

    Args:
        positions: (N,) ascending whole numbers from 0 on.
        bits: of a gap, 1 to 16.

    Returns:
        gaps: (M,) int64 from 0 to 2^bits - 1, with M - N fillers; is_filler: (M,) bool.

    Raises:
        ValueError: bits out of range, or positions that do not ascend.
    """
    if bits not in range(1, 17):
        raise ValueError(f"a gap must have 1 to 16 bits, got {bits}")
    positions = np.asarray(positions, dtype=np.int64)
    zeros = np.diff(positions, prepend=-1) - 1
    if (zeros < 0).any():
        raise ValueError("positions must ascend from 0 on, each of them once")
    step = 1 << bits  # zeros that one filler stands for: those before it, and itself
    fillers = zeros // step
    ends = np.cumsum(fillers + 1) - 1  # where the gaps of the kept weights themselves go
    gaps = np.full(int((fillers + 1).sum()), step - 1)
    gaps[ends] = zeros % step
    is_filler = np.ones(len(gaps), dtype=bool)
    is_filler[ends] = False
    return gaps, is_filler


def from_gaps(gaps: np.ndarray, is_filler: np.ndarray | None = None) -> np.ndarray:
    """The positions again: of everything, or without the fillers."""
    positions = np.cumsum(np.asarray(gaps, dtype=np.int64) + 1) - 1
    return positions if is_filler is None else positions[~np.asarray(is_filler)]
