"""Rewards for looking like a given picture: the same edges, or the same content."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from .checkpoints import Checkpoints
from .clip import Clip
from .preprocess import resize, rgb

__all__ = ["REPOSITORIES", "ClipLikeness", "SameEdges", "edges"]

_CLIP = "openai/clip-vit-large-patch14"
REPOSITORIES = (_CLIP,)


class ClipLikeness:
    """The cosine between CLIP's embeddings of images and of a picture.

    Parameters
    ----------
    checkpoints
        Where weights are.
    image
        The picture, (3, height, width), in [0, 1].
    """

    def __init__(self, checkpoints: Checkpoints, *, image: Tensor) -> None:
        self.clip = Clip(checkpoints, _CLIP)
        with torch.no_grad():
            self.wanted = self.clip.images(image[None].to(checkpoints.device))[0]

    def __call__(self, images: Tensor, prompts: Sequence[str] = ()) -> Tensor:
        """Return the cosines, (batch,)."""
        found: Tensor = self.clip.images(images) @ self.wanted
        return found


class SameEdges:
    """The correlation between the edges of images and those of a drawing, in [-1, 1].

    Parameters
    ----------
    image
        The drawing, (3, height, width), in [0, 1]; resized to the size of the images.
    """

    def __init__(self, image: Tensor) -> None:
        self.image = rgb(image[None])

    def __call__(self, images: Tensor, prompts: Sequence[str] = ()) -> Tensor:
        """Return the correlations, (batch,)."""
        found = edges(rgb(images))
        drawn = resize(self.image.to(found), (images.shape[-2], images.shape[-1]))
        pair = [e.flatten(1) - e.flatten(1).mean(1, keepdim=True) for e in (found, edges(drawn))]
        return functional.cosine_similarity(*pair, dim=1)


def edges(images: Tensor) -> Tensor:
    """Return the strength of edges, (batch, height, width): Sobel's, of the mean over channels."""
    grey = functional.pad(images.mean(1, keepdim=True), (1, 1, 1, 1), "replicate")
    kernel = grey.new_tensor([[1, 2, 1], [0, 0, 0], [-1, -2, -1]]) / 8
    slopes = functional.conv2d(grey, torch.stack([kernel, kernel.T])[:, None])
    # The root has no slope at zero: what is far below a level of 255 is taken as flat.
    return (slopes.square().sum(1) + 1e-6).sqrt()
