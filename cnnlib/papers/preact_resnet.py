"""What He et al. (2016, "Identity Mappings in Deep Residual Networks") print, table by table.

Errors are percentages of wrong answers: top-1 on CIFAR, the median of 5 runs of each network
(section 3.1), with flips and shifts as augmentation and batches of 128 (appendix); one crop on
ImageNet. A network that ends above 20 % "fails" in Table 1; its error is None here.
"""

from __future__ import annotations

from typing import NamedTuple

CIFAR_PROTOCOL = "50,000 images, flips and shifts, 10,000 test images, median of 5 runs"


class ShortcutResult(NamedTuple):
    """A row of Table 1: ResNet-110 on CIFAR-10 with another shortcut in all 54 units."""

    shortcut: str  # a key of cnnlib.models.preact_resnet.FIGURE_2; "none" for a plain network
    on_shortcut: str  # what the shortcut is multiplied by, or passes through
    on_residual: str  # what F is multiplied by
    error: float | None  # None: "fail", above 20 %
    gate_bias: str = ""  # b_g at the start


TABLE_1 = [
    ShortcutResult("identity", "1", "1", 6.61),
    ShortcutResult("none", "0", "1", None),
    ShortcutResult("scaling", "0.5", "1", None),
    ShortcutResult("scaling", "0.5", "0.5", 12.35),
    ShortcutResult("exclusive_gating", "1 − g(x)", "g(x)", None, "0 to −5"),
    ShortcutResult("exclusive_gating", "1 − g(x)", "g(x)", 8.70, "−6"),
    ShortcutResult("exclusive_gating", "1 − g(x)", "g(x)", 9.81, "−7"),
    ShortcutResult("shortcut_only_gating", "1 − g(x)", "1", 12.86, "0"),
    ShortcutResult("shortcut_only_gating", "1 − g(x)", "1", 6.91, "−6"),
    ShortcutResult("conv", "1×1 conv", "1", 12.22),
    ShortcutResult("dropout", "dropout 0.5", "1", None),
]


class OrderResult(NamedTuple):
    """A row of Table 2: CIFAR-10 errors of one order, at two depths."""

    panel: str  # of Figure 4
    resnet110: float
    resnet164: float


TABLE_2 = {  # by the keys of cnnlib.models.preact_resnet.FIGURE_4
    "original": OrderResult("a", 6.61, 5.93),
    "bn_after_addition": OrderResult("b", 8.17, 6.50),
    "relu_before_addition": OrderResult("c", 7.84, 6.14),
    "relu_only": OrderResult("d", 6.71, 5.91),
    "full": OrderResult("e", 6.37, 5.46),
}


class UnitResult(NamedTuple):
    """A row of Table 3: one network with the unit of 2015 and with the pre-activation unit."""

    dataset: str
    network: str
    original: float
    full: float


TABLE_3 = [
    UnitResult("CIFAR-10", "ResNet-110, one layer per unit", 9.90, 8.91),
    UnitResult("CIFAR-10", "ResNet-110", 6.61, 6.37),
    UnitResult("CIFAR-10", "ResNet-164", 5.93, 5.46),
    UnitResult("CIFAR-10", "ResNet-1001", 7.61, 4.92),
    UnitResult("CIFAR-100", "ResNet-164", 25.16, 24.33),
    UnitResult("CIFAR-100", "ResNet-1001", 27.82, 22.71),
]


class RankedResult(NamedTuple):
    """A row of Table 4: a residual network, where a mean ± sd of the 5 runs may be given too."""

    dataset: str
    network: str
    unit: str  # "original" or "full"
    parameters: str  # as printed
    error: float
    mean_sd: tuple[float, float] | None = None
    batch_size: int = 128


TABLE_4 = [  # without the rows of other authors
    RankedResult("CIFAR-10", "ResNet-110", "original", "1.7M", 6.61),
    RankedResult("CIFAR-10", "ResNet-1202", "original", "19.4M", 7.93),
    RankedResult("CIFAR-10", "ResNet-164", "full", "1.7M", 5.46),
    RankedResult("CIFAR-10", "ResNet-1001", "full", "10.2M", 4.92, (4.89, 0.14)),
    RankedResult("CIFAR-10", "ResNet-1001", "full", "10.2M", 4.62, (4.69, 0.20), batch_size=64),
    RankedResult("CIFAR-100", "ResNet-164", "original", "1.7M", 25.16),
    RankedResult("CIFAR-100", "ResNet-1001", "original", "10.2M", 27.82),
    RankedResult("CIFAR-100", "ResNet-164", "full", "1.7M", 24.33),
    RankedResult("CIFAR-100", "ResNet-1001", "full", "10.2M", 22.71, (22.68, 0.22)),
]


class ImageNetResult(NamedTuple):
    """A row of Table 5: single-crop errors in percent on ILSVRC-2012 validation images."""

    network: str
    unit: str
    test_crop: int  # pixels; all were trained on crops of 224
    top1: float
    top5: float
    aspect_ratio: bool = False  # augmented by scale and aspect ratio, as GoogLeNet; else by scale


TABLE_5 = [  # without Inception-v3
    ImageNetResult("ResNet-152", "original", 224, 23.0, 6.7),
    ImageNetResult("ResNet-152", "original", 320, 21.3, 5.5),
    ImageNetResult("ResNet-152", "full", 320, 21.1, 5.5),
    ImageNetResult("ResNet-200", "original", 320, 21.8, 6.0),
    ImageNetResult("ResNet-200", "full", 320, 20.7, 5.3),
    ImageNetResult("ResNet-200", "full", 320, 20.1, 4.8, aspect_ratio=True),
]
WARM_UP = (0.01, 400)  # appendix: learning rate and iterations, before 0.1, on CIFAR
TRAINING_TIME = {  # section 5, "Computational Cost"
    "ResNet-1001": "27 hours on 2 GPUs (CIFAR)",
    "ResNet-200": "3 weeks on 8 GPUs (ImageNet)",
}
