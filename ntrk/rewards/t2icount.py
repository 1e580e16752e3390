"""T2ICount: how many of the objects that the prompt asks for are there, by a map of their density.

Y. Qian et al., 2025, "T2ICount", arXiv 2502.20625; the weights are those of the repository
cha15yq/T2ICount, which the paper's tables are made with.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ..saving import optional
from .checkpoints import Checkpoints, fill
from .numbers import read_count
from .preprocess import resize_shorter, rgb, single
from .t2icount_network import Network, rename, sizes

__all__ = ["REPOSITORIES", "T2ICount"]

_CLIP, _MODEL, _FILE = "openai/clip-vit-large-patch14", "cha15yq/T2ICount", "best_model_paper.pth"
REPOSITORIES = (_CLIP, _MODEL)

_SIDE, _CELL = 384, 8  # of the windows of training, and of what one value of the density is for
_SCALE = 60  # objects were worth that much in training


class T2ICount:
    """Minus the smooth L1 distance of the count and the number in the prompt: 0 at best.

    Prompts must have one number and name what it counts, as `read_count` understands them; one
    object too many or too few is -0.5, and each further one is -1.

    Parameters
    ----------
    checkpoints
        Where weights are. ``best_model_paper.pth`` is not on the hub, but linked to in the
        repository's README; it must be in a folder, as ``cha15yq/T2ICount/best_model_paper.pth``.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        transformers = optional("transformers")
        text = checkpoints.pretrained(transformers.CLIPTextConfig, _CLIP)
        self.tokenizer = checkpoints.pretrained(transformers.CLIPTokenizer, _CLIP)
        self._longest = text.max_position_embeddings
        try:
            weights = checkpoints.weights(_MODEL, _FILE)
        except OSError as error:
            raise OSError(
                f"cannot load {_MODEL}/{_FILE}: it is not on the hub; get it by the link in the "
                f"README of https://github.com/{_MODEL}, put it in a folder as {_MODEL}/{_FILE}, "
                "and load the reward from that folder"
            ) from error
        network = Network(text, *sizes(weights))
        fill(network, rename(weights), f"{_MODEL}/{_FILE}")
        self.network = checkpoints.place(network)

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Return the score of images in [0, 1], (batch, 3, height, width), for their prompts."""
        numbers, objects = zip(*map(read_count, prompts), strict=True)
        counts = self.count(images, objects)
        return -functional.smooth_l1_loss(counts, counts.new_tensor(numbers), reduction="none")

    def count(self, images: Tensor, objects: Sequence[str]) -> Tensor:
        """Return how many objects of a name, such as ``"apples"``, each image shows, (batch,)."""
        return self.density(images, objects).sum((1, 2))

    def density(self, images: Tensor, objects: Sequence[str]) -> Tensor:
        """Return the density of objects of a name: how many there are in each pixel.

        Of images resized so that the shorter side has 384 pixels, as those of training; a longer
        side is seen in windows of that length, and where these overlap their mean is taken.
        """
        if len(objects) != len(images):
            raise ValueError(f"objects must be {len(images)}, one an image, got {len(objects)}")
        pixels = 2 * resize_shorter(rgb(images), _SIDE, "bilinear") - 1
        height, width = pixels.shape[-2:]
        corners = [(top, left) for top in _starts(height) for left in _starts(width)]
        windows = [pixels[..., y : y + _SIDE, x : x + _SIDE] for y, x in corners]
        tokens, named = self._tokens(objects)
        found = self.network(
            torch.cat(windows).to(self.network.quant_conv.weight.dtype),
            tokens.repeat(len(corners), 1),
            named.repeat(len(corners), 1),
        )
        fine = functional.interpolate(
            single(found).unsqueeze(1), scale_factor=_CELL, mode="bilinear"
        )
        total, seen = pixels.new_zeros(len(images), height, width), pixels.new_zeros(height, width)
        for (y, x), part in zip(corners, fine.squeeze(1).split(len(images)), strict=True):
            edges = (x, width - _SIDE - x, y, height - _SIDE - y)
            total = total + functional.pad(part, edges)
            seen[y : y + _SIDE, x : x + _SIDE] += 1
        return total / (_SCALE * _CELL**2 * seen)

    def _tokens(self, objects: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return tokens of the names, and which of them are not special."""
        if blank := [name for name in objects if not name.strip()]:
            raise ValueError(f"objects must be names, got {blank[0]!r}")
        found = self.tokenizer(
            list(objects),
            padding="max_length",
            max_length=self._longest,
            truncation=True,
            return_tensors="pt",
        ).to(self.network.quant_conv.weight.device)
        # What is attended to, less the first token and the last.
        named = found.attention_mask.roll(-1, 1)
        named[:, 0] = 0
        named[:, -1] = 0
        return found.input_ids, named


def _starts(length: int) -> list[int]:
    """Return where windows start that cover a length; the last one ends with it."""
    return [min(start, length - _SIDE) for start in range(0, length, _SIDE)]
