"""What the training loop costs: `fit` against bare PyTorch steps and a loop with a DataLoader.

    python benchmarks/train_loop.py [--passes 7] [--images 2000]

All three train the same networks on the same digits from the same weights for one epoch, one after
the other, in turns; the median over the turns is reported, since other work on the machine
disturbs single ones. One thread, CPU, float32. Time is CPU time of the process.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from cnnlib.data import Augmentation, ImageSet, batches, load
from cnnlib.models.lenet import lenet5_modern
from cnnlib.train import Recipe, fit, seed_everything

OUTPUT = Path(__file__).with_name("results") / "train_loop.json"
RECIPE = Recipe(epochs=1, lr=0.05)


def tiny() -> nn.Module:
    """A network so small that a step is nearly all overhead: the worst case."""
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(64, 10))


def with_fit(model: nn.Module, data: ImageSet, recipe: Recipe) -> None:
    """The loop of the book."""
    fit(model, data, recipe=recipe, device="cpu", progress=False)


def bare(model: nn.Module, data: ImageSet, recipe: Recipe) -> None:
    """The same steps on the same batches with nothing around them: no history, no checks."""
    optimizer = torch.optim.SGD(
        model.parameters(), lr=recipe.lr, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    generator = torch.Generator().manual_seed(0)
    model.train()
    for images, labels in batches(
        data, recipe.batch_size, generator=generator, augment=recipe.augment
    ):
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


class Pictures(Dataset):
    """Digits as most tutorials load them: each opened as a picture and transformed on its own."""

    def __init__(self, data: ImageSet, shift: int) -> None:
        steps = [transforms.ToPILImage(), transforms.Pad(2)]
        if shift:
            steps += [transforms.RandomCrop(32, padding=shift)]
        steps += [transforms.ToTensor(), transforms.Normalize(0.0784, 0.784)]  # -0.1 ... 1.175
        self.data, self.transform = data, transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.data.images[index]), int(self.data.labels[index])


def with_loader(model: nn.Module, data: ImageSet, recipe: Recipe) -> None:
    """The usual loop: DataLoader, transforms per image, a number read from every step."""
    shift = recipe.augment.shift if recipe.augment else 0
    loader = DataLoader(Pictures(data, shift), batch_size=recipe.batch_size, shuffle=True)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=recipe.lr, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    model.train()
    running = 0.0
    for images, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        running += loss.item()


def seconds(train: Callable, build: Callable[[], nn.Module], data: ImageSet, recipe: Recipe):
    """CPU seconds of one epoch from fresh weights."""
    seed_everything(0)
    model = build()
    start = time.process_time()
    train(model, data, recipe)
    return time.process_time() - start


def main() -> None:
    """Measures, prints a table and writes it with the versions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--passes", type=int, default=7)
    parser.add_argument("--images", type=int, default=2000, help="at most 4,000")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    pictures = load("mnist_5k").select(range(arguments.images))
    tensors = pictures.padded(32).rescaled(-0.1, 1.175)
    shifted = Recipe(epochs=1, lr=0.05, augment=Augmentation(shift=2))
    cases = [("tiny", tiny, RECIPE), ("LeNet", lenet5_modern, RECIPE)]
    cases += [("LeNet, random shifts", lenet5_modern, shifted)]
    ways = [("bare", bare, tensors), ("fit", with_fit, tensors), ("loader", with_loader, pictures)]

    rows = []
    print(f"{'':22}{'bare ms/step':>14}{'fit':>8}{'fit/bare':>10}{'loader':>8}{'loader/fit':>12}")
    for case, build, recipe in cases:
        times: dict[str, list[float]] = {way: [] for way, _, _ in ways}
        for turn in range(arguments.passes + 1):
            for way, train, data in ways:
                spent = seconds(train, build, data, recipe)
                if turn > 0:  # the first is for warming up
                    times[way].append(spent)
        steps = -(-arguments.images // recipe.batch_size)
        per_step = {way: 1000 * statistics.median(spent) / steps for way, spent in times.items()}
        # Ratios within a turn, so that a slow minute of the machine slows both sides.
        ratios = [ours / base for ours, base in zip(times["fit"], times["bare"], strict=True)]
        gains = [usual / ours for usual, ours in zip(times["loader"], times["fit"], strict=True)]
        row = {
            "network": case,
            "milliseconds_per_step": {way: round(spent, 2) for way, spent in per_step.items()},
            "fit_over_bare": round(statistics.median(ratios), 2),
            "loader_over_fit": round(statistics.median(gains), 2),
        }
        rows.append(row)
        print(
            f"{case:22}{per_step['bare']:>14.2f}{per_step['fit']:>8.2f}"
            f"{row['fit_over_bare']:>10.2f}{per_step['loader']:>8.2f}{row['loader_over_fit']:>12.2f}"
        )

    record = {
        "about": "one epoch, CPU time, one thread, float32; medians over interleaved passes",
        "images": arguments.images,
        "batch_size": RECIPE.batch_size,
        "passes": arguments.passes,
        "versions": {n: version(n) for n in ("torch", "torchvision", "accelerate", "cnnlib")}
        | {"python": platform.python_version()},
        "rows": rows,
    }
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
