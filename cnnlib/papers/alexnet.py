"""What Krizhevsky, Sutskever and Hinton (2012) print about their network, its rivals, its parts.

Errors are percentages, top-1 and top-5. The paper reports them on three sets of images that must
not share a column: the test images of ILSVRC-2010, whose labels are public, and the validation and
test images of ILSVRC-2012.
"""

from __future__ import annotations

from typing import NamedTuple

INPUT = 150_528  # figure 2: numbers in an image of 224 x 224 x 3
NEURONS = {  # figure 2; the first is a misprint: 55 x 55 x 96 are 290,400
    "conv1": 253_440,
    "conv2": 186_624,
    "conv3": 64_896,
    "conv4": 64_896,
    "conv5": 43_264,
    "fc6": 4_096,
    "fc7": 4_096,
    "fc8": 1_000,
}
CROPS_PER_IMAGE = 2_048  # section 4.1: what random crops and reflections multiply the images by
CROP, IMAGE = 224, 256  # pixels, section 4.1
COLOUR_SD = 0.1  # section 4.1: standard deviation of the three random factors

TRAINING_IMAGES = 1_200_000  # section 2, "roughly"
PASSES = 90  # section 5, "roughly"
DAYS = (5, 6)  # section 5: "five to six", on two GTX 580 with 3 GB each
CARDS, GIGABYTES = 2, 3  # sections 3.2 and 5
TIMES_FASTER = 6  # figure 1: epochs of tanh over epochs of ReLU until 25 % training error
REACHED = 25  # percent training error, figure 1


class Result(NamedTuple):
    """One row of a table: errors in percent; None where the paper prints none."""

    model: str
    top1: float | None
    top5: float | None


TABLE_1 = [  # ILSVRC-2010, test images
    Result("Sparse coding", 47.1, 28.2),
    Result("SIFT + FVs", 45.7, 25.7),
    Result("CNN", 37.5, 17.0),
]
TABLE_1_PROTOCOL = "ILSVRC-2010 test, one network, 10 crops"
ONE_CROP = Result("CNN, without averaging over ten crops", 39.0, 18.3)  # section 6, footnote


class Result2012(NamedTuple):
    """One row of table 2: ILSVRC-2012, on validation and on test images."""

    model: str
    top1_validation: float | None
    top5_validation: float | None
    top5_test: float | None
    networks: int | None
    more_images: bool  # trained on the whole of ImageNet (autumn 2011) first: the stars


TABLE_2 = [
    Result2012("SIFT + FVs", None, None, 26.2, None, False),
    Result2012("1 CNN", 40.7, 18.2, None, 1, False),
    Result2012("5 CNNs", 38.1, 16.4, 16.4, 5, False),
    Result2012("1 CNN*", 39.0, 16.6, None, 1, True),
    Result2012("7 CNNs*", 36.7, 15.4, 15.3, 7, True),
]


class Gain(NamedTuple):
    """How many points of error a part takes away, as the paper says; None where it does not."""

    part: str
    top1: float
    top5: float | None
    section: str


GAINS = [  # all on ILSVRC-2010
    Gain("two GPUs instead of half the kernels on one", 1.7, 1.2, "3.2"),
    Gain("response normalisation", 1.4, 1.2, "3.3"),
    Gain("overlapping pooling", 0.4, 0.3, "3.4"),
    Gain("random colours", 1.0, None, "4.1"),  # "over 1 %"
    Gain("any one of the middle layers", 2.0, None, "7"),  # "about 2 %", lost without it
]
