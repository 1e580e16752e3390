"""VBench's background consistency: how alike the frames of a video are to CLIP.

Z. Huang et al., 2024, "VBench", arXiv 2311.17982, Section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from .checkpoints import Checkpoints
from .clip import Clip
from .vbench import by_frame, clip_embeddings, consistency, frames

__all__ = ["REPOSITORIES", "BackgroundConsistency"]

_CLIP = "openai/clip-vit-base-patch32"
REPOSITORIES = (_CLIP,)


class BackgroundConsistency:
    """The score, in [0, 1]; the prompt has no part in it.

    Parameters
    ----------
    checkpoints
        Where weights are.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.clip = Clip(checkpoints, _CLIP)

    def __call__(self, videos: Tensor, prompts: Sequence[str] = ()) -> Tensor:
        """Return the score of videos in [0, 1], (batch, frames, 3, height, width)."""
        embed = partial(clip_embeddings, self.clip)
        return consistency(by_frame(embed, frames(videos, least=2)))
