"""Diffusion coefficients g(t): how much noise a reverse SDE injects, for the same marginals.

With a frozen Tweedie estimate, the noise ``y = (x - alpha x0) / sigma`` in the state follows
``dy = -g^2 / (2 sigma^2) y d(-t) + (g / sigma) dw`` backward in time: an Ornstein-Uhlenbeck
process, whatever the path. So an exact step needs of g only the integral
``Lambda = int_s^t g^2 / u^2 du`` over flow time: the noise kept has weight ``exp(-Lambda / 2)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy.integrate import quad

__all__ = ["DIFFUSIONS", "Diffusion", "as_diffusion"]


@dataclass(frozen=True)
class Diffusion:
    """A diffusion coefficient in flow time.

    Attributes
    ----------
    name
        How it is written in tables.
    coefficient
        ``g(t)``, in the units of the flow path.
    decay
        ``Lambda(s, t)``, the integral of ``g(u)^2 / u^2`` from s to t, for ``0 < s <= t <= 1``.
    """

    name: str
    coefficient: Callable[[float], float]
    decay: Callable[[float, float], float]


def _ancestral(t: float) -> float:
    return math.sqrt(2 * t / (1 - t)) if t < 1 else math.inf


def _log_snr_gain(s: float, t: float) -> float:
    return math.inf if t >= 1 else 2 * math.log(t * (1 - s) / (s * (1 - t)))


DIFFUSIONS: dict[str, Diffusion] = {
    diffusion.name: diffusion
    for diffusion in (
        Diffusion("3t^2", lambda t: 3 * t * t, lambda s, t: 3 * (t**3 - s**3)),
        Diffusion(
            "1-(1-t)^2", lambda t: t * (2 - t), lambda s, t: ((2 - s) ** 3 - (2 - t) ** 3) / 3
        ),
        # g^2 = -sigma^2 d log SNR / dt: the step of DDPM, which forgets all noise at t = 1.
        Diffusion("ancestral", _ancestral, _log_snr_gain),
        Diffusion("ode", lambda t: 0.0, lambda s, t: 0.0),
    )
}
"""By name: two of public flow samplers, the one of DDPM's ancestral steps, and none."""


def as_diffusion(diffusion: str | float | Callable[[float], float] | Diffusion) -> Diffusion:
    """Return a `Diffusion`: by name, constant (a number), or of any function ``g(t)``.

    Parameters
    ----------
    diffusion
        A key of `DIFFUSIONS`, a number of at least 0 (constant g), a function of flow time in
        (0, 1], integrated numerically, or a `Diffusion`.

    Examples
    --------
    >>> as_diffusion("3t^2").coefficient(0.5), as_diffusion(0.7).name
    (0.75, 'constant 0.7')
    """
    if isinstance(diffusion, Diffusion):
        return diffusion
    if isinstance(diffusion, str):
        if diffusion not in DIFFUSIONS:
            raise ValueError(
                f"diffusion must be one of {', '.join(DIFFUSIONS)}, a number or a function of the "
                f"flow time, got {diffusion!r}"
            )
        return DIFFUSIONS[diffusion]
    if callable(diffusion):
        g = diffusion
        return Diffusion(
            getattr(g, "__name__", "function"),
            g,
            lambda s, t: quad(lambda u: (g(u) / u) ** 2, s, t)[0],
        )
    if not (isinstance(diffusion, (int, float)) and 0 <= diffusion < math.inf):
        raise ValueError(f"diffusion must be a finite number of at least 0, got {diffusion!r}")
    c = float(diffusion)
    return Diffusion(f"constant {c:g}", lambda t: c, lambda s, t: c * c * (1 / s - 1 / t))
