"""Curves of stored runs that the reader compares: by depth, shortcut, learning rate, seed."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from math import isfinite
from pathlib import Path
from statistics import mean
from typing import Any, ClassVar, Self

import traitlets

from cnnlib.widgets import chart
from cnnlib.widgets.base import Widget

Facets = Mapping[str, str]


class RunCurves(Widget):
    """Learning curves of many runs, of which the reader chooses those to compare.

    What the curves differ in, their facets, are groups of buttons; several values of a facet may be
    on at a time, and a curve is drawn when all of its values are. The first facet sets colour and
    marker, the second the dash, a third hollow markers. A line is the mean over the seeds, thin
    ones are the seeds. A cursor reads the values off, and a table has them all.

    Args:
        curves: One mapping each: ``"facets"``, the name and the value of each facet as they are
            shown (the same names in all curves); ``"seeds"``, for each measure a list of curves,
            one per seed; and ``"x"``, if this curve has its own.
        measures: For each measure what its axis is called; the first is shown at the start.
        x: Where the points lie, for all measures or one list for each.
        x_label: What is on the horizontal axis.
        percent: Measures shown in percent; by default those whose key ends in "error".
        log: Measures on a logarithmic axis.
        shown: Values that are on at the start, by facet; by default all.
        labels: Words to use instead of the English ones in `LABELS`.

    Raises:
        ValueError: Something is missing, of the wrong length, or not a finite number; two curves
            have the same facets; or ``shown``, ``percent`` or ``log`` name what there is not.
    """

    LABELS: ClassVar[dict[str, str]] = {
        "name": "Curves of stored runs",
        "measure": "Vertical axis",
        "singles": "Single seeds",
        "chart": "{measure} by {x}",
        "nothing": "No curve has been chosen: press a button in every group.",
        **chart.LABELS,
    }
    _source = Path(__file__)

    curves = traitlets.List(help="facets, seeds by measure, x by measure").tag(sync=True)
    measures = traitlets.List(help="key, text and kind of each measure").tag(sync=True)
    x_label = traitlets.Unicode().tag(sync=True)
    measure = traitlets.Unicode(help="the measure that is shown").tag(sync=True)
    shown = traitlets.Dict(help="values that are on, by facet").tag(sync=True)
    singles = traitlets.Bool(True, help="whether each seed is drawn").tag(sync=True)

    def __init__(
        self,
        curves: Sequence[Mapping[str, Any]],
        measures: Mapping[str, str],
        x: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
        *,
        x_label: str = "Epoch",
        percent: Collection[str] | None = None,
        log: Collection[str] = (),
        shown: Mapping[str, Collection[str]] | None = None,
        labels: dict[str, str] | None = None,
    ) -> None:
        if not measures:
            raise ValueError("RunCurves needs at least one measure, such as {'loss': 'Loss'}")
        if percent is None:
            percent = [key for key in measures if key.endswith("error")]
        for name, keys in (("percent", percent), ("log", log)):
            if unknown := [key for key in keys if key not in measures]:
                raise ValueError(f"{name} names {unknown}, but the measures are {[*measures]}")
        if both := [key for key in log if key in percent]:
            raise ValueError(f"{both} cannot be in percent and on a logarithmic axis")
        checked = [_checked(curve, i, measures, x, log) for i, curve in enumerate(curves)]
        values = _values(checked)
        kinds = {**dict.fromkeys(percent, "percent"), **dict.fromkeys(log, "log")}
        super().__init__(
            curves=checked,
            measures=[[key, name, kinds.get(key, "number")] for key, name in measures.items()],
            x_label=x_label,
            measure=next(iter(measures)),
            shown=values | _chosen(shown or {}, values),
            labels=labels,
        )

    @classmethod
    def of_arms(
        cls,
        arms: Iterable[Any],
        measures: Mapping[str, str],
        facets: Mapping[str, str],
        *,
        values: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Self:
        """The curves of a stored experiment (``cnnlib.book.stored_runs``).

        Args:
            arms: Each with ``more["facets"]``, with ``more["x"][measure]`` and, in every run,
                ``["curves"][measure]``.
            measures: As above.
            facets: For the keys of ``more["facets"]`` to be offered what they are called, in the
                order of the groups.
            values: How a facet's value, as a text, is shown, where that is not the text itself.
            **options: Further arguments of `RunCurves`.

        Raises:
            ValueError: An arm lacks something of this.
        """
        values = values or {}
        curves = []
        for arm in arms:
            try:
                found = {name: str(arm.more["facets"][key]) for key, name in facets.items()}
                seeds = {key: [run["curves"][key] for run in arm.runs] for key in measures}
                x = {key: arm.more["x"][key] for key in measures}
            except KeyError as missing:
                raise ValueError(f"the arm {arm.name!r} has no {missing} to draw") from None
            shown = {name: values.get(value, value) for name, value in found.items()}
            curves.append({"facets": shown, "seeds": seeds, "x": x})
        return cls(curves, measures, **options)

    @traitlets.validate("measure")
    def _check_measure(self, proposal: Any) -> str:
        known = [key for key, _, _ in self.measures]
        if proposal["value"] not in known:
            raise ValueError(f"measure must be one of {known}, got {proposal['value']!r}")
        return proposal["value"]

    def mean(self, measure: str, facets: Facets) -> list[float]:
        """The mean over the seeds of one curve, point by point.

        Args:
            measure: Its key.
            facets: All facets of the curve, as they are shown.

        Raises:
            ValueError: There is no such curve or measure.
        """
        for curve in self.curves:
            if curve["facets"] == dict(facets) and measure in curve["seeds"]:
                return [mean(values) for values in zip(*curve["seeds"][measure], strict=True)]
        raise ValueError(f"no curve of {measure!r} with {dict(facets)}")

    def _lines(self) -> tuple[list[chart.Line], str]:
        """What is on at the start, and the kind of its measure: as run_curves.js chooses it."""
        values = _values(self.curves)
        several = [name for name, found in values.items() if len(found) > 1]
        found = []
        for curve in self.curves:
            facets = curve["facets"]
            if all(facets[name] in self.shown[name] for name in facets):
                name = ", ".join(facets[name] for name in several or facets)
                place = [values[facet].index(facets[facet]) for facet in several]
                colour, dash = (place + [0, 0])[:2]
                x, seeds = curve["x"][self.measure], curve["seeds"][self.measure]
                found.append((place, chart.Line(name, x, seeds, colour, dash)))
        lines = [line for _, line in sorted(found, key=lambda pair: pair[0])]
        (kind,) = (kind for key, _, kind in self.measures if key == self.measure)
        return lines, kind

    def fallback_html(self) -> str:
        """The curves that are on, standing still, and a table of their ends."""
        (name,) = (name for key, name, _ in self.measures if key == self.measure)
        title = self.labels["chart"].format(measure=name, x=self.x_label)
        lines, kind = self._lines()
        parts = [f"<p>{escape(title)}</p>"]
        if lines:
            parts.append(chart.picture(lines, kind, title))
            parts.append(chart.table(lines, kind, self.x_label))
        else:
            parts.append(f"<p>{escape(self.labels['nothing'])}</p>")
        label = escape(self.labels["name"])
        return f'<div role="group" aria-label="{label}">{"".join(parts)}</div>'

    def __repr__(self) -> str:
        seeds = {len(seeds) for curve in self.curves for seeds in curve["seeds"].values()}
        parts = [
            f"{len(self.curves)} curves of {' or '.join(map(str, sorted(seeds)))} seeds",
            *(f"{name} {', '.join(found)}" for name, found in _values(self.curves).items()),
            ", ".join(key for key, _, _ in self.measures),
        ]
        return f"RunCurves({'; '.join(parts)})"


def _checked(
    curve: Mapping[str, Any],
    number: int,
    measures: Mapping[str, str],
    x: Sequence[float] | Mapping[str, Sequence[float]] | None,
    log: Collection[str],
) -> dict[str, Any]:
    """A curve with places for each measure, or a ValueError that says what is wrong with it."""
    if not curve.get("facets") or "seeds" not in curve:
        raise ValueError(f"curve {number} needs 'facets' and 'seeds', got {sorted(curve)}")
    places = curve.get("x", x)
    if places is None:
        raise ValueError(f"curve {number} has no 'x', and there is none for all curves")
    result: dict[str, Any] = {
        "facets": {name: str(value) for name, value in curve["facets"].items()},
        "seeds": {},
        "x": {},
    }
    for key in measures:
        own = places.get(key) if isinstance(places, Mapping) else places
        seeds = curve["seeds"].get(key)
        if own is None or seeds is None:
            raise ValueError(f"curve {number} has no {'x' if own is None else 'seeds'} for {key!r}")
        result["x"][key] = own = [float(place) for place in own]
        result["seeds"][key] = seeds = [[float(value) for value in seed] for seed in seeds]
        if not own or any(later <= earlier for earlier, later in zip(own, own[1:], strict=False)):
            raise ValueError(f"x of curve {number} for {key!r} must grow from point to point")
        if lengths := [len(seed) for seed in seeds if len(seed) != len(own)] or not seeds:
            raise ValueError(
                f"curve {number} must have a list of {len(own)} values of {key!r}, one per point, "
                f"for each seed, got {lengths if seeds else 'no seed'}"
            )
        for value in (value for seed in seeds for value in seed):
            if not isfinite(value) or (key in log and value <= 0):
                wanted = "positive" if key in log else "finite"
                raise ValueError(f"{key!r} of curve {number} must be {wanted}, got {value}")
    return result


def _values(curves: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The values of each facet, in the order in which they come; numbers by their size."""
    if not curves:
        raise ValueError("RunCurves needs at least one curve")
    names = list(curves[0]["facets"])
    for number, curve in enumerate(curves):
        if list(curve["facets"]) != names:
            raise ValueError(
                f"curve {number} has the facets {list(curve['facets'])}, the first one has {names}"
            )
        if curve["facets"] in [other["facets"] for other in curves[:number]]:
            raise ValueError(f"there are two curves with {curve['facets']}")
    found = {name: list(dict.fromkeys(c["facets"][name] for c in curves)) for name in names}
    return {name: _sorted(values) for name, values in found.items()}


def _sorted(values: list[str]) -> list[str]:
    try:
        return sorted(values, key=float)
    except ValueError:
        return values


def _chosen(
    shown: Mapping[str, Collection[str]], values: Mapping[str, list[str]]
) -> dict[str, list[str]]:
    chosen = {}
    for name, wanted in shown.items():
        wanted = [str(value) for value in wanted]
        if name not in values or not set(wanted) <= set(values[name]):
            raise ValueError(f"shown asks for {wanted} of {name!r}, but there are {dict(values)}")
        chosen[name] = [value for value in values[name] if value in wanted]
    return chosen
