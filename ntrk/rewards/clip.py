"""CLIP, which several rewards judge by: embeddings of images and texts, of length one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..saving import optional
from .checkpoints import Checkpoints
from .preprocess import CLIP_MEAN, CLIP_STD, center_crop, normalise, resize_shorter, rgb, single

__all__ = ["Clip"]


class Clip:
    """A CLIP model of `transformers`, and its tokenizer.

    Parameters
    ----------
    checkpoints
        Where weights are.
    model
        Repository of the model.
    tokenizer
        Repository of the tokenizer, if that is another.
    """

    def __init__(self, checkpoints: Checkpoints, model: str, tokenizer: str | None = None) -> None:
        transformers = optional("transformers")
        self.model = checkpoints.pretrained(
            transformers.CLIPModel, model, ignore=r"\.position_ids$"
        )
        self.tokenizer = checkpoints.pretrained(transformers.CLIPTokenizer, tokenizer or model)

    @classmethod
    def of(cls, model: Any, tokenizer: Any) -> Clip:
        """Return it of a model and a tokenizer that are there."""
        clip = cls.__new__(cls)
        clip.model, clip.tokenizer = model, tokenizer
        return clip

    def pixels(self, images: Tensor) -> Tensor:
        """Return images in [0, 1] as the model's processor prepares them."""
        side = self.model.config.vision_config.image_size
        images = center_crop(resize_shorter(rgb(images), side), (side, side))
        return normalise(images, CLIP_MEAN, CLIP_STD).to(self.model.dtype)

    def images(self, images: Tensor) -> Tensor:
        """Return embeddings of images in [0, 1], (batch, width), with gradients."""
        found = self.model.get_image_features(pixel_values=self.pixels(images)).pooler_output
        return functional.normalize(single(found), dim=-1)

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """Return embeddings of texts, (batch, width); what is too long is cut, as in training."""
        tokens = self.tokenizer(
            list(texts),
            padding="max_length",
            max_length=self.model.config.text_config.max_position_embeddings,
            truncation=True,
            return_tensors="pt",
        ).to(self.model.device)
        found = self.model.get_text_features(**tokens).pooler_output
        return functional.normalize(single(found), dim=-1)
