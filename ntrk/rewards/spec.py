"""Rewards written as text: ``brightness - 0.5*my_rewards.py:sharpness``."""

from __future__ import annotations

import importlib
import importlib.util
import re
from functools import reduce
from operator import add
from pathlib import Path

from .interface import Reward, as_reward
from .plain import PLAIN

__all__ = ["parse_reward"]

_NUMBER = r"\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?"
_TERM = re.compile(rf"(?:(?P<weight>{_NUMBER})\s*\*\s*)?(?P<name>[^\s*+]+)")


def parse_reward(text: str) -> Reward:
    """Read a sum of rewards.

    Parameters
    ----------
    text
        Terms joined by ``+`` or ``-`` between spaces, each a name with or without a weight,
        ``0.5*name``. A name is one of `PLAIN`, ``package.module:function`` or
        ``path/to/file.py:function``.

    Raises
    ------
    ValueError
        If a term cannot be read or found.

    Examples
    --------
    >>> parse_reward("brightness - 0.5*contrast").weights
    {'brightness': 1.0, 'contrast': -0.5}
    """
    pieces = re.split(r"(?:^|\s+)([+-])\s+", f"+ {text.strip()}")[1:]
    return reduce(
        add,
        (
            _parse_term(term, text) * (1.0 if sign == "+" else -1.0)
            for sign, term in zip(pieces[::2], pieces[1::2], strict=True)
        ),
    )


def _parse_term(term: str, text: str) -> Reward:
    match = _TERM.fullmatch(term.strip())
    if match is None:
        raise ValueError(f"cannot read {term!r} in the reward {text!r}: write NUMBER*NAME")
    return float(match["weight"] or 1) * _find(match["name"])


def _find(name: str) -> Reward:
    if name in PLAIN:
        return as_reward(PLAIN[name])
    place, colon, function = name.rpartition(":")
    if not colon:
        raise ValueError(
            f"unknown reward {name!r}: it must be one of {', '.join(PLAIN)}, "
            "package.module:function or path/to/file.py:function"
        )
    if place.endswith(".py"):
        if not Path(place).is_file():
            raise ValueError(f"the reward {name!r} is in no file: {place} does not exist")
        spec = importlib.util.spec_from_file_location(Path(place).stem, place)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        try:
            module = importlib.import_module(place)
        except ModuleNotFoundError as error:
            raise ValueError(f"the reward {name!r} is in no module: {error}") from error
    if not hasattr(module, function):
        raise ValueError(f"the reward {name!r} is not there: {place} has no {function!r}")
    return as_reward(getattr(module, function))
