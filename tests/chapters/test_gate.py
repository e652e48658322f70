"""`pytest --nbval` is a gate: with the book's own configuration, planted faults do not pass it."""

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import nbformat
import pytest

from tools import notebooks

pytestmark = pytest.mark.slow

GATE = ("conftest.py", "nbval.cfg", "pyproject.toml", "tests/chapters/test_notebooks.py")
TOOLS = ("__init__.py", "checks.py", "notebooks.py", "setup_cell.py")
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAA"
    "AABJRU5ErkJggg=="
)
DRAW = f"from IPython.display import Image\nImage(__import__('base64').b64decode('{PIXEL}'))"


def printed(text: str) -> list[nbformat.NotebookNode]:
    return [nbformat.v4.new_output("stream", name="stdout", text=text)]


def drawn(count: int) -> list[nbformat.NotebookNode]:
    data = {"image/png": PIXEL, "text/plain": "<IPython.core.display.Image object>"}
    return [nbformat.v4.new_output("execute_result", data, execution_count=count)]


def copy_gate(folder: Path) -> Path:
    for name in (*GATE, *(f"tools/{tool}" for tool in TOOLS)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(notebooks.ROOT / name, folder / name)
    return folder


def run_gate(folder: Path, *arguments: str, **environment: str) -> dict[str, str]:
    """The outcome of each test: "file.Cell 1" or "file.rule" to what was told ("" if passed)."""
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "--nbval", f"--junitxml={report}", *arguments]
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("COV_", "PYTEST_"))}
    done = subprocess.run(
        command, cwd=folder, env=variables | environment, capture_output=True, text=True
    )
    outcomes = {}
    for case in ET.parse(report).getroot().iter("testcase"):
        fault = next((c for c in case if c.tag in ("failure", "error")), None)
        name, place = case.get("name", ""), case.get("classname", "").removesuffix(".ipynb")
        key = f"{place.split('.')[-1]}.{name}"
        if "[" in name:  # test_every_chapter_keeps_every_rule[chapter-rule]
            key = name.split("[")[1].rstrip("]").replace("-", ".")
        outcomes[key] = "" if fault is None else f"{fault.get('message')} {fault.text}"
    assert (done.returncode == 0) == (not any(outcomes.values())), done.stdout
    return outcomes


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, small_chapter) -> dict[str, str]:
    """One run of the gate over a sound notebook and one notebook for each planted fault."""
    folder = copy_gate(tmp_path_factory.mktemp("gate"))

    def plant(name: str, *sources: str) -> list[nbformat.NotebookNode]:
        planted[name] = small_chapter(*sources)
        return planted[name].cells[2:]

    planted: dict[str, nbformat.NotebookNode] = {}
    cells = plant("sound", "print(1 + 2)", DRAW)
    cells[0].outputs, cells[1].outputs = printed("3\n"), drawn(3)
    cells[1].metadata["mystnb"] = {"image": {"alt": "One pixel."}}
    plant("wrong_output", "print(1 + 2)")[0].outputs = printed("4\n")
    plant("failing", "1 / 0")
    plant("never_run", "x = 1")[0].execution_count = None
    plant("no_alt", DRAW)[0].outputs = drawn(2)
    plant("unexplained", *["x = 1"] * 9)[0].metadata["tags"] = ["nbval-ignore-output"]
    plant("too_few", "x = 1")[0].metadata.update(
        {"tags": ["nbval-skip"], "cnnlib": {"reason": "for no good reason"}}
    )
    quiz = plant("bad_quiz", "x = 1")[1]
    quiz.source = quiz.source.replace("**No.**", "**Yes.**")
    for name, notebook in planted.items():
        text = notebooks.dumps(notebook)
        notebooks.write_atomically(folder / "chapters" / f"{name}.ipynb", text)
    return run_gate(folder)


def test_a_sound_notebook_passes(outcomes):
    sound = {key: told for key, told in outcomes.items() if key.startswith("sound.")}
    assert len(sound) > 10
    assert not any(sound.values()), sound


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("wrong_output.Cell 1", "Cell outputs differ"),
        ("failing.Cell 1", "ZeroDivisionError"),
        ("never_run.Cell 1", "never run"),
        ("never_run.every_cell_was_run_in_order", "execution count None"),
        ("no_alt.every_picture_has_alt_text", "mystnb.image.alt"),
        ("unexplained.every_exempt_cell_says_why", "cnnlib.reason"),
        ("too_few.enough_cells_are_compared", "1 of 2 cells are compared"),
        ("bad_quiz.quizzes_are_well_formed", "exactly one choice is right, found 2"),
    ],
)
def test_a_planted_fault_turns_it_red(outcomes, key, told):
    assert told in outcomes[key]


def test_nothing_else_is_red(outcomes):
    red = sorted(key for key, told in outcomes.items() if told)
    assert red == [
        "bad_quiz.quizzes_are_well_formed",
        "failing.Cell 1",
        "never_run.Cell 1",
        "never_run.every_cell_was_run_in_order",
        "no_alt.every_picture_has_alt_text",
        "too_few.enough_cells_are_compared",
        "unexplained.every_exempt_cell_says_why",
        "wrong_output.Cell 1",
    ]


@pytest.mark.parametrize("arguments", [(), ("-n2",)], ids=["one process", "two processes"])
def test_it_works_from_another_folder_and_with_two_processes(tmp_path, small_chapter, arguments):
    """The sanitise file is found, and the cells of a notebook share one kernel."""
    folder = copy_gate(tmp_path)
    notebook = small_chapter("x = object()", "print(x)", "print(type(x))")
    notebook.cells[3].outputs = printed("<object object at 0x7f0123456789>\n")
    notebook.cells[4].outputs = printed("<class 'object'>\n")
    for name in ("one", "two"):
        path = folder / "chapters" / f"{name}.ipynb"
        notebooks.write_atomically(path, notebooks.dumps(notebook))
    report = run_gate(folder / "chapters", *arguments)
    assert len(report) == 8
    assert not any(report.values()), report


def test_kernels_have_the_environment_of_the_book_whatever_the_shell_says(tmp_path, small_chapter):
    folder = copy_gate(tmp_path)
    notebook = small_chapter(
        "import os",
        "print([os.environ.get(k) for k in ('CNNLIB_BOOK', 'CUDA_VISIBLE_DEVICES')])",
        "print(os.environ['OMP_NUM_THREADS'], 'inline' in os.environ['MPLBACKEND'])",
    )
    notebook.cells[3].outputs = printed("['1', '']\n")
    notebook.cells[4].outputs = printed("2 True\n")
    path = folder / "chapters" / "one.ipynb"
    notebooks.write_atomically(path, notebooks.dumps(notebook))
    shell = {"CUDA_VISIBLE_DEVICES": "0", "MPLBACKEND": "svg", "OMP_NUM_THREADS": "2"}
    report = run_gate(folder, "chapters", **shell)
    assert len(report) == 4
    assert not any(report.values()), report
