"""Activation functions, their slopes, and what many slopes in a row do to a gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from math import cos, erf, log, pi, sin, sqrt, tau
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import traitlets

from cnnlib.widgets import chart
from cnnlib.widgets.base import Widget

Function = Callable[[np.ndarray], np.ndarray]

WIDTH = 32  # units in each layer of the chain
INPUTS = 8  # random inputs over which the chain is measured
RANGES = {"x": (-6.0, 6.0), "depth": (1, 30), "scale": (0.1, 4.0), "seed": (0, 9999)}
COMPARED = ("logistic", "tanh", "relu")  # always in the chart of the chain
FLOOR = 1e-30  # smaller gradients are drawn here


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.maximum(x, -700)))  # beyond that the exponential overflows


def _gaussian_share(x: np.ndarray) -> np.ndarray:
    """How much of a standard normal distribution lies below x."""
    return np.vectorize(lambda value: (1 + erf(value / sqrt(2))) / 2, otypes=[float])(x)


class Unit(NamedTuple):
    """An activation function and its slope, elementwise."""

    value: Function
    slope: Function


UNITS = {
    "logistic": Unit(_logistic, lambda x: _logistic(x) * (1 - _logistic(x))),
    "tanh": Unit(np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "scaled_tanh": Unit(  # LeNet-5
        lambda x: 1.7159 * np.tanh(2 * x / 3),
        lambda x: 1.7159 * 2 / 3 * (1 - np.tanh(2 * x / 3) ** 2),
    ),
    "relu": Unit(lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(float)),
    "leaky_relu": Unit(
        lambda x: np.where(x > 0, x, 0.01 * x), lambda x: np.where(x > 0, 1.0, 0.01)
    ),
    "elu": Unit(
        lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
        lambda x: np.where(x > 0, 1.0, np.exp(np.minimum(x, 0))),
    ),
    "gelu": Unit(
        lambda x: x * _gaussian_share(x),
        lambda x: _gaussian_share(x) + x * np.exp(-(x**2) / 2) / sqrt(2 * pi),
    ),
    "silu": Unit(lambda x: x * _logistic(x), lambda x: _logistic(x) * (1 + x * (1 - _logistic(x)))),
}


class Chain(NamedTuple):
    """What happens to a gradient on its way through a random network.

    Attributes:
        gradients: its size (root mean square) behind so many layers, 0 to depth; the first is 1.
        slopes: root mean square of the slopes in each layer, from the output to the input.
    """

    gradients: list[float]
    slopes: list[float]


class ActivationExplorer(Widget):
    """One unit and its slope at an input; and the slopes of many layers, multiplied.

    The upper part draws a function, its slope and the tangent at an input. The lower part sends
    random inputs through layers of 32 units with random weights, a gradient back from the output,
    and shows how much of it is left behind each layer.

    Args:
        unit: A name of `UNITS`.
        x: Input of the unit, -6 to 6.
        depth: Layers, 1 to 30.
        scale: The weights are drawn with this standard deviation, divided by the square root of the
            32 inputs; 0.1 to 4. At 1, layers without an activation would keep a signal's size.
        seed: Of weights and inputs, 0 to 9999.
        labels: Words to use instead of the English ones in `LABELS`.

    Raises:
        ValueError: An unknown unit, or a number outside its range.
    """

    LABELS: ClassVar[dict[str, str]] = chart.LABELS | {
        "name": "Activation functions, their slopes, and gradients through many layers",
        "one": "One unit",
        "many": "Many layers",
        "unit": "Unit",
        "unit_logistic": "logistic sigmoid",
        "unit_tanh": "tanh",
        "unit_scaled_tanh": "1.7159 tanh(⅔x), LeNet-5",
        "unit_relu": "ReLU",
        "unit_leaky_relu": "leaky ReLU",
        "unit_elu": "ELU",
        "unit_gelu": "GELU",
        "unit_silu": "SiLU",
        "x": "Input x",
        "depth": "Layers",
        "scale": "Scale of the weights",
        "again": "New random weights",
        "value": "f(x)",
        "slope": "slope f ′(x)",
        "reading": "At {x} the value is {value} and the slope {slope}.",
        "saturated": "Saturated: a small change of the input hardly changes the value.",
        "dead": "Slope 0: from here, nothing is learned at all.",
        "passed": "Slope 1: the gradient passes unchanged.",
        "axis_back": "layers back from the output",
        "axis_gradient": "size of the gradient",
        "chart_name": "Size of the gradient behind each layer, by unit",
        "typical": "Typical slope in a layer: {slope}. Multiplied over {depth} layers: {product}.",
        "arrives": "With the weights: {gradient} of the gradient arrives at the input.",
    }
    _source = Path(__file__)

    unit = traitlets.Unicode("logistic").tag(sync=True)
    x = traitlets.Float(2.0).tag(sync=True)
    depth = traitlets.Int(8).tag(sync=True)
    scale = traitlets.Float(1.0).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    ranges = traitlets.Dict(
        {name: list(limits) for name, limits in RANGES.items()}, read_only=True
    ).tag(sync=True)

    def __init__(
        self,
        unit: str = "logistic",
        x: float = 2.0,
        depth: int = 8,
        scale: float = 1.0,
        seed: int = 0,
        labels: dict[str, str] | None = None,
    ) -> None:
        super().__init__(unit=unit, x=x, depth=depth, scale=scale, seed=seed, labels=labels)

    @traitlets.validate("unit")
    def _check_unit(self, proposal: Any) -> str:
        if proposal["value"] not in UNITS:
            raise ValueError(
                f"no unit is called {proposal['value']!r}; there are {', '.join(UNITS)}"
            )
        return proposal["value"]

    @traitlets.validate("x", "depth", "scale", "seed")
    def _check_number(self, proposal: Any) -> float:
        name, value = proposal["trait"].name, proposal["value"]
        low, high = RANGES[name]
        if not low <= value <= high:  # also refuses what is not a number
            raise ValueError(f"{name} must be {low:g} to {high:g}, got {value}")
        return value

    def chain(self, unit: str | None = None) -> Chain:
        """What the lower part shows of a unit; the script computes the same.

        Args:
            unit: A name of `UNITS`; the one that is chosen by default.
        """
        function = UNITS[unit or self.unit]
        draw = _normals(self.seed)

        def matrix(rows: int, columns: int) -> np.ndarray:
            numbers = [next(draw) for _ in range(rows * columns)]
            return np.array(numbers).reshape(rows, columns)

        signals, gradient = matrix(INPUTS, WIDTH), matrix(INPUTS, WIDTH)
        layers = []
        for _ in range(self.depth):
            weights = matrix(WIDTH, WIDTH) * self.scale / sqrt(WIDTH)
            sums = signals @ weights.T
            signals = function.value(sums)
            layers.append((weights, function.slope(sums)))
        sizes, typical = [_size(gradient)], []
        for weights, slopes in reversed(layers):
            gradient = (gradient * slopes) @ weights
            sizes.append(_size(gradient))
            typical.append(_size(slopes))
        return Chain([size / sizes[0] for size in sizes], typical)

    def __repr__(self) -> str:
        return (
            f"ActivationExplorer({self.unit} at {self.x:g}; {self.depth} layers, "
            f"weights of scale {self.scale:g}, seed {self.seed})"
        )

    def fallback_html(self) -> str:
        """Both charts as pictures that stand still, with their numbers."""
        function, name = UNITS[self.unit], self.labels[f"unit_{self.unit}"]
        low, high = RANGES["x"]
        places = np.linspace(low, high, 61)
        one = [
            chart.Line(self.labels[key], places.tolist(), [of(places).tolist()], i, i)
            for i, (key, of) in enumerate((("value", function.value), ("slope", function.slope)))
        ]
        shown = [*COMPARED, *({self.unit} - set(COMPARED))]
        many = [
            chart.Line(
                self.labels[f"unit_{unit}"],
                list(range(self.depth + 1)),
                [[max(size, FLOOR) for size in self.chain(unit).gradients]],
                i,
                i,
            )
            for i, unit in enumerate(shown)
        ]
        point = np.array([self.x])
        value, slope = float(function.value(point)[0]), float(function.slope(point)[0])
        reading = self.labels["reading"].format(
            x=f"{self.x:g}", value=f"{value:.3g}", slope=f"{slope:.3g}"
        )
        return (
            f'<div role="group" aria-label="{escape(self.labels["name"])}">'
            f"<p>{escape(name)}. {escape(reading)}</p>"
            f"{chart.picture(one, 'number', name)}"
            f"<p>{escape(self.labels['chart_name'])}</p>"
            f"{chart.picture(many, 'log', self.labels['chart_name'])}"
            f"{chart.table(many, 'log', self.labels['axis_back'])}</div>"
        )


def _size(numbers: np.ndarray) -> float:
    return float(np.sqrt(np.mean(numbers**2)))


def _normals(seed: int) -> Iterator[float]:
    """Normally distributed numbers that the script draws in the same order (mulberry32)."""
    whole = 0xFFFFFFFF
    state = seed

    def uniform() -> float:
        nonlocal state
        state = (state + 0x6D2B79F5) & whole
        mixed = ((state ^ (state >> 15)) * (state | 1)) & whole
        mixed ^= (mixed + (((mixed ^ (mixed >> 7)) * (mixed | 61)) & whole)) & whole
        return (mixed ^ (mixed >> 14)) / 2**32

    while True:
        radius, angle = sqrt(-2 * log(1 - uniform())), tau * uniform()
        yield radius * cos(angle)
        yield radius * sin(angle)
