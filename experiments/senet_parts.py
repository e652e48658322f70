"""Which part of a unit matters? The short runs behind chapter 9.

    python -m experiments.senet_parts [--processes 2] [--output FILE] [--arms NAME ...]

The residual network of 14 layers at half the width of ``senet_gain`` and with half of its images,
so that one training takes seconds: with and without units in float64, which the chapter repeats
digit by digit; and in float32 the options that the paper compares (where the unit stands, the
reduction, what ends it), a softmax instead of the sigmoid, and units that do not see the image.
Some 5 minutes of one core.
"""

import time

import torch
from torch import nn

from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models import senet
from cnnlib.models.layers import SqueezeExcitation
from cnnlib.train import Recipe, fit, seed_everything

from .common import Arm, main
from .senet_gain import NETWORK, REDUCTION, build, garments, measured, spread

SHORT = NETWORK | {"widths": (8, 16, 32)}
IMAGES = 200  # to train, of each class
RECIPE = Recipe(epochs=4, lr=0.1, batch_size=64)
ARMS = {  # name: options of the network, or "gate" and "blind", which are set afterwards; dtype
    "without units": ({"reduction": None}, "float64"),
    "with units": ({}, "float64"),
    "pre": ({"position": "pre"}, "float32"),
    "post": ({"position": "post"}, "float32"),
    "identity": ({"position": "identity"}, "float32"),
    "r = 2": ({"reduction": 2}, "float32"),
    "r = 8": ({"reduction": 8}, "float32"),
    "tanh": ({"excitation": "tanh"}, "float32"),
    "ReLU": ({"excitation": "relu"}, "float32"),
    "softmax": ({"gate": "softmax"}, "float32"),
    "blind": ({"blind": True}, "float32"),
}

ABOUT = {
    "protocol": (
        "fashion_6k, the first 200 training images of each class and all 2,000 test images, "
        "pooled to 14 x 14 pixels, normalised; weights drawn in float64, one thread, CPU. A run "
        "is: seed_everything(seed); changed(...), brought to the arm's dtype; fit(..., seed=seed)"
    ),
    "arms.options": "of the network; gate 'softmax': over the channels, instead of the sigmoid; "
    "blind: the unit gets zeros instead of the means of the maps",
    "arms.dtype": "of weights and images",
    "arms.macs": "multiply-adds for one image of 14 x 14 pixels",
    "arms.runs": "per seed: mean loss and fraction wrong of all training and test images after "
    "training; seconds of CPU; with units also, a number per unit: spread, the standard deviation "
    "of the 10 class means of a channel's excitation, averaged over channels, and spread_initial, "
    "the same before training",
}


def changed(*, gate: str | None = None, blind: bool = False, **options) -> nn.Module:
    """The network of an arm."""
    model = build(**options)
    for unit in model.modules():
        if isinstance(unit, SqueezeExcitation):
            if gate == "softmax":
                unit.gate = nn.Softmax(dim=1)
            if blind:
                unit.reduce.register_forward_pre_hook(lambda _, inputs: torch.zeros_like(inputs[0]))
    return model


def run(arm: Arm, seed: int) -> dict:
    """One training."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    dtype = getattr(torch, arm["dtype"])
    train, test = (images.to(dtype=dtype) for images in garments(IMAGES))
    seed_everything(seed)
    model = changed(**arm["options"]).to(dtype)

    def spreads() -> list[float]:
        found = senet.excitations(model, test.images)
        return [round(spread(values, test.labels), 6) for values in found.values()]

    inside = {"spread_initial": spreads()}
    start = time.process_time()
    fit(model, train, recipe=arm["recipe"], seed=seed, device="cpu", progress=False)
    result = {"seconds": round(time.process_time() - start, 1)} | measured(model, train, test)
    if inside["spread_initial"]:
        result |= inside | {"spread": spreads()}
    return result


def arms() -> list[Arm]:
    """All networks, the pair first."""
    listed = []
    for name, (own, dtype) in ARMS.items():
        options = {"reduction": REDUCTION, **SHORT, **own}
        model = changed(**options)
        listed.append(
            {
                "name": name,
                "options": options,
                "loss": "cross_entropy",
                "recipe": RECIPE,
                "dtype": dtype,
                "parameters": count_parameters(model),
                "macs": count_macs(model, (1, 14, 14)),
            }
        )
    return listed


if __name__ == "__main__":
    main("senet_parts", arms(), run, ABOUT)
