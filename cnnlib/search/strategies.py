"""Search strategies: which cell to try next, given how good those before were.

All have the same two methods. ``ask`` names a cell; whoever asked evaluates it, in whatever way,
and reports by ``tell``. So one strategy works on a table, on live trainings and for several
workers, who may tell in another order than they asked in.

What is asked depends on the seed, the number of the question and what was told until then, and on
nothing else. So a search can be gone on with elsewhere: tell a fresh strategy all that is known.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections import deque
from typing import Any

from .space import EDGES, OPERATIONS, SPACE, CellSpace, SmallCell


class Strategy(ABC):
    """What all strategies share.

    Args:
        space: the cells to choose from.
        seed: of all its chance.

    Raises:
        TypeError: a seed that is no whole number.
    """

    name: str

    def __init__(self, space: CellSpace = SPACE, seed: int = 0) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise TypeError(f"seed must be a whole number; got {seed!r}")
        self.space, self.seed = space, seed
        self.asked = 0  # questions so far, and with it the number of the next

    def ask(self, number: int | None = None) -> SmallCell:
        """A cell to evaluate.

        Args:
            number: of the question, from 0; None for the next. The same question, asked in the
                same state, has the same answer.
        """
        number = self.asked if number is None else number
        self.asked = number + 1
        return self._choose(random.Random(f"{self.name} {self.seed} {number}"))

    def tell(self, cell: SmallCell, accuracy: float) -> None:
        """Reports how good a cell is.

        Raises:
            ValueError: not a finite number, or a cell that is not in the space.
        """
        if not math.isfinite(accuracy):
            raise ValueError(f"an accuracy must be a finite number; got {accuracy} for {cell}")
        if cell not in self.space:
            raise ValueError(f"the cell {cell} is not in {self.space}")
        self._learn(cell, accuracy)

    @abstractmethod
    def _choose(self, rng: random.Random) -> SmallCell:
        """The answer to a question; all chance is in `rng`."""

    @abstractmethod
    def _learn(self, cell: SmallCell, accuracy: float) -> None:
        """Takes a report in."""

    def settings(self) -> dict[str, Any]:
        """Its name and arguments but the space, as JSON can hold them."""
        return {"strategy": self.name, "seed": self.seed}


class RandomSearch(Strategy):
    """Draws every edge anew and learns nothing: what every other strategy must beat.

    It is the baseline of Zoph et al. (CVPR 2018, Section 4.4 and Fig. 6) and a strong one in small
    spaces.
    """

    name = "random"

    def _choose(self, rng: random.Random) -> SmallCell:
        return self.space.random(rng)

    def _learn(self, cell: SmallCell, accuracy: float) -> None:
        pass


class RegularizedEvolution(Strategy):
    """Changes a good cell a little; the oldest dies, however good it is.

    E. Real, A. Aggarwal, Y. Huang, Q. V. Le, "Regularized Evolution for Image Classifier
    Architecture Search", AAAI 2019, arXiv:1802.01548, Algorithm 1: the first cells are random;
    then, again and again, a few members of the population are drawn, the best of them becomes a
    parent, and the parent with one mutation becomes the youngest member. Since also the best die,
    a cell stays only if its children are good too: luck in one noisy evaluation does not suffice.

    Args:
        space: the cells to choose from.
        seed: of all its chance.
        population: members, P in the paper.
        sample: members drawn for each tournament, S in the paper; one may be drawn twice.

    Raises:
        ValueError: a population of none, or a tournament of none or more than there are.
    """

    name = "evolution"

    def __init__(
        self, space: CellSpace = SPACE, seed: int = 0, population: int = 10, sample: int = 4
    ) -> None:
        super().__init__(space, seed)
        if not 1 <= sample <= population:
            raise ValueError(
                "wanted: at least 1 member in a tournament, and at most the whole population; got "
                f"sample={sample}, population={population}"
            )
        self.size, self.sample = population, sample
        self._members: deque[tuple[SmallCell, float]] = deque(maxlen=population)

    @property
    def population(self) -> list[tuple[SmallCell, float]]:
        """Those who live, with their accuracies, from the oldest to the youngest."""
        return list(self._members)

    def _choose(self, rng: random.Random) -> SmallCell:
        if len(self._members) < self.size:
            return self.space.random(rng)
        drawn = [self._members[rng.randrange(self.size)] for _ in range(self.sample)]
        parent, _ = max(drawn, key=lambda member: member[1])  # the first drawn of equals
        return self.space.mutated(parent, rng)

    def _learn(self, cell: SmallCell, accuracy: float) -> None:
        self._members.append((cell, accuracy))  # and the oldest is gone

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"population": self.size, "sample": self.sample}


class Reinforce(Strategy):
    """A policy whose better decisions become more likely: policy gradients.

    B. Zoph, Q. V. Le, "Neural Architecture Search with Reinforcement Learning", ICLR 2017,
    arXiv:1611.01578, Section 3.2, much simplified: there, and in the search for NASNet, the
    controller is an LSTM, which decides one step after the other and knows what it decided before
    (NASNet's is trained by proximal policy optimisation). Here every edge has four numbers of its
    own, whose softmax is the chance of each operation, and edges are drawn independently of each
    other. What is left is the rule of Williams (1992): each report moves the numbers along

        (accuracy - baseline) * gradient of log P(cell),

    with a moving average of the accuracies before as baseline, which makes the average report
    neither encouraging nor discouraging.

    Under a cap on parameters, cells above it are drawn again. The gradient does not know of that;
    nor does it know if the policy changed between the question and the report.

    Args:
        space: the cells to choose from.
        seed: of all its chance.
        lr: factor of each step.
        decay: share of the baseline that is kept at each report.

    Raises:
        ValueError: a rate or share out of range.
    """

    name = "reinforce"

    def __init__(
        self, space: CellSpace = SPACE, seed: int = 0, lr: float = 2.0, decay: float = 0.9
    ) -> None:
        super().__init__(space, seed)
        if not 0 < lr < math.inf or not 0 <= decay < 1:
            raise ValueError(
                f"wanted: a positive lr, and a decay from 0 to below 1; got lr={lr}, decay={decay}"
            )
        self.lr, self.decay = lr, decay
        self.baseline: float | None = None  # before the first report
        self._logits = [[0.0] * len(OPERATIONS) for _ in EDGES]

    def policy(self) -> list[list[float]]:
        """Chances of the operations, for each edge: 5 lists of 4 that sum up to 1."""
        return [_softmax(logits) for logits in self._logits]

    def _choose(self, rng: random.Random) -> SmallCell:
        policy = self.policy()
        while True:
            cell = SmallCell(tuple(_draw(chances, rng) for chances in policy))
            if cell in self.space:
                return cell

    def _learn(self, cell: SmallCell, accuracy: float) -> None:
        if self.baseline is None:
            self.baseline = accuracy
        step = self.lr * (accuracy - self.baseline)
        for logits, operation in zip(self._logits, cell.operations, strict=True):
            chosen = OPERATIONS.index(operation)
            for place, chance in enumerate(_softmax(logits)):
                logits[place] += step * ((place == chosen) - chance)
        self.baseline = self.decay * self.baseline + (1 - self.decay) * accuracy

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"lr": self.lr, "decay": self.decay}


STRATEGIES: dict[str, type[Strategy]] = {
    kind.name: kind for kind in (RandomSearch, RegularizedEvolution, Reinforce)
}


def _softmax(logits: list[float]) -> list[float]:
    highest = max(logits)
    exponentials = [math.exp(logit - highest) for logit in logits]
    total = sum(exponentials)
    return [value / total for value in exponentials]


def _draw(chances: list[float], rng: random.Random) -> str:
    """An operation, each with its chance."""
    rest = rng.random()
    for operation, chance in zip(OPERATIONS, chances, strict=True):
        rest -= chance
        if rest < 0:
            return operation
    return OPERATIONS[chances.index(max(chances))]  # rounding left a tiny rest
