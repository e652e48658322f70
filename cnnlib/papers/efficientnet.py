"""What Tan and Le (2019) print about EfficientNet: its table, its rivals, its ways to grow.

The widths and depths of B1 to B7 are not in the paper but in its authors' code, see
``cnnlib.models.efficientnet.VARIANTS``; parameters, multiply-adds and errors of B0 to B7 are in
``cnnlib.published``. Accuracies are top-1 on the ILSVRC-2012 validation images unless said
otherwise, one crop, one network, in percent. What the paper calls FLOPS are multiply-adds. The
figures are those of the fifth version, arXiv:1905.11946v5.
"""

from __future__ import annotations

from typing import NamedTuple

ALPHA, BETA, GAMMA = (
    1.2,
    1.1,
    1.15,
)  # of depth, width and resolution, found with phi = 1 (section 4)
BUDGET = 2.0  # what alpha beta^2 gamma^2 should be about (equation 3)

TARGET = 400e6  # T, multiply-adds that the search for B0 aims at (section 4)
EXPONENT = -0.07  # w in ACC (FLOPS / T)^w, what that search maximises (section 4)


class PrintedStage(NamedTuple):
    """A row of table 1.

    Attributes:
        operator: as printed; the number behind MBConv is the expansion.
        resolution: height and width of what comes *into* the stage, in pixels.
        channels: of what leaves it.
        layers: how often the operator is repeated.
    """

    operator: str
    resolution: int
    channels: int
    layers: int


TABLE_1 = (
    PrintedStage("Conv3x3", 224, 32, 1),
    PrintedStage("MBConv1, k3x3", 112, 16, 1),
    PrintedStage("MBConv6, k3x3", 112, 24, 2),
    PrintedStage("MBConv6, k5x5", 56, 40, 2),
    PrintedStage("MBConv6, k3x3", 28, 80, 3),
    PrintedStage("MBConv6, k5x5", 14, 112, 3),
    PrintedStage("MBConv6, k5x5", 14, 192, 4),
    PrintedStage("MBConv6, k3x3", 7, 320, 1),
    PrintedStage("Conv1x1 & Pooling & FC", 7, 1280, 1),
)


class Rival(NamedTuple):
    """A network of table 2 beside the EfficientNet that it is compared with.

    Attributes:
        name: of the rival.
        beside: the EfficientNet above it, a key of ``VARIANTS``.
        top1: accuracy in percent.
        top5: accuracy in percent.
        parameters: in millions.
        macs: in billions; None where the table has none.
        more_parameters: times those of the EfficientNet, as printed.
        more_macs: times those of the EfficientNet, as printed.
    """

    name: str
    beside: str
    top1: float
    top5: float
    parameters: float
    macs: float | None
    more_parameters: float
    more_macs: float | None


TABLE_2 = (  # PNASNet's last ratio would fit 25 billion, not the 23 that are printed
    Rival("ResNet-50", "b0", 76.0, 93.0, 26, 4.1, 4.9, 11),
    Rival("DenseNet-169", "b0", 76.2, 93.2, 14, 3.5, 2.6, 8.9),
    Rival("ResNet-152", "b1", 77.8, 93.8, 60, 11, 7.6, 16),
    Rival("DenseNet-264", "b1", 77.9, 93.9, 34, 6.0, 4.3, 8.6),
    Rival("Inception-v3", "b1", 78.8, 94.4, 24, 5.7, 3.0, 8.1),
    Rival("Xception", "b1", 79.0, 94.5, 23, 8.4, 3.0, 12),
    Rival("Inception-v4", "b2", 80.0, 95.0, 48, 13, 5.2, 13),
    Rival("Inception-resnet-v2", "b2", 80.1, 95.1, 56, 13, 6.1, 13),
    Rival("ResNeXt-101", "b3", 80.9, 95.6, 84, 32, 7.0, 18),
    Rival("PolyNet", "b3", 81.3, 95.8, 92, 35, 7.7, 19),
    Rival("SENet", "b4", 82.7, 96.2, 146, 42, 7.7, 10),
    Rival("NASNet-A", "b4", 82.7, 96.2, 89, 24, 4.7, 5.7),
    Rival("AmoebaNet-A", "b4", 82.8, 96.1, 87, 23, 4.6, 5.5),
    Rival("PNASNet", "b4", 82.9, 96.2, 86, 23, 4.5, 6.0),
    Rival("AmoebaNet-C", "b5", 83.5, 96.5, 155, 41, 5.2, 4.1),
    Rival("GPipe", "b7", 84.3, 97.0, 557, None, 8.4, None),
)


class Grown(NamedTuple):
    """A network made larger in one way, a row of table 3 or 7.

    Attributes:
        network: what was made larger.
        way: ``"baseline"``, ``"depth"``, ``"width"``, ``"resolution"`` or ``"compound"``.
        macs: in billions.
        top1: accuracy in percent.
    """

    network: str
    way: str
    macs: float
    top1: float


COEFFICIENTS = {  # way -> (depth, width, resolution), in tables 3 and 7
    "baseline": (1.0, 1.0, 1.0),
    "depth": (4.0, 1.0, 1.0),
    "width": (1.0, 2.0, 1.0),
    "resolution": (1.0, 1.0, 2.0),
    "compound": (1.4, 1.2, 1.3),
}
TABLE_3 = (
    Grown("MobileNetV1", "baseline", 0.6, 70.6),
    Grown("MobileNetV1", "width", 2.2, 74.2),
    Grown("MobileNetV1", "resolution", 2.2, 72.7),
    Grown("MobileNetV1", "compound", 2.3, 75.6),
    Grown("MobileNetV2", "baseline", 0.3, 72.0),
    Grown("MobileNetV2", "depth", 1.2, 76.8),
    Grown("MobileNetV2", "width", 1.1, 76.4),
    Grown("MobileNetV2", "resolution", 1.2, 74.8),
    Grown("MobileNetV2", "compound", 1.3, 77.4),
    Grown("ResNet-50", "baseline", 4.1, 76.0),
    Grown("ResNet-50", "depth", 16.2, 78.1),
    Grown("ResNet-50", "width", 14.7, 77.7),
    Grown("ResNet-50", "resolution", 16.4, 77.5),
    Grown("ResNet-50", "compound", 16.7, 78.8),
)
TABLE_7 = (  # the baseline is given 77.3 here and 77.1 in table 2
    Grown("EfficientNet-B0", "baseline", 0.4, 77.3),
    Grown("EfficientNet-B0", "depth", 1.8, 79.0),
    Grown("EfficientNet-B0", "width", 1.8, 78.9),
    Grown("EfficientNet-B0", "resolution", 1.9, 79.1),
    Grown("EfficientNet-B0", "compound", 1.8, 81.1),
)
LARGEST_GAIN = 2.5  # points of compound over single scaling in figure 8 (section 6)


class Latency(NamedTuple):
    """A pair of table 4, timed with one image on one core of a Xeon E5-2690, mean of 20 runs.

    Attributes:
        rival, variant: the two networks.
        rival_seconds, seconds: for one image.
        speedup: as printed.
    """

    rival: str
    variant: str
    rival_seconds: float
    seconds: float
    speedup: float


TABLE_4 = (
    Latency("ResNet-152", "b1", 0.554, 0.098, 5.7),
    Latency("GPipe", "b7", 19.0, 3.1, 6.1),
)

TABLE_8 = {  # top-1 accuracy: validation, test
    "b0": (77.11, 77.23),
    "b1": (79.13, 79.17),
    "b2": (80.07, 80.16),
    "b3": (81.59, 81.72),
    "b4": (82.89, 82.94),
    "b5": (83.60, 83.69),
    "b6": (83.95, 84.04),
    "b7": (84.26, 84.33),
}

HELD_OUT = 25_000  # training images kept apart to decide when to stop (section 5.2)
SURVIVAL = 0.8  # probability that the last block of stochastic depth is kept (section 5.2)
OPTIMIZER = {  # section 5.2
    "decay of RMSProp": 0.9,
    "momentum": 0.9,
    "weight decay": 1e-5,
    "learning rate": 0.256,
    "learning rate times": 0.97,
    "every so many epochs": 2.4,
    "momentum of batch normalisation": 0.99,
}

# Top-1 accuracy of the same networks under other recipes. Those of the paper's first version are
# told in a comment of the authors' README; the others are the table in it, as of March 2020.
README = "https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet"
RECIPES = {
    "paper, first version": {
        **{"b0": 76.3, "b1": 78.8, "b2": 79.8},
        **{"b3": 81.1, "b4": 82.6, "b5": 83.3},
    },
    "ResNet preprocessing": {
        **{"b0": 76.7, "b1": 78.7, "b2": 79.8},
        **{"b3": 81.1, "b4": 82.5, "b5": 83.1},
    },
    "AutoAugment": {
        **{"b0": 77.1, "b1": 79.1, "b2": 80.1, "b3": 81.6},
        **{"b4": 82.9, "b5": 83.6, "b6": 84.0, "b7": 84.3},
    },
    "AdvProp + AutoAugment": {
        **{"b0": 77.6, "b1": 79.6, "b2": 80.5, "b3": 81.9},
        **{"b4": 83.3, "b5": 84.3, "b6": 84.8, "b7": 85.2},
    },
    "NoisyStudent, more images": {  # 300 million photographs without labels
        **{"b0": 78.8, "b1": 81.5, "b2": 82.4, "b3": 84.1},
        **{"b4": 85.3, "b5": 86.1, "b6": 86.4, "b7": 86.9},
    },
}  # fmt: skip


class Retrained(NamedTuple):
    """An old network under a new recipe: Bello et al. (2021), "Revisiting ResNets".

    Attributes:
        before: top-1 accuracy in percent of a ResNet as it was trained.
        after: of the same network after a change of the recipe alone.
        faster: how many times quicker than EfficientNets on TPUs their family is at similar
            accuracy, from ... to.
    """

    before: float
    after: float
    faster: tuple[float, float]


REVISITED = Retrained(79.0, 82.2, (1.7, 2.7))
