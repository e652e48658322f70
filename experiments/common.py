"""What the long experiments share: run every arm with every seed, lose nothing, store it.

A script describes its arms and how one of them is run, and hands both to ``main``. Each finished
run is written at once, so that a script which was stopped goes on where it was. What it stores,
``cnnlib.book.stored_runs`` reads.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cnnlib import fetch

SEEDS = (0, 1, 2, 3, 4)
RUNS = Path(__file__).parents[1] / "cnnlib" / "assets" / "runs"

Arm = dict[str, Any]


def main(
    name: str,
    arms: list[Arm],
    run: Callable[[Arm, int], dict[str, Any]],
    about: dict[str, str],
    *,
    seeds: Sequence[int] = SEEDS,
    show: tuple[str, ...] = ("train_error", "test_error"),
) -> None:
    """Run all arms and write ``cnnlib/assets/runs/NAME.json``.

    Args:
        name: of the script and of the file that it writes.
        arms: each with ``name``, ``options`` (what makes its network), ``loss``, ``recipe`` (a
            ``cnnlib.train.Recipe``) and ``parameters``; what else it has is stored too, if it can
            be written as JSON.
        run: a function of the script's top level: an arm and a seed -> what was measured, as JSON.
        about: the protocol and the meaning of every key, stored beside the numbers.
        seeds: one run for each.
        show: measured numbers to print as percentages.
    """
    parser = argparse.ArgumentParser(description=f"Run the experiment {name}.")
    parser.add_argument("--processes", type=int, default=1, help="trainings at a time")
    parser.add_argument("--output", type=Path, default=RUNS / f"{name}.json")
    parser.add_argument("--arms", nargs="+", help="run only these, anew")
    arguments = parser.parse_args()
    known = [arm["name"] for arm in arms]
    if unknown := set(arguments.arms or ()) - set(known):
        parser.error(f"unknown arms {sorted(unknown)}; there are {known}")

    path, partial = arguments.output, arguments.output.with_suffix(".partial.json")
    done = _finished(path, partial, known, again=set(arguments.arms or known))
    os.environ["OMP_NUM_THREADS"] = "1"  # inherited by the processes
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.processes, mp_context=spawn) as pool:
        waiting = {
            pool.submit(run, arm, seed): (arm["name"], seed)
            for arm in arms
            for seed in seeds
            if str(seed) not in done[arm["name"]]
        }
        for future in as_completed(waiting):
            arm_name, seed = waiting[future]
            done[arm_name][str(seed)] = {"seed": seed} | future.result()
            fetch.write(json.dumps(done).encode(), partial)
            print(f"{arm_name}, seed {seed}: {_short(done[arm_name][str(seed)], show)}", flush=True)

    versions = {package: version(package) for package in ("torch", "accelerate", "cnnlib")}
    record = {
        "about": about,
        "versions": versions | {"python": platform.python_version()},
        "arms": [
            arm
            | {
                "recipe": arm["recipe"].to_dict(),
                "runs": [done[arm["name"]][str(seed)] for seed in seeds],
            }
            for arm in arms
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    fetch.write((_readable(record) + "\n").encode(), path)
    partial.unlink(missing_ok=True)
    for arm in record["arms"]:
        print(f"{arm['name']:40}{_spread(arm['runs'], show)}")
    print(f"written to {path}")


def _finished(
    path: Path, partial: Path, known: list[str], again: set[str]
) -> dict[str, dict[str, Any]]:
    """Runs that need not be repeated, by arm and seed.

    They are those of an interrupted call, and the stored ones of arms that were not asked for.
    """
    done: dict[str, dict[str, Any]] = {name: {} for name in known}
    if path.is_file():
        for arm in json.loads(path.read_text())["arms"]:
            if arm["name"] in done and arm["name"] not in again:
                done[arm["name"]] = {str(run["seed"]): run for run in arm["runs"]}
    if partial.is_file():
        for name, runs in json.loads(partial.read_text()).items():
            if name in done:
                done[name] |= runs
    return done


def _readable(record: dict[str, Any]) -> str:
    """JSON with a line for every run: small, and a change of one run shows as one line."""
    arms = [
        json.dumps({key: value for key, value in arm.items() if key != "runs"})[:-1]
        + ', "runs": [\n  '
        + ",\n  ".join(map(json.dumps, arm["runs"]))
        + "\n]}"
        for arm in record["arms"]
    ]
    head = json.dumps({key: value for key, value in record.items() if key != "arms"}, indent=1)
    return head[:-2] + ',\n "arms": [\n' + ",\n".join(arms) + "\n]}"


def _short(run: dict[str, Any], show: tuple[str, ...]) -> str:
    return ", ".join(f"{key} {100 * run[key]:.2f} %" for key in show if key in run)


def _spread(runs: list[dict[str, Any]], show: tuple[str, ...]) -> str:
    columns = []
    for key in show:
        values = [100 * run[key] for run in runs if key in run]
        if values:
            sd = statistics.stdev(values)
            columns.append(f"{key} {statistics.mean(values):6.2f} ± {sd:5.2f} %")
    return "  ".join(columns)
