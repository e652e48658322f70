"""The order of BN, ReLU and convolution, and what stands on the shortcut: five seeds each.

    python -m experiments.preact_orders [--processes 2] [--output FILE] [--arms NAME ...]

Three questions of He et al. (2016, "Identity Mappings in Deep Residual Networks"), asked small.
At 110 layers: which of the five orders of Figure 4 starts to learn at the paper's learning rate of
0.1, and does a lower rate, a slower warm-up or more epochs change the answer? At 56 layers: what do
the shortcuts of Table 1 cost, at a rate at which the identity learns well? Some 15 minutes of one
core.
"""

from __future__ import annotations

import functools
import time
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from cnnlib.data import ImageSet, load
from cnnlib.inspection import count_parameters
from cnnlib.models.preact_resnet import FIGURE_4, preact_resnet_cifar
from cnnlib.train import Recipe, evaluate, fit, seed_everything
from experiments.common import Arm, main

RECIPE = Recipe(epochs=2, batch_size=50, lr=0.1, weight_decay=1e-4)
LOW = 0.02  # the learning rate at which the order of 2015 learns, too
POINT = 4  # batches for one point of a training curve

ABOUT = {
    "protocol": (
        "the first 200 images per class of fashion_6k's training split and the first 100 per class "
        "of its test split, 14 x 14 by the mean of 2 x 2 pixels, normalised: load('fashion_6k')"
        ".balanced(200).pooled(2).normalized(). A run is, in float32 and one thread of a CPU: "
        "torch.set_default_dtype(torch.float64); seed_everything(seed); model = "
        "preact_resnet_cifar(**options).float(); fit(model, train, recipe=recipe, seed=seed)"
    ),
    "arms.options": "arguments of cnnlib.models.preact_resnet.preact_resnet_cifar",
    "arms.recipe": "what cnnlib.train.Recipe.from_dict reads",
    "arms.parameters": "number of trainable parameters",
    "arms.facets": "what the arms differ in",
    "arms.x": "where the points of the curves lie, in batches of 50 images",
    "runs.train_error": "and train_loss, test_error, test_loss: fraction wrong and mean loss of "
    "all images of the set after training, in evaluation mode",
    "runs.seconds": "CPU seconds of fit",
    "runs.curves": f"mean over {POINT} batches, in training mode, while the weights change",
}


def arms() -> list[Arm]:
    """The networks by question: orders, learning rates, warm-up, shortcuts, epochs."""

    def arm(name: str, *, recipe: dict[str, Any] | None = None, **options: Any) -> Arm:
        options = {
            "depth": 110, "block": "basic", "in_channels": 1, "widths": [8, 16, 32],
            "order": "full", "shortcut": "identity",
        } | options  # fmt: skip
        trained = Recipe.from_dict(RECIPE.to_dict() | (recipe or {}))
        batches = 2000 // trained.batch_size * trained.epochs
        points = [POINT * (point + 0.5) for point in range(batches // POINT)]
        return {
            "name": name,
            "options": options,
            "loss": "cross_entropy",
            "recipe": trained,
            "parameters": count_parameters(preact_resnet_cifar(**options)),
            "facets": {
                "depth": options["depth"],
                "order": options["order"],
                "shortcut": options["shortcut"],
                "gate_bias": options.get("gate_bias"),
                "lr": trained.lr,
                "warmup": trained.warmup,
                "epochs": trained.epochs,
            },
            "x": {"train_error": points, "train_loss": points},
        }

    pair = ("original", "full")
    low, ramp, longer = {"lr": LOW}, {"warmup": 0.6}, {"epochs": 4}
    shortcuts: list[dict[str, Any]] = [
        {"shortcut": "identity"},
        {"shortcut": "scaling"},
        {"shortcut": "exclusive_gating", "gate_bias": -6.0},
        {"shortcut": "shortcut_only_gating", "gate_bias": 0.0},
        {"shortcut": "shortcut_only_gating", "gate_bias": -6.0},
        {"shortcut": "conv"},
        {"shortcut": "dropout"},
    ]
    return [
        *(arm(order, order=order) for order in FIGURE_4),
        *(arm(f"{order}, lr {LOW}", order=order, recipe=low) for order in pair),
        arm("original, slow warm-up", order="original", recipe=ramp),
        *(
            arm(
                " ".join(["56 layers,", *map(str, shortcut.values())]),
                depth=56,
                order="original",
                recipe=low,
                **shortcut,
            )
            for shortcut in shortcuts
        ),
        *(arm(f"{order}, 4 epochs", order=order, recipe=longer) for order in pair),
    ]


@functools.cache
def images() -> tuple[ImageSet, ImageSet]:
    """The training and the test images, float32."""
    train = load("fashion_6k").balanced(200).pooled(2).normalized()
    test = load("fashion_6k", "test").balanced(100).pooled(2)
    return train, test.normalized(train.mean, train.std)


def run(arm: Arm, seed: int) -> dict[str, Any]:
    """One training, measured on both sets."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)  # float32 draws of weights differ between CPU types
    seed_everything(seed)
    model = preact_resnet_cifar(**arm["options"]).float()
    train, test = images()
    recorder = Recorder()
    start = time.process_time()
    fit(
        model,
        train,
        recipe=arm["recipe"],
        loss=recorder,
        seed=seed,
        device="cpu",
        progress=False,
    )
    result: dict[str, Any] = {"seconds": round(time.process_time() - start, 2)}
    for name, split in (("train", train), ("test", test)):
        measured = evaluate(model, split)
        result |= {f"{name}_error": measured["error"], f"{name}_loss": measured["loss"]}
    return result | {"curves": recorder.curves(len(arm["x"]["train_loss"]))}


class Recorder:
    """Cross-entropy that remembers what it saw while the network trained."""

    def __init__(self) -> None:
        self.__name__ = F.cross_entropy.__name__
        self.seen: list[tuple[float, float]] = []  # loss and share of wrong answers of a batch

    def __call__(self, scores: Tensor, labels: Tensor) -> Tensor:
        value = F.cross_entropy(scores, labels)
        if scores.requires_grad:
            wrong = (scores.argmax(1) != labels).double().mean().item()
            self.seen.append((value.item(), wrong))
        return value

    def curves(self, points: int) -> dict[str, list[float]]:
        """Means over batches of equal size, to the four digits that a drawing needs."""
        assert len(self.seen) == points * POINT, f"{len(self.seen)} batches for {points} points"
        losses, errors = torch.tensor(self.seen).view(points, POINT, 2).mean(1).T.tolist()
        return {
            "train_error": [round(value, 4) for value in errors],
            "train_loss": [float(f"{value:.4g}") for value in losses],
        }


if __name__ == "__main__":
    main("preact_orders", arms(), run, ABOUT)
