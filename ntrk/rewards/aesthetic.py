"""LAION's aesthetic score: a linear head on CLIP's embedding of the image.

C. Schuhmann, "improved aesthetic predictor", 2022, the weights ``sac+logos+ava1-l14-linearMSE``.
The head has five layers and nothing between them, and was trained on embeddings of length one.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .checkpoints import Checkpoints, fill
from .clip import Clip
from .preprocess import single

__all__ = ["REPOSITORIES", "Aesthetic"]

_CLIP, _HEAD = "openai/clip-vit-large-patch14", "trl-lib/ddpo-aesthetic-predictor"
_FILE = "aesthetic-model.pth"
REPOSITORIES = (_CLIP, _HEAD)

_WIDTHS = (1024, 128, 64, 16, 1)


class Aesthetic:
    """The score, about 1 to 10; the prompt has no part in it.

    Parameters
    ----------
    checkpoints
        Where weights are.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.clip = Clip(checkpoints, _CLIP)
        head = _Head(self.clip.model.config.projection_dim)
        fill(head, checkpoints.weights(_HEAD, _FILE), f"{_HEAD}/{_FILE}")
        self.head = checkpoints.place(head)

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Return the score of images in [0, 1], (batch, 3, height, width)."""
        embeddings = self.clip.images(images).to(self.head.layers[0].weight.dtype)
        return single(self.head(embeddings).squeeze(-1))


class _Head(nn.Module):
    """The layers, numbered as in the checkpoint: with the dropouts of its training in between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        for number, after in zip((0, 2, 4, 6, 7), _WIDTHS, strict=True):
            self.layers.add_module(str(number), nn.Linear(width, after))
            width = after

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x)
        return found
