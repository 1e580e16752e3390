"""What a run switches in a pipeline for its time, and says of it: bars, memory, names."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from .schedulers import check_scheduler

__all__ = [
    "default_diffusion",
    "describe_pipeline",
    "frozen",
    "gradient_checkpoints",
    "images_argument",
    "quiet",
    "vae_tiles",
]


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


@contextmanager
def frozen(pipe: Any) -> Iterator[None]:
    """Keep the weights out of differentiation, so that a graph holds states alone."""
    modules = (m for m in pipe.components.values() if isinstance(m, torch.nn.Module))
    weights = [w for module in modules for w in module.parameters() if w.requires_grad]
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


@contextmanager
def gradient_checkpoints(pipe: Any) -> Iterator[list[str]]:
    """Recompute activations of denoiser and VAE in the backward pass; give the names of those.

    Raises
    ------
    ValueError
        If no part of the pipeline can.
    """
    with ExitStack() as stack:
        switched = []
        for name in ("transformer", "transformer_2", "unet", "vae"):
            module = getattr(pipe, name, None)
            if module is None or not getattr(module, "_supports_gradient_checkpointing", False):
                continue
            switched.append(name)
            if not module.is_gradient_checkpointing:
                module.enable_gradient_checkpointing()
                stack.callback(module.disable_gradient_checkpointing)
        if not switched:
            raise ValueError(
                f"gradient_checkpointing: no part of {type(pipe).__name__} supports it"
            )
        yield switched


@contextmanager
def vae_tiles(pipe: Any) -> Iterator[None]:
    """Decode in tiles, which bounds the memory of a large image or video."""
    if not hasattr(pipe.vae, "enable_tiling"):
        raise ValueError(f"vae_tiling: {type(pipe.vae).__name__} cannot decode in tiles")
    before = getattr(pipe.vae, "use_tiling", False)
    pipe.vae.enable_tiling()
    try:
        yield
    finally:
        if not before:
            pipe.vae.disable_tiling()
