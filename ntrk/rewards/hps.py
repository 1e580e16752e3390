"""HPSv2 and HPSv2.1: how well an image suits a prompt, by a CLIP that learned from preferences.

X. Wu et al., 2023, "Human Preference Score v2", arXiv 2306.09341; what the paper leaves open is as
in its repository, tgxs002/HPSv2. The model is a ViT-H/14 of open_clip, whose names of weights are
translated here into those of `transformers`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional

from ..saving import optional
from .checkpoints import Checkpoints, fill
from .clip import Clip
from .preprocess import CLIP_MEAN, CLIP_STD, normalise, rgb

__all__ = ["REPOSITORIES", "HPSv2", "HPSv21"]

# The vocabulary is OpenAI's, and other rewards have this repository already.
_MODEL, _TOKENIZER = "xswu/HPSv2", "openai/clip-vit-large-patch14"
REPOSITORIES = (_MODEL, _TOKENIZER)

_HEADS = 16  # of both towers: the one size that the weights do not show

_NAMES = (
    (r"^transformer\.resblocks", "text_model.encoder.layers"),
    (r"^token_embedding", "text_model.embeddings.token_embedding"),
    (r"^positional_embedding$", "text_model.embeddings.position_embedding.weight"),
    (r"^ln_final", "text_model.final_layer_norm"),
    (r"^visual\.transformer\.resblocks", "vision_model.encoder.layers"),
    (r"^visual\.class_embedding$", "vision_model.embeddings.class_embedding"),
    (r"^visual\.conv1", "vision_model.embeddings.patch_embedding"),
    (r"^visual\.positional_embedding$", "vision_model.embeddings.position_embedding.weight"),
    (r"^visual\.ln_pre", "vision_model.pre_layrnorm"),  # so spelt in `transformers`
    (r"^visual\.ln_post", "vision_model.post_layernorm"),
    (r"^visual\.proj$", "visual_projection.weight"),
    (r"^text_projection$", "text_projection.weight"),
    (r"\.attn\.", ".self_attn."),
    (r"\.ln_([12])\.", r".layer_norm\1."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
)


class HPSv2:
    """The cosine of image and prompt, about 0.2 to 0.3; the paper's tables have 100 times that.

    It compares images of one prompt. Prompts are not mended before, as published code does by the
    package ftfy: curly quotes, which it makes straight, stay what they are.

    Parameters
    ----------
    checkpoints
        Where weights are.
    """

    _file = "HPS_v2_compressed.pt"

    def __init__(self, checkpoints: Checkpoints) -> None:
        source = f"{_MODEL}/{self._file}"
        weights = checkpoints.weights(_MODEL, self._file).get("state_dict", {})
        model = checkpoints.place(_clip(weights, source))
        tokenizer = checkpoints.pretrained(optional("transformers").CLIPTokenizer, _TOKENIZER)
        self.clip = _WholeImageClip.of(model, tokenizer)

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Return the score of images in [0, 1], (batch, 3, height, width), for their prompts."""
        return (self.clip.images(images) * self.clip.texts(prompts)).sum(-1)


class HPSv21(HPSv2):
    """HPSv2.1: the same, of weights from a later training, on better data.

    Parameters
    ----------
    checkpoints
        Where weights are.
    """

    _file = "HPS_v2.1_compressed.pt"


class _WholeImageClip(Clip):
    """CLIP that sees an image to its edges, with a black border, rather than its middle."""

    def pixels(self, images: Tensor) -> Tensor:
        """Return images in [0, 1] as HPSv2's `image_transform` prepares them.

        It resizes tensors of floats, which nothing keeps in range. It leaves to torchvision whether
        the kernel widens when shrinking, as it does since 0.17; before, it did not.
        """
        side = self.model.config.vision_config.image_size
        found = rgb(images)
        height, width = found.shape[-2:]
        scale = side / max(height, width)
        size = (round(height * scale), round(width * scale))
        found = functional.interpolate(found, size, mode="bicubic", antialias=True)
        top, left = ((side - length) // 2 for length in size)
        right, bottom = side - size[1] - left, side - size[0] - top
        found = functional.pad(found, (left, right, top, bottom))
        return normalise(found, CLIP_MEAN, CLIP_STD).to(self.model.dtype)


def _clip(weights: Mapping[str, Tensor], source: str) -> Any:
    """Return the model of `transformers` with weights of open_clip's names, in their size."""
    transformers = optional("transformers")
    try:
        text, vision = _tower(weights, ""), _tower(weights, "visual.")
        places, patch = len(weights["visual.positional_embedding"]), weights["visual.conv1.weight"]
        vision["patch_size"] = patch.shape[-1]
        vision["image_size"] = patch.shape[-1] * math.isqrt(places - 1)
        text["vocab_size"] = len(weights["token_embedding.weight"])
        text["max_position_embeddings"] = len(weights["positional_embedding"])
        joint = weights["text_projection"].shape[1]
    except KeyError as error:
        raise ValueError(
            f"the weights of {source} are not of the layout expected: missing: {error}"
        ) from error
    # open_clip takes the text's embedding where the number of the token is highest, at its end.
    # What it pads with after that has no part in it: tokens see only those before them.
    text["eos_token_id"] = text["vocab_size"] - 1
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=joint)
    return fill(transformers.CLIPModel(config), _translate(weights), source)


def _tower(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Any]:
    """Return the configuration that a tower of text, or of vision, has in common."""
    blocks = f"{prefix}transformer.resblocks."
    hidden, width = weights[f"{blocks}0.mlp.c_fc.weight"].shape
    return {
        "hidden_size": width,
        "intermediate_size": hidden,
        "num_hidden_layers": sum(k.startswith(blocks) and ".ln_1.weight" in k for k in weights),
        "num_attention_heads": _HEADS,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
    }


def _translate(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights of open_clip under the names that `transformers` has for them."""
    found = {}
    for key, value in weights.items():
        name = key
        for pattern, replacement in _NAMES:
            name = re.sub(pattern, replacement, name)
        if ".in_proj_" in name:
            for part, rows in zip("qkv", value.chunk(3), strict=True):
                found[name.replace(".in_proj_", f".{part}_proj.")] = rows
        else:
            found[name] = value.T if key in ("visual.proj", "text_projection") else value
    return found
