"""What Iandola et al. (2016) print about SqueezeNet, and Han et al. (2016) about Deep Compression.

The filters of every module are in ``cnnlib.models.squeezenet.TABLE_1``; counts and errors of the
whole networks, those of table 3 among them, in ``cnnlib.published``. Accuracies are in percent, for
one crop of the ILSVRC-2012 validation images; sizes of networks as printed, in "MB".

SqueezeNet: arXiv:1602.07360. Deep Compression: S. Han, H. Mao, W. J. Dally, "Deep Compression:
Compressing Deep Neural Networks with Pruning, Trained Quantization and Huffman Coding", ICLR 2016,
arXiv:1510.00149; what is from it is named HAN.
"""

from __future__ import annotations

from typing import NamedTuple


class PrintedRow(NamedTuple):
    """A row of SqueezeNet's table 1.

    Attributes:
        output: (maps, height, width) of what leaves the row; maxpool8 is printed as 13 × 12.
        parameters: weights and biases; None where a layer has none.
        pruned: how many of them are left by Deep Compression.
    """

    output: tuple[int, int, int]
    parameters: int | None = None
    pruned: int | None = None


TABLE_1 = {  # name of the layer in ``cnnlib.models.squeezenet.SqueezeNet`` -> what is printed of it
    "conv1": PrintedRow((96, 111, 111), 14_208, 14_208),
    "maxpool1": PrintedRow((96, 55, 55)),
    "fire2": PrintedRow((128, 55, 55), 11_920, 5_746),
    "fire3": PrintedRow((128, 55, 55), 12_432, 6_258),
    "fire4": PrintedRow((256, 55, 55), 45_344, 20_646),
    "maxpool4": PrintedRow((256, 27, 27)),
    "fire5": PrintedRow((256, 27, 27), 49_440, 24_742),
    "fire6": PrintedRow((384, 27, 27), 104_880, 44_700),
    "fire7": PrintedRow((384, 27, 27), 111_024, 46_236),
    "fire8": PrintedRow((512, 27, 27), 188_992, 77_581),
    "maxpool8": PrintedRow((512, 13, 12)),
    "fire9": PrintedRow((512, 13, 13), 197_184, 77_581),
    "conv10": PrintedRow((1000, 13, 13), 513_000, 103_400),
    "avgpool10": PrintedRow((1000, 1, 1)),
}
PARAMETERS = 1_248_424  # the last row of table 1
PRUNED = 421_098


class Compressed(NamedTuple):
    """A row of SqueezeNet's table 2.

    Attributes:
        network: which architecture.
        approach: how it was compressed; "none" if it was not.
        bits: of a stored weight, as printed.
        before: size in MB.
        after: size in MB, the same as before where nothing was compressed.
        times: how much smaller than the 240 MB of AlexNet.
        top1: accuracy.
        top5: accuracy.
    """

    network: str
    approach: str
    bits: str
    before: float
    after: float
    times: int
    top1: float
    top5: float


TABLE_2 = (
    Compressed("AlexNet", "none", "32", 240, 240, 1, 57.2, 80.3),
    Compressed("AlexNet", "SVD", "32", 240, 48, 5, 56.0, 79.4),
    Compressed("AlexNet", "pruning", "32", 240, 27, 9, 57.2, 80.3),
    Compressed("AlexNet", "Deep Compression", "5-8", 240, 6.9, 35, 57.2, 80.3),
    Compressed("SqueezeNet", "none", "32", 4.8, 4.8, 50, 57.5, 80.3),
    Compressed("SqueezeNet", "Deep Compression", "8", 4.8, 0.66, 363, 57.5, 80.3),
    Compressed("SqueezeNet", "Deep Compression", "6", 4.8, 0.47, 510, 57.5, 80.3),
)


class Sweep(NamedTuple):
    """What a choice of metaparameters gives; section 5.

    Attributes:
        megabytes: size of the network.
        top5: accuracy.
    """

    megabytes: float
    top5: float


SQUEEZE_RATIOS = {0.125: Sweep(4.8, 80.3), 0.75: Sweep(19, 86.0)}  # section 5.2
HALF_OF_3X3 = Sweep(13, 85.6)  # section 5.3: a squeeze ratio of 1/2; more 3 × 3 does not help
LEARNING_RATE = 0.04  # at the start, falling linearly (section 3.3.1)
DENSE_SPARSE_DENSE = (1.2, 4.3)  # points of top-1 accuracy won, compressed or not (section 7)


class Reported(NamedTuple):
    """A network in Deep Compression's table 1: errors and bytes, before and after.

    Attributes:
        top1: error in percent, before and after.
        top5: the same; None where it is not given.
        size: before and after, in ``unit``.
        unit: "KB" or "MB".
        times: how much smaller.
    """

    top1: tuple[float, float]
    top5: tuple[float, float] | None
    size: tuple[float, float]
    unit: str
    times: int


HAN_TABLE_1 = {
    "LeNet-300-100": Reported((1.64, 1.58), None, (1070, 27), "KB", 40),
    "LeNet-5": Reported((0.80, 0.74), None, (1720, 44), "KB", 39),
    "AlexNet": Reported((42.78, 42.78), (19.73, 19.70), (240, 6.9), "MB", 35),
    "VGG-16": Reported((31.50, 31.17), (11.32, 10.91), (552, 11.3), "MB", 49),
}


class LayerStatistics(NamedTuple):
    """A layer of AlexNet in Deep Compression's table 4.

    Attributes:
        weights: thousands, as printed.
        kept: percent of them after pruning.
        bits: of a weight's code, fixed and on average after Huffman's coding.
        gap_bits: of the distance to the weight before, likewise.
        rate: size in percent of what it was: pruned and quantised; with Huffman's coding too.
    """

    weights: int
    kept: int
    bits: tuple[int, float]
    gap_bits: tuple[int, float]
    rate: tuple[float, float]


HAN_TABLE_4 = {
    "conv1": LayerStatistics(35, 84, (8, 6.3), (4, 1.2), (32.6, 20.53)),
    "conv2": LayerStatistics(307, 38, (8, 5.5), (4, 2.3), (14.5, 9.43)),
    "conv3": LayerStatistics(885, 35, (8, 5.1), (4, 2.6), (13.1, 8.44)),
    "conv4": LayerStatistics(663, 37, (8, 5.2), (4, 2.5), (14.1, 9.11)),
    "conv5": LayerStatistics(442, 37, (8, 5.6), (4, 2.5), (14.0, 9.43)),
    "fc6": LayerStatistics(38_000, 9, (5, 3.9), (4, 3.2), (3.0, 2.39)),
    "fc7": LayerStatistics(17_000, 9, (5, 3.6), (4, 3.7), (3.0, 2.46)),
    "fc8": LayerStatistics(4_000, 25, (5, 4.0), (4, 3.2), (7.3, 5.85)),
}
HAN_RATE = (3.7, 2.88)  # the last row of table 4: percent of 240 MB, without and with Huffman
HAN_KEPT = 11  # percent of all weights
HAN_GAP_BITS = {"convolution": 8, "fully connected": 5}  # section 2; table 4 has 4 for AlexNet


class Bits(NamedTuple):
    """A row of Deep Compression's table 6: errors of AlexNet, pruned, by bits of a weight."""

    convolutions: int
    fully_connected: int
    top1: float
    top5: float


HAN_TABLE_6 = (
    Bits(32, 32, 42.78, 19.73),
    Bits(8, 5, 42.78, 19.70),
    Bits(8, 4, 42.79, 19.73),
    Bits(4, 2, 44.77, 22.33),
)
HAN_STAGES = {"none": 240, "pruning": 27, "quantisation": 8.9, "Huffman": 6.9}  # MB, table 7
HAN_SPEED_UP = {"CPU": 3, "GPU": 3.5, "mobile GPU": 4.2}  # figure 9: pruned layers, one image
"""Times faster, for fully connected layers alone; with batches "no longer" so (section 6.3)."""


class Rival(NamedTuple):
    """A network of its time that is also small; top-1 accuracy and size as its page gives them."""

    megabytes: float
    top1: float
    address: str


NETWORK_IN_NETWORK = Rival(
    29, 59.36, "https://gist.github.com/mavenlin/d802a5849de39225bcc6"
)  # no fully connected layers, 2014
