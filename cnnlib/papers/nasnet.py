"""What the papers on searching for cells print: sizes of the search, tables, rivals.

Of Zoph et al. (2017), "Learning Transferable Architectures for Scalable Image Recognition", and of
those that came after. The wiring of NASNet-A is in ``cnnlib.models.nasnet.NASNET_A``; counts and
errors of the three networks that the library builds are in ``cnnlib.published``. Errors and
accuracies are in percent.
"""

from __future__ import annotations

from typing import NamedTuple

BLOCKS = 5  # B, of a cell (Section 3)
DECISIONS = 5  # of a block: two hidden states, two operations, how to combine (Section 3)
OPERATIONS = 13  # in the list of Section 3
COMBINATIONS = 2  # sum, concatenation (Section 3)
CELLS = 2  # a normal and a reduction cell


class Search(NamedTuple):
    """How long a search took and on what.

    Attributes:
        gpus: that trained children at the same time.
        days: of the whole search.
        card: the kind of GPU.
        printed: the product as the paper prints it; it calls the unit GPU-hours.
        source: where it is said.
    """

    gpus: int
    days: int
    card: str
    printed: int | None
    source: str

    @property
    def gpu_days(self) -> int:
        """What the product is: days of one GPU."""
        return self.gpus * self.days


SEARCHES = {  # the first two are in a footnote of Section 4 of the NASNet paper
    "NAS (Zoph and Le, 2016)": Search(800, 28, "K40", 22_400, "NASNet, Section 4, footnote"),
    "NASNet (Zoph et al., 2017)": Search(500, 4, "P100", 2_000, "NASNet, Section 4, footnote"),
    "AmoebaNet (Real et al., 2018)": Search(450, 7, "K40", None, "AmoebaNet, Methods Details"),
}
TIMES_FASTER = 7  # printed: "about 7x more efficient", which is 28 days by 4 (Section 4)

# The search and its proxy task (Appendix A)
CHILDREN = 20_000  # networks trained in the search (A.3)
WORKERS = 450  # that trained at any time (A.3)
FINALISTS = 250  # trained to the end afterwards (A.3)
BATCH = 20  # children between two updates of the controller (A.3)
PROXY_EPOCHS = 20  # A.6, Fig. 6
PROXY_REPEATS = 2  # N while searching (A.6)
VALIDATION_IMAGES = 5_000  # taken from the 50,000 training images of CIFAR-10 (A.1)
HIDDEN_UNITS = 100  # of the controller's LSTM (A.2)
BASELINE_DECAY = 0.95  # of the moving average of rewards (A.2)
RL_GAIN = 1.0  # "over 1 %": best model of the controller above that of random search (Section 4.4)
AUXILIARY_WEIGHT = 0.4  # of the auxiliary classifier's loss (A.7)


class Cifar(NamedTuple):
    """A row of Table 1: CIFAR-10, NASNets as the mean of five trainings.

    Attributes:
        depth: layers; None where none is printed.
        parameters: as printed.
        error: in percent of the test images.
    """

    depth: int | None
    parameters: str
    error: float


TABLE_1 = {
    "DenseNet (L = 40, k = 12)": Cifar(40, "1.0M", 5.24),
    "DenseNet (L = 100, k = 12)": Cifar(100, "7.0M", 4.10),
    "DenseNet (L = 100, k = 24)": Cifar(100, "27.2M", 3.74),
    "DenseNet-BC (L = 190, k = 40)": Cifar(190, "25.6M", 3.46),
    "Shake-Shake 26 2x32d": Cifar(26, "2.9M", 3.55),
    "Shake-Shake 26 2x96d": Cifar(26, "26.2M", 2.86),
    "Shake-Shake 26 2x96d + cutout": Cifar(26, "26.2M", 2.56),
    "NAS v3": Cifar(39, "7.1M", 4.47),
    "NAS v3, more filters": Cifar(39, "37.4M", 3.65),
    "NASNet-A (6 @ 768)": Cifar(None, "3.3M", 3.41),
    "NASNet-A (6 @ 768) + cutout": Cifar(None, "3.3M", 2.65),
    "NASNet-A (7 @ 2304)": Cifar(None, "27.6M", 2.97),
    "NASNet-A (7 @ 2304) + cutout": Cifar(None, "27.6M", 2.40),
    "NASNet-B (4 @ 1152)": Cifar(None, "2.6M", 3.73),
    "NASNet-C (4 @ 640)": Cifar(None, "3.1M", 3.59),
}


class ImageNet(NamedTuple):
    """A row of Table 2 or 3: validation images of ILSVRC-2012, one crop, one network.

    Attributes:
        side: of the images, in pixels.
        parameters: as printed.
        macs: as printed there under "Mult-Adds".
        top1: accuracy.
        top5: accuracy.
    """

    side: int
    parameters: str
    macs: str
    top1: float
    top5: float


TABLE_2 = {
    "Inception V2": ImageNet(224, "11.2M", "1.94B", 74.8, 92.2),
    "NASNet-A (5 @ 1538)": ImageNet(299, "10.9M", "2.35B", 78.6, 94.2),
    "Inception V3": ImageNet(299, "23.8M", "5.72B", 78.8, 94.4),
    "Xception": ImageNet(299, "22.8M", "8.38B", 79.0, 94.5),
    "Inception ResNet V2": ImageNet(299, "55.8M", "13.2B", 80.1, 95.1),
    "NASNet-A (7 @ 1920)": ImageNet(299, "22.6M", "4.93B", 80.8, 95.3),
    "ResNeXt-101 (64 x 4d)": ImageNet(320, "83.6M", "31.5B", 80.9, 95.6),
    "PolyNet": ImageNet(331, "92M", "34.7B", 81.3, 95.8),
    "DPN-131": ImageNet(320, "79.5M", "32.0B", 81.5, 95.8),
    "SENet": ImageNet(320, "145.8M", "42.3B", 82.7, 96.2),
    "NASNet-A (6 @ 4032)": ImageNet(331, "88.9M", "23.8B", 82.7, 96.2),
}
TABLE_3 = {
    "Inception V1": ImageNet(224, "6.6M", "1,448M", 69.8, 89.9),
    "MobileNet-224": ImageNet(224, "4.2M", "569M", 70.6, 89.5),
    "ShuffleNet (2x)": ImageNet(224, "5M", "524M", 70.9, 89.8),  # printed with a tilde
    "NASNet-A (4 @ 1056)": ImageNet(224, "5.3M", "564M", 74.0, 91.6),
    "NASNet-B (4 @ 1536)": ImageNet(224, "5.3M", "488M", 72.8, 91.3),
    "NASNet-C (3 @ 960)": ImageNet(224, "4.9M", "558M", 72.5, 91.0),
}


class Afterwards(NamedTuple):
    """A cell for CIFAR-10 and what it cost to find, as later papers line them up.

    Attributes:
        strategy: how it was searched.
        parameters: in millions.
        error: of the test images, trained with cutout; the mean where ``deviation`` is given.
        deviation: over the trainings of the one cell that was found.
        gpu_days: of the search, on different cards.
        shares: children take over weights instead of being trained anew.
    """

    strategy: str
    parameters: float
    error: float
    deviation: float | None
    gpu_days: float
    shares: bool


AFTERWARDS = {  # Li and Talwalkar (2019), the table of CIFAR-10
    "NASNet-A": Afterwards("reinforcement learning", 3.3, 2.65, None, 2000, False),
    "AmoebaNet-B": Afterwards("evolution", 2.8, 2.55, 0.05, 3150, False),
    "ENAS": Afterwards("reinforcement learning", 4.6, 2.89, None, 0.5, True),
    "DARTS, second order": Afterwards("gradient", 3.3, 2.76, 0.09, 4, True),
    "random, of the DARTS paper": Afterwards("random", 3.2, 3.29, 0.15, 4, False),
    "random, weights shared": Afterwards("random", 4.3, 2.85, 0.08, 9.7, True),
}

# Regularised evolution (Real et al., 2018), Methods Details
POPULATION = 100  # P
SAMPLE = 25  # S
IDENTITY_MUTATION = 0.05  # probability that a child is a copy of its parent
COMPARISON_REPEATS = 5  # searches of each kind side by side (Fig. 4)
DROP_PATH_GAIN = 0.3  # points of top-1 on ImageNet that ScheduledDropPath brings there
