"""A low-rank adapter of the transformer, fine-tuned for a reward, for Section 5.5 of the paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ntrk.decoding import Decoder

from ..encoders import as_tokens
from ..grammar import sample_caption
from ..pipeline import load_pipeline
from ..rewards import load
from ..tasks import tasks
from .loop import random_of, train
from .transformer import velocity_of

__all__ = ["train_adapter"]

_STEPS, _BATCH, _RANK = 400, 16, 8
_LEVELS = 10  # of the sampler
_FIRST = 3  # level from which the estimated data show something
_STAY = 0.1  # weight of the distance from the model
_CAPTIONS = 4_000


def train_adapter(out: Path, cache: Path, seed: int, device: str = "cpu") -> None:
    """Raise the reward that matches images with captions of two groups; save to ``out / "lora"``.

    The gradient goes through one step of the sampler, a random one, and the data estimated there;
    the squared distance of velocities holds it near the model (J. Xu et al., 2023, "ImageReward",
    arXiv 2304.05977, Algorithm 1, with another regulariser). Prompts of the bench are left out.

    Parameters
    ----------
    out
        Folder of the trained pipeline and rewards.
    cache
        For the state.
    seed
        Of all that is drawn.
    device
        Where to train.
    """
    import diffusers
    import peft

    pipe = load_pipeline(out).to(device)
    texts = _captions(seed)
    judge = load(out / "rewards" / "alignment.safetensors").to(device)
    wanted = judge.texts(as_tokens(texts).to(device))
    model, decode = pipe.transformer.requires_grad_(False), Decoder(pipe)
    torch.manual_seed(seed)
    layers = ["to_q", "to_k", "to_v", "to_out.0", "proj_mlp", "proj_out"]
    model.add_adapter(peft.LoraConfig(r=_RANK, lora_alpha=_RANK, target_modules=layers))
    weights = nn.ParameterList(p for p in model.parameters() if p.requires_grad)
    velocity = velocity_of(pipe.components, texts, model)

    def loss(step: int) -> Tensor:
        generator = random_of(seed, step, device)
        rows = torch.randint(len(texts), (_BATCH,), generator=generator, device=device)
        x = torch.randn(_BATCH, 64, 64, generator=generator, device=device)
        last = int(np.random.default_rng([seed, step]).integers(_FIRST, _LEVELS))
        with torch.no_grad():
            for level in range(last):
                x = x - velocity(x, _times(level, x), rows) / _LEVELS
            model.disable_adapters()
            before = velocity(x, _times(last, x), rows)
            model.enable_adapters()
        now = velocity(x, _times(last, x), rows)
        data = pipe._unpack_latents(x - (1 - last / _LEVELS) * now, 64, 64, pipe.vae_scale_factor)
        reward = 10 * (judge.images(decode(data)).float() * wanted[rows]).sum(1)
        return _STAY * (now - before).square().mean() - reward.mean()

    average = train(
        weights,
        loss,
        steps=_STEPS,
        learning_rate=3e-3,
        checkpoint=cache / "adapter.pt",
        title="adapter",
        decay=0.98,
        warm_up=20,
    )
    weights.load_state_dict(average.values)
    found = {k: v.half() for k, v in peft.get_peft_model_state_dict(model).items()}
    diffusers.FluxPipeline.save_lora_weights(out / "lora", transformer_lora_layers=found)


def _times(level: int, x: Tensor) -> Tensor:
    return torch.full((len(x),), 1 - level / _LEVELS, device=x.device)


def _captions(seed: int) -> list[str]:
    """Draw captions of two groups that the bench does not ask for."""
    task = tasks()["text"]
    rng, found = np.random.default_rng([seed, 55]), list[str]()
    while len(found) < _CAPTIONS:
        demand = sample_caption(rng)
        if len(demand.groups) == 2 and str(demand) not in (*task.prompts, *task.validation):
            found.append(str(demand))
    return found
