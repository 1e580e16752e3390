"""States (rows, *shape) with one number a row."""

from __future__ import annotations

from torch import Tensor

__all__ = ["per_row", "squared_norm"]


def per_row(values: Tensor, states: Tensor) -> Tensor:
    """Return one value a row, on the device of `states`, shaped so that it broadcasts with them."""
    return values.to(states.device).reshape(-1, *[1] * (states.ndim - 1))


def squared_norm(states: Tensor) -> Tensor:
    """Return the squared norm of each row in double precision, on the host as rewards are."""
    return (states.double() ** 2).flatten(1).sum(1).cpu()
