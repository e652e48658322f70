"""How the learning rate moves over a training, as pure functions.

A schedule tells, for any step, which share of the recipe's highest learning rate holds. It keeps no
state: whoever knows the number of the step (and, for `Plateau`, the rows of the finished epochs)
knows the rate, so that a training can be resumed anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .checks import check_number, check_whole

Rows = Sequence[Mapping[str, Any]]  # finished epochs, as in `History.rows`

# Two ways to compute the same moment may differ by rounding. A drop that belongs to the beginning
# of a step must not come one step late for that, so moments this close (in epochs) are the same.
_SAME_MOMENT = 1e-9


class Moment(NamedTuple):
    """A step of a training, and all that a schedule may look at.

    Attributes:
        step: from 1 to `steps`.
        steps: of the whole training.
        epochs: of the whole training.
        warmup: share of the steps in which the learning rate only rises.
        rows: the finished epochs.
    """

    step: int
    steps: int
    epochs: int
    warmup: float = 0.0
    rows: Rows = ()

    @property
    def position(self) -> float:
        """Between 0, just before the first step, and 1, just after the last."""
        return self.step / (self.steps + 1)

    @property
    def left(self) -> float:
        """What is left of the time after the warm-up: from 1 at its end down to almost 0."""
        return (1 - self.position) / (1 - self.warmup) if self.warmup < 1 else 1.0

    @property
    def epochs_done(self) -> float:
        """Epochs, and part of the present one, that lie before the step: 0 for the first."""
        return (self.step - 1) * self.epochs / self.steps


@dataclass(frozen=True)
class Linear:
    """Straight down to 0, which is reached just after the last step (Caffe's "poly", power 1)."""

    def scale(self, now: Moment) -> float:
        """The share of the highest learning rate that holds in a step."""
        return now.left


@dataclass(frozen=True)
class Constant:
    """The same learning rate from the warm-up to the end."""

    def scale(self, now: Moment) -> float:
        """The share of the highest learning rate that holds in a step."""
        return 1.0


@dataclass(frozen=True)
class Cosine:
    """Down to 0 along half a wave of the cosine (Loshchilov and Hutter, 2017, equation 5)."""

    def scale(self, now: Moment) -> float:
        """The share of the highest learning rate that holds in a step."""
        return math.sin(math.pi / 2 * now.left) ** 2  # (1 + cos(pi (1 - left))) / 2, to the digit


@dataclass(frozen=True)
class Steps:
    """Times `factor` at given moments.

    Args:
        at: epochs after which the rate drops, in ascending order; 1.5 is in the middle of the
            second epoch. Moments after the end of the training never come.
        factor: what the rate is multiplied with each time, above 0 and below 1; or a factor for
            each moment.

    Raises:
        TypeError, ValueError: a setting of the wrong kind or outside its range.
    """

    at: tuple[float, ...]
    factor: float | tuple[float, ...] = 0.1

    def __post_init__(self) -> None:
        if not isinstance(self.at, tuple):
            raise TypeError(f"Steps.at must be a tuple of epochs, got {self.at!r}")
        for epoch in self.at:
            check_number("Steps.at", epoch, lambda epoch: 0 < epoch < math.inf, "positive numbers")
        if list(self.at) != sorted(set(self.at)):
            raise ValueError(f"Steps.at must be in ascending order, got {self.at}")
        for factor in self._factors:
            _check_factor("Steps.factor", factor)
        if len(self._factors) != len(self.at):
            raise ValueError(
                f"Steps needs one factor, or one for each of the {len(self.at)} moments; "
                f"got {len(self._factors)}"
            )

    @property
    def _factors(self) -> tuple[float, ...]:
        return self.factor if isinstance(self.factor, tuple) else (self.factor,) * len(self.at)

    def scale(self, now: Moment) -> float:
        """The share of the highest learning rate that holds in a step."""
        passed = sum(epoch <= now.epochs_done + _SAME_MOMENT for epoch in self.at)
        return math.prod(self._factors[:passed])


@dataclass(frozen=True)
class Decay:
    """Times `factor` again and again, in equal intervals (TensorFlow's "staircase").

    Args:
        factor: what the rate is multiplied with each time, above 0 and below 1.
        every: epochs from one drop to the next; need not be a whole number.

    Raises:
        TypeError, ValueError: a setting of the wrong kind or outside its range.
    """

    factor: float
    every: float = 1.0

    def __post_init__(self) -> None:
        _check_factor("Decay.factor", self.factor)
        words = "a positive number of epochs"
        check_number("Decay.every", self.every, lambda every: 0 < every < math.inf, words)

    def scale(self, now: Moment) -> float:
        """The share of the highest learning rate that holds in a step."""
        return self.factor ** math.floor((now.epochs_done + _SAME_MOMENT) / self.every)


@dataclass(frozen=True)
class Plateau:
    """Times `factor` whenever a measure has stopped improving, as the papers did by hand.

    Improvement is counted from the lowest value so far, or from the last drop if that is later.

    Args:
        factor: what the rate is multiplied with each time, above 0 and below 1.
        patience: epochs without improvement before a drop.
        times: largest number of drops.
        measure: what should fall: a column of `History.rows`, such as "test_error".

    Raises:
        TypeError, ValueError: a setting of the wrong kind or outside its range.
    """

    factor: float = 0.1
    patience: int = 5
    times: int = 3
    measure: str = "test_error"

    def __post_init__(self) -> None:
        _check_factor("Plateau.factor", self.factor)
        check_whole("Plateau.patience", self.patience, at_least=1)
        check_whole("Plateau.times", self.times, at_least=1)
        if self.measure not in _MEASURES:
            known = ", ".join(_MEASURES)
            raise ValueError(f"Plateau.measure must be one of {known}; got {self.measure!r}")

    def scale(self, now: Moment) -> float:
        """The share of the highest learning rate that holds in a step.

        Raises:
            ValueError: the rows of finished epochs are missing, or the measure in them.
        """
        finished = math.floor(now.epochs_done + _SAME_MOMENT)
        if len(now.rows) < finished:
            raise ValueError(
                f"Plateau decides by the finished epochs: before step {now.step} there are "
                f"{finished}, but rows holds {len(now.rows)}; pass rows=history.rows"
            )
        drops, waited, best = 0, 0, math.inf
        for row in now.rows[:finished]:  # later ones, of a training that is over, play no part
            if self.measure not in row:
                raise ValueError(
                    f"Plateau looks at {self.measure!r}, which the epochs lack: train with a test "
                    'set, or choose Plateau(measure="train_error")'
                )
            improved = row[self.measure] < best
            best = min(best, row[self.measure])
            waited = 0 if improved else waited + 1
            if waited == self.patience:
                drops, waited = drops + 1, 0
        return self.factor ** min(drops, self.times)


Schedule = Linear | Constant | Cosine | Steps | Decay | Plateau
SCHEDULES = (Linear, Constant, Cosine, Steps, Decay, Plateau)

_MEASURES = ("train_loss", "train_error", "test_loss", "test_error")


def _check_factor(name: str, value: object) -> None:
    check_number(name, value, lambda factor: 0 < factor < 1, "above 0 and below 1")
