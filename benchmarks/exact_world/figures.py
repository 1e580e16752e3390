"""Figure 3 of the paper, redrawn where everything in it is exact."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import whitenoise as wn
from ntrk import kernels
from ntrk.diffusion import as_diffusion
from ntrk.path import Denoised, flow
from ntrk.worlds import GaussianMixture

from .world import Case, fields, linear, orthonormal, turned

SIDE = 32  # fields of 4 x 32 x 32 values: structure shows in thousands of values, not in a thousand
NOW, THEN, STRENGTH = 0.6, 0.45, 0.1
DRAWS, CANDIDATES = 60, 20
WIDTH, HEIGHT = (-3.5, 6.5), (-11.0, 2.5)
# Okabe and Ito's colours, that all can tell apart.
DENSITY, MEAN, REWARD, DRAW = "#0072B2", "#D55E00", "#009E73", "#E69F00"


def kernels_figure() -> Figure:
    """The four kernels of Table 1 from one state, and how typical what they inject is."""
    world, generator = linear(SIDE), torch.Generator().manual_seed(3)
    now, then = flow(NOW), flow(THEN)
    picture = fields(world.prior.sample(1, generator))
    x = (now.alpha * picture + now.sigma * _normal(world, 1, generator)).requires_grad_()
    known = now.denoise(x, world.velocity(x, NOW), "velocity")
    (gradient,) = torch.autograd.grad(world.reward(known.data).sum(), x)
    x, known = x.detach(), Denoised(*(estimate.detach() for estimate in known))
    base = kernels.reverse_kernel(x, known, now, then, as_diffusion("3t^2"), "bridge")

    z, unit = _normal(world, DRAWS, generator), gradient / gradient.norm()
    white = torch.from_numpy(wn.whiten(gradient[0].numpy(), preset="default-1", rng=0))[None]
    tilted = kernels.tilted_noise(z, white, STRENGTH)
    reach = float(((tilted - z) * unit).flatten(1).sum(1).mean())
    tries = _normal(world, DRAWS * CANDIDATES, generator)
    best = (tries * unit).flatten(1).sum(1).reshape(DRAWS, CANDIDATES).argmax(1)
    noises = {
        "base": z,
        # As far along the gradient as the tilted noise goes, so that the two can be compared.
        "mean-shifted (DPS)": z + reach * unit,
        "search (SVDD)": tries[best + CANDIDATES * torch.arange(DRAWS)],
        "noise-tilted (NTRK)": tilted,
    }
    plane = orthonormal(turned(unit)[0], world.along[1])

    def seen(states: torch.Tensor) -> torch.Tensor:
        return turned(states) @ plane.T

    figure, axes = plt.subplots(2, 4, figsize=(14, 7), layout="constrained", height_ratios=(2, 1))
    for (above, below), (name, noise) in zip(axes.T, noises.items(), strict=True):
        _density(above, world.prior.projected(plane).diffused(then.alpha, then.sigma))
        if name.startswith("search"):
            points = seen(kernels.base(base, tries)).T
            above.scatter(*points, s=2, color="0.5", lw=0, label="candidates", zorder=2)
        points = seen(kernels.base(base, noise)).T
        above.scatter(*points, s=14, color=DRAW, ec="black", lw=0.4, label="draws", zorder=3)
        start, mean = seen(x)[0], seen(base.mean)[0]
        above.scatter(*start, s=50, color="black", marker="s", ec="white", label="state", zorder=4)
        above.scatter(*mean, s=90, color=MEAN, marker="X", ec="white", label="base mean", zorder=4)
        arrow = {"arrowstyle": "-|>", "color": REWARD, "lw": 2}
        above.annotate("", (6, 1.8), (3, 1.8), arrowprops=arrow)
        above.text(2.8, 1.8, "reward", color=REWARD, ha="right", va="center")
        above.set(title=name, xlabel="along the reward's gradient", xlim=WIDTH, ylim=HEIGHT)
        _typicality(below, np.array([wn.typicality(one.float()).pvalue for one in noise]))
    for one, place in zip(axes[0, ::2], ("lower left", "lower right"), strict=True):
        one.legend(fontsize=8, loc=place)
    axes[0, 0].set_ylabel("between the modes")
    axes[1, 0].set_ylabel("share of draws below")
    axes[1, 0].legend(fontsize=8, loc="upper left")
    return figure


def _normal(world: Case, count: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(count, *world.shape, generator=generator, dtype=torch.float64)


def _density(axes: Axes, law: GaussianMixture) -> None:
    """Shade the exact law of the next state."""
    across, up = (torch.linspace(*ends, 160, dtype=torch.float64) for ends in (WIDTH, HEIGHT))
    density = law.log_density(torch.cartesian_prod(across, up)).exp().reshape(160, 160).T
    axes.plot([], [], color=DENSITY, lw=7, alpha=0.35, label="law of the next state")
    for share in (0.003, 0.03, 0.2, 0.6):
        levels = [share * float(density.max()), float(density.max())]
        axes.contourf(across, up, density, levels=levels, colors=[DENSITY], alpha=0.16)


def _typicality(axes: Axes, pvalues: np.ndarray) -> None:
    """Draw the share of p-values below each level, beside that of white noise."""
    levels = np.logspace(-12, 0, 200)
    shares = (np.maximum(pvalues, levels[0])[:, None] <= levels).mean(0)
    axes.plot(levels, levels, color="0.4", ls="--", lw=1.5, label="white noise")
    axes.plot(levels, shares, color=DENSITY, lw=2, label="what was injected")
    axes.set(xscale="log", ylim=(-0.03, 1.03), xlabel="p-value of typicality")
    axes.text(0.03, 0.5, f"median {np.median(pvalues):.2g}", transform=axes.transAxes, fontsize=9)
