"""What He et al. (2015) print about residual networks, and Ioffe and Szegedy (2015) about theirs.

Errors, parameters and multiply-adds of the networks are in ``cnnlib.published``. Here is what the
tables add: which networks stand beside each other, and what was printed of others' networks.
"""

from __future__ import annotations

from typing import NamedTuple

# -- He et al., "Deep Residual Learning for Image Recognition" ---------------------------------

OUTPUT_SIDES = {  # table 1: pixels along one side of what leaves each stage
    "conv1": 112,
    "conv2_x": 56,
    "conv3_x": 28,
    "conv4_x": 14,
    "conv5_x": 7,
}
TABLE_1 = {  # layers -> name in ``cnnlib.published``, whose ``printed_macs`` are the row "FLOPs"
    18: "resnet18_a",
    34: "resnet34_a",
    50: "resnet50",
    101: "resnet101",
    152: "resnet152",
}


class Pair(NamedTuple):
    """A plain network and the residual one of the same depth, by name in ``cnnlib.published``."""

    plain: str
    residual: str


TABLE_2 = {18: Pair("plain18", "resnet18_a"), 34: Pair("plain34", "resnet34_a")}  # option A
SHORTCUT_OPTIONS = {"A": "resnet34_a", "B": "resnet34", "C": "resnet34_c"}  # table 3, 34 layers
TABLE_3 = ("plain34", *SHORTCUT_OPTIONS.values(), "resnet50", "resnet101", "resnet152")
TABLE_3_PROTOCOL = "ILSVRC-2012 validation, 10 crops, one network"


class PrintedError(NamedTuple):
    """Errors in percent that a paper prints, and how they were measured."""

    network: str
    top1: float | None
    top5: float | None
    protocol: str


_ALONE = "ILSVRC-2012 validation, one network, as its authors test it"
_OURS_ALONE = "ILSVRC-2012 validation, several scales, one network"
_TOGETHER = "ILSVRC-2012 test, several networks"
TABLE_4 = (
    PrintedError("VGG (ILSVRC'14)", None, 8.43, "ILSVRC-2012 test, one network"),
    PrintedError("GoogLeNet (ILSVRC'14)", None, 7.89, _ALONE),
    PrintedError("VGG (v5)", 24.4, 7.1, _ALONE),
    PrintedError("PReLU-net", 21.59, 5.71, _ALONE),
    PrintedError("BN-inception", 21.99, 5.81, _ALONE),
    PrintedError("ResNet-34 B", 21.84, 5.71, _OURS_ALONE),
    PrintedError("ResNet-34 C", 21.53, 5.60, _OURS_ALONE),
    PrintedError("ResNet-50", 20.74, 5.25, _OURS_ALONE),
    PrintedError("ResNet-101", 19.87, 4.60, _OURS_ALONE),
    PrintedError("ResNet-152", 19.38, 4.49, _OURS_ALONE),
)
TABLE_5 = (
    PrintedError("VGG (ILSVRC'14)", None, 7.32, _TOGETHER),
    PrintedError("GoogLeNet (ILSVRC'14)", None, 6.66, _TOGETHER),
    PrintedError("VGG (v5)", None, 6.8, _TOGETHER),
    PrintedError("PReLU-net", None, 4.94, _TOGETHER),
    PrintedError("BN-inception", None, 4.82, _TOGETHER),
    # section 4.1: six networks, two of them with 152 layers
    PrintedError("six ResNets together", None, 3.57, "ILSVRC-2012 test, six networks"),
)
BEST_SINGLE = TABLE_4[-1]
ENSEMBLE = TABLE_5[-1]
VGG_FLOPS = {16: "15.3 billion", 19: "19.6 billion"}  # section 4.1, as printed; multiply-adds
VGG_SHARE = 18.0  # section 3.3: FLOPs of plain-34 in percent of those of VGG-19
CIFAR_DEPTHS = (20, 32, 44, 56, 110, 1202)  # table 6
PLAIN_110_ABOVE = 60.0  # section 4.2: the error of a plain network of 110 layers, in percent
TRAIN_1202_BELOW = 0.1  # section 4.2: training error of 1202 layers, in percent
COCO_MAP = {"VGG-16": 21.2, "ResNet-101": 27.2}  # table 8: percent, mAP@[.5, .95], validation
COCO_RELATIVE_GAIN = 28.0  # abstract, section 4.3: percent, from VGG-16 to ResNet-101


class Schedule(NamedTuple):
    """How the networks of section 4.2 were trained on CIFAR-10.

    Attributes:
        lr: learning rate at first.
        warmup_lr: of 110 layers, until the training error is below 80 %.
        drops: steps after which it is divided by 10.
        steps: in all.
    """

    lr: float
    warmup_lr: float
    drops: tuple[int, int]
    steps: int
    batch_size: int
    weight_decay: float


CIFAR_TRAINING = Schedule(0.1, 0.01, (32_000, 48_000), 64_000, 128, 1e-4)


# -- Ioffe and Szegedy, "Batch Normalization" --------------------------------------------------


class Steps(NamedTuple):
    """A row of figure 3: how long until the accuracy of Inception without batch normalisation.

    Attributes:
        millions: of steps until 72.2 % top-1 accuracy; None if it was never reached.
        best: highest accuracy, in percent.
    """

    millions: float | None
    best: float


TARGET_ACCURACY = 72.2  # section 4.2.2: percent, top-1, one crop of the ILSVRC-2012 validation
BATCH_NORM_STEPS = {  # figure 3; x5 and x30: learning rate so many times that of Inception
    "Inception": Steps(31.0, 72.2),
    "BN-Baseline": Steps(13.3, 72.7),
    "BN-x5": Steps(2.1, 73.0),
    "BN-x30": Steps(2.7, 74.8),
    "BN-x5-Sigmoid": Steps(None, 69.8),
}
BATCH_NORM_SPEEDUP = 14  # abstract: times fewer steps to the same accuracy
