"""Every chapter keeps the rules of ``tools/checks.py``."""

from pathlib import Path

import pytest

from tools import checks, notebooks

CHAPTERS = notebooks.chapters()


def test_the_book_has_chapters():
    assert CHAPTERS, f"no notebooks in {notebooks.CHAPTERS}"


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_chapter_keeps_every_rule(path: Path, check: checks.Check):
    faults = check(notebooks.read(path))
    assert not faults, "\n".join(faults)
