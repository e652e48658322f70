"""Checks for the exercises of the page *Beyond one machine*.

They tell the usual wrong answers apart: what all processes send instead of what each sends, a
latency that is paid once, a number of images that is rounded down.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from cnnlib.book import Verdict, check


def check_exchange_seconds(answer: Callable[..., Any]) -> Verdict:
    """``answer(parameters, processes, bandwidth, latency)`` -> seconds of a ring all-reduce.

    Four bytes per parameter, bandwidth in bytes per second, latency in seconds per message.
    """
    cases = []
    for parameters, processes in product((60_000, 25_557_032), (1, 2, 3, 8)):
        for bandwidth, latency in ((0.125e9, 0.0), (12.5e9, 5e-6)):
            messages = 2 * (processes - 1)  # that each process sends, one after the other
            seconds = messages * (4 * parameters / processes / bandwidth + latency)
            cases.append(((parameters, processes, bandwidth, latency), _rounded(seconds)))
    praise = f"Right in all {len(cases)} cases tried; one process has nothing to exchange."
    return check(_rounding(answer), cases, praise)


def check_images_needed(answer: Callable[..., Any]) -> Verdict:
    """``answer(exchange, speed, share)`` -> fewest images per process and step, a whole number.

    So many that an exchange of that many seconds takes at most that share of a step, at that many
    images per second.
    """
    cases = []
    for exchange, speed, share in ((0.143, 1218, 0.1), (0.0143, 546, 0.25), (1.0, 1000, 0.5)):
        images = 1
        while exchange > share * (exchange + images / speed):
            images += 1
        cases.append(((exchange, speed, share), images))
    return check(answer, cases, f"Right in all {len(cases)} cases tried.")


def _rounding(answer: Callable[..., Any]) -> Callable[..., Any]:
    """The same function with its result rounded, as two right formulas may differ in the end."""
    if not callable(answer):
        return answer
    return lambda *arguments: _rounded(answer(*arguments))


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, int | float) else value
