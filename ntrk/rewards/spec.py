"""Rewards written as text: ``brightness - 0.5*my_rewards.py:sharpness``."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Mapping
from functools import reduce
from operator import add
from pathlib import Path
from types import ModuleType

import torch

from .catalogue import CATALOGUE, load
from .interface import Reward, as_reward
from .plain import PLAIN

__all__ = ["load_file", "parse_reward"]

_WEIGHT = r"(?P<weight>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*\*\s*"
_TERM = re.compile(rf"(?P<sign>[+-]?)\s*(?:{_WEIGHT})?(?P<name>[^\s*+-][^\s*+]*)")


def parse_reward(
    text: str, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Reward:
    """Read a sum of rewards.

    Parameters
    ----------
    text
        Terms joined by ``+`` or ``-`` between spaces, each a name with or without a weight,
        ``0.5*name``. A name is one of `PLAIN`; one of `CATALOGUE`, alone or as ``name@folder``,
        where the folder holds the repositories of its weights; ``package.module:object`` or
        ``path/to/file.py:object`` (no spaces), where the object is what `as_reward` takes. A file
        is run once, however often it is named.
    device, dtype
        Of weights.

    Raises
    ------
    ValueError, TypeError
        If a term cannot be read, found or used.
    OSError
        If its weights are not there; the message says how to get them.

    Examples
    --------
    >>> parse_reward("brightness - 0.5*contrast").weights
    {'brightness': 1.0, 'contrast': -0.5}
    """
    first, *others = re.split(r"\s+([+-]\s+)", text.strip())
    terms = [first, *(sign + term for sign, term in zip(others[::2], others[1::2], strict=True))]
    named = [_parse_term(term, text) for term in terms]
    return reduce(add, (weight * _find(name, device, dtype) for weight, name in named))


def _parse_term(term: str, text: str) -> tuple[float, str]:
    match = _TERM.fullmatch(term)
    if match is None:
        raise ValueError(
            f"cannot read {term!r} in the reward {text!r}: terms are NAME or NUMBER*NAME, joined "
            "by ' + ' or ' - '"
        )
    weight = float(match["weight"] or 1)
    return -weight if match["sign"] == "-" else weight, match["name"]


def _find(name: str, device: str | torch.device, dtype: torch.dtype) -> Reward:
    if name in PLAIN:
        return as_reward(PLAIN[name])
    published, _, folder = name.partition("@")
    if published in CATALOGUE:
        return load(published, folder or None, device=device, dtype=dtype)
    place, _, attribute = name.rpartition(":")
    if not place or not attribute:
        raise ValueError(
            f"unknown reward {name!r}: it must be one of {', '.join([*PLAIN, *CATALOGUE])}, "
            "package.module:object or path/to/file.py:object"
        )
    try:
        module = load_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except Exception as error:  # whatever the code of others raises
        raise ValueError(
            f"the reward {name!r} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    if not hasattr(module, attribute):
        raise ValueError(f"the reward {name!r} is not there: {place} has no {attribute!r}")
    found = getattr(module, attribute)
    return as_reward(found if isinstance(found, Reward | Mapping) else {attribute: found})


def load_file(path: Path) -> ModuleType:
    """Run a file as a module of its own, under a name that no other module has."""
    key = str(path.resolve())
    if key not in sys.modules:
        spec = importlib.util.spec_from_file_location(key, path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[key] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[key]
            raise
    return sys.modules[key]
