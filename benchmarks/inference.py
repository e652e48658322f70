"""How long each published network takes for one image: the measured times of chapter 14.

    python benchmarks/inference.py [--only ImageNet CIFAR-10 MNIST later] [--rounds 9]
                                   [--output FILE]

Every network of the book with a printed error answers one image of the size that the error was
measured at; "later" are three of torchvision's networks that came after. One thread, batch 1,
float32, and the time is that of the processor (``time.process_time``), since other work may go on
beside this. The networks of a group take turns, round after round, so that a slow minute falls on
all of them; medians and quartiles of the rounds are stored, and the first round, for warming up, is
left out. Weights are fresh ones: time does not depend on them. The network that stands for a paper
is measured a second time, as one would use it: batch normalisation folded, and the memory layout
channels_last (`cnnlib.deploy`). Parameters, multiply-adds and activations are counted beside it.

Prints a table and writes ``cnnlib/assets/inference.json``, which `cnnlib.inspection.census` reads;
what was not asked for stays there as it was. Some five minutes of one core and 9 GB of memory.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from common import machine, versions
from torch import nn

from cnnlib import deploy, fetch
from cnnlib.inspection import count_macs, count_parameters
from cnnlib.inspection.census import DATA, count, count_activations, names, tested_input
from cnnlib.inspection.ideas import ideas
from cnnlib.models import create_model
from cnnlib.papers import PAPERS
from cnnlib.papers.later import LATER

OUTPUT = Path(__file__).parents[1] / "cnnlib" / "assets" / "inference.json"
GROUPS = (*DATA.values(), "later")
WAYS = {
    "as_built": "the network as cnnlib (or torchvision) builds it, eager, NCHW",
    "folded": "batch normalisation folded into convolutions, channels_last, eager",
}
Ways = dict[tuple[str, str], Callable[[], None]]


def answering(model: nn.Module, image: torch.Tensor) -> Callable[[], None]:
    """One forward pass in evaluation mode, as a function without arguments."""
    model.eval()

    @torch.inference_mode()
    def run() -> None:
        model(image)

    return run


def contestants(group: str) -> tuple[Ways, dict[str, dict[str, Any]]]:
    """(network, way) -> its forward pass, all in memory to take turns; and what is counted."""
    torch.manual_seed(0)
    if group == "later":
        return _later()
    ways: Ways = {}
    counted = {}
    mains = {paper.network.model for paper in PAPERS.values()}
    for name in names(group):
        model = create_model(name)
        image = torch.randn(1, *tested_input(name))
        counted[name] = {"input": list(image.shape[1:])} | count(name)
        ways[name, "as_built"] = answering(model, image)
        if name in mains:
            nhwc = image.to(memory_format=torch.channels_last)
            folded = deploy.fuse(model.eval()).to(memory_format=torch.channels_last)
            ways[name, "folded"] = answering(folded, nhwc)
    return ways, counted


def _later() -> tuple[Ways, dict[str, dict[str, Any]]]:
    import torchvision

    ways: Ways = {}
    counted = {}
    for network in LATER:
        shape = (3, network.side, network.side)
        sized = {"image_size": network.side} if network.torchvision.startswith("vit") else {}
        model = torchvision.models.get_model(network.torchvision, **sized)
        counted[network.name] = {
            "input": list(shape),
            "parameters": count_parameters(model),
            "macs": count_macs(model, shape),
            "activations": count_activations(model, shape),
            "ideas": ideas(model, shape),
        }
        ways[network.name, "as_built"] = answering(model, torch.randn(1, *shape))
    return ways, counted


def in_rounds(ways: Ways, rounds: int) -> dict[tuple[str, str], list[float]]:
    """Processor seconds of each, one per round, all taking turns; the first round is left out."""
    seconds: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
    for turn in range(rounds + 1):
        for way, run in ways.items():
            start = time.process_time()
            run()
            if turn > 0:
                seconds[way].append(time.process_time() - start)
        print(f"round {turn} of {rounds}", flush=True)
    return seconds


def summary(seconds: list[float]) -> dict[str, float]:
    """Median and quartiles in milliseconds."""
    low, middle, high = statistics.quantiles(seconds, n=4)
    return {
        name: round(1000 * value, 2)
        for name, value in (("median", middle), ("low", low), ("high", high))
    }


def stored(path: Path) -> dict[str, dict[str, Any]]:
    """What an earlier call has written, by group; empty if there was none."""
    known = json.loads(path.read_text()) if path.is_file() else {}
    groups: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
    for name, row in known.get("networks", {}).items():
        groups[next(group for group in DATA.values() if name in names(group))][name] = row
    return groups | {"later": known.get("later", {})}


def written(content: dict[str, Any]) -> str:
    """JSON with a line for every network."""
    lists = ("networks", "later")
    head = json.dumps({k: v for k, v in content.items() if k not in lists}, indent=1)[:-2]
    for key in lists:
        rows = [f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in content[key].items()]
        head += f',\n "{key}": {{\n' + ",\n".join(rows) + "\n }"
    return head + "\n}\n"


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    groups = stored(arguments.output)
    for group in arguments.only:
        ways, rows = contestants(group)
        for (name, way), seconds in in_rounds(ways, arguments.rounds).items():
            rows[name][way] = summary(seconds)
        groups[group] = rows
        for name, row in rows.items():
            times = (f"{way} {row[way]['median']:9.2f}" for way in WAYS if way in row)
            print(f"{name:28}{row['macs']:15,}", *times, flush=True)
    content = {
        "about": "Milliseconds of processor time for one image, one thread, batch 1, float32: "
        "median and quartiles over rounds in which all networks of a group take turns (ImageNet; "
        "CIFAR-10; MNIST; later). Other work went on on the same machine.",
        "ways": WAYS,
        "machine": machine(),
        "rounds": arguments.rounds,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": versions("torch", "torchvision", "cnnlib"),
        "networks": {name: row for group in DATA.values() for name, row in groups[group].items()},
        "later": groups["later"],
    }
    fetch.write(written(content).encode(), arguments.output)


if __name__ == "__main__":
    main()
