"""Random numbers beside an array: a counter-based generator, the same on every backend.

A call takes one 64-bit seed from whatever the caller passed as `rng`; everything drawn afterwards
is a function of that seed, of the number of the draw, and of the index of the entry. So a result
does not depend on the backend, on whether there were ties, or on the order in which kernels run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ._namespace import Array, array_namespace, seed_words

__all__ = ["RandomSource", "Stream"]

_MASK = 0xFFFFFFFF


def mixed(x: Any) -> Any:
    """Scramble 32-bit integers, held in Python integers or an int64 array: a bijection.

    Notes
    -----
    The constants are C. Wellons's ``lowbias32``, found by a search for those with which each bit of
    `x` flips each bit of the result nearly half of the time (nullprogram.com, "Prospecting for hash
    functions", 2018).
    """
    x = x ^ (x >> 16)
    x = _times(x, 0x7FEB352D)
    x = x ^ (x >> 15)
    x = _times(x, 0x846CA68B)
    return x ^ (x >> 16)


def _times(x: Any, factor: int) -> Any:
    """Product modulo 2^32 of 32-bit integers, without overflow of int64."""
    high = ((x >> 16) * factor) & 0xFFFF
    return ((x & 0xFFFF) * factor + (high << 16)) & _MASK


@dataclass(frozen=True)
class Stream:
    """One draw of a `RandomSource`: random numbers by index.

    The number of entry k is ``mixed(mixed(k ^ first) + second)``, a bijection of 32-bit integers:
    the numbers of one stream are distinct.
    """

    first: Any
    second: Any
    like: Array

    def keys(self, shape: tuple[int, ...]) -> Array:
        """Distinct random integers in [0, 2^32), int64; they repeat beyond 2^32 entries."""
        return self._keys_at(self._index(shape))

    def normal(self, shape: tuple[int, ...]) -> Array:
        """Draw standard normals in the dtype of `like`."""
        return self.normal_at(self._index(shape))

    def normal_at(self, index: Array) -> Array:
        """Draw the standard normals of some entries, by the Box-Muller transform."""
        xp = array_namespace(self.like)
        other = Stream(self.second, mixed(self.first), self.like)
        radius, angle = (
            (xp.astype(keys, self.like.dtype) + 0.5) * 2.0**-32
            for keys in (self._keys_at(index), other._keys_at(index))
        )
        # Rounding in float32 may reach 1, whose logarithm is zero: still a valid radius.
        return xp.sqrt(-2 * xp.log(radius)) * xp.cos(2 * math.pi * angle)

    def _index(self, shape: tuple[int, ...]) -> Array:
        xp = array_namespace(self.like)
        index = xp.arange(math.prod(shape), dtype=xp.int64, device=self.like.device)
        return xp.reshape(index, shape)

    def _keys_at(self, index: Array) -> Array:
        return mixed((mixed((index & _MASK) ^ self.first) + self.second) & _MASK)


class RandomSource:
    """Streams of random numbers from one seed.

    Parameters
    ----------
    rng
        None (fresh entropy), an integer seed, a ``numpy.random.Generator``, or the generator of the
        array's own backend (``torch.Generator`` on the same device, ``cupy.random.Generator``). A
        generator is advanced by one draw, whether or not anything random is needed.
    like
        Array whose backend, device and dtype the numbers take.
    beside
        Array whose backend `rng` may be of, if not `like`.

    Notes
    -----
    The seed of a generator on another device stays there: the host does not wait for it.
    """

    def __init__(self, rng: Any, like: Array, beside: Array | None = None) -> None:
        self._like = like
        self._words = seed_words(rng, like if beside is None else beside)
        self._drawn = 0

    def stream(self) -> Stream:
        """Return the next stream. Ask for as many whatever the data, or later ones shift."""
        self._drawn += 1
        first, second = self._words
        first = mixed(first ^ mixed(self._drawn))
        return Stream(first, mixed((second + first) & _MASK), self._like)
