"""Run chapters under nbval as on other computers: what they print must not depend on it.

    python -m tools.environments                     all chapters, four environments
    python -m tools.environments chapters/01_*.ipynb

Older processors are imitated by telling the libraries to use fewer instructions. Ends with a table
of passed and failed cells and seconds; what failed is shown above it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

# Also as a plain script: `python tools/environments.py`.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools import notebooks

OLD_CPU = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
}
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
# CNNLIB_THREADS is what `cnnlib.book.setup` gives to torch, which else would use one thread.
TWO_THREADS = {"OMP_NUM_THREADS": "2", "CNNLIB_THREADS": "2"}

ENVIRONMENTS = {
    "this processor, 1 thread": {},
    "AVX2": AVX2,
    "old processor": OLD_CPU,
    "2 threads": TWO_THREADS,
}


def run_chapter(path: Path, imitated: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run one chapter under nbval with additional environment variables."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("COV_", "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", str(path)]
    environment = kept | notebooks.DEFAULTS | imitated
    return subprocess.run(
        command, cwd=notebooks.ROOT, env=environment, capture_output=True, text=True
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit status is 0 if every cell passed everywhere."""
    parser = argparse.ArgumentParser(prog="python -m tools.environments", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("chapters", nargs="*", type=Path, help="default: all chapters")
    paths = [p.resolve() for p in parser.parse_args(arguments).chapters] or notebooks.chapters()
    rows, good = [("chapter", "environment", "passed", "failed", "seconds")], True
    for path in paths:
        for name, imitated in ENVIRONMENTS.items():
            begin = time.perf_counter()
            done = run_chapter(path, imitated)
            seconds = time.perf_counter() - begin
            counts = [
                (re.findall(rf"(\d+) {word}", done.stdout) or ["0"])[-1]
                for word in ("passed", "failed")
            ]
            rows.append((path.stem, name, *counts, f"{seconds:.0f}"))
            if done.returncode:
                good = False
                print(f"--- {path.stem}, {name}\n{done.stdout}{done.stderr}", flush=True)
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    for row in rows:
        pairs = list(zip(row, widths, strict=True))
        left = [value.ljust(width) for value, width in pairs[:2]]
        print("  ".join(left + [value.rjust(width) for value, width in pairs[2:]]))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
