"""An environment like Colab's, and notebooks run in it alone, as a reader would upload them.

    python -m tools.colab_run NOTEBOOK [--no-network] [--no-anywidget] [--mlxtend]

The packages are those of ``tests/chapters/colab-constraints.txt``, exactly so; torch, which is
large, is borrowed from the environment that runs this script (and Python is its Python). They lie
in ``_build/colab`` and are installed again only when the list changes. Every run gets a fresh
environment on top of them, so that what a notebook installs is gone afterwards.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable, Sequence
from pathlib import Path

from nbformat import NotebookNode
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# Also as a plain script: `python tools/colab_run.py`.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools import notebooks

PINS = notebooks.ROOT / "tests" / "chapters" / "colab-constraints.txt"
BASE = notebooks.ROOT / "_build" / "colab"

# In folders of their own, because tests leave them out.
ANYWIDGET = ("anywidget==0.9.21", "psygnal==0.15.1")
MLXTEND = ("mlxtend==0.23.4",)
# Colab has it and a package above asks for it; for us it is enough that pip sees it.
ONLY_SEEN = "notebook==6.5.7"


class CannotBuild(OSError):
    """The environment could not be made; the message says why."""


# -- what all runs share ----------------------------------------------------------------------


def prepare(base: Path = BASE) -> Path:
    """Install Colab's packages, unless they are there already.

    Args:
        base: folder for them; gets ``colab``, ``anywidget``, ``mlxtend`` and ``borrowed``.

    Returns:
        The folder.

    Raises:
        CannotBuild: pip could not install the packages.
    """
    recipe = PINS.read_bytes() + Path(__file__).read_bytes() + sys.version.encode()
    recipe += importlib.metadata.version("torch").encode() + sys.prefix.encode()
    stamp, wanted = base / "stamp", hashlib.sha256(recipe).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return base
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir(parents=True)
    _install(base / "colab", ["-r", str(PINS)])
    _install(base / "anywidget", ANYWIDGET)
    _install(base / "mlxtend", MLXTEND)
    name, version = ONLY_SEEN.split("==")
    seen = base / "colab" / f"{name}-{version}.dist-info"
    seen.mkdir()
    (seen / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    _borrow("torch", base / "borrowed", installed=base / "colab")
    stamp.write_text(wanted)
    return base


def _install(folder: Path, what: Iterable[str]) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    pip += ["--no-deps", "--no-compile", "--target", str(folder)]
    done = subprocess.run([*pip, *what], capture_output=True, text=True)
    if done.returncode:
        raise CannotBuild(f"pip could not install Colab's packages: {done.stderr.strip()[-600:]}")


def _borrow(package: str, folder: Path, installed: Path) -> None:
    """Link a package of this environment, and all that it needs and ``installed`` lacks."""
    present = {
        canonicalize_name(d.metadata["Name"])
        for d in importlib.metadata.distributions(path=[str(installed)])
    }
    folder.mkdir()
    waiting = [Requirement(package)]
    done: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if name in present or (name, extras) in done:
            continue
        done.add((name, extras))
        found = importlib.metadata.distribution(name)
        for top in {file.parts[0] for file in found.files or [] if file.parts[0] != ".."}:
            link, target = folder / top, Path(str(found.locate_file(top)))
            if target.exists() and not link.exists() and top != "__pycache__":
                link.symlink_to(target)
        for line in found.requires or []:
            needed = Requirement(line)
            if needed.marker is None or any(
                needed.marker.evaluate({"extra": extra}) for extra in (*extras, "")
            ):
                waiting.append(needed)


# -- one run ----------------------------------------------------------------------------------


def fresh(folder: Path, *, anywidget: bool = True, mlxtend: bool = False) -> Path:
    """Make an environment that sees Colab's packages, and into which pip may install.

    Args:
        folder: where to make it.
        anywidget: whether anywidget is there (in Colab it is).
        mlxtend: whether mlxtend is there.

    Returns:
        Its Python.
    """
    base = prepare()
    venv.create(folder, symlinks=os.name != "nt")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
    seen = ["colab", "borrowed", *["anywidget"] * anywidget, *["mlxtend"] * mlxtend]
    lines = "".join(f"{base / name}\n" for name in seen)
    (Path(site.strip()) / "colab.pth").write_text(lines)
    return python


def variables(home: Path, *, network: bool = True) -> dict[str, str]:
    """Environment variables of a reader: nothing of the book's, caches of their own.

    Args:
        home: folder for caches.
        network: without it, pip has no index and everything else a dead proxy.
    """
    ours = ("CNNLIB_", "PYTHON", "PYTEST", "COV_", "VIRTUAL_ENV", "MPL", "IPYTHON", "JUPYTER")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    kept |= {"XDG_CACHE_HOME": str(home / "cache"), "IPYTHONDIR": str(home / "ipython")}
    kept |= {"MPLCONFIGDIR": str(BASE / "matplotlib")}  # its list of fonts takes a while to make
    kept |= {"CUDA_VISIBLE_DEVICES": "", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    kept |= {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # else old debuggers warn on our screen
    if not network:
        dead = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
        kept |= dead | {name.upper(): value for name, value in dead.items()}
        kept |= {"PIP_NO_INDEX": "1"}
    return kept


def run_alone(
    notebook: NotebookNode, python: Path, folder: Path, *, network: bool = True
) -> tuple[NotebookNode, float]:
    """Run a notebook in a fresh kernel of an environment, in an otherwise empty folder.

    Args:
        notebook: not changed.
        python: of an environment made by ``fresh``.
        folder: empty; the kernel runs in it.
        network: see ``variables``.

    Returns:
        The notebook with its outputs, and the seconds that it took.

    Raises:
        CellFailed: a cell failed.
        ValueError: the folder is not empty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty; the notebook is to run alone")
    copy = notebooks.normalised(notebook)
    with tempfile.TemporaryDirectory() as home:
        environment = variables(Path(home), network=network)
        seconds = notebooks.run(copy, folder, python=str(python), environment=environment)
    return copy, seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run self-contained notebooks, each alone in a fresh environment like Colab's."""
    parser = argparse.ArgumentParser(prog="python -m tools.colab_run", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--no-network", action="store_true")
    parser.add_argument("--no-anywidget", action="store_true")
    parser.add_argument("--mlxtend", action="store_true", help="with mlxtend installed")
    options = parser.parse_args(arguments)
    good = True
    for path in options.notebooks:
        with tempfile.TemporaryDirectory() as place:
            python = fresh(
                Path(place, "env"), anywidget=not options.no_anywidget, mlxtend=options.mlxtend
            )
            try:
                _, seconds = run_alone(
                    notebooks.read(path),
                    python,
                    Path(place, "alone"),
                    network=not options.no_network,
                )
                print(f"{path.name}: ran to the end in {seconds:.0f} s")
            except notebooks.CellFailed as error:
                good = False
                print(f"{path.name}: FAILED {error}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
