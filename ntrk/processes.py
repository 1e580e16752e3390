"""Particles over processes: each holds some, and all see the whole population when they must."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["Processes"]


class Processes:
    """The processes of `torch.distributed`, if it is initialised; else this one alone.

    `torchrun` and `accelerate` start them. Data that is exchanged is small, and goes through the
    host: any backend will do.
    """

    def __init__(self) -> None:
        self.alone = not (dist.is_available() and dist.is_initialized())
        self.rank = 0 if self.alone else dist.get_rank()
        self.size = 1 if self.alone else dist.get_world_size()

    def share(self, particles: int) -> range:
        """Return the numbers of the particles that live here: blocks of nearly equal length."""
        if particles < self.size:
            raise ValueError(
                f"particles must be at least the number of processes, {self.size}, got {particles}"
            )
        return range(particles * self.rank // self.size, particles * (self.rank + 1) // self.size)

    def gather_objects(self, item: Any) -> list[Any]:
        """Return the items of all processes, in their order."""
        if self.alone:
            return [item]
        items: list[Any] = [None] * self.size
        dist.all_gather_object(items, item)
        return items

    def gather(self, x: Tensor) -> Tensor:
        """Return the rows of all processes, on the device of `x`."""
        if self.alone:
            return x
        return torch.cat([rows.to(x.device) for rows in self.gather_objects(x.cpu())])

    def own(self, rows: Tensor) -> Tensor:
        """Return of all rows those of the particles that live here."""
        share = self.share(len(rows))
        return rows[share.start : share.stop]
