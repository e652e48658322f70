"""Separable, full and thinned networks, for the chapter on MobileNet.

    python -m experiments.mobilenet_nets [--processes 2] [--output FILE] [--arms NAME ...]

Six layers in the manner of MobileNet's Table 1 learn 3,000 pictures of clothes: with depthwise
separable convolutions, with full ones, and with full ones thinned down to the multiply-adds of the
separable network. Each at several learning rates, because they do not want the same. Then the
separable network made cheaper in three ways: thinner (alpha), on smaller images (rho), shallower.
And the pair once more with a first layer that keeps all pixels ("large maps").
One network is trained in float64 too, so that the chapter can repeat a run and find the same
digits. Some 7 minutes of one core.
"""

from __future__ import annotations

import functools
import time
from dataclasses import replace
from typing import Any

import torch
from torch.nn import functional as F

from cnnlib.data import ImageSet, load
from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models.mobilenet import MobileNet
from cnnlib.train import Recipe, evaluate, fit, seed_everything

from .common import Arm, main

ROWS = ((16, 2), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1))  # (width, stride), as in Table 1
SHALLOW = ((16, 2), (32, 1), (64, 2), (128, 2))  # without the layers that change nothing
SIDE = 28  # pixels
RHO = {"1": 28, "5/7": 20, "4/7": 16}  # three of the paper's: 224, 160 and 128 of 224 pixels
RECIPE = Recipe(epochs=4, lr=0.4)
FULL = {"separable": False}
THIN = {"separable": False, "width_multiplier": 0.37}

ABOUT = {
    "protocol": (
        "fashion_6k: the first 300 training images of each class and 2,000 test images, of 28 x 28 "
        "pixels unless 'side' says otherwise (then scaled down bilinearly, with antialiasing), "
        "normalised; one thread, CPU. A run is: torch.set_default_dtype(torch.float64); "
        "seed_everything(seed); model = MobileNet(10, 1, rows=..., **options), brought to the "
        "arm's dtype; fit(model, train, recipe=recipe, seed=seed)"
    ),
    "arms.options": "of cnnlib.models.mobilenet.MobileNet; rows are ROWS or SHALLOW of the script",
    "arms.shallow": "whether the rows are SHALLOW",
    "arms.side": "height and width of the images in pixels",
    "arms.dtype": "of weights and images",
    "arms.macs": "multiply-adds for one image",
    "arms.runs": "per seed: mean loss and fraction wrong of all training and test images after "
    "training, in evaluation mode; seconds of CPU time of the training",
}


@functools.cache
def clothes(side: int) -> tuple[ImageSet, ImageSet]:
    """Training and test images of a size, in float64."""

    def scaled(images: ImageSet) -> ImageSet:
        if side == SIDE:
            return images
        smaller = F.interpolate(
            images.images.double(), size=(side, side), mode="bilinear", antialias=True
        )
        return replace(images, images=smaller)

    train = scaled(load("fashion_6k").balanced(300)).normalized()
    test = scaled(load("fashion_6k", "test")).normalized(train.mean, train.std)
    return train, test


def build(options: dict[str, Any], shallow: bool = False) -> MobileNet:
    """The network of an arm: (N, 1, side, side) -> (N, 10)."""
    return MobileNet(10, 1, rows=SHALLOW if shallow else ROWS, **options)


def run(arm: Arm, seed: int) -> dict[str, Any]:
    """One training, measured on both sets."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    dtype = getattr(torch, arm["dtype"])
    train, test = (images.to(dtype=dtype) for images in clothes(arm["side"]))
    seed_everything(seed)
    model = build(arm["options"], arm["shallow"]).to(dtype)
    start = time.process_time()
    fit(model, train, recipe=arm["recipe"], seed=seed, device="cpu", progress=False)
    result: dict[str, Any] = {"seconds": round(time.process_time() - start, 1)}
    for split, images in (("train", train), ("test", test)):
        measured = evaluate(model, images)
        result |= {f"{split}_loss": measured["loss"], f"{split}_error": measured["error"]}
    return result


def arms() -> list[Arm]:
    """All arms; those without a rate in their names learn at 0.4."""
    made: list[Arm] = []

    def add(
        name: str,
        options: dict[str, Any],
        *,
        lr: float = RECIPE.lr,
        side: int = SIDE,
        shallow: bool = False,
        dtype: str = "float32",
    ) -> None:
        model = build(options, shallow)
        made.append(
            {
                "name": name,
                "options": options,
                "loss": "cross_entropy",
                "recipe": replace(RECIPE, lr=lr),
                "shallow": shallow,
                "side": side,
                "dtype": dtype,
                "parameters": count_parameters(model),
                "macs": count_macs(model, (1, side, side)),
            }
        )

    for lr in (0.1, 0.2, 0.4):
        add(f"separable, lr {lr}", {}, lr=lr)
        add(f"thinned, lr {lr}", THIN, lr=lr)
    add("alpha 0.25 float64", {"width_multiplier": 0.25}, dtype="float64")
    for alpha in (0.65, 0.5, 0.25):  # 0.65: the multiply-adds of the shallow network
        add(f"alpha {alpha}", {"width_multiplier": alpha})
    add("shallow", {}, shallow=True)
    for name, side in RHO.items():
        if side != SIDE:
            add(f"rho {name}", {}, side=side)
    for lr in (0.2, 0.4):
        add(f"full, lr {lr}", FULL, lr=lr)
    add("separable, large maps", {"stem": "small"})
    add("thinned, large maps", THIN | {"stem": "small"})
    return made


if __name__ == "__main__":
    main("mobilenet_nets", arms(), run, ABOUT)
