"""Concatenate, add or just pass on? Small networks of about 40,000 parameters, for chapter 8.

    python -m experiments.densenet_wiring [--processes 2] [--output FILE] [--arms NAME ...]

Fourteen or sixteen layers in three stages, wired in three ways: every layer reads all layers of its
stage (DenseNet, without and with bottlenecks), every second one adds to what there was (ResNet),
or each reads the layer before it only (a chain: once as narrow as the DenseNet's layers, once with
as many parameters). Three epochs each. Some 3 minutes of one core.
"""

from __future__ import annotations

import functools
import time
from typing import Any

import torch
from torch import nn

from cnnlib.data import ImageSet, load
from cnnlib.inspection import count_macs, count_parameters, summarize
from cnnlib.models.densenet import DenseLayer, DenseNet, Transition
from cnnlib.models.layers import init_he
from cnnlib.models.resnet import resnet_cifar
from cnnlib.train import Recipe, evaluate, fit, seed_everything
from experiments.common import Arm, main

RECIPE = Recipe(epochs=3, batch_size=50, lr=0.1, weight_decay=1e-4)
SHAPE = (1, 14, 14)
FIRST = 16  # maps of a chain's first convolution, as in the paper's DenseNets without compression
STAGES, LAYERS = 3, 4

ABOUT = {
    "protocol": (
        "the first 200 images per class of fashion_6k's training split and all of its test split, "
        "14 x 14 by the mean of 2 x 2 pixels, normalised: load('fashion_6k').balanced(200)"
        ".pooled(2).normalized(). A run is, in float32 and one thread of a CPU: "
        "torch.set_default_dtype(torch.float64); seed_everything(seed); model = build(kind, "
        "**options).float(); fit(model, train, recipe=recipe, seed=seed)"
    ),
    "arms.options": "kind: dense, residual or chain; the rest: of cnnlib.models.densenet.DenseNet, "
    "of resnet_cifar, or the width of the chain",
    "arms.macs": "multiply-adds for one image of 14 x 14 pixels",
    "arms.kept_bytes": "bytes that one image leaves behind for the way back, in float32",
    "runs.train_error": "and train_loss, test_error, test_loss: fraction wrong and mean loss of "
    "all images of the set after training, in evaluation mode",
    "runs.seconds": "CPU seconds of fit",
}


def dense(**options: Any) -> nn.Module:
    """A DenseNet for the small images."""
    return DenseNet(10, 1, stem="small", **options)


def residual(depth: int, **options: Any) -> nn.Module:
    """A ResNet with shortcuts of option A."""
    return resnet_cifar(depth, in_channels=1, **options)


def chain(width: int) -> nn.Module:
    """The layers of a DenseNet, each of which reads only what the layer before it has said.

    Returns:
        A network (N, 1, H, W) -> (N, 10) with ``width`` maps everywhere but behind the first
        convolution.
    """
    layers: list[nn.Module] = [nn.Conv2d(1, FIRST, 3, padding=1, bias=False)]
    maps = FIRST
    for stage in range(STAGES):
        for _ in range(LAYERS):
            layers.append(DenseLayer(maps, width, bottleneck=False, dropout=0.0))
            maps = width
        if stage < STAGES - 1:
            layers.append(Transition(maps, maps, dropout=0.0))
    layers += [nn.BatchNorm2d(maps), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = nn.Sequential(*layers, nn.Linear(maps, 10))
    init_he(network)
    return network


KINDS = {"dense": dense, "residual": residual, "chain": chain}


def build(kind: str, **options: Any) -> nn.Module:
    """The network of an arm."""
    return KINDS[kind](**options)


PLAIN = {"blocks": [LAYERS] * STAGES, "growth_rate": 6, "bottleneck": False, "compression": 1.0}
NETWORKS: dict[str, dict[str, Any]] = {
    "dense": {"kind": "dense", **PLAIN},
    "dense-BC": {"kind": "dense", "blocks": [6] * STAGES, "growth_rate": 6},
    "residual": {"kind": "residual", "depth": 14, "widths": [8, 16, 32]},
    "chain, narrow": {"kind": "chain", "width": 6},
    "chain, wide": {"kind": "chain", "width": 19},
}


def arm(name: str, recipe: Recipe) -> Arm:
    """One of the networks with its counts."""
    network = build(**NETWORKS[name]).float()
    return {
        "name": name,
        "options": NETWORKS[name],
        "loss": "cross_entropy",
        "recipe": recipe,
        "parameters": count_parameters(network),
        "macs": count_macs(network, SHAPE),
        "kept_bytes": summarize(network, SHAPE, memory=True).kept_bytes,
    }


@functools.cache
def images() -> tuple[ImageSet, ImageSet]:
    """The training and the test images, float32."""
    train = load("fashion_6k").balanced(200).pooled(2).normalized()
    test = load("fashion_6k", "test").pooled(2)
    return train, test.normalized(train.mean, train.std)


def run(arm: Arm, seed: int) -> dict[str, Any]:
    """One training, measured on both sets."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)  # float32 draws of weights differ between CPU types
    seed_everything(seed)
    model = build(**arm["options"]).float()
    train, test = images()
    start = time.process_time()
    fit(model, train, recipe=arm["recipe"], seed=seed, device="cpu", progress=False)
    result: dict[str, Any] = {"seconds": round(time.process_time() - start, 2)}
    for name, split in (("train", train), ("test", test)):
        measured = evaluate(model, split)
        result |= {f"{name}_error": measured["error"], f"{name}_loss": measured["loss"]}
    return result


if __name__ == "__main__":
    main("densenet_wiring", [arm(name, RECIPE) for name in NETWORKS], run, ABOUT)
