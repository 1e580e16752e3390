"""How far the law of a sample is from a known one."""

from __future__ import annotations

from typing import Any

import torch
from scipy.spatial import cKDTree

from .arguments import as_rows
from .gaussian_mixture import GaussianMixture

__all__ = ["divergence"]

Tensor = Any

_NEIGHBOUR = 5  # the neighbour whose distance is taken
_REFERENCES = 8  # exact samples that the given one is compared with


def divergence(samples: Tensor, mixture: GaussianMixture, generator: torch.Generator) -> float:
    """Estimate the Kullback-Leibler divergence of the law of `samples` from `mixture`, in nats.

    Parameters
    ----------
    samples
        ``(n, *shape)`` independent draws, more than five.
    mixture
        The exact law.
    generator
        For the exact samples of the reference.

    Notes
    -----
    The density at each point is estimated from the distance to its fifth neighbour (Kozachenko and
    Leonenko, 1987), after scaling to unit covariance; its mean logarithm less that of the exact
    density estimates the divergence, up to a bias. The same statistic, averaged over eight exact
    samples of the same size, is subtracted. So the bias is zero where the law is exact (estimates
    then scatter about zero, some below), in any dimension, and where both laws are Gaussian and
    differ in mean or scale. Other laws keep a bias that grows with the dimension: for many
    dimensions compare `GaussianMixture.projected` laws. A point that stands more than five times in
    `samples` is an atom, and makes the result infinite.
    """
    rows = as_rows("samples", samples, mixture.size).detach()
    if len(rows) <= _NEIGHBOUR or not rows.isfinite().all():
        finite = int(rows.isfinite().all(1).sum())
        raise ValueError(
            f"samples must be 6 or more rows, all finite; got {len(rows)}, {finite} of them finite"
        )
    scale = torch.linalg.cholesky(mixture.covariance())

    def statistic(points: Tensor) -> Tensor:
        scaled = torch.linalg.solve_triangular(scale, points.T, upper=False).T.cpu().numpy()
        radii = cKDTree(scaled).query(scaled, [_NEIGHBOUR + 1])[0]  # a point is its own first
        log_radius = torch.from_numpy(radii).log().mean()
        return -mixture.size * log_radius - mixture.log_density(points).mean()

    exact = [statistic(mixture.sample(len(rows), generator)) for _ in range(_REFERENCES)]
    return float(statistic(rows) - sum(exact) / _REFERENCES)
