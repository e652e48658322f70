"""What Szegedy et al. (2014) print about GoogLeNet: its rows, its rivals, its crops.

The filters of every module are in ``cnnlib.models.googlenet.TABLE_1``, the counts of the whole
network in ``cnnlib.published``. Errors are top-5, in percent.
"""

from __future__ import annotations

from typing import NamedTuple


class PrintedRow(NamedTuple):
    """A row of table 1.

    Attributes:
        output: (maps, height, width) of what leaves the row.
        depth: layers with parameters, counted along the longest branch.
        params: as printed, in thousands; the table has no biases and seems to count by 1,024.
        ops: as printed, in millions of multiply-adds.
    """

    output: tuple[int, int, int]
    depth: int
    params: float | None = None
    ops: int | None = None


TABLE_1 = {  # name of the layer in ``cnnlib.models.googlenet.GoogLeNet`` -> what is printed of it
    "conv1": PrintedRow((64, 112, 112), 1, 2.7, 34),
    "pool1": PrintedRow((64, 56, 56), 0),
    "conv2": PrintedRow((192, 56, 56), 2, 112, 360),
    "pool2": PrintedRow((192, 28, 28), 0),
    "inception3a": PrintedRow((256, 28, 28), 2, 159, 128),
    "inception3b": PrintedRow((480, 28, 28), 2, 380, 304),
    "pool3": PrintedRow((480, 14, 14), 0),
    "inception4a": PrintedRow((512, 14, 14), 2, 364, 73),
    "inception4b": PrintedRow((512, 14, 14), 2, 437, 88),
    "inception4c": PrintedRow((512, 14, 14), 2, 463, 100),
    "inception4d": PrintedRow((528, 14, 14), 2, 580, 119),
    "inception4e": PrintedRow((832, 14, 14), 2, 840, 170),
    "pool4": PrintedRow((832, 7, 7), 0),
    "inception5a": PrintedRow((832, 7, 7), 2, 1072, 54),
    "inception5b": PrintedRow((1024, 7, 7), 2, 1388, 71),
    "avgpool": PrintedRow((1024, 1, 1), 0),
    "dropout": PrintedRow((1024, 1, 1), 0),
    "linear": PrintedRow((1000, 1, 1), 1, 1000, 1),
}
DEPTH = 22  # layers with parameters (section 5)
DEPTH_WITH_POOLING = 27  # section 5
BUDGET = 1.5e9  # multiply-adds for an image (section 1)
FEWER_THAN_ALEXNET = 12  # times fewer parameters (section 1)
FASTER_THAN_OTHERS = (2, 3)  # times, at similar quality (section 4)

AVERAGE_POOLING_GAIN = 0.6  # points of top-1 accuracy over fully connected layers (section 5)
DROPOUT = 0.4  # of the 1,024 averages (table 1)
AUXILIARY_OUTPUTS = {"4a": (512, 4, 4), "4d": (528, 4, 4)}  # after the heads' pooling (section 5)


class Entry(NamedTuple):
    """An entry to the contest, a row of table 2; ``external`` is what else it was trained on."""

    team: str
    year: int
    place: int
    error: float
    external: str | None


TABLE_2 = (  # ILSVRC classification, test set
    Entry("SuperVision", 2012, 1, 16.4, None),
    Entry("SuperVision", 2012, 1, 15.3, "ImageNet 22k"),
    Entry("Clarifai", 2013, 1, 11.7, None),
    Entry("Clarifai", 2013, 1, 11.2, "ImageNet 22k"),
    Entry("MSRA", 2014, 3, 7.35, None),
    Entry("VGG", 2014, 2, 7.32, None),
    Entry("GoogLeNet", 2014, 1, 6.67, None),
)


class Testing(NamedTuple):
    """A way of answering, a row of table 3.

    Attributes:
        networks: how many answer together.
        crops: of each image.
        cost: how many times a network is run for one image.
        error: on the validation set.
        change: against the first row, as printed.
    """

    networks: int
    crops: int
    cost: int
    error: float
    change: float | None


TABLE_3 = (  # the last change is printed as -3.45, although the errors of its row differ by 3.40
    Testing(1, 1, 1, 10.07, None),
    Testing(1, 10, 10, 9.15, -0.92),
    Testing(1, 144, 144, 7.89, -2.18),
    Testing(7, 1, 7, 8.09, -1.98),
    Testing(7, 10, 70, 7.62, -2.45),
    Testing(7, 144, 1008, 6.67, -3.45),
)
CROPS = {"scales": 4, "squares": 3, "crops of a square": 6, "mirrored or not": 2}  # section 7
