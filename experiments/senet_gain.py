"""Does squeeze and excitation make a small residual network better? And what does it look at?

    python -m experiments.senet_gain [--processes 2] [--output FILE] [--arms NAME ...]

The pair behind chapter 9: a residual network of 14 layers with and without units, from the same
first weights of all that they share, on the same images in the same order. Of the network with
units it is also stored what the units multiply by, class by class, and what happens to the answers
if a unit is frozen or hears of another image. In float32. Some 4 minutes of one core.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from cnnlib.data import ImageSet, load
from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models import resnet, senet
from cnnlib.models.layers import SqueezeExcitation
from cnnlib.train import Recipe, evaluate, fit, seed_everything

from .common import Arm, main

NETWORK = {"blocks": (2, 2, 2), "block": "basic", "widths": (16, 32, 64), "stem": "small"}
REDUCTION = 4
RECIPE = Recipe(epochs=6, lr=0.1, batch_size=64)

MEASURES = (
    "of an arm with units, a number per unit, first unit first. Over all test images: spread, the "
    "standard deviation of the 10 class means of a channel's excitation, averaged over channels; "
    "spread_shuffled, the same after the labels have been shuffled; spread_initial, the same "
    "before training; within, the standard deviation within a class, averaged over classes and "
    "channels; saturated, share of excitations above 0.9. Fraction of test images wrong: "
    "guessed_error, if the class is guessed from the unit's excitations alone (the nearest mean "
    "of a class of training images, in units of the deviation within classes); frozen_error, if "
    "the unit always multiplies by its mean over the training images (one more number: all units "
    "frozen); same_error and other_error, if the unit takes the excitation of another test image "
    "of the same class or of another class"
)
ABOUT = {
    "protocol": (
        "fashion_6k, all 4,000 training and 2,000 test images, pooled to 14 x 14 pixels, "
        "normalised; weights drawn in float64, then float32, one thread, CPU. A run is: "
        "seed_everything(seed); the network is built; fit(..., seed=seed)"
    ),
    "arms.options": "of the network; reduction None: without units",
    "arms.macs": "multiply-adds for one image of 14 x 14 pixels",
    "arms.runs": "per seed: mean loss and fraction wrong of all training and test images after "
    "training; wrong: number of each test image that is wrong; seconds of CPU; " + MEASURES,
    "arms.runs.means": "thousandths: [unit][class][channel], mean excitation over the test images "
    "of a class",
}


def build(reduction: int | None, **options) -> nn.Module:
    """The network for images of one channel and ten classes, with units or without."""
    if reduction is None:
        return resnet.ResNet(10, 1, **options)
    return senet.SEResNet(10, 1, reduction=reduction, **options)


def garments(count: int | None = None) -> tuple[ImageSet, ImageSet]:
    """Training and test images of 14 x 14 pixels: all, or ``count`` training images a class."""
    train = load("fashion_6k") if count is None else load("fashion_6k").balanced(count)
    train = train.pooled(2).normalized()
    return train, load("fashion_6k", "test").pooled(2).normalized(train.mean, train.std)


def class_means(values: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each column in each of ten classes: (N, C) -> (10, C) twice."""
    groups = [values[labels == label] for label in range(10)]
    return torch.stack([g.mean(0) for g in groups]), torch.stack([g.std(0) for g in groups])


def spread(values: Tensor, labels: Tensor) -> float:
    """How far the classes are apart: deviation of the class means, averaged over the columns."""
    return class_means(values, labels)[0].std(0).mean().item()


def unit_of(model: nn.Module, name: str) -> SqueezeExcitation:
    """The unit of that name, such as "conv2_x.0.se"."""
    unit = model.get_submodule(name)
    assert isinstance(unit, SqueezeExcitation)
    return unit


@contextmanager
def replaced(unit: SqueezeExcitation, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """For a while, a unit multiplies by ``change(excitation)``: (N, C, 1, 1) -> same."""

    def instead(_: nn.Module, __: tuple, output: Tensor) -> Tensor:
        return change(output)

    hook = unit.gate.register_forward_hook(instead)
    try:
        yield
    finally:
        hook.remove()


def partners(labels: Tensor) -> tuple[Tensor, Tensor]:
    """For each image another one of its class, and one of another class, all nine in turn.

    Raises:
        ValueError: the classes are not of equal size.
    """
    places = [(labels == label).nonzero().flatten() for label in range(10)]
    if len({len(p) for p in places}) != 1:
        raise ValueError("partners need as many images of each class")
    same, other = torch.empty_like(labels), torch.empty_like(labels)
    for label, own in enumerate(places):
        same[own] = own.roll(1)
        for i, place in enumerate(own.tolist()):
            other[place] = places[(label + 1 + i % 9) % 10][i]
    return same, other


@torch.no_grad()
def error(model: nn.Module, images: ImageSet) -> float:
    """Fraction wrong, all images at once, so that they can borrow from each other."""
    wrong = model(images.images).argmax(1) != images.labels
    return wrong.double().mean().item()


def look_inside(model: nn.Module, train: ImageSet, test: ImageSet) -> dict:
    """What ``MEASURES`` describes, but for what is measured before training."""
    on_train = senet.excitations(model, train.images)
    on_test = senet.excitations(model, test.images)
    shuffled = test.labels[torch.randperm(len(test), generator=torch.Generator().manual_seed(0))]
    same, other = partners(test.labels)
    keys = ("spread", "spread_shuffled", "within", "saturated", "guessed_error", "frozen_error")
    found: dict[str, list] = {key: [] for key in (*keys, "same_error", "other_error")}
    means = []
    for name, values in on_test.items():
        mean, deviation = class_means(values, test.labels)
        means.append(mean)
        found["spread"].append(spread(values, test.labels))
        found["spread_shuffled"].append(spread(values, shuffled))
        found["within"].append(deviation.mean().item())
        found["saturated"].append((values > 0.9).double().mean().item())

        known, around = class_means(on_train[name], train.labels)
        scale = around.square().mean(0).sqrt()
        guess = torch.cdist(values / scale, known / scale).argmin(1)
        found["guessed_error"].append((guess != test.labels).double().mean().item())

        unit, usual = unit_of(model, name), on_train[name].mean(0)[:, None, None]
        changes = {
            "frozen_error": lambda s, usual=usual: usual.expand_as(s),
            "same_error": lambda s: s[same],
            "other_error": lambda s: s[other],
        }
        for key, change in changes.items():
            with replaced(unit, change):
                found[key].append(error(model, test))
    found["frozen_error"].append(error(frozen(model, on_train), test))
    rounded = {key: [round(value, 5) for value in values] for key, values in found.items()}
    thousandths = [table.mul(1000).round().int().tolist() for table in means]
    return rounded | {"means": thousandths}


def frozen(model: nn.Module, on_train: dict[str, Tensor]) -> nn.Module:
    """The network for good without its dependence on the image, as a hook in each unit."""
    for name, values in on_train.items():
        usual = values.mean(0)[:, None, None]
        unit_of(model, name).gate.register_forward_hook(
            lambda _, __, output, usual=usual: usual.expand_as(output)
        )
    return model


def measured(model: nn.Module, train: ImageSet, test: ImageSet) -> dict:
    """Losses and errors on all images, as every arm has them."""
    result = {}
    for name, images in (("train", train), ("test", test)):
        found = evaluate(model, images)
        result |= {f"{name}_loss": found["loss"], f"{name}_error": found["error"]}
    return result


def run(arm: Arm, seed: int) -> dict:
    """One training, and a look inside if there are units."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    train, test = (images.to(dtype=torch.float32) for images in garments())
    seed_everything(seed)
    model = build(**arm["options"]).to(torch.float32)
    before = {}
    if arm["options"]["reduction"] is not None:
        found = senet.excitations(model, test.images)
        before = {"spread_initial": [round(spread(v, test.labels), 5) for v in found.values()]}
    start = time.process_time()
    fit(model, train, recipe=arm["recipe"], seed=seed, device="cpu", progress=False)
    seconds = {"seconds": round(time.process_time() - start, 1)}
    with torch.no_grad():
        missed = (model(test.images).argmax(1) != test.labels).nonzero().flatten().tolist()
    result = seconds | measured(model, train, test) | {"wrong": missed} | before
    return result | (look_inside(model, train, test) if before else {})


def arms() -> list[Arm]:
    """The pair."""
    listed = []
    for name, reduction in (("without units", None), ("with units", REDUCTION)):
        options = {"reduction": reduction, **NETWORK}
        model = build(**options)
        listed.append(
            {
                "name": name,
                "options": options,
                "loss": "cross_entropy",
                "recipe": RECIPE,
                "dtype": "float32",
                "parameters": count_parameters(model),
                "macs": count_macs(model, (1, 14, 14)),
            }
        )
    return listed


if __name__ == "__main__":
    main("senet_gain", arms(), run, ABOUT)
