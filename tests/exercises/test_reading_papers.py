"""Answers to the chapter's exercises, right ones and those that readers really write."""

import pytest
import torch

from cnnlib.exercises.reading_papers import (
    check_change,
    check_stage_parameters,
    check_top_k_error,
    top_k_error,
)


def by_rank(scores, labels, k):
    wrong = 0
    for row, label in zip(scores, labels, strict=True):
        others = sum(float(s) >= float(row[label]) for s in row) - 1
        wrong += others >= k
    return wrong / len(labels)


def top(scores, labels, k):
    return (scores.topk(k).indices == labels[:, None]).any(1).double()


def stage(inputs, width, blocks):
    first = 9 * inputs * width + 9 * width * width + 4 * width
    return first + (blocks - 1) * (18 * width * width + 4 * width)


RIGHT = [
    (check_top_k_error, by_rank),
    (check_top_k_error, lambda s, y, k: ((s >= s.gather(1, y[:, None])).sum(1) > k).float().mean()),
    (check_change, lambda a, b: (b - a, 100 * (b - a) / a)),
    (check_change, lambda a, b: [b - a, 100 * (b / a - 1)]),
    (check_stage_parameters, stage),
]
WRONG = [
    (check_top_k_error, lambda s, y, k: 1 - by_rank(s, y, k), "expected"),  # accuracy
    (check_top_k_error, lambda s, y, k: 100 * by_rank(s, y, k), "expected"),  # percent
    (check_top_k_error, lambda s, y, k: len(y) * by_rank(s, y, k), "expected"),  # a number
    (check_top_k_error, lambda s, y, k: by_rank(s, y, 1), "expected"),  # top-1 for every k
    (check_top_k_error, lambda s, y, k: by_rank(-s, y, k), "expected"),  # the smallest
    (check_top_k_error, lambda s, y, k: 1 - top(s, y, k).mean().item(), "expected 1.0"),  # ties
    (
        check_top_k_error,
        lambda s, y, k: ((s > s.gather(1, y[:, None])).sum(1) >= k).double().mean().item(),
        "expected 1.0",  # ties are given away
    ),
    (check_top_k_error, lambda s, y, k: s.topk(k, dim=0), "expected"),
    (check_change, lambda a, b: (a - b, 100 * (a - b) / a), "are not"),  # the sign
    (check_change, lambda a, b: (b - a, 100 * (b - a) / b), "are not"),  # share of the end
    (check_change, lambda a, b: (b - a, (b - a) / a), "are not"),  # a share, not percent
    (check_change, lambda a, b: (100 * (b - a) / a, b - a), "are not"),  # the order
    (check_change, lambda a, b: b - a, "shape"),
    (check_stage_parameters, lambda i, w, n: n * (18 * w * w + 4 * w), "gives"),  # first block
    (check_stage_parameters, lambda i, w, n: stage(i, w, n) - 4 * w * n, "gives"),  # no batch norm
    (check_stage_parameters, lambda i, w, n: stage(i, w, n) + 2 * w * n, "gives"),  # biases
    (check_stage_parameters, lambda i, w, n: stage(i, w, n) + i * w, "gives"),  # a projection
]


def test_a_network_that_says_the_same_of_everything_is_always_wrong():
    labels = torch.arange(10)
    scores = torch.zeros(10, 10)
    assert [top_k_error(scores, labels, k) for k in (1, 5, 9)] == [1.0, 1.0, 1.0]
    assert top_k_error(scores, labels, 10) == 0.0


def test_more_guesses_never_add_an_error():
    draw = torch.Generator().manual_seed(1)
    scores = torch.randint(4, (50, 7), generator=draw).double()  # with many ties
    labels = torch.randint(7, (50,), generator=draw)
    errors = [top_k_error(scores, labels, k) for k in range(1, 8)]
    assert errors == sorted(errors, reverse=True) and errors[-1] == 0


@pytest.mark.parametrize("k", [0, 4])
def test_a_k_without_meaning_is_refused(k):
    with pytest.raises(ValueError, match=rf"k must be 1 to 3, the number of classes; got {k}"):
        top_k_error(torch.zeros(2, 3), torch.zeros(2, dtype=torch.long), k)
