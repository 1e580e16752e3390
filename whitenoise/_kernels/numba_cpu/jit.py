"""How the kernels are compiled."""

from __future__ import annotations

from typing import Any

from numba import njit

__all__ = ["kernel"]


def kernel(function: Any) -> Any:
    """Compile a function: without Python's lock, kept on disk, dividing by zero as NumPy does."""
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return njit(function, cache=True, **options)
    except RuntimeError:  # nowhere to write: every process compiles for itself
        return njit(function, **options)
