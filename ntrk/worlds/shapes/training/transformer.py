"""The transformer and its text encoders, trained together by flow matching."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..pipeline import CALL, text_parts, transformer
from .loop import random_of, train

__all__ = ["train_transformer"]

_BATCH = 32
_UNPROMPTED = 0.1  # share of captions left empty, so that guidance without a prompt works too


def train_transformer(
    latents: Tensor, captions: Sequence[str], *, steps: int, seed: int, checkpoint: Path
) -> dict[str, Any]:
    """Train on latents of mean zero and variance one, shape (count, 16, 16, 16), and captions.

    The velocity noise - latent is learnt at x_t = (1 - t) latent + t noise, t from a logit-normal
    distribution (P. Esser et al., 2024, arXiv 2403.03206, Section 3.1).

    Returns
    -------
    dict
        The trained parts of the pipeline, and the tokenizers.
    """
    torch.manual_seed(seed)
    parts = text_parts() | {"transformer": transformer()}
    module = nn.ModuleDict({k: part for k, part in parts.items() if isinstance(part, nn.Module)})
    packed = _pack(latents)
    clip, t5 = _tokens(parts, [*captions, ""])
    rows = torch.arange(8.0)
    places = torch.stack(torch.meshgrid(torch.zeros(1), rows, rows, indexing="ij"), -1).view(-1, 3)
    model = torch.compile(module["transformer"])

    def loss(step: int) -> Tensor:
        rng = np.random.default_rng([seed, step])
        generator = random_of(seed, step)
        which = rng.integers(0, len(packed), _BATCH)
        x = packed[which].float()
        texts = np.where(rng.random(_BATCH) < _UNPROMPTED, len(captions), which)
        t = torch.randn(_BATCH, generator=generator).sigmoid()
        noise = torch.randn(x.shape, generator=generator)
        level = t[:, None, None]
        velocity = model(
            hidden_states=(1 - level) * x + level * noise,
            timestep=t,
            encoder_hidden_states=module["text_encoder_2"](t5[texts])[0],
            pooled_projections=module["text_encoder"](clip[texts]).pooler_output,
            img_ids=places,
            txt_ids=torch.zeros(t5.shape[1], 3),
            return_dict=False,
        )[0]
        return (velocity.float() - (noise - x)).square().mean()

    average = train(
        module,
        loss,
        steps=steps,
        learning_rate=2e-3,
        checkpoint=checkpoint,
        title="transformer",
        warm_up=200,
        is_layer=_is_layer,
    )
    module.load_state_dict(average.values)
    module.eval().requires_grad_(False)
    return parts


def _is_layer(name: str) -> bool:
    """Whether a parameter is of a layer, not of what embeds words, places, times or states."""
    return "embed" not in name and "relative_attention_bias" not in name


def _pack(latents: Tensor) -> Tensor:
    """Put 2 x 2 cells into a token, as the pipeline does."""
    count, channels, height, width = latents.shape
    cells = latents.view(count, channels, height // 2, 2, width // 2, 2)
    return cells.permute(0, 2, 4, 1, 3, 5).reshape(count, height * width // 4, 4 * channels)


def _tokens(parts: dict[str, Any], texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return the tokens of both tokenizers, padded as the pipeline pads them."""
    clip, t5 = parts["tokenizer"], parts["tokenizer_2"]
    length = {"tokenizer": clip.model_max_length, "tokenizer_2": CALL["max_sequence_length"]}
    first, second = (
        tokenizer(
            list(texts),
            padding="max_length",
            max_length=length[name],
            truncation=True,
            return_tensors="pt",
        ).input_ids
        for name, tokenizer in (("tokenizer", clip), ("tokenizer_2", t5))
    )
    return first, second
