"""The checks of chapter 14: right answers, and the wrong ones that readers really write."""

import statistics

import pytest
import torch

from cnnlib.exercises.looking_back import (
    check_best_within,
    check_front,
    check_pooled_sd,
    check_rank_correlation,
    rank_correlation,
)


def beaten_by_none(points):
    def beats(a, b):
        return a != b and a[0] <= b[0] and a[1] <= b[1]

    return sorted(p for p in points if not any(beats(other, p) for other in points))


def running_best(points):
    best, kept = float("inf"), []
    for cost, error in sorted(points):
        if error < best:
            best = error
            kept.append((cost, error))
    return kept


def of_ranks(a, b):
    return torch.corrcoef(torch.stack([a.argsort().argsort(), b.argsort().argsort()]).double())[
        0, 1
    ]


def pooled(groups):
    return statistics.fmean(statistics.variance(group) for group in groups) ** 0.5


def best_within(networks, limit):
    cheap = [(error, cost, label) for label, cost, error in networks if cost <= limit]
    return min(cheap)[2] if cheap else "none"


RIGHT = [
    (check_front, beaten_by_none),
    (check_front, running_best),
    (check_front, lambda points: tuple(running_best(points))),
    (check_rank_correlation, of_ranks),
    (check_rank_correlation, lambda a, b: float(of_ranks(a, b))),
    (check_rank_correlation, lambda a, b: rank_correlation(a.tolist(), b.tolist())),
    (check_pooled_sd, pooled),
    (check_pooled_sd, lambda g: torch.tensor(g, dtype=torch.float64).var(1).mean().sqrt()),
    (check_best_within, best_within),
]
WRONG = [
    (check_front, lambda points: sorted(points), "expected"),  # nothing is left out
    (check_front, lambda points: [min(points, key=lambda p: p[1])], "expected"),  # the best alone
    (check_front, lambda points: running_best(points)[::-1], "expected"),  # dearest first
    (
        check_front,
        lambda points: sorted(
            p for p in points if not any(o[0] < p[0] and o[1] < p[1] for o in points)
        ),
        "expected",  # keeps what is worse in one and equal in the other
    ),
    (check_front, lambda points: running_best([(e, c) for c, e in points]), "expected"),  # axes
    (check_rank_correlation, lambda a, b: torch.corrcoef(torch.stack([a, b]))[0, 1], "not"),
    (
        check_rank_correlation,
        lambda a, b: torch.corrcoef(torch.stack([a.argsort(), b.argsort()]).double())[0, 1],
        "not",  # the order itself, not the ranks
    ),
    (check_rank_correlation, lambda a, b: -of_ranks(a, b), "not"),
    (check_rank_correlation, lambda a, b: of_ranks(a, b).abs(), "not"),
    (
        check_pooled_sd,
        lambda g: statistics.stdev([value for group in g for value in group]),
        "not",  # the networks' differences are in it
    ),
    (check_pooled_sd, lambda g: statistics.fmean(map(statistics.stdev, g)), "not"),
    (
        check_pooled_sd,
        lambda g: statistics.fmean(statistics.pvariance(group) for group in g) ** 0.5,
        "not",  # divided by n instead of n - 1
    ),
    (check_pooled_sd, lambda g: pooled(g) ** 2, "not"),
    (check_best_within, lambda networks, limit: min(networks, key=lambda n: n[2])[0], "expected"),
    (
        check_best_within,
        lambda networks, limit: best_within(networks, limit - 1e-9),
        "expected",  # below the limit, not up to it
    ),
    (
        check_best_within,
        lambda networks, limit: min((n[1], n[0]) for n in networks)[1],
        "expected",  # the cheapest
    ),
]


def test_ranks_are_shared_by_equal_numbers():
    assert rank_correlation([1, 2, 2, 3], [1, 2, 2, 3]) == pytest.approx(1)
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4
    assert rank_correlation([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(4.5 / 22.5**0.5)


@pytest.mark.parametrize("pair", [([1.0], [2.0]), ([1.0, 2.0], [1.0, 2.0, 3.0])])
def test_a_correlation_needs_two_rows_of_one_length(pair):
    with pytest.raises(ValueError, match="the same length"):
        rank_correlation(*pair)
