"""How to train, as data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import nn

from ..augment import Augmentation, Crops
from .checks import check_flag, check_number, check_whole
from .optimizers import OPTIMIZERS, SGD, Groups, OptimizerSettings
from .schedules import SCHEDULES, Linear, Moment, Rows, Schedule


@dataclass(frozen=True)
class Recipe:
    """How to train: every number that `fit` needs beside the network and the images.

    The defaults are the recipe of the book: stochastic gradient descent with Nesterov's momentum,
    a learning rate that rises and falls linearly once, and weight decay on weights alone.

    Args:
        epochs: passes over the training images.
        lr: highest learning rate, reached after the warm-up.
        batch_size: images per step, over all processes together.
        optimizer: what turns gradients into steps: SGD, RMSprop, Adam or AdamW with their settings.
        weight_decay: pull towards zero, on weights only (see `parameter_groups`).
        decay_all: weight decay on biases and the parameters of normalisation too.
        warmup: share of the steps in which the learning rate rises, in [0, 1].
        schedule: what the learning rate does after the warm-up: Linear, Constant, Cosine, Steps,
            Decay or Plateau.
        augment: random change of each training image, drawn anew in every epoch.
        crops: what part of a decoded photograph becomes the training image (data that stream from
            files; images in memory have their size already).
        label_smoothing: share of each label that is spread over all classes, at least 0, below 1.
        clip: largest norm of the gradient over all parameters; longer ones are shortened to it.
        ema: share of the moving average of the weights that is kept per step; None for no average.

    Raises:
        TypeError, ValueError: a setting of the wrong kind or outside its range.
    """

    epochs: int = 5
    lr: float = 0.1
    batch_size: int = 64
    optimizer: OptimizerSettings = SGD()
    weight_decay: float = 5e-4
    decay_all: bool = False
    warmup: float = 0.2
    schedule: Schedule = Linear()
    augment: Augmentation | None = None
    crops: Crops | None = None
    label_smoothing: float = 0.0
    clip: float | None = None
    ema: float | None = None

    def __post_init__(self) -> None:
        check_whole("Recipe.epochs", self.epochs, at_least=1)
        check_whole("Recipe.batch_size", self.batch_size, at_least=1)
        check_flag("Recipe.decay_all", self.decay_all)
        for name, accepts, words in (
            ("lr", lambda value: 0 < value < math.inf, "a positive number"),
            ("weight_decay", lambda value: 0 <= value < math.inf, "at least 0"),
            ("warmup", lambda value: 0 <= value <= 1, "a share of the steps, from 0 to 1"),
            ("label_smoothing", lambda value: 0 <= value < 1, "at least 0 and below 1"),
            ("clip", lambda value: 0 < value < math.inf, "a positive number or None"),
            ("ema", lambda value: 0 < value < 1, "above 0 and below 1, or None"),
        ):
            value = getattr(self, name)
            if value is not None or name not in ("clip", "ema"):
                check_number(f"Recipe.{name}", value, accepts, words)
        for name, kinds in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            value = getattr(self, name)
            if not isinstance(value, kinds):
                known = ", ".join(kind.__name__ for kind in kinds)
                got = value.__name__ if isinstance(value, type) else repr(value)
                raise TypeError(
                    f"Recipe.{name} must be one of {known} with its settings, as in "
                    f"{name}={kinds[0].__name__}(); got {got}"
                )
        for name, words, kind in (
            ("augment", "an Augmentation", Augmentation),
            ("crops", "a Crops", Crops),
        ):
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                raise TypeError(
                    f"Recipe.{name} must be {words} or None, got {type(value).__name__}"
                )

    def lr_at(self, step: int, steps: int, rows: Rows = ()) -> float:
        """Learning rate of a step.

        Step n of N stands at n / (N + 1) of the way. During the warm-up the rate rises in
        proportion to that, from 0 just before the first step up to `lr`; then the schedule takes
        over. With `Linear`, that gives a triangle which ends at 0 just after the last step, so
        that no step is wasted on a learning rate of 0.

        Args:
            step: from 1 to `steps`.
            steps: of the whole training.
            rows: the finished epochs (`History.rows`), which `Plateau` looks at.

        Raises:
            ValueError: `Plateau` does not find in the rows what it needs.
        """
        now = Moment(step, steps, self.epochs, self.warmup, rows)
        if now.position < self.warmup:
            return self.lr * (now.position / self.warmup)
        return self.lr * self.schedule.scale(now)

    def make_optimizer(self, model: nn.Module, fused: bool | None = None) -> torch.optim.Optimizer:
        """The optimiser of a network's trainable parameters.

        Args:
            model: on the device where it will be trained.
            fused: one kernel for all of a step (True) or torch's usual implementation (False).
                None: fused where torch has that for the optimiser and the device.

        Raises:
            ValueError: no trainable parameter, or fused=True for an optimiser that cannot.
        """
        groups = parameter_groups(model, self.weight_decay, decay_all=self.decay_all)
        return self.optimizer.build(groups, self.lr, fused)

    def to_dict(self) -> dict[str, Any]:
        """Only dicts, lists, strings and numbers, as JSON can hold them.

        Optimiser and schedule carry the name of their class as "kind".
        """
        values = asdict(self)
        for name in ("optimizer", "schedule"):
            kind = type(getattr(self, name)).__name__
            values[name] = {"kind": kind} | values[name]
        return _listed(values)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe that `to_dict` wrote, perhaps by way of a JSON file.

        A record is complete: what is missing is not filled in with today's defaults, which need
        not be those of the day when it was written.

        Raises:
            TypeError, ValueError: not such a record; says what is missing or unknown in it.
        """
        settings = _settings(values, cls, "a recipe")
        settings["optimizer"] = _by_kind(settings["optimizer"], OPTIMIZERS, "optimizer")
        settings["schedule"] = _by_kind(settings["schedule"], SCHEDULES, "schedule")
        for name, kind in (("augment", Augmentation), ("crops", Crops)):
            if settings[name] is not None:
                settings[name] = kind(**_settings(settings[name], kind, name))
        return cls(**settings)


RECIPE = Recipe()


def _listed(value: Any) -> Any:
    """Tuples become lists, at any depth, as they would by way of a JSON file."""
    if isinstance(value, dict):
        return {key: _listed(part) for key, part in value.items()}
    return [_listed(part) for part in value] if isinstance(value, list | tuple) else value


def _by_kind(record: Any, kinds: tuple[type, ...], what: str) -> Any:
    """The settings of the class that a record names as its "kind"."""
    known = {kind.__name__: kind for kind in kinds}
    name = record.get("kind") if isinstance(record, Mapping) else None
    if name not in known:
        raise ValueError(f"{what} is of a kind that is not known: {name!r}; there are {[*known]}")
    rest = {key: value for key, value in record.items() if key != "kind"}
    return known[name](**_settings(rest, known[name], what))


def _settings(record: Any, kind: type, what: str) -> dict[str, Any]:
    """The arguments of a dataclass from a record of it; lists, which JSON has, become tuples."""
    if not isinstance(record, Mapping):
        raise TypeError(f"the record of {what} must be a dictionary, got {record!r}")
    names = {field.name for field in fields(kind)}
    missing, unknown = sorted(names - set(record)), sorted(set(record) - names)
    if missing or unknown:
        raise ValueError(
            f"not the record of {what} ({kind.__name__}): missing {missing}, unknown {unknown}"
        )
    return {key: tuple(v) if isinstance(v, list) else v for key, v in record.items()}


def parameter_groups(model: nn.Module, weight_decay: float, *, decay_all: bool = False) -> Groups:
    """The trainable parameters in two groups for an optimiser: with and without weight decay.

    Weights of convolutions and linear layers, which have two dimensions or more, decay. Biases,
    the factors and shifts of batch normalisation and LeNet's subsampling coefficients do not:
    they are few, and a pull towards zero would only shrink the signal.

    Args:
        model: whose parameters.
        weight_decay: of the first group.
        decay_all: all parameters decay, as in most papers; the second group is then empty.

    Raises:
        ValueError: the network has no trainable parameter.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError(
            f"{type(model).__name__} has no trainable parameter: nothing to train "
            "(was requires_grad switched off?)"
        )
    decays = [decay_all or p.ndim >= 2 for p in parameters]
    pairs = list(zip(parameters, decays, strict=True))
    return [
        {"params": [p for p, decay in pairs if decay], "weight_decay": weight_decay},
        {"params": [p for p, decay in pairs if not decay], "weight_decay": 0.0},
    ]
