"""What single parts of AlexNet change in a small one: dropout, overlapping pooling, response norm.

    python -m experiments.alexnet_parts [--processes 2] [--output FILE] [--arms NAME ...]

Two arms learn 1,000 clothes by heart, with and without dropout. Four arms learn 4,000 with and
without overlapping pooling and response normalisation. In float32: digits differ a little between
CPU types, by far less than between seeds. Some 5 minutes of one core.
"""

import time
from typing import Any

import torch

from cnnlib.data import ImageSet, load
from cnnlib.inspection import count_parameters
from cnnlib.models.alexnet import AlexNet
from cnnlib.train import Recipe, evaluate, fit, seed_everything
from experiments.common import Arm, main

COMMON: dict[str, Any] = {
    "num_classes": 10,
    "in_channels": 1,
    "towers": 1,
    "stem": "small",
    "initial": "he",
}
CONNECTED: dict[str, Any] = COMMON | {  # two convolutions, three fully connected layers
    "lrn": False,
    "image_size": 14,
    "removed": [2, 4, 5],
    "widths": [16, 16, 32, 32, 32],
    "hidden_units": 256,
}
CONVOLVED: dict[str, Any] = COMMON | {  # three convolutions, one fully connected layer
    "dropout": 0.0,
    "image_size": 15,  # odd sides, so that both poolings give maps of equal size: 15, 7, 3
    "removed": [4, 5, 6, 7],
    "widths": [16, 16, 32, 32, 32],
}
BY_HEART = Recipe(epochs=30, lr=0.02, batch_size=50, weight_decay=0.0)
USUAL = Recipe(epochs=6, lr=0.03)

ABOUT = {
    "protocol": (
        "fashion_6k, pooled to 14 x 14 pixels and normalised; float32 (weights drawn in float64), "
        "one thread, CPU. Dropout: the first 100 images of each class, 2,000 test images. Pooling "
        "and response norm: 4,000 images padded to 15 x 15, 2,000 test images. A run is: "
        "torch.set_default_dtype(torch.float64); seed_everything(seed); model = "
        "AlexNet(**options).float(); fit(model, train, recipe=recipe, seed=seed)"
    ),
    "train_loss, train_error": "in the last epoch, while it goes on: with dropout",
    "fit_loss, fit_error": "on the training images after training: without dropout",
    "test_loss, test_error": "on the test images after training",
    "seconds": "CPU seconds of the training",
}


def images(split: str, side: int) -> ImageSet:
    """Clothes at half size, normalised as the training images are, perhaps with a border."""
    train = load("fashion_6k", "train").pooled(2).to(dtype=torch.float32).normalized()
    if split == "train":
        return train.padded(side)
    others = load("fashion_6k", split).pooled(2).to(dtype=torch.float32)
    return others.normalized(train.mean, train.std).padded(side)


def arms() -> list[Arm]:
    """Dropout, then pooling and response normalisation."""
    settings: list[tuple[str, dict[str, Any], Recipe]] = [
        (f"dropout {p}", CONNECTED | {"dropout": p}, BY_HEART) for p in (0.0, 0.5)
    ]
    for name, overlap, lrn in (
        ("neither", False, False),
        ("overlapping pooling", True, False),
        ("response norm", False, True),
        ("both", True, True),
    ):
        options = CONVOLVED | {"overlapping_pooling": overlap, "lrn": lrn}
        settings.append((name, options, USUAL))
    return [
        {
            "name": name,
            "options": options,
            "loss": "cross_entropy",
            "recipe": recipe,
            "parameters": count_parameters(AlexNet(**options)),
        }
        for name, options, recipe in settings
    ]


def run(arm: Arm, seed: int) -> dict:
    """One training."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)  # float32 draws of weights differ between CPU types
    side = arm["options"]["image_size"]
    train, test = images("train", side), images("test", side)
    if arm["recipe"] == BY_HEART:
        train = train.balanced(100)
    seed_everything(seed)
    model = AlexNet(**arm["options"]).float()
    start = time.process_time()
    history = fit(model, train, recipe=arm["recipe"], seed=seed, device="cpu", progress=False)
    result = {"seconds": round(time.process_time() - start, 2)}
    result |= {key: history.final[key] for key in ("train_loss", "train_error")}
    for name, data in (("fit", train), ("test", test)):
        measured = evaluate(model, data)
        result |= {f"{name}_loss": measured["loss"], f"{name}_error": measured["error"]}
    return result


if __name__ == "__main__":
    main("alexnet_parts", arms(), run, ABOUT)
