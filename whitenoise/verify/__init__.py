"""Verification of Gaussian typicality: statistics with known null laws, and their report."""

from .report import Finding, TypicalityReport
from .run import typicality

__all__ = ["Finding", "TypicalityReport", "typicality"]
