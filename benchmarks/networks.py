"""Training steps, inference and memory of our networks beside torchvision's and timm's.

    python benchmarks/networks.py [--only NAME ...] [--batch 4] [--passes 5] [--threads 1]

For each network that the libraries share, at the same function (checked: the same weights give the
same scores), batch, image size and number of threads. Theirs run as their documentation shows: the
eager module, NCHW, ``torch.optim.SGD``; inference in ``torch.inference_mode``. Ours choose what
cannot change a result: memory layout (channels_last), the fused form of the optimiser, and for
inference `cnnlib.deploy.optimize`. The ways take turns, one after the other, and the median of the
turns' ratios is reported, since other work on the machine disturbs single ones. Time is that of the
processor with one thread, of the clock with several. Memory is what the process's peak grows by in
one training step, in a fresh process each.

Prints a table, and writes ``benchmarks/results/networks.json`` and ``networks.svg``.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from common import machine
from torch import Tensor, nn
from torch.nn import functional as F

from cnnlib import deploy, renaming
from cnnlib.models import create_model
from cnnlib.models.densenet import without_copies

RESULTS = Path(__file__).with_name("results")
SIZE = 224


@dataclass(frozen=True)
class Shared:
    """A network that torchvision has too, and under which name timm has it, if it does."""

    ours: str
    torchvision: str
    timm: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


NETWORKS = [
    Shared("alexnet_owt", "alexnet", options={"image_size": SIZE}),
    Shared("vgg_d", "vgg16", "vgg16"),
    Shared("vgg_d_bn", "vgg16_bn", "vgg16_bn"),
    Shared("googlenet_bn", "googlenet"),
    Shared("resnet18", "resnet18", "resnet18"),
    Shared("resnet50_v1_5", "resnet50", "resnet50"),
    Shared("squeezenet1_1", "squeezenet1_1"),
    Shared("densenet121", "densenet121", "densenet121"),
    Shared("resnext50_32x4d", "resnext50_32x4d", "resnext50_32x4d"),
    Shared("mobilenet_v2_1", "mobilenet_v2", "mobilenetv2_100"),
    Shared("mobilenet_v3_large_1", "mobilenet_v3_large", "mobilenetv3_large_100"),
    Shared("efficientnet_b0", "efficientnet_b0", "efficientnet_b0"),
]
LIBRARIES = ("torchvision", "timm")


def build(network: Shared, library: str) -> nn.Module | None:
    """A network with fresh weights, in training mode; None if the library has none."""
    torch.manual_seed(0)
    if library == "torchvision":
        import torchvision

        heads = {"aux_logits": False, "init_weights": False}
        extra = heads if network.torchvision == "googlenet" else {}
        return torchvision.models.get_model(network.torchvision, **extra)
    if library == "timm":
        import timm

        return timm.create_model(network.timm) if network.timm else None
    return create_model(network.ours, **network.options)


def same_function(ours: nn.Module, theirs: nn.Module, network: Shared) -> None:
    """Gives ours their weights and stops the benchmark unless the scores are the same."""
    ours.load_state_dict(renaming.from_torchvision(ours, theirs.state_dict()))
    images = torch.randn(1, 3, SIZE, SIZE)
    with torch.inference_mode():
        expected, actual = theirs.eval()(images), ours.eval()(images)
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-3)


def training_step(model: nn.Module, images: Tensor, **options: Any) -> Callable[[], None]:
    """One step of SGD with momentum, as a function without arguments."""
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9, **options)
    labels = torch.arange(len(images))
    model.train()

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()

    return step


def inference(model: Callable[[Tensor], Tensor], images: Tensor) -> Callable[[], None]:
    """One forward pass, as a function without arguments."""

    @torch.inference_mode()
    def run() -> None:
        model(images)

    return run


def in_turns(
    ways: dict[str, Callable[[], None]], passes: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Seconds of each way in each pass; the first pass, for warming up, is left out."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(passes + 1):
        for way, run in ways.items():
            start = clock()
            run()
            if turn > 0:
                seconds[way].append(clock() - start)
    return seconds


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Median over the turns of ours / theirs: a slow minute slows both sides of a turn."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def measure(network: Shared, batch: int, passes: int, threads: int) -> dict[str, Any]:
    """One row of the table: milliseconds per image of each way, and ratios."""
    clock = time.process_time if threads == 1 else time.perf_counter
    images = torch.randn(batch, 3, SIZE, SIZE)
    nhwc = images.to(memory_format=torch.channels_last)
    ours = build(network, "cnnlib")
    theirs = {name: m for name in LIBRARIES if (m := build(network, name)) is not None}
    same_function(ours, theirs["torchvision"], network)

    ways = {name: inference(model.eval(), images) for name, model in theirs.items()}
    ways["eager"] = inference(ours.eval(), images)
    ways["folded"] = inference(deploy.fuse(ours), images)
    ways["channels_last"] = inference(deploy.optimize(ours, images, backend="eager"), images)
    if network.ours.startswith("densenet"):
        ways["without copies"] = inference(without_copies(ours), nhwc)
    ways["deployed"] = inference(deploy.optimize(ours, images), images)
    answering = in_turns(ways, passes, clock)
    del ways

    steps = {name: training_step(model, images) for name, model in theirs.items()}
    ours.to(memory_format=torch.channels_last)
    steps["cnnlib"] = training_step(ours, nhwc, fused=True)
    training = in_turns(steps, passes, clock)

    def per_image(seconds: dict[str, list[float]]) -> dict[str, float]:
        return {
            way: round(1000 * statistics.median(spent) / batch, 2) for way, spent in seconds.items()
        }

    def beside(seconds: dict[str, list[float]], way: str) -> dict[str, float]:
        return {
            name: round(ratio(seconds[way], seconds[name]), 3)
            for name in LIBRARIES
            if name in seconds
        }

    return {
        "network": network.ours,
        "training": {
            "milliseconds_per_image": per_image(training),
            "ratio": beside(training, "cnnlib"),
        },
        "inference": {
            "milliseconds_per_image": per_image(answering),
            "ratio": {way: beside(answering, way) for way in answering if way not in LIBRARIES},
        },
    }


def peak_growth(network: Shared, library: str, batch: int) -> int:
    """Bytes by which the peak of this process grows in its first training step."""
    model = build(network, library)
    if model is None:
        raise ValueError(f"{library} has no {network.ours}")
    images, fused = torch.randn(batch, 3, SIZE, SIZE), library == "cnnlib"
    if fused:
        images = images.to(memory_format=torch.channels_last)
        model.to(memory_format=torch.channels_last)
    before = _status("VmRSS")
    training_step(model, images, fused=fused)()
    return _status("VmHWM") - before


def _status(entry: str) -> int:
    """Bytes that this process holds now (VmRSS) or held at its peak (VmHWM), as Linux counts."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{entry}:"))
    return int(line.split()[1]) * 1024


def memory(network: Shared, library: str, batch: int, **options: Any) -> int:
    """`peak_growth` in a process of its own.

    There every tensor is memory mapped for it alone and given back with it, so that the peak is
    that of the tensors alive together and not of what the allocator keeps for later.
    """
    command = [sys.executable, __file__, "--memory", network.ours, library, json.dumps(options)]
    printed = subprocess.run(
        [*command, "--batch", str(batch)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"},
    )
    return int(printed.stdout.split()[-1])


def geometric_mean(values: list[float]) -> float:
    """The mean that treats a ratio and its inverse alike."""
    return math.exp(statistics.fmean(map(math.log, values)))


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Geometric means over the networks, and the worst of each."""
    kinds = {
        "training": lambda row: row["training"]["ratio"],
        "inference, eager": lambda row: row["inference"]["ratio"]["eager"],
        "inference, folded": lambda row: row["inference"]["ratio"]["folded"],
        "inference, channels_last": lambda row: row["inference"]["ratio"]["channels_last"],
        "inference, deployed": lambda row: row["inference"]["ratio"]["deployed"],
    }
    return {
        kind: {
            library: {
                "geometric_mean": round(geometric_mean(list(found.values())), 3),
                "worst": max(found, key=found.__getitem__),
                "worst_ratio": max(found.values()),
            }
            for library in LIBRARIES
            if (found := {r["network"]: of(r)[library] for r in rows if library in of(r)})
        }
        for kind, of in kinds.items()
    }


def table(record: dict[str, Any]) -> str:
    """The record as Markdown."""
    lines = [
        f"{record['about']}. {record['machine']}, batch {record['batch']}, {SIZE} x {SIZE} pixels, "
        f"{record['threads']} thread(s), median of {record['passes']} turns; "
        + ", ".join(f"{name} {number}" for name, number in record["versions"].items())
        + ".",
        "",
        "Ratios below 1: ours takes less time.",
        "",
        "| network | training step / torchvision | / timm | inference, eager / torchvision "
        "| folded | and channels_last | deployed | deployed / timm |",
        "|---|---|---|---|---|---|---|---|",
    ]

    def cells(*ratios: float | None) -> str:
        return " | ".join("–" if r is None else f"{r:.2f}" for r in ratios)

    for row in record["rows"]:
        training, answering = row["training"], row["inference"]["ratio"]
        lines.append(
            f"| {row['network']} | "
            + cells(
                training["ratio"]["torchvision"],
                training["ratio"].get("timm"),
                answering["eager"]["torchvision"],
                answering["folded"]["torchvision"],
                answering["channels_last"]["torchvision"],
                answering["deployed"]["torchvision"],
                answering["deployed"].get("timm"),
            )
            + " |"
        )
    means = record["summary"]
    lines.append(
        "| **geometric mean** | "
        + cells(
            *(
                means[kind][library]["geometric_mean"] if library in means[kind] else None
                for kind, library in [
                    ("training", "torchvision"),
                    ("training", "timm"),
                    ("inference, eager", "torchvision"),
                    ("inference, folded", "torchvision"),
                    ("inference, channels_last", "torchvision"),
                    ("inference, deployed", "torchvision"),
                    ("inference, deployed", "timm"),
                ]
            )
        )
        + " |"
    )
    for row in record["rows"]:
        if "without copies" in row["inference"]["ratio"]:
            beside = row["inference"]["ratio"]["without copies"]["torchvision"]
            lines += ["", f"{row['network']} by `without_copies`, PyTorch alone: {beside:.2f}."]
    lines += ["", "| memory of a training step | MB |", "|---|---|"]
    lines += [f"| {way} | {bytes_ / 1e6:,.0f} |" for way, bytes_ in record["memory"].items()]
    return "\n".join(lines) + "\n"


def plot(record: dict[str, Any], path: Path) -> None:
    """A dot per network and measure; left of the line at 1 ours takes less time."""
    import matplotlib.pyplot as plt

    from cnnlib import plots

    plots.use_book_style()
    rows = record["rows"][::-1]
    places = range(len(rows))
    figure, axes = plt.subplots(figsize=(7, 0.4 * len(rows) + 1.2))
    for label, marker, of in [
        ("training step", "s", lambda row: row["training"]["ratio"]),
        ("inference, channels_last", "o", lambda row: row["inference"]["ratio"]["channels_last"]),
        ("inference, deployed", "^", lambda row: row["inference"]["ratio"]["deployed"]),
    ]:
        axes.plot([of(row)["torchvision"] for row in rows], places, marker, label=label)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(places, [row["network"] for row in rows])
    axes.set_xlabel("time / time of torchvision")
    axes.set_xlim(left=0)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")


def main() -> None:
    """Measures, prints a table and writes it with the versions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = {network.ours: network for network in NETWORKS}
    parser.add_argument("--only", nargs="+", choices=list(known), default=list(known))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULTS / "networks.json")
    parser.add_argument("--memory", nargs=3, help=argparse.SUPPRESS)  # one process of `memory`
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.memory:
        name, library, options = arguments.memory
        network = Shared(name, known[name].torchvision, known[name].timm, json.loads(options))
        print(peak_growth(network, library, arguments.batch))
        return

    rows = []
    for name in arguments.only:
        rows.append(measure(known[name], arguments.batch, arguments.passes, arguments.threads))
        print(name, rows[-1]["training"]["ratio"], rows[-1]["inference"]["ratio"], flush=True)
    densenet = known["densenet121"]
    record = {
        "about": "Time of our networks over that of torchvision's and timm's, float32, CPU",
        "machine": machine(),
        "batch": arguments.batch,
        "passes": arguments.passes,
        "threads": arguments.threads,
        "versions": {n: version(n) for n in ("torch", "torchvision", "timm", "cnnlib")}
        | {"python": platform.python_version()},
        "summary": summary(rows),
        "rows": rows,
        "memory": {
            "torchvision densenet121": memory(densenet, "torchvision", 16),
            "cnnlib densenet121": memory(densenet, "cnnlib", 16),
            "cnnlib densenet121, memory_saving": memory(densenet, "cnnlib", 16, memory_saving=True),
        },
    }
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps(record, indent=1) + "\n")
    arguments.output.with_suffix(".md").write_text(table(record))
    plot(record, arguments.output.with_suffix(".svg"))
    print(table(record))


if __name__ == "__main__":
    main()
