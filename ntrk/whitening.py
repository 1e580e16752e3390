"""Whitening operators by name: what NTRK does to a gradient before it becomes noise."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

import whitenoise as wn

__all__ = ["OPERATORS", "whitening_operator"]

Operator = Callable[..., Tensor]

OPERATORS: dict[str, str] = {
    "identity": "the raw gradient (Eq. 114)",
    "sphere": "scaled to norm sqrt(N) (Eq. 115)",
    "wgnc": "hard constraints on blocks of the spectrum (arXiv:2602.08646)",
    "paper": "one sweep of the paper's projections",
    "default": "what `whitenoise` recommends: the same, swept until it converges",
    "equalized": "the statistics of a draw of noise, diluted until typical",
}
"""The ablation of Figure 14, our default, and the one that `typicality` passes."""


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
    if whitening not in OPERATORS:
        raise ValueError(
            f"whitening must be one of {', '.join(OPERATORS)}, a Whitener or a function, got "
            f"{whitening!r}"
        )
    if whitening == "equalized":
        return wn.Equalizer(shape)
    operator: Operator = wn.Whitener(shape, preset=whitening)
    return operator
