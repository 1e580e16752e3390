"""PickScore: how well an image suits a prompt, by a CLIP that learned from choices of users.

Y. Kirstain et al., 2023, "Pick-a-Pic", arXiv 2305.01569, Eq. 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .checkpoints import Checkpoints
from .clip import Clip
from .preprocess import single

__all__ = ["REPOSITORIES", "PickScore"]

_MODEL, _TOKENIZER = "yuvalkirstain/PickScore_v1", "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
REPOSITORIES = (_MODEL, _TOKENIZER)


class PickScore:
    """The cosine of image and prompt, in units in which papers report it: about 0.2.

    The published score is 100 times that, by the model's `logit_scale`, which is used here too.

    Parameters
    ----------
    checkpoints
        Where weights are.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.clip = Clip(checkpoints, _MODEL, _TOKENIZER)

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Return the score of images in [0, 1], (batch, 3, height, width), for their prompts."""
        cosine = (self.clip.images(images) * self.clip.texts(prompts)).sum(-1)
        return single(self.clip.model.logit_scale).exp() * cosine / 100
