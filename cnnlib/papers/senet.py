"""What Hu et al. (2018) print about squeeze and excitation, in the version of TPAMI 2020.

Errors, parameters and multiply-adds of the networks with units are in ``cnnlib.published``. Here is
what the tables set beside them: the networks without, and the variants of section 6. Errors are in
percent of the ILSVRC-2012 validation images, one crop of 224 pixels, one network, unless said
otherwise.
"""

from __future__ import annotations

from typing import NamedTuple

from cnnlib.published import parse, published

PROTOCOL = "ILSVRC-2012 validation, one crop of 224, one network"


class Result(NamedTuple):
    """A network in a table.

    Attributes:
        top1: error.
        top5: error.
        gflops: thousand million multiply-adds for an image; the table calls them GFLOPs.
    """

    top1: float
    top5: float
    gflops: float | None = None


class Pair(NamedTuple):
    """A network without units and with them.

    Attributes:
        without: as trained again by the authors, so that both have the same recipe.
        with_units: the same network with a unit in every block, r = 16.
    """

    without: Result
    with_units: Result

    @property
    def gain(self) -> float:
        """Points of top-1 error, positive if the units help."""
        return round(self.without.top1 - self.with_units.top1, 2)


def _as_published(name: str) -> Result:
    """Of a network whose figures are in ``cnnlib.published``."""
    record = published(name)
    if record.top1_error is None or record.top5_error is None or record.printed_macs is None:
        raise ValueError(f"errors or multiply-adds of {name} are not published")
    return Result(record.top1_error, record.top5_error, parse(record.printed_macs).value / 1e9)


TABLE_2 = {
    "ResNet-50": Pair(Result(24.80, 7.48, 3.86), _as_published("se_resnet50")),
    "ResNet-101": Pair(Result(23.17, 6.52, 7.58), _as_published("se_resnet101")),
    "ResNet-152": Pair(Result(22.42, 6.34, 11.30), _as_published("se_resnet152")),
    "ResNeXt-50": Pair(Result(22.11, 5.90, 4.24), _as_published("se_resnext50_32x4d")),
    "ResNeXt-101": Pair(Result(21.18, 5.57, 7.99), _as_published("se_resnext101_32x4d")),
    "VGG-16 with batch norm": Pair(Result(27.02, 8.81, 15.47), Result(25.22, 7.70, 15.48)),
    "BN-Inception": Pair(Result(25.38, 7.89, 2.03), Result(24.23, 7.14, 2.04)),
    "Inception-ResNet-v2": Pair(Result(20.37, 5.21, 11.75), Result(19.80, 4.79, 11.76)),
}
TABLE_3 = {  # networks for telephones
    "MobileNet": Pair(Result(28.4, 9.4, 0.569), Result(25.3, 7.7, 0.572)),
    "ShuffleNet": Pair(Result(32.6, 12.5, 0.140), Result(31.0, 11.1, 0.142)),
}
CIFAR_10 = {  # table 4, error in percent of the test images: without, with units
    "ResNet-110": (6.37, 5.21),
    "ResNet-164": (5.46, 4.39),
}
SENET_154_AT_320 = Result(17.28, 3.79)  # table 8, one crop of 320 pixels; at 224: ``published``

ADDED_WEIGHTS = 2.5e6  # by the units of SE-ResNet-50, "approximately" (section 4)
MORE_MACS = 0.26  # percent more than ResNet-50 (section 4)
MORE_PARAMETERS = 10  # percent more than ResNet-50, about (section 4)
WITHOUT_LAST_STAGE = 4  # percent more parameters, about, if the last stage has no units (section 4)
COST_OF_LAST_STAGE = 0.1  # points of error, at most, for leaving those out (section 4)


class Times(NamedTuple):
    """Milliseconds of ResNet-50 without and with units (section 4).

    Attributes:
        what: was timed.
    """

    what: str
    without: int
    with_units: int


TIMES = (
    Times("training step, 256 images, 8 GPUs", 190, 209),
    Times("one image, CPU", 164, 167),
)

# Section 6: ResNet-50 and SE-ResNet-50 once more, trained longer than those of table 2.
WITHOUT = Result(23.30, 6.55)  # the row "original" of tables 10, 13 and 16
STANDARD = Result(22.28, 6.03)  # r = 16, average, sigmoid, in all stages, before the addition
TABLE_10 = {  # reduction -> name in ``cnnlib.published``, which has errors and sizes
    2: "se_resnet50_r2",
    4: "se_resnet50_r4",
    8: "se_resnet50_r8",
    16: "se_resnet50",  # its errors there are those of table 2; here they are ``STANDARD``
    32: "se_resnet50_r32",
}
TABLE_11 = {"maximum": Result(22.57, 6.09), "average": STANDARD}  # what squeezes
TABLE_12 = {  # what ends the excitation
    "relu": Result(23.47, 6.98),
    "tanh": Result(23.00, 6.38),
    "sigmoid": STANDARD,
}


class Stage(NamedTuple):
    """A row of table 13: units in one stage of ResNet-50 only.

    Attributes:
        result: errors.
        millions: of parameters, as printed.
    """

    result: Result
    millions: float


TABLE_13 = {  # stage of ``cnnlib.models.resnet`` -> units in it alone
    "conv2_x": Stage(Result(23.03, 6.48), 25.6),
    "conv3_x": Stage(Result(23.04, 6.32), 25.7),
    "conv4_x": Stage(Result(22.68, 6.22), 26.4),
}
TABLE_14 = {  # position of ``cnnlib.models.senet``
    "standard": STANDARD,
    "pre": Result(22.23, 6.00),
    "post": Result(22.78, 6.35),
    "identity": Result(22.20, 6.15),
}
NO_SQUEEZE = Result(22.93, 6.39)  # table 16: no average; the layers work on each pixel

FIGURE_6 = {  # panels: name in the paper -> unit of ``cnnlib.models.senet.SEResNet``
    "SE_2_3": "conv2_x.2.se",
    "SE_3_4": "conv3_x.3.se",
    "SE_4_6": "conv4_x.5.se",
    "SE_5_1": "conv5_x.0.se",
    "SE_5_2": "conv5_x.1.se",
    "SE_5_3": "conv5_x.2.se",
}
CLASSES_OF_FIGURE_6 = ("goldfish", "pug", "plane", "cliff")
IMAGES_OF_FIGURE_6 = 50  # of each class, from the validation set
