"""One recipe, one set of images, the networks of chapters 1 to 13 in small: table of chapter 14.

    python -m experiments.looking_back [--processes 2] [--output FILE] [--arms NAME ...]

Fourteen networks of about a million multiply-adds (LeNet-5, whose size is fixed, has fewer) learn
4,000 pictures of clothes in three passes, each with three seeds. Seven of them learn a second time,
with a fifth of the learning rate, to see what the choice of the recipe decides. Which pictures a
network gets wrong is stored too. Before, all networks take turns in answering 100 pictures, and the
processor's time is taken. Some seven minutes of one core.
"""

from __future__ import annotations

import functools
import statistics
import time
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from cnnlib.data import ImageSet, load
from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models import create_model
from cnnlib.train import Recipe, evaluate, fit, seed_everything
from experiments.common import Arm, main

RECIPE = Recipe(epochs=3, lr=0.05, batch_size=50)
GENTLE = Recipe(epochs=3, lr=0.01, batch_size=50)
SEEDS = (0, 1, 2)
ROUNDS = 7
SMALL = {"num_classes": 10, "in_channels": 1}
_PLAIN = {"dropout": 0.0, "image_size": 16, "stem": "small", "initial": "he"}
_STAGES = {"blocks": [2, 2, 2], "widths": [6, 12, 24]}

NETWORKS: dict[str, tuple[str, str, dict[str, Any]]] = {  # name: chapter, in the registry, options
    "LeNet-5": ("01_lenet", "lenet5_modern", {}),
    "AlexNet": (
        "02_alexnet",
        "alexnet",
        _PLAIN | {"width_multiplier": 0.08, "hidden_units": 96},
    ),
    "ZFNet": ("03_zfnet", "zfnet", _PLAIN | {"width_multiplier": 0.14, "hidden_units": 96}),
    "VGG": ("04_vgg", "vgg_b", _PLAIN | {"width_multiplier": 0.075, "hidden_units": 64}),
    "VGG with batch norm": (
        "04_vgg",
        "vgg_b_bn",
        _PLAIN | {"width_multiplier": 0.075, "hidden_units": 64},
    ),
    "GoogLeNet": (
        "05_googlenet",
        "googlenet_bn",
        {"width_multiplier": 0.055, "stem": "small", "dropout": 0.0},
    ),
    "ResNet": ("06_resnet", "resnet20_cifar", _STAGES),
    "Pre-activation ResNet": ("07_preact_resnet", "preact_resnet110_cifar", _STAGES),
    "DenseNet": (
        "08_densenet",
        "densenet_bc_cifar_l40_k12",
        {"blocks": [2, 3, 4], "growth_rate": 6, "initial_width": 8},
    ),
    "SE-ResNet": (
        "09_senet",
        "se_resnet18",
        _STAGES | {"stem": "small", "reduction": 4, "shortcut": "A"},
    ),
    "SqueezeNet": (
        "10_squeezenet",
        "squeezenet1_0",
        {
            "fires": [[8, 16, 16], [8, 16, 16], [12, 24, 24], [12, 24, 24]],
            "conv1": [7, 16],
            "pools": [3],
            "stem": "small",
            "conv10_relu": False,
            "batch_norm": True,
            "dropout": 0.0,
        },
    ),
    "MobileNet": (
        "11_mobilenet",
        "mobilenet_v1_1_224",
        {
            "rows": [[16, 1], [32, 1], [64, 2], [64, 1], [128, 2], [128, 1]],
            "stem": "small",
        },
    ),
    "NASNet": (
        "12_nasnet",
        "nasnet_a_cifar",
        {"repeats": 1, "filters": 96, "stem_filters": 8, "drop_path": 0.0},
    ),
    "EfficientNet": (
        "13_efficientnet",
        "efficientnet_b0",
        {
            "rows": [[1, 12, 1, 1], [4, 20, 2, 2], [4, 32, 2, 2]],
            "stem_width": 12,
            "head_width": 64,
            "divisor": 4,
            "stem": "small",
            "dropout": 0.0,
            "stochastic_depth": 0.0,
            "norm_momentum": 0.1,
        },
    ),
}
TWICE = ("LeNet-5", "ZFNet", "VGG", "VGG with batch norm", "ResNet", "SE-ResNet", "MobileNet")

ABOUT = {
    "protocol": (
        "fashion_6k: 4,000 training and 2,000 test pictures, pooled to 14 x 14 pixels, padded to "
        "16 x 16, normalised by the training set's mean and standard deviation; LeNet-5, which "
        "takes 32 x 32, gets every pixel four times. float32 (weights drawn in float64), one "
        "thread, CPU. A run is: torch.set_default_dtype(torch.float64); seed_everything(seed); "
        "model = create_model(options['model'], num_classes=10, in_channels=1, "
        "**options['options']).float(); fit(model, train, test, recipe=recipe, seed=seed)"
    ),
    "arms": "name: of the network; with ', lr 0.01' the same network learned with that rate",
    "arms.macs": "multiply-adds for one picture",
    "arms.milliseconds": (
        "processor time of 100 pictures divided by 100, evaluation mode, eager, one thread: median "
        f"and quartiles of {ROUNDS} rounds in which all networks take turns. Other work went on on "
        "the same machine"
    ),
    "arms.runs": (
        "per seed: fraction wrong of all training and test pictures after training, in evaluation "
        "mode; wrong: the test pictures got wrong, a bit each, first picture first, as a "
        "hexadecimal number; seconds of CPU time of fit"
    ),
}


@functools.cache
def pictures(split: str, repeated: bool) -> ImageSet:
    """The clothes, 16 x 16 pixels, or 32 x 32 with every pixel four times; as the protocol says."""
    train = load("fashion_6k").pooled(2).normalized()
    chosen = train if split == "train" else load("fashion_6k", split).pooled(2)
    chosen = chosen if split == "train" else chosen.normalized(train.mean, train.std)
    chosen = chosen.padded(16).to(dtype=torch.float32)
    if repeated:
        big = chosen.images.repeat_interleave(2, 2).repeat_interleave(2, 3)
        chosen = replace(chosen, images=big)
    return chosen


def build(options: dict[str, Any]) -> nn.Module:
    """The network of an arm with the next random weights."""
    return create_model(options["model"], **SMALL, **options["options"]).float()


def side(options: dict[str, Any]) -> int:
    """Height and width of the pictures that the network takes."""
    return 32 if options["model"].startswith("lenet") else 16


def run(arm: Arm, seed: int) -> dict[str, Any]:
    """One training, measured on all pictures."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    repeated = side(arm["options"]) == 32
    train, test = pictures("train", repeated), pictures("test", repeated)
    seed_everything(seed)
    model = build(arm["options"])
    start = time.process_time()
    fit(model, train, recipe=arm["recipe"], seed=seed, device="cpu", progress=False)
    seconds = time.process_time() - start
    with torch.no_grad():
        guesses = torch.cat([model(part).argmax(1) for part in test.images.split(500)])
    wrong = (guesses != test.labels).tolist()
    return {
        "train_error": evaluate(model, train)["error"],
        "test_error": sum(wrong) / len(wrong),
        "wrong": f"{int(''.join('01'[bit] for bit in wrong), 2):0{len(wrong) // 4}x}",
        "seconds": round(seconds, 1),
    }


def timed() -> dict[str, dict[str, float]]:
    """Milliseconds per picture of every network: median and quartiles over the rounds."""
    torch.set_num_threads(1)
    answers, spent = {}, {}
    for name, (_, model, options) in NETWORKS.items():
        chosen = {"model": model, "options": options}
        answers[name] = build(chosen).eval(), torch.rand(100, 1, *[side(chosen)] * 2).float()
        spent[name] = []
    with torch.inference_mode():
        for turn in range(ROUNDS + 1):
            for name, (model, images) in answers.items():
                start = time.process_time()
                model(images)
                if turn > 0:  # the first is for warming up
                    spent[name].append(1000 * (time.process_time() - start) / len(images))
    return {
        name: dict(
            zip(
                ("low", "median", "high"),
                (round(value, 4) for value in statistics.quantiles(values, n=4)),
                strict=True,
            )
        )
        for name, values in spent.items()
    }


def arms() -> list[Arm]:
    """All networks with the recipe, then seven of them with a gentler one."""
    times = timed()
    listed = []
    for recipe, names in ((RECIPE, NETWORKS), (GENTLE, TWICE)):
        for name in names:
            chapter, model, options = NETWORKS[name]
            chosen = {"model": model, "options": options}
            network = build(chosen)
            listed.append(
                {
                    "name": name if recipe is RECIPE else f"{name}, lr {recipe.lr}",
                    "network": name,
                    "chapter": chapter,
                    "options": chosen,
                    "loss": "cross_entropy",
                    "recipe": recipe,
                    "parameters": count_parameters(network),
                    "macs": count_macs(network, (1, *[side(chosen)] * 2)),
                    "milliseconds": times[name],
                }
            )
    return listed


if __name__ == "__main__":
    main("looking_back", arms(), run, ABOUT, seeds=SEEDS)
