"""Workers that are there to be killed, and who kills them: test_shared.py runs this as a program.

    python workers.py FOLDER STORAGE ...         the scenes below, for each storage; a report
    python workers.py FOLDER STORAGE --kills 30  kills workers at random instead

A storage is the name of a file in the folder, or a URL. Every worker is a fork of this process,
which has imported torch and computed nothing: so it starts at once, and yet is a process of its
own with a storage of its own, as one on another machine would be.
"""

import argparse
import json
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cnnlib import search
from cnnlib.search import SmallCell

TRIALS = 12
QUICK: dict[str, Any] = {"heartbeat": 0.1, "patience": 1.0}
LIVING: set[int] = set()  # workers that nobody has waited for


class Watched:
    """An objective that notes who evaluates what, and may hang in its `hangs`-th evaluation."""

    def __init__(self, log: Path, who: str, hangs: int | None = None, seconds: float = 0.02):
        self.log, self.who, self.hangs, self.seconds = log, who, hangs, seconds
        self.calls = 0

    def settings(self) -> dict[str, Any]:
        return {"objective": "watched"}

    def note(self, what: str, cell: SmallCell, seed: int) -> None:
        with self.log.open("a") as log:  # one write of a short line: it comes whole or not at all
            log.write(f"{self.who} {what} {seed} {cell.code}\n")

    def __call__(self, cell: SmallCell, seed: int) -> float:
        self.calls += 1
        self.note("begins", cell, seed)
        time.sleep(600 if self.calls == self.hangs else self.seconds)
        self.note("ends", cell, seed)
        return value(cell, seed)


def value(cell: SmallCell, seed: int) -> float:
    """A figure that depends on cell and seed only."""
    return 0.1 * cell.convolutions + random.Random(f"{cell.code} {seed}").random()


def worker(storage: str, log: Path, who: str, **options: Any) -> int:
    """Starts a worker in a fork; its process id."""
    own = ("trials", "heartbeat", "patience")
    settings = QUICK | {key: options.pop(key) for key in own if key in options}
    child = os.fork()
    if child == 0:
        try:
            logging.disable()
            objective = Watched(log, who, **options)
            search.work(storage, objective=objective, strategy="evolution", **settings)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    LIVING.add(child)
    return child


def lines(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def wait_until(there: Callable[[], bool], what: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not there():
        if time.monotonic() > end:
            raise TimeoutError(f"waited in vain until {what}")
        time.sleep(0.01)


def exit_code(child: int) -> int:
    LIVING.discard(child)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def study_of(storage: str) -> list[dict[str, Any]]:
    """All that the storage itself says of the trials."""
    with search.shared._quiet_optuna(), search.shared._reached(storage) as opened:
        identity = opened.get_study_id_from_name(search.shared.STUDY)
        return [
            {
                "number": trial.number,
                "state": trial.state.name,
                "value": trial.value,
                "params": [trial.params.get(f"edge {s}-{t}") for s, t in search.EDGES],
                "workers": len(trial.user_attrs.get("workers", [])),
                "cell": trial.user_attrs.get("cell"),
            }
            for trial in opened.get_all_trials(identity)
        ]


def report(storage: str, log: Path, codes: list[int]) -> dict[str, Any]:
    return {
        "codes": codes,
        "log": lines(log),
        "trials": study_of(storage),
        "trace": search.trace(storage).to_dict()["steps"],
    }


def killed(storage: str, log: Path) -> dict[str, Any]:
    """Two workers share a search; one is killed in the middle of its third trial."""
    victim = worker(storage, log, "victim", trials=TRIALS, hangs=3)
    wait_until(lambda: len(lines(log)) >= 1, "the victim works")
    other = worker(storage, log, "other")
    begun = ["victim", "begins"]
    wait_until(
        lambda: sum(line[:2] == begun for line in lines(log)) == 3, "the victim hangs in its third"
    )
    os.kill(victim, signal.SIGKILL)
    codes = [exit_code(victim), exit_code(other)]
    return report(storage, log, codes)


def asleep(storage: str, log: Path) -> dict[str, Any]:
    """A worker is stopped in a trial, is taken for dead, and wakes up while the other works on.

    It gives no signs of life meanwhile, so that it is not stopped while it holds a lock, for which
    the other would wait.
    """
    slow = worker(storage, log, "slow", trials=4, seconds=0.5, heartbeat=1000, patience=2000)
    wait_until(lambda: len(lines(log)) >= 1, "the slow one works")
    os.kill(slow, signal.SIGSTOP)
    other = worker(storage, log, "other", seconds=0.5)
    seed = lines(log)[0][2]
    wait_until(lambda: ["other", "ends", seed] in [line[:3] for line in lines(log)], "it is redone")
    os.kill(slow, signal.SIGCONT)
    return report(storage, log, [exit_code(slow), exit_code(other)])


def all_killed(storage: str, log: Path) -> dict[str, Any]:
    """Both workers are killed; a third, later, finds what is left and finishes it."""
    both = [worker(storage, log, who, trials=6, hangs=2) for who in ("first", "second")]
    wait_until(lambda: sum(line[1] == "begins" for line in lines(log)) == 4, "both hang")
    for child in both:
        os.kill(child, signal.SIGKILL)
    codes = [exit_code(child) for child in both]
    return report(storage, log, [*codes, exit_code(worker(storage, log, "third"))])


def at_random(storage: str, log: Path, kills: int) -> dict[str, Any]:
    """Two workers at a time, each killed at some moment, also in the middle of writing."""
    chance = random.Random(0)
    codes, trials = [], 3 * kills
    search.shared.ATTEMPTS = 10**6  # here it is no trial's fault that workers die
    for number in range(kills):
        pair = [worker(storage, log, f"{number}{who}", trials=trials) for who in "ab"]
        time.sleep(chance.uniform(0.0, 0.5))
        for child in pair:
            time.sleep(chance.uniform(0.0, 0.02))
            os.kill(child, signal.SIGKILL)
        codes += [exit_code(child) for child in pair]
    final = [worker(storage, log, who, trials=trials) for who in ("last", "very_last")]
    return report(storage, log, codes + [exit_code(child) for child in final])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("storages", nargs="+")
    parser.add_argument("--kills", type=int)
    given = parser.parse_args()
    found: dict[str, Any] = {}
    for storage in given.storages:
        scenes: dict[str, Callable[..., dict[str, Any]]] = {
            "killed": killed,
            "asleep": asleep,
            "all killed": all_killed,
        }
        if given.kills:
            scenes = {"at random": lambda s, log: at_random(s, log, given.kills)}
        for name, scene in scenes.items():
            plain = name.replace(" ", "_")
            if "://" in storage:  # one database for all: others of a name of their own
                place = f"{storage}{plain}"
            else:
                place = str(given.folder / f"{plain}_{storage}")
            log = given.folder / f"{plain}_{len(found)}.log"
            try:
                found[f"{storage}: {name}"] = scene(place, log)
            finally:
                for child in LIVING:
                    os.kill(child, signal.SIGKILL)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
