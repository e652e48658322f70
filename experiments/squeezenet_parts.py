"""Which part of SqueezeNet does what? Twelve small networks, five seeds each, for chapter 10.

    python -m experiments.squeezenet_parts [--processes 2] [--output FILE] [--arms NAME ...]

A network of four Fire modules, and one thing changed at a time: no batch normalisation, other
squeeze ratios, bypasses, the pooling earlier or later. Beside it a small AlexNet, the same without
its two large layers, and one that is thin all over. Some 6 minutes of one core.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import nn

from cnnlib.data import ImageSet, load
from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models.alexnet import AlexNet
from cnnlib.models.squeezenet import SqueezeNet, fire_widths
from cnnlib.train import Recipe, evaluate, fit, seed_everything

from .common import Arm, main

FIRE_RECIPE = Recipe(epochs=5, lr=0.1, batch_size=50)
ALEXNET_RECIPE = Recipe(epochs=5, lr=0.03, batch_size=50)  # without batch norm, 0.1 is too much
SHAPE = (1, 14, 14)

ALEXNET: dict[str, Any] = {  # nine tenths of its parameters in fc6 and fc7, as in the large one
    "num_classes": 10,
    "in_channels": 1,
    "towers": 1,
    "lrn": False,
    "widths": [8, 16, 24, 24, 24],
    "hidden_units": 384,
    "dropout": 0.2,
    "image_size": 14,
    "stem": "small",
    "initial": "he",
}
METAPARAMETERS = {"modules": 4, "base_e": 32, "incr_e": 16, "freq": 2, "squeeze_ratio": 0.25}
FIRE: dict[str, Any] = {
    "num_classes": 10,
    "in_channels": 1,
    "conv1": [7, 16],  # the small stem takes 3 for the 7
    "pools": [3],
    "stem": "small",
    "batch_norm": True,
    "conv10_relu": False,
    "dropout": 0.0,
}

ABOUT = {
    "protocol": (
        "fashion_6k, the first 200 training images of each class and the 2,000 test images, pooled "
        "to 14 x 14 pixels, normalised; weights drawn in float64, trained in float32; one thread "
        "of a CPU. A run is: seed_everything(seed); build(network, options) in float32; fit(..., "
        "seed=seed)"
    ),
    "arms.network": "SqueezeNet or AlexNet of cnnlib.models",
    "arms.options": "its arguments; for SqueezeNet, metaparameters are those of fire_widths",
    "arms.macs": "multiply-adds for one image",
    "arms.runs": "per seed: mean loss and fraction wrong of all training and test images after "
    "training, in evaluation mode; seconds of CPU",
}


def garments(dtype: torch.dtype = torch.float32) -> tuple[ImageSet, ImageSet]:
    """The images to train on and those to test on, 14 x 14 pixels."""
    train = load("fashion_6k").balanced(200).pooled(2).normalized()
    test = load("fashion_6k", "test").pooled(2).normalized(train.mean, train.std)
    return train.to(dtype=dtype), test.to(dtype=dtype)


def build(network: str, options: dict[str, Any]) -> nn.Module:
    """A network from what is stored of its arm."""
    if network == "AlexNet":
        return AlexNet(**options)
    rest: dict[str, Any] = dict(options)
    side, filters = rest.pop("conv1")
    fires = fire_widths(**rest.pop("metaparameters"))
    return SqueezeNet(fires=fires, conv1=(side, filters), **rest)


def run(arm: Arm, seed: int) -> dict[str, Any]:
    """One training, measured on all images."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    train, test = garments()
    seed_everything(seed)
    model = build(arm["network"], arm["options"]).to(torch.float32)
    start = time.process_time()
    fit(model, train, recipe=arm["recipe"], seed=seed, device="cpu", progress=False)
    result: dict[str, Any] = {"seconds": round(time.process_time() - start, 1)}
    for name, images in (("train", train), ("test", test)):
        measured = evaluate(model, images)
        result |= {f"{name}_loss": measured["loss"], f"{name}_error": measured["error"]}
    return result


def fire(name: str, lr: float = FIRE_RECIPE.lr, ratio: float = 0.25, **changes: Any) -> Arm:
    """The network of Fire modules with some options changed."""
    metaparameters = METAPARAMETERS | {"squeeze_ratio": ratio}
    options = FIRE | {"metaparameters": metaparameters} | changes
    recipe = Recipe.from_dict(FIRE_RECIPE.to_dict() | {"lr": lr})
    return _arm(name, "SqueezeNet", options, recipe)


def alexnet(name: str, **changes: Any) -> Arm:
    """The small AlexNet with some options changed."""
    return _arm(name, "AlexNet", ALEXNET | changes, ALEXNET_RECIPE)


def _arm(name: str, network: str, options: dict[str, Any], recipe: Recipe) -> Arm:
    model = build(network, options)
    return {
        "name": name,
        "network": network,
        "options": options,
        "loss": "cross_entropy",
        "recipe": recipe,
        "parameters": count_parameters(model),
        "macs": count_macs(model, SHAPE),
    }


def arms() -> list[Arm]:
    """Those that the chapter trains itself first, then the changes."""
    return [
        alexnet("AlexNet"),
        fire("fire"),
        alexnet("AlexNet without fc6 and fc7", removed=[6, 7]),
        alexnet("AlexNet, thin", width_multiplier=0.6, hidden_units=40),
        fire("fire, no batch norm", batch_norm=False),
        fire("fire, no batch norm, lr 0.03", lr=0.03, batch_norm=False),
        fire("squeeze ratio 0.125", ratio=0.125),
        fire("squeeze ratio 1", ratio=1.0),
        fire("simple bypass", bypass="simple"),
        fire("complex bypass", bypass="complex"),
        fire("pooling early", pools=[2]),
        fire("pooling late", pools=[5]),
    ]


if __name__ == "__main__":
    main("squeezenet_parts", arms(), run, ABOUT)
