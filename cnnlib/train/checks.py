"""Refusing settings that make no sense, in words."""

from __future__ import annotations

from collections.abc import Callable


def check_number(name: str, value: object, accepted: Callable[[float], bool], words: str) -> None:
    """Raises unless a setting is a number within its range.

    Args:
        name: of the setting, such as "Recipe.lr".
        value: what came.
        accepted: function that says whether a number is within the range; NaN must not be.
        words: the range in words, which complete "must be".

    Raises:
        TypeError: not a number, or a truth value.
        ValueError: outside the range.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not accepted(value):
        raise ValueError(f"{name} must be {words}, got {value}")


def check_whole(name: str, value: object, *, at_least: int) -> None:
    """Raises unless a setting is a whole number, and not too small.

    Raises:
        TypeError: not a whole number.
        ValueError: below `at_least`.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {value}")


def check_flag(name: str, value: object) -> None:
    """TypeError unless a setting is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r}")
