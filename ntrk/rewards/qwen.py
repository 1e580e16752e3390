"""What rewards on Qwen2-VL and Qwen2.5-VL share: their patches, with gradients, and their chat.

P. Wang et al., 2024, "Qwen2-VL", arXiv 2409.12191, Section 2.1; S. Bai et al., 2025, "Qwen2.5-VL",
arXiv 2502.13923. Numbers are those of the ``preprocessor_config.json`` of both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .preprocess import CLIP_MEAN, CLIP_STD, normalise, resize

__all__ = ["LEAST_PIXELS", "MOST_PIXELS", "Finer", "fitting", "patches", "prompt_tokens"]

LEAST_PIXELS, MOST_PIXELS = 56 * 56, 16384 * 28 * 28
"""Of a still image; smaller and larger ones are scaled."""

_CHAT = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n<|vision_start|>{seen}<|vision_end|>{text}<|im_end|>\n"
    "<|im_start|>assistant\n"
)
_KINDS = {"image": 1, "video": 2}  # as numbered in ``mm_token_type_ids``


def patches(
    frames: Tensor, vision: Any, *, least: int = LEAST_PIXELS, most: int = MOST_PIXELS
) -> tuple[Tensor, Tensor]:
    """Return images or videos in [0, 1] as the patches that the model sees, with gradients.

    Parameters
    ----------
    frames
        Images (batch, 3, height, width), each of which is seen as a video that stands still, or
        videos (batch, frames, 3, height, width), whose last frame is repeated as often as needed.
    vision
        The model's ``config.vision_config``: sizes of patches are read from it.
    least, most
        Pixels of a frame, as in `fitting`.

    Returns
    -------
    values : Tensor
        ``pixel_values`` or ``pixel_values_videos``: a patch a row, those of the first image first.
    grid : Tensor
        ``image_grid_thw`` or ``video_grid_thw``, (batch, 3): patches in time, down and across.
    """
    if frames.ndim == 4:
        frames = frames[:, None]
    times, width, merge = (
        vision.temporal_patch_size,
        vision.patch_size,
        vision.spatial_merge_size,
    )
    size = fitting(*frames.shape[-2:], least=least, most=most, unit=width * merge)
    frames = normalise(resize(frames, size), CLIP_MEAN, CLIP_STD)
    if short := -frames.shape[1] % times:
        frames = torch.cat([frames, frames[:, -1:].expand(-1, short, -1, -1, -1)], 1)
    shape = (frames.shape[1] // times, size[0] // width, size[1] // width)
    for axis, parts in ((4, (-1, merge, width)), (3, (-1, merge, width)), (1, (-1, times))):
        frames = frames.unflatten(axis, parts)
    # To: batch, times, squares down, squares across, then in a square; channels, times, pixels.
    # A square is of patches that the model joins to one token.
    values = frames.permute(0, 1, 4, 7, 5, 8, 3, 2, 6, 9).flatten(6).flatten(0, 5)
    return values, torch.tensor([shape] * len(frames), device=frames.device)


def fitting(
    height: int,
    width: int,
    *,
    least: int = LEAST_PIXELS,
    most: int = MOST_PIXELS,
    unit: int = 28,
) -> tuple[int, int]:
    """Return a size, (height, width), near the one given, in whole units, and of enough pixels.

    Parameters
    ----------
    height, width
        Of the image.
    least, most
        Pixels: an image of fewer is enlarged, one of more is shrunk, in its shape.
    unit
        Of which sides are multiples: a patch, times how many of them the model joins.
    """
    if max(height, width) > 200 * min(height, width):
        raise ValueError(f"images must be less oblong than {height} by {width} pixels")
    rows, columns = (unit * round(length / unit) for length in (height, width))
    if rows * columns > most:
        scale = math.sqrt(height * width / most)
        rows, columns = (
            max(unit, unit * math.floor(length / scale / unit)) for length in (height, width)
        )
    elif rows * columns < least:
        scale = math.sqrt(least / (height * width))
        rows, columns = (unit * math.ceil(length * scale / unit) for length in (height, width))
    return rows, columns


def prompt_tokens(
    tokenizer: Any, texts: Sequence[str], grid: Tensor, *, merge: int = 2, kind: str = "image"
) -> dict[str, Tensor]:
    """Return a question about each image or video, up to where the model's answer begins.

    Parameters
    ----------
    tokenizer
        Of the model.
    texts
        Questions, one an image.
    grid
        From `patches`.
    merge
        The model's ``config.vision_config.spatial_merge_size``.
    kind
        ``"image"`` or ``"video"``.

    Returns
    -------
    dict
        ``input_ids``, ``attention_mask`` and ``mm_token_type_ids``, (batch, length) each, as the
        model's ``forward`` takes them, on the device of `grid`. Shorter ones are padded after
        their end: the answer begins at ``attention_mask.sum(1) - 1``.
    """
    if len(texts) != len(grid):
        raise ValueError(f"prompts must be {len(grid)}, one each of what is seen, got {len(texts)}")
    pad = f"<|{kind}_pad|>"
    seen = [pad * (cells // merge**2) for cells in grid.prod(1).tolist()]
    chats = [_CHAT.format(seen=s, text=text) for s, text in zip(seen, texts, strict=True)]
    tokens = tokenizer(chats, padding=True, padding_side="right", return_tensors="pt")
    ids = tokens["input_ids"].to(grid.device)
    places = ids == tokenizer.convert_tokens_to_ids(pad)
    return {
        "input_ids": ids,
        "attention_mask": tokens["attention_mask"].to(grid.device),
        "mm_token_type_ids": _KINDS[kind] * places.int(),
    }


class Finer(TorchFunctionMode):
    """Leaves double precision where it is, which parts of `transformers` would take to single."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        wanted = (*args[1:], *kwargs.values())
        coarser = func is Tensor.float or (func is Tensor.to and torch.float32 in wanted)
        if coarser and args[0].dtype == torch.float64:
            return args[0]
        return func(*args, **kwargs)
