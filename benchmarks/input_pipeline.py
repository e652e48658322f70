"""How many images per second the input pipelines deliver, ours and torchvision's, on one thread.

    python benchmarks/input_pipeline.py

Both deliver shuffled batches of float images with random shifts of up to 2 pixels and random
mirror images from fashion_6k (4,000 training images), without any network to train:

* cnnlib: the set in memory as one tensor, ``batches`` with ``Augmentation(shift=2, flip=True)``;
* torchvision: a ``Dataset`` of PIL images, ``RandomCrop(28, padding=2)``,
  ``RandomHorizontalFlip``, ``ToTensor``, and a ``DataLoader`` without worker processes.

One pass of each to warm up, then 5 interleaved passes; the median counts. Seconds are those of the
processor, which with one thread are those of the clock on an idle machine, and nearly the same on a
busy one. Prints a table and writes ``benchmarks/results/input_pipeline.json``.
"""

import json
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import PIL
import torch
import torchvision
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.transforms.functional import to_pil_image

import cnnlib
from cnnlib.data import Augmentation, ImageSet, batches, load

PASSES = 5
BATCH_SIZE = 64
RESULTS = Path(__file__).with_name("results") / "input_pipeline.json"

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


def pipelines(data: ImageSet) -> dict[str, Pipeline]:
    """The two pipelines, each a function that begins a new pass."""
    ours = data.rescaled(0, 1)
    augment = Augmentation(shift=2, flip=True)
    generator = torch.Generator().manual_seed(0)
    theirs = DataLoader(
        PilImages(
            data,
            transforms.Compose(
                [
                    transforms.RandomCrop(28, padding=2),
                    transforms.RandomHorizontalFlip(),
                    transforms.ToTensor(),
                ]
            ),
        ),
        BATCH_SIZE,
        shuffle=True,
        num_workers=0,
        generator=torch.Generator().manual_seed(0),
    )
    return {
        "cnnlib": lambda: batches(ours, BATCH_SIZE, generator=generator, augment=augment),
        "torchvision": lambda: theirs,
    }


def one_pass(pipeline: Pipeline) -> float:
    """Images per second of processor time, over one pass."""
    started = time.process_time()
    count = sum(len(images) for images, _ in pipeline())
    return count / (time.process_time() - started)


def main() -> None:
    """Measures, prints, writes."""
    torch.set_num_threads(1)
    data = load("fashion_6k")
    todo = pipelines(data)
    for pipeline in todo.values():
        images, _ = next(iter(pipeline()))
        assert images.shape == (BATCH_SIZE, 1, 28, 28) and images.dtype == torch.float32
        one_pass(pipeline)
    rates = {name: [] for name in todo}
    for _ in range(PASSES):
        for name, pipeline in todo.items():
            rates[name].append(one_pass(pipeline))
    median = {name: statistics.median(values) for name, values in rates.items()}

    print(f"{'pipeline':<12} {'images/s':>10} {'slowest':>10} {'fastest':>10} {'ratio':>7}")
    for name, values in rates.items():
        ratio = median[name] / median["torchvision"]
        print(
            f"{name:<12} {median[name]:>10,.0f} {min(values):>10,.0f} {max(values):>10,.0f} "
            f"{ratio:>6.1f}x"
        )
    record = {
        "what": "images per processor second of the input pipeline alone: shuffle, shift, flip",
        "data": f"fashion_6k train, {len(data):,} images, batches of {BATCH_SIZE}",
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "versions": {
            "python": platform.python_version(),
            "cnnlib": cnnlib.__version__,
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "pillow": PIL.__version__,
        },
        "passes": {name: [round(v) for v in values] for name, values in rates.items()},
        "median": {name: round(value) for name, value in median.items()},
        "ratio": round(median["cnnlib"] / median["torchvision"], 2),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
