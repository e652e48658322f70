from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnlib.compress import huffman

COUNTS = st.lists(st.integers(0, 1000), min_size=1, max_size=60).filter(any)


def test_an_example_by_hand():
    # 5 + 2 + 1 + 1: the rare ones join first
    assert huffman.code_lengths([5, 2, 1, 1]) == [1, 2, 3, 3]
    assert huffman.codewords([1, 2, 3, 3]) == ["0", "10", "110", "111"]
    assert huffman.encode([0, 1, 0, 2, 3], [1, 2, 3, 3]) == bytes([0b01001101, 0b11000000])


@given(COUNTS)
def test_no_word_begins_another_and_none_is_wasted(counts):
    lengths = huffman.code_lengths(counts)
    words = [word for word in huffman.codewords(lengths) if word]
    assert len(words) == sum(1 for count in counts if count)
    assert not [(a, b) for a in words for b in words if a != b and b.startswith(a)]
    assert len(words) == 1 or sum(2.0 ** -len(word) for word in words) == 1


@given(COUNTS)
def test_the_mean_length_is_within_one_bit_of_the_entropy(counts):
    total = sum(counts)
    lengths = huffman.code_lengths(counts)
    mean = sum(n * count for n, count in zip(lengths, counts, strict=True)) / total
    entropy = sum(count / total * log2(total / count) for count in counts if count)
    assert entropy - 1e-9 <= mean <= entropy + 1


@given(st.lists(st.integers(0, 40), min_size=1, max_size=300))
def test_what_is_coded_can_be_read(symbols):
    lengths = huffman.code_lengths(np.bincount(symbols).tolist())
    data = huffman.encode(symbols, lengths)
    assert huffman.decode(data, lengths, len(symbols)).tolist() == symbols
    assert len(data) == (sum(lengths[s] for s in symbols) + 7) // 8


def test_a_symbol_that_is_alone_needs_one_bit():
    assert huffman.code_lengths([0, 9]) == [0, 1]
    assert huffman.decode(huffman.encode([1] * 9, [0, 1]), [0, 1], 9).tolist() == [1] * 9


def test_equal_counts_give_the_same_code_each_time():
    assert huffman.code_lengths([3] * 6) == huffman.code_lengths([3] * 6) == [3, 3, 3, 3, 2, 2]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: huffman.code_lengths([0, 0]), "nothing to code"),
        (lambda: huffman.code_lengths([1, -2]), "must not be negative, got -2"),
        (lambda: huffman.encode([0, 7], [1, 1]), "symbol 7 has no word"),
        (lambda: huffman.encode([1], [1, 0]), "symbol 1 has no word"),
        (lambda: huffman.codewords([1, 1, 1]), "too many short ones"),
        (lambda: huffman.decode(b"\x00", [1, 1], 9), "9 symbols were expected; only 8"),
        (lambda: huffman.decode(b"\xff", [1, 2, 0], 2), "only 0 can be read"),
    ],
)
def test_what_cannot_be_coded_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()
