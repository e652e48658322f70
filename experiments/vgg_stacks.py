"""Three convolutions of 3 x 3 against one of 7 x 7, in a network that has nothing else.

Both see the same pixels; the stack has 27/49 of the weights and three times the ReLUs. Section 2.3
of the VGG paper argues for the stack. Here both learn 3,000 small images, with and without batch
normalisation. It takes about four minutes of a CPU's time:

    python -m experiments.vgg_stacks
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import torch
from torch import nn

from cnnlib.data import ImageSet, load
from cnnlib.inspection import count_parameters
from cnnlib.models.layers import init_he
from cnnlib.train import Recipe, evaluate, fit, seed_everything
from experiments import common

CHANNELS = 16
PLAIN = Recipe(epochs=4, lr=0.03)
NORMED = Recipe(epochs=4, lr=0.1)
CONTROL = 0.5  # of these learning rates: does the comparison hang on them?

ABOUT = {
    "protocol": (
        "fashion_6k, normalised: the first 3,000 training images and 2,000 test images of 28 x 28; "
        "one thread, CPU. A run is: torch.set_default_dtype(torch.float64); "
        "seed_everything(seed); model = network(**options).float(); fit(model, train, "
        "recipe=recipe, seed=seed). In float32, so the last digits depend on the processor"
    ),
    "arms.options": "of the script's function network: a first convolution of 3 x 3, twice a "
    "pooling and a block, mean over each map, scores; kernels: sides of the block's convolutions",
    "arms.recipe": "what cnnlib.train.Recipe.from_dict reads; one learning rate with batch "
    "normalisation and one without, for both networks the same; as a control, half of each",
    "arms.parameters": "number of trainable parameters",
    "arms.runs": "per seed: mean loss and fraction wrong of all training and test images after "
    "training, in evaluation mode; losses: mean training loss of each pass, while it went on; "
    "seconds of CPU time of the training",
}


@functools.cache
def clothes() -> tuple[ImageSet, ImageSet]:
    """Training and test images, in float32."""
    train = load("fashion_6k").balanced(300).normalized()
    return train, load("fashion_6k", "test").normalized(train.mean, train.std)


def network(kernels: Sequence[int], batch_norm: bool) -> nn.Sequential:
    """Images (N, 1, 28, 28) -> scores (N, 10), with He's weights.

    Args:
        kernels: sides of the convolutions of each of the two blocks.
        batch_norm: between each convolution and its ReLU; the convolutions then have no bias.
    """

    def convolution(inputs: int, side: int) -> list[nn.Module]:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, CHANNELS, side, padding=side // 2, bias=not batch_norm)
        ]
        return [*layers, *[nn.BatchNorm2d(CHANNELS)] * batch_norm, nn.ReLU()]

    def block() -> list[nn.Module]:
        layers = (convolution(CHANNELS, side) for side in kernels)
        return [nn.MaxPool2d(2), *(part for layer in layers for part in layer)]

    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, 10))
    model = nn.Sequential(*convolution(1, 3), *block(), *block(), *head)
    init_he(model)
    return model


def run(arm: common.Arm, seed: int) -> dict[str, Any]:
    """One training, measured on both sets."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    train, test = clothes()
    seed_everything(seed)
    model = network(**arm["options"]).float()
    start = time.process_time()
    history = fit(model, train, recipe=arm["recipe"], seed=seed, device="cpu", progress=False)
    result: dict[str, Any] = {"losses": [round(row["train_loss"], 4) for row in history.rows]}
    seconds = time.process_time() - start
    for split, images in (("train", train), ("test", test)):
        measured = evaluate(model, images)
        result[f"{split}_loss"] = round(measured["loss"], 5)
        result[f"{split}_error"] = measured["error"]
    return result | {"seconds": round(seconds, 2)}


def arms() -> list[common.Arm]:
    """All arms with what ``common.main`` wants of them."""
    made = []
    for share, ending in ((1, ""), (CONTROL, ", half the rate")):
        for batch_norm, kernels in product((False, True), ([3, 3, 3], [7])):
            usual = NORMED if batch_norm else PLAIN
            recipe = replace(usual, lr=share * usual.lr)
            name = "one 7×7" if len(kernels) == 1 else "three 3×3"
            options = {"kernels": kernels, "batch_norm": batch_norm}
            made.append(
                {
                    "name": name + ", batch norm" * batch_norm + ending,
                    "options": options,
                    "loss": "cross_entropy",
                    "recipe": recipe,
                    "parameters": count_parameters(network(**options)),
                }
            )
    return made


if __name__ == "__main__":
    common.main("vgg_stacks", arms(), run, ABOUT)
