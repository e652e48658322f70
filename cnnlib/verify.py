"""Recounts the networks, and compares them with what was published.

``verify("resnet50")`` builds the network on the ``meta`` device, without numbers, and counts. A
figure that is known not to agree is data, with its reason (``differs`` in ``cnnlib.published``);
if it agrees all the same, that is an error too, so that no reason outlives its disagreement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from cnnlib.inspection import summarize
from cnnlib.inspection.table import align
from cnnlib.models import create_model
from cnnlib.published import parse, published


@dataclass(frozen=True)
class Check:
    """One published figure beside ours.

    Attributes:
        quantity: "parameters", "macs" or "scores".
        ours: as counted.
        theirs: as published; a printed figure as it is printed.
        exact: whether it was published to the last digit.
        agrees: ours equals theirs, or is theirs when rounded or cut off at the last printed place.
        reason: why it does not agree, where that is known.
    """

    quantity: str
    ours: int
    theirs: int | str
    exact: bool
    agrees: bool
    reason: str | None = None

    @property
    def passed(self) -> bool:
        """It agrees, or differs for a known reason."""
        return self.agrees is (self.reason is None)


@dataclass(frozen=True)
class Verdict:
    """A network, counted, and all that was published of its size.

    Attributes:
        name: in ``cnnlib.list_models()``.
        input: (C, H, W) of the image that the MACs are for.
        parameters: trainable numbers.
        macs: multiply-adds for one image.
        checks: every published figure; none where nothing was published.
    """

    name: str
    input: tuple[int, int, int]
    parameters: int
    macs: int
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Every figure agrees, or differs for a known reason."""
        return all(check.passed for check in self.checks)

    @property
    def failures(self) -> list[str]:
        """A sentence for each figure that is neither right nor known to differ."""
        return [
            f"{self.name}: {check.quantity} {check.ours:,}, published {_show(check.theirs)}"
            + (f"; it agrees, though it should differ: {check.reason}" if check.agrees else "")
            for check in self.checks
            if not check.passed
        ]

    def to_dict(self) -> dict[str, Any]:
        """For ``json.dumps``."""
        return {
            "name": self.name,
            "input": list(self.input),
            "parameters": self.parameters,
            "macs": self.macs,
            "passed": self.passed,
            "checks": [vars(check) | {"passed": check.passed} for check in self.checks],
        }


def verify(name: str) -> Verdict:
    """Builds a network, counts it and compares it with what was published of it.

    Args:
        name: as in ``cnnlib.list_models()``.

    Raises:
        ValueError: no such network.
    """
    record = published(name)
    with torch.device("meta"):
        model = create_model(name)
    summary = summarize(model, record.input, rows={}, training=record.training)
    ours = {"parameters": summary.parameters, "macs": summary.macs}
    exact = {"parameters": record.parameters, "macs": record.macs}
    printed = {"parameters": record.printed_parameters, "macs": record.printed_macs}
    checks = []
    for quantity, count in ours.items():
        known, text = exact[quantity], printed[quantity]
        if known is not None:
            checks.append(Check(quantity, count, known, True, count == known))
        if text is not None:
            fits = parse(text).fits(count)
            checks.append(Check(quantity, count, text, False, fits, record.differs.get(quantity)))
    scores = summary.output_shape or ()
    agrees = scores == (record.classes,)
    checks.append(Check("scores", math.prod(scores), record.classes, True, agrees))
    return Verdict(name, record.input, summary.parameters, summary.macs, tuple(checks))


def table(verdicts: Sequence[Verdict]) -> str:
    """Verdicts as text: ours beside the published figures, then every known difference."""
    headings = ("Network", "Input", "Parameters", "published", "MACs", "published", "")
    lines: list[Sequence[str]] = [headings]
    for v in verdicts:
        word = "agrees" if v.passed else "WRONG"
        if all(check.quantity == "scores" for check in v.checks) and v.passed:
            word = "counted"  # there is nothing to compare with
        lines.append(
            (
                v.name,
                " × ".join(map(str, v.input)),
                f"{v.parameters:,}",
                _beside(v, "parameters"),
                f"{v.macs:,}",
                _beside(v, "macs"),
                word,
            )
        )
    wrong = [v.name for v in verdicts if not v.passed]
    text = [align(lines, text_columns=2, foot=False, caption="")]
    text += ["", "= to the last digit   ≈ when rounded or cut off   * differs, for a known reason"]
    for v in verdicts:
        for check in v.checks:
            if check.reason:
                text.append(f"* {v.name}, {check.quantity}: {_show(check.theirs)}. {check.reason}")
    text += [sentence for v in verdicts for sentence in v.failures]
    text.append(
        f"{len(verdicts)} verified; " + (f"wrong: {', '.join(wrong)}" if wrong else "none wrong")
    )
    return "\n".join(text).strip("\n")


def _beside(verdict: Verdict, quantity: str) -> str:
    """The published figures of a quantity, each with a sign that says how it compares."""
    marks = []
    for check in verdict.checks:
        if check.quantity == quantity:
            sign = "=" if check.exact else "≈"
            sign = sign if check.agrees else "*" if check.reason else "≠"
            marks.append(sign if sign == "=" else f"{sign} {_show(check.theirs)}")
    return " ".join(marks) or "–"


def _show(figure: int | str) -> str:
    return figure if isinstance(figure, str) else f"{figure:,}"
