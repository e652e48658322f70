"""What Howard et al. (2017) print about MobileNets: costs, shares, trade-offs, rivals.

The rows of table 1 are in ``cnnlib.models.mobilenet.TABLE_1``; the counts and errors of single
networks in ``cnnlib.published``. Accuracies are percentages of the validation images of ILSVRC-2012
whose class is guessed first (top-1), as the paper prints them; it says nothing of crops, and no
result is given with a spread over repeated trainings.
"""

from __future__ import annotations

from typing import NamedTuple

TIMES_FEWER = (8, 9)  # multiply-adds of a 3 x 3 layer, full against separable (section 3.1)
LAYERS = 28  # depthwise and pointwise convolutions counted as separate layers (section 3.2)
PERCENT_OF_TIME = 95  # "computation time in 1 x 1 convolutions", with table 2 as the source (3.2)
ALPHAS = (1, 0.75, 0.5, 0.25)  # section 3.3
RESOLUTIONS = (224, 192, 160, 128)  # section 3.4
GRID = 16  # networks of figures 4 and 5, the products of both (section 4.2)
NO_DECAY = "very little or no weight decay on the depthwise filters"  # section 3.2, shortened
TABLE_1_LAST_DEPTHWISE_STRIDE = 2  # printed; its sizes need 1

# Height and width of what comes into the layers, from above to below; the second number of a pair
# is that of the pointwise convolution (table 1).
INPUT_SIDES = (
    (224,),
    (112, 112),
    (112, 56),
    (56, 56),
    (56, 28),
    (28, 28),
    (28, 14),
    *(5 * [(14, 14)]),
    (14, 7),
    (7, 7),
)


class Share(NamedTuple):
    """Percent of the whole network, a row of table 2."""

    macs: float
    parameters: float


# Of the weights alone, without batch normalisation and biases. The column of multiply-adds has 1.19
# where the network has 1.91; with that it adds up to 100.
TABLE_2 = {
    "Conv 1 × 1": Share(94.86, 74.59),
    "Conv DW 3 × 3": Share(3.06, 1.06),
    "Conv 3 × 3": Share(1.19, 0.02),
    "Fully connected": Share(0.18, 24.33),
}


class Layer(NamedTuple):
    """A layer made cheaper step by step, a row of table 3: 512 maps of 14 x 14 come in.

    Attributes:
        macs: millions.
        parameters: millions.
    """

    macs: float
    parameters: float


TABLE_3 = {
    "convolution": Layer(462, 2.36),
    "depthwise separable": Layer(52.3, 0.27),
    "α = 0.75": Layer(29.6, 0.15),
    "ρ = 0.714": Layer(15.1, 0.15),
}


class Result(NamedTuple):
    """A network as tables 4 to 9 print it.

    Attributes:
        accuracy: top-1, in percent.
        macs: millions of multiply-adds; but see ``TABLE_9``.
        parameters: millions; None where the table repeats them by a rule of its own.
        model: its name in ``cnnlib.list_models()``.
    """

    accuracy: float
    macs: float
    parameters: float
    model: str


BASE = Result(70.6, 569, 4.2, "mobilenet_v1_1_224")
TABLE_4 = {
    "Conv MobileNet": Result(71.7, 4866, 29.3, "mobilenet_v1_fullconv"),
    "MobileNet": BASE,
}
TABLE_5 = {
    "0.75 MobileNet": Result(68.4, 325, 2.6, "mobilenet_v1_0.75_224"),
    "Shallow MobileNet": Result(65.3, 307, 2.9, "mobilenet_v1_shallow"),
}
TABLE_6 = {
    "1.0 MobileNet-224": BASE,
    "0.75 MobileNet-224": TABLE_5["0.75 MobileNet"],
    "0.5 MobileNet-224": Result(63.7, 149, 1.3, "mobilenet_v1_0.5_224"),
    "0.25 MobileNet-224": Result(50.6, 41, 0.5, "mobilenet_v1_0.25_224"),
}
TABLE_7 = {
    "1.0 MobileNet-224": BASE,
    "1.0 MobileNet-192": Result(69.1, 418, 4.2, "mobilenet_v1_1_192"),
    "1.0 MobileNet-160": Result(67.2, 290, 4.2, "mobilenet_v1_1_160"),
    "1.0 MobileNet-128": Result(64.4, 186, 4.2, "mobilenet_v1_1_128"),
}
TABLE_8 = {
    "1.0 MobileNet-224": BASE,
    "GoogleNet": Result(69.8, 1550, 6.8, "googlenet"),
    "VGG 16": Result(71.5, 15300, 138, "vgg_d"),
}
# SqueezeNet's row counts a multiplication and an addition as two, the other rows as one
TABLE_9 = {
    "0.50 MobileNet-160": Result(60.2, 76, 1.32, "mobilenet_v1_0.5_160"),
    "Squeezenet": Result(57.5, 1700, 1.25, "squeezenet1_0"),
    "AlexNet": Result(57.2, 720, 60, "alexnet"),
}
THINNER_BEATS_SHALLOWER = 3  # points at similar cost (section 4.1)
FEWER_THAN_SQUEEZENET = 22  # times less computation (section 4.2)
