"""Fast paths for CuPy arrays: CUDA C, compiled by NVRTC once a process, module, dtype and device.

Every operation is a fixed number of launches for a shape (see `Launcher`), on CuPy's current
stream, without waiting for the device; results have the same bits each time. Once an operation has
run on a shape, so that its kernels and FFT plans exist, a CUDA graph can capture it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import numpy as np

from ..._namespace import Array
from .launch import MODULES, Launcher, Sizes, source

__all__ = [
    "butterfly",
    "compile_kernels",
    "move_tiles",
    "real_fourier",
    "tile_fields",
    "two_level",
]


class _CuPy:
    """The `Device` of CuPy arrays."""

    @property
    def xp(self) -> Any:
        return importlib.import_module("cupy")

    def sizes(self, dtype: Any) -> Sizes:
        return Sizes.of(dtype)

    def address(self, array: Array) -> int:
        return int(array.data.ptr)

    def launch(self, module: str, kernel: str, dtype: Any, blocks: int, *args: Any) -> None:
        function = _compiled(module, np.dtype(dtype).name).get_function(kernel)
        function((blocks,), (self.sizes(dtype).threads,), args)


@cache
def _compiled(module: str, dtype: str) -> Any:
    # Products and sums are rounded one by one, as on the generic path.
    options = ("--std=c++17", "--fmad=false", *Sizes.of(dtype).definitions)
    return importlib.import_module("cupy").RawModule(code=source(module), options=options)


def _beside(operation: Callable[..., Any]) -> Callable[..., Any]:
    """Launch on the device of the first argument, which need not be the current one."""

    @wraps(operation)
    def launched(x: Array, *args: Any, **kwargs: Any) -> Any:
        with x.device:
            return operation(x, *args, **kwargs)

    return launched


_launcher = Launcher(_CuPy())

two_level = _beside(_launcher.two_level)
tile_fields = _beside(_launcher.tile_fields)
move_tiles = _beside(_launcher.move_tiles)
butterfly = _beside(_launcher.butterfly)
real_fourier = _beside(_launcher.real_fourier)


@_beside
def compile_kernels(x: Array) -> None:
    """Compile the kernels for arrays like `x`; CuPy keeps the outcome on disk."""
    for module in MODULES:
        _compiled(module, "float64" if x.dtype == np.float64 else "float32").compile()
