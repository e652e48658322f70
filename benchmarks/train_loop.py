"""What the training loop costs beside bare PyTorch steps, and that nothing of it grows.

    python benchmarks/train_loop.py [--turns 5] [--images 4000]

**Overhead.** `fit` trains a network; between its steps, the very same steps are taken on a second
network by the few lines that PyTorch's documentation shows: the same batches, the same optimiser in
the same form, the same learning rates. So both sides live through the same seconds of a machine
that does other things too, and at the end the weights of both must be the same to the last bit.
Counted for `fit` is all that it does but making the batches: its checks at the beginning, its look
at the loss, its rows of history.

**Fused optimisers.** One step of training with torch's usual optimiser and with its fused one.

**Linear.** Epochs of 1, 2, 4 and 8 thousand images.

**Memory.** What a process holds after each of 20 epochs, with memory that is given back as soon as
it is free, so that it shows what is alive and not what the allocator keeps for later.

One thread, CPU, float32, time of the processor; medians over turns. Prints a table, and writes
``benchmarks/results/train_loop.json``, ``.md`` and ``.svg``.
"""

import argparse
import copy
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from common import machine, versions
from torch import Tensor, nn
from torch.nn import functional as F

from cnnlib.data import Augmentation, Images, ImageSet, load
from cnnlib.models import create_model
from cnnlib.train import SGD, Adam, Recipe, fit, seed_everything

OUTPUT = Path(__file__).with_name("results") / "train_loop.json"
LIMIT = 1.03  # of fit / bare
EPOCHS = 20  # of the measurement of memory
clock = time.process_time


def tiny() -> nn.Module:
    """A network so small that a step is nearly all overhead: the worst case."""
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(64, 10))


def lenet() -> nn.Module:
    """LeNet-5 in its modern form, for 32 x 32 pixels."""
    return create_model("lenet5_modern")


def resnet() -> nn.Module:
    """The smallest ResNet of the paper for CIFAR-10, on one channel."""
    return create_model("resnet20_cifar", in_channels=1)


def linear() -> nn.Module:
    """Two linear layers: many weights for few multiplications, as at the end of AlexNet."""
    return nn.Sequential(nn.Flatten(), nn.Linear(1024, 2048), nn.ReLU(), nn.Linear(2048, 10))


def digits(count: int) -> ImageSet:
    """So many images of digits, 32 x 32, over again from 4,000 on."""
    data = load("mnist_5k").padded(32).rescaled(-0.1, 1.175)
    return data.select(torch.arange(count) % len(data))


# -- overhead ---------------------------------------------------------------------------------


@dataclass
class Paired:
    """Images whose every batch is also given to `bare`, before or after `fit` has its step.

    Attributes:
        data: the images.
        bare: takes a step on images and labels.
        fit_seconds: from handing out a batch to being asked for the next one, one per step.
        bare_seconds: of the step of `bare` on the same batch.
        batch_seconds: of making the batch.
    """

    data: ImageSet
    bare: Callable[[Tensor, Tensor], None]
    fit_seconds: list[float] = field(default_factory=list)
    bare_seconds: list[float] = field(default_factory=list)
    batch_seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name, self.classes, self.labels = self.data.name, self.data.classes, self.data.labels
        self.device, self.dtype = self.data.device, self.data.dtype
        self.order, self.fingerprint = self.data.order, self.data.fingerprint

    def __len__(self) -> int:
        return len(self.data)

    def to(self, device: Any = None, dtype: Any = None) -> Images:
        """These images: they are where they belong."""
        return self

    def iterate(self, order: Tensor, batch_size: int, **options: Any) -> Iterator[Any]:
        """As ``Images`` has it; what `fit` tries out with one image is not paired."""
        made = self.data.iterate(order, batch_size, **options)
        if batch_size == 1:
            yield from made
            return
        while True:
            start = clock()
            batch = next(made, None)
            self.batch_seconds.append(clock() - start)
            if batch is None:
                return
            first = len(self.bare_seconds) % 2 == 0  # neither side always finds the caches warm
            if first:
                self._step(*batch)
            start = clock()
            yield batch
            self.fit_seconds.append(clock() - start)
            if not first:
                self._step(*batch)

    def _step(self, images: Tensor, labels: Tensor) -> None:
        start = clock()
        self.bare(images, labels)
        self.bare_seconds.append(clock() - start)


def overhead(build: Callable[[], nn.Module], data: ImageSet, recipe: Recipe) -> dict[str, float]:
    """One training: seconds per step of both sides, and the rest that `fit` does."""
    seed_everything(0)
    ours = build()
    theirs = copy.deepcopy(ours).train()
    optimizer = recipe.make_optimizer(theirs)
    steps = recipe.epochs * -(-len(data) // recipe.batch_size)
    rates = iter([recipe.lr_at(step, steps) for step in range(1, steps + 1)])

    def bare(images: Tensor, labels: Tensor) -> None:
        lr = next(rates)
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.zero_grad()
        loss = F.cross_entropy(theirs(images), labels)
        loss.backward()
        optimizer.step()

    paired = Paired(data, bare)
    start = clock()
    fit(ours, paired, recipe=recipe, device="cpu", progress=False)
    spent = clock() - start - sum(paired.batch_seconds) - sum(paired.bare_seconds)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other), "these were not the same steps"
    pairs = zip(paired.fit_seconds, paired.bare_seconds, strict=True)
    return {
        "bare": statistics.median(paired.bare_seconds),
        "step_ratio": statistics.median(ours / theirs for ours, theirs in pairs),
        "rest": spent - sum(paired.fit_seconds),
        "ratio": spent / sum(paired.bare_seconds),
    }


def overheads(images: int, turns: int) -> list[dict[str, Any]]:
    """A row per network: `fit` beside bare steps."""
    recipe = Recipe(epochs=3, lr=0.05)
    shifted = replace(recipe, augment=Augmentation(shift=2))
    cases: list[tuple[str, Callable[[], nn.Module], Recipe, int]] = [
        ("linear layer alone", tiny, recipe, images),
        ("LeNet-5", lenet, recipe, images),
        ("LeNet-5, random shifts", lenet, shifted, images),
        ("ResNet-20", resnet, replace(recipe, epochs=1), images // 4),
    ]
    rows = []
    for name, build, how, count in cases:
        data = digits(count)
        found = [overhead(build, data, how) for _ in range(turns + 1)][1:]  # the first warms up
        median = {key: statistics.median(turn[key] for turn in found) for key in found[0]}
        ratios = sorted(turn["ratio"] for turn in found)
        rows.append(
            {
                "network": name,
                "images": count,
                "epochs": how.epochs,
                "bare_milliseconds_per_step": round(1000 * median["bare"], 3),
                "step_ratio": round(median["step_ratio"], 4),
                "beside_the_steps_milliseconds": round(1000 * median["rest"], 1),
                "ratio": round(median["ratio"], 4),
                "ratio_from_to": [round(ratios[0], 4), round(ratios[-1], 4)],
            }
        )
        print(rows[-1], flush=True)
    return rows


# -- fused optimisers -------------------------------------------------------------------------


def fused_steps(turns: int) -> list[dict[str, Any]]:
    """A row per network and optimiser: time of the fused form over that of the usual one."""
    rows = []
    images = digits(64).images
    labels = torch.arange(64) % 10
    for name, build in (("LeNet-5", lenet), ("ResNet-20", resnet), ("linear layers", linear)):
        for settings in (SGD(), Adam()):
            recipe = Recipe(lr=1e-4, optimizer=settings)
            seed_everything(0)
            models = [build().train()]
            models.append(copy.deepcopy(models[0]))
            optimizers = [
                recipe.make_optimizer(model, fused=fused)
                for model, fused in zip(models, (False, True), strict=True)
            ]
            whole, alone = [], []  # pairs of seconds: usual, fused
            for turn in range(4 * turns + 2):
                times = []
                for model, optimizer in zip(models, optimizers, strict=True):
                    start = clock()
                    optimizer.zero_grad()
                    F.cross_entropy(model(images), labels).backward()
                    middle = clock()
                    optimizer.step()
                    times.append((clock() - start, clock() - middle))
                if turn >= 2:
                    whole.append([step for step, _ in times])
                    alone.append([update for _, update in times])
            rows.append(
                {
                    "network": name,
                    "optimizer": type(settings).__name__,
                    "update_ratio": round(statistics.median(b / a for a, b in alone), 3),
                    "step_ratio": round(statistics.median(b / a for a, b in whole), 3),
                }
            )
            print(rows[-1], flush=True)
    return rows


# -- growth -----------------------------------------------------------------------------------


def epoch_seconds(turns: int) -> dict[str, Any]:
    """Time of an epoch by its number of images, and how straight a line that is."""
    sizes = (1000, 2000, 4000, 8000)
    spent: dict[int, list[float]] = {size: [] for size in sizes}
    for turn in range(turns + 1):
        for size in sizes:
            data = digits(size)
            seed_everything(0)
            model = lenet()
            start = clock()
            fit(model, data, recipe=Recipe(epochs=1, lr=0.05), device="cpu", progress=False)
            if turn > 0:
                spent[size].append(clock() - start)
    seconds = {size: statistics.median(times) for size, times in spent.items()}

    def slope(low: int, high: int) -> float:
        """Of a line through two sizes; within turns, so that a slow minute slows both."""
        pairs = zip(spent[low], spent[high], strict=True)
        return statistics.median(b - a for a, b in pairs) / (high - low)

    return {
        "network": "LeNet-5",
        "seconds": {str(size): round(value, 4) for size, value in seconds.items()},
        "slope_ratio": round(slope(4000, 8000) / slope(1000, 4000), 3),
    }


def memory() -> dict[str, Any]:
    """What a process of its own holds after each epoch: see `hold`."""
    printed = subprocess.run(
        [sys.executable, __file__, "--hold"],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"},
    )
    return json.loads(printed.stdout.splitlines()[-1])


def hold() -> None:
    """Trains for many epochs and prints the bytes that this process holds after each, and held."""
    now, peak = [], []

    def look(history: Any) -> None:
        now.append(_status("VmRSS"))
        peak.append(_status("VmHWM"))

    seed_everything(0)
    data = digits(1000)
    recipe = Recipe(epochs=EPOCHS, lr=0.05, augment=Augmentation(shift=2), ema=0.99)
    fit(lenet(), data, data.select(range(500)), recipe=recipe, device="cpu", after_epoch=look)
    print(json.dumps({"network": "LeNet-5", "held": now, "peak": peak}))


def _status(entry: str) -> int:
    """Bytes that this process holds now (VmRSS) or held at its peak (VmHWM), as Linux counts."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{entry}:"))
    return int(line.split()[1]) * 1024


# -- the record -------------------------------------------------------------------------------


def table(record: dict[str, Any]) -> str:
    """The record as Markdown."""
    lines = [
        f"{record['about']}. {record['machine']}, batch {record['batch_size']}, one thread, "
        f"float32, processor time, medians of {record['turns']} turns; "
        + ", ".join(f"{name} {number}" for name, number in record["versions"].items())
        + ".",
        "",
        "| network | bare step, ms | a step of `fit` / bare | beside the steps, ms "
        "| whole training / bare steps | from ... to |",
        "|---|---|---|---|---|---|",
    ]
    for row in record["overhead"]:
        low, high = row["ratio_from_to"]
        lines.append(
            f"| {row['network']}, {row['epochs']} x {row['images']:,} images "
            f"| {row['bare_milliseconds_per_step']:.2f} | {row['step_ratio']:.3f} "
            f"| {row['beside_the_steps_milliseconds']:.0f} | {row['ratio']:.3f} "
            f"| {low:.3f} ... {high:.3f} |"
        )
    lines += ["", "| network | optimiser | fused / usual, update alone | whole step |"]
    lines += ["|---|---|---|---|"]
    lines += [
        f"| {row['network']} | {row['optimizer']} | {row['update_ratio']:.2f} "
        f"| {row['step_ratio']:.2f} |"
        for row in record["fused"]
    ]
    epochs, held = record["epochs"], record["memory"]
    lines += ["", f"| images in an epoch of {epochs['network']} | seconds |", "|---|---|"]
    lines += [f"| {int(size):,} | {value:.3f} |" for size, value in epochs["seconds"].items()]
    lines += [
        "",
        f"An image from the 4,001st to the 8,000th costs {epochs['slope_ratio']:.3f} times "
        "one from the 1,001st to the 4,000th.",
        "",
        f"| memory of a training of {held['network']}, MB | held | peak so far |",
        "|---|---|---|",
    ]
    for epoch in (2, EPOCHS):
        now, peak = (held[name][epoch - 1] / 1e6 for name in ("held", "peak"))
        lines.append(f"| after epoch {epoch} | {now:,.1f} | {peak:,.1f} |")
    return "\n".join(lines) + "\n"


def plot(record: dict[str, Any], path: Path) -> None:
    """Left: overhead by network; middle: time by images; right: memory by epoch."""
    import matplotlib.pyplot as plt

    from cnnlib import plots

    plots.use_book_style()
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 2.8), layout="constrained")
    rows = record["overhead"][:0:-1]  # without the worst case, which would need an axis of its own
    left.plot([100 * (row["ratio"] - 1) for row in rows], range(len(rows)), "o")
    left.axvline(100 * (LIMIT - 1), color="black", linewidth=1)
    left.set_yticks(range(len(rows)), [row["network"] for row in rows])
    left.set_ylim(-0.5, len(rows) - 0.5)
    left.set_xlim(left=min(0.0, left.get_xlim()[0]))
    left.set_xlabel("overhead of fit, % (line: our limit)")
    seconds = record["epochs"]["seconds"]
    middle.plot([int(size) / 1000 for size in seconds], list(seconds.values()), "o-")
    middle.set_xlim(left=0)
    middle.set_ylim(bottom=0)
    middle.set_xlabel("thousand images")
    middle.set_ylabel("seconds of an epoch")
    for name, label in (("peak", "peak so far"), ("held", "held")):
        megabytes = [held / 1e6 for held in record["memory"][name]]
        right.plot(range(1, len(megabytes) + 1), megabytes, label=label)
    right.set_ylim(0, 1.2 * max(record["memory"]["peak"]) / 1e6)
    right.set_xlabel("epoch")
    right.set_ylabel("MB")
    right.legend()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measures, prints a table and writes it with the versions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--hold", action="store_true", help=argparse.SUPPRESS)  # see `memory`
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.hold:
        hold()
        return

    record = {
        "about": "The training loop beside bare PyTorch steps, CPU",
        "machine": machine(),
        "batch_size": Recipe().batch_size,
        "turns": arguments.turns,
        "versions": versions("torch", "accelerate", "cnnlib"),
        "overhead": overheads(arguments.images, arguments.turns),
        "fused": fused_steps(arguments.turns),
        "epochs": epoch_seconds(arguments.turns),
        "memory": memory(),
    }
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps(record, indent=1) + "\n")
    arguments.output.with_suffix(".md").write_text(table(record))
    plot(record, arguments.output.with_suffix(".svg"))
    print(table(record))


if __name__ == "__main__":
    main()
