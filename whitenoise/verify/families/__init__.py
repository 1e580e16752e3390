"""Families of statistics, one file each."""

from __future__ import annotations

from ..family import Family
from .autocorrelation import Autocorrelation
from .copies import Copies
from .covariance import Covariance, Rank
from .exactness import Exactness
from .hadamard import Hadamard
from .marginal import Marginal
from .polyphase import Polyphase
from .reflection import Reflection
from .spectrum import Spectrum
from .tiles import Tiles
from .two_level import TwoLevel
from .volatility import Volatility

__all__ = ["FAMILIES"]

FAMILIES: tuple[type[Family], ...] = (
    Marginal,
    Tiles,
    Spectrum,
    Hadamard,
    Autocorrelation,
    Volatility,
    Reflection,
    Covariance,
    Rank,
    Copies,
    Polyphase,
    Exactness,
    TwoLevel,
)
"""All families, in the order of a report."""
