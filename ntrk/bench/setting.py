"""What all runs have in common: the model, the tasks, the machine; loaded once a process."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ..loading import hushed, load_pipeline
from ..rewards.spec import load_file
from .task import Task

__all__ = ["SHIPPED", "Bench", "Setting", "fingerprint", "load_tasks", "shipped_weights"]

SHIPPED = "ntrk.worlds.shapes"
_END = 2**20


@dataclass(frozen=True)
class Setting:
    """Where model and tasks are, and how they are called.

    Attributes
    ----------
    model
        Folder of a diffusers pipeline, or its name on the hub.
    tasks
        ``file.py:function`` or ``package.module:function``: what returns the dict of tasks.
    call
        Arguments of the pipeline's call.
    dtype, device
        Of the weights. A device is what Torch calls it.
    lora
        Folder of a low-rank adapter, or None.
    batch_size
        The most states that the model sees at once; None for all of a method.
    """

    model: str
    tasks: str
    call: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    device: str = "cpu"
    lora: str | None = None
    batch_size: int | None = None

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What the result of a run depends on, in values that JSON knows."""
        shipped = self.tasks.startswith(f"{SHIPPED}:")
        return {
            "model": fingerprint(self.model),
            "rewards": fingerprint(str(shipped_weights() / "rewards")) if shipped else self.tasks,
            "dtype": self.dtype,
            "call": dict(self.call),
        }

    @property
    def name(self) -> str:
        """Of the model: as it was given, or the same on every machine if it is the shipped one."""
        return SHIPPED if self.model == str(shipped_weights() / "pipeline") else self.model

    @cached_property
    def adapter(self) -> str | None:
        """The fingerprint of the adapter."""
        return self.lora and fingerprint(self.lora)


def shipped_weights() -> Path:
    """Return the folder of what ships with the package."""
    from ..worlds.shapes.pipeline import WEIGHTS

    return WEIGHTS


def fingerprint(model: str) -> str:
    """Return a hash of a folder: names, sizes, and both ends of each file.

    Parameters
    ----------
    model
        A folder; what is none, such as a name on the hub, is returned as it is.

    Examples
    --------
    >>> fingerprint("black-forest-labs/FLUX.1-dev")
    'black-forest-labs/FLUX.1-dev'
    """
    root = Path(model)
    if not root.is_dir():
        return model
    digest = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(root).as_posix()} {size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(_END))
            file.seek(max(size - _END, 0))
            digest.update(file.read(_END))
    return digest.hexdigest()[:16]


def load_tasks(spec: str) -> dict[str, Task]:
    """Return the tasks that a function makes.

    Parameters
    ----------
    spec
        As in `Setting`.

    Raises
    ------
    ValueError
        If it cannot be loaded, or returns something else; the message names it.
    """
    place, _, name = spec.rpartition(":")
    if not place or not name:
        raise ValueError(f"tasks must be file.py:function or package.module:function, got {spec!r}")
    try:
        is_file = place.endswith(".py")
        module = load_file(Path(place)) if is_file else importlib.import_module(place)
        found = getattr(module, name)()
    except Exception as error:  # whatever the code of others raises
        raise ValueError(
            f"the tasks {spec!r} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    if not (isinstance(found, Mapping) and found):
        raise ValueError(f"the tasks {spec!r} must be a dict with one or more, got {found!r}")
    for key, task in found.items():
        if not isinstance(task, Task) or task.name != key:
            raise ValueError(f"the tasks {spec!r} must map names to tasks, got {key!r}: {task!r}")
    return dict(found)


class Bench:
    """The model and the tasks of a setting, loaded when first used.

    Parameters
    ----------
    setting
        Where they are.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self._adapted = False

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """By name."""
        return load_tasks(self.setting.tasks)

    @cached_property
    def _pipe(self) -> Any:
        with hushed(bars=False):
            return load_pipeline(self.setting.model, self.setting.dtype).to(
                torch.device(self.setting.device)
            )

    def pipe(self, *, lora: bool) -> Any:
        """Return the pipeline, with the adapter or without."""
        pipe = self._pipe
        if lora and not self._adapted:
            with hushed(bars=False):
                pipe.load_lora_weights(self.setting.lora)
        elif self._adapted and not lora:
            pipe.unload_lora_weights()
        self._adapted = lora
        return pipe
