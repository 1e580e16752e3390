"""Particles over processes: each holds some, and all see the whole population when they must."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["Processes", "launched"]

# The process with the fewest particles waits for the others, as long as a particle takes; if one of
# them dies, its launcher ends them all.
_PATIENCE = timedelta(days=7)


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


@contextmanager
def launched(device: str = "auto") -> Iterator[torch.device]:
    """Join the processes that `torchrun` started, if it did, and leave them at the end.

    Parameters
    ----------
    device
        ``"cpu"``, ``"cuda"``, or ``"auto"`` for CUDA if it is there.

    Yields
    ------
    torch.device
        That of this process. Processes of one machine take its GPUs in turn.

    Raises
    ------
    ValueError
        If there is no such device.
    """
    gpus = torch.cuda.device_count()
    if device not in ("auto", "cpu", "cuda") or (device == "cuda" and not gpus):
        raise ValueError(f"device must be one that is there, auto, cpu or cuda, got {device!r}")
    place = torch.device("cpu")
    if device != "cpu" and gpus:
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)) % gpus)
        torch.cuda.set_device(place)
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield place
        return
    # NCCL refuses two processes on one GPU.
    apart = place.type == "cuda" and gpus >= int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    dist.init_process_group("nccl" if apart else "gloo", timeout=_PATIENCE)
    try:
        yield place
    finally:
        dist.destroy_process_group()
