"""One projection of a whitening operator: a confidence set, seen through an isometry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np

from ._namespace import Array, Namespace
from ._random import RandomSource
from .isometries import Identity, Isometry
from .isometries.base import pulled_back, same_vectors
from .nearest import nearest
from .sets import ConfidenceSet, report

__all__ = ["Stage", "StageCertificate", "as_stage", "sweep"]


@dataclass(frozen=True)
class Stage:
    """One projection of a whitening operator: onto ``{x : Qx in C}``.

    Attributes
    ----------
    target
        The set C. If its unit (chunk or tiles) does not divide the length, the stage projects
        twice, onto C for the longest window at the start and onto C for that at the end: every
        entry lies in a full chunk of one of them, and most in one of both.
    isometry
        The isometry Q.
    """

    target: ConfidenceSet
    isometry: Isometry = field(default_factory=Identity)

    def __str__(self) -> str:
        return f"{self.target} in {self.isometry}"

    def windows(self, size: int) -> Iterator[slice]:
        """Windows of a vector of length `size` that the stage projects in turn."""
        length = size - size % self.target.unit
        yield slice(0, length)
        if length < size:
            yield slice(size - length, size)

    def check_size(self, size: int) -> None:
        """Raise ValueError if the stage is not defined for vectors of length `size`."""
        self.isometry.check_size(size)
        self.target.check_size(next(self.windows(size)).stop or size)

    def project(self, seen: Array, xp: Namespace, source: RandomSource) -> Array:
        """Project vectors of shape (..., N) in working dtype, already in the stage's domain."""
        size = int(seen.shape[-1])
        for window in self.windows(size):
            part = nearest(self.target, seen[..., window], xp, source).point
            if window.stop - window.start < size:
                ends = seen[..., : window.start], seen[..., window.stop :]
                part = xp.concat([ends[0], part, ends[1]], axis=-1)
            seen = part
        return seen

    def certify(self, vectors: Array, xp: Namespace, source: RandomSource) -> StageCertificate:
        """Say how far vectors of shape (..., N) are from the stage's sets."""
        seen = self.isometry.apply(vectors, xp)
        parts = [seen[..., window] for window in self.windows(int(vectors.shape[-1]))]
        found = [nearest(self.target, p, xp, source) for p in parts]
        inside = np.stack(
            [
                np.asarray(report(self.target.decide(f.lower_bound, p, xp)))
                for f, p in zip(found, parts, strict=True)
            ]
        )
        return StageCertificate(
            self,
            inside=inside.min(axis=0).astype(bool),
            distance=np.stack([report(f.distance) for f in found]).max(axis=0),
            lower_bound=np.stack([report(f.lower_bound) for f in found]).max(axis=0),
        )


@dataclass(frozen=True)
class StageCertificate:
    """How far a whitened vector is from the set of one stage; arrays of the batch shape.

    Attributes
    ----------
    stage
        The stage.
    inside
        Whether the vector is in the set (of both windows, if there are two).
    distance
        Euclidean distance to a point of the set: the set is no farther than this.
    lower_bound
        Proved lower bound of the distance to the set.
    """

    stage: Stage
    inside: Any
    distance: Any
    lower_bound: Any


def sweep(stages: Sequence[Stage], vectors: Array, xp: Namespace, source: RandomSource) -> Array:
    """Project vectors of shape (..., N) in working dtype onto each stage's set in turn.

    Neighbouring stages with the same isometry share one transform.
    """
    for isometry, group in groupby(stages, key=lambda stage: stage.isometry):
        y = isometry.apply(vectors, xp)
        kept = xp.ones((*y.shape[:-1], 1), dtype=xp.bool, device=y.device)
        for stage in group:
            # Compared stage by stage, so that no more than one image is held at a time.
            before, y = y, stage.project(y, xp, source)
            kept = kept & same_vectors(before, y, xp)
            del before
        if isinstance(isometry, Identity):
            vectors = y
        else:
            vectors = pulled_back(vectors, kept, y, isometry, xp)
    return vectors


def as_stage(stage: Any) -> Stage:
    """Return the stage that a set, a `Stage` or an ``(isometry, set)`` pair stands for."""
    if isinstance(stage, Stage):
        return stage
    if isinstance(stage, ConfidenceSet):
        return Stage(stage)
    if isinstance(stage, tuple) and len(stage) == 2:
        isometry, target = stage
        if isinstance(isometry, Isometry) and isinstance(target, ConfidenceSet):
            return Stage(target, isometry)
    raise TypeError(f"a stage must be a set, a Stage or an (isometry, set) pair, got {stage!r}")
