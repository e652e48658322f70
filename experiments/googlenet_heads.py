"""Do auxiliary heads help a small GoogLeNet to train? The runs behind a section of chapter 5.

    python -m experiments.googlenet_heads [--processes 2] [--output FILE] [--arms NAME ...]

A GoogLeNet of a sixteenth of its width, with all nine modules and without batch normalisation, is
trained with and without its two heads, and from two kinds of first weights. The answer depends on
the weights, which is why the chapter claims no gain. In float32, since nothing here is repeated
digit by digit. Some 6 minutes of one core.
"""

import time

import torch
from torch import nn

from cnnlib.data import ImageSet, load
from cnnlib.inspection import count_parameters
from cnnlib.models import create_model
from cnnlib.models.googlenet import auxiliary_loss
from cnnlib.train import Recipe, evaluate, fit, seed_everything

from .common import Arm, main

NETWORK = {
    "num_classes": 10,
    "in_channels": 1,
    "stem": "small",
    "width_multiplier": 1 / 16,
    "image_size": 14,
}
RECIPE = Recipe(epochs=4, lr=0.03, batch_size=50)
HEADS = {"no heads": False, "two heads": True}
STARTS = {"He": "he", "Glorot": "glorot"}

ABOUT = {
    "protocol": (
        "fashion_6k, the first 200 training and test images of each class, pooled to "
        "14 x 14 pixels, normalised; float32 (weights drawn in float64), one thread, CPU. A run "
        "is: seed_everything(seed); the network is built; with 'glorot' xavier_uniform_ draws the "
        "weights of all its convolutions and linear layers anew; fit(..., seed=seed)"
    ),
    "arms.options": "auxiliary_heads and start: 'he' (the library's own) or 'glorot'",
    "arms.loss": "auxiliary_loss of cnnlib.models.googlenet: cross-entropy without heads",
    "arms.parameters": "trainable numbers in training, heads included",
    "arms.runs": "per seed: fraction wrong of all training and test images after training, the "
    "heads off; epochs: fraction of training images wrong while each epoch went on; seconds of CPU",
}


def glorot(model: nn.Module) -> None:
    """Weights of all convolutions and linear layers anew (Glorot and Bengio 2010), in place."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)


def garments(split: str) -> ImageSet:
    """200 images of each class, 14 x 14 pixels, in float64; not normalised yet."""
    return load("fashion_6k", split).balanced(200).pooled(2).to(dtype=torch.float64)


def build(arm: Arm, seed: int) -> nn.Module:
    """The network of an arm with the first weights of a seed, in float32."""
    torch.set_default_dtype(torch.float64)  # float32 draws of weights differ between CPU types
    seed_everything(seed)
    heads = arm["options"]["auxiliary_heads"]
    model = create_model("googlenet_aux" if heads else "googlenet", **NETWORK)
    if arm["options"]["start"] == "glorot":
        glorot(model)
    return model.to(torch.float32)


def run(arm: Arm, seed: int) -> dict:
    """One training, measured on all images."""
    torch.set_num_threads(1)
    model = build(arm, seed)
    train = garments("train").normalized()
    test = garments("test").normalized(train.mean, train.std)
    train, test = train.to(dtype=torch.float32), test.to(dtype=torch.float32)
    start = time.process_time()
    options = {"recipe": arm["recipe"], "loss": auxiliary_loss, "seed": seed}
    history = fit(model, train, **options, device="cpu", progress=False)
    seconds = time.process_time() - start
    return {
        "train_error": round(evaluate(model, train)["error"], 6),
        "test_error": round(evaluate(model, test)["error"], 6),
        "epochs": [round(row["train_error"], 4) for row in history.rows],
        "seconds": round(seconds, 1),
    }


def arms() -> list[Arm]:
    """Both starts, without and with heads."""
    listed = []
    for start, key in STARTS.items():
        for heads, switch in HEADS.items():
            arm = {
                "name": f"{start}, {heads}",
                "options": {"auxiliary_heads": switch, "start": key},
                "loss": "auxiliary_loss",
                "recipe": RECIPE,
            }
            listed.append(arm | {"parameters": count_parameters(build(arm, 0))})
    return listed


if __name__ == "__main__":
    main("googlenet_heads", arms(), run, ABOUT)
