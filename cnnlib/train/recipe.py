"""How to train, as data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..data import Augmentation


@dataclass(frozen=True)
class Recipe:
    """How to train: every number that `fit` needs beside the network and the images.

    Args:
        epochs: passes over the training images.
        lr: highest learning rate, reached after the warm-up.
        batch_size: images per step, over all processes together.
        momentum: share of the last update that is kept.
        nesterov: Nesterov's momentum instead of the classical one.
        weight_decay: pull towards zero, on weights only (see `parameter_groups`).
        warmup: share of the steps in which the learning rate rises, in [0, 1].
        augment: random change of each training image, drawn anew in every epoch.

    Raises:
        TypeError, ValueError: a setting of the wrong kind or outside its range.
    """

    epochs: int = 5
    lr: float = 0.1
    batch_size: int = 64
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    warmup: float = 0.2
    augment: Augmentation | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"Recipe.{name} must be a whole number, got {value!r}")
            if value < 1:
                raise ValueError(f"Recipe.{name} must be at least 1, got {value}")
        for name, accepts, words in (
            ("lr", lambda value: 0 < value < math.inf, "a positive number"),
            ("momentum", lambda value: 0 <= value < 1, "at least 0 and below 1"),
            ("weight_decay", lambda value: 0 <= value < math.inf, "at least 0"),
            ("warmup", lambda value: 0 <= value <= 1, "a share of the steps, from 0 to 1"),
        ):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise TypeError(f"Recipe.{name} must be a number, got {value!r}")
            if not accepts(value):
                raise ValueError(f"Recipe.{name} must be {words}, got {value}")
        if self.nesterov and self.momentum == 0:
            raise ValueError("Nesterov's method needs momentum: set momentum > 0 or nesterov=False")
        if self.augment is not None and not isinstance(self.augment, Augmentation):
            raise TypeError(
                f"Recipe.augment must be an Augmentation or None, got {type(self.augment).__name__}"
            )

    def lr_at(self, step: int, steps: int) -> float:
        """Learning rate of a step, counted from 1 to `steps`.

        A triangle over the positions step / (steps + 1): from 0 just before the first step up to
        `lr` at the position `warmup`, and down to 0 just after the last one, so that no step is
        wasted on a learning rate of 0.
        """
        position = step / (steps + 1)
        rise = position / self.warmup if self.warmup > 0 else 1.0
        fall = (1 - position) / (1 - self.warmup) if self.warmup < 1 else 1.0
        return self.lr * min(rise, fall)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """The recipe that `dataclasses.asdict` wrote, perhaps by way of a JSON file."""
        augment = values["augment"]
        settings: dict[str, Any] = values | {"augment": augment and Augmentation(**augment)}
        return cls(**settings)

    def optimizer(self, model: nn.Module) -> torch.optim.SGD:
        """Stochastic gradient descent on the trainable parameters of a network."""
        groups = parameter_groups(model, self.weight_decay)
        return torch.optim.SGD(groups, self.lr, self.momentum, nesterov=self.nesterov)


RECIPE = Recipe()


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The trainable parameters in two groups for an optimiser: with and without weight decay.

    Weights of convolutions and linear layers, which have two dimensions or more, decay. Biases,
    the factors and shifts of batch normalisation and LeNet's subsampling coefficients do not:
    they are few, and a pull towards zero would only shrink the signal.

    Raises:
        ValueError: the network has no trainable parameter.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError(
            f"{type(model).__name__} has no trainable parameter: nothing to train "
            "(was requires_grad switched off?)"
        )
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
