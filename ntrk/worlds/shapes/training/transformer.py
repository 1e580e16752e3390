"""The transformer and its text encoders, trained together by flow matching."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..pipeline import CALL, text_parts, transformer
from .loop import random_of, train

__all__ = ["train_transformer", "velocity_of"]

Velocity = Callable[[Tensor, Tensor, Tensor], Tensor]

_UNPROMPTED = 0.1  # share of captions left empty, which guidance needs
_GUIDANCE = 3.0
_GUIDED = 0.4  # share of steps that learn it, the last ones


def train_transformer(
    latents: Tensor,
    captions: Sequence[str],
    *,
    steps: int,
    batch: int,
    seed: int,
    checkpoint: Path,
) -> dict[str, Any]:
    """Train on latents of mean zero and variance one, shape (count, 16, 16, 16), and captions.

    The velocity noise - latent is learnt at x_t = (1 - t) latent + t noise, t from a logit-normal
    distribution (P. Esser et al., 2024, arXiv 2403.03206, Section 3.1). The last steps add
    (1 - 1/s) (v_caption - v_empty) to it: what learns that has classifier-free guidance of scale s
    in it, as FLUX.1-dev has (Z. Tang et al., 2025, arXiv 2502.12154).

    Parameters
    ----------
    latents
        On the device to train on.
    captions
        One a latent.
    steps, batch
        How many steps, and latents a step.
    seed
        Of all that is drawn.
    checkpoint
        File for the state.

    Returns
    -------
    dict
        The trained parts of the pipeline, and the tokenizers.
    """
    torch.manual_seed(seed)
    device, empty = latents.device, len(captions)
    parts = text_parts() | {"transformer": transformer()}
    module = nn.ModuleDict({k: part for k, part in parts.items() if isinstance(part, nn.Module)})
    module.to(device)
    packed = _pack(latents)
    velocity = velocity_of(parts, [*captions, ""], torch.compile(module["transformer"]))

    def loss(step: int) -> Tensor:
        generator = random_of(seed, step, device)
        drawn = {"generator": generator, "device": device}
        which = torch.randint(empty, (batch,), **drawn)
        prompted = torch.rand(batch, **drawn) >= _UNPROMPTED
        t = torch.randn(batch, **drawn).sigmoid()
        x, level = packed[which].float(), t[:, None, None]
        noise = torch.randn(x.shape, **drawn)
        seen, texts = (1 - level) * x + level * noise, torch.where(prompted, which, empty)
        target = noise - x
        if step >= (1 - _GUIDED) * steps:
            with torch.no_grad():
                change = velocity(seen, t, texts) - velocity(seen, t, torch.full_like(texts, empty))
            target += (1 - 1 / _GUIDANCE) * prompted[:, None, None] * change
        return (velocity(seen, t, texts) - target).square().mean()

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


def velocity_of(parts: Mapping[str, Any], texts: Sequence[str], denoiser: Any) -> Velocity:
    """Return ``velocity(x, t, rows)`` of packed states, their times, and which of `texts` is asked.

    Parameters
    ----------
    parts
        Of the pipeline: text encoders and tokenizers.
    texts
        All that will be asked for.
    denoiser
        The transformer, compiled or not; all parts are on its device.
    """
    device = parts["transformer"].device
    clip, t5 = (tokens.to(device) for tokens in _tokens(parts, texts))
    line = torch.arange(8.0, device=device)
    places = torch.stack(torch.meshgrid(line[:1], line, line, indexing="ij"), -1).view(-1, 3)
    nowhere = torch.zeros(t5.shape[1], 3, device=device)

    def velocity(x: Tensor, t: Tensor, rows: Tensor) -> Tensor:
        found: Tensor = denoiser(
            hidden_states=x,
            timestep=t,
            encoder_hidden_states=parts["text_encoder_2"](t5[rows])[0],
            pooled_projections=parts["text_encoder"](clip[rows]).pooler_output,
            img_ids=places,
            txt_ids=nowhere,
            return_dict=False,
        )[0]
        return found.float()

    return velocity


def _is_layer(name: str) -> bool:
    """Whether a parameter is of a layer, not of what embeds words, places, times or states."""
    return "embed" not in name and "relative_attention_bias" not in name


def _pack(latents: Tensor) -> Tensor:
    """Put 2 x 2 cells into a token, as the pipeline does."""
    count, channels, height, width = latents.shape
    cells = latents.view(count, channels, height // 2, 2, width // 2, 2)
    return cells.permute(0, 2, 4, 1, 3, 5).reshape(count, height * width // 4, 4 * channels)


def _tokens(parts: Mapping[str, Any], texts: Sequence[str]) -> tuple[Tensor, Tensor]:
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
