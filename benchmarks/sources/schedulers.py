"""Noise that the schedulers of diffusers inject, recovered from the steps they take.

The model is the exact denoiser of the mixture, so latents carry images while the noise must not.
Subtracting the mean of a step and dividing by its standard deviation, both in double precision,
gives the noise that reached the latent, with the rounding of the latent in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch

from benchmarks.sources.inversion import SHAPE, world
from benchmarks.sources.mixture import coefficients, pixels
from benchmarks.sources.source import ATYPICAL, OPEN, TYPICAL, Missing, Source

STEPS = 25
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def sources() -> Iterator[Source | Missing]:
    if find_spec("diffusers") is None:
        reason = "diffusers is not installed: pip install 'diffusers==0.42.*'"
        yield Missing("noise of the schedulers", reason)
        return
    for dtype in ("float32", "bfloat16"):
        yield Source(
            "diffusers randn_tensor",
            partial(initial, dtype),
            TYPICAL,
            "a first latent, from a Torch generator on the CPU",
            axis=(1, 2, 3),
        )
    injected = f"noise injected in {STEPS - 1} of {STEPS} steps"
    rounded = {
        ddpm: (OPEN, "; with the rounding of the latents, small beside it"),
        euler_ancestral: (ATYPICAL, "; latents near 14 are rounded to 1/16, so values coincide"),
        flow_euler: (ATYPICAL, "; at sigma = 0.001 the latent is too coarse to hold it"),
    }
    for recover, (verdict, remark) in rounded.items():
        name = "diffusers " + recover.__name__.replace("_", " ")
        yield Source(
            f"{name}, float32 latents",
            partial(recover, "float32"),
            TYPICAL,
            injected,
            axis=(1, 2, 3),
        )
        yield Source(
            f"{name}, bfloat16 latents",
            partial(recover, "bfloat16"),
            verdict,
            injected + remark,
            axis=(1, 2, 3),
        )


def predict(latent: torch.Tensor, alpha: float, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Expected clean latent and noise, given ``alpha * clean + sigma * noise``."""
    both = world().denoise(coefficients(latent.double().numpy()), alpha, sigma)
    return pixels(both[0]), pixels(both[1])


def initial(dtype: str) -> torch.Tensor:
    from diffusers.utils.torch_utils import randn_tensor

    generator = torch.Generator().manual_seed(0)
    return randn_tensor((STEPS, *SHAPE), generator=generator, dtype=getattr(torch, dtype))


def ddpm(dtype: str) -> np.ndarray:
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(**BETAS, clip_sample=False)
    scheduler.set_timesteps(STEPS)
    kept = scheduler.alphas_cumprod.double().numpy()
    generator = torch.Generator().manual_seed(0)
    latent = _first(generator, dtype)
    recovered = []
    for t, previous in zip(scheduler.timesteps[:-1], scheduler.timesteps[1:], strict=True):
        here, there = kept[t], kept[previous]
        _, noise = predict(latent, here**0.5, (1 - here) ** 0.5)
        output = torch.from_numpy(noise).to(latent.dtype)
        after = scheduler.step(output, t, latent, generator=generator).prev_sample
        # Eqs. 6 and 7 of "Denoising Diffusion Probabilistic Models", with the model's rounded word.
        x, eps = latent.double().numpy(), output.double().numpy()
        clean = (x - (1 - here) ** 0.5 * eps) / here**0.5
        ratio = here / there
        mean = (there**0.5 * (1 - ratio) * clean + ratio**0.5 * (1 - there) * x) / (1 - here)
        std = ((1 - there) / (1 - here) * (1 - ratio)) ** 0.5
        recovered.append((after.double().numpy() - mean) / std)
        latent = after
    return np.concatenate(recovered).astype(np.float32)


def euler_ancestral(dtype: str) -> np.ndarray:
    from diffusers import EulerAncestralDiscreteScheduler

    scheduler = EulerAncestralDiscreteScheduler(**BETAS)
    scheduler.set_timesteps(STEPS)
    sigmas = scheduler.sigmas.double().numpy()
    generator = torch.Generator().manual_seed(0)
    latent = _first(generator, dtype) * scheduler.init_noise_sigma.to(getattr(torch, dtype))
    recovered = []
    # The last step goes to sigma = 0 and injects nothing.
    for t, here, there in zip(scheduler.timesteps[:-1], sigmas, sigmas[1:], strict=False):
        scheduler.scale_model_input(latent, t)
        _, noise = predict(latent, 1.0, here)
        output = torch.from_numpy(noise).to(latent.dtype)
        after = scheduler.step(output, t, latent, generator=generator).prev_sample
        up = (there**2 * (here**2 - there**2) / here**2) ** 0.5
        down = (there**2 - up**2) ** 0.5
        mean = latent.double().numpy() + output.double().numpy() * (down - here)
        recovered.append((after.double().numpy() - mean) / up)
        latent = after
    return np.concatenate(recovered).astype(np.float32)


def flow_euler(dtype: str) -> np.ndarray:
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(stochastic_sampling=True)
    scheduler.set_timesteps(STEPS)
    sigmas = scheduler.sigmas.double().numpy()
    generator = torch.Generator().manual_seed(0)
    latent = _first(generator, dtype)
    recovered = []
    for t, here, there in zip(scheduler.timesteps[:-1], sigmas, sigmas[1:], strict=False):
        clean, noise = predict(latent, 1 - here, here)
        output = torch.from_numpy(noise - clean).to(latent.dtype)
        after = scheduler.step(output, t, latent, generator=generator).prev_sample
        clean = latent.double().numpy() - here * output.double().numpy()
        recovered.append((after.double().numpy() - (1 - there) * clean) / there)
        latent = after
    return np.concatenate(recovered).astype(np.float32)


def _first(generator: torch.Generator, dtype: str) -> torch.Tensor:
    return torch.randn((1, *SHAPE), generator=generator).to(getattr(torch, dtype))
