"""The downloads run to the end in an environment like Colab's, alone in an empty folder."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tools import checks, colab_run, notebooks, selfcontained, setup_cell

pytestmark = pytest.mark.colab

CHAPTERS = notebooks.chapters()
VERSIONS = """\
import sys, IPython, accelerate, anywidget, ipykernel, ipywidgets, matplotlib, numpy, torch
for module in (IPython, accelerate, anywidget, ipykernel, ipywidgets, matplotlib, numpy):
    print(module.__name__, module.__version__)
print("torch", torch.ones(2).numpy().sum())
"""
WHERE = (
    "import cnnlib, pathlib, sys\nprint(pathlib.Path(cnnlib.__file__).is_relative_to(sys.prefix))"
)


@pytest.fixture(scope="module", autouse=True)
def packages() -> Path:
    """Colab's packages, installed the first time."""
    return colab_run.prepare()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=notebooks.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [path] = folder.glob("*.whl")
    return path


def notebook_of(*sources: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])


def setup_of(wheel: Path, data: list[str], folder: Path) -> str:
    """The setup cell of a self-contained notebook that needs these data."""
    chapter = nbformat.v4.new_notebook(cells=[setup_cell.cell()])
    chapter.metadata["cnnlib"] = {"data": data}
    source, target = folder / f"source-{'-'.join(data)}.ipynb", folder / "copy.ipynb"
    notebooks.write_atomically(source, notebooks.dumps(chapter))
    selfcontained.write(source, target, wheel)
    return notebooks.read(target).cells[0].source


def printed(cell: nbformat.NotebookNode) -> str:
    return "".join(output.get("text", "") for output in cell.outputs)


def installed(python: Path) -> set[str]:
    """What pip installed into an environment, beyond what Colab has."""
    folder = next(python.parents[1].rglob("site-packages"))
    return {path.name.split("-")[0] for path in folder.glob("*.dist-info")} - {"pip", "setuptools"}


def test_the_kernel_really_has_colabs_versions(tmp_path):
    python = colab_run.fresh(tmp_path / "env")
    copy, _ = colab_run.run_alone(notebook_of(VERSIONS), python, tmp_path / "alone")
    pins = [*colab_run.ANYWIDGET, *colab_run.PINS.read_text().splitlines()]
    expected = dict(line.lower().split("==") for line in pins if "==" in line)
    found = dict(line.lower().split() for line in printed(copy.cells[0]).splitlines())
    assert found.pop("torch") == "2.0"
    assert found == {name: expected[name] for name in found}
    assert len(found) == 7


def opening(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A chapter up to its third code cell: setup, imports, card."""
    last = notebooks.code_cells(notebook)[2]
    cells = notebook.cells[: notebook.cells.index(last) + 1]
    return nbformat.v4.new_notebook(cells=cells, metadata=notebook.metadata)


def size_of_data(path: Path) -> int:
    """Bytes of the data that a chapter says it needs."""
    needed = checks.data_needed(notebooks.read(path))
    files = [f for f in checks.ASSETS.rglob("*") if {f.stem, f.parent.name} & set(needed)]
    assert files or not needed
    return sum(f.stat().st_size for f in files if f.is_file())


LIBRARY = 700_000  # bytes of cnnlib in a wheel, without the data of chapters, that are still light


@pytest.mark.skipif(not CHAPTERS, reason="no chapters yet")
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_runs_alone_and_opens_a_second_time(path, wheel, tmp_path):
    """First as a reader meets it; then with cnnlib installed, mlxtend beside it, no network.

    What follows the opening cells knows nothing of how cnnlib was installed: it is not run again.
    """
    target = tmp_path / path.name
    selfcontained.write(path, target, wheel)
    carried = target.stat().st_size - path.stat().st_size  # in base64: 4 bytes for 3
    assert carried < 4 / 3 * (size_of_data(path) + LIBRARY)
    python = colab_run.fresh(tmp_path / "env")
    first, _ = colab_run.run_alone(notebooks.read(target), python, tmp_path / "first")
    added = installed(python)
    assert "cnnlib" in added
    assert added <= {"cnnlib", "jedi", "parso"}, "pip changed what Colab has"

    seen = next(python.parents[1].rglob("colab.pth"))
    seen.write_text(seen.read_text() + f"{colab_run.BASE / 'mlxtend'}\n")
    again = opening(notebooks.read(target))
    second, _ = colab_run.run_alone(again, python, tmp_path / "second", network=False)
    assert installed(python) == added
    for copy in (first, second):
        codes = notebooks.code_cells(copy)
        assert [cell.execution_count for cell in codes] == list(range(1, len(codes) + 1))
    for name in ("first", "second"):
        assert os.listdir(tmp_path / name) == [], "the chapter left files behind"


def test_without_a_network_the_library_comes_from_the_notebook(wheel, tmp_path):
    setup = setup_of(wheel, ["mnist_5k"], tmp_path)
    python = colab_run.fresh(tmp_path / "env")
    alone = notebook_of(setup, WHERE, setup)
    copy, _ = colab_run.run_alone(alone, python, tmp_path / "alone", network=False)
    assert printed(copy.cells[1]) == "True\n"
    assert printed(copy.cells[2]) == "", "the second time there is nothing to do"
    assert installed(python) == {"cnnlib"}


def test_a_missing_anywidget_is_fetched(wheel, tmp_path):
    setup = setup_of(wheel, ["mnist_5k"], tmp_path)
    python = colab_run.fresh(tmp_path / "env", anywidget=False)
    alone = notebook_of(setup, WHERE, "import anywidget, numpy\nprint(numpy.__version__)")
    try:
        copy, _ = colab_run.run_alone(alone, python, tmp_path / "alone")
    except notebooks.CellFailed:
        # only an unreachable index excuses it: then pip cannot get the package by hand either
        target = ["--no-deps", "--target", str(tmp_path / "by-hand"), "anywidget"]
        command = [sys.executable, "-m", "pip", "install", "--quiet", *target]
        if subprocess.run(command, capture_output=True).returncode == 0:
            raise
        pytest.skip("no package index can be reached")
    assert printed(copy.cells[0]) == ""
    assert printed(copy.cells[2]) == "2.1.3\n"
    assert {"cnnlib", "anywidget", "psygnal"} <= installed(python)
    assert "numpy" not in installed(python)


def test_a_second_chapter_brings_the_data_that_the_first_did_not_have(wheel, tmp_path):
    python = colab_run.fresh(tmp_path / "env")
    for data in ("mnist_5k", "fashion_6k"):
        setup = setup_of(wheel, [data], tmp_path)
        look = f"print((pathlib.Path(cnnlib.__file__).parent / 'assets/{data}.npz').is_file())"
        alone = notebook_of(setup, WHERE, look)
        copy, _ = colab_run.run_alone(alone, python, tmp_path / data, network=False)
        assert printed(copy.cells[2]) == "True\n"


def test_a_chapter_from_the_repository_says_what_to_do(tmp_path):
    python = colab_run.fresh(tmp_path / "env")
    alone = notebook_of(setup_cell.SOURCE)
    with pytest.raises(notebooks.CellFailed, match="RuntimeError: cnnlib is not installed here"):
        colab_run.run_alone(alone, python, tmp_path / "alone", network=False)


def test_a_notebook_must_be_alone(tmp_path):
    (tmp_path / "other.txt").touch()
    with pytest.raises(ValueError, match="not empty"):
        colab_run.run_alone(notebook_of("1"), Path(sys.executable), tmp_path)
