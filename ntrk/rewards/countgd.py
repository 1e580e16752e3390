"""CountGD: how many objects of a name a detector finds, for judging what other rewards have led to.

N. Amini-Naieni et al., 2024, "CountGD", arXiv 2407.04619, Section 3, asked by text alone: then it
is a GroundingDINO (S. Liu et al., 2023, arXiv 2303.05499) with weights of its own. They have the
names of that repository, IDEA-Research/GroundingDINO; those here are of `transformers`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..saving import optional
from .checkpoints import Checkpoints
from .numbers import read_count
from .preprocess import normalise, resize, rgb

__all__ = ["REPOSITORIES", "CountGD"]

_MODEL, _FILE, _BASE = "nikigoli/CountGD", "model.safetensors", "IDEA-Research/grounding-dino-base"
REPOSITORIES = (_BASE, _MODEL)

_THRESHOLD = 0.23
_SHORTER, _LONGER = 800, 1333
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# Of examples shown beside the text, a head of BERT that is not used, and positions.
_UNUSED = r"^feature_map_proj\.|^bert\.pooler\.|\.position_ids$|\.relative_position_index$"

_SWIN = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn": "attention",
    "qkv": "self.qkv",
    "relative_position_bias_table": "self.relative_position_bias_table",
    "proj": "output.dense",
    "mlp": None,
    "fc1": "intermediate.dense",
    "fc2": "output.dense",
}
_LAYER = {
    "in_proj_weight": "qkv.weight",
    "in_proj_bias": "qkv.bias",
    "linear1": "fc1",
    "linear2": "fc2",
}
_DEFORMABLE = _LAYER | {"norm1": "self_attn_layer_norm", "norm2": "final_layer_norm"}
_TEXT = _LAYER | {"norm1": "layer_norm_before", "norm2": "layer_norm_after"}
_FUSION = {
    "gamma_v": "vision_param",
    "gamma_l": "text_param",
    "layer_norm_v": "layer_norm_vision",
    "layer_norm_l": "layer_norm_text",
    "v_proj": "vision_proj",
    "l_proj": "text_proj",
    "values_v_proj": "values_vision_proj",
    "values_l_proj": "values_text_proj",
    "out_v_proj": "out_vision_proj",
    "out_l_proj": "out_text_proj",
}
_DECODER = _LAYER | {
    "norm1": "encoder_attn_layer_norm",
    "norm2": "self_attn_layer_norm",
    "norm3": "final_layer_norm",
    "catext_norm": "encoder_attn_text_layer_norm",
    "cross_attn": "encoder_attn",
    "ca_text": "encoder_attn_text",
}

_VISION = "model.backbone.conv_encoder.model."
_PARTS: tuple[tuple[str, str, Mapping[str, str | None]], ...] = (
    (r"backbone\.0\.patch_embed\.proj", _VISION + "embeddings.patch_embeddings.projection", {}),
    (r"backbone\.0\.patch_embed\.norm", _VISION + "embeddings.norm", {}),
    (r"backbone\.0\.layers", _VISION + "encoder.layers", _SWIN),
    (r"backbone\.0\.norm1", _VISION + "hidden_states_norms.stage2", {}),
    (r"backbone\.0\.norm2", _VISION + "hidden_states_norms.stage3", {}),
    (r"backbone\.0\.norm3", _VISION + "hidden_states_norms.stage4", {}),
    (r"bert", "model.text_backbone", {}),
    (r"feat_map", "model.text_projection", {}),
    (r"input_proj", "model.input_proj_vision", {}),
    (
        r"transformer\.encoder\.layers\.(\d+)",
        r"model.encoder.layers.\1.deformable_layer",
        _DEFORMABLE,
    ),
    (
        r"transformer\.encoder\.text_layers\.(\d+)",
        r"model.encoder.layers.\1.text_enhancer_layer",
        _TEXT,
    ),
    (
        r"transformer\.encoder\.fusion_layers\.(\d+)",
        r"model.encoder.layers.\1.fusion_layer",
        _FUSION,
    ),
    (r"transformer\.decoder\.layers", "model.decoder.layers", _DECODER),
    (r"transformer\.decoder\.norm", "model.decoder.layer_norm", {}),
    (r"transformer\.decoder\.ref_point_head", "model.decoder.reference_points_head", {}),
    (r"transformer\.enc_out_bbox_embed", "model.encoder_output_bbox_embed", {}),
    (r"transformer\.tgt_embed", "model.query_position_embeddings", {}),
    # All layers share one, and the file has it once, under any of its names.
    (r"(?:transformer\.decoder\.)?bbox_embed\.\d+", "bbox_embed.0", {}),
    (r"transformer", "model", {}),
)


class CountGD:
    """Minus the distance of the count and the number in the prompt, as `read_count` finds it.

    Its mean is minus the mean absolute error (MAE), and the share of zeros is the accuracy. It has
    no gradient.

    Parameters
    ----------
    checkpoints
        Where weights are.
    """

    differentiable = False

    def __init__(self, checkpoints: Checkpoints) -> None:
        transformers = optional("transformers")
        # In half precision the detector's attention comes to NaN.
        dtype = torch.promote_types(checkpoints.dtype, torch.float32)
        checkpoints = replace(checkpoints, dtype=dtype)
        config = checkpoints.pretrained(transformers.GroundingDinoConfig, _BASE)
        self.tokenizer = checkpoints.pretrained(transformers.BertTokenizer, _BASE)
        model, info = transformers.GroundingDinoForObjectDetection.from_pretrained(
            None,
            config=config,
            state_dict=_rename(checkpoints.weights(_MODEL, _FILE)),
            dtype=dtype,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
        if wrong := {what: sorted(keys)[:3] for what, keys in info.items() if keys}:
            raise ValueError(f"the weights of {_MODEL} are not of the layout expected: {wrong}")
        self.model = checkpoints.place(model)

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Return the score of images in [0, 1], (batch, 3, height, width), for their prompts."""
        numbers, objects = zip(*map(read_count, prompts), strict=True)
        counts = self.count(images, objects)
        return -(counts - counts.new_tensor(numbers)).abs()

    def count(self, images: Tensor, objects: Sequence[str]) -> Tensor:
        """Return how many objects of a name, such as ``"apple"``, each image shows: 900 at most."""
        if len(objects) != len(images):
            raise ValueError(f"objects must be {len(images)}, one an image, got {len(objects)}")
        # One by one: names differ in length.
        scores = [self.scores(image, name) for image, name in zip(images, objects, strict=True)]
        return torch.stack([(found > _THRESHOLD).sum().to(found.dtype) for found in scores])

    @torch.no_grad()
    def scores(self, image: Tensor, name: str) -> Tensor:
        """Return how sure the detector is of each of its boxes, in [0, 1], (boxes,).

        Of an image in [0, 1], (3, height, width), resized so that the shorter side has 800 pixels,
        or the longer one 1333 if it would have more.
        """
        pixels = rgb(image[None])
        pixels = resize(pixels, _size(*pixels.shape[-2:]), "bilinear")
        pixels = normalise(pixels, _MEAN, _STD).to(self.model.dtype)
        tokens = self.tokenizer(f"{name} .", return_tensors="pt").to(self.model.device)
        logits: Tensor = self.model(pixel_values=pixels, **tokens).logits[0]
        return logits.to(pixels.dtype).sigmoid().amax(-1)


def _size(height: int, width: int) -> tuple[int, int]:
    """Return the height and width that an image is resized to."""
    short, long = min(height, width), max(height, width)
    side = _SHORTER if long / short * _SHORTER <= _LONGER else round(_LONGER * short / long)
    return (
        (side, int(side * width / height))
        if height <= width
        else (int(side * height / width), side)
    )


def _rename(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return published weights under the names that `transformers` published GroundingDINO's by.

    They are those of its conversion script, ``convert_grounding_dino_to_hf.py``.
    """
    found: dict[str, Any] = {}
    for key, value in weights.items():
        if re.search(_UNUSED, key):
            continue
        name = _name(key)
        if ".qkv." in name:
            for part, share in zip(("query", "key", "value"), value.chunk(3), strict=True):
                found[name.replace(".qkv.", f".{part}.")] = share
        else:
            found[name] = value
    return found


def _name(key: str) -> str:
    for pattern, target, inside in _PARTS:
        if match := re.match(rf"{pattern}\.", key):
            parts = [inside.get(part, part) for part in key[match.end() :].split(".")]
            return ".".join([match.expand(target), *(part for part in parts if part)])
    return key
