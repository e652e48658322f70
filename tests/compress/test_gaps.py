import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnlib.compress.gaps import from_gaps, to_gaps


def test_the_papers_example_has_one_filler():
    # figure 2 of the paper: weights at 1, 4 and 15 with 3 bits; 10 zeros stand before the last
    gaps, is_filler = to_gaps(np.array([1, 4, 15]), 3)
    assert gaps.tolist() == [1, 2, 7, 2]
    assert is_filler.tolist() == [False, False, True, False]


@given(st.sets(st.integers(0, 3000), max_size=80), st.integers(1, 10))
def test_positions_come_back_and_every_gap_fits_its_bits(positions, bits):
    positions = np.array(sorted(positions), dtype=np.int64)
    gaps, is_filler = to_gaps(positions, bits)
    assert from_gaps(gaps, is_filler).tolist() == positions.tolist()
    assert ((gaps >= 0) & (gaps < 2**bits)).all()
    assert len(gaps) - is_filler.sum() == len(positions)
    assert not set(from_gaps(gaps)[is_filler]) & set(positions)  # fillers stand where zeros are


@pytest.mark.parametrize("positions, bits", [([3, 3], 4), ([5, 2], 4), ([-1], 4), ([1], 0)])
def test_what_has_no_gaps_is_refused(positions, bits):
    with pytest.raises(ValueError, match="positions must ascend|1 to 16 bits, got 0"):
        to_gaps(np.array(positions), bits)
