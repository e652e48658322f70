"""The command by which several processes or machines share one search: search.

All but the words of the command line is in ``cnnlib.search``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from .parser import PROGRAM
from .training import _carefully

OWN = ("run", "words", "storage", "show", "json", "quiet")  # what `cnnlib.search.work` has not


def add_search(commands: Any) -> None:
    """Adds `search` and its arguments. Those that are not given are not there afterwards."""
    parser = commands.add_parser(
        "search",
        help="search for a cell, with as many workers as you start",
        argument_default=argparse.SUPPRESS,
        description="Starts a worker that takes part in a search for a cell, or begins it. Start "
        "as many as you like, on every machine that reaches the study; any may be stopped at any "
        "time, and its trial is done by another.",
    )
    parser.add_argument(
        "storage",
        metavar="STUDY",
        help="where the search is kept: a journal file such as cells.journal; an SQLite file such "
        "as cells.db; or a database, such as postgresql://user@host/name",
    )
    parser.add_argument(
        "--trials", type=int, metavar="N", help="evaluations of all workers together; 40 if new"
    )
    made = parser.add_argument_group(
        "what the search is, if it is new (who joins need not say it again)"
    )
    made.add_argument("--strategy", metavar="NAME", help="evolution, reinforce or random")
    made.add_argument("--objective", metavar="NAME", help="proxy: train each cell; table: look up")
    made.add_argument("--max-parameters", type=int, metavar="N", help="of a network; no cap else")
    made.add_argument("--seed", type=int, metavar="N", help="of all chance; 0 if none is given")
    made.add_argument("--study", metavar="NAME", help="if one storage shall keep several")
    lives = parser.add_argument_group("when a worker counts as dead")
    lives.add_argument("--heartbeat", type=float, metavar="SECONDS", help="between signs of life")
    lives.add_argument("--patience", type=float, metavar="SECONDS", help="without any; 60 else")
    parser.add_argument("--show", action="store_true", help="what was found so far; do no work")
    parser.add_argument("--json", action="store_true", help="for programs: all evaluations")
    parser.add_argument("--quiet", action="store_true", help="say nothing unless it fails")
    parser.set_defaults(run=_search)


def _search(given: argparse.Namespace) -> int:
    arguments = {key: value for key, value in vars(given).items() if key not in OWN}
    quiet, as_json = "quiet" in given, "json" in given

    def work() -> int:
        from cnnlib import search

        if "show" in given:
            if others := sorted(set(arguments) - {"study"}):
                raise ValueError(f"--show does no work, so it takes no {', '.join(others)}")
            found = search.trace(given.storage, **arguments)
        else:
            found = search.work(given.storage, **arguments, progress=not (quiet or as_json))
        if as_json:
            print(json.dumps(found.to_dict()))
        elif not quiet:
            print(found)
        return 0

    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # several workers on one machine
    try:
        return _carefully(work, quiet)
    except ImportError as error:
        if "pip install" not in str(error):
            raise
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
