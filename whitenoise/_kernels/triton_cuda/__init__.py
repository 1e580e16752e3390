"""Torch on CUDA through Triton.

Kernels start without the host having waited for anything, and how many start does not depend on the
data, so that all of it can be captured in a CUDA graph (after one run that compiles). By operation:

==================  ================================================================================
``two_level``       1 for a matrix of up to 4096 entries, its sides rounded up to powers of two;
                    4 beyond; 4 and a ``torch.sort`` if it has more than 16384 rows, or than the
                    shared memory of the device holds keys of 64 bits. The last of them repairs
                    matrices that need other ranks than their own, one program each.
``tile_fields``     1 for tiles of a power of two of entries, up to 8192. The others are left to
``move_tiles``      operations of Torch, in a fixed number too.
``butterfly``       ``repeats`` divided by 11, or by the number of times that 2 divides the length
                    if that is less, rounded up. Odd lengths are left to operations of Torch.
``real_fourier``    1 besides cuFFT.
==================  ================================================================================

Vectors that are not contiguous are copied first.

Results have the same bits for the same input: no sum depends on the order in which programs run.
Points, tiles and butterflies have those of the generic path, but for the random directions of
constant tiles, which differ by the rounding of logarithm and cosine. Fourier coefficients differ by
a few roundings of the largest.

Two-level projections of float64, or with chunks of more than 4096, run the generic code, which does
wait for the device. Triton before 3.6 flushes denormal quotients to zero, so it is not used.
"""

from __future__ import annotations

import torch
import triton

from .butterfly import butterfly
from .fourier import real_fourier
from .tiles import move_tiles, tile_fields
from .two_level import two_level

__all__ = ["butterfly", "is_ready", "move_tiles", "real_fourier", "tile_fields", "two_level"]

_SERVES = tuple(int(part) for part in triton.__version__.split(".")[:2]) >= (3, 6)


def is_ready(operation: str, x: torch.Tensor) -> bool:
    """Whether this version of Triton serves."""
    return _SERVES
