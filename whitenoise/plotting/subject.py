"""What `check` draws: one vector of a report, and the place of the loudest finding in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .._namespace import normal_score_of_modulus, to_numpy
from ..reference import FloatArray
from ..verify.report import Finding, TypicalityReport
from ..verify.view import Layout
from .mosaic import Mosaic
from .style import GREY, RED

__all__ = ["Subject"]

# Where a finding belongs that names no place of its own.
_VIEWS = {
    "autocorrelation": "lags",
    "copies": "array",
    "covariance": "array",
    "exactness": "marginal",
    "hadamard": "array",
    "marginal": "marginal",
    "polyphase": "array",
    "rank": "array",
    "reflection": "array",
    "spectrum": "spectrum",
    "tiles": "tiles",
    "two_level": "marginal",
    "volatility": "lags",
}
_MAGNITUDES = "volatility"  # the family that looks at magnitudes
_LOG_ALARM = math.log(1e-3)  # log p-value below which marks are red


@dataclass(frozen=True)
class Subject:
    """A vector on the host and what was found in it."""

    x: FloatArray
    """Shape of the report, float64."""
    planes: tuple[int, int, int] | None
    """Shape (C, H, W) as images, None of a series."""
    report: TypicalityReport
    vector: tuple[int, ...] | None
    """Which vector of a batch it is."""

    @classmethod
    def of(cls, report: TypicalityReport) -> Subject:
        """Take the array of a report; of a batch the loudest vector, or the first of a pair."""
        source = report.source
        if source is None:
            raise ValueError("the report holds no array to draw: it comes from accumulated blocks")
        expected = report.batch + report.shape
        if tuple(source.shape) != expected:
            raise ValueError(
                f"source must have the shape of batch and vector, {expected}, got "
                f"{tuple(source.shape)}"
            )
        vector = None
        if report.batch:
            where = report.worst.where
            # A pair of vectors has an index for each.
            vector = where["vector"] if "vector" in where else where["index"][0]
            source = source[vector]
        x = to_numpy(source).reshape(report.shape)
        return cls(x, Layout(report.shape, report.dtype).planes, report, vector)

    @property
    def finding(self) -> Finding:
        """The finding that speaks loudest."""
        return self.report.worst

    @property
    def view(self) -> str | None:
        """The panel it belongs to."""
        return _view(self.finding)

    def where(self, view: str) -> Mapping[str, Any]:
        """Place of the loudest finding of a panel that names one, if it is significant.

        The loudest finding of all counts in any case.
        """
        for finding in self.report.findings:
            loudest = finding is self.finding
            if (
                _view(finding) == view
                and set(finding.where) - {"view", "vector"}
                and (loudest or finding.log_adjusted < _LOG_ALARM)
                and finding.where.get("vector") == self.vector
                and self._is_shown(finding)
            ):
                return finding.where
        return {}

    def _is_shown(self, finding: Finding) -> bool:
        """Whether the panel shows what the finding is about: magnitudes or values, lines or not."""
        if _view(finding) not in ("spectrum", "lags"):
            return True
        in_a_row = self.planes is not None and "line" in finding.where
        same_field = (finding.family == _MAGNITUDES) == self.of_magnitudes
        return same_field and in_a_row == self.in_a_row

    @property
    def in_a_row(self) -> bool:
        """Whether the finding is in the spectrum of the values of images in a row."""
        return self.planes is not None and "line" in self.finding.where

    @property
    def colour(self) -> str:
        """Of marks: red only if there is something to be alarmed about."""
        return RED if self.report.log_pvalue < _LOG_ALARM else GREY

    @cached_property
    def field(self) -> FloatArray:
        """What the panels of spectrum and lags show: the values, or their scores of magnitude."""
        if self.of_magnitudes:
            return np.asarray(np.clip(normal_score_of_modulus(self.x), -8.0, 40.0))
        return self.x

    @property
    def of_magnitudes(self) -> bool:
        """Whether the finding is about magnitudes."""
        return self.finding.family == _MAGNITUDES

    def images(self, values: FloatArray) -> FloatArray:
        """Values as images (C, H, W) or as a series (N,)."""
        return values.reshape(self.planes or -1)

    @cached_property
    def mosaic(self) -> Mosaic:
        """The images shown, with those that the finding names."""
        assert self.planes is not None
        return Mosaic(*self.planes, wanted=tuple(sorted(set(self._named_images()))))

    def _named_images(self) -> list[int]:
        tile, place = self.where("tiles"), self.where("array")
        named = [tile["index"][0]] if "index" in tile else []
        if "source" in place:
            named += [place["source"][0], place["target"][0]]
        elif self.x.ndim == 3 and place.get("axis") == 0:
            named += [int(i) for i in np.atleast_1d(place["index"])]
        return named

    @property
    def title(self) -> str:
        """Size and dtype."""
        shape = "x".join(map(str, self.report.shape))
        many = f"{math.prod(self.report.batch)} vectors of " if self.report.batch else ""
        return f"{many}{shape} {self.report.dtype}"


def _view(finding: Finding) -> str | None:
    view = finding.where.get("view", _VIEWS.get(finding.family))
    return "array" if view in ("covariance", "copies") else view
