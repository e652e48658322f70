"""Reading, running and writing notebooks: what the other scripts and the tests share."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from traitlets import Unicode

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = ROOT / "chapters"

# What a chapter prints must not depend on the machine that runs it.
FIXED = {
    "CNNLIB_BOOK": "1",  # no progress bars; stored facts instead of measured ones
    "CUDA_VISIBLE_DEVICES": "",  # the book's numbers are those of a CPU
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # not what the user's shell prefers
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # no warning of the debugger on stderr
    "PYTHONHASHSEED": "0",
}
# These may be overridden from outside, to show that the numbers do not depend on them either.
DEFAULTS = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",  # idle threads of a team sleep instead of spinning
}

KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE_INFO = {"name": "python"}
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
PRIVATE_TAGS = ("execution", "collapsed", "scrolled", "trusted", "id", "outputId")  # of editors


class CellFailed(Exception):
    """A cell of a notebook raised, took too long or killed its kernel; the message says which."""


def chapters(folder: Path = CHAPTERS) -> list[Path]:
    """The notebooks of the book, in order."""
    return sorted(folder.glob("*.ipynb"))


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells of a notebook, in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell."""
    return list(cell.metadata.get("tags", []))


def label(notebook: NotebookNode, cell: NotebookNode) -> str:
    """How messages call a cell: its place, and its first line for those who do not count."""
    place = next(i for i, other in enumerate(notebook.cells) if other is cell)
    lines = [line for line in cell.source.splitlines() if line.strip()]
    first = lines[0][:60] if lines else "empty"
    number = ""
    if cell.cell_type == "code":
        number = f", nbval's Cell {sum(c.cell_type == 'code' for c in notebook.cells[:place])}"
    return f"cell {place}{number} ({first})"


def kernel_environment(overrides: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a kernel that runs a chapter for the book.

    Args:
        overrides: variables that win over the book's own ones.
    """
    return {**os.environ, **DEFAULTS, **FIXED, **(overrides or {})}


def read(path: Path) -> NotebookNode:
    """Read a notebook; cells without an id get one that depends only on what the notebook says.

    Raises:
        ValueError: the file is not a notebook of format 4.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        cells = raw["cells"]
        major = raw["nbformat"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a notebook: {type(error).__name__}: {error}") from None
    if major != 4:
        raise ValueError(f"{path} has notebook format {major}; open and save it in Jupyter first")
    taken: set[str] = set()
    for place, cell in enumerate(cells):
        name = cell.get("id")
        if not name or name in taken:
            text = "".join(cell["source"])
            name = hashlib.sha256(f"{place} {text}".encode()).hexdigest()[:8]
        cell["id"] = name
        taken.add(name)
    raw["nbformat_minor"] = max(5, raw.get("nbformat_minor", 0))
    return nbformat.reads(json.dumps(raw), 4)


def normalised(notebook: NotebookNode) -> NotebookNode:
    """A copy of a notebook without anything that depends on when, where or how often it ran."""
    notebook = nbformat.from_dict(notebook)
    notebook.metadata["kernelspec"] = dict(KERNELSPEC)
    notebook.metadata["language_info"] = dict(LANGUAGE_INFO)
    for cell in notebook.cells:
        for key in PRIVATE_TAGS:
            cell.metadata.pop(key, None)
        if cell.metadata.get("tags") == []:
            del cell.metadata["tags"]
    return _renumber_widgets(notebook)


def _renumber_widgets(notebook: NotebookNode) -> NotebookNode:
    """Random ids of widgets become numbers, in the order in which the widgets were made."""
    state = notebook.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    numbers = {model: f"{i:032x}" for i, model in enumerate(state)}
    if not numbers:
        notebook.metadata.pop("widgets", None)
        return notebook
    pattern = re.compile("|".join(map(re.escape, numbers)))
    text = pattern.sub(lambda found: numbers[found[0]], nbformat.writes(notebook))
    return nbformat.reads(text, 4)


def dumps(notebook: NotebookNode) -> str:
    """The text of a notebook's file: keys sorted, one blank of indentation, final newline."""
    return nbformat.writes(notebook) + "\n"


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file as a whole: whatever happens, there is the old content or the new one."""
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


class _OnePython(KernelSpecManager):
    """Knows one kernel: that of a given Python, whatever kernels the user has registered."""

    python = Unicode()

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        command = [self.python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        command += ["--log-level=ERROR"]  # not that it talks to itself without encryption
        return KernelSpec(argv=command, display_name="Python 3", language="python")


def run(
    notebook: NotebookNode,
    folder: Path,
    *,
    python: str = sys.executable,
    environment: Mapping[str, str] | None = None,
    timeout: int = 600,
) -> float:
    """Run all code cells of a notebook in a fresh kernel; outputs are stored in the notebook.

    Args:
        notebook: changed in place.
        folder: where the kernel runs.
        python: interpreter of the kernel.
        environment: all variables of the kernel; by default those of ``kernel_environment``.
        timeout: seconds per cell.

    Returns:
        Seconds from the start of the first cell to the end of the last.

    Raises:
        CellFailed: a cell failed; the cells before it have their new outputs.
    """
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    notebook.metadata.pop("widgets", None)
    times: list[float] = []
    reached: list[NotebookNode] = []

    def starts(cell: NotebookNode, cell_index: int) -> None:
        times.append(time.perf_counter())
        reached[:] = [cell]

    client = NotebookClient(
        notebook,
        km=AsyncKernelManager(kernel_spec_manager=_OnePython(python=python)),
        resources={"metadata": {"path": str(folder)}},
        timeout=timeout,
        record_timing=False,
        coalesce_streams=True,  # else a print may arrive in one piece or in two
        on_cell_start=starts,
    )
    try:
        client.execute(cleanup_kc=True, env=dict(environment or kernel_environment()))
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        where = label(notebook, reached[0]) if reached else "the start of the kernel"
        source = reached[0].source if reached else ""
        what = f"{error.ename}: {error.evalue}" if isinstance(error, CellExecutionError) else error
        raise CellFailed(f"{where}\n{_indent(source)}\n{what}") from None
    return time.perf_counter() - times[0] if times else 0.0


def _indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
