"""VBench's subject consistency: how alike the frames of a video are to DINO.

Z. Huang et al., 2024, "VBench", arXiv 2311.17982, Section 3.2; M. Caron et al., 2021, "Emerging
Properties in Self-Supervised Vision Transformers", arXiv 2104.14294, for DINO.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..saving import optional
from .checkpoints import Checkpoints
from .preprocess import normalise, single
from .vbench import by_frame, consistency, frames, resize_shorter

__all__ = ["REPOSITORIES", "SubjectConsistency"]

_DINO = "facebook/dino-vitb16"
REPOSITORIES = (_DINO,)

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class SubjectConsistency:
    """The score, in [0, 1]; the prompt has no part in it.

    Parameters
    ----------
    checkpoints
        Where weights are.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        # DINO divides by the root of the variance and 1e-6; its configuration there says 1e-12.
        self.model = checkpoints.pretrained(
            optional("transformers").ViTModel, _DINO, add_pooling_layer=False, layer_norm_eps=1e-6
        )
        _place_as_dino(self.model.embeddings)

    def __call__(self, videos: Tensor, prompts: Sequence[str] = ()) -> Tensor:
        """Return the score of videos in [0, 1], (batch, frames, 3, height, width)."""
        return consistency(by_frame(self.embed, frames(videos, least=2)))

    def embed(self, images: Tensor) -> Tensor:
        """Return what DINO's class token sees in images in [0, 1], (batch, width).

        Images stay oblong. What is left of them beyond the last whole patch is not seen.
        """
        resized = resize_shorter(images, self.model.config.image_size, "bilinear")
        pixels = normalise(resized, _MEAN, _STD).to(self.model.dtype)
        states = self.model(pixels, interpolate_pos_encoding=True).last_hidden_state
        found: Tensor = states[:, 0]
        return found


def _place_as_dino(embeddings: Any) -> None:
    """Stretch the embeddings of positions as DINO does, by a little more than the sizes' ratio."""

    def positions(tokens: Tensor, height: int, width: int) -> Tensor:
        table = single(embeddings.position_embeddings)
        patch, side = embeddings.patch_size, math.isqrt(table.shape[1] - 1)
        if height == width and tokens.shape[1] == table.shape[1]:
            return embeddings.position_embeddings
        square = table[:, 1:].transpose(1, 2).unflatten(2, (side, side))
        # Its tenth guards against rounding the size down; it moves the points sampled as well.
        scale = ((height // patch + 0.1) / side, (width // patch + 0.1) / side)
        stretched = functional.interpolate(square, scale_factor=scale, mode="bicubic")
        both = torch.cat([table[:, :1], stretched.flatten(2).transpose(1, 2)], 1)
        return both.to(tokens.dtype)

    embeddings.interpolate_pos_encoding = positions
