"""Build the website from the stored outputs: ``python -m tools.build_site``.

Warnings are errors. The site is built from scratch beside the last one and takes its place when it
is complete, so that what is shown is never half of something; if nothing has changed since the
last time, nothing is done.

    python -m tools.build_site            build if something has changed
    python -m tools.build_site --always   build in any case
    python -m tools.build_site --verbose  show all that Sphinx says
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools.setup_env import ROOT, Stamp

# what pages are made from, besides the pages; a folder stands for all files in it
SOURCES = (
    "_config.yml _toc.yml references.bib _ext _static figures chapters cnnlib tools "
    "package-lock.json requirements.txt pyproject.toml README.md LICENSE"
).split()
NOT_SOURCES = {"__pycache__", ".ipynb_checkpoints"}
IMPORTANT = re.compile(r"WARNING|ERROR|Error|Exception|CRITICAL|SEVERE|error:")
BUILD = "from jupyter_book.cli.main import main; main()"


def source_files(root: Path) -> list[Path]:
    """All files that the site is made from, in a fixed order."""
    files = set(root.glob("*.md"))
    for name in SOURCES:
        path = root / name
        files |= set(path.rglob("*")) if path.is_dir() else {path}
    return sorted(file for file in files if file.is_file() and not NOT_SOURCES & set(file.parts))


def pages(root: Path = ROOT) -> list[str]:
    """The pages of the book in their order, as ``_toc.yml`` says: ``chapters/01_lenet.html``."""
    import yaml  # part of Jupyter Book

    toc = yaml.safe_load((root / "_toc.yml").read_text("utf-8"))
    files = [toc["root"]]
    for part in [toc, *toc.get("parts", ())]:
        files += [entry["file"] for entry in part.get("chapters", ())]
    return [f"{file}.html" for file in files]


def stamp_of(root: Path) -> Stamp:
    """The note that the site was built, from these files and with this repository address."""
    files = source_files(root)
    git = ["git", "config", "--get", "remote.origin.url"]
    try:
        remote = subprocess.run(git, cwd=root, capture_output=True, text=True, check=False).stdout
    except OSError:  # no git: the sources came as an archive
        remote = ""
    names = [str(file.relative_to(root)) for file in files]
    return Stamp(root / "_build" / ".site-stamp", names, remote, sys.version_info[:2], *files)


def is_current(root: Path = ROOT) -> bool:
    """Whether the site is built and nothing has changed since."""
    return (root / "_build/html/index.html").is_file() and stamp_of(root).is_fresh()


@contextmanager
def one_at_a_time(root: Path) -> Iterator[None]:
    """Let two builds of the same book wait for each other."""
    folder = root / "_build"
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run_jupyter_book(root: Path, output: Path, *, verbose: bool = False) -> tuple[int, str]:
    """Run Jupyter Book with warnings as errors.

    Args:
        root: The folder with ``_config.yml``.
        output: Where to build; the site will be in ``_build/html`` under it.
        verbose: Show what it says as it goes.

    Returns:
        The exit status, and all that was said.
    """
    arguments = ["build", str(root), "--path-output", str(output)]
    strict = ["-n", "-W", "--keep-going", "--all"]
    # -P: not the current folder, whose packages might shadow installed ones
    command = [sys.executable, "-P", "-c", BUILD, *arguments, *strict]
    quietly = {"NO_COLOR": "1", "PYTHONWARNINGS": "ignore", "PYTHONDONTWRITEBYTECODE": "1"}
    lines = []
    with subprocess.Popen(
        command,
        cwd=root,
        env=os.environ | quietly,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout  # for the type checker: it is a pipe
        for line in process.stdout:
            lines.append(line)
            if verbose:
                print(line, end="", flush=True)
    return process.returncode, "".join(lines)


def what_went_wrong(said: str) -> str:
    """The lines that matter of what Jupyter Book said."""
    lines = [line for line in said.splitlines() if IMPORTANT.search(line)]
    return "\n".join(lines or said.splitlines()[-20:])


def build(root: Path = ROOT, *, always: bool = False, verbose: bool = False) -> bool:
    """Build the site, unless it is up to date.

    Args:
        root: The folder with ``_config.yml``.
        always: Build even if nothing has changed.
        verbose: Show all that Jupyter Book says.

    Returns:
        Whether the site is there and whole.
    """
    with one_at_a_time(root):
        if not always and is_current(root):
            print("The book is up to date.")
            return True
        stamp, work, site = stamp_of(root), root / "_build/work", root / "_build/html"
        shutil.rmtree(work, ignore_errors=True)
        stamp.path.unlink(missing_ok=True)
        print("Building the book …", flush=True)
        start = time.monotonic()
        status, said = run_jupyter_book(root, work, verbose=verbose)
        if status != 0:
            print(what_went_wrong(said), file=sys.stderr)
            print("\nmake: the book was not built; see the lines above.", file=sys.stderr)
            return False
        shutil.rmtree(site, ignore_errors=True)
        (work / "_build/html").rename(site)
        shutil.rmtree(work, ignore_errors=True)
        stamp.set()
        size = sum(file.stat().st_size for file in site.rglob("*") if file.is_file())
        print(f"Built in {time.monotonic() - start:.0f} s, {size / 1e6:.1f} MB.")
        return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, and say where the site is."""
    parser = argparse.ArgumentParser(prog="python -m tools.build_site")
    parser.add_argument("--always", action="store_true", help="build even if nothing changed")
    parser.add_argument("--verbose", action="store_true", help="show all that Sphinx says")
    options = parser.parse_args(arguments)
    if not build(always=options.always, verbose=options.verbose):
        return 1
    print(f"Open {ROOT / '_build/html/index.html'}, or run `make serve`.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
