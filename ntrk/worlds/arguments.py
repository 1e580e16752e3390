"""What the worlds are given: numbers, and rows of numbers."""

from __future__ import annotations

import math
from typing import Any

import torch

__all__ = ["as_number", "as_numbers", "as_rows"]

Tensor = Any


def as_numbers(name: str, value: Any) -> Tensor:
    """Return finite float64 numbers, a copy."""
    numbers = torch.as_tensor(value, dtype=torch.float64).detach().clone()
    if not numbers.isfinite().all():
        raise ValueError(f"{name} must be finite, got {numbers[~numbers.isfinite()][0]}")
    return numbers


def as_number(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """Return one finite number in ``[low, high]``."""
    if isinstance(value, torch.Tensor) and value.numel() != 1:
        raise ValueError(f"{name} must be one number, got shape {tuple(value.shape)}")
    number = float(value)
    if not (math.isfinite(number) and low <= number <= high):
        raise ValueError(f"{name} must be a finite number in [{low}, {high}], got {number}")
    return number


def as_rows(name: str, x: Tensor, size: int) -> Tensor:
    """Flatten ``(batch, *shape)`` into float64 rows of `size` numbers."""
    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        kind = getattr(x, "dtype", type(x).__name__)
        raise TypeError(f"{name} must be a floating-point tensor, got {kind}")
    if x.ndim == 0 or math.prod(x.shape[1:]) != size:
        shape = tuple(x.shape)
        raise ValueError(
            f"{name} must have shape (batch, *shape), {size} numbers a row, got {shape}"
        )
    return x.reshape(len(x), size).to(torch.float64)
