"""What a small ZFNet loses without its middle or its fully connected layers, as table 3 asks.

    python -m experiments.zfnet_removed [--processes 2] [--output FILE] [--arms NAME ...]

The paper removes layers 3 and 4, 6 and 7, and all four from AlexNet, trained on ImageNet; here they
are removed from a narrow ZFNet, trained on 4,000 pictures of clothes. All arms share one recipe.
Some 3 minutes of one core.
"""

from __future__ import annotations

import functools
import time
from typing import Any

import torch
from torch import nn

from cnnlib.data import ImageSet, load
from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models.zfnet import ZFNet
from cnnlib.train import Recipe, evaluate, fit, seed_everything
from experiments.common import Arm, main

RECIPE = Recipe(epochs=4, lr=0.02, batch_size=64)
REMOVED = {
    "all layers": [],
    "without 3 and 4": [3, 4],
    "without 7": [7],
    "without 6 and 7": [6, 7],
    "without 3, 4, 6 and 7": [3, 4, 6, 7],
}
SMALL: dict[str, Any] = {
    "num_classes": 10,
    "in_channels": 1,
    "width_multiplier": 1 / 8,
    "hidden_units": 128,
    "dropout": 0.0,
    "image_size": 28,
    "stem": "small",
    "initial": "he",
}
ABOUT = {
    "protocol": "fashion_6k, normalised by the training set's mean and standard deviation; 4,000 "
    "training and 2,000 test pictures of 28 x 28; float32 (weights drawn in float64), one thread, "
    "CPU. A run is: torch.set_default_dtype(torch.float64); seed_everything(seed); model = "
    "ZFNet(**options); model.norm1 = model.norm2 = torch.nn.Identity(); model.float(); "
    "fit(model, train, test, recipe=recipe, seed=seed)",
    "arms.options": "arguments of cnnlib.models.zfnet.ZFNet",
    "arms.macs": "multiply-adds for one picture",
    "arms.runs": "per seed: fraction wrong and mean loss of all training and test pictures after "
    "training, in evaluation mode; seconds of CPU time of fit",
}


@functools.cache
def pictures(split: str) -> ImageSet:
    """The clothes, normalised as the training set is."""
    train = load("fashion_6k").normalized()
    return (
        train if split == "train" else load("fashion_6k", split).normalized(train.mean, train.std)
    )


def network(options: dict[str, Any]) -> ZFNet:
    """A small ZFNet without contrast normalisation, which would take half of the time."""
    model = ZFNet(**options)
    for name in ("norm1", "norm2"):
        setattr(model, name, nn.Identity())
    return model


def arms() -> list[Arm]:
    """The rows of the table."""
    listed = []
    for name, removed in REMOVED.items():
        options = SMALL | {"removed": removed}
        model = network(options)
        listed.append(
            {
                "name": name,
                "options": options,
                "loss": "cross_entropy",
                "recipe": RECIPE,
                "parameters": count_parameters(model),
                "macs": count_macs(model, (1, 28, 28)),
            }
        )
    return listed


def run(arm: Arm, seed: int) -> dict[str, Any]:
    """One training, measured on both sets."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)  # float32 draws of weights differ between CPU types
    seed_everything(seed)
    model = network(arm["options"]).float()
    start = time.process_time()
    fit(model, pictures("train"), recipe=arm["recipe"], seed=seed, device="cpu", progress=False)
    result: dict[str, Any] = {"seconds": round(time.process_time() - start, 2)}
    for split in ("train", "test"):
        measured = evaluate(model, pictures(split))
        result |= {f"{split}_error": measured["error"], f"{split}_loss": measured["loss"]}
    return result


if __name__ == "__main__":
    main("zfnet_removed", arms(), run, ABOUT)
