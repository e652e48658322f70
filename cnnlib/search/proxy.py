"""Performance estimation: how good a cell is, guessed from a short training on few images."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F

from .. import data
from ..data import ImageSet
from ..train import Recipe, evaluate, fit
from .network import build
from .space import SmallCell

RECIPE = Recipe(epochs=2, lr=0.1, batch_size=50)
TRAIN_PER_CLASS, VALIDATION_PER_CLASS = 100, 200


class Measured(NamedTuple):
    """What a training told: on the validation images, and its price."""

    accuracy: float
    loss: float
    seconds: float  # of the CPU, for training and measuring


@dataclass(frozen=True)
class Proxy:
    """Trains the network of a cell, briefly: an objective for `search`.

    A call ``proxy(cell, seed)`` gives the fraction of the validation images that is answered
    rightly. It is a stand-in for the accuracy of the same cell in a larger network after a long
    training, and a noisy one: another seed gives another figure.

    Args:
        train: images to learn from.
        validation: other images, on which cells are compared. Neither are test images.
        recipe: how to train.
        device: as `cnnlib.train.fit` has it.
    """

    train: ImageSet
    validation: ImageSet
    recipe: Recipe = RECIPE
    device: str = "cpu"

    @classmethod
    def small(cls, dtype: torch.dtype = torch.float32, **options: Any) -> Proxy:
        """The protocol of the table: 1,000 and 2,000 garments of 14 x 14 pixels.

        Both are of the training split of fashion_6k, whose test split no search looks at: of each
        class the first 100 images and the 200 that follow.

        Args:
            dtype: of images and weights.
            **options: further arguments of the class.
        """
        train, validation = _images()
        return cls(train.to(dtype=dtype), validation.to(dtype=dtype), **options)

    def measure(self, cell: SmallCell, seed: int) -> Measured:
        """One training from the weights of this seed, in the order of images of this seed."""
        start = time.process_time()
        model = build(cell, seed, self.train.dtype)
        fit(model, self.train, recipe=self.recipe, seed=seed, device=self.device, progress=False)
        found = evaluate(model, self.validation)
        images = len(self.validation)
        right = images - round(found["error"] * images)
        return Measured(right / images, found["loss"], time.process_time() - start)

    def __call__(self, cell: SmallCell, seed: int) -> float:
        """The validation accuracy after one training."""
        return self.measure(cell, seed).accuracy

    def settings(self) -> dict[str, Any]:
        """What decides the figures, as JSON can hold it: several processes must agree on it."""
        return {
            "objective": "proxy",
            "train": f"{self.train.name} {self.train.fingerprint()}",
            "validation": f"{self.validation.name} {self.validation.fingerprint()}",
            "dtype": str(self.train.dtype).removeprefix("torch."),
            "recipe": self.recipe.to_dict(),
        }


@cache
def _images() -> tuple[ImageSet, ImageSet]:
    """Training and validation images of `Proxy.small`, in float32."""
    images = data.load("fashion_6k", "train").pooled(2)
    train = images.balanced(TRAIN_PER_CLASS).normalized()
    member = F.one_hot(images.labels, len(images.classes))
    number = (member.cumsum(0) * member).sum(1)  # the how manieth of its class an image is, from 1
    later = (number > TRAIN_PER_CLASS) & (number <= TRAIN_PER_CLASS + VALIDATION_PER_CLASS)
    validation = images.select(later.nonzero().squeeze(1)).normalized(train.mean, train.std)
    return train, validation
