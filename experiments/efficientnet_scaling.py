"""Where should four times the multiply-adds go? Nine small networks, for a section of chapter 13.

    python -m experiments.efficientnet_scaling [--processes 2] [--output FILE] [--arms NAME ...]

A small EfficientNet, and what becomes of it when about twice or four times its multiply-adds are
spent on depth alone, on width alone, on resolution alone, or on all three by the paper's rule with
phi = 1 and 2. The base is trained in float64, so that the chapter can repeat a run and find the
same digits; the others in float32. Some 8 minutes of one core.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import torch
from torch.nn import functional as F

from cnnlib.data import ImageSet, load
from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models.efficientnet import EfficientNet, Scaling, Stage, compound_scaling
from cnnlib.train import Recipe, evaluate, fit, seed_everything

from .common import Arm, main

RECIPE = Recipe(epochs=4, lr=0.1, batch_size=50)
SIDE = 14  # pixels, of the base's images
NETWORK: dict[str, Any] = {
    "rows": (Stage(1, 8, 1, 1), Stage(4, 12, 2, 2), Stage(4, 20, 2, 2)),
    "stem": "small",
    "stem_width": 8,
    "head_width": 40,
    "divisor": 2,  # with the paper's 8, width could hardly be chosen here
    "norm_momentum": 0.1,
    "dropout": 0.0,  # both are for long trainings; in four epochs they only disturb
    "stochastic_depth": 0.0,
}
SCALINGS = {
    "base": Scaling(1, 1, SIDE),
    "depth ×2": Scaling(1, 2, SIDE),
    "width ×2": Scaling(1.43, 1, SIDE),
    "resolution ×2": Scaling(1, 1, 20),
    "compound ×2": compound_scaling(1, resolution=SIDE),
    "depth ×4": Scaling(1, 4, SIDE),
    "width ×4": Scaling(2.09, 1, SIDE),
    "resolution ×4": Scaling(1, 1, 28),
    "compound ×4": compound_scaling(2, resolution=SIDE),
}

ABOUT = {
    "protocol": (
        "fashion_6k: the first 200 training images of each class and all 2,000 test images, "
        "brought from 28 x 28 pixels to the arm's resolution (bilinear, antialiased), normalised; "
        "weights drawn in float64, one thread, CPU. A run is: seed_everything(seed); "
        "network(scaling), brought to the arm's dtype; fit(..., seed=seed)"
    ),
    "arms.options": "the two multipliers, and the side of the images in pixels; the number in an "
    "arm's name says of what multiple of the base's multiply-adds it has about as many",
    "arms.dtype": "of weights and images",
    "arms.macs": "multiply-adds for one image",
    "arms.blocks": "MBConv blocks",
    "arms.runs": "per seed: mean loss and fraction wrong of all training and test images after "
    "training; seconds of CPU that the training took",
}


def garments(split: str, side: int) -> ImageSet:
    """Images of ``side`` x ``side`` pixels in float64; not normalised yet."""
    images = load("fashion_6k", split)
    if split == "train":
        images = images.balanced(200)
    pixels = images.images.to(torch.float64)
    smaller = F.interpolate(pixels, size=(side, side), mode="bilinear", antialias=True)
    return replace(images, images=smaller)


def network(scaling: Scaling) -> EfficientNet:
    """The base, scaled: (N, 1, H, W) -> (N, 10)."""
    return EfficientNet(
        10, 1, width_multiplier=scaling.width, depth_multiplier=scaling.depth, **NETWORK
    )


def run(arm: Arm, seed: int) -> dict[str, Any]:
    """One training, measured on all images."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    dtype = getattr(torch, arm["dtype"])
    scaling = Scaling(**arm["options"])
    train = garments("train", scaling.resolution).normalized()
    test = garments("test", scaling.resolution).normalized(train.mean, train.std).to(dtype=dtype)
    train = train.to(dtype=dtype)
    seed_everything(seed)
    model = network(scaling).to(dtype)
    start = time.process_time()
    fit(model, train, recipe=arm["recipe"], seed=seed, device="cpu", progress=False)
    result: dict[str, Any] = {"seconds": round(time.process_time() - start, 1)}
    for name, images in (("train", train), ("test", test)):
        measured = evaluate(model, images)
        result |= {f"{name}_loss": measured["loss"], f"{name}_error": measured["error"]}
    return result


def arm(name: str, scaling: Scaling, recipe: Recipe = RECIPE, dtype: str = "float32") -> Arm:
    """What is stored of a network before it is trained."""
    with torch.device("meta"):
        model = network(scaling)
    blocks = sum(type(layer).__name__ == "MBConv" for layer in model.modules())
    return {
        "name": name,
        "options": scaling._asdict(),
        "loss": "cross_entropy",
        "recipe": recipe,
        "dtype": dtype,
        "parameters": count_parameters(model),
        "macs": count_macs(model, (1, scaling.resolution, scaling.resolution)),
        "blocks": blocks,
    }


def arms() -> list[Arm]:
    """The nine networks."""
    return [
        arm(name, scaling, dtype="float64" if name == "base" else "float32")
        for name, scaling in SCALINGS.items()
    ]


if __name__ == "__main__":
    main("efficientnet_scaling", arms(), run, ABOUT)
