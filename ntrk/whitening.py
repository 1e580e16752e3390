"""Whitening operators by name: what NTRK does to a gradient before it becomes noise."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

import whitenoise as wn
from whitenoise import presets

__all__ = ["OPERATORS", "versioned", "whitening_operator"]

Operator = Callable[..., Tensor]

OPERATORS: dict[str, str] = {
    "identity": "the raw gradient (Eq. 114)",
    "sphere": "scaled to norm sqrt(N) (Eq. 115)",
    "wgnc": "hard constraints on blocks of the spectrum (arXiv:2602.08646)",
    "paper": "one sweep of the paper's projections",
    "default-1": "the same, swept until it converges",
    "default": "what `whitenoise` recommends: the statistics of a draw of noise, typical",
}
"""The ablation of Figure 14, and our defaults. Presets of `whitenoise` may name their version."""

_OURS = ("identity", "sphere", "wgnc")


def versioned(whitening: str) -> str:
    """Return the name of an operator with its version, if it is a preset of `whitenoise`.

    Examples
    --------
    >>> versioned("default"), versioned("sphere")
    ('default-2', 'sphere')
    """
    if whitening in _OURS:
        return whitening
    try:
        return presets.versioned(whitening)
    except ValueError:
        raise ValueError(
            f"whitening must be one of {', '.join(OPERATORS)}, a Whitener or a function, got "
            f"{whitening!r}"
        ) from None


def whitening_operator(whitening: str | Operator, shape: tuple[int, ...]) -> Operator:
    """Return ``W(gradient, rng=generator)`` for gradients of one particle, of shape `shape`.

    Parameters
    ----------
    whitening
        A key of `OPERATORS`, a `whitenoise.Whitener`, or a function like one.
    shape
        Of one gradient.

    Examples
    --------
    >>> import torch
    >>> W = whitening_operator("sphere", (4,))
    >>> W(torch.tensor([3.0, 0.0, 0.0, 4.0]))
    tensor([1.2000, 0.0000, 0.0000, 1.6000])
    """
    if callable(whitening):
        return whitening
    if whitening == "identity":
        return lambda x, rng=None: x
    if whitening == "sphere":
        return lambda x, rng=None: wn.project_sphere(x, rng=rng)
    if whitening == "wgnc":
        return lambda x, rng=None: wn.baselines.wgnc(x, rng=rng)
    operator: Operator = wn.Whitener(shape, preset=versioned(whitening))
    return operator
