"""Verification of Gaussian typicality: statistics with known null laws, and their report."""

from .detectable import Detectable, detectable
from .report import Finding, TypicalityReport
from .run import typicality
from .stream import TypicalityAccumulator

__all__ = [
    "Detectable",
    "Finding",
    "TypicalityAccumulator",
    "TypicalityReport",
    "detectable",
    "typicality",
]
