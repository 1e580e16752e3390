"""Resampling a weighted population."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

__all__ = ["effective_sample_size", "normalized_weights", "ssp_resample", "worst_if_nan"]


def worst_if_nan(reward: Tensor) -> Tensor:
    """Return rewards of which NaN is the lowest: what cannot be judged is not chosen."""
    return reward.nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf)


def normalized_weights(log_weights: Tensor) -> Tensor:
    """Return weights that sum to one, in double precision, of logarithms of any size.

    NaN has no weight; if nothing has any, all have the same.
    """
    known = worst_if_nan(log_weights.double())
    if bool((known == -math.inf).all()):
        known = torch.zeros_like(known)
    return torch.softmax(known, 0)


def effective_sample_size(weights: Tensor) -> float:
    """Return ``1 / sum w^2``: between one and the number of particles."""
    return float(1 / (weights**2).sum())


def ssp_resample(weights: Tensor, rng: np.random.Generator) -> Tensor:
    """Draw ancestors by the Srinivasan sampling process.

    Each particle gets ``N w`` children, rounded up or down at random with the right mean; equal
    weights give each one child. A particle with children keeps its place.

    Parameters
    ----------
    weights
        (N,), non-negative, of sum one.
    rng
        The only source of randomness.

    Returns
    -------
    Tensor of int64, (N,): the ancestor of each place.

    References
    ----------
    Gerber, Chopin and Whiteley, "Negative association, ordering and convergence of resampling
    methods", Annals of Statistics 47 (2019).

    Examples
    --------
    >>> ssp_resample(torch.tensor([0.5, 0.25, 0.25, 0.0]), np.random.default_rng(0))
    tensor([0, 1, 2, 0])
    """
    expected = weights.double().cpu().numpy() * len(weights)
    children = np.floor(expected + 1e-9)
    fraction = np.clip(expected - children, 0.0, 1.0)
    waiting = None  # the one particle whose fraction is undecided
    for j in np.flatnonzero(fraction > 1e-9):
        if waiting is None:
            waiting = j
            continue
        i = waiting
        up, down = min(1 - fraction[i], fraction[j]), min(fraction[i], 1 - fraction[j])
        # Mass moves between the two so that one is decided, and neither's mean changes.
        moved = up if rng.random() * (up + down) < down else -down
        fraction[i] += moved
        fraction[j] -= moved
        undecided = [k for k in (i, j) if 1e-9 < fraction[k] < 1 - 1e-9]
        waiting = undecided[0] if undecided else None
    counts = (children + np.rint(fraction)).astype(np.int64)
    ancestors = np.arange(len(counts))
    extra = np.repeat(ancestors, np.maximum(counts - 1, 0))
    ancestors[counts == 0] = extra
    return torch.from_numpy(ancestors)
