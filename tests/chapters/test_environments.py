"""The quickest chapter prints the same on an old processor and with two threads."""

import json

import pytest

from tools import environments, execute, notebooks

CHAPTERS = notebooks.chapters()


def quickest():
    """The chapter with the shortest stored run time; the first one if none was measured."""
    path = execute.MEASUREMENTS
    times = json.loads(path.read_text()) if path.is_file() else {}
    return min(CHAPTERS, key=lambda chapter: times.get(chapter.stem, {}).get("seconds", 1e9))


@pytest.mark.slow
@pytest.mark.skipif(not CHAPTERS, reason="no chapters yet")
def test_a_chapter_prints_the_same_on_an_old_processor_with_two_threads():
    imitated = environments.OLD_CPU | environments.TWO_THREADS
    done = environments.run_chapter(quickest(), imitated)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
