"""The command ``python -m cnnlib``: list, summary, verify.

Each command is a function that adds its arguments to a parser and names the function that runs it;
``COMMANDS`` lists them. What takes long to import is imported when a command runs.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import fnmatch
import inspect
import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from cnnlib.published import networks, published

PROGRAM = "python -m cnnlib"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: those of the command line; ``None`` takes them from ``sys.argv``.

    Returns:
        0; 1 if a check failed; 2 if the arguments made no sense, which one sentence on stderr says.
    """
    parser = _Parser(prog=PROGRAM, description="The networks of the CNN papers, listed and counted")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in COMMANDS:
        add(commands)
    try:
        given = parser.parse_args(arguments)
        code = given.run(given)
        sys.stdout.flush()  # while a reader who has left can still be dealt with
        return code
    except SystemExit as stop:  # of argparse: after --help, or after a sentence on stderr
        return stop.code if isinstance(stop.code, int) else 2
    except (ValueError, TypeError) as error:  # the networks' own words
        print(f"{PROGRAM}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # as in ``python -m cnnlib list | head``
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Ends the program with code 2."""
        if wrong := re.match(r".*invalid choice: '(.*)' \(choose from (.*)\)", message):
            known = re.findall(r"[\w-]+", wrong[2])
            message = f"unknown command {wrong[1]!r}{_nearest(wrong[1], known)}"
        self.exit(2, f"{self.prog}: {message}; --help shows how it is used\n")


# list


def _add_list(commands: Any) -> None:
    parser = commands.add_parser("list", help="the networks, with their papers")
    parser.add_argument("pattern", nargs="?", default="*", help="such as 'resnet*'; all without")
    parser.add_argument("--json", action="store_true", help="all that is published of them")
    parser.set_defaults(run=_list)


def _list(given: argparse.Namespace) -> int:
    from cnnlib.papers import paper

    records = [published(name) for name in _matching([given.pattern])]
    if given.json:
        print(json.dumps([dataclasses.asdict(record) for record in records], indent=1))
        return 0
    width = max(len(record.name) for record in records)
    for record in records:
        source = paper(record.paper)
        size = "×".join(map(str, record.input))
        print(f"{record.name:{width}}  {size:9}  {source.year}  {source.title}")
    return 0


# summary


def _add_summary(commands: Any) -> None:
    parser = commands.add_parser("summary", help="the layers of a network, counted")
    parser.add_argument("name", help="as in the list")
    parser.add_argument("--input", type=_shape, metavar="C,H,W", help="of one image, in pixels")
    parser.add_argument("--classes", type=int, metavar="N", help="number of scores")
    parser.add_argument("--depth", type=int, default=1, metavar="N", help="levels of layers shown")
    parser.add_argument("--memory", action="store_true", help="bytes of outputs, bytes kept")
    parser.add_argument("--training", action="store_true", help="with auxiliary heads")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=_summary)


def _summary(given: argparse.Namespace) -> int:
    from cnnlib.inspection import summarize

    (name,) = _matching([given.name], exactly=True)
    shape = given.input or published(name).input
    summary = summarize(
        _build(name, shape, given.classes),
        shape,
        depth=given.depth,
        training=given.training,
        memory=given.memory,
    )
    print(json.dumps(dataclasses.asdict(summary), indent=1) if given.json else summary)
    return 0


def _build(name: str, shape: tuple[int, int, int], classes: int | None) -> Any:
    """The network for images of this shape, on ``meta``."""
    import torch

    from cnnlib.models import MODELS, create_model

    usual, options = published(name).input, {}
    if shape[1:] != usual[1:] and "image_size" in inspect.signature(MODELS[name][0]).parameters:
        if shape[1] != shape[2]:
            raise ValueError(f"{name} takes square images only; got {shape[1]} x {shape[2]}")
        options["image_size"] = shape[1]
    channels = None if shape[0] == usual[0] else shape[0]
    with torch.device("meta"):
        return create_model(name, num_classes=classes, in_channels=channels, **options)


def _shape(text: str) -> tuple[int, int, int]:
    match = re.fullmatch(r"(\d+)[,x](\d+)[,x](\d+)", text.replace(" ", ""))
    if match is None or 0 in (numbers := tuple(map(int, match.groups()))):
        raise argparse.ArgumentTypeError(
            f"channels, height and width are wanted, such as 3,224,224; got {text!r}"
        )
    channels, height, width = numbers
    return channels, height, width


# verify


def _add_verify(commands: Any) -> None:
    parser = commands.add_parser("verify", help="recount networks, compare with what was published")
    parser.add_argument("names", nargs="*", metavar="NAME", help="or a pattern such as 'resnet*'")
    parser.add_argument("--all", action="store_true", help="every network")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=_verify)


def _verify(given: argparse.Namespace) -> int:
    if given.all == bool(given.names):
        raise ValueError("name the networks to verify, or give --all")
    names = _matching(["*"] if given.all else given.names)
    from cnnlib.verify import table, verify

    verdicts = [verify(name) for name in names]
    if given.json:
        print(json.dumps([verdict.to_dict() for verdict in verdicts], indent=1))
    else:
        print(table(verdicts))
    return 0 if all(verdict.passed for verdict in verdicts) else 1


COMMANDS = (_add_list, _add_summary, _add_verify)


# Names


def _matching(patterns: Iterable[str], *, exactly: bool = False) -> list[str]:
    """Names that match the patterns, each once, in the order of the book.

    Raises:
        ValueError: a pattern or name that matches none.
    """
    found: set[str] = set()
    for pattern in patterns:
        names = fnmatch.filter(networks(), pattern)
        if exactly:
            names = [name for name in names if name == pattern]
        if not names:
            hint = _nearest(pattern, networks()) or f"; {PROGRAM} list shows their names"
            raise ValueError(f"there is no network {pattern!r}{hint}")
        found.update(names)
    return [name for name in networks() if name in found]


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name.lower(), known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
