"""A least-recently-used cache bounded by the bytes it holds, for tables of bounds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any

__all__ = ["ByteCache"]


class ByteCache:
    """Keep the most recently used results, at most `max_bytes` of them in total.

    A result larger than the whole cache is returned and not kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._held = 0
        self._lock = Lock()

    @property
    def held_bytes(self) -> int:
        """Bytes held now."""
        return self._held

    def get(self, key: Hashable, make: Callable[[], Any], size: Callable[[Any], int]) -> Any:
        """Return the result stored under `key`, making it (and weighing it) if it is not there."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key][0]
        value = make()
        weight = size(value)
        with self._lock:
            if key not in self._entries and weight <= self.max_bytes:
                self._entries[key] = (value, weight)
                self._held += weight
                while self._held > self.max_bytes:
                    self._held -= self._entries.popitem(last=False)[1][1]
        return value
