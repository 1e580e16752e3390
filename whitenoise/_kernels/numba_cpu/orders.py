"""Order of one sequence by value, and random order among equal values."""

from __future__ import annotations

from typing import Any

import numpy as np

from .jit import kernel
from .sorting import radix_sort

__all__ = ["order_by_value", "order_ties"]


@kernel
def _mixed(x: Any) -> Any:
    x = np.uint32(x)
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x = np.uint32(x ^ (x >> np.uint32(15)))
    x = np.uint32(x * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@kernel
def random_key(index: Any, keys: Any) -> Any:
    """Number of entry `index` of a `Stream` with these two words, see `whitenoise._random`."""
    return _mixed(_mixed(np.uint32(index) ^ np.uint32(keys[0])) + np.uint32(keys[1]))


@kernel
def _word(upper: Any, lower: Any) -> Any:
    return (np.uint64(upper) << np.uint64(32)) | np.uint64(lower)


@kernel
def order_by_value(bits: Any, top: Any, order: Any, words: Any, spare: Any, counts: Any) -> None:
    """Stably sort the sequence `order` of indices by the floating numbers that have these `bits`.

    `top` is the sign bit, in the type of the bits. Float64 takes two radix sorts, by the lower and
    then by the upper half.
    """
    size = order.shape[0]
    for half in range(bits.itemsize // 4):
        for k in range(size):
            raw = bits[order[k]]
            if raw == top:
                raw ^= top  # -0 is 0
            # Negative numbers in reverse, below positive ones: the order of unsigned integers.
            key = np.uint64(~raw if raw & top else raw | top)
            if half == 1:
                key >>= np.uint64(32)
            words[k] = _word(key & np.uint64(0xFFFFFFFF), order[k])
        ordered = radix_sort(words[:size], spare[:size], counts)
        for k in range(size):
            order[k] = np.uint32(ordered[k])


@kernel
def order_ties(
    values: Any, order: Any, offset: Any, keys: Any, words: Any, spare: Any, counts: Any
) -> None:
    """Put the items `order` of equal `values`, which increase, into the order of their keys.

    The key of item k is that of entry ``offset + k`` of a stream.
    """
    size = order.shape[0]
    start = 0
    for k in range(1, size + 1):
        if k == size or values[k] != values[start]:
            if k - start > 1:
                _order_run(order[start:k], offset, keys, words, spare, counts)
            start = k


@kernel
def _order_run(order: Any, offset: Any, keys: Any, words: Any, spare: Any, counts: Any) -> None:
    size = order.shape[0]
    for k in range(size):
        words[k] = _word(random_key(offset + order[k], keys), order[k])
    ordered = words[:size]
    if size > 128:
        ordered = radix_sort(ordered, spare[:size], counts)
    else:
        for k in range(1, size):
            word, place = words[k], k
            while place > 0 and word < words[place - 1]:
                words[place] = words[place - 1]
                place -= 1
            words[place] = word
    for k in range(size):
        order[k] = np.uint32(ordered[k])
