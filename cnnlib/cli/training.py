"""The commands that train networks and measure what came of it: train, evaluate.

All but the words of the command line is in ``cnnlib.runs``.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .parser import PROGRAM, matching

OWN = ("run", "words", "resume", "quiet")  # what only the command knows


# train


def add_train(commands: Any) -> None:
    """Adds `train` and its arguments. Those that are not given are not there afterwards."""
    parser = commands.add_parser(
        "train",
        help="train a network on images",
        argument_default=argparse.SUPPRESS,
        description="Trains a network and keeps everything in a folder: weights, history, curves, "
        "and what they came about with.",
    )
    parser.add_argument("network", nargs="?", metavar="NAME", help="as in the list")
    parser.add_argument(
        "--data",
        help="cifar10, fashion_mnist, mnist, fashion_6k, mnist_5k, imagenette, imagefolder:PATH or "
        "shards:PATTERN",
    )
    recipe = parser.add_argument_group("how to train")
    recipe.add_argument("--recipe", help="fast (if none is given) or paper, that of the paper")
    recipe.add_argument("--epochs", type=int, metavar="N", help="instead of those of the recipe")
    recipe.add_argument("--lr", type=float, metavar="RATE", help="highest learning rate, likewise")
    recipe.add_argument("--batch-size", type=int, metavar="N", help="images per step, likewise")
    recipe.add_argument("--micro-batch", type=int, metavar="N", help="images at a time, of a batch")
    recipe.add_argument("--seed", type=int, metavar="N", help="of all chance; 0 if none is given")
    recipe.add_argument(
        "--option",
        dest="options",
        action="append",
        type=_option,
        metavar="KEY=VALUE",
        help="of the network, such as stem=small; as often as needed",
    )
    recipe.add_argument("--size", type=int, metavar="PIXELS", help="to which images are scaled")
    recipe.add_argument("--limit", type=int, metavar="N", help="images of each split, for trying")
    on = parser.add_argument_group("on what")
    on.add_argument("--device", choices=("auto", "cpu", "cuda"))
    on.add_argument("--precision", choices=("no", "bf16", "fp16"), help="mixed precision")
    on.add_argument("--channels-last", action="store_true", help="often faster")
    on.add_argument("--compile", action="store_true", help="by torch.compile")
    into = parser.add_argument_group("into what")
    into.add_argument("--out", metavar="FOLDER", help="runs/NAME-DATA-seedN if none is given")
    into.add_argument("--resume", action="store_true", help="go on with the training in --out")
    into.add_argument("--checkpoint-every", type=float, metavar="SECONDS", help="60 if not given")
    into.add_argument("--tensorboard", action="store_true", help="write events for it, too")
    into.add_argument("--quiet", action="store_true", help="say nothing unless it fails")
    parser.set_defaults(run=_train)


def _option(text: str) -> tuple[str, Any]:
    """KEY=VALUE, the value in JSON; what is no JSON is a word."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"KEY=VALUE is wanted, such as stem=small; got {text!r}")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _train(given: argparse.Namespace) -> int:
    arguments = {key: value for key, value in vars(given).items() if key not in OWN}
    if "options" in arguments:
        arguments["options"] = dict(arguments["options"])
    if "network" in arguments:
        matching([arguments["network"]], exactly=True)
    quiet, again = "quiet" in given, "resume" in given
    if again and "out" not in arguments:
        raise ValueError("--resume goes on with a run: say which one by --out FOLDER")
    if not again:
        for name, how in (("network", "a network is wanted"), ("data", "--data is wanted")):
            if name not in arguments:
                raise ValueError(f"{how}, as in: {PROGRAM} train lenet5 --data mnist_5k")

    def work() -> int:
        from cnnlib import runs

        common = {"progress": not quiet, "command": shlex.join([*PROGRAM.split(), *given.words])}
        if again:
            run = runs.resume(arguments.pop("out"), **arguments, **common)
        else:
            run = runs.train(arguments.pop("network"), arguments.pop("data"), **arguments, **common)
        if not quiet and os.environ.get("RANK", "0") == "0":
            print(_closing(run))
        return 0

    return _carefully(work, quiet)


def _closing(run: Any) -> str:
    """Where the results are, how good they are, and what comes next."""
    final, data, epochs = run.history.final, run.config["data"], len(run.history.rows)
    return (
        f"{run.folder}: test error {100 * final['test_error']:.2f} % "
        f"(n = {data['test']['images']:,}) after {epochs} epoch{'s' * (epochs > 1)} in "
        f"{_duration(run.history.seconds)}; {PROGRAM} evaluate {shlex.quote(str(run.folder))}"
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


# evaluate


def add_evaluate(commands: Any) -> None:
    """Adds `evaluate` and its arguments."""
    parser = commands.add_parser("evaluate", help="measure a trained network")
    parser.add_argument("folder", metavar="RUN", help="the folder that train has written")
    parser.add_argument("--data", help="other data with the same classes, all of them")
    parser.add_argument("--split", choices=("test", "train"), default="test")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=_evaluate)


def _evaluate(given: argparse.Namespace) -> int:
    def work() -> int:
        from cnnlib import runs

        found = runs.evaluate(given.folder, data=given.data, split=given.split, device=given.device)
        if given.json:
            print(json.dumps(found, indent=1))
            return 0
        errors = f"top-1 error {100 * found['error']:.2f} %"
        if "top5_error" in found:
            errors += f", top-5 error {100 * found['top5_error']:.2f} %"
        print(
            f"{found['network']} on {found['data']}, {found['split']} split: "
            f"loss {found['loss']:.4f}, {errors} (n = {found['n']:,}; {found['protocol']})"
        )
        return 0

    return _carefully(work, quiet=True)


# Both


def _carefully(work: Callable[[], int], quiet: bool) -> int:
    """Runs a command; whatever stops it gets a sentence and a code."""
    try:
        with _notes(quiet):
            return work()
    except KeyboardInterrupt as stop:
        words, code = str(stop) or "stopped before the training began; nothing is kept", 130
        if os.environ.get("RANK", "0") != "0":  # the first process says it for all
            return code
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        words, code = f"{error.filename}: {reason}" if error.filename else reason, 2
    except RuntimeError as error:
        if not _known(error):
            raise
        words, code = str(error), 1
    print(f"{PROGRAM}: {' '.join(words.split())}", file=sys.stderr)
    return code


def _known(error: RuntimeError) -> bool:
    from cnnlib import runs

    return isinstance(error, runs.Failed | runs.NoData)


@contextmanager
def _notes(quiet: bool) -> Iterator[None]:
    """Shows on stderr what the library remarks."""
    log = logging.getLogger("cnnlib")
    if quiet or os.environ.get("RANK", "0") != "0":
        yield
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    level, passes_on = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = passes_on
