"""VGG in narrow: which first weights let which depth learn, and what depth then brings.

The columns A, B, D and E of the paper's Table 1, an eighth as wide, learn 4,000 small images in
four passes. What differs is where they start: from the normal distribution of AlexNet, from
Glorot's or He's weights, with batch normalisation, or as in Section 3.1 of the paper from the
trained layers of a shallower network. For B there is also the paper's own control, with a layer of
5 x 5 for each pair of 3 x 3 (Section 4.1). It takes about a quarter of an hour of a CPU's time:

    python -m experiments.vgg_depth
"""

from __future__ import annotations

import functools
import time
from typing import Any

import torch
from torch import nn

from cnnlib.data import ImageSet, load
from cnnlib.inspection import count_parameters
from cnnlib.models.vgg import VGG
from cnnlib.train import Recipe, evaluate, fit, seed_everything
from experiments import common

NARROW = {
    "num_classes": 10,
    "in_channels": 1,
    "width_multiplier": 1 / 8,
    "hidden_units": 64,
    "dropout": 0.0,  # meant for 4,096 units
    "image_size": 32,
}
PLAIN = Recipe(epochs=4, lr=0.02)
NORMED = Recipe(epochs=4, lr=0.05)
# The layers that a deeper network takes over from A: the first four convolutions, fc6 to fc8.
FROM_A = (
    "block1.conv1_1",
    "block2.conv2_1",
    "block3.conv3_1",
    "block3.conv3_2",
    "fc6",
    "fc7",
    "fc8",
)

ARMS = [  # start, column, first weights, batch normalisation
    ("normal", "A", "alexnet", False),
    ("Glorot", "A", "glorot", False),
    ("Glorot", "D", "glorot", False),
    ("Glorot, layers of A", "D", "glorot", False),
    *(("He", column, "he", False) for column in ("A", "B", "B-5x5", "D", "E")),
    *(("He, batch norm", column, "he", True) for column in ("A", "B", "B-5x5", "D", "E")),
]

ABOUT = {
    "protocol": (
        "fashion_6k padded to 32 x 32 and normalised: 4,000 training and 2,000 test images; one "
        "thread, CPU. A run is: torch.set_default_dtype(torch.float64); seed_everything(seed); "
        "model = VGG(**options).float(); fit(model, train, test, recipe=recipe, seed=seed). In "
        "float32, so the last digits depend on the processor"
    ),
    "arms": "name: how it starts and the column of Table 1; B-5x5 has a layer of 5 x 5 for each "
    "pair of 3 x 3 of B (Section 4.1)",
    "arms.options": "arguments of cnnlib.models.vgg.VGG",
    "arms.start": "'Glorot, layers of A': A is trained first, with the same seed and recipe; its "
    "first four convolutions and its fully connected layers are copied by name (Section 3.1)",
    "arms.recipe": "what cnnlib.train.Recipe.from_dict reads",
    "arms.parameters": "number of trainable parameters",
    "arms.runs": "per seed: mean loss and fraction wrong of all training and test images after "
    "training, in evaluation mode; losses: mean training loss of each pass, while it went on; "
    "seconds of CPU time of the training",
}


@functools.cache
def clothes() -> tuple[ImageSet, ImageSet]:
    """Training and test images, in float32."""
    train = load("fashion_6k").padded(32).normalized()
    return train, load("fashion_6k", "test").padded(32).normalized(train.mean, train.std)


def network(options: dict[str, Any], seed: int) -> VGG:
    """A fresh network; its weights are drawn in float64, where all processors draw the same."""
    torch.set_default_dtype(torch.float64)
    seed_everything(seed)
    return VGG(**options).float()


@torch.no_grad()
def copy_layers(model: nn.Module, trained: nn.Module) -> None:
    """Puts the layers of a trained A into a deeper network."""
    for name in FROM_A:
        model.get_submodule(name).load_state_dict(trained.get_submodule(name).state_dict())


def run(arm: common.Arm, seed: int) -> dict[str, Any]:
    """One training, measured on both sets."""
    torch.set_num_threads(1)
    train, test = clothes()
    settings = {"recipe": arm["recipe"], "seed": seed, "device": "cpu", "progress": False}
    start = time.process_time()
    model = network(arm["options"], seed)
    if arm["start"] == "Glorot, layers of A":
        shallow = network(arm["options"] | {"config": "A"}, seed)
        fit(shallow, train, **settings)
        copy_layers(model, shallow)
    history = fit(model, train, **settings)
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
    for start, column, initial, batch_norm in ARMS:
        options = NARROW | {"config": column, "initial": initial, "batch_norm": batch_norm}
        made.append(
            {
                "name": f"{start}: {column}",
                "start": start,
                "column": column,
                "options": options,
                "loss": "cross_entropy",
                "recipe": NORMED if batch_norm else PLAIN,
                "parameters": count_parameters(VGG(**options)),
            }
        )
    return made


if __name__ == "__main__":
    common.main("vgg_depth", arms(), run, ABOUT)
