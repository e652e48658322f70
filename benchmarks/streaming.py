"""How many images per second are read, decoded and cut, by our stream and by torchvision.

    python benchmarks/streaming.py [--images 600] [--passes 5] [--workers 0 1 2]

Both deliver shuffled batches of 64 float images of 224 x 224 pixels, normalised, from a folder of
JPEG files of 400 x 500 pixels that is made for the purpose, without any network to train:

* cnnlib: ``image_folder``, ``Crops(area=(0.08, 1.0))`` and ``batches``;
* torchvision: ``ImageFolder``, ``transforms.v2`` in the order of its documentation's example for
  training (``PILToTensor``, ``RandomResizedCrop``, ``RandomHorizontalFlip``, ``ToDtype``,
  ``Normalize``), and a ``DataLoader`` with its defaults;
* torchvision, PIL: the same with ``RandomResizedCrop`` and ``RandomHorizontalFlip`` on PIL images
  and ``PILToTensor`` after them, as most training scripts have it.

One pass of each to warm up, then interleaved passes; the median counts. A pass includes what each
needs to begin with it, as the start of worker processes if they are not kept. Processor seconds
are those of all processes together; on a busy machine they are the better measure. Prints a table
and writes ``benchmarks/results/streaming.json`` and ``streaming.md``.
"""

import argparse
import io
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from cnnlib import streams
from cnnlib.augment import Crops
from cnnlib.data import batches
from cnnlib.streams.stream import MEAN, STD

RESULTS = Path(__file__).with_name("results")
BATCH_SIZE, SIZE, HEIGHT, WIDTH = 64, 224, 400, 500

Pass = Callable[[], Iterable[tuple[torch.Tensor, torch.Tensor]]]


def make_tree(top: Path, images: int) -> int:
    """Two classes of JPEG files with as much detail as photographs have; returns their bytes."""
    random, size = np.random.default_rng(0), 0
    for number in range(images):
        picture = np.zeros((HEIGHT, WIDTH, 3))
        for scale in (4, 16, 64, 256):  # the finer, the fainter, as in photographs
            coarse = random.uniform(0, 255, (scale, scale, 3)).astype(np.uint8)
            layer = Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
            picture += np.asarray(layer, dtype=float) / scale**0.5
        picture *= 255 / picture.max()
        path = top / "train" / "ab"[number % 2] / f"{number:05}.jpeg"
        path.parent.mkdir(parents=True, exist_ok=True)
        data = io.BytesIO()
        Image.fromarray(picture.astype(np.uint8)).save(data, "JPEG", quality=90)
        path.write_bytes(data.getvalue())
        size += len(data.getvalue())
    return size


def ours(top: Path, workers: int) -> Pass:
    """Passes over our stream, whose workers are kept from one to the next."""
    stream = streams.image_folder(top, crops=Crops(SIZE, area=(0.08, 1.0)), workers=workers)
    generator = torch.Generator().manual_seed(0)
    salts = iter(range(1_000_000))
    return lambda: batches(stream, BATCH_SIZE, generator=generator, salt=next(salts))


def theirs(top: Path, workers: int, on_pil: bool) -> Pass:
    """Passes over torchvision's data set."""
    cut = [v2.RandomResizedCrop(SIZE, antialias=True), v2.RandomHorizontalFlip()]
    first = [*cut, v2.PILToTensor()] if on_pil else [v2.PILToTensor(), *cut]
    last = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    data = ImageFolder(str(top / "train"), v2.Compose([*first, *last]))
    return lambda: DataLoader(data, BATCH_SIZE, shuffle=True, num_workers=workers)


def processor_seconds() -> float:
    """Of this process and its children that have ended, or where Linux tells, all of them."""
    spent = os.times()
    total = spent.user + spent.system + spent.children_user + spent.children_system
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if int(fields[1]) == os.getpid():  # a child that still runs
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def one_pass(begin: Pass) -> tuple[int, float, float]:
    """Images, seconds of the clock, seconds of the processors."""
    wall, processor = time.perf_counter(), processor_seconds()
    count = sum(len(images) for images, _ in begin())
    return count, time.perf_counter() - wall, processor_seconds() - processor


def measure(top: Path, workers: int, passes: int) -> list[dict[str, Any]]:
    """A row for each way."""
    ways = {
        "cnnlib": ours(top, workers),
        "torchvision": theirs(top, workers, on_pil=False),
        "torchvision, PIL": theirs(top, workers, on_pil=True),
    }
    for begin in ways.values():
        images, _ = next(iter(begin()))
        assert images.shape[1:] == (3, SIZE, SIZE) and images.dtype == torch.float32
        one_pass(begin)
    found = {way: [] for way in ways}
    for _ in range(passes):
        for way, begin in ways.items():
            found[way].append(one_pass(begin))
    rows = []
    for way, runs in found.items():
        rows.append(
            {
                "way": way,
                "workers": workers,
                "images_per_second": round(statistics.median(n / wall for n, wall, _ in runs), 1),
                "processor_milliseconds_per_image": round(
                    1000 * statistics.median(spent / n for n, _, spent in runs), 3
                ),
                # of passes next to each other: a slow minute slows both
                "wall_ratio": round(
                    statistics.median(
                        a[1] / b[1] for a, b in zip(runs, found["torchvision"], strict=True)
                    ),
                    3,
                ),
                "processor_ratio": round(
                    statistics.median(
                        a[2] / b[2] for a, b in zip(runs, found["torchvision"], strict=True)
                    ),
                    3,
                ),
            }
        )
    return rows


def table(record: dict[str, Any]) -> str:
    """The record as Markdown."""
    lines = [
        f"{record['about']}. {record['data']}; {record['machine']}, {record['cores']} cores, one "
        f"thread per process, median of {record['passes']} turns; "
        + ", ".join(f"{name} {number}" for name, number in record["versions"].items())
        + ".",
        "",
        "Ratios to torchvision in the same turn; below 1: less time.",
        "",
        "| workers | way | images/s | processor ms/image | time, ratio | processor, ratio |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['workers']} | {row['way']} | {row['images_per_second']:.0f} | "
        f"{row['processor_milliseconds_per_image']:.2f} | {row['wall_ratio']:.2f} | "
        f"{row['processor_ratio']:.2f} |"
        for row in record["rows"]
    ]
    return "\n".join(lines) + "\n"


def machine() -> str:
    """The processor, as the kernel names it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=RESULTS / "streaming.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        size = make_tree(Path(folder), arguments.images)
        rows = []
        for workers in arguments.workers:
            rows += measure(Path(folder), workers, arguments.passes)
            for row in rows[-3:]:
                print(row, flush=True)
    record = {
        "about": "Reading, decoding and cutting images for training, without a network",
        "data": f"{arguments.images} JPEG files of {HEIGHT} x {WIDTH} pixels, "
        f"{size / arguments.images / 1000:.0f} kB each, batches of {BATCH_SIZE} crops of {SIZE}",
        "machine": machine(),
        "cores": os.cpu_count(),
        "passes": arguments.passes,
        "versions": {n: version(n) for n in ("torch", "torchvision", "pillow", "cnnlib")}
        | {"python": platform.python_version()},
        "rows": rows,
    }
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps(record, indent=1) + "\n")
    arguments.output.with_suffix(".md").write_text(table(record))
    print(table(record))


if __name__ == "__main__":
    main()
