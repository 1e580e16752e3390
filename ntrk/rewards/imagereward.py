"""ImageReward: how well an image suits a prompt, by a BLIP that learned from rankings of experts.

J. Xu et al., 2023, "ImageReward", arXiv 2304.05977; what the paper leaves open is as
in its repository, THUDM/ImageReward. The names of its weights are those of BLIP, and translated
here into those of `transformers`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ..saving import optional
from .checkpoints import Checkpoints, fill
from .preprocess import CLIP_MEAN, CLIP_STD, normalise, resize_shorter, rgb, single

__all__ = ["REPOSITORIES", "ImageReward"]

_MODEL, _TOKENIZER = "zai-org/ImageReward", "google-bert/bert-base-uncased"
_FILE, _CONFIG = "ImageReward.pt", "med_config.json"
REPOSITORIES = (_MODEL, _TOKENIZER)

_MEAN, _STD = 0.16717362830052426, 1.0333394966054072
_LENGTH = 35  # of prompts, in tokens
_HEADS = 16  # of the image encoder: the one size that neither weights nor configuration show
_LAYERS = (0, 2, 4, 6, 7)  # of the head, as numbered with the dropouts of its training
_GIVEN = (  # in the configuration; the rest of it is about training, or repeated by the weights
    "hidden_act",
    "hidden_size",
    "intermediate_size",
    "layer_norm_eps",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "vocab_size",
)

_NAMES = (
    (r"^blip\.visual_encoder\.", "vision."),
    (r"^vision\.cls_token$", "vision.embeddings.class_embedding"),
    (r"^vision\.pos_embed$", "vision.embeddings.position_embedding"),
    (r"^vision\.patch_embed\.proj\.", "vision.embeddings.patch_embedding."),
    (r"^vision\.norm\.", "vision.post_layernorm."),
    (r"^vision\.blocks\.", "vision.encoder.layers."),
    (r"\.norm([12])\.", r".layer_norm\1."),
    (r"\.attn\.qkv\.", ".self_attn.qkv."),
    (r"\.attn\.proj\.", ".self_attn.projection."),
    (r"^blip\.text_encoder\.", "text."),
    (r"^mlp\.layers\.", "head."),
)
# No part of the score: what BLIP compares images and texts by, and the numbers of places.
_UNUSED = r"^blip\.(vision|text)_proj\.|\.position_ids$"


class ImageReward:
    """The score, of mean 0 and deviation 1 over its authors' data: about -2 to 2.

    Parameters
    ----------
    checkpoints
        Where weights are.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        source, found = f"{_MODEL}/{_FILE}", checkpoints.weights(_MODEL, _FILE)
        config = json.loads(checkpoints.file(_MODEL, _CONFIG).read_text())
        weights = {_rename(k): found[k] for k in found if not re.search(_UNUSED, k)}
        try:
            network = _Network(weights, config)
        except KeyError as error:
            raise ValueError(
                f"the weights of {source} and their {_CONFIG} are not of the layout expected: "
                f"missing: {error}"
            ) from error
        self.model = checkpoints.place(fill(network, weights, source))
        self.tokenizer = checkpoints.pretrained(optional("transformers").BertTokenizer, _TOKENIZER)
        # They have embeddings, though only a prompt that contains them sees these.
        self.tokenizer.add_tokens(["[DEC]", "[ENC]"], special_tokens=True)

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Return the score of images in [0, 1], (batch, 3, height, width), for their prompts."""
        tokens = self.tokenizer(
            list(prompts),
            padding="max_length",
            max_length=_LENGTH,
            truncation=True,
            return_tensors="pt",
        ).to(self.model.text.device)
        found = self.model(self.pixels(images), tokens.input_ids, tokens.attention_mask)
        return (single(found) - _MEAN) / _STD

    def pixels(self, images: Tensor) -> Tensor:
        """Return images in [0, 1] as published code prepares them."""
        side = self.model.vision.config.image_size
        resized = resize_shorter(rgb(images), side)
        # A half is rounded to even here, as torchvision's `CenterCrop` does, not down.
        top, left = (round((length - side) / 2) for length in resized.shape[-2:])
        cut = resized[..., top : top + side, left : left + side]
        return normalise(cut, CLIP_MEAN, CLIP_STD).to(self.model.vision.dtype)


class _Network(nn.Module):
    """An encoder of images, one of texts that looks at what the first sees, and a linear head.

    Parameters
    ----------
    weights
        By the names here, for their sizes.
    config
        Of the encoder of texts.
    """

    def __init__(self, weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        super().__init__()
        transformers = optional("transformers")
        patches = weights["vision.embeddings.patch_embedding.weight"]
        places = weights["vision.embeddings.position_embedding"].shape[1]
        hidden, width = weights["vision.encoder.layers.0.mlp.fc1.weight"].shape
        self.vision = transformers.BlipVisionModel(
            transformers.BlipVisionConfig(
                hidden_size=width,
                intermediate_size=hidden,
                num_hidden_layers=sum(k.endswith(".layer_norm1.weight") for k in weights),
                num_attention_heads=_HEADS,
                patch_size=patches.shape[-1],
                image_size=patches.shape[-1] * math.isqrt(places - 1),
                layer_norm_eps=1e-6,
            )
        )
        given = {name: config[name] for name in _GIVEN}
        self.text = transformers.BlipTextModel(
            # Its layers have cross attention where a decoder is meant, though this is none.
            transformers.BlipTextConfig(**given, encoder_hidden_size=width, is_decoder=True),
            add_pooling_layer=False,
        )
        self.head = nn.Sequential()
        for number in _LAYERS:
            after, before = weights[f"head.{number}.weight"].shape
            self.head.add_module(str(number), nn.Linear(before, after))

    def forward(self, pixels: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        seen = self.vision(pixels).last_hidden_state
        states = self.text(tokens, mask, encoder_hidden_states=seen).last_hidden_state
        found: Tensor = self.head(states[:, 0]).squeeze(-1)
        return found


def _rename(key: str) -> str:
    """Return the name of a weight here for the one that it has in the checkpoint."""
    for pattern, replacement in _NAMES:
        key = re.sub(pattern, replacement, key)
    return key
