"""Checks for the exercises of chapter 14.

Each takes the reader's function and compares it with the library, or with a plain computation, on
cases that tell the usual wrong answers apart: a front that keeps a point which another one beats, a
correlation of the numbers instead of their ranks, a spread that mixes the networks with the seeds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch

from cnnlib.book import Verdict, check
from cnnlib.inspection.census import front

Point = tuple[float, float]


def check_front(answer: Callable[..., Any]) -> Verdict:
    """``answer(points)``, a list of (cost, error) -> those that nothing beats, cheapest first."""
    draw = torch.Generator().manual_seed(0)
    lists: list[list[Point]] = [
        [(1.0, 30.0), (2.0, 20.0), (3.0, 25.0), (4.0, 10.0)],
        [(4.0, 10.0), (3.0, 25.0), (1.0, 30.0), (2.0, 20.0)],
        [(1.0, 10.0), (2.0, 20.0), (3.0, 30.0)],
        [(2.0, 20.0), (2.0, 15.0), (5.0, 15.0), (6.0, 14.0)],
        [(7.0, 7.0)],
        [(a, b) for a, b in torch.rand(20, 2, generator=draw, dtype=torch.float64).tolist()],
    ]
    cases = [
        ((list(points),), front(points, lambda point: point[0], lambda point: point[1]))
        for points in lists
    ]

    def as_list(points: list[Point]) -> Any:
        got = answer(points)
        return list(map(tuple, got)) if isinstance(got, list | tuple) else got

    if not callable(answer):
        return check(answer, cases, "")
    return check(as_list, cases, f"The library finds the same {len(cases)} fronts.")


def check_rank_correlation(answer: Callable[..., Any]) -> Verdict:
    """``answer(a, b)``, two tensors without equal numbers -> Spearman's correlation of them."""
    draw = torch.Generator().manual_seed(1)
    pairs = [
        ([1.0, 2.0, 3.0, 4.0], [10.0, 100.0, 1000.0, 10000.0]),
        ([1.0, 2.0, 3.0, 4.0], [8.0, 6.0, 5.0, -1.0]),
        ([3.0, 1.0, 2.0], [1.0, 3.0, 2.5]),
        ([5.0, 1.0, 4.0, 2.0, 3.0], [1.0, 2.0, 4.0, 3.0, 5.0]),
        *((torch.rand(9, generator=draw).tolist(), torch.rand(9, generator=draw).tolist()),) * 2,
    ]
    cases = [
        (
            (torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)),
            torch.tensor(rank_correlation(a, b), dtype=torch.float64),
        )
        for a, b in pairs
    ]
    return check(_as_tensor(answer), cases, "It looks at the order alone, so no scale can fool it.")


def check_pooled_sd(answer: Callable[..., Any]) -> Verdict:
    """``answer(groups)``, a list of lists of equal length -> their pooled standard deviation."""
    lists = [
        [[1.0, 2.0, 3.0], [11.0, 12.0, 13.0]],
        [[1.0, 3.0], [5.0, 5.0], [0.0, 4.0]],
        [[0.2, 0.21, 0.19], [0.25, 0.25, 0.25], [0.3, 0.33, 0.27]],
    ]
    cases = [
        (
            (groups,),
            torch.tensor(
                math.sqrt(statistics.fmean(statistics.variance(g) for g in groups)),
                dtype=torch.float64,
            ),
        )
        for groups in lists
    ]
    praise = "The spread of the seeds, with all networks helping to estimate it."
    return check(_as_tensor(answer), cases, praise)


def check_best_within(answer: Callable[..., Any]) -> Verdict:
    """``answer(networks, limit)``, (label, cost, error) each -> label of the least error, or None.

    Of two equally good ones the cheaper; "none" if nothing is cheap enough.
    """
    known = [("a", 10.0, 30.0), ("b", 50.0, 20.0), ("c", 20.0, 25.0), ("d", 40.0, 20.0)]
    cases = [
        ((known, 100), "d"),
        ((known, 45), "d"),
        ((known, 40), "d"),
        ((known, 30), "c"),
        ((known[::-1], 60), "d"),
        ((known, 10), "a"),
        ((known, 5), "none"),
    ]
    return check(answer, cases, "A limit on cost first, then the error.")


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's rank correlation: Pearson's of the ranks; equal numbers share their mean rank.

    Raises:
        ValueError: not two rows of the same length, or fewer than two numbers.
    """
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"two rows of the same length are needed, got {len(a)} and {len(b)}")
    return statistics.correlation(_ranks(a), _ranks(b))


def _ranks(values: Sequence[float]) -> list[float]:
    below = [sum(other < value for other in values) for value in values]
    same = [sum(other == value for other in values) for value in values]
    return [low + (count + 1) / 2 for low, count in zip(below, same, strict=True)]


def _as_tensor(answer: Any) -> Any:
    """The reader's function, its number as a tensor: rounding is then allowed for."""
    if not callable(answer):
        return answer

    def call(*arguments: Any) -> Any:
        got = answer(*arguments)
        if isinstance(got, int | float) and not isinstance(got, bool):
            return torch.tensor(float(got), dtype=torch.float64)
        return got

    return call
