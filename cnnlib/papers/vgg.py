"""What Simonyan and Zisserman (2014) print about their networks: depth, scales, crops, rivals.

The configurations of table 1 are in ``cnnlib.models.vgg.TABLE_1``, the counts of each network and
its error at one scale of 256 in ``cnnlib.published``. Errors are percentages of images: top-1 and
top-5. Tables 3 to 5 are of single networks on the validation images of ILSVRC-2012, of which the
authors had labels; table 6 and 7 also give what the contest's server said of the test images.
"""

from __future__ import annotations

from typing import NamedTuple

from cnnlib.published import published

WEIGHT_LAYERS = {"A": 11, "A-LRN": 11, "B": 13, "C": 16, "D": 16, "E": 19}  # head of table 1
MILLION_PARAMETERS = {"A": 133, "A-LRN": 133, "B": 133, "C": 134, "D": 138, "E": 144}  # table 2
OVERFEAT_PARAMETERS = 144  # millions, of a shallower network (section 2.2)
SEVEN_NEEDS_MORE = 81  # percent more weights than three layers of 3 x 3 (section 2.3)
SHALLOW_IS_WORSE = 7  # points of top-1 error: B with 5 x 5 for pairs of 3 x 3, centre crop (4.1)

Scales = tuple[int, ...]


class Training(NamedTuple):
    """How the networks were trained (section 3.1)."""

    batch_size: int = 256
    momentum: float = 0.9
    weight_decay: float = 5e-4
    dropout: float = 0.5
    learning_rate: float = 1e-2
    divided_by: int = 10  # each time that the validation accuracy stopped improving
    times: int = 3
    iterations: int = 370_000
    epochs: int = 74
    images: int = 1_300_000  # section 4
    gpus: int = 4  # NVIDIA Titan Black (section 3.3)
    weeks: tuple[int, int] = (2, 3)  # for one network (section 3.3)
    speedup: float = 3.75  # of four GPUs over one (section 3.3)


TRAINING = Training()


class Result(NamedTuple):
    """Error of one network on the validation images.

    Attributes:
        config: column of table 1.
        train: S, the smaller side to which training images were scaled; two numbers: drawn anew
            for each image between them.
        test: Q, the same for the test image; several: the mean of their class probabilities.
        top1: percent wrong.
        top5: percent of images whose class is not among the five best guesses.
    """

    config: str
    train: Scales
    test: Scales
    top1: float
    top5: float


def _at_256(config: str) -> Result:
    record = published(f"vgg_{config.lower().replace('-', '_')}")
    if record.top1_error is None or record.top5_error is None:
        raise ValueError(f"no error is published of {record.name}")
    return Result(config, (256,), (256,), record.top1_error, record.top5_error)


JITTER = (256, 512)
TABLE_3 = (  # one test scale
    _at_256("A"),
    _at_256("A-LRN"),
    _at_256("B"),
    _at_256("C"),
    Result("C", (384,), (384,), 28.1, 9.3),
    Result("C", JITTER, (384,), 27.3, 8.8),
    _at_256("D"),
    Result("D", (384,), (384,), 26.8, 8.7),
    Result("D", JITTER, (384,), 25.6, 8.1),
    _at_256("E"),
    Result("E", (384,), (384,), 26.9, 8.7),
    Result("E", JITTER, (384,), 25.5, 8.0),
)
_AROUND_256, _AROUND_384, _WIDE = (224, 256, 288), (352, 384, 416), (256, 384, 512)
TABLE_4 = (  # three test scales
    Result("B", (256,), _AROUND_256, 28.2, 9.6),
    Result("C", (256,), _AROUND_256, 27.7, 9.2),
    Result("C", (384,), _AROUND_384, 27.8, 9.2),
    Result("C", JITTER, _WIDE, 26.3, 8.2),
    Result("D", (256,), _AROUND_256, 26.6, 8.6),
    Result("D", (384,), _AROUND_384, 26.5, 8.6),
    Result("D", JITTER, _WIDE, 24.8, 7.5),
    Result("E", (256,), _AROUND_256, 26.9, 8.7),
    Result("E", (384,), _AROUND_384, 26.7, 8.6),
    Result("E", JITTER, _WIDE, 24.8, 7.5),
)


class Evaluation(NamedTuple):
    """Error of a network by how the image is looked at; S in [256; 512], Q = 256, 384, 512."""

    config: str
    method: str
    top1: float
    top5: float


CROPS_PER_SCALE = 50  # 5 x 5 places, each with its mirror image (section 3.2)
TABLE_5 = (
    Evaluation("D", "dense", 24.8, 7.5),
    Evaluation("D", "multi-crop", 24.6, 7.5),
    Evaluation("D", "multi-crop and dense", 24.4, 7.2),
    Evaluation("E", "dense", 24.8, 7.5),
    Evaluation("E", "multi-crop", 24.6, 7.4),
    Evaluation("E", "multi-crop and dense", 24.4, 7.1),
)


class Entry(NamedTuple):
    """Error of one or several networks; None where it is not printed.

    Attributes:
        who: whose networks.
        networks: whose class probabilities were averaged.
        how: how the images were looked at, where it is said.
        top1: on validation images.
        top5: on validation images.
        test: top-5 on test images.
    """

    who: str
    networks: int
    how: str | None
    top1: float | None
    top5: float | None
    test: float | None


TABLE_6 = (  # several networks together
    Entry("VGG", 7, "dense (entry to the contest)", 24.7, 7.5, 7.3),
    Entry("VGG", 2, "dense", 24.0, 7.1, 7.0),
    Entry("VGG", 2, "multi-crop", 23.9, 7.2, None),
    Entry("VGG", 2, "multi-crop and dense", 23.7, 6.8, 6.8),
)
TABLE_7 = (  # no outside training data, a few rows; GoogLeNet's errors stand across both columns
    TABLE_6[3],
    Entry("VGG", 1, "multi-crop and dense", 24.4, 7.1, 7.0),
    TABLE_6[0],
    Entry("GoogLeNet", 1, None, None, 7.9, 7.9),
    Entry("GoogLeNet", 7, None, None, 6.7, 6.7),
    Entry("MSRA", 1, None, 27.9, 9.1, 9.1),
    Entry("Zeiler and Fergus", 6, None, 36.0, 14.7, 14.8),
    Entry("Krizhevsky et al.", 5, None, 38.1, 16.4, 16.4),
    Entry("Krizhevsky et al.", 1, None, 40.7, 18.2, None),
)
PLACES = {"localisation": 1, "classification": 2}  # in ILSVRC-2014 (abstract)
LOCALISATION_ERROR = 25.3  # percent, of the winning entry (appendix A)
