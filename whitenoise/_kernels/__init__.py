"""Fast paths: kernels written for one kind of array, and the one table that chooses them.

The generic implementation, in the array API, is the reference. A module of this package may offer
any of the operations below for the arrays of its row in `PATHS`; what it does not offer, and every
other array, goes the generic way. Nothing ever moves to another device.

A module offers functions by these names, with arrays of working dtype (float32 or float64), the
vector along the last axis and any batch before it:

``two_level(vectors, lower, upper, row_ties, column_ties)``
    `two_level.nearest_doubly_sorted` without exchanges: the point, its distance and the lower
    bound, both in float64. The point has the same bits as on the generic path, ties included (but
    for the sign of a zero that lies on a bound that is zero). The bounds are (M, D) matrices whose
    transposes are contiguous.
``tile_fields(vectors, tile_size)``
    ``sqrt(b)`` times the mean, and the norm of the centred part, of each tile.
``move_tiles(vectors, tile_size, fields, typical, ties)``
    Tiles moved from the statistics `fields` to `typical`, both pairs as from ``tile_fields``; a
    tile whose two statistics stay the same keeps its bits, and a constant one takes the direction
    that the generic path would give it.
``butterfly(x, repeats, tile_size, adjoint)``, ``real_fourier(x, adjoint)``, ``cosine(x, adjoint)``
    The isometries of these names along the last axis; the butterfly with the same bits as on the
    generic path.

and, if its kernels take long to compile,

``is_ready(operation, x)``
    Whether the kernel may be called now; until then the generic implementation is.
``compile_kernels(x)``
    Compile all kernels for arrays like `x`, and wait for that.

Input is finite or, on a device that cannot say so without being waited for, zero where it is not.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

from .._namespace import Array, device_kind, tracks_gradient

__all__ = ["PATHS", "Path", "compile_kernels", "find", "generic_path", "kernel_path"]


@dataclass(frozen=True)
class Path:
    """A module of kernels, the arrays that it serves, and the package that it needs."""

    name: str
    serves: tuple[tuple[str, str], ...]
    """Pairs of backend and kind of device."""
    requires: str


PATHS = (
    Path("numba_cpu", (("numpy", "cpu"), ("torch", "cpu")), requires="numba"),
    Path("triton_cuda", (("torch", "cuda"),), requires="triton"),
    Path("cupy_cuda", (("cupy", "cuda"),), requires="cupy"),
)

_only_generic: ContextVar[bool] = ContextVar("only_generic", default=False)


def kernel_path(x: Array) -> str:
    """Say which implementation serves `x`.

    Parameters
    ----------
    x
        Array of a supported backend.

    Returns
    -------
    str
        ``"numba_cpu"``, ``"triton_cuda"`` or ``"cupy_cuda"``; ``"generic"`` if the package that the
        kernels need is not installed, if `x` tracks gradients, or within `generic_path`.

    Examples
    --------
    >>> import numpy as np
    >>> with generic_path():
    ...     kernel_path(np.ones(3))
    'generic'
    """
    path = _path(x)
    return path.name if path else "generic"


@contextmanager
def generic_path() -> Iterator[None]:
    """Use the generic implementation for every array in the body: the reference, without kernels.

    Examples
    --------
    >>> import numpy as np
    >>> import whitenoise as wn
    >>> x = np.random.default_rng(0).standard_normal(4096)
    >>> fast = wn.project_2os(3 * x, 16, rng=0)
    >>> with generic_path():
    ...     reference = wn.project_2os(3 * x, 16, rng=0)
    >>> np.array_equal(fast, reference)
    True
    """
    token = _only_generic.set(True)
    try:
        yield
    finally:
        _only_generic.reset(token)


def compile_kernels(x: Array) -> None:
    """Compile the kernels for arrays like `x` now, and wait for that.

    Without this, kernels for the CPU compile beside the first calls, which go the generic way and
    have the same results; the outcome is kept on disk, in ``NUMBA_CACHE_DIR`` or beside the
    package. Worth calling where an image of a machine is built, and before timing anything.

    Parameters
    ----------
    x
        Array of a supported backend, of float32 or float64; others work in float32.

    Examples
    --------
    >>> import numpy as np
    >>> compile_kernels(np.ones(1, np.float32))
    """
    path = _path(x)
    wait = getattr(_module(path.name), "compile_kernels", None) if path else None
    if wait:
        wait(x)


def find(operation: str, x: Array) -> Callable[..., Any] | None:
    """Return the kernel for `operation` on arrays like `x`, or None if there is none."""
    path = _path(x)
    module = _module(path.name) if path else None
    kernel: Callable[..., Any] | None = getattr(module, operation, None)
    is_ready = getattr(module, "is_ready", None)
    return kernel if kernel and (not is_ready or is_ready(operation, x)) else None


def _path(x: Array) -> Path | None:
    if _only_generic.get() or tracks_gradient(x):
        return None
    kind = device_kind(x)
    return next((p for p in PATHS if kind in p.serves and _installed(p.requires)), None)


@cache
def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


@cache
def _module(name: str) -> Any:
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        return None
