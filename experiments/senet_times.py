"""What do units cost in time? Two pairs of networks with and without, for a section of chapter 9.

    python -m experiments.senet_times [--output FILE] [--arms NAME ...]

ResNet-50 on images of 224 x 224 pixels, and the small network of ``senet_gain`` on 14 x 14. Both
networks of a pair take turns, so that whatever else the machine does hits both alike. Times are
seconds of CPU on one thread; they belong to the processor that is stored beside them. Half a
minute.
"""

import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models import create_model
from cnnlib.train import Recipe, seed_everything

from .common import Arm, main
from .senet_gain import NETWORK, REDUCTION, build

PAIRS: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module], tuple[int, int, int]]] = {
    "ResNet-50": (
        lambda: create_model("resnet50"),
        lambda: create_model("se_resnet50"),
        (3, 224, 224),
    ),
    "14 layers": (
        lambda: build(None, **NETWORK),
        lambda: build(REDUCTION, **NETWORK),
        (1, 14, 14),
    ),
}
ARMS = {  # name: (pair, images at a time, turns)
    "ResNet-50, an image": ("ResNet-50", 1, 3),
    "ResNet-50, a training step": ("ResNet-50", 2, 1),
    "14 layers, 100 images": ("14 layers", 100, 9),
    "14 layers, a training step": ("14 layers", 64, 9),
}


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


ABOUT = {
    "protocol": (
        "float32, one thread, random weights and images. Network without and network with units "
        "take turns; a run is one process, its time the median of the turns after one for nothing. "
        "A training step: cross-entropy, forward and backward, and one step of SGD"
    ),
    "device": processor(),
    "arms.options": "pair: the networks; images: at a time; turns: of each network in a run",
    "arms.parameters": "of the network with units; parameters_without: of the other",
    "arms.macs": "multiply-adds for one image, with units; macs_without: of the other",
    "arms.runs": "seconds of CPU for all the images together: without and with units",
}


def seconds(work: Callable[[], object]) -> float:
    """Seconds of CPU that a piece of work takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def answering(model: nn.Module, images: torch.Tensor) -> Callable[[], object]:
    """The forward pass of a network in use."""
    model.eval()

    def work() -> object:
        with torch.inference_mode():
            return model(images)

    return work


def training(model: nn.Module, images: torch.Tensor) -> Callable[[], object]:
    """One training step."""
    model.train()
    labels = torch.arange(len(images)) % 10
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)

    def work() -> object:
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        return optimizer.step()

    return work


def run(arm: Arm, seed: int) -> dict:
    """Both networks in turn."""
    torch.set_num_threads(1)
    seed_everything(seed)
    pair, count, turns = ARMS[arm["name"]]
    *makers, shape = PAIRS[pair]
    prepare = training if "step" in arm["name"] else answering
    works = [prepare(make(), torch.randn(count, *shape)) for make in makers]
    times: list[list[float]] = [[], []]
    for turn in range(turns + 1):
        for own, work in zip(times, works, strict=True):
            taken = seconds(work)
            if turn:  # the first is for nothing: memory is fetched, kernels are chosen
                own.append(taken)
    without, with_units = (round(statistics.median(own), 6) for own in times)
    return {"without": without, "with": with_units}


def arms() -> list[Arm]:
    """Two pairs, in use and in training."""
    listed = []
    for name, (pair, count, turns) in ARMS.items():
        *makers, shape = PAIRS[pair]
        with torch.device("meta"):
            plain, with_units = (make() for make in makers)
        listed.append(
            {
                "name": name,
                "options": {"pair": pair, "images": count, "turns": turns},
                "loss": "cross_entropy",
                "recipe": Recipe(epochs=1, batch_size=count),
                "parameters": count_parameters(with_units),
                "parameters_without": count_parameters(plain),
                "macs": count_macs(with_units, shape),
                "macs_without": count_macs(plain, shape),
            }
        )
    return listed


if __name__ == "__main__":
    main("senet_times", arms(), run, ABOUT, show=())
