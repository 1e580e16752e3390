"""VBench's imaging quality: how free from noise, blur and wrong exposure frames are, to MUSIQ.

Z. Huang et al., 2024, "VBench", arXiv 2311.17982, Section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from .checkpoints import Checkpoints, fill
from .musiq import Musiq
from .preprocess import single
from .vbench import by_frame, frames

__all__ = ["REPOSITORIES", "ImagingQuality"]

_MUSIQ, _FILE = "chaofengc/IQA-PyTorch-Weights", "musiq_spaq_ckpt-358bb6af.pth"
REPOSITORIES = (_MUSIQ,)

_LONGEST = 512


class ImagingQuality:
    """A hundredth of the mean over frames of a score of 0 to 100; the prompt has no part in it.

    Parameters
    ----------
    checkpoints
        Where weights are.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        weights = checkpoints.weights(_MUSIQ, _FILE)
        self.model = checkpoints.place(fill(Musiq.like(weights), weights, f"{_MUSIQ}/{_FILE}"))

    def __call__(self, videos: Tensor, prompts: Sequence[str] = ()) -> Tensor:
        """Return the score of videos in [0, 1], (batch, frames, 3, height, width)."""
        return by_frame(self.score, frames(videos)).mean(1) / 100

    def score(self, images: Tensor) -> Tensor:
        """Return the score, about 0 to 100, of images in [0, 1], (batch, 3, height, width)."""
        height, width = images.shape[-2:]
        if (longer := max(height, width)) > _LONGEST:
            scale = _LONGEST / longer
            size = (int(scale * height), int(scale * width))
            images = functional.interpolate(images, size, mode="bilinear", align_corners=False)
        return single(self.model(images))
