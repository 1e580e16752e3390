"""Families of statistics, one file each."""

from __future__ import annotations

from ..family import Family
from .marginal import Marginal

__all__ = ["FAMILIES"]

FAMILIES: tuple[type[Family], ...] = (Marginal,)
"""All families, in the order of a report."""
