"""Time to accuracy: a small network of ours to 92 % on Fashion-MNIST, by `fit` and by a plain loop.

    python benchmarks/time_to_accuracy.py [--parts plain ours levers ten_minutes]
                                          [--seeds 0 1 2] [--threads 2] [--again]

Four parts, on the full set (60,000 images to learn from, 10,000 to be tested on):

* plain: the loop that beginners copy. PIL images, ToTensor, Normalize, a DataLoader without
  workers, Adam at a constant 1e-3, batches of 64, float32, a number read in every step. Its test
  error is measured after every epoch; what counts is the first epoch with 92 % right.
* ours: `fit` on images in memory, with the same network from the same weights, one cycle of SGD, in
  float32 and, where the processor computes with it, in bfloat16. What counts is the end: the test
  set is looked at once, after the last epoch.
* levers: every setting of "ours" changed by itself, each with what was expected of it before. These
  never see the test set: they learn from the first 55,000 training images and are measured on the
  last 5,000. By such runs network, epochs, batch size and learning rate of "ours" were chosen.
* ten_minutes: the lowest test error after 10 minutes of two cores, which is 1,200 CPU seconds, with
  a larger network. Its number of epochs follows from the measured time of a step; its other
  settings are usual ones and were not searched.

Time is that of the processor, all threads together, without the measuring of errors; it begins with
the bytes of the images in memory, so that it has the making of pictures or tensors in it. Each run
is written as soon as it is finished, and runs that are there are not repeated unless asked
(--again). Several of these processes may write to one file: two with --threads 1 and other seeds
fill two cores. More than that, or other work, makes CPU seconds longer: run it on a quiet machine.
Writes ``benchmarks/results/time_to_accuracy.json``, ``.md`` and ``.svg``.
"""

import argparse
import fcntl
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from cnnlib import fetch
from cnnlib.data import Augmentation, ImageSet, load
from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models import create_model
from cnnlib.train import Adam, Constant, Cosine, Recipe, evaluate, fit, seed_everything

OUTPUT = Path(__file__).with_name("results") / "time_to_accuracy.json"
PARTS = ("plain", "ours", "levers", "ten_minutes")
GOAL = 0.08  # error to be reached
HELD_OUT = 5000  # last images of the training set, to choose settings by
PLAIN_EPOCHS = 30  # where a plain loop that has not got there is given up
BUDGET = 1200.0  # CPU seconds: 10 minutes of two cores
TRIAL = 5120  # images by which the time of a step is measured


@dataclass(frozen=True)
class Way:
    """A network and how `fit` trains it."""

    network: str
    options: dict[str, Any]
    recipe: Recipe
    size: int = 28  # images are padded to so many pixels, if they have fewer
    precision: str = "bf16"
    channels_last: bool = True

    def make(self, seed: int) -> nn.Module:
        """The network for grey images and ten classes, with the weights of a seed."""
        seed_everything(seed)
        return create_model(self.network, num_classes=10, in_channels=1, **self.options)

    def prepare(self, data: ImageSet, like: ImageSet | None = None) -> ImageSet:
        """Images as the network gets them, normalised as those that it learned from."""
        data = data.normalized() if like is None else data.normalized(like.mean, like.std)
        return data.padded(self.size)

    def to_dict(self) -> dict[str, Any]:
        """Only dicts, lists, strings and numbers."""
        settings = {**vars(self), "recipe": self.recipe.to_dict()}
        return json.loads(json.dumps(settings))


OURS = Way(
    network="vgg_a_bn",
    options={
        "width_multiplier": 0.25,
        "hidden_units": 128,
        "dropout": 0.0,
        "image_size": 32,
        "initial": "he",
    },
    recipe=Recipe(epochs=3, lr=0.1, batch_size=128),
    size=32,
)
EPOCHS = (OURS.recipe.epochs, OURS.recipe.epochs + 1)  # the second after one of 3 seeds missed
TEN_MINUTES = Way(
    network="preact_resnet110_cifar",
    options={"block": "basic", "blocks": (1, 1, 1), "widths": (32, 64, 128)},
    recipe=Recipe(
        epochs=15,  # replaced by as many as the time allows
        lr=0.1,
        batch_size=128,
        augment=Augmentation(shift=2, flip=True),
        label_smoothing=0.1,
    ),
)


@dataclass(frozen=True)
class Lever:
    """One change to `OURS`, and what was expected of it before it was tried."""

    name: str
    prediction: str
    changes: dict[str, Any] = field(default_factory=dict)  # of the recipe
    way: dict[str, Any] = field(default_factory=dict)  # of everything else

    def applied(self, way: Way) -> Way:
        """The changed way."""
        return replace(way, recipe=replace(way.recipe, **self.changes), **self.way)


BASE = Lever("as above", "what the others are measured by")
SLOWER = "the same error to chance; "
LEVERS = [
    Lever("float32", SLOWER + "1.6 times the time", way={"precision": "no"}),
    Lever("channels first", SLOWER + "1.1 times the time", way={"channels_last": False}),
    Lever("constant learning rate", "2 points worse", {"warmup": 0.0, "schedule": Constant()}),
    Lever("cosine instead of a straight fall", "no difference", {"schedule": Cosine()}),
    Lever("warm-up of 40 %", "0.2 points worse: less time to settle", {"warmup": 0.4}),
    Lever("half the learning rate", "0.2 points worse", {"lr": OURS.recipe.lr / 2}),
    Lever(
        "twice the learning rate", "0.3 points worse: too little time", {"lr": OURS.recipe.lr * 2}
    ),
    Lever("batches of 64", "0.2 points better, 1.1 times the time", {"batch_size": 64}),
    Lever(
        "batches of 512", "1 point worse: too few steps; 0.9 times the time", {"batch_size": 512}
    ),
    Lever("Adam, one cycle to 0.003", "0.3 points worse", {"optimizer": Adam(), "lr": 0.003}),
    Lever("label smoothing 0.1", "no difference in so few epochs", {"label_smoothing": 0.1}),
    Lever(
        "mirror images", "0.3 points worse in so few epochs", {"augment": Augmentation(flip=True)}
    ),
    Lever(
        "mirror images and shifts by 2",
        "1 point worse in so few epochs",
        {"augment": Augmentation(shift=2, flip=True)},
    ),
    Lever("average of weights, 0.99", "no difference: the rate ends at 0", {"ema": 0.99}),
    Lever(
        "two convolutions per block, column B",
        "0.3 points better, 1.3 times the time",
        way={"options": OURS.options | {"config": "B"}},
    ),
    Lever(
        "a pre-activation ResNet of 8 layers",
        "1 point worse: in 4 epochs it left 8.1 %; 0.9 times the time",
        way={
            "network": "preact_resnet110_cifar",
            "options": {"block": "basic", "blocks": (1, 1, 1), "widths": (8, 32, 64)},
            "size": 28,
        },
    ),
    Lever(
        "a ResNet of two blocks after the ImageNet stem",
        "1.5 points worse: in 4 epochs it left 8.6 %; 0.7 times the time",
        way={
            "network": "resnet18",
            "options": {"blocks": (1, 1), "widths": (64, 128)},
            "size": 28,
        },
    ),
    Lever("one epoch less", "0.8 points worse", {"epochs": OURS.recipe.epochs - 1}),
    Lever("one epoch more", "0.4 points better", {"epochs": OURS.recipe.epochs + 1}),
]


class Pictures(Dataset):
    """Images and labels as torchvision's own sets give them: a PIL image, transformed, a number."""

    def __init__(self, data: ImageSet, transform: Callable) -> None:
        self.data, self.targets = data.images[:, 0].numpy(), data.labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.data[index])), self.targets[index]


@contextmanager
def stopwatch(record: dict[str, float]) -> Iterator[None]:
    """Adds what happens within to "cpu_seconds" and "wall_seconds"."""
    cpu, wall = time.process_time(), time.perf_counter()
    yield
    record["cpu_seconds"] = record.get("cpu_seconds", 0.0) + time.process_time() - cpu
    record["wall_seconds"] = record.get("wall_seconds", 0.0) + time.perf_counter() - wall


def plain(way: Way, train: ImageSet, test: ImageSet, seed: int) -> dict[str, Any]:
    """The loop that beginners copy, until the error is measured to be `GOAL` or less."""
    like = train.normalized()
    assert like.mean is not None and like.std is not None
    test = way.prepare(test, like)
    mean, std = (tuple(v / 255 for v in values) for values in (like.mean, like.std))
    model = way.make(seed)
    spent: dict[str, float] = {}
    errors, at = [], []
    with stopwatch(spent):
        steps = [transforms.ToTensor(), transforms.Normalize(mean, std)]
        if (border := (way.size - train.images.shape[3]) // 2) > 0:
            steps = [transforms.Pad(border), *steps]
        loader = DataLoader(Pictures(train, transforms.Compose(steps)), batch_size=64, shuffle=True)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(PLAIN_EPOCHS):
        with stopwatch(spent):
            model.train()
            running = 0.0
            for images, labels in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(images), labels)
                loss.backward()
                optimizer.step()
                running += loss.item()
        errors.append(evaluate(model, test)["error"])
        at.append(round(spent["cpu_seconds"], 1))
        print(f"  epoch {len(errors)}: {100 * errors[-1]:.2f} % wrong after {at[-1]} s", flush=True)
        if errors[-1] <= GOAL:
            break
    rounded = {name: round(value, 2) for name, value in spent.items()}
    return rounded | {"epochs": len(errors), "errors": errors, "after": at, "error": errors[-1]}


def ours(way: Way, train: ImageSet, test: ImageSet, seed: int) -> dict[str, Any]:
    """`fit`, and the error at the end."""
    model = way.make(seed)
    spent: dict[str, float] = {}
    with stopwatch(spent):
        train = way.prepare(train)
        fit(
            model,
            train,
            recipe=way.recipe,
            seed=seed,
            device="cpu",
            precision=way.precision,
            channels_last=way.channels_last,
            progress=False,
        )
    measured = evaluate(model, way.prepare(test, train))
    rounded = {name: round(value, 2) for name, value in spent.items()}
    return rounded | {"epochs": way.recipe.epochs, "error": measured["error"]}


def ten_minutes(way: Way, train: ImageSet, test: ImageSet, seed: int) -> dict[str, Any]:
    """`ours` with as many epochs as the budget allows, the finding of that number included."""
    trial = replace(way, recipe=replace(way.recipe, epochs=1))
    sample = train.select(range(min(TRIAL, len(train))))
    warming, timing = (ours(trial, sample, test.select(range(1)), seed) for _ in range(2))
    found = warming["cpu_seconds"] + timing["cpu_seconds"]
    epoch = timing["cpu_seconds"] * len(train) / len(sample)
    epochs = max(1, int(0.97 * (BUDGET - found) / epoch))
    run = ours(replace(way, recipe=replace(way.recipe, epochs=epochs)), train, test, seed)
    run["cpu_seconds"] += found
    run["wall_seconds"] += warming["wall_seconds"] + timing["wall_seconds"]
    return run


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 numbers; where not, they only cost time."""
    known = torch.cpu.get_capabilities()
    return bool(known.get("amx_bf16") or known.get("avx512_bf16") or known.get("bf16"))


def todo(parts: list[str], seeds: list[int]) -> Iterator[tuple[str, str, int, Way, Callable]]:
    """What there is to run: part, name within the part, seed, way and function."""
    precisions = ["bf16", "no"] if has_bfloat16() else ["no"]
    for part in parts:
        for seed in seeds:
            if part == "plain":
                yield part, "no", seed, OURS, plain
            if part == "ours":
                for precision in precisions:
                    for epochs in EPOCHS:
                        recipe = replace(OURS.recipe, epochs=epochs)
                        way = replace(OURS, precision=precision, recipe=recipe)
                        yield part, name_of(precision, epochs), seed, way, ours
            if part == "ten_minutes":
                yield (
                    part,
                    precisions[0],
                    seed,
                    replace(TEN_MINUTES, precision=precisions[0]),
                    (ten_minutes),
                )
        if part == "levers":  # all seeds show how much is chance, but one must do for each change
            base = replace(OURS, precision=precisions[0])
            for lever in [BASE, *LEVERS]:
                if lever.way.get("precision", "no") in precisions:
                    for seed in seeds if lever is BASE else seeds[:1]:
                        yield part, lever.name, seed, lever.applied(base), ours


def name_of(precision: str, epochs: int) -> str:
    """What a run of "ours" is called."""
    return f"{precision}, {epochs} epochs"


def key(run: dict[str, Any]) -> tuple[str, str, int, int]:
    """What a run is known by; there is one of each."""
    return run["part"], run["name"], run["threads"], run["seed"]


def update(path: Path, run: dict[str, Any] | None = None) -> dict[str, Any]:
    """The stored record, with one more run if there is one; other processes wait meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(__file__) as lock:  # a file that all of them have; closing it frees the lock
        fcntl.flock(lock, fcntl.LOCK_EX)
        record = json.loads(path.read_text()) if path.exists() else {"runs": []}
        if run is None:
            return record
        versions = {name: version(name) for name in ("torch", "torchvision", "cnnlib")}
        run["versions"] = versions | {"python": platform.python_version()}
        run["machine"] = machine()
        record = {
            "about": "CPU seconds of all threads, without the measuring of errors; errors are "
            "fractions of 10,000 test images, of the levers of 5,000 held-out training images",
            "data": "fashion_mnist",
            "goal": GOAL,
            "budget": BUDGET,
            "runs": sorted([*(r for r in record["runs"] if key(r) != key(run)), run], key=key),
        }
        fetch.write((json.dumps(record, indent=1) + "\n").encode(), path)
        return record


def machine() -> str:
    """The processor, as the kernel names it, and how many of its cores there are."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def spread(values: list[float], digits: int = 0, unit: str = "") -> str:
    """Mean, and in brackets the lowest and the highest."""
    low, high = (f"{edge:,.{digits}f}" for edge in (min(values), max(values)))
    return f"{statistics.mean(values):,.{digits}f}{unit} ({low} to {high})"


def deviation(values: list[float]) -> str:
    """The standard deviation over the seeds, if there are several."""
    return f" +- {statistics.stdev(values):.2f}" if len(values) > 1 else ""


def right(runs: list[dict[str, Any]]) -> list[str]:
    """Percent of right answers of each run."""
    return [f"{100 - 100 * run['error']:.2f}" for run in runs]


def facts(run: dict[str, Any]) -> str:
    """The network of a run: name, options, size."""
    options = ", ".join(f"{name}={value!r}" for name, value in run["way"]["options"].items())
    return (
        f"`{run['way']['network']}` with {options}: {run['parameters']:,} parameters, "
        f"{run['macs'] / 1e6:.1f} million MACs per image"
    )


def pairs(record: dict[str, Any], name: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Runs of the plain loop and ours of the same seed and number of threads, both at the goal."""
    found = {key(run): run for run in record["runs"] if run["error"] <= GOAL}
    return [
        (theirs, found[mine])
        for (part, _, threads, seed), theirs in found.items()
        if part == "plain" and (mine := ("ours", name, threads, seed)) in found
    ]


def table(record: dict[str, Any]) -> str:
    """The record as Markdown."""
    lines = ["# Time to accuracy on Fashion-MNIST", ""]
    runs = record["runs"]
    lines += sorted(
        {
            f"{r['machine']}; "
            + ", ".join(f"{name} {number}" for name, number in r["versions"].items())
            + "."
            for r in runs
        }
    )
    loads = [load for run in runs for load in run["load"]]
    threads = sorted({run["threads"] for run in runs})
    lines += [
        f"Threads: {', '.join(map(str, threads))}. Load of the machine at the beginning and end of "
        f"the runs: {min(loads):.1f} to {max(loads):.1f}; above the number of "
        "cores it makes CPU seconds more too, as they share caches.",
        "",
        'The settings of "ours" were chosen on the last 5,000 training images, those for the ten '
        "minutes are usual ones. The figures of the first two sections are of the 10,000 test "
        "images, after training on all 60,000.",
    ]
    for section in (section_goal, section_ten_minutes, section_levers):
        lines += section(record)
    return "\n".join(lines) + "\n"


def section_goal(record: dict[str, Any]) -> list[str]:
    """The plain loop and ours, to the goal."""
    parts = [("plain loop", "plain", "no")]
    parts += [
        (f"ours, {label}, {epochs} epochs", "ours", name_of(precision, epochs))
        for precision, label in (("no", "float32"), ("bf16", "bfloat16"))
        for epochs in EPOCHS
    ]
    rows = []
    for label, part, name in parts:
        runs = [r for r in record["runs"] if (r["part"], r["name"]) == (part, name)]
        if not runs:
            continue
        reached = sum(run["error"] <= GOAL for run in runs)
        both = pairs(record, name) if part == "ours" else []
        ratios = [theirs["cpu_seconds"] / mine["cpu_seconds"] for theirs, mine in both]
        rows.append(
            f"| {label} | {spread([r['cpu_seconds'] for r in runs])} "
            f"| {spread([r['wall_seconds'] for r in runs])} "
            f"| {', '.join(str(r['epochs']) for r in runs)} "
            f"| {', '.join(right(runs))} "
            f"| {reached} of {len(runs)} | {spread(ratios, 2) if ratios else ''} |"
        )
    if not rows:
        return []
    run = next(r for r in record["runs"] if r["part"] in ("plain", "ours"))
    return [
        "",
        f"## To {100 - 100 * GOAL:.0f} %",
        "",
        f"The same network and initial weights for all: {facts(run)}.",
        "The plain loop is measured after every epoch and ends with the first that reaches the "
        "goal; ours is measured once, at its end. Means over seeds; lowest, highest in brackets.",
        f"{EPOCHS[0]} epochs were chosen on held-out images. They miss the goal with some seeds; "
        f"{EPOCHS[1]} were added after that was seen. Ratios are of the seeds with which both "
        "reach the goal.",
        "",
        "| | CPU seconds | seconds | epochs | % right | reached | plain / ours, by seed |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]


def section_ten_minutes(record: dict[str, Any]) -> list[str]:
    """The best within the budget."""
    runs = [r for r in record["runs"] if r["part"] == "ten_minutes"]
    if not runs:
        return []
    kept = [r for r in runs if r["cpu_seconds"] <= BUDGET]
    percent = [100 - 100 * run["error"] for run in kept]
    lines = ["", "## 10 minutes of two cores", "", f"{facts(runs[0])}.", ""]
    if kept:
        lines.append(
            f"**{statistics.mean(percent):.2f} %{deviation(percent)}** of the test images right "
            f"(n = {len(kept)}: {', '.join(right(kept))})."
        )
    seconds = [f"{run['cpu_seconds']:,.0f}" for run in runs]
    lines.append(
        f"CPU seconds: {', '.join(seconds)}; epochs: "
        f"{', '.join(str(r['epochs']) for r in runs)}; precision: {runs[0]['way']['precision']}."
    )
    if len(kept) < len(runs):
        lines.append(f"{len(runs) - len(kept)} took more than {BUDGET:,.0f} and does not count.")
    return lines


def verdict(error: float, time_ratio: float) -> str:
    """What a change did: `error` in points more than without it, `time_ratio` times the time."""
    better, worse = error <= -0.2, error >= 0.2
    faster, slower = time_ratio <= 0.95, time_ratio >= 1.05
    if (better or faster) and not (worse or slower):
        return "helps"
    if (worse or slower) and not (better or faster):
        return "does not help"
    return "a trade" if (better or faster) else "no difference"


def section_levers(record: dict[str, Any]) -> list[str]:
    """Each change by itself."""
    found = {key(run): run for run in record["runs"] if run["part"] == "levers"}
    rows = []
    for lever in LEVERS:
        both = [
            (found["levers", BASE.name, threads, seed], run)
            for (_, name, threads, seed), run in found.items()
            if name == lever.name and ("levers", BASE.name, threads, seed) in found
        ]
        if both:
            error = statistics.mean(100 * (run["error"] - base["error"]) for base, run in both)
            ratio = statistics.mean(r["cpu_seconds"] / base["cpu_seconds"] for base, r in both)
            rows.append(
                f"| {lever.name} | {lever.prediction} | {error:+.2f} | {ratio:.2f} | {len(both)} "
                f"| {verdict(error, ratio)} |"
            )
    bases = [run for (_, name, _, _), run in found.items() if name == BASE.name]
    if not rows:
        return []
    recipe = bases[0]["way"]["recipe"]
    return [
        "",
        "## What helped and what did not",
        "",
        'Each change by itself, against the settings of "ours" in '
        f"{'bfloat16' if bases[0]['way']['precision'] == 'bf16' else 'float32'} "
        f"({recipe['epochs']} epochs, batches of {recipe['batch_size']}, learning rate "
        f"{recipe['lr']}), on held-out images. Those settings leave "
        f"{spread([100 * run['error'] for run in bases], 2, ' %')} wrong in "
        f"{spread([run['cpu_seconds'] for run in bases])} CPU seconds. With 5,000 images and few "
        "seeds, differences below about 0.4 points may be chance. A change helps or not by 0.2 "
        "points of error or 5 % of time.",
        "",
        "| change | expected | error, points | time | n | |",
        "|---|---|---|---|---|---|",
        *rows,
    ]


def plot(record: dict[str, Any], path: Path) -> None:
    """Error over CPU seconds: the plain loop after each epoch, ours at its end."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from cnnlib import plots

    looks = {"bf16": ("ours, bfloat16", "C2", "^"), "no": ("ours, float32", "C1", "o")}
    with plots.book_style():
        figure, axes = plt.subplots(figsize=(6, 3.2))
        for run in record["runs"]:
            if run["part"] == "plain":
                percent = [100 * error for error in run["errors"]]
                axes.plot(run["after"], percent, ".-", color="C0", linewidth=1, label="plain loop")
            elif run["part"] == "ours":
                label, colour, marker = looks[run["way"]["precision"]]
                at = (run["cpu_seconds"], 100 * run["error"])
                axes.plot(*at, marker, color=colour, label=label)
        axes.axhline(100 * GOAL, color="black", linewidth=1)
        axes.set_xlabel("CPU seconds")
        axes.set_ylabel("test images wrong, %")
        axes.set_xlim(left=0)
        handles, labels = axes.get_legend_handles_labels()
        once = dict(zip(labels, handles, strict=True))
        axes.legend(once.values(), once.keys(), frameon=False)
        figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
        plt.close(figure)


def main() -> None:
    """Runs what is not there yet, and writes the record, a table and a plot after each run."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", help="runs of these names: 'bf16, 4 epochs', float32")
    parser.add_argument("--again", action="store_true", help="repeat runs that are stored")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    train, test = load("fashion_mnist"), load("fashion_mnist", "test")
    known = len(train) - HELD_OUT
    held_out = train.select(range(known)), train.select(range(known, len(train)))
    for part, name, seed, way, function in todo(arguments.parts, arguments.seeds):
        if arguments.only and name not in arguments.only:
            continue
        run = {"part": part, "name": name, "threads": arguments.threads, "seed": seed}
        run["way"] = way.to_dict()
        stored = {key(r): r for r in update(arguments.output)["runs"]}.get(key(run))
        if stored and stored["way"] == run["way"] and not arguments.again:
            continue
        print(f"{part}, {name}, seed {seed}", flush=True)
        before = os.getloadavg()[0]
        run |= function(way, *(held_out if part == "levers" else (train, test)), seed)
        run["load"] = [round(before, 2), round(os.getloadavg()[0], 2)]
        model = way.make(seed)
        run["parameters"] = count_parameters(model)
        run["macs"] = count_macs(model, (1, way.size, way.size))
        record = update(arguments.output, run)
        print(
            f"  {run['epochs']} epochs, {run['cpu_seconds']:.1f} CPU seconds, "
            f"{run['wall_seconds']:.1f} seconds, {100 * run['error']:.2f} % wrong",
            flush=True,
        )
        fetch.write(table(record).encode(), arguments.output.with_suffix(".md"))
        plot(record, arguments.output.with_suffix(".svg"))


if __name__ == "__main__":
    main()
