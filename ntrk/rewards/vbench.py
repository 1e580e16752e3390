"""VBench's metrics of videos: what they have in common, and the one that needs no model.

Z. Huang et al., 2024, "VBench: Comprehensive Benchmark Suite for Video Generative Models", arXiv
2311.17982, Section 3.2, and its repository Vchitect/VBench, whose preprocessing is followed. Here
are, each in a module of its own, `vbench_subject`, `vbench_background`, `vbench_aesthetic` and
`vbench_imaging`. Others are left out: motion smoothness needs a network that interpolates frames
(AMT), dynamic degree counts frames whose optical flow (RAFT) is above a threshold and has no
gradient, and the rest detect, caption or classify.

Scores are VBench's of one video, in [0, 1] where it says so; those of a benchmark are their means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from .clip import Clip
from .preprocess import CLIP_MEAN, CLIP_STD, normalise, single

__all__ = [
    "by_frame",
    "clip_embeddings",
    "consistency",
    "frames",
    "resize_shorter",
    "temporal_flickering",
]


def frames(videos: Tensor, least: int = 1) -> Tensor:
    """Return (batch, frames, 3, height, width) videos in [0, 1] in single precision or finer.

    Raises
    ------
    ValueError
        If `videos` are of another shape, or have fewer than `least` frames. Values outside [0, 1]
        are kept in it.
    """
    if videos.ndim != 5 or videos.shape[2] != 3:
        raise ValueError(
            f"videos must be of shape (batch, frames, 3, height, width), got {tuple(videos.shape)}"
        )
    if videos.shape[1] < least:
        raise ValueError(f"videos must have at least {least} frames, got {videos.shape[1]}")
    return single(videos).clamp(0, 1)


def by_frame(function: Callable[[Tensor], Tensor], videos: Tensor) -> Tensor:
    """Return a function of frames, (batch, ...) each, as (batch, frames, ...).

    Videos are long: for gradients, a frame is seen once more rather than all of them remembered.
    """
    found = [checkpoint(function, frame, use_reentrant=False) for frame in videos.unbind(1)]
    return torch.stack(found, 1)


def resize_shorter(images: Tensor, length: int, mode: str) -> Tensor:
    """Resize so that the shorter side has `length` pixels, as VBench does.

    Unlike Pillow it takes the few nearest pixels when shrinking too (torchvision's ``Resize`` with
    ``antialias=False``), and does not keep what overshoots in range, as its frames are floats.
    """
    height, width = images.shape[-2:]
    short = min(height, width)
    size = (int(length * height / short), int(length * width / short))
    return functional.interpolate(images, size, mode=mode, align_corners=False)


def clip_embeddings(clip: Clip, images: Tensor) -> Tensor:
    """Return CLIP's embeddings of images in [0, 1], (batch, width), of length one."""
    side = clip.model.config.vision_config.image_size
    resized = resize_shorter(images, side, "bicubic")
    # A half is rounded to even here, as torchvision's `CenterCrop` does, not down.
    top, left = (round((length - side) / 2) for length in resized.shape[-2:])
    cut = resized[..., top : top + side, left : left + side]
    pixels = normalise(cut, CLIP_MEAN, CLIP_STD).to(clip.model.dtype)
    found = clip.model.get_image_features(pixel_values=pixels).pooler_output
    return functional.normalize(single(found), dim=-1)


def consistency(embeddings: Tensor) -> Tensor:
    """Return how alike the frames of a video are, in [0, 1], of (batch, frames, width) embeddings.

    The cosine of each frame with the first and with the one before it, negative ones taken as 0,
    averaged (Section 3.2, subject and background consistency).
    """
    embeddings = functional.normalize(single(embeddings), dim=-1)
    later = embeddings[:, 1:]
    cosines = [(later * other).sum(-1) for other in (embeddings[:, :1], embeddings[:, :-1])]
    return torch.stack(cosines).clamp(min=0).mean((0, 2))


def temporal_flickering(videos: Tensor, prompts: Sequence[str] = ()) -> Tensor:
    """One less the mean absolute difference of neighbouring frames, in [0, 1]."""
    found: Tensor = 1 - frames(videos, least=2).diff(dim=1).abs().flatten(1).mean(1)
    return found
