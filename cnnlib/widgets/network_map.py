"""All networks of the book on one map, with axes that the reader chooses."""

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any, ClassVar

import traitlets

from cnnlib.inspection.census import DATA, NOT_SAID, TESTINGS, WHOLE, Entry, entries, front
from cnnlib.widgets import chart
from cnnlib.widgets.base import Widget

QUANTITIES = ("top1", "top5", "parameters", "macs", "activations", "time", "year")
ORDER = (*dict.fromkeys(TESTINGS.values()), NOT_SAID, WHOLE)  # of the markers and the legend


def point(entry: Entry) -> dict[str, Any]:
    """What the script needs of an entry."""
    return {
        "name": entry.name,
        "label": entry.label,
        "chapter": entry.chapter,
        "year": entry.year,
        "parameters": entry.parameters,
        "macs": entry.macs,
        "activations": entry.activations,
        "time": entry.time.median,
        "low": entry.time.low,
        "high": entry.time.high,
        "top1": entry.top1,
        "top5": entry.top5,
        "data": entry.data,
        "testing": entry.testing,
        "side": entry.side,
    }


class NetworkMap(Widget):
    """Dots for networks. The reader chooses the two axes, their scales, the data and the tests.

    Networks whose errors were measured in different ways differ in the shape of their dots, and
    each way has a front of its own: the networks that no other one, tested alike, beats on both
    axes. A dot leads to the chapter that it is from.

    Args:
        networks: entries to show; all of the book's by default.
        x, y: what the axes show at first, of ``QUANTITIES``.
        data: data set to begin with.
        log_x, log_y: whether the axes are logarithmic.
        labels: words to use instead of the English ones in `LABELS`.

    Raises:
        ValueError: no networks, or an unknown quantity or data set.
    """

    LABELS: ClassVar[dict[str, str]] = {
        **chart.LABELS,
        "name": "Map of the networks",
        "x": "Across",
        "y": "Upwards",
        "data": "Tested on",
        "top1": "top-1 error",
        "top5": "top-5 error",
        "parameters": "parameters",
        "macs": "multiply-adds (MACs)",
        "activations": "activations",
        "time": "measured time",
        "year": "year",
        "scales": "Scales",
        "log_x": "logarithmic across",
        "log_y": "logarithmic upwards",
        "fronts": "fronts",
        "testings": "How they were tested",
        "testing_1_crop": "1 crop",
        "testing_10_crops": "10 crops",
        "testing_whole_image": "whole image",
        "testing_not_said": "not said",
        "testing_as_it_is": "image as it is",
        "testing_count": "{testing} ({count})",
        "plot": "{count} networks: {x} across, {y} upwards. {keys}",
        "keys": "Arrow keys go from dot to dot, Enter opens the chapter.",
        "option": "{label}, {year}. {y}: {y_value}, {x}: {x_value}. Tested: {testing}.",
        "on_front": "On the front of its test.",
        "open": "Open chapter {number}",
        "nothing": "No network with these two numbers; choose other axes or other tests.",
        "table": "The shown networks as a table",
        "network": "Network",
        "testing": "Tested",
        "side": "Image",
        "chapter": "Chapter",
        "pixels": "{side} × {side}",
        "thousands": "{number} k",
        "millions": "{number} M",
        "billions": "{number} G",
        "milliseconds": "{number} ms",
        "quartiles": "{median} ms (half of the rounds: {low} to {high})",
        "percent": "{number} %",
        "fallback": (
            "With a script, axes, scales and tests can be chosen: open the page of the book, or "
            "run this notebook."
        ),
        "fallback_front": "No other network tested on one crop is both better and {cheaper}:",
        "fallback_cheaper": "quicker",
        "fallback_row": "{label}: {error} % top-1 error, {time} ms, chapter {number}",
    }
    _source = Path(__file__)

    points = traitlets.List(read_only=True).tag(sync=True)
    order = traitlets.List(list(ORDER), read_only=True).tag(sync=True)
    x = traitlets.Unicode("macs").tag(sync=True)
    y = traitlets.Unicode("top1").tag(sync=True)
    data = traitlets.Unicode("ImageNet").tag(sync=True)
    log_x = traitlets.Bool(True).tag(sync=True)
    log_y = traitlets.Bool(False).tag(sync=True)
    fronts = traitlets.Bool(True, help="whether fronts are drawn").tag(sync=True)
    hidden = traitlets.List(traitlets.Unicode(), help="tests left out").tag(sync=True)

    def __init__(
        self,
        networks: Iterable[Entry] | None = None,
        *,
        x: str = "macs",
        y: str = "top1",
        data: str = "ImageNet",
        log_x: bool = True,
        log_y: bool = False,
        labels: dict[str, str] | None = None,
    ) -> None:
        self._entries = tuple(entries() if networks is None else networks)
        if not self._entries:
            raise ValueError("a map needs at least one network")
        super().__init__(x=x, y=y, data=data, log_x=log_x, log_y=log_y, labels=labels)

    @traitlets.default("points")
    def _points(self) -> list[dict[str, Any]]:
        return [point(entry) for entry in self._entries]

    @traitlets.validate("x", "y")
    def _check_quantity(self, proposal: Any) -> str:
        if proposal["value"] not in QUANTITIES:
            raise ValueError(
                f"{proposal['trait'].name} must be one of {', '.join(QUANTITIES)}; "
                f"got {proposal['value']!r}"
            )
        return proposal["value"]

    @traitlets.validate("data")
    def _check_data(self, proposal: Any) -> str:
        if proposal["value"] not in DATA.values():
            raise ValueError(
                f"data must be one of {', '.join(DATA.values())}; got {proposal['value']!r}"
            )
        return proposal["value"]

    def shown(self) -> list[Entry]:
        """The networks that have both numbers, on the data and in the tests chosen."""
        return [
            entry
            for entry in self._entries
            if entry.data == self.data
            and entry.testing not in self.hidden
            and None not in (value(entry, self.x), value(entry, self.y))
        ]

    def front(self, testing: str) -> list[Entry]:
        """Of the networks tested in this way, those that nothing beats on both axes."""
        alike = [entry for entry in self.shown() if entry.testing == testing]
        return front(alike, lambda e: value(e, self.x) or 0, lambda e: value(e, self.y))

    def __repr__(self) -> str:
        return f"NetworkMap({len(self.shown())} networks on {self.data}: {self.y} against {self.x})"

    def fallback_html(self) -> str:
        """The networks on the front of error against time, one crop, as a list."""
        words = self.labels
        alike = [e for e in self._entries if (e.data, e.testing) == ("ImageNet", "1 crop")]
        best = front(alike, lambda e: e.time.median, lambda e: e.top1)
        rows = "".join(
            "<li>"
            + escape(
                words["fallback_row"].format(
                    label=entry.label,
                    error=entry.top1,
                    time=round(entry.time.median),
                    number=int(entry.chapter[:2]),
                )
            )
            + "</li>"
            for entry in best
        )
        head = words["fallback_front"].format(cheaper=words["fallback_cheaper"])
        return (
            f"<p><strong>{escape(words['name'])}</strong></p><p>{escape(head)}</p>"
            f"<ul>{rows}</ul><p>{escape(words['fallback'])}</p>"
        )


def value(entry: Entry, quantity: str) -> float | None:
    """A quantity of an entry; None where the paper prints none."""
    return entry.time.median if quantity == "time" else getattr(entry, quantity)
