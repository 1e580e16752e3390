"""Times that can be compared on a restless machine: calls take turns, and the shortest counts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

LEAST, MOST = 3, 300  # repeats


class Timing(NamedTuple):
    """Seconds of repeated calls."""

    repeats: int
    best: float
    median: float


def interleaved(
    calls: Mapping[str, Callable[[], object]],
    budget: float,
    longest: float = math.inf,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time calls in turn, A B A B ..., after each was called once to fill its caches.

    A slow spell of the machine then falls on all of them. A call is repeated until its times add up
    to `budget` seconds, at least 3 and at most 300 times; one whose first call takes more than
    `longest` seconds is left out.
    """

    def seconds(name: str) -> float:
        start = clock()
        calls[name]()
        return clock() - start

    times: dict[str, list[float]] = {name: [] for name in calls if seconds(name) <= longest}

    def unfinished(name: str) -> bool:
        taken = times[name]
        return len(taken) < LEAST or (sum(taken) < budget and len(taken) < MOST)

    while turn := [name for name in times if unfinished(name)]:
        for name in turn:
            times[name].append(seconds(name))
    return {
        name: Timing(len(taken), min(taken), float(np.median(taken)))
        for name, taken in times.items()
    }


class Patience:
    """Which calls would take too long, judged by the next smaller size: cost is nearly linear."""

    def __init__(self, longest: float) -> None:
        self.longest = longest
        self._last: dict[object, tuple[int, float]] = {}

    def allows(self, key: object, size: int) -> bool:
        """Whether a call on `size` values is expected to take at most the longest time."""
        known, seconds = self._last.get(key, (size, 0.0))
        return seconds * size / known <= self.longest

    def saw(self, key: object, size: int, seconds: float) -> None:
        self._last[key] = (size, seconds)
