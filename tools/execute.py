"""Run chapters in fresh kernels and store their outputs: the only way outputs get into the book.

    python -m tools.execute                     all chapters
    python -m tools.execute chapters/01_*.ipynb some of them
    python -m tools.execute --check             compare with what is stored, write nothing
    python -m tools.execute --measure           also renew the run times that cards and footers show

Running twice gives the same bytes: one environment for all kernels, no timestamps, and the random
ids of widgets are replaced by numbers. A chapter that fails keeps the outputs that it had. Run
times differ from run to run, so they are stored only on request, beside the library's data. With
``--measure`` each chapter runs twice: alone, to be timed, and then to store what it prints.
"""

from __future__ import annotations

import argparse
import datetime
import difflib
import importlib.metadata
import json
import multiprocessing
import platform
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

# Also as a plain script: `python tools/execute.py`.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools import light_charts, notebooks, setup_cell

MEASUREMENTS = notebooks.ROOT / "cnnlib" / "assets" / "measurements.json"
SHOWN_LINES = 60  # of the difference that --check finds


def fresh_text(path: Path, timeout: int = 600) -> tuple[str, float]:
    """Run a chapter as it stands in its file.

    Returns:
        The text of the file with fresh outputs, and the seconds from first cell to last.

    Raises:
        CellFailed: a cell failed.
        ValueError: the file is not a notebook.
    """
    notebook = notebooks.read(path)
    setup_cell.put_into(notebook)
    seconds = notebooks.run(notebook, path.parent, timeout=timeout)
    return notebooks.dumps(light_charts.lighten(notebooks.normalised(notebook))), seconds


def store_measurements(seconds: dict[str, float], path: Path = MEASUREMENTS) -> None:
    """Add run times of chapters, and what they were measured on, to the stored ones."""
    known = json.loads(path.read_text()) if path.is_file() else {}
    for chapter, value in seconds.items():
        known[chapter] = {
            "seconds": round(value),
            "device": "CPU, one thread",
            "date": datetime.date.today().isoformat(),
            "python": platform.python_version(),
            "torch": importlib.metadata.version("torch"),
        }
    notebooks.write_atomically(path, json.dumps(known, indent=2, sort_keys=True) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit status is 0 if every chapter ran (and, with ``--check``, is unchanged)."""
    options = _options(arguments)
    paths = [path.resolve() for path in options.chapters] or notebooks.chapters()
    missing = [path for path in paths if not path.is_file()]
    if missing or not paths:
        print(f"no such chapter: {', '.join(map(str, missing)) or notebooks.CHAPTERS}")
        return 2
    try:
        if options.measure and not _measure(paths, options):
            return 1
        return 0 if _run_all(paths, options) else 1
    except KeyboardInterrupt:
        print("interrupted; chapters that were still running keep the outputs they had")
        return 130


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.execute", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("chapters", nargs="*", type=Path, help="notebooks; default: all chapters")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="chapters at a time (2)")
    parser.add_argument("--timeout", type=int, default=600, help="seconds per cell (600)")
    parser.add_argument("--measurements", type=Path, default=MEASUREMENTS, help=argparse.SUPPRESS)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--check", action="store_true", help="write nothing, show what would change")
    group.add_argument("--measure", action="store_true", help="also measure and store run times")
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error(f"--jobs must be at least 1, got {options.jobs}")
    return options


def _measure(paths: list[Path], options: argparse.Namespace) -> bool:
    """Time each chapter with nothing beside it; nothing is stored unless all of them ran."""
    seconds = {}
    for path in paths:
        try:
            seconds[path.stem] = fresh_text(path, options.timeout)[1]
        except (notebooks.CellFailed, ValueError) as error:
            print(f"FAILED    {path.name}: {error}")
            return False
        print(f"measured  {path.name}: {seconds[path.stem]:.1f} s", flush=True)
    store_measurements(seconds, options.measurements)
    return True


def _run_all(paths: list[Path], options: argparse.Namespace) -> bool:
    """Run chapters side by side; store (or compare) each as soon as it is done."""
    good = True
    # Processes, not threads: Ctrl-C then reaches every kernel. Forking would copy event loops.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(options.jobs, len(paths)), mp_context=context) as pool:
        jobs = {pool.submit(_timed, path, options.timeout): path for path in paths}
        for job in as_completed(jobs):
            path = jobs[job]
            try:
                text, seconds = job.result()
            except (notebooks.CellFailed, ValueError) as error:
                good = False
                print(f"FAILED    {path.name}: {error}\n")
                continue
            stored = path.read_text(encoding="utf-8")
            if text == stored:
                print(f"unchanged {path.name} ({seconds:.0f} s)", flush=True)
            elif options.check:
                good = False
                print(f"DIFFERS   {path.name} ({seconds:.0f} s)\n{_difference(stored, text)}")
            else:
                notebooks.write_atomically(path, text)
                print(f"stored    {path.name} ({seconds:.0f} s)", flush=True)
    return good


def _timed(path: Path, timeout: int) -> tuple[str, float]:
    begin = time.perf_counter()
    text, _ = fresh_text(path, timeout)
    return text, time.perf_counter() - begin


def _difference(stored: str, fresh: str) -> str:
    lines = difflib.unified_diff(
        stored.splitlines(), fresh.splitlines(), "stored", "fresh", n=2, lineterm=""
    )
    short = [line if len(line) <= 160 else f"{line[:160]}…" for line in lines]
    more = len(short) - SHOWN_LINES
    return "\n".join(short[:SHOWN_LINES] + [f"… and {more} more lines"] * (more > 0))


if __name__ == "__main__":
    sys.exit(main())
