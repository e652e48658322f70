"""Which layer of a small DenseNet needs which? Five seeds, for the maps of chapter 8.

    python -m experiments.densenet_reuse [--processes 2] [--output FILE] [--arms NAME ...]

The plain DenseNet of ``densenet_wiring``, trained in float64, so that the chapter can repeat a run
and find the same digits. For each connection within its blocks: by how much the training loss rises
when the reader's weights for this source are set to 0; how large these weights are on average, at
the start and in the end, and how far they have moved. And what the last classifier makes of each
source alone. Some 2 minutes of one core.
"""

from __future__ import annotations

import copy
import time
from typing import Any

import torch
from torch.nn import functional as F

from cnnlib.data import ImageSet
from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models.densenet import DenseNet, connections
from cnnlib.train import evaluate, fit, seed_everything
from experiments.common import Arm, main
from experiments.densenet_wiring import NETWORKS, RECIPE, SHAPE, build, images

MEASURED = 300  # training images behind the rise of the loss
DIGITS = 6
GROWTH = NETWORKS["dense"]["growth_rate"]

ABOUT = {
    "protocol": (
        "as in densenet_wiring, but weights and images in float64. A run is: "
        "torch.set_default_dtype(torch.float64); seed_everything(seed); model = build(kind, "
        "**options); fit(model, train, recipe=recipe, seed=seed). What is cut is measured in "
        f"float32, on the first {MEASURED} training images, in evaluation mode"
    ),
    "arms.options": "as in densenet_wiring",
    "arms.connections": "(block, source, target) of every number in the lists below; source 0 is "
    "the block's input, the last target of a block is what reads the whole block",
    "runs.train_error": "and train_loss, test_error, test_loss: as in densenet_wiring, "
    "measured in float32",
    "runs.loss": f"of the first {MEASURED} training images after training, in float64",
    "runs.rise": "of the training loss when the connection is cut",
    "runs.rise_per_k": "the same for k of the input's maps at a time, mean over all such groups; "
    "only for source 0",
    "runs.initial": "mean absolute weight of the connection before training",
    "runs.trained": "the same after training",
    "runs.moved": "mean absolute difference of the two",
    "runs.alone": "test error when the classifier sees only one source of the last block",
    "runs.up_to": "test error when it sees the input of the last block and the layers up to one",
    "runs.seconds": "CPU seconds of fit",
}


def loss_of(model: DenseNet, some: ImageSet) -> float:
    """Mean loss in evaluation mode."""
    with torch.no_grad():
        return F.cross_entropy(model(some.images), some.labels).item()


def rises(model: DenseNet, some: ImageSet) -> tuple[list[float], list[float]]:
    """What cutting each connection costs, and what k maps of each block's input cost."""
    before = loss_of(model, some)
    whole, parts = [], []

    def without(weight: torch.Tensor, columns: slice) -> float:
        kept = weight[:, columns].clone()
        weight[:, columns] = 0
        rise = loss_of(model, some) - before
        weight[:, columns] = kept
        return rise

    with torch.no_grad():
        for c in connections(model):
            whole.append(without(c.weight, c.columns))
            if c.source == 0:
                k = GROWTH
                groups = [slice(i, i + k) for i in range(0, c.columns.stop - k + 1, k)]
                found = [without(c.weight, group) for group in groups]
                parts.append(sum(found) / len(found))
    return whole, parts


def sizes(model: DenseNet, start: DenseNet | None = None) -> list[float]:
    """Mean absolute weight of each connection, or how far it has moved since the start."""
    if start is None:
        return [c.weight[:, c.columns].abs().mean().item() for c in connections(model)]
    pairs = zip(connections(model), connections(start), strict=True)
    return [(c.weight - s.weight)[:, c.columns].abs().mean().item() for c, s in pairs]


def classifiers(model: DenseNet, test: ImageSet) -> tuple[list[float], list[float]]:
    """Test errors when the classifier sees one source of the last block, or all up to one."""
    last = [c for c in connections(model) if c.weight is model.classifier.weight]
    inputs: list[torch.Tensor] = []
    hook = model.classifier.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    with torch.no_grad():
        for start in range(0, len(test), 500):
            model(test.images[start : start + 500])
    hook.remove()
    averages = torch.cat(inputs)
    parts = [averages[:, c.columns] @ model.classifier.weight[:, c.columns].T for c in last]

    def error(scores: torch.Tensor) -> float:
        answers = (scores + model.classifier.bias).argmax(1)
        return (answers != test.labels).double().mean().item()

    sums = [torch.stack(parts[: n + 1]).sum(0) for n in range(len(parts))]
    with torch.no_grad():
        return [error(part) for part in parts], [error(total) for total in sums]


def run(arm: Arm, seed: int) -> dict[str, Any]:
    """One training, measured on both sets and connection by connection."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    train = images()[0].to(dtype=torch.float64)
    seed_everything(seed)
    model = build(**arm["options"])
    assert isinstance(model, DenseNet)
    start = copy.deepcopy(model)
    began = time.process_time()
    fit(model, train, recipe=arm["recipe"], seed=seed, device="cpu", progress=False)
    result: dict[str, Any] = {"seconds": round(time.process_time() - began, 2)}
    result["loss"] = loss_of(model, train.select(range(MEASURED)))
    light = copy.deepcopy(model).float()
    train, test = images()
    for name, split in (("train", train), ("test", test)):
        measured = evaluate(light, split)
        result |= {f"{name}_error": measured["error"], f"{name}_loss": measured["loss"]}
    whole, parts = rises(light, train.select(range(MEASURED)))
    alone, up_to = classifiers(light, test)
    lists = {
        "rise": whole,
        "rise_per_k": parts,
        "initial": sizes(start),
        "trained": sizes(model),
        "moved": sizes(model, start),
    }
    rounded = {key: [round(value, DIGITS) for value in values] for key, values in lists.items()}
    return result | rounded | {"alone": alone, "up_to": up_to}


def arms() -> list[Arm]:
    """The one network."""
    options = NETWORKS["dense"]
    model = build(**options)
    assert isinstance(model, DenseNet)
    return [
        {
            "name": "dense",
            "options": options,
            "loss": "cross_entropy",
            "recipe": RECIPE,
            "parameters": count_parameters(model),
            "macs": count_macs(model, SHAPE),
            "connections": [[c.block, c.source, c.target] for c in connections(model)],
        }
    ]


if __name__ == "__main__":
    main("densenet_reuse", arms(), run, ABOUT)
