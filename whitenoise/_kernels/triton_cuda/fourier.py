# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"
"""The compact real Fourier transform: the device's library, and one pass to pack and scale.

Torch keeps the plans of cuFFT.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .launch import launch

__all__ = ["real_fourier"]

_BLOCK = 1024


def real_fourier(x: torch.Tensor, *, adjoint: bool) -> torch.Tensor:
    """`isometries.RealFourier` along the last axis."""
    n = x.shape[-1]
    if adjoint:
        packed = x.contiguous()
        spectrum = x.new_empty(*x.shape[:-1], n // 2 + 1, 2)
        _for_each(_unpack, packed, spectrum, n)
        return torch.fft.irfft(torch.view_as_complex(spectrum), n=n, dim=-1, norm="forward")
    spectrum = torch.view_as_real(torch.fft.rfft(x, dim=-1).contiguous())
    packed = torch.empty_like(x, memory_format=torch.contiguous_format)
    _for_each(_pack, spectrum, packed, n)
    return packed


def _for_each(kernel: object, given: torch.Tensor, result: torch.Tensor, n: int) -> None:
    """Run one thread for each entry of the result."""
    grid = (triton.cdiv(result.numel(), _BLOCK),)
    launch(kernel, grid, _BLOCK, given, result, result.numel(), n, BLOCK=_BLOCK)


@triton.jit
def _pack(spectrum, packed, size, n, BLOCK: tl.constexpr):
    entry = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    row, place = entry // n, (entry % n).to(tl.int32)
    n_pairs = (n - 1) // 2
    n_real = n - 2 * n_pairs  # X_0 and, if n is even, X_{n/2}
    is_imaginary = place >= n_real + n_pairs
    frequency = tl.where(is_imaginary, place - n_real - n_pairs, place - n_real) + 1
    frequency = tl.where(place < n_real, place * (n // 2), frequency)
    at = 2 * (row * (n // 2 + 1) + frequency) + is_imaginary.to(tl.int32)
    value = tl.load(spectrum + at, mask=entry < size, other=0.0)
    scale = tl.where(place < n_real, _root(1, n, value), _root(2, n, value))
    tl.store(packed + entry, value * scale, mask=entry < size)


@triton.jit
def _unpack(packed, spectrum, size, n, BLOCK: tl.constexpr):
    entry = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    row, place = entry // (2 * (n // 2 + 1)), (entry % (2 * (n // 2 + 1))).to(tl.int32)
    frequency, is_imaginary = place // 2, place % 2
    n_pairs = (n - 1) // 2
    n_real = n - 2 * n_pairs
    is_real = (frequency == 0) | (2 * frequency == n)
    at = n_real + is_imaginary * n_pairs + frequency - 1
    at = tl.where(is_real, (frequency > 0).to(tl.int32), at)
    exists = (entry < size) & ((is_imaginary == 0) | (is_real == 0))
    value = tl.load(packed + row * n + at, mask=exists, other=0.0)
    scale = tl.where(is_real, _root(1, n, value), _root(1, 2 * n, value))
    tl.store(spectrum + entry, value * scale, mask=entry < size)


@triton.jit
def _root(numerator: tl.constexpr, denominator, like):
    """Square root of a quotient, in the dtype of `like`."""
    square = tl.full((), numerator, tl.float64) / denominator
    return tl.sqrt(square).to(like.dtype)
