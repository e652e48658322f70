"""The commands that look at networks: list, summary, verify."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import re
from typing import Any

from cnnlib.published import published

from .parser import matching

# list


def add_list(commands: Any) -> None:
    """Adds `list` and its arguments."""
    parser = commands.add_parser("list", help="the networks, with their papers")
    parser.add_argument("pattern", nargs="?", default="*", help="such as 'resnet*'; all without")
    parser.add_argument("--json", action="store_true", help="all that is published of them")
    parser.set_defaults(run=_list)


def _list(given: argparse.Namespace) -> int:
    from cnnlib.papers import paper

    records = [published(name) for name in matching([given.pattern])]
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


def add_summary(commands: Any) -> None:
    """Adds `summary` and its arguments."""
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

    (name,) = matching([given.name], exactly=True)
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


def add_verify(commands: Any) -> None:
    """Adds `verify` and its arguments."""
    parser = commands.add_parser("verify", help="recount networks, compare with what was published")
    parser.add_argument("names", nargs="*", metavar="NAME", help="or a pattern such as 'resnet*'")
    parser.add_argument("--all", action="store_true", help="every network")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=_verify)


def _verify(given: argparse.Namespace) -> int:
    if given.all == bool(given.names):
        raise ValueError("name the networks to verify, or give --all")
    names = matching(["*"] if given.all else given.names)
    from cnnlib.verify import table, verify

    verdicts = [verify(name) for name in names]
    if given.json:
        print(json.dumps([verdict.to_dict() for verdict in verdicts], indent=1))
    else:
        print(table(verdicts))
    return 0 if all(verdict.passed for verdict in verdicts) else 1
