"""VBench's aesthetic quality: LAION's first predictor, a linear map of CLIP's embedding.

Z. Huang et al., 2024, "VBench", arXiv 2311.17982, Section 3.2; the weights are those of the
repository LAION-AI/aesthetic-predictor on GitHub. It is not the predictor of `aesthetic`.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .checkpoints import Checkpoints, fill
from .clip import Clip
from .preprocess import single
from .vbench import by_frame, clip_embeddings, frames

__all__ = ["REPOSITORIES", "AestheticQuality"]

_CLIP, _HEAD = "openai/clip-vit-large-patch14", "LAION-AI/aesthetic-predictor"
_FILE = "sa_0_4_vit_l_14_linear.pth"
_URL = f"https://raw.githubusercontent.com/{_HEAD}/main/{_FILE}"
REPOSITORIES = (_CLIP, _HEAD)


class AestheticQuality:
    """A tenth of the mean over frames of a score of about 1 to 10; the prompt has no part in it.

    Parameters
    ----------
    checkpoints
        Where weights are.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.clip = Clip(checkpoints, _CLIP)
        head = nn.Linear(self.clip.model.config.projection_dim, 1)
        try:
            weights = checkpoints.weights(_HEAD, _FILE)
        except OSError as error:  # it is not on the hub
            raise OSError(
                f"cannot load {_HEAD}/{_FILE}; get it from {_URL}, put it into a folder "
                f"{_HEAD} in that of all repositories, and give that one"
            ) from error
        self.head = checkpoints.place(fill(head, weights, f"{_HEAD}/{_FILE}"))

    def __call__(self, videos: Tensor, prompts: Sequence[str] = ()) -> Tensor:
        """Return the score of videos in [0, 1], (batch, frames, 3, height, width)."""
        return by_frame(self.score, frames(videos)).mean(1) / 10

    def score(self, images: Tensor) -> Tensor:
        """Return the score, about 1 to 10, of images in [0, 1], (batch, 3, height, width)."""
        embeddings = clip_embeddings(self.clip, images).to(self.head.weight.dtype)
        return single(self.head(embeddings).squeeze(-1))
