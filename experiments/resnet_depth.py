"""Degradation and its cure: plain and residual networks of 14 to 56 layers, five seeds each.

    python -m experiments.resnet_depth [--processes 2] [--output FILE] [--arms NAME ...]

Beside errors and losses it measures what the chapter on ResNet argues with: the training curves,
the gradient at every block before and after training, and what happens when blocks are taken out
of a trained network, after "Residual Networks Behave Like Ensembles of Relatively Shallow
Networks" (A. Veit, M. Wilber, S. Belongie, NeurIPS 2016, arXiv:1605.06431). Some 15 minutes of one
core.
"""

from __future__ import annotations

import copy
import functools
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnnlib.data import ImageSet, load
from cnnlib.inspection import count_parameters
from cnnlib.models.resnet import ResidualBlock, ResNet, make_shortcut, resnet_cifar
from cnnlib.train import Recipe, evaluate, fit, seed_everything
from experiments.common import Arm, main

RECIPE = Recipe(epochs=4, batch_size=32, lr=0.1, weight_decay=1e-4)
POINTS = 3  # of a training curve per epoch
GRADIENT_IMAGES = 256
SMALL, LARGE = 14, 44  # layers of the networks from which blocks are taken out
SEVERAL = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20)  # how many at a time from the large ones
DRAWS = 5  # random choices of so many blocks, and paths of each length
FEW_IMAGES = 500  # test images for random choices of blocks
PATH_IMAGES = 64

ABOUT = {
    "protocol": (
        "the first 200 images per class of fashion_6k's training split and its 2,000 test images, "
        "14 x 14 by the mean of 2 x 2 pixels, normalised: load('fashion_6k').balanced(200)"
        ".pooled(2).normalized(). A run is, in one thread of a CPU: "
        "torch.set_default_dtype(torch.float64); seed_everything(seed); model = "
        "resnet_cifar(**options).to(dtype); fit(model, train, test, recipe=recipe, seed=seed)"
    ),
    "arms.options": "arguments of cnnlib.models.resnet.resnet_cifar",
    "arms.recipe": "what cnnlib.train.Recipe.from_dict reads",
    "arms.parameters": "number of trainable parameters",
    "arms.facets": "what the arms differ in: layers, shortcut (none: plain), highest learning rate",
    "arms.dtype": "in which the network is trained; its weights are always drawn in float64",
    "arms.x": "where the points of the curves lie, in epochs",
    "runs.train_error": "and train_loss, test_error, test_loss: fraction wrong and mean loss of "
    "all images of the set after training, in evaluation mode",
    "runs.seconds": "CPU seconds of fit",
    "runs.curves": "of the training images the mean over the batches since the point before, in "
    "training mode, while the weights change; of the test images all, in evaluation mode",
    "runs.gradients_initial": "and gradients_trained: norm of the gradient of the mean loss of the "
    f"first {GRADIENT_IMAGES} training images, in training mode, with respect to the weights of "
    "the first convolution of each block, first block first; before training in float64",
    "runs.subset_test_error": "and subset_train_error: error after taking out each set of the "
    "blocks of the trained network; number n is the set whose bits are those of n, the first block "
    "being the lowest. A block that is taken out hands on its input; between two stages what "
    "option A makes of it, every second pixel and channels of zeros, in the plain network too",
    "runs.single_test_error": "error after taking out one block, first block first",
    "runs.several_test_error": f"errors on the first {FEW_IMAGES} test images after taking out so "
    f"many blocks, {DRAWS} random choices of them",
    "runs.path_gradients": "gradient along paths through no, one, two, ... blocks: norm of the "
    f"gradient of an image's loss with respect to the input of the first block, mean over "
    f"{PATH_IMAGES} training images, evaluation mode, and over {DRAWS} random paths of this "
    "length",
}


def arms() -> list[Arm]:
    """The networks: by depth (those that the chapter trains itself first), then the variants."""

    def arm(name: str, depth: int, shortcut: str, lr: float = 0.1, dtype: str = "float32") -> Arm:
        options = {"depth": depth, "in_channels": 1, "widths": [8, 16, 32], "shortcut": shortcut}
        train = [(point + 1) / POINTS for point in range(POINTS * RECIPE.epochs)]
        test = [float(epoch + 1) for epoch in range(RECIPE.epochs)]
        return {
            "name": name,
            "options": options,
            "loss": "cross_entropy",
            "recipe": Recipe.from_dict(RECIPE.to_dict() | {"lr": lr}),
            "parameters": count_parameters(resnet_cifar(**options)),
            "facets": {"depth": depth, "shortcut": shortcut, "lr": lr},
            "dtype": dtype,
            "x": {"train_error": _rounded(train), "train_loss": _rounded(train)}
            | {"test_error": test, "test_loss": test},
        }

    kinds = {"plain": "none", "residual": "A"}
    return [
        *(arm(f"{k}-{d}", d, s) for d in (14, 44, 20, 32, 56) for k, s in kinds.items()),
        *(arm(f"residual-44 {option}", 44, option) for option in "BC"),
        *(arm(f"{k}-{d} lr 0.02", d, s, lr=0.02) for d in (14, 44) for k, s in kinds.items()),
        arm("residual-14 float64", 14, "A", dtype="float64"),
    ]


@functools.cache
def images() -> tuple[ImageSet, ImageSet]:
    """The training and the test images, float32."""
    train = load("fashion_6k").balanced(200).pooled(2).normalized()
    test = load("fashion_6k", "test").pooled(2).normalized(train.mean, train.std)
    return train, test


def run(arm: Arm, seed: int) -> dict[str, Any]:
    """One training with all that is measured around it."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)  # float32 draws of weights differ between CPU types
    seed_everything(seed)
    model = resnet_cifar(**arm["options"])
    initial = block_gradients(model, images()[0].to(dtype=torch.float64))

    dtype = getattr(torch, arm["dtype"])
    train, test = (split.to(dtype=dtype) for split in images())
    model.to(dtype)
    recorder = Recorder()
    start = time.process_time()
    history = fit(
        model,
        train,
        test,
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
    curves = recorder.curves() | {
        key: [row[key] for row in history.rows] for key in ("test_error", "test_loss")
    }
    result["curves"] = {key: _rounded(values) for key, values in curves.items()}
    result["gradients_initial"] = _significant(initial)
    result["gradients_trained"] = _significant(block_gradients(model, train))
    facets = arm["facets"]
    if facets["shortcut"] in ("none", "A") and facets["lr"] == RECIPE.lr and dtype == torch.float32:
        result |= lesions(model, train, test, facets, seed)
    return result


class Recorder:
    """Cross-entropy that remembers what it saw while the network trained."""

    def __init__(self) -> None:
        self.__name__ = F.cross_entropy.__name__
        self.seen: list[tuple[float, int, int]] = []  # loss, wrong answers and images of a batch

    def __call__(self, scores: Tensor, labels: Tensor) -> Tensor:
        value = F.cross_entropy(scores, labels)
        if scores.requires_grad:
            wrong = int((scores.argmax(1) != labels).sum())
            self.seen.append((value.item(), wrong, len(labels)))
        return value

    def curves(self) -> dict[str, list[float]]:
        """Mean error and loss of the training images between two points."""
        points = POINTS * RECIPE.epochs
        length, rest = divmod(len(self.seen), points)
        assert rest == 0, f"{len(self.seen)} batches for {points} points"
        parts = [self.seen[start : start + length] for start in range(0, len(self.seen), length)]
        counts = [sum(n for _, _, n in part) for part in parts]
        pairs = list(zip(parts, counts, strict=True))
        return {
            "train_error": [sum(wrong for _, wrong, _ in part) / n for part, n in pairs],
            "train_loss": [sum(loss * k for loss, _, k in part) / n for part, n in pairs],
        }


def block_gradients(model: ResNet, train: ImageSet) -> list[float]:
    """Norm of the loss's gradient at the first convolution of each block; the model stays as is."""
    model = copy.deepcopy(model).train()
    scores = model(train.images[:GRADIENT_IMAGES])
    F.cross_entropy(scores, train.labels[:GRADIENT_IMAGES]).backward()
    gradients = [_first(block).weight.grad for block in model.residual_blocks()]
    return [gradient.norm().item() for gradient in gradients if gradient is not None]


# -- what a trained network loses with its blocks --------------------------------------------------


def lesions(
    model: ResNet, train: ImageSet, test: ImageSet, facets: dict[str, Any], seed: int
) -> dict[str, Any]:
    """Errors of the trained network without some of its blocks, and gradients along its paths."""
    result: dict[str, Any] = {}
    if facets["depth"] == SMALL:
        result["subset_test_error"] = _rounded(subset_errors(model, test))
        result["subset_train_error"] = _rounded(subset_errors(model, train))
    elif facets["depth"] == LARGE:
        result["single_test_error"] = _rounded(single_errors(model, test))
        few, chance = test.select(range(FEW_IMAGES)), random.Random(seed)
        n = len(result["single_test_error"])
        result["several_test_error"] = {
            str(k): _rounded(
                [error(model, few, set(chance.sample(range(n), k))) for _ in range(DRAWS)]
            )
            for k in SEVERAL
        }
    if facets["depth"] in (SMALL, LARGE) and facets["shortcut"] == "A":
        result["path_gradients"] = _significant(path_gradients(model, train, seed))
    return result


def detour(block: ResidualBlock) -> nn.Module:
    """What stands in for a block that is taken out: x, or what option A makes of it."""
    conv = _first(block)
    around = make_shortcut("A", conv.in_channels, block.out_channels, conv.stride[0])
    assert around is not None
    return around


@torch.no_grad()
def error(model: ResNet, data: ImageSet, deleted: set[int]) -> float:
    """Error without the blocks of these numbers, counted from 0."""
    wrong = 0
    for images, labels in _batches(data):
        x = model.conv1(images)
        for number, block in enumerate(model.residual_blocks()):
            x = detour(block)(x) if number in deleted else block(x)
        wrong += _wrong(model, x, labels)
    return wrong / len(data)


@torch.no_grad()
def single_errors(model: ResNet, data: ImageSet) -> list[float]:
    """Error without the first block, without the second, ..., each alone."""
    blocks = list(model.residual_blocks())
    wrong = [0] * len(blocks)
    for images, labels in _batches(data):
        before = model.conv1(images)
        for number, block in enumerate(blocks):
            x = detour(block)(before)
            for later in blocks[number + 1 :]:
                x = later(x)
            wrong[number] += _wrong(model, x, labels)
            before = block(before)
    return [count / len(data) for count in wrong]


@torch.no_grad()
def subset_errors(model: ResNet, data: ImageSet) -> list[float]:
    """Error without each set of blocks; number n is the set whose bits are those of n.

    The sets share their beginnings: of n blocks, block i is computed only 2^i times.
    """
    blocks = list(model.residual_blocks())
    wrong = [0] * 2 ** len(blocks)

    def follow(x: Tensor, labels: Tensor, number: int, deleted: int) -> None:
        if number == len(blocks):
            wrong[deleted] += _wrong(model, x, labels)
            return
        follow(blocks[number](x), labels, number + 1, deleted)
        follow(detour(blocks[number])(x), labels, number + 1, deleted | 1 << number)

    for images, labels in _batches(data):
        follow(model.conv1(images), labels, 0, 0)
    return [count / len(data) for count in wrong]


def path_gradients(model: ResNet, train: ImageSet, seed: int) -> list[float]:
    """Mean gradient norm along single paths through 0, 1, 2, ... blocks (Veit et al., Sec. 4.3)."""
    chance, n = random.Random(seed), sum(1 for _ in model.residual_blocks())
    model.eval()
    entry = model.conv1(train.images[:PATH_IMAGES]).detach()
    labels = train.labels[:PATH_IMAGES]
    means = []
    for length in range(n + 1):
        norms = []
        for _ in range(DRAWS):
            gradient = path_gradient(model, entry, labels, set(chance.sample(range(n), length)))
            norms.append(gradient.flatten(1).norm(dim=1).mean().item())
        means.append(sum(norms) / DRAWS)
    return means


def path_gradient(model: ResNet, entry: Tensor, labels: Tensor, path: set[int]) -> Tensor:
    """Gradient of each image's loss along one path, with respect to the input of the first block.

    Every image passes the whole network. On the way back a block of the path lets the gradient pass
    through its layers alone, any other one through its shortcut alone. The gradients of all paths
    add up to that of the network.

    Args:
        model: in evaluation mode, with shortcuts.
        entry: input of the first block, (N, C, H, W).
        labels: (N,).
        path: numbers of the blocks on the path, counted from 0.

    Returns:
        As large as ``entry``; images do not mix.
    """
    entry = x = entry.clone().requires_grad_()
    for number, block in enumerate(model.residual_blocks()):
        assert block.shortcut is not None
        through, around = block.residual(x), block.shortcut(x)
        x = through + around.detach() if number in path else through.detach() + around
        x = F.relu(x)
    loss = F.cross_entropy(_scores(model, x), labels, reduction="sum")
    return torch.autograd.grad(loss, entry)[0]


def _first(block: ResidualBlock) -> nn.Conv2d:
    """Its first convolution."""
    conv = block.residual[0]
    assert isinstance(conv, nn.Conv2d)
    return conv


def _scores(model: ResNet, x: Tensor) -> Tensor:
    return model.fc(model.average_pool(x).flatten(1))


def _wrong(model: ResNet, x: Tensor, labels: Tensor) -> int:
    return int((_scores(model, x).argmax(1) != labels).sum())


def _batches(data: ImageSet) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(data.images.split(500), data.labels.split(500), strict=True)


def _rounded(values: Sequence[float]) -> list[float]:
    """What is only drawn needs no more than four decimals."""
    return [round(value, 4) for value in values]


def _significant(values: Sequence[float]) -> list[float]:
    """Six digits, wherever the point is."""
    return [float(f"{value:.6g}") for value in values]


if __name__ == "__main__":
    main("resnet_depth", arms(), run, ABOUT)
