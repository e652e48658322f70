"""How many images per second the input pipelines deliver, ours and torchvision's, on one thread.

    python benchmarks/input_pipeline.py [--images 10000] [--passes 5]

All deliver shuffled batches of float images with random shifts and random mirror images, without
any network to train:

* cnnlib: the set in memory as one tensor, ``batches`` with an ``Augmentation``;
* torchvision: a ``Dataset`` of PIL images, ``RandomCrop``, ``RandomHorizontalFlip``, ``ToTensor``,
  and a ``DataLoader``, without worker processes or with two. (Of what torchvision
  offers, none was clearly faster: ``transforms.v2`` took 0.9 to 1.2 times as long on tensors, 1.7
  times on PIL images.) Once also with ``Normalize``, which recipes have and which ours does once
  and for all.

on Fashion-MNIST (shifts of up to 2 pixels) and on images of the size of CIFAR-10 (up to 4). For
speed, only the size of the latter counts: if the set itself is not in the cache, random pixels
stand in for it, and the results say so.

One pass of each to warm up, then interleaved passes. Ratios are taken within a turn, since a slow
minute of the machine slows all ways; their median, least and greatest are reported. Seconds are
those of the processor, worker processes included.

Prints a table and writes ``benchmarks/results/input_pipeline.json``, ``.md`` and ``.svg``.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common import machine, processor_seconds, versions
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.transforms.functional import to_pil_image

from cnnlib.data import Augmentation, ImageSet, batches, load

RESULTS = Path(__file__).with_name("results")
BATCH_SIZES = (64, 512)
OURS = "cnnlib"
THEIRS = "torchvision, 0 workers"

Pipeline = Callable[[], Iterable[tuple[torch.Tensor, torch.Tensor]]]


class PilImages(Dataset):
    """A data set as torchvision's own are: an image is a PIL image until it is asked for."""

    def __init__(self, data: ImageSet, transform: Callable):
        self.images = [to_pil_image(image) for image in data.images]
        self.labels = data.labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        return self.transform(self.images[index]), self.labels[index]


def fashion(count: int) -> tuple[ImageSet, str]:
    """The first images of Fashion-MNIST, and what they are."""
    return load("fashion_mnist").select(range(count)), "Fashion-MNIST, 28x28 grey"


def cifar(count: int) -> tuple[ImageSet, str]:
    """The first images of CIFAR-10, or random ones of that size, and which of the two."""
    try:
        return load("cifar10").select(range(count)), "CIFAR-10, 32x32 colour"
    except OSError:
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
        labels = torch.randint(10, (count,), generator=generator)
        data = ImageSet("random", pixels, labels, tuple("0123456789"))
        return data, "random pixels, 32x32 colour as CIFAR-10"


def pipelines(data: ImageSet, shift: int, batch_size: int) -> dict[str, Pipeline]:
    """The pipelines, each a function that begins a new pass."""
    channels, side = data.images.shape[1], data.images.shape[3]
    steps = [
        transforms.RandomCrop(side, padding=shift),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
    ]
    normalize = transforms.Normalize((0.5,) * channels, (0.25,) * channels)
    plain = PilImages(data, transforms.Compose(steps))
    normalized = PilImages(data, transforms.Compose([*steps, normalize]))
    loader = partial(
        DataLoader, batch_size=batch_size, shuffle=True, generator=torch.Generator().manual_seed(0)
    )
    usual = {
        THEIRS: loader(plain),
        "torchvision, 2 workers": loader(plain, num_workers=2),
        "torchvision, 0 workers, Normalize": loader(normalized),
    }
    ours = partial(
        batches,
        data.rescaled(0, 1),
        batch_size,
        generator=torch.Generator().manual_seed(0),
        augment=Augmentation(shift, flip=True),
    )
    return {OURS: ours} | {name: partial(iter, way) for name, way in usual.items()}


def one_pass(pipeline: Pipeline) -> float:
    """Images per second of processor time, over one pass."""
    started = processor_seconds()
    count = sum(len(images) for images, _ in pipeline())
    return count / (processor_seconds() - started)


def measure(data: ImageSet, about: str, shift: int, batch_size: int, passes: int) -> dict[str, Any]:
    """One row of the table: images per second of each way, and how ours stands to each."""
    ways = pipelines(data, shift, batch_size)
    expected = (batch_size, *data.images.shape[1:])
    for name, pipeline in ways.items():
        images, _ = next(iter(pipeline()))
        if images.shape != expected or images.dtype != torch.float32:
            raise RuntimeError(f"{name} delivers {images.dtype} {tuple(images.shape)}")
    first = {name: one_pass(pipeline) for name, pipeline in ways.items()}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(passes):
        for name, pipeline in ways.items():
            rates[name].append(one_pass(pipeline))

    def beside(name: str) -> dict[str, float]:
        ratios = [a / b for a, b in zip(rates[OURS], rates[name], strict=True)]
        found = {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
        return {key: round(value, 1) for key, value in found.items()}

    return {
        "data": about,
        "images": len(data),
        "shift": shift,
        "batch_size": batch_size,
        "images_per_second": {name: round(statistics.median(r)) for name, r in rates.items()},
        "first_pass": {name: round(rate) for name, rate in first.items()},  # ours prepares the set
        "ratio": {name: beside(name) for name in ways if name != OURS},
        "passes": {name: [round(rate) for rate in r] for name, r in rates.items()},
    }


def table(record: dict[str, Any]) -> str:
    """The record as Markdown."""
    lines = [
        f"{record['about']}. {record['machine']}, {record['threads']} thread, median of "
        f"{record['turns']} turns; "
        + ", ".join(f"{name} {number}" for name, number in record["versions"].items())
        + ".",
        "",
        "| images | batch | pipeline | images/s | cnnlib is faster by | least to most |",
        "|---|---|---|---|---|---|",
    ]
    for row in record["rows"]:
        for name, rate in row["images_per_second"].items():
            ratio = row["ratio"].get(name)
            cells = [row["data"], str(row["batch_size"]), name, f"{rate:,}"]
            cells += (
                [f"{ratio['median']:.1f}×", f"{ratio['least']:.1f} to {ratio['most']:.1f}"]
                if ratio
                else ["", ""]
            )
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def plot(record: dict[str, Any], path: Path) -> None:
    """A dot per pipeline and kind of images, on a logarithmic scale; lines span all turns."""
    import matplotlib.pyplot as plt

    from cnnlib import plots

    plots.use_book_style()
    rows = record["rows"]
    names = list(rows[0]["images_per_second"])
    height = 0.8 / len(names)
    figure, axes = plt.subplots(figsize=(7, 0.9 * len(rows) + 1.2))
    for position, name in enumerate(names):
        middle = [row["images_per_second"][name] for row in rows]
        spread = [
            [rate - min(row["passes"][name]) for rate, row in zip(middle, rows, strict=True)],
            [max(row["passes"][name]) - rate for rate, row in zip(middle, rows, strict=True)],
        ]
        places = [len(rows) - index - position * height for index in range(len(rows))]
        axes.errorbar(middle, places, xerr=spread, fmt="o", label=name)
    axes.set_xscale("log")
    axes.set_xlabel("images per second of one processor core")
    axes.set_yticks(
        [len(rows) - index - (len(names) - 1) * height / 2 for index in range(len(rows))],
        [f"{row['data'].replace(', ', chr(10), 1)}\nbatch {row['batch_size']}" for row in rows],
    )
    axes.legend(loc="lower left", bbox_to_anchor=(-0.25, 1), ncols=2, frameon=False)
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")


def main() -> None:
    """Measures, prints a table and writes it with the versions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000, help="of each set, at most 50,000")
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS / "input_pipeline.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    rows = []
    for find, shift in ((fashion, 2), (cifar, 4)):
        data, about = find(arguments.images)
        for batch_size in BATCH_SIZES:
            rows.append(measure(data, about, shift, batch_size, arguments.passes))
            print(about, batch_size, rows[-1]["images_per_second"], rows[-1]["ratio"], flush=True)
    record = {
        "about": "Images per second of processor time of the input pipeline alone: shuffle, "
        "random shift, random mirror image, float32",
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "turns": arguments.passes,
        "versions": versions("cnnlib", "torch", "torchvision", "pillow"),
        "rows": rows,
    }
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps(record, indent=1) + "\n")
    arguments.output.with_suffix(".md").write_text(table(record))
    plot(record, arguments.output.with_suffix(".svg"))
    print(table(record))


if __name__ == "__main__":
    main()
