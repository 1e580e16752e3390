# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"
"""Integers in the order of floats, and the random integers that order equal ones.

The arithmetic of `_random`, on unsigned integers that wrap around by themselves. A sort key is one
signed 64-bit integer, the value above, the tie below. The tie is a bijection of the entry's index,
so the sorted keys alone say where every entry came from.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..._random import Stream

__all__ = ["LAST", "index_of_key", "mixed", "packed", "random_key", "word", "words"]

LAST = tl.constexpr(0x7FFFFFFFFFFFFFFF)  # after the key of every finite float


def words(stream: Stream) -> tuple[Any, Any]:
    """Return the two words of `stream` as arguments of a kernel: int32, or tensors as they are."""
    return _argument(stream.first), _argument(stream.second)


def _argument(value: Any) -> Any:
    # A kernel is compiled anew for each type of an argument, so it is always the same one.
    return value - (value >> 31 << 32) if isinstance(value, int) else value


@triton.jit
def word(argument):
    """Read a word of a stream, which is a number or lies on the device."""
    value = tl.load(argument) if argument.dtype.is_ptr() else argument
    return value.to(tl.uint32)


@triton.jit
def packed(value, tie):
    """Sort key of float32 values, equal ones (0.0 and -0.0 among them) in the order of `tie`."""
    bits = tl.where(value == 0, 0.0, value).to(tl.int32, bitcast=True)
    increasing = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (increasing.to(tl.int64) << 32) | tie.to(tl.uint32).to(tl.int64)


@triton.jit
def random_key(index, first, second):
    """Random integer of entry `index`, as `Stream.keys`."""
    return mixed(mixed(index ^ first) + second)


@triton.jit
def index_of_key(key, first, second):
    """Entry whose random integer is `key`."""
    return _unmixed(_unmixed(key) - second) ^ first


@triton.jit
def mixed(x):
    """Scramble 32-bit integers: a bijection, `_random.mixed`."""
    x = x ^ (x >> 16)
    x = x * 0x7FEB352D
    x = x ^ (x >> 15)
    x = x * 0x846CA68B
    return x ^ (x >> 16)


@triton.jit
def _unmixed(x):
    # The factors are inverse to those of mixed modulo 2^32.
    x = x ^ (x >> 16)
    x = x * 0x43021123
    x = x ^ (x >> 15) ^ (x >> 30)
    x = x * 0x1D69E2A5
    return x ^ (x >> 16)
