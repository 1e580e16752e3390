"""What the command line reads from text: numbers, literals, assignments."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Sequence
from typing import Any

__all__ = ["assignment", "literal", "once", "positive", "whole"]


def whole(text: str) -> int:
    """Read a whole number."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 0, got {text!r}")
    return int(text)


def positive(text: str) -> int:
    """Read a whole number of at least 1."""
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def literal(text: str) -> Any:
    """Read a Python literal; what is none is text."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def assignment(text: str) -> tuple[str, Any]:
    """Read ``NAME=VALUE``."""
    name, equals, value = text.partition("=")
    if not (equals and name.isidentifier()):
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE, got {text!r}")
    return name, literal(value)


def once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return a dict of names and values, in which no name may come twice."""
    given: dict[str, Any] = {}
    for name, value in pairs:
        if name in given:
            raise ValueError(f"{name} is given twice")
        given[name] = value
    return given
