"""What does it cost to keep less? Time of a DenseNet with and without its copies, for chapter 8.

    python -m experiments.densenet_memory [--output FILE] [--arms NAME ...]

A training step that keeps everything for the way back, and one that computes it a second time;
inference that concatenates, and inference that writes into one tensor. The network is the
DenseNet-BC of the paper with 100 layers and k = 12. How much memory each takes is counted, not
measured, so the chapter does that itself. Half a minute of one core.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models import create_model
from cnnlib.models.densenet import DenseNet, without_copies
from cnnlib.train import Recipe, seed_everything
from experiments.common import Arm, main

NETWORK = "densenet_bc_cifar_l100_k12"
BATCH = 8
TURNS = 3
WAYS = {  # name -> is it a training step, options
    "training, all is kept": (True, {}),
    "training, computed twice": (True, {"memory_saving": True}),
    "inference, concatenating": (False, {}),
    "inference, without copies": (False, {}),
}


def processor() -> str:
    """The name of the processor, as the system tells it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.is_file() else []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "CPU")


ABOUT = {
    "protocol": (
        f"{NETWORK}, float32, one thread, {BATCH} images of 32 x 32 pixels; CPU seconds of the "
        f"process, median of {TURNS} turns after one that does not count; a seed is a repetition"
    ),
    "device": processor(),
    "runs.seconds": "for a step or a pass",
}


def run(arm: Arm, seed: int) -> dict[str, Any]:
    """One way of running the network, timed."""
    torch.set_num_threads(1)
    seed_everything(seed)
    training, options = WAYS[arm["name"]]
    model = create_model(NETWORK, **options)
    assert isinstance(model, DenseNet)
    images, labels = torch.randn(BATCH, 3, 32, 32), torch.arange(BATCH) % 10
    runner: nn.Module = model.train(training)
    if arm["name"].endswith("without copies"):
        runner = without_copies(model)
    turns = []
    for _ in range(1 + TURNS):
        begin = time.process_time()
        with torch.set_grad_enabled(training):
            scores = runner(images)
            if training:
                F.cross_entropy(scores, labels).backward()
        turns.append(time.process_time() - begin)
    return {"seconds": round(statistics.median(turns[1:]), 4)}


def arms() -> list[Arm]:
    """The four ways."""
    with torch.device("meta"):
        model = create_model(NETWORK)
    counts = {"parameters": count_parameters(model), "macs": count_macs(model, (3, 32, 32))}
    shared = {"loss": "cross_entropy", "recipe": Recipe(batch_size=BATCH), **counts}
    return [{"name": name, "options": options, **shared} for name, (_, options) in WAYS.items()]


if __name__ == "__main__":
    main("densenet_memory", arms(), run, ABOUT, show=())
