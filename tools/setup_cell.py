"""The setup cell: the first code cell of every chapter, the same in all of them.

Where ``cnnlib`` can be imported it does nothing and prints nothing. Elsewhere it installs the wheel
that lies beside the notebook, or the one that a self-contained notebook carries
(``tools/selfcontained.py``), and says what to do if there is none. It never asks an index for a
package named ``cnnlib``: that name may belong to somebody else there. It pins nothing: what Colab
has installed stays as it is, and pip adds only what is missing.

``python -m tools.setup_cell`` puts the cell into all chapters.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools import notebooks

IDENTITY = "setup"  # the id of the cell

_CHAPTER = """\
# @title Setup: installs cnnlib, the library of this book, where it is missing
import importlib.util
import subprocess
import sys
from pathlib import Path

if importlib.util.find_spec("cnnlib") is None:
    wheel = next(Path().glob("cnnlib-*.whl"), None)
    if wheel is None:
        raise RuntimeError(
            "cnnlib is not installed here. Download the self-contained "
            "notebook from this chapter's page of the book, or clone the "
            "book and run `pip install .` in it."
        )
"""

# An earlier notebook may have left another slim copy of the library; a full one is never replaced.
_CARRIED = """\
# @title Setup: installs cnnlib, the library of this book, where it is missing
import base64
import importlib.metadata
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

NAME = "{name}"
WHEEL = "{text}"
found = importlib.metadata.distributions(name="cnnlib")
slim = [d.version for d in found if "+" in d.version]
other = any(f"-{{version}}-" not in NAME for version in slim)
if importlib.util.find_spec("cnnlib") is None or other:
    wheel = Path(tempfile.mkdtemp(), NAME)
    wheel.write_bytes(base64.b64decode(WHEEL))
"""

_INSTALL = """\
    pip = [sys.executable, "-m", "pip", "install", "--quiet", str(wheel)]
    options = {"capture_output": True, "text": True}
    done = subprocess.run(pip, **options)
    if done.returncode:  # no network? What is here must be enough
        print("Not all that cnnlib uses could be installed.")
        print("Interactive parts may be missing.")
        print(done.stderr.strip()[-300:])
        done = subprocess.run([*pip, "--no-deps"], **options)
    if done.returncode:
        reason = done.stderr.strip()[-600:]
        raise RuntimeError(f"pip could not install {wheel.name}: {reason}")
    importlib.invalidate_caches()
"""

SOURCE = (_CHAPTER + _INSTALL).rstrip("\n")


def carrying(name: str, text: str) -> str:
    """The source of the setup cell of a self-contained notebook.

    Args:
        name: file name of the wheel.
        text: the wheel in base64.
    """
    return (_CARRIED.format(name=name, text=text) + _INSTALL).rstrip("\n")


def cell() -> NotebookNode:
    """A fresh setup cell, as every chapter has it."""
    return nbformat.v4.new_code_cell(
        SOURCE, id=IDENTITY, metadata={"cellView": "form", "tags": ["hide-cell"]}
    )


def is_setup(candidate: NotebookNode) -> bool:
    """Whether a cell is a setup cell, of this edition of the book or of an earlier one."""
    return candidate.cell_type == "code" and (
        candidate.get("id") == IDENTITY or candidate.source.startswith("# @title Setup:")
    )


def put_into(notebook: NotebookNode) -> bool:
    """Make the setup cell the first code cell of a notebook; keeps its stored (empty) output.

    Returns:
        Whether the notebook was changed.
    """
    fresh = cell()
    codes = notebooks.code_cells(notebook)
    old = [c for c in codes if is_setup(c)]
    if len(old) == 1 and codes[0] is old[0]:
        [present] = old
        if (present.source, present.metadata, present.id) == (
            fresh.source,
            fresh.metadata,
            fresh.id,
        ):
            return False
        fresh.execution_count = present.execution_count
    rest = [c for c in notebook.cells if not any(c is o for o in old)]
    place = next((i for i, c in enumerate(rest) if c.cell_type == "code"), len(rest))
    notebook.cells = [*rest[:place], fresh, *rest[place:]]
    return True


def main() -> int:
    """Refresh the setup cell of all chapters, or of those named on the command line."""
    for path in [Path(a) for a in sys.argv[1:]] or notebooks.chapters():
        notebook = notebooks.read(path)
        if put_into(notebook):
            notebooks.write_atomically(path, notebooks.dumps(notebook))
            print(f"{path.name}: setup cell refreshed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
