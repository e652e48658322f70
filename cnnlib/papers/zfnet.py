"""What Zeiler and Fergus (2013) print; tables and sections are those of arXiv:1311.2901v3."""

from __future__ import annotations

from typing import NamedTuple


class Result(NamedTuple):
    """A row of table 2 or 3: percent wrong on ImageNet 2012; None where nothing is printed.

    Attributes:
        network: what is trained.
        train_top1: on the training images.
        top1: on the validation images.
        top5: the same; wrong if the label is not among the five best guesses.
        test_top5: on the test images.
    """

    network: str
    train_top1: float | None
    top1: float
    top5: float
    test_top5: float | None = None


# Section 3: images of 256 x 256, ten crops of 224 x 224 (corners and centre, each also mirrored).
PROTOCOL = "ILSVRC-2012, 1.3 million training images, 50,000 validation images"
TRAINING = "70 epochs, about 12 days on one GTX 580"  # Section 3

TABLE_2 = (
    Result("AlexNet, as its authors report it", None, 40.7, 18.2),
    Result("AlexNet, five networks", None, 38.1, 16.4, 16.4),
    Result("AlexNet, trained anew", None, 40.5, 18.1),
    Result("ZFNet", None, 38.4, 16.5),
    Result("ZFNet, five networks", None, 36.7, 15.3, 15.3),
    Result("ZFNet, wider layers 3 to 5", None, 37.5, 16.0, 16.1),
    Result("six networks: five ZFNets and the wider one", None, 36.0, 14.7, 14.8),
)

ALEXNET_ABLATION = (  # table 3, upper part: AlexNet, changed and trained anew
    Result("all layers", 35.1, 40.5, 18.1),
    Result("without 3 and 4", 41.8, 45.4, 22.1),
    Result("without 7", 27.4, 40.0, 18.4),
    Result("without 6 and 7", 27.4, 44.8, 22.4),
    Result("without 3, 4, 6 and 7", 71.1, 71.3, 50.1),
    Result("layers 6 and 7 with 2048 units", 40.3, 41.7, 18.8),
    Result("layers 6 and 7 with 8192 units", 26.8, 40.0, 18.1),
)
ZFNET_ABLATION = (  # table 3, lower part: their own model
    Result("all layers", 33.1, 38.4, 16.5),
    Result("layers 6 and 7 with 2048 units", 38.2, 40.2, 17.6),
    Result("layers 6 and 7 with 8192 units", 22.0, 38.8, 17.0),
    Result("wider layers 3 to 5", 18.8, 37.5, 16.0),
    Result("wider layers 3 to 5, 8192 units", 10.0, 38.3, 16.9),
)

# Fig. 4: the epochs at which features are shown.
EPOCHS_SHOWN = (1, 2, 5, 10, 20, 30, 40, 64)

# Table 7 of the VGG paper (arXiv:1409.1556v6): percent of test images, top 5, ILSVRC-2013.
CLARIFAI_TOP5 = 11.7
CLARIFAI_ONE_NETWORK_TOP5 = 12.5


class Correspondence(NamedTuple):
    """A row of table 1: mean and spread of the disagreement between five images of dogs."""

    hidden: str
    layer5: tuple[float, float]
    layer7: tuple[float, float]


TABLE_1 = (
    Correspondence("right eye", (0.067, 0.007), (0.069, 0.015)),
    Correspondence("left eye", (0.069, 0.007), (0.068, 0.013)),
    Correspondence("nose", (0.079, 0.017), (0.069, 0.011)),
    Correspondence("a random place", (0.107, 0.017), (0.073, 0.014)),
)
