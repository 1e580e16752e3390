"""Checks of numbers, with errors that name the argument."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

__all__ = ["as_count", "check_range"]


def as_count(name: str, value: Any, least: int = 1) -> int:
    """Return an integer of at least `least`, or say which argument is not one."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return value


def check_range(
    name: str, value: Any, low: float, high: float = math.inf, *, open_low: bool = False
) -> None:
    """Raise an error unless `value` is in ``[low, high]``, or ``(low, high]`` if `open_low`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    number = float(value)
    if not (low < number if open_low else low <= number) or not number <= high:
        bracket = "(" if open_low else "["
        raise ValueError(f"{name} must be in {bracket}{low:g}, {high:g}], got {value!r}")
