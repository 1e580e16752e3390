"""The autoencoder: 64 x 64 pixels to 16 x 16 x 16 latent values and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d
from tqdm import trange

from .data import as_tensor
from .loop import random_of, train

__all__ = ["autoencoder", "encode", "train_autoencoder"]

_BATCH = 32
_DIVERGENCE = 3e-5  # weight of the divergence from N(0, I), per value


def autoencoder(*, shift: float | None = None, scale: float = 1.0) -> Any:
    """Return an untrained `AutoencoderKL`, whose latents minus `shift` times `scale` are used."""
    import diffusers

    return diffusers.AutoencoderKL(
        block_out_channels=(16, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=8,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=shift,
        scaling_factor=scale,
        sample_size=64,
    )


def train_autoencoder(
    images: Any, *, steps: int, seed: int, checkpoint: Path, device: str = "cpu"
) -> Any:
    """Train on squared errors, at full size and at half of it.

    A decoder that draws a latent of half the size as the image of half the size makes latents
    smooth, and smooth latents are easier to learn for a diffusion model (T. Kouzelis et al., 2025,
    "EQ-VAE", arXiv 2502.09509).
    """
    torch.manual_seed(seed)
    vae = autoencoder().to(device)

    def loss(step: int) -> Tensor:
        rng = np.random.default_rng([seed, step])
        x = as_tensor(images[np.sort(rng.integers(0, len(images), _BATCH))], device) * 2 - 1
        posterior = vae.encode(x).latent_dist
        generator = random_of(seed, step, device)
        noise = torch.randn(posterior.mean.shape, generator=generator, device=device)
        z = posterior.mean + posterior.std * noise
        if step % 4 == 3:
            z, x = avg_pool2d(z, 2), avg_pool2d(x, 2)
        error = (vae.decode(z).sample.float() - x).square().mean()
        return error + _DIVERGENCE * posterior.kl().mean() / z[0].numel()

    average = train(
        vae,
        loss,
        steps=steps,
        learning_rate=2e-3,
        checkpoint=checkpoint,
        title="autoencoder",
        decay=0.995,
    )
    vae.load_state_dict(average.values)
    return vae.eval().requires_grad_(False)


@torch.no_grad()
def encode(vae: Any, images: Any, batch: int = 100) -> Tensor:
    """Return the means of the latents of all images, in float16, on the device of `vae`."""
    means = []
    with torch.autocast(vae.device.type, torch.bfloat16):
        for start in trange(0, len(images), batch, desc="latents"):
            x = as_tensor(images[start : start + batch], vae.device) * 2 - 1
            means.append(vae.encode(x).latent_dist.mean.half())
    return torch.cat(means)
