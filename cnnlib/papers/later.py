"""What came after the networks of this book: the few printed figures that chapter 14 quotes.

Errors are of one network and one crop of the ImageNet validation images (ILSVRC-2012), trained on
ImageNet alone. ``benchmarks/inference.py`` counts and times torchvision's models of these names.
"""

from __future__ import annotations

from typing import NamedTuple


class Later(NamedTuple):
    """A network from after this book.

    Attributes:
        name: as its paper calls it.
        cite: key in ``references.bib``.
        url: of the paper.
        year: of its first version.
        torchvision: name of the model in torchvision.
        side: height and width of the test image, in pixels.
        top1_error: percent wrong.
        source: where the error is printed.
    """

    name: str
    cite: str
    url: str
    year: int
    torchvision: str
    side: int
    top1_error: float
    source: str


LATER = [
    Later(
        "ViT-B/16",
        "dosovitskiy2021image",
        "https://arxiv.org/abs/2010.11929",
        2020,
        "vit_b_16",
        384,
        22.1,
        "table 5, trained on ImageNet alone, fine-tuned at 384",
    ),
    Later(
        "EfficientNetV2-S",
        "tan2021efficientnetv2",
        "https://arxiv.org/abs/2104.00298",
        2021,
        "efficientnet_v2_s",
        384,
        16.1,
        "table 7",
    ),
    Later(
        "ConvNeXt-T",
        "liu2022convnet",
        "https://arxiv.org/abs/2201.03545",
        2022,
        "convnext_tiny",
        224,
        17.9,
        "table 1",
    ),
]


class Recipe(NamedTuple):
    """The same network, ResNet-50, trained by another recipe.

    Attributes:
        name: of the recipe, and who trained by it.
        cite, url: of the paper.
        year: of its first version.
        epochs: passes over the training images; None where the paper does not say.
        top1_error: percent wrong of the ImageNet validation images at 224 × 224.
        testing: crops.
        source: where the error is printed.
    """

    name: str
    cite: str
    url: str
    year: int
    epochs: int | None
    top1_error: float
    testing: str
    source: str


RESNET_50 = [
    Recipe(
        "the paper's own",
        "he2016deep",
        "https://arxiv.org/abs/1512.03385",
        2015,
        None,
        22.85,
        "10 crops",
        "table 3",
    ),
    Recipe(
        "the baseline of SENet",
        "hu2018squeeze",
        "https://arxiv.org/abs/1709.01507",
        2017,
        100,
        24.80,
        "1 crop",
        "table 2, re-implementation",
    ),
    Recipe(
        "the starting point of ConvNeXt",
        "liu2022convnet",
        "https://arxiv.org/abs/2201.03545",
        2022,
        300,
        21.2,
        "1 crop",
        "section 2.1",
    ),
    Recipe(
        "A1 of “ResNet strikes back”",
        "wightman2021resnet",
        "https://arxiv.org/abs/2110.00476",
        2021,
        600,
        19.6,
        "1 crop",
        "abstract; section 3 for the epochs",
    ),
]
