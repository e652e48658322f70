"""What a small ZFNet looks like inside, measured on five trained networks.

    python -m experiments.zfnet_inside [--processes 2] [--output FILE]

The network of ``zfnet_removed`` is trained from five seeds, and each is asked what the chapter asks
of one: does a unit fall silent when that is covered what its projection shows; how far do features
move when an image is moved; do explanations notice when layers forget what they have learned; when
is a layer what it will be. Some 3 minutes of one core.
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnnlib import explain
from cnnlib.data import Augmentation
from cnnlib.inspection import count_parameters
from cnnlib.train import evaluate, fit, seed_everything
from experiments.common import Arm, main
from experiments.zfnet_removed import RECIPE, SMALL, network, pictures

LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
ASKED = {"conv2": 3, "conv3": 5, "conv5": 7}  # layer -> side of the square that covers, in pixels
MOVES = {
    "none": (0,),
    "down": (1, 2, 4),  # pixels
    "larger": (1.1, 1.25, 1.5),
    "turned": (10, 20, 45),  # degrees
}
RULES = ("gradient", "guided", "deconvnet")
IMAGES = 200  # of the test set, for what is expensive

ABOUT = {
    "protocol": "the network, data and training of zfnet_removed, arm 'all layers'; measured on "
    f"the first {IMAGES} test pictures, drops on all of them",
    "arms": "'all layers' as there; 'shifted pictures' is trained on pictures that are moved by up "
    "to 3 pixels, anew in each epoch, and only its moves are measured",
    "arms.runs.under": "by layer and way: mean share of pixels under the square that have the "
    "colour of the background, within 0.05",
    "arms.runs.drops": "cnnlib.explain.drop_when_covered, by layer (square of 3, 5 and 7 pixels), "
    "once with the mean grey (0), once with the background; shares lost",
    "arms.runs.moves": "by kind and size of the move and by layer: mean over pictures of the "
    "Euclidean distance between the features of moved and original picture, divided by the "
    "length of the original's; and 'probability', the mean probability of the right class",
    "arms.runs.forgetting": "by rule: rank correlation between the absolute slopes of the trained "
    "network's first guess and those of copies in which fc8; fc8 and fc7; ...; all layers have "
    "fresh weights; 'grad_cam': of conv5, all layers fresh",
    "arms.runs.settling": "by layer: mean cosine between its features after 0 to 4 epochs and at "
    "the end, both minus their mean over the pictures",
}


def moved(
    images: Tensor,
    background: float,
    *,
    down: float = 0.0,
    larger: float = 1.0,
    turned: float = 0.0,
) -> Tensor:
    """Images that are moved down, enlarged and turned about their middle."""
    angle = math.radians(turned)
    cos, sin = math.cos(angle) / larger, math.sin(angle) / larger
    matrix = images.new_tensor([[cos, -sin, 0.0], [sin, cos, -2 * down / images.shape[2]]])
    grid = F.affine_grid(matrix.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images - background, grid, align_corners=False) + background


def features(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Of each layer (N, numbers)."""
    return {layer: explain.activations(model, layer, images).flatten(1) for layer in LAYERS}


def cosine(features: Tensor, others: Tensor) -> float:
    """Mean cosine of centred features."""
    return F.cosine_similarity(features - features.mean(0), others - others.mean(0)).mean().item()


def run(arm: Arm, seed: int) -> dict[str, Any]:
    """Trains one network and looks inside."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)  # float32 draws of weights differ between CPU types
    seed_everything(seed)
    model = network(arm["options"]).float()
    stages = [copy.deepcopy(model)]
    fit(
        model,
        pictures("train"),
        recipe=arm["recipe"],
        seed=seed,
        device="cpu",
        progress=False,
        after_epoch=lambda history: stages.append(copy.deepcopy(model)),
    )
    test = pictures("test")
    background = test.background
    assert isinstance(background, float)
    images, labels = test.images[:IMAGES], test.labels[:IMAGES]

    original = features(model, images)
    moves: dict[str, dict[str, dict[str, float]]] = {}
    for kind, sizes in MOVES.items():
        moves[kind] = {}
        for size in sizes:
            how = {} if kind == "none" else {kind: float(size)}
            pictures_moved = moved(images, background, **how)
            away = features(model, pictures_moved)
            distance = {
                layer: ((away[layer] - own).norm(dim=1) / own.norm(dim=1)).mean().item()
                for layer, own in original.items()
            }
            with torch.no_grad():
                shares = model(pictures_moved).softmax(1).gather(1, labels[:, None])
            moves[kind][str(size)] = rounded(distance | {"probability": shares.mean().item()})

    measured = {"test_error": evaluate(model, test)["error"], "moves": moves}
    if arm["name"] == "shifted pictures":
        return measured

    under = {}
    for layer, side in ASKED.items():
        darkness: dict[str, list[float]] = {}
        for case in explain.pointed_at(model, layer, test.images, patch=side):
            for way, (rows, columns) in case.squares.items():
                pixels = test.images[case.image][0, rows, columns]
                dark = (pixels - background).abs() < 0.05
                darkness.setdefault(way, []).append(dark.double().mean().item())
        under[layer] = rounded({way: fmean(values) for way, values in darkness.items()})
    drops = {
        layer: {
            colour: rounded(
                explain.drop_when_covered(model, layer, test.images, patch=side, fill=fill)
            )
            for colour, fill in {"grey": 0.0, "background": background}.items()
        }
        for layer, side in ASKED.items()
    }

    with torch.no_grad():
        guesses = model(images).argmax(1)
    seed_everything(1000 + seed)
    fresh = network(arm["options"]).float()
    order = ("fc8", *LAYERS[::-1])
    mixed = [explain.forgetting(model, fresh, order[: i + 1]) for i in range(len(order))]
    forgetting = {
        rule: [
            round(
                explain.rank_correlation(
                    explain.saliency(model, images, guesses, rule=rule).abs(),
                    explain.saliency(other, images, guesses, rule=rule).abs(),
                )
                .mean()
                .item(),
                4,
            )
            for other in mixed
        ]
        for rule in RULES
    }
    cams = [explain.grad_cam(m, "conv5", images, guesses) for m in (model, mixed[-1])]
    grad_cam = explain.rank_correlation(*cams).mean().item()

    settling = {
        layer: [round(cosine(features(stage, images)[layer], own), 4) for stage in stages]
        for layer, own in original.items()
    }
    return measured | {
        "drops": drops,
        "under": under,
        "forgetting": forgetting | {"grad_cam": round(grad_cam, 4)},
        "settling": settling,
    }


def rounded(numbers: dict[str, float]) -> dict[str, float]:
    """Four digits are enough to draw."""
    return {name: round(number, 4) for name, number in numbers.items()}


RECIPES = {
    "all layers": RECIPE,
    "shifted pictures": replace(RECIPE, augment=Augmentation(shift=3)),
}


def arms() -> list[Arm]:
    """One network, trained in two ways."""
    return [
        {
            "name": name,
            "options": SMALL | {"removed": []},
            "loss": "cross_entropy",
            "recipe": recipe,
            "parameters": count_parameters(network(SMALL)),
        }
        for name, recipe in RECIPES.items()
    ]


if __name__ == "__main__":
    main("zfnet_inside", arms(), run, ABOUT, show=("test_error",))
