"""Images in [0, 1] to what a model was trained on, as its processor does it, with gradients.

The processors of published checkpoints work on 8-bit images with Pillow, where gradients end. These
functions do the same on tensors: same sampling points and kernels, rows before columns, and values
kept in range after each, as 8-bit images keep them. They do not round; rounded afterwards, results
are a processor's to one level of 255 (tested on photographs of odd sizes). From version 13 on,
Pillow takes columns before rows for some sizes, which can move a pixel by several levels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

__all__ = [
    "CLIP_MEAN",
    "CLIP_STD",
    "center_crop",
    "normalise",
    "resize",
    "resize_shorter",
    "rgb",
    "single",
]

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""Of the images that CLIP was trained on."""


def rgb(images: Tensor) -> Tensor:
    """Return (batch, 3, height, width) images in [0, 1] in single precision or finer.

    Raises
    ------
    ValueError
        If `images` are of another shape. Values outside [0, 1] are kept in it.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(
            "images must be of shape (batch, 3, height, width), got "
            f"{tuple(images.shape)}; of a video, rewards of images see one frame a row"
        )
    return single(images).clamp(0, 1)


def single(x: Tensor) -> Tensor:
    """Return a tensor in single precision, or in its own where that is finer."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def resize(images: Tensor, size: tuple[int, int], mode: str = "bicubic") -> Tensor:
    """Resize (..., channels, height, width) in [0, 1] to `size`, (height, width), as Pillow does.

    Parameters
    ----------
    images
        Values in [0, 1].
    size
        Height and width.
    mode
        ``"bicubic"`` or ``"bilinear"``; both with the support widened when shrinking.
    """
    for axis, length in ((-1, size[1]), (-2, size[0])):
        if images.shape[axis] != length:
            shape = [*images.shape[-2:]]
            shape[axis] = length
            flat = images.flatten(0, -4) if images.ndim > 4 else images
            flat = functional.interpolate(flat, shape, mode=mode, antialias=True)
            images = flat.reshape(*images.shape[:-2], *shape).clamp(0, 1)
    return images


def resize_shorter(images: Tensor, length: int, mode: str = "bicubic") -> Tensor:
    """Resize so that the shorter side has `length` pixels; the longer one is rounded down."""
    height, width = images.shape[-2:]
    short = min(height, width)
    return resize(images, (int(length * height / short), int(length * width / short)), mode)


def center_crop(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut the middle out; what is smaller than `size`, (height, width), gets a black border."""
    height, width = images.shape[-2:]
    pad_rows, pad_columns = max(size[0] - height, 0), max(size[1] - width, 0)
    if pad_rows or pad_columns:
        top, left = (pad_rows + 1) // 2, (pad_columns + 1) // 2
        images = functional.pad(images, (left, pad_columns - left, top, pad_rows - top))
        height, width = images.shape[-2:]
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    return images[..., top : top + size[0], left : left + size[1]]


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Take the mean of each channel off, and divide by its standard deviation."""
    shape = (-1, 1, 1)
    return (images - images.new_tensor(mean).view(shape)) / images.new_tensor(std).view(shape)
