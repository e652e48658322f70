"""How good is every cell? The table of the small cell space, for chapter 12.

    python -m experiments.cell_space [--processes 2] [--output FILE] [--cells CODE ...]

Trains the network of each of the 291 cells with three seeds, by the protocol of
``cnnlib.search.Proxy.small``, in float32, and a few of them in float64 too, in which the chapter
and the tests can repeat a training and find the same digits. Each result is written at once: a
script that was killed goes on where it was. Some 8 minutes of one core. Read by
``cnnlib.search.load_table``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cnnlib import fetch

SEEDS = (0, 1, 2)
EXACT = ("-----", "-i--i", "-i--c", "cc-pp", "ciicc", "ccccc")  # in float64 too, with seed 0
OUTPUT = Path(__file__).parents[1] / "cnnlib" / "assets" / "cells.json"

ABOUT = {
    "protocol": (
        "fashion_6k, training split, pooled to 14 x 14 pixels: of each class the first 100 images "
        "to learn from and the next 200 to validate on, normalised by the former; network: stem of "
        "8 channels, cell, convolution of stride 2 to 16 channels, cell, mean of each map; weights "
        "drawn in float64; float32, one thread, CPU. A run is cnnlib.search.Proxy.small().measure("
        "cell, seed)"
    ),
    "cells": (
        "one line for each distinct cell. cell: its canonical encoding, a letter for each of the "
        "edges 0-1, 0-2, 1-2, 1-3, 2-3 (- none, i identity, c 3x3 convolution, p average pooling); "
        "encodings: how many of the 1,024 are this cell; parameters and macs (multiply-adds for "
        "one image) of its network; then, for each seed, accuracy and mean loss on the validation "
        "images, and seconds of CPU for training and validation, on a shared machine"
    ),
    "exact": "runs in float64 with seed 0, which other computers repeat to about ten digits",
}

Key = tuple[str, str, int]  # code of the cell, dtype, seed


def run(key: Key) -> dict[str, float]:
    """One training."""
    import torch

    from cnnlib.search import Proxy, SmallCell

    code, dtype, seed = key
    torch.set_num_threads(1)
    measured = Proxy.small(getattr(torch, dtype)).measure(SmallCell.from_code(code), seed)
    return measured._asdict()


def main(words: Sequence[str] | None = None) -> None:
    """Runs what is missing and writes the table."""
    from cnnlib.search import SPACE

    known = [cell.code for cell in SPACE.cells()]
    parser = argparse.ArgumentParser(description="Train every cell of the small space.")
    parser.add_argument("--processes", type=int, default=1, help="trainings at a time")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--cells", nargs="+", metavar="CODE", help="run only these, anew")
    given = parser.parse_args(words)
    if unknown := set(given.cells or ()) - set(known):
        parser.error(f"unknown cells {sorted(unknown)}; a canonical code is such as {known[-1]}")

    wanted: list[Key] = [(code, "float32", seed) for code in known for seed in SEEDS]
    wanted += [(code, "float64", 0) for code in EXACT]
    partial = given.output.with_suffix(".partial.json")
    done = finished(given.output, partial, again=set(given.cells or known))
    os.environ["OMP_NUM_THREADS"] = "1"  # inherited by the processes
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(given.processes, mp_context=spawn) as pool:
        waiting = {pool.submit(run, key): key for key in wanted if key not in done}
        for future in as_completed(waiting):
            key = waiting[future]
            done[key] = future.result()
            listed = [[*key, result] for key, result in done.items()]
            fetch.write(json.dumps(listed).encode(), partial)
            print(*key, f"accuracy {100 * done[key]['accuracy']:.2f} %", flush=True)

    fetch.write((readable(record(known, done)) + "\n").encode(), given.output)
    partial.unlink(missing_ok=True)
    print(f"written to {given.output}")


def finished(path: Path, partial: Path, again: set[str]) -> dict[Key, dict[str, float]]:
    """Runs that need not be repeated: of an interrupted call, and of cells not asked for."""
    done: dict[Key, dict[str, float]] = {}
    if path.is_file():
        stored = json.loads(path.read_text())
        for row in stored["cells"]:
            if row["cell"] not in again:
                for place, seed in enumerate(stored["seeds"]):
                    done[row["cell"], "float32", seed] = {
                        name: row[name][place] for name in ("accuracy", "loss", "seconds")
                    }
        for row in stored["exact"]:
            if row["cell"] not in again:
                values = {name: row[name] for name in ("accuracy", "loss", "seconds")}
                done[row["cell"], "float64", row["seed"]] = values
    if partial.is_file():
        done |= {
            (c, dtype, seed): found for c, dtype, seed, found in json.loads(partial.read_text())
        }
    return done


def record(known: list[str], done: dict[Key, dict[str, float]]) -> dict[str, Any]:
    """All that the table holds."""
    from cnnlib.inspection import count_macs
    from cnnlib.search import CellNetwork, Proxy, SmallCell, count_parameters

    rows = []
    for code in known:
        cell = SmallCell.from_code(code)
        runs = [done[code, "float32", seed] for seed in SEEDS]
        rows.append(
            {
                "cell": code,
                "encodings": len(cell.encodings()),
                "parameters": count_parameters(cell),
                "macs": count_macs(CellNetwork(cell), (1, 14, 14)),
                "accuracy": [round(run["accuracy"], 4) for run in runs],
                "loss": [round(run["loss"], 5) for run in runs],
                "seconds": [round(run["seconds"], 2) for run in runs],
            }
        )
    exact = []
    for code in EXACT:
        run = done[code, "float64", 0]
        values = {"accuracy": round(run["accuracy"], 4), "loss": run["loss"]}
        exact.append({"cell": code, "seed": 0} | values | {"seconds": round(run["seconds"], 2)})
    packages = ("torch", "accelerate", "cnnlib")
    return {
        "about": ABOUT,
        "versions": {name: version(name) for name in packages}
        | {"python": platform.python_version()},
        "seeds": list(SEEDS),
        "settings": Proxy.small().settings(),
        "exact": exact,
        "cells": rows,
    }


def readable(stored: dict[str, Any]) -> str:
    """JSON with a line for every cell."""
    head = json.dumps({key: stored[key] for key in stored if key != "cells"}, indent=1)
    return head[:-2] + ',\n "cells": [\n' + ",\n".join(map(json.dumps, stored["cells"])) + "\n]}"


if __name__ == "__main__":
    main()
