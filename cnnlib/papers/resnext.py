"""What Xie et al. (2017) print about cardinality at equal cost.

Errors are top-1, in percent of the ILSVRC-2012 validation images, one crop of 224 pixels, one
network. Parameters and multiply-adds of ResNeXt-50 are in ``cnnlib.published``.
"""

from __future__ import annotations

from typing import NamedTuple

PROTOCOL = "ILSVRC-2012 validation, top-1, one crop of 224, one network"


class Template(NamedTuple):
    """A column of table 2 and a row of table 3: as much work, split into more or fewer paths.

    Attributes:
        cardinality: C, the number of paths.
        width: d, filters of a path in the first stage.
        error_50: of a network of 50 layers (table 3).
        error_101: of a network of 101 layers (table 3).
    """

    cardinality: int
    width: int
    error_50: float
    error_101: float

    @property
    def filters(self) -> int:
        """Of all paths together: the width of the grouped convolution (table 2)."""
        return self.cardinality * self.width


TABLE_3 = (
    Template(1, 64, 23.9, 22.0),  # these are ResNet-50 and ResNet-101
    Template(2, 40, 23.0, 21.7),
    Template(4, 24, 22.6, 21.4),
    Template(8, 14, 22.3, 21.3),
    Template(32, 4, 22.2, 21.2),
)
GROUPED_WIDTHS = (64, 80, 96, 112, 128)  # table 2, last row
BLOCK_PARAMETERS = 70e3  # about, of every template in the first stage (section 3.4)


class Doubled(NamedTuple):
    """A row of table 4: twice the work of ResNet-101, spent in one way.

    Attributes:
        spent_on: deeper, wider or more paths.
        network: as the paper names it.
        error: top-1.
    """

    spent_on: str
    network: str
    error: float


TABLE_4 = (
    Doubled("depth", "ResNet-200", 21.7),
    Doubled("width", "ResNet-101, 1 × 100d", 21.3),
    Doubled("paths", "ResNeXt-101, 2 × 64d", 20.7),
    Doubled("paths", "ResNeXt-101, 64 × 4d", 20.4),
)
CONTEST_2016 = 3.03  # top-5 test error of several networks; second place
