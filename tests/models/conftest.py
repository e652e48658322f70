"""The tests of one network: those of its paper, and those that all networks share."""

import pytest

pytest.register_assert_rewrite("tests.models.invariants", "tests.models.transplant")

from tests.models.invariants import pytest_generate_tests  # noqa: E402, F401
