"""What Sandler et al. (2018) print about MobileNetV2: dimensions of figure 1, memory, time.

The rows of table 2 are in ``cnnlib.models.mobilenet_v2.TABLE_2``, exact counts in
``cnnlib.published``. The paper shows what linear bottlenecks and shortcuts gain as curves only
(figure 6).
"""

from __future__ import annotations

from typing import NamedTuple

FIGURE_1_DIMENSIONS = (2, 3, 5, 15, 30)  # of the space in which a spiral meets a ReLU
FIGURE_1_COLLAPSES = (2, 3)  # where parts of the spiral fall together, by the caption
EXPANSION = 6  # section 4
EXPANSIONS_ABOUT_EQUAL = (5, 10)  # section 4
BLOCKS_IN_THE_TEXT = 19  # section 4; table 2 has 17
ALPHAS = (0.35, 0.5, 0.75, 1.0, 1.4)  # figure 5
WITHOUT_NONLINEARITY = "several percent"  # what a ReLU6 on the bottleneck costs (section 3.2)


# The most that must be held at once, with 16 bits for each number: in MobileNet 128 maps of
# 56 x 56, in MobileNetV2 the 32 maps between blocks, if a block never holds its inside (table 3)
LARGEST_KILOBYTES = {"MobileNetV1": 800, "MobileNetV2": 200}


class Result(NamedTuple):
    """A row of table 4.

    Attributes:
        accuracy: top-1 in percent, ILSVRC-2012 validation.
        parameters: millions.
        macs: millions of multiply-adds.
        milliseconds: for one image on a single large core of a Google Pixel 1, TensorFlow Lite;
            None where none is given.
        model: its name in ``cnnlib.list_models()``; None for networks that the book has not.
    """

    accuracy: float
    parameters: float
    macs: float
    milliseconds: float | None
    model: str | None


TABLE_4 = {
    "MobileNetV1": Result(70.6, 4.2, 575, 113, "mobilenet_v1_1_224"),
    "ShuffleNet (1.5)": Result(71.5, 3.4, 292, None, None),
    "ShuffleNet (x2)": Result(73.7, 5.4, 524, None, None),
    "NasNet-A": Result(74.0, 5.3, 564, 183, "nasnet_a_mobile"),
    "MobileNetV2": Result(72.0, 3.4, 300, 75, "mobilenet_v2_1"),
    "MobileNetV2 (1.4)": Result(74.7, 6.9, 585, 143, "mobilenet_v2_1.4"),
}
