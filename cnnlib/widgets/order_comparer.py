"""A residual unit in five orders: what stands on the shortcut, and what that does to 54 units."""

from collections.abc import Mapping, Sequence
from html import escape
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar, Self

import traitlets

from cnnlib.models.preact_resnet import FIGURE_4
from cnnlib.widgets import chart
from cnnlib.widgets.base import Widget

MEASURES = ("signal", "gradient", "direct")
SHORTCUTS = (  # the kinds of Figure 2 of the paper; gates also by the bias that they start with
    "identity",
    "scaling",
    "exclusive_gating_0",
    "exclusive_gating_6",
    "shortcut_only_gating_0",
    "shortcut_only_gating_6",
    "conv",
    "dropout",
)
CLEAN = ("full", "identity")  # what the chosen pair is compared with
FLOOR = 1e-20  # smaller numbers are drawn here

Flows = Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]


class OrderComparer(Widget):
    """The unit of a residual network in the orders of He et al. (2016), Figures 2 and 4.

    The reader chooses where batch normalisation and ReLU stand, and what becomes of the shortcut.
    Above, three numbers go through one unit step by step, on both paths, and through as many more
    units as the reader likes: the same arithmetic as in ``cnnlib.models.preact_resnet``, with one
    channel, whose convolutions are factors, and the three numbers as the batch. Below are measured
    curves of a whole network before training, beside those of full pre-activation with a clean
    shortcut.

    Args:
        flows: ``flows[order][shortcut][measure]``, a number for each unit, first unit first. The
            orders are keys of ``FIGURE_4``, the shortcuts those of ``SHORTCUTS``, the measures
            "signal", "gradient" and "direct" (``cnnlib.inspection.flow``).
        order: shown at the start.
        shortcut: shown at the start.
        numbers: three numbers that enter the unit.
        labels: Words to use instead of the English ones in `LABELS`.

    Raises:
        ValueError: Something is missing, unknown, of the wrong length or not a finite number.
    """

    LABELS: ClassVar[dict[str, str]] = {
        "name": "Five orders of a residual unit",
        "order": "Order",
        "order_original": "(a) original",
        "order_bn_after_addition": "(b) BN after addition",
        "order_relu_before_addition": "(c) ReLU before addition",
        "order_relu_only": "(d) ReLU-only pre-activation",
        "order_full": "(e) full pre-activation",
        "shortcut": "Shortcut",
        "shortcut_identity": "identity",
        "shortcut_scaling": "halved",
        "shortcut_exclusive_gating_0": "exclusive gates, b = 0",
        "shortcut_exclusive_gating_6": "exclusive gates, b = −6",
        "shortcut_shortcut_only_gating_0": "shortcut gate, b = 0",
        "shortcut_shortcut_only_gating_6": "shortcut gate, b = −6",
        "shortcut_conv": "1×1 convolution",
        "shortcut_dropout": "dropout",
        "unit": "One unit, step by step",
        "unit_again": "The same unit, step by step, for the {times}. time",
        "numbers": "The numbers that go in",
        "number": "Number {place}",
        "first_weight": "First convolution: factor",
        "second_weight": "Second convolution: factor",
        "head_step": "Step",
        "head_shortcut": "Shortcut path",
        "head_residual": "Residual branch",
        "op_input": "x",
        "op_BN": "BN",
        "op_ReLU": "ReLU",
        "op_first": "conv 1",
        "op_second": "conv 2",
        "op_half": "× 0.5",
        "op_open": "× (1 − g)",
        "op_gate": "× g",
        "op_around": "1×1 conv",
        "op_dropout": "dropout",
        "op_sum": "sum",
        "path_clean": "On the way from this unit's x to the next stands nothing: it is clean.",
        "path_blocked": "On the way from this unit's x to the next stands: {what}.",
        "previous": "Back",
        "next": "Next step",
        "all": "All steps",
        "again": "Put the result through again",
        "restart": "Start over",
        "said": "{step}: shortcut path {around}; residual branch {branch}",
        "said_sum": "{step}: {around}",
        "measured": "Through {units} units, before training",
        "measure": "Measured",
        "measure_signal": "signal",
        "measure_gradient": "gradient",
        "measure_direct": "gradient along shortcuts only",
        "axis_signal": "Root mean square behind the unit",
        "axis_gradient": "Norm of the gradient behind the unit",
        "axis_direct": "Norm of the gradient, all residual branches cut",
        "axis_units": "Unit",
        "chart": "{measure}, by unit",
        "line": "({panel}), {shortcut}",
        "floor": "Numbers below 10⁻²⁰ are drawn there.",
        "factor_signal": "From the first unit to the last the signal is multiplied by {factor}.",
        "factor_gradient": (
            "On the way back from the last unit to the first the gradient is multiplied by "
            "{factor}."
        ),
        "factor_direct": (
            "Of the gradient at the last unit the shortcuts alone bring this share to the first: "
            "{factor}."
        ),
        **chart.LABELS,
    }
    _source = Path(__file__)

    # A list, since stored notebooks sort the keys of a dictionary, and (a) to (e) is an order.
    orders = traitlets.List(
        [[name, [part.split() for part in place]] for name, place in FIGURE_4.items()],
        read_only=True,
    ).tag(sync=True)
    shortcuts = traitlets.List([*SHORTCUTS], read_only=True).tag(sync=True)
    flows = traitlets.Dict(help="numbers by order, shortcut and measure").tag(sync=True)
    order = traitlets.Unicode().tag(sync=True)
    shortcut = traitlets.Unicode().tag(sync=True)
    measure = traitlets.Unicode("direct").tag(sync=True)
    numbers = traitlets.List(help="what enters the unit").tag(sync=True)
    weights = traitlets.List([1.0, -1.0], help="factors of the two convolutions").tag(sync=True)
    passed = traitlets.Int(0, help="units that the numbers have been through").tag(sync=True)
    step = traitlets.Int(0, help="index of the last step that is shown").tag(sync=True)

    def __init__(
        self,
        flows: Flows,
        *,
        order: str = "original",
        shortcut: str = "identity",
        numbers: Sequence[float] = (2.0, -1.0, 0.5),
        labels: dict[str, str] | None = None,
    ) -> None:
        super().__init__(
            flows=_checked(flows),
            order=order,
            shortcut=shortcut,
            numbers=[*numbers],
            labels=labels,
        )

    @classmethod
    def of_runs(cls, runs: Any, **options: Any) -> Self:
        """The curves of ``cnnlib.book.stored_runs("preact_flow")``; mean over the seeds.

        Args:
            runs: With ``arms``, each with ``more["facets"]`` and a list for each measure in every
                run.
            **options: Further arguments of `OrderComparer`.
        """
        flows: dict[str, dict[str, dict[str, list[float]]]] = {}
        for arm in runs.arms:
            facets = arm.more["facets"]
            flows.setdefault(facets["order"], {})[facets["shortcut"]] = {
                key: [sum(at) / len(at) for at in zip(*arm.values(key), strict=True)]
                for key in MEASURES
            }
        return cls(flows, **options)

    @traitlets.validate("order", "shortcut", "measure")
    def _known(self, proposal: Any) -> str:
        name, value = proposal["trait"].name, proposal["value"]
        known = {"order": [*FIGURE_4], "shortcut": SHORTCUTS, "measure": MEASURES}[name]
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}")
        return value

    @traitlets.validate("numbers", "weights")
    def _finite(self, proposal: Any) -> list[float]:
        name, values = proposal["trait"].name, proposal["value"]
        count = {"numbers": 3, "weights": 2}[name]
        if len(values) != count or not all(_is_number(value) for value in values):
            raise ValueError(f"{name} must be {count} finite numbers, got {values!r}")
        return [float(value) for value in values]

    @property
    def units(self) -> int:
        """How many units were measured."""
        return len(self.flows[CLEAN[0]][CLEAN[1]]["signal"])

    def on_path(self) -> list[str]:
        """What stands between a unit's x and the next unit's, as the labels call it."""
        steps = {
            "scaling": ["op_half"],
            "conv": ["op_around", *["op_BN"] * bool(FIGURE_4[self.order].last)],
            "dropout": ["op_dropout"],
        }
        gated = ["op_open"] * ("gating" in self.shortcut)
        after = [f"op_{name}" for name in FIGURE_4[self.order].after.split()]
        return [self.labels[key] for key in [*steps.get(self.shortcut, gated), *after]]

    def factor(self, measure: str, order: str | None = None, shortcut: str | None = None) -> float:
        """How a measure changes on its whole way through the units.

        Args:
            measure: "signal", from the first unit to the last; or "gradient" or "direct", from the
                last unit back to the first.
            order: by default the one that is shown.
            shortcut: by default the one that is shown.
        """
        values = self.flows[order or self.order][shortcut or self.shortcut][measure]
        first, last = values[0], values[-1]
        return last / first if measure == "signal" else first / last

    def __repr__(self) -> str:
        return (
            f"OrderComparer({len(self.orders)} orders, {len(self.shortcuts)} shortcuts, "
            f"{self.units} units; {self.order}, {self.shortcut})"
        )

    def fallback_html(self) -> str:
        """What stands on the path, the chosen curve and the changes over all units, by order."""
        words = self.labels
        what = ", ".join(self.on_path())
        path = words["path_blocked"].format(what=what) if what else words["path_clean"]
        pairs = list(dict.fromkeys([(self.order, self.shortcut), CLEAN]))
        lines = []
        for colour, (order, shortcut) in enumerate(pairs):
            panel = "abcde"[[*FIGURE_4].index(order)]
            name = words["line"].format(panel=panel, shortcut=words[f"shortcut_{shortcut}"])
            values = [max(v, FLOOR) for v in self.flows[order][shortcut][self.measure]]
            lines.append(chart.Line(name, range(1, self.units + 1), [values], colour, colour))
        title = words["chart"].format(measure=words[f"axis_{self.measure}"])
        cells = "".join(
            f'<tr><th scope="row" style="text-align: left">{escape(words[f"order_{order}"])}</th>'
            + "".join(
                f'<td style="padding-left: 1em">{self.factor(key, order):.1e}</td>'
                for key in MEASURES
            )
            + "</tr>"
            for order in FIGURE_4
        )
        heads = "".join(
            f'<th scope="col" style="padding-left: 1em">{escape(words[f"measure_{key}"])}</th>'
            for key in MEASURES
        )
        legend = ", ".join(line.name for line in lines)
        return (
            f'<div role="group" aria-label="{escape(words["name"])}">'
            f"<p>{escape(words[f'order_{self.order}'])}, "
            f"{escape(words[f'shortcut_{self.shortcut}'])}: {escape(path)}</p>"
            f"<p>{escape(title)}: {escape(legend)}</p>{chart.picture(lines, 'log', title)}"
            f"<table><caption>{escape(words['measured'].format(units=self.units))}, "
            f"{escape(words[f'shortcut_{self.shortcut}'])}</caption>"
            f"<thead><tr><td></td>{heads}</tr></thead><tbody>{cells}</tbody></table></div>"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _checked(flows: Flows) -> dict[str, dict[str, dict[str, list[float]]]]:
    """The same as plain lists, complete, or a ValueError."""
    lengths = set()
    for order in FIGURE_4:
        for shortcut in SHORTCUTS:
            for measure in MEASURES:
                try:
                    values = flows[order][shortcut][measure]
                except (KeyError, TypeError):
                    raise ValueError(
                        f"flows lacks the {measure} of {order!r} with the shortcut {shortcut!r}"
                    ) from None
                if not all(_is_number(value) and value >= 0 for value in values):
                    raise ValueError(
                        f"the {measure} of {order!r} with {shortcut!r} must be finite numbers, 0 "
                        f"or more; got {values!r}"
                    )
                lengths.add(len(values))
    if len(lengths) != 1 or min(lengths) < 2:
        raise ValueError(
            f"all curves must have as many units as the others, 2 or more; got {sorted(lengths)}"
        )
    return {
        order: {
            shortcut: {key: [*flows[order][shortcut][key]] for key in MEASURES}
            for shortcut in SHORTCUTS
        }
        for order in FIGURE_4
    }
