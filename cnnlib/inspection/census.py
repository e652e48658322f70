"""The published networks side by side: counted, timed, and with the error that was printed.

One `Entry` per network joins what ``cnnlib.papers`` and ``cnnlib.published`` know with what
``benchmarks/inference.py`` has counted and measured. Errors were measured in different ways, and an
entry says in which: two errors may be compared only where `Entry.data` and `Entry.testing` agree.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn

from cnnlib.inspection import count_macs, count_parameters, summarize
from cnnlib.models import create_model
from cnnlib.papers import PAPERS, alexnet
from cnnlib.published import networks, published

DATA = {"ILSVRC": "ImageNet", "CIFAR-10": "CIFAR-10", "MNIST": "MNIST"}  # how a protocol begins
TESTINGS = {  # what a protocol says of the crops, and what it is called here
    "10 crops": "10 crops",
    "one crop": "1 crop",
    "one scale": "whole image",  # convolutional scores of the uncropped image, averaged (VGG)
}
NOT_SAID = "not said"
Item = TypeVar("Item")
WHOLE = "as it is"  # CIFAR-10 and MNIST: nothing to crop

# How a network is called in tables; those that only serve a comparison inside their chapter, such
# as the plain twins of ResNet, have no name here and are not in `entries`.
LABELS = {
    "lenet5": "LeNet-5",
    "alexnet": "AlexNet",
    "zfnet": "ZFNet",
    **{
        f"vgg_{config}": f"VGG-{depth}"
        for config, depth in zip("abde", (11, 13, 16, 19), strict=True)
    },
    "googlenet": "GoogLeNet",
    "resnet34": "ResNet-34",
    **{f"resnet{depth}": f"ResNet-{depth}" for depth in (50, 101, 152)},
    **{f"resnet{depth}_cifar": f"ResNet-{depth} (CIFAR)" for depth in (20, 32, 44, 56, 110, 1202)},
    "preact_resnet152": "Pre-activation ResNet-152",
    "preact_resnet200": "Pre-activation ResNet-200",
    **{
        f"preact_resnet{depth}_cifar": f"Pre-activation ResNet-{depth} (CIFAR)"
        for depth in (110, 164, 1001)
    },
    **{f"densenet{depth}": f"DenseNet-{depth}" for depth in (121, 169, 201, 264, 161)},
    "densenet_cifar_l40_k12": "DenseNet-40, k = 12",
    "densenet_cifar_l100_k12": "DenseNet-100, k = 12",
    "densenet_cifar_l100_k24": "DenseNet-100, k = 24",
    "densenet_bc_cifar_l100_k12": "DenseNet-BC-100, k = 12",
    "densenet_bc_cifar_l250_k24": "DenseNet-BC-250, k = 24",
    "densenet_bc_cifar_l190_k40": "DenseNet-BC-190, k = 40",
    **{f"se_resnet{depth}": f"SE-ResNet-{depth}" for depth in (50, 101, 152)},
    "resnext50_32x4d": "ResNeXt-50",
    "se_resnext50_32x4d": "SE-ResNeXt-50",
    "se_resnext101_32x4d": "SE-ResNeXt-101",
    "senet154": "SENet-154",
    "squeezenet1_0": "SqueezeNet 1.0",
    "squeezenet1_0_simple": "SqueezeNet 1.0, bypass",
    "mobilenet_v1_1_224": "MobileNet 1.0, 224",
    **{f"mobilenet_v1_1_{side}": f"MobileNet 1.0, {side}" for side in (192, 160, 128)},
    **{f"mobilenet_v1_{w}_224": f"MobileNet {w}, 224" for w in ("0.75", "0.5", "0.25")},
    "mobilenet_v1_fullconv": "MobileNet, full convolutions",
    "mobilenet_v2_1.4": "MobileNetV2 1.4",
    "mobilenet_v2_1": "MobileNetV2 1.0",
    "mobilenet_v3_large_1": "MobileNetV3-Large 1.0",
    "mobilenet_v3_small_1": "MobileNetV3-Small 1.0",
    "nasnet_a_mobile": "NASNet-A (4 @ 1056)",
    "nasnet_a_large": "NASNet-A (6 @ 4032)",
    "nasnet_a_cifar": "NASNet-A (CIFAR)",
    **{f"efficientnet_b{phi}": f"EfficientNet-B{phi}" for phi in range(8)},
    "efficientnet_lite0": "EfficientNet-Lite0",
}


def data_of(name: str) -> str | None:
    """Data set of a network's printed error: a value of ``DATA``; None if none is printed."""
    protocol = published(name).protocol or ""
    return next((data for start, data in DATA.items() if protocol.startswith(start)), None)


def names(*data: str) -> list[str]:
    """Networks with a printed error on these data sets (on any, if none is given), as in the book.

    Raises:
        ValueError: an unknown data set.
    """
    if unknown := set(data) - set(DATA.values()):
        raise ValueError(f"unknown data {sorted(unknown)}; there are {', '.join(DATA.values())}")
    wanted = data or tuple(DATA.values())
    return [name for name in networks() if data_of(name) in wanted]


def tested_input(name: str) -> tuple[int, int, int]:
    """(channels, height, width) at which the printed error was measured, in pixels.

    It is the input of the record, except where the protocol names another crop.
    """
    record = published(name)
    crop = re.search(r"one crop of (\d+)", record.protocol or "")
    side = int(crop[1]) if crop else record.input[1]
    return record.input[0], side, side


def count_activations(model: nn.Module, input_shape: Sequence[int]) -> int:
    """Numbers that convolutions and fully connected layers put out for one image.

    Radosavovic et al. (2020, section 4) count those of convolutions and find that they foretell the
    time on a GPU better than MACs do.

    Args:
        model: any module that takes one batch of images.
        input_shape: (C, H, W) of one image.
    """
    deepest = max(name.count(".") for name, _ in model.named_modules()) + 1
    rows = summarize(model, input_shape, depth=deepest).rows
    return sum(
        row.output_numbers for row in rows if re.match("Conv2d|TableConv2d|Linear", row.kind)
    )


def count(name: str) -> dict[str, int]:
    """Parameters, MACs and activations of a network, counted on the ``meta`` device."""
    with torch.device("meta"):
        model = create_model(name)
    shape = tested_input(name)
    return {
        "parameters": count_parameters(model),
        "macs": count_macs(model, shape),
        "activations": count_activations(model, shape),
    }


class Time(NamedTuple):
    """Milliseconds of processor time for one image: median and quartiles over the rounds."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Entry:
    """What the book knows of one network.

    Attributes:
        name: in ``cnnlib.list_models()``.
        label: how tables call it.
        paper: key in ``cnnlib.papers.PAPERS``.
        chapter: file name without its ending.
        year: of the paper.
        side: height and width of the image that all numbers are for, in pixels.
        parameters, macs, activations: as ``count`` counts them.
        time: as built, on one thread of the machine that ``measured()`` names.
        folded: with batch normalisation folded and in channels_last; None if not measured.
        top1, top5: percent wrong, as printed; None if not printed.
        data: "ImageNet", "CIFAR-10" or "MNIST".
        testing: what was shown of a test image: "1 crop", "10 crops", "whole image", "not said",
            or "as it is".
        protocol: the same in full.
    """

    name: str
    label: str
    paper: str
    chapter: str
    year: int
    side: int
    parameters: int
    macs: int
    activations: int
    time: Time
    folded: Time | None
    top1: float | None
    top5: float | None
    data: str
    testing: str
    protocol: str


def measured() -> dict[str, Any]:
    """What ``benchmarks/inference.py`` wrote: protocol, machine, versions, and all numbers."""
    return json.loads(
        (resources.files("cnnlib") / "assets" / "inference.json").read_text(encoding="utf-8")
    )


@functools.cache
def entries() -> tuple[Entry, ...]:
    """All networks that have a name in ``LABELS`` and were measured, in the order of the book."""
    known = measured()["networks"]
    return tuple(_entry(name, known[name]) for name in names() if name in LABELS and name in known)


def _entry(name: str, numbers: dict[str, Any]) -> Entry:
    record = published(name)
    paper = PAPERS[record.paper]
    top1, top5, protocol = record.top1_error, record.top5_error, record.protocol or ""
    if name == paper.network.model and paper.network.result is not None:
        # AlexNet's own table 1 is about 2010; table 2 has the images that all others were tested on
        top5, protocol = paper.network.result
        [row] = [row for row in alexnet.TABLE_2 if row.top5_validation == top5]
        top1 = row.top1_validation
    data = data_of(name)
    assert data is not None  # else it would not be in the file
    return Entry(
        name=name,
        label=LABELS[name],
        paper=record.paper,
        chapter=paper.chapter,
        year=paper.year,
        side=numbers["input"][1],
        **{key: numbers[key] for key in ("parameters", "macs", "activations")},
        time=Time(**numbers["as_built"]),
        folded=Time(**numbers["folded"]) if "folded" in numbers else None,
        top1=top1,
        top5=top5,
        data=data,
        testing=_testing(data, protocol),
        protocol=protocol,
    )


def _testing(data: str, protocol: str) -> str:
    if data != "ImageNet":
        return WHOLE
    found = [word for clue, word in TESTINGS.items() if clue in protocol]
    return found[0] if found else NOT_SAID


def front(
    items: Iterable[Item], cost: Callable[[Item], float], error: Callable[[Item], float | None]
) -> list[Item]:
    """The Pareto front, cheapest first: those that nothing beats in both cost and error.

    Something beats another if it is at least as good in both and better in one. Items without an
    error take no part.

    Args:
        items: anything.
        cost: of an item, smaller is better.
        error: of an item, smaller is better; None leaves it out.
    """
    rated = [(cost(item), rate, item) for item in items if (rate := error(item)) is not None]
    best, chosen = math.inf, []
    for price, rate, item in sorted(rated, key=lambda found: found[:2]):
        if rate < best or (chosen and (price, rate) == chosen[-1][:2]):
            best = rate
            chosen.append((price, rate, item))
    return [item for _, _, item in chosen]
