"""Rewards that need no model: to try a sampler with, and to see that it follows."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .jpeg import compressibility

__all__ = ["PLAIN", "brightness", "contrast", "redness", "sharpness"]


def brightness(images: Tensor, prompts: Sequence[str] = ()) -> Tensor:
    """Mean of all values, in [0, 1]."""
    return images.flatten(1).mean(1)


def contrast(images: Tensor, prompts: Sequence[str] = ()) -> Tensor:
    """Standard deviation of the mean over channels, in [0, 1/2]."""
    return images.mean(-3).flatten(1).std(1, correction=0)


def redness(images: Tensor, prompts: Sequence[str] = ()) -> Tensor:
    """Mean of the first channel less that of the others, in [-1, 1]."""
    channels = images.movedim(-3, 1).flatten(2).mean(2)
    if channels.shape[1] != 3:
        raise ValueError(f"redness is of images of three channels, got {channels.shape[1]}")
    return channels[:, 0] - channels[:, 1:].mean(1)


def sharpness(images: Tensor, prompts: Sequence[str] = ()) -> Tensor:
    """Mean squared difference of neighbouring pixels, in both directions, in [0, 2]."""
    rows, columns = images.diff(dim=-2).square(), images.diff(dim=-1).square()
    return rows.flatten(1).mean(1) + columns.flatten(1).mean(1)


PLAIN = {
    function.__name__: function
    for function in (brightness, compressibility, contrast, redness, sharpness)
}
"""By name, for the command line."""
