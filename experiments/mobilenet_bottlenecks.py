"""Is the end of an inverted residual better linear? Four small networks for chapter 11.

    python -m experiments.mobilenet_bottlenecks [--processes 2] [--output FILE] [--arms NAME ...]

MobileNetV2 with very narrow bottlenecks: with and without a ReLU6 on them, with and without
shortcuts between them (figure 6 of the paper). All four have the same parameters and multiply-adds.
Some 2 minutes of one core.
"""

from __future__ import annotations

import functools
import time
from itertools import product
from typing import Any

import torch

from cnnlib.data import ImageSet, load
from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models.mobilenet_v2 import MobileNetV2
from cnnlib.train import Recipe, evaluate, fit, seed_everything

from .common import Arm, main

ROWS = ((4, 4, 1, 1), (6, 4, 2, 1), (6, 8, 3, 2))  # (t, c, n, s), as in Table 2: 4 maps, then 8
RECIPE = Recipe(epochs=4, lr=0.2)

ABOUT = {
    "protocol": (
        "fashion_6k: the first 200 training images of each class and 2,000 test images of 28 x 28 "
        "pixels, normalised; one thread, CPU. A run is: torch.set_default_dtype(torch.float64); "
        "seed_everything(seed); model = build(**options).float(); fit(model, train, "
        "recipe=recipe, seed=seed). In float32, so the last digits depend on the processor"
    ),
    "arms.options": "of cnnlib.models.mobilenet_v2.MobileNetV2; the rest is in the script's build",
    "arms.macs": "multiply-adds for one image",
    "arms.runs": "per seed: mean loss and fraction wrong of all training and test images after "
    "training, in evaluation mode; seconds of CPU time of the training",
}


@functools.cache
def clothes() -> tuple[ImageSet, ImageSet]:
    """Training and test images, in float32."""
    train = load("fashion_6k").balanced(200).normalized()
    return train, load("fashion_6k", "test").normalized(train.mean, train.std)


def build(linear: bool = True, shortcut: bool = True) -> MobileNetV2:
    """The network of an arm: (N, 1, 28, 28) -> (N, 10)."""
    options: dict[str, Any] = {"rows": ROWS, "stem_width": 12, "head_width": 64, "divisor": 1}
    return MobileNetV2(10, 1, linear=linear, shortcut=shortcut, dropout=0, **options)


def run(arm: Arm, seed: int) -> dict[str, Any]:
    """One training, measured on both sets."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    train, test = clothes()
    seed_everything(seed)
    model = build(**arm["options"]).float()
    start = time.process_time()
    fit(model, train, recipe=arm["recipe"], seed=seed, device="cpu", progress=False)
    result: dict[str, Any] = {"seconds": round(time.process_time() - start, 1)}
    for split, images in (("train", train), ("test", test)):
        measured = evaluate(model, images)
        result |= {f"{split}_loss": measured["loss"], f"{split}_error": measured["error"]}
    return result


def arms() -> list[Arm]:
    """The four networks."""
    made = []
    for shortcut, linear in product((True, False), (True, False)):
        options = {"linear": linear, "shortcut": shortcut}
        model = build(**options)
        made.append(
            {
                "name": ("linear" if linear else "ReLU6") + (", no shortcut" * (not shortcut)),
                "options": options,
                "loss": "cross_entropy",
                "recipe": RECIPE,
                "parameters": count_parameters(model),
                "macs": count_macs(model, (1, 28, 28)),
            }
        )
    return made


if __name__ == "__main__":
    main("mobilenet_bottlenecks", arms(), run, ABOUT)
