"""`tools/execute.py` stores outputs: the same bytes each time, all of a chapter or nothing."""

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tools import notebooks, setup_cell

pytestmark = pytest.mark.slow

WIDGET = """\
import anywidget, traitlets
class Counter(anywidget.AnyWidget):
    _esm = "export default { render({ model, el }) { el.textContent = model.get('n') } }"
    n = traitlets.Int(3).tag(sync=True)
    def __repr__(self): return "Counter(3)"
Counter()
"""
FIGURE = "import matplotlib.pyplot as plt\nplt.figure(figsize=(1, 1)).gca().plot([1, 2]);"
STREAMS = "import sys\nfor i in range(3):\n    print(i, flush=True)\n    print(i, file=sys.stderr)"


def execute(*arguments: str | Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "tools.execute", *map(str, arguments)]
    return subprocess.run(command, cwd=notebooks.ROOT, capture_output=True, text=True)


@pytest.fixture
def raw(stored) -> Path:
    """A notebook as somebody leaves it in an editor: out of order, timed, without a setup cell."""
    cells = [nbformat.v4.new_code_cell(s) for s in (WIDGET, FIGURE, STREAMS, "print(__name__)")]
    cells[0].metadata.update({"execution": {"iopub.execute_input": "2026-01-01T00:00:00Z"}})
    cells[1].execution_count = 17
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Raw"), *cells])
    notebook.metadata["language_info"] = {"name": "python", "version": "3.4"}
    path = stored(notebook)
    content = json.loads(path.read_text())
    for cell in content["cells"]:
        del cell["id"]  # as editors wrote notebooks before 2021
    content["nbformat_minor"] = 4
    path.write_text(json.dumps(content))
    return path


def test_running_twice_stores_the_same_bytes(raw):
    first = execute(raw)
    assert first.returncode == 0, first.stdout + first.stderr
    assert first.stdout.startswith("stored    chapter.ipynb")
    text = raw.read_bytes()
    second = execute(raw)
    assert raw.read_bytes() == text, "the second run stored other bytes"
    assert second.stdout.startswith("unchanged chapter.ipynb")

    notebook = notebooks.read(raw)
    codes = notebooks.code_cells(notebook)
    assert setup_cell.is_setup(codes[0])
    assert [cell.execution_count for cell in codes] == [1, 2, 3, 4, 5]
    assert notebook.metadata["language_info"] == {"name": "python"}
    assert "execution" not in codes[1].metadata
    state = notebook.metadata["widgets"][notebooks.WIDGET_STATE]["state"]
    assert sorted(state) == [f"{i:032x}" for i in range(len(state))]
    assert codes[1].outputs[0].data["application/vnd.jupyter.widget-view+json"]["model_id"] in state
    assert codes[1].outputs[0].data["text/plain"] == "Counter(3)"
    assert "image/png" in codes[2].outputs[0].data
    assert [output.text for output in codes[3].outputs] == ["0\n1\n2\n", "0\n1\n2\n"]


def test_a_failing_chapter_stays_as_it_was_and_the_others_are_stored(small_chapter, stored):
    bad = stored(small_chapter("x = 1", "x / 0"), "bad.ipynb")
    good = stored(small_chapter("print(2)"), "good.ipynb")
    before = bad.read_bytes()
    done = execute(bad, good)
    assert done.returncode == 1
    assert bad.read_bytes() == before
    assert re.search(r"FAILED +bad.ipynb: cell 3.*Cell 2 \(x / 0\)", done.stdout)
    assert "ZeroDivisionError: division by zero" in done.stdout
    assert notebooks.code_cells(notebooks.read(good))[1].outputs[0].text == "2\n"
    assert sorted(path.name for path in bad.parent.iterdir()) == ["bad.ipynb", "good.ipynb"]


def test_check_shows_what_would_change_and_writes_nothing(small_chapter, stored):
    notebook = small_chapter("print(1 + 2)")
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", name="stdout", text="4\n")]
    path = stored(notebook)
    before = path.read_bytes()
    done = execute(path, "--check")
    assert done.returncode == 1
    assert path.read_bytes() == before
    assert re.search(r'-\s+"4\\n".*\+\s+"3\\n"', done.stdout, re.DOTALL)

    notebook.cells[2].outputs[0].text = "3\n"
    assert execute(stored(notebook), "--check").returncode == 0


def test_run_times_are_stored_only_on_request(small_chapter, stored, tmp_path):
    path, times = stored(small_chapter("x = 1"), "01_small.ipynb"), tmp_path / "times.json"
    assert execute(path, "--measurements", times).returncode == 0
    assert not times.exists()
    times.write_text('{"00_other": {"seconds": 1}}')
    done = execute(path, "--measure", "--measurements", times)
    assert done.returncode == 0, done.stdout + done.stderr
    measured = json.loads(times.read_text())
    assert measured["00_other"] == {"seconds": 1}
    assert sorted(measured["01_small"]) == ["date", "device", "python", "seconds", "torch"]


def test_a_file_that_is_no_notebook_is_named(tmp_path):
    path = tmp_path / "no.ipynb"
    path.write_text("{}")
    done = execute(path)
    assert (done.returncode, "is not a notebook" in done.stdout) == (1, True)
    done = execute(tmp_path / "missing.ipynb")
    assert (done.returncode, "no such chapter" in done.stdout) == (2, True)
