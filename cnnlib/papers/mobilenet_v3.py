"""What Howard et al. (2019) print about MobileNetV3: time on three phones, what each change saves.

The rows of tables 1 and 2 are in ``cnnlib.models.mobilenet_v3``, exact counts in
``cnnlib.published``. Figures are those of the fifth version on arXiv, which is that of the
conference.
"""

from __future__ import annotations

from typing import NamedTuple

LAST_STAGE = {"milliseconds": 7, "percent of the time": 11, "million MACs": 30}  # section 5.1
STEM = {"milliseconds": 2, "million MACs": 10}  # 16 maps instead of 32 (section 5.1)
SE_SHARE = 1 / 4  # of the expanded maps (section 5.3)
ACCURACY_OVER_V2 = 3.2  # points, large network (abstract)
LATENCY_UNDER_V2 = 20  # percent, large network (abstract)


class Result(NamedTuple):
    """A row of table 3.

    Attributes:
        accuracy: top-1 in percent, ILSVRC-2012 validation.
        macs: millions of multiply-adds.
        parameters: millions.
        milliseconds: for one image on a single large core of a Google Pixel 1, 2 and 3.
        model: its name in ``cnnlib.list_models()``; None for networks that the book has not.
    """

    accuracy: float
    macs: float
    parameters: float
    milliseconds: tuple[float, float, float]
    model: str | None


TABLE_3 = {  # the small network counts 56.5 million and 2.5 million, and so say the authors' pages
    "V3-Large 1.0": Result(75.2, 219, 5.4, (51, 61, 44), "mobilenet_v3_large_1"),
    "V3-Large 0.75": Result(73.3, 155, 4.0, (39, 46, 40), "mobilenet_v3_large_0.75"),
    "MnasNet-A1": Result(75.2, 315, 3.9, (71, 86, 61), None),
    "Proxyless": Result(74.6, 320, 4.0, (72, 84, 60), None),
    "V2 1.0": Result(72.0, 300, 3.4, (64, 76, 56), "mobilenet_v2_1"),
    "V3-Small 1.0": Result(67.4, 66, 2.9, (15.8, 19.4, 14.4), "mobilenet_v3_small_1"),
    "V3-Small 0.75": Result(65.4, 44, 2.4, (12.8, 15.6, 11.7), "mobilenet_v3_small_0.75"),
    "Mnas-small": Result(64.9, 65.1, 1.9, (20.3, 24.2, 17.2), None),
    "V2 0.35": Result(60.8, 59.2, 1.6, (16.6, 19.6, 13.9), "mobilenet_v2_0.35"),
}
