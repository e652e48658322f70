"""k-means on a line: which few values stand for many (Deep Compression, section 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor

INITIAL = ("linear", "density", "random")


def cluster(
    values: Tensor, clusters: int, initial: str = "linear", seed: int = 0, iterations: int = 50
) -> tuple[Tensor, Tensor]:
    """Choose the values that stand for all: each centre is the mean of those nearest to it.

    Args:
        values: (N,) finite numbers, N ≥ 1.
        clusters: how many centres at most; there are never more than different values.
        initial: where the centres start (section 3.2): "linear" spreads them evenly from the
            smallest value to the largest, so that the few large weights get centres too;
            "density" puts equally many values between two of them; "random" picks values.
        seed: of the choice if ``initial`` is "random".
        iterations: at most so many; k-means stops earlier where nothing moves.

    Returns:
        centres: (K,) ascending, of the values' dtype; codes: (N,) int64, the nearest centre of
        each value. A centre that no value is nearest to is left out.

    Raises:
        ValueError: not a line of finite numbers, no cluster, or an unknown start.
    """
    if values.ndim != 1 or not values.numel() or not values.is_floating_point():
        raise ValueError(
            f"values must be floating point numbers of shape (N,) with N of 1 or more, got "
            f"{values.dtype} of shape {tuple(values.shape)}"
        )
    if not bool(values.isfinite().all()):
        raise ValueError("values must be finite; among them are infinities or NaN")
    if clusters < 1:
        raise ValueError(f"clusters must be 1 or more, got {clusters}")
    # float64 on the CPU: the same centres on every device
    line = values.detach().to("cpu", torch.float64)
    different = line.unique()
    if len(different) <= clusters:
        centres = different
    else:
        centres = _start(line, different, clusters, initial, seed)
    for _ in range(iterations):
        codes = nearest(line, centres)
        members = torch.bincount(codes, minlength=len(centres))
        sums = torch.zeros_like(centres).index_add_(0, codes, line)
        moved = torch.where(members > 0, sums / members.clamp(min=1), centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    centres = centres[nearest(line, centres).unique()].to(values.dtype).unique()
    codes = nearest(line, centres.double())
    return centres.to(values.device), codes.to(values.device)


def nearest(line: Tensor, centres: Tensor) -> Tensor:
    """Number of the nearest of the ascending ``centres`` (K,) for each of ``line`` (N,)."""
    return torch.bucketize(line, (centres[1:] + centres[:-1]) / 2)


def _start(line: Tensor, different: Tensor, clusters: int, initial: str, seed: int) -> Tensor:
    if initial == "linear":
        return torch.linspace(float(line.min()), float(line.max()), clusters, dtype=line.dtype)
    if initial == "density":
        shares = (torch.arange(clusters, dtype=line.dtype) + 0.5) / clusters
        places = (shares * len(line)).long().clamp(max=len(line) - 1)
        return line.sort().values[places].unique()
    if initial == "random":
        generator = torch.Generator().manual_seed(seed)
        picked = torch.randperm(len(different), generator=generator)[:clusters]
        return different[picked].sort().values
    raise ValueError(f"initial must be one of {', '.join(INITIAL)}; got {initial!r}")
