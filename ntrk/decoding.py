"""Latents to images in [0, 1]: the end of a diffusers pipeline's call, with gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

__all__ = ["Decoder"]


class Decoder:
    """Latents to images in [0, 1]: the end of the pipeline's call, with gradients.

    Parameters
    ----------
    pipe
        A pipeline with a VAE.
    """

    def __init__(self, pipe: Any) -> None:
        self.vae = pipe.vae
        self.needs_upcast = self.vae.dtype == torch.float16 and self.vae.config.get("force_upcast")

    def __call__(self, latents: Tensor) -> Tensor:
        """Decode (batch, channels, ...) latents to BCHW images, or BFCHW videos."""
        config = self.vae.config
        mean, std = config.get("latents_mean"), config.get("latents_std")
        scale = config.get("scaling_factor") or 1.0
        if mean is not None and std is not None:
            shape = (1, -1, *[1] * (latents.ndim - 2))
            mean, std = (latents.new_tensor(v).reshape(shape) for v in (mean, std))
            latents = latents * std / scale + mean
        else:
            latents = latents / scale + (config.get("shift_factor") or 0.0)
        images = self.vae.decode(latents.to(self.vae.dtype), return_dict=False)[0].float()
        if images.ndim == 5:
            images = images.transpose(1, 2)
        return (images / 2 + 0.5).clamp(0, 1)

    @contextmanager
    def upcast(self) -> Iterator[None]:
        """Keep a VAE that overflows in half precision in single, as its pipeline does."""
        if self.needs_upcast:
            self.vae.to(torch.float32)
        try:
            yield
        finally:
            if self.needs_upcast:
                self.vae.to(torch.float16)
