"""What a run switches in a pipeline for its time, and says of it: bars, memory, names."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .schedulers import check_scheduler

__all__ = ["default_diffusion", "describe_pipeline", "images_argument", "quiet"]


def default_diffusion(pipe: Any) -> str:
    """Return the diffusion coefficient that suits a pipeline's scheduler, which may be refused."""
    return check_scheduler(pipe.scheduler, type(pipe.scheduler).__name__).diffusion


def images_argument(pipe: Any) -> str:
    """Return the name by which a pipeline is told how many images to make of a prompt."""
    names = inspect.signature(type(pipe).__call__).parameters
    return "num_videos_per_prompt" if "num_videos_per_prompt" in names else "num_images_per_prompt"


def describe_pipeline(pipe: Any) -> dict[str, str]:
    """Say in words what a pipeline is."""
    return {
        "pipeline": type(pipe).__name__,
        "checkpoint": str(getattr(pipe.config, "_name_or_path", "")),
        "scheduler": type(pipe.scheduler).__name__,
        "dtype": str(pipe.dtype).removeprefix("torch."),
    }


@contextmanager
def quiet(pipe: Any) -> Iterator[None]:
    """Hide the pipeline's own progress bar, which counts its steps."""
    before = getattr(pipe, "_progress_bar_config", None)
    pipe.set_progress_bar_config(disable=True)
    try:
        yield
    finally:
        if before is None:
            del pipe._progress_bar_config
        else:
            pipe._progress_bar_config = before
