"""Reverse kernels ``x_s = mean + std z``, and the four ways of Table 1 to use the base kernel."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .diffusion import Diffusion
from .path import Denoised, Point

__all__ = [
    "FORMS",
    "Gaussian",
    "base",
    "mean_shifted",
    "noise_tilted",
    "reverse_kernel",
    "search",
    "shifted_noise",
    "tilted_noise",
]

Tensor = Any

FORMS = ("bridge", "euler_maruyama")


class Gaussian(NamedTuple):
    """The Gaussian ``N(mean, std^2 I)``: a reverse kernel at one state (Eq. 3 of the paper)."""

    mean: Tensor
    std: float


def reverse_kernel(
    x: Tensor, denoised: Denoised, now: Point, then: Point, diffusion: Diffusion, form: str
) -> Gaussian:
    """Return the kernel of the base sampler from `x` at `now` to the less noisy point `then`.

    Parameters
    ----------
    x
        State at `now`.
    denoised
        What the model knows of it.
    now, then
        Points of one path, ``then.time < now.time``.
    diffusion
        How much fresh noise; the marginals of an exact model do not depend on it.
    form
        ``"bridge"``: exact for a frozen Tweedie estimate,
        ``alpha_s x0 + sqrt(sigma_s^2 - std^2) eps + std z`` with
        ``std = sigma_s sqrt(1 - exp(-Lambda))``; with the ancestral coefficient these are the steps
        of DDPM, of DDIM at eta = 1, and of Euler ancestral. ``"euler_maruyama"``: Eq. 34,
        ``x - (v - g^2 / 2 score) dt + g sqrt(dt) z`` on the flow path, at the scale of this one.

    Raises
    ------
    ValueError
        If the form is unknown, time does not decrease, or an Euler step would be infinite.

    Examples
    --------
    >>> from ntrk.diffusion import as_diffusion
    >>> from ntrk.path import flow
    >>> known = Denoised(data=1.0, noise=-1.0)
    >>> reverse_kernel(0.0, known, flow(0.5), flow(0.25), as_diffusion("ode"), "bridge")
    Gaussian(mean=0.5, std=0.0)
    """
    if not then.time < now.time:
        raise ValueError(f"time must decrease, got a step from {now.time:g} to {then.time:g}")
    if form == "bridge":
        if then.sigma == 0:
            return Gaussian(then.alpha * denoised.data, 0.0)
        decay = diffusion.decay(then.time, now.time)
        std = then.sigma * math.sqrt(-math.expm1(-decay))
        kept = then.sigma * math.exp(-decay / 2)  # sqrt(sigma^2 - std^2) without cancellation
        return Gaussian(then.alpha * denoised.data + kept * denoised.noise, std)
    if form != "euler_maruyama":
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}")
    t, dt, g = now.time, now.time - then.time, diffusion.coefficient(now.time)
    if not math.isfinite(g):
        raise ValueError(
            f"the diffusion coefficient {diffusion.name} is infinite at time {t:g}, where an "
            'Euler-Maruyama step starts; use form="bridge"'
        )
    velocity = denoised.noise - denoised.data
    drift = velocity + g * g / (2 * t) * denoised.noise  # the score is -noise / t
    return Gaussian((x / now.scale - drift * dt) * then.scale, g * math.sqrt(dt) * then.scale)


def base(kernel: Gaussian, z: Tensor) -> Tensor:
    """Draw from the base kernel (Eq. 4)."""
    return kernel.mean + kernel.std * z


def mean_shifted(kernel: Gaussian, z: Tensor, shift: Tensor) -> Tensor:
    """Draw from the kernel whose mean a gradient has moved (Eq. 6)."""
    return base(kernel, z) + shift


def shifted_noise(kernel: Gaussian, z: Tensor, shift: Tensor) -> Tensor:
    """Return the perturbation that a shift amounts to, relative to the base mean (Eq. 7)."""
    return z + shift / kernel.std if kernel.std > 0 else z


def search(kernel: Gaussian, zs: Tensor) -> Tensor:
    """Draw candidates (K, ...) from the base kernel, of which a search keeps one (Eqs. 8, 9)."""
    return base(kernel, zs)


def tilted_noise(z: Tensor, direction: Tensor, strength: float) -> Tensor:
    """Mix noise with a whitened direction, keeping the variance (Eq. 11).

    In float64 where the device has it, and then rounded: where a sum of two float32 cancels it has
    fewer bits than noise has, which shows in tens of thousands of values.
    """
    wide = z.float() if z.device.type == "mps" else z.double()
    mixed = math.sqrt(strength) * direction.to(wide.dtype) + math.sqrt(1 - strength) * wide
    return mixed.to(z.dtype)


def noise_tilted(kernel: Gaussian, z: Tensor, direction: Tensor, strength: float) -> Tensor:
    """Draw from the noise-tilted kernel: the mean untouched (Eq. 12)."""
    return base(kernel, tilted_noise(z, direction, strength))
