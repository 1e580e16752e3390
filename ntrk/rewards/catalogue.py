"""Rewards by name: what each is, where its weights are, and how it is loaded."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .checkpoints import Checkpoints
from .interface import Reward, as_reward

__all__ = ["CATALOGUE", "Entry", "load", "table"]


@dataclass(frozen=True)
class Entry:
    """A reward that is loaded from published weights.

    Attributes
    ----------
    place
        ``module:class`` in `ntrk.rewards`; the class takes `Checkpoints`, and its module says its
        `REPOSITORIES`.
    measures
        In a few words.
    licence
        Of the weights.
    gigabytes
        To download.
    video
        Whether it sees videos, (batch, frames, 3, height, width), rather than images.
    """

    place: str
    measures: str
    licence: str
    gigabytes: float
    video: bool = False

    @property
    def repositories(self) -> tuple[str, ...]:
        """Of the weights, ``OWNER/NAME``."""
        found: tuple[str, ...] = self._module.REPOSITORIES
        return found

    @property
    def kind(self) -> Callable[..., Any]:
        """The class."""
        found: Callable[..., Any] = getattr(self._module, self.place.partition(":")[2])
        return found

    @property
    def _module(self) -> Any:
        return importlib.import_module(f".{self.place.partition(':')[0]}", __package__)


CATALOGUE: dict[str, Entry] = {
    "aesthetic": Entry("aesthetic:Aesthetic", "beauty, 1 to 10", "MIT, Apache-2.0 (head)", 1.7),
    "clip_likeness": Entry("likeness:ClipLikeness", "cosine with a picture", "MIT", 1.7),
    "countgd": Entry(
        "countgd:CountGD", "minus the error of a detector's count", "MIT, Apache-2.0 (base)", 0.9
    ),
    "hpsv2": Entry("hps:HPSv2", "image and prompt, about 0.27", "Apache-2.0", 2.0),
    "hpsv2.1": Entry("hps:HPSv21", "image and prompt, about 0.27", "Apache-2.0", 2.0),
    "imagereward": Entry(
        "imagereward:ImageReward", "image and prompt, about -2 to 2", "Apache-2.0", 1.8
    ),
    "pickscore": Entry("pickscore:PickScore", "image and prompt, about 0.2", "MIT", 3.9),
    "t2icount": Entry(
        "t2icount:T2ICount", "minus the error of the count", "none stated; OpenRAIL-M (base)", 4.3
    ),
    "vbench_aesthetic": Entry(
        "vbench_aesthetic:AestheticQuality", "beauty of frames, 0 to 1", "MIT", 1.7, video=True
    ),
    "vbench_background": Entry(
        "vbench_background:BackgroundConsistency",
        "frames alike to CLIP, 0 to 1",
        "MIT",
        0.6,
        video=True,
    ),
    "vbench_imaging": Entry(
        "vbench_imaging:ImagingQuality",
        "frames without noise and blur, 0 to 1",
        "Apache-2.0 (origin), PolyForm Noncommercial (repository)",
        0.1,
        video=True,
    ),
    "vbench_subject": Entry(
        "vbench_subject:SubjectConsistency",
        "frames alike to DINO, 0 to 1",
        "Apache-2.0",
        0.4,
        video=True,
    ),
    "videoreward": Entry(
        "videoreward:VideoReward", "quality, motion and text", "Apache-2.0", 5.0, video=True
    ),
    "vlm": Entry("question:Question", "probability of an answer", "Apache-2.0", 16.6),
    "vqascore": Entry("vqascore:VQAScore", "probability of yes", "Apache-2.0, MIT (CLIP)", 24.6),
}
"""By name."""


def load(
    name: str,
    folder: str | os.PathLike[str] | None = None,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    gradient_checkpointing: bool = False,
    **kwargs: Any,
) -> Reward:
    """Load a reward from published weights.

    Parameters
    ----------
    name
        A key of `CATALOGUE`.
    folder
        Holds the repositories of its weights as ``OWNER/NAME``; None for the hub, or its cache.
    device, dtype
        Of the weights. Images may be of another dtype; scores are float32, or finer.
    gradient_checkpointing
        Whether layers compute again, when the gradient is taken, what they need for it, rather than
        keep it: less memory for more time. The U-Net of ``t2icount`` does not offer it, and the
        frames of VBench's videos are computed again in any case.
    **kwargs
        For the reward's class, such as the ``image`` of ``clip_likeness``.

    Returns
    -------
    Reward
        Of one term, whose name is `name`. Its weights are frozen, and shared with other rewards
        that are there and need the same.

    Raises
    ------
    ValueError
        If there is no such reward, or a file does not hold its weights.
    OSError
        If weights are not there; the message says how to get them.
    """
    if name not in CATALOGUE:
        raise ValueError(f"name must be one of {', '.join(CATALOGUE)}, got {name!r}")
    if folder is not None and not Path(folder).is_dir():
        raise OSError(f"folder must be a folder that is there, got {str(folder)!r}")
    checkpoints = Checkpoints(
        Path(folder) if folder else None, dtype, device, gradient_checkpointing
    )
    return as_reward({name: CATALOGUE[name].kind(checkpoints, **kwargs)})


def table() -> str:
    """Return the catalogue as a table in Markdown."""
    rows = [
        "| name | score | weights | licence | GB | sees | gradient |",
        "|---|---|---|---|---:|---|---|",
    ]
    for name, entry in CATALOGUE.items():
        gradient = "yes" if getattr(entry.kind, "differentiable", True) else "no"
        sees = "videos" if entry.video else "images"
        weights = ", ".join(f"`{repository}`" for repository in entry.repositories)
        rows.append(
            f"| `{name}` | {entry.measures} | {weights} | {entry.licence} | {entry.gigabytes:g} | "
            f"{sees} | {gradient} |"
        )
    return "\n".join(rows) + "\n"
