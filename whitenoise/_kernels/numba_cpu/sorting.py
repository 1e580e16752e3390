"""Sorting for the kernels: networks across sixteen rows at a time, and radix sort of one sequence.

The radix sort is stable; a network is not, and its caller puts runs of equal values in order
afterwards.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from .jit import kernel
from .lanes import compare_exchange

__all__ = ["COUNTS", "radix_sort", "sort_lanes", "sorting_network"]

_RADIX = 2048
COUNTS = 3 * _RADIX
"""Entries that `radix_sort` needs for counting."""


@cache
def sorting_network(size: int) -> np.ndarray[Any, Any]:
    """Pairs (i, j), i < j, whose compare-exchanges in turn sort any `size` values.

    Batcher's merge exchange (Knuth, The Art of Computer Programming 3, Algorithm 5.2.2M), about
    ``size * log2(size)**2 / 4`` pairs.
    """
    pairs: list[tuple[int, int]] = []
    top = 1 << max((size - 1).bit_length() - 1, 0)
    stride = top if size > 1 else 0
    while stride:
        q, remainder, distance = top, 0, stride
        while True:
            pairs += [(i, i + distance) for i in range(size - distance) if i & stride == remainder]
            if q == stride:
                break
            distance, q, remainder = q - stride, q // 2, stride
        stride //= 2
    return np.array(pairs, dtype=np.int32).reshape(-1, 2)


@kernel
def sort_lanes(values: Any, items: Any, network: Any) -> None:
    """Sort each column of `values`, shape (D, LANES), and take `items` along."""
    for pair in range(network.shape[0]):
        compare_exchange(values, items, np.intp(network[pair, 0]), np.intp(network[pair, 1]))


@kernel
def radix_sort(words: Any, spare: Any, counts: Any) -> Any:
    """Sort 64-bit `words` by their upper halves, keeping the order of equal ones.

    Returns the sorted words, in the memory of `words` or of `spare`, which is as long. The lower
    half is what is sorted along: an index. `counts` has `COUNTS` entries. Three digits of 11 bits,
    all counted in one pass over the words; a digit that all share is skipped.
    """
    size = words.shape[0]
    mask = np.uint64(_RADIX - 1)
    for c in range(COUNTS):
        counts[c] = 0
    for k in range(size):
        word = words[k]
        counts[(word >> np.uint64(32)) & mask] += 1
        counts[np.uint64(_RADIX) + ((word >> np.uint64(43)) & mask)] += 1
        counts[np.uint64(2 * _RADIX) + (word >> np.uint64(54))] += 1
    for digit in range(3):
        base = np.uint64(digit * _RADIX)
        shift = np.uint64(32 + 11 * digit)
        if counts[base + ((words[0] >> shift) & mask)] == size:
            continue
        total = 0
        for c in range(digit * _RADIX, (digit + 1) * _RADIX):
            count = counts[c]
            counts[c] = total
            total += count
        for k in range(size):
            word = words[k]
            c = base + ((word >> shift) & mask)
            place = counts[c]
            counts[c] = place + np.uint32(1)
            spare[place] = word
        words, spare = spare, words
    return words
