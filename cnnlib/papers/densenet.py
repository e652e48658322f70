"""What Huang et al. (2017) print about DenseNet: its rivals, its crops, how it was trained.

Errors are in percent. The layers of table 1 are in ``cnnlib.models.densenet.TABLE_1``; sizes, and
errors on CIFAR-10 with augmentation ("C10+") and with one crop of ImageNet in ``cnnlib.published``.
"""

from __future__ import annotations

from typing import NamedTuple


class CifarRow(NamedTuple):
    """A row of table 2: test errors, None where none is given.

    Attributes:
        depth: layers with weights.
        parameters: as printed.
        c10: CIFAR-10 as it is; DenseNets were trained with dropout there.
        c10_plus: CIFAR-10, training images shifted by up to 4 pixels and mirrored.
        c100: CIFAR-100 as it is.
        c100_plus: CIFAR-100, shifted and mirrored.
        svhn: Street View House Numbers.
    """

    depth: int
    parameters: str
    c10: float | None
    c10_plus: float | None
    c100: float | None
    c100_plus: float | None
    svhn: float | None = None


RIVALS = {  # the residual networks among the others of table 2, by name
    "ResNet": CifarRow(110, "1.7M", None, 6.61, None, None),
    "ResNet, run by others": CifarRow(110, "1.7M", 13.63, 6.41, 44.74, 27.22, 2.01),
    "ResNet, stochastic depth": CifarRow(110, "1.7M", 11.66, 5.23, 37.80, 24.58, 1.75),
    "pre-activation ResNet-164": CifarRow(164, "1.7M", 11.26, 5.46, 35.58, 24.33),
    "pre-activation ResNet-1001": CifarRow(1001, "10.2M", 10.56, 4.62, 33.47, 22.71),
}
TABLE_2 = {  # name in ``cnnlib.list_models()`` -> its row
    "densenet_cifar_l40_k12": CifarRow(40, "1.0M", 7.00, 5.24, 27.55, 24.42, 1.79),
    "densenet_cifar_l100_k12": CifarRow(100, "7.0M", 5.77, 4.10, 23.79, 20.20, 1.67),
    "densenet_cifar_l100_k24": CifarRow(100, "27.2M", 5.83, 3.74, 23.42, 19.25, 1.59),
    "densenet_bc_cifar_l100_k12": CifarRow(100, "0.8M", 5.92, 4.51, 24.15, 22.27, 1.76),
    "densenet_bc_cifar_l250_k24": CifarRow(250, "15.3M", 5.19, 3.62, 19.64, 17.60, 1.74),
    "densenet_bc_cifar_l190_k40": CifarRow(190, "25.6M", None, 3.46, None, 17.18),
}
TABLE_2_PROTOCOL = "one run each, error of the last weights, one network"


class Crops(NamedTuple):
    """A row of table 3: errors on the ILSVRC-2012 validation images.

    Attributes:
        top1, top5: with one crop.
        top1_ten, top5_ten: with ten crops.
    """

    top1: float
    top5: float
    top1_ten: float
    top5_ten: float


TABLE_3 = {
    "densenet121": Crops(25.02, 7.71, 23.61, 6.66),
    "densenet169": Crops(23.80, 6.85, 22.08, 5.92),
    "densenet201": Crops(22.58, 6.34, 21.46, 5.54),
    "densenet264": Crops(22.15, 6.12, 20.80, 5.29),
}

SIDES = {  # height and width of the maps that leave a row of table 1, for images of 224 pixels
    "convolution": 112,
    "pooling": 56,
    "block1": 56,
    "transition1": 28,
    "block2": 28,
    "transition2": 14,
    "block3": 14,
    "transition3": 7,
    "block4": 7,
    "pool": 1,
}

FEWER_THAN_RESNET = 3  # times fewer parameters for about the same error (figure 4, middle)
FEWER_THAN_1001 = 0.9  # share saved by DenseNet-BC (L = 100, k = 12) against ResNet-1001 (4.3)
MOST_TRANSITIONS = (2, 3)  # between any layer and the classifier (section 5)

FITS_ONE_GPU = ("4M", "14M")  # parameters, before and after saving memory (Pleiss et al. 2017)
