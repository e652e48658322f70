"""Carrying a search out, and what it leaves behind."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NamedTuple

from ..train.progress import Progress
from .space import SmallCell
from .strategies import Strategy

Objective = Callable[[SmallCell, int], float]  # (cell, seed) -> accuracy


class Step(NamedTuple):
    """One evaluation: its number, from 0, which is also its seed; the cell; how good it was."""

    number: int
    cell: SmallCell
    accuracy: float


@dataclass
class Trace:
    """What a search evaluated, in the order in which the results came.

    Args:
        steps: the evaluations. A cell may have several.
    """

    steps: list[Step] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def codes(self) -> list[str]:
        """The encodings that were evaluated, as five letters each."""
        return [step.cell.code for step in self.steps]

    @property
    def accuracies(self) -> list[float]:
        """How good they were."""
        return [step.accuracy for step in self.steps]

    @property
    def best_so_far(self) -> list[float]:
        """The highest accuracy until each step."""
        return list(accumulate(self.accuracies, max))

    @property
    def best(self) -> Step:
        """The step with the highest accuracy, the first of equals.

        Raises:
            ValueError: nothing was evaluated.
        """
        if not self.steps:
            raise ValueError("the trace is empty: nothing was evaluated yet")
        return max(self.steps, key=lambda step: step.accuracy)

    @property
    def distinct(self) -> int:
        """How many different cells were evaluated."""
        return len({step.cell.canonical for step in self.steps})

    def __str__(self) -> str:
        if not self.steps:
            return "nothing evaluated yet"
        best = self.best
        return (
            f"{len(self)} evaluations of {self.distinct} cells; best {best.cell} "
            f"({100 * best.accuracy:.2f} %, evaluation {best.number + 1})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Lists, strings and numbers, as JSON can hold them."""
        return {"steps": [[step.number, step.cell.code, step.accuracy] for step in self.steps]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Trace:
        """The trace that `to_dict` wrote.

        Raises:
            ValueError: not such a record.
        """
        try:
            listed = [
                Step(int(number), SmallCell.from_code(code), float(accuracy))
                for number, code, accuracy in values["steps"]
            ]
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the record of a trace: {error!r}") from error
        return cls(listed)


def run(
    strategy: Strategy,
    objective: Objective,
    evaluations: int,
    *,
    progress: bool | None = None,
    trace: Trace | None = None,
) -> Trace:
    """Searches: asks, evaluates and tells, until so many evaluations are done.

    Whatever breaks it off, Ctrl-C included, what was evaluated is in the trace that was passed in;
    passed in again with a fresh strategy of the same settings, it is gone on with, and in the end
    it is what it would have been.

    Args:
        strategy: a fresh one.
        objective: (cell, seed) -> accuracy: a `Proxy` for live trainings, a `Table`, or any
            function. The seed is the number of the evaluation.
        evaluations: the budget, all in all; a cell that comes up again counts again.
        progress: True prints a line for each cell that is the best so far, under a moving bar in a
            terminal or notebook; False is silent; None decides as `cnnlib.train.fit` does.
        trace: an empty one to fill, or that of a search to go on with.

    Returns:
        The trace.

    Raises:
        ValueError: a budget below 1, or a strategy that was asked or told before.
    """
    if isinstance(evaluations, bool) or not isinstance(evaluations, int) or evaluations < 1:
        raise ValueError(f"evaluations must be a whole number, at least 1; got {evaluations!r}")
    if strategy.asked:
        raise ValueError(
            f"the strategy has been asked {strategy.asked} times before: pass a fresh one, and the "
            "trace to go on with"
        )
    trace = Trace() if trace is None else trace
    for step in trace.steps:
        strategy.tell(step.cell, step.accuracy)
    best = max(trace.accuracies, default=-math.inf)
    with Progress.over(progress, evaluations, done=len(trace)) as shown:
        for number in range(len(trace), evaluations):
            cell = strategy.ask(number)
            accuracy = float(objective(cell, number))
            strategy.tell(cell, accuracy)
            trace.steps.append(Step(number, cell, accuracy))
            shown.move(1)
            if accuracy > best:
                best = accuracy
                shown.say(
                    f"evaluation {number + 1}/{evaluations}: {cell} {100 * accuracy:.2f} %, the "
                    "best so far"
                )
    return trace


def repeat(
    make: Callable[[int], Strategy],
    objective: Objective,
    evaluations: int,
    repeats: int = 500,
) -> list[Trace]:
    """The same search again and again with the seeds 0, 1, ...: on a table a matter of seconds.

    Args:
        make: a seed -> a fresh strategy, such as ``lambda seed: RandomSearch(seed=seed)``.
        objective: as `run` has it, but with seeds of its own in every search.
        evaluations: the budget of each search.
        repeats: how many searches.
    """
    return [
        run(
            make(seed),
            lambda cell, number, first=seed * evaluations: objective(cell, first + number),
            evaluations,
            progress=False,
        )
        for seed in range(repeats)
    ]


def mean_best(traces: Sequence[Trace]) -> list[float]:
    """The mean over searches of the best so far, at each step of the shortest."""
    columns = zip(*(trace.best_so_far for trace in traces), strict=False)
    return [math.fsum(column) / len(traces) for column in columns]
