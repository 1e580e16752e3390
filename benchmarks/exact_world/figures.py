"""Figures: what each kernel does to a state, and what each method does to law and noise."""

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

from .entries import BUDGETS, MAIN
from .study import Row, case
from .world import SHAPE, fields, turned

NOW, THEN = 0.8, 0.5  # one long step, so that there is something to see
DRAWS, CANDIDATES, STRENGTH = 60, 20, 0.3
# Okabe and Ito's colours, that all can tell apart.
DENSITY, STATE, MEAN, REWARD = "#0072B2", "#000000", "#D55E00", "#009E73"
DRAW = "#E69F00"


def kernels_figure() -> Figure:
    """The four kernels of Table 1 from one state, and how typical what they inject is."""
    world, generator = case("linear"), torch.Generator().manual_seed(8)
    now, then = flow(NOW), flow(THEN)
    start = fields(world.prior.sample(1, generator))
    x = (now.alpha * start + now.sigma * _normal(1, generator)).requires_grad_()
    data = now.denoise(x, world.velocity(x, NOW), "velocity")
    (gradient,) = torch.autograd.grad(world.reward(data.data).sum(), x)
    known = Denoised(*(e.detach() for e in data))
    base = kernels.reverse_kernel(x.detach(), known, now, then, as_diffusion("3t^2"), "bridge")

    z = _normal(DRAWS, generator)
    unit = gradient / gradient.norm()
    white = torch.from_numpy(wn.whiten(gradient[0].numpy(), rng=0))[None]
    tilted = kernels.noise_tilted(base, z, white, STRENGTH)
    # As far along the gradient as the tilted noise goes, so that the two can be compared.
    reach = float(((tilted - kernels.base(base, z)) * unit).flatten(1).sum(1).mean())
    candidates = kernels.search(base, _normal(DRAWS * CANDIDATES, generator))
    chosen = (candidates * unit).flatten(1).sum(1).reshape(DRAWS, CANDIDATES).argmax(1)
    panels = {
        "base": kernels.base(base, z),
        "mean-shifted (DPS)": kernels.mean_shifted(base, z, reach * unit),
        "search (SVDD)": candidates.reshape(DRAWS, CANDIDATES, *SHAPE)[range(DRAWS), chosen],
        "noise-tilted (NTRK)": tilted,
    }
    rows = torch.stack([turned(unit)[0], world.along[1]])
    plane = torch.linalg.qr(rows.T).Q.T
    plane = plane * (plane * rows).sum(1, keepdim=True).sign()
    flat = {name: turned(states) @ plane.T for name, states in panels.items()}
    marginal = world.prior.projected(plane).diffused(then.alpha, then.sigma)

    figure, axes = plt.subplots(
        2, 4, figsize=(14, 6.6), layout="constrained", height_ratios=(2.1, 1)
    )
    for column, (name, states) in enumerate(panels.items()):
        above, below = axes[:, column]
        _density(above, marginal)
        if name.startswith("search"):
            others = turned(candidates) @ plane.T
            above.scatter(*others.T, s=3, color="0.55", lw=0, label="candidates")
        above.scatter(*flat[name].T, s=16, color=DRAW, ec="black", lw=0.4, label="draws", zorder=3)
        points = {"state": (x.detach(), STATE, "s"), "base mean": (base.mean, MEAN, "X")}
        for label, (point, colour, marker) in points.items():
            at = (turned(point) @ plane.T)[0]
            above.scatter(*at, s=70, color=colour, marker=marker, ec="white", label=label, zorder=4)
        at = (turned(base.mean) @ plane.T)[0]
        above.annotate(
            "",
            at + torch.tensor([2.6, 0]),
            at,
            arrowprops={"arrowstyle": "-|>", "color": REWARD, "lw": 2},
            zorder=5,
        )
        pvalues = _pvalues((states - base.mean) / base.std)
        above.set_title(name)
        above.set(xlabel="along the reward's gradient", xlim=(-5, 6), ylim=(-8, 8))
        _typicality(below, pvalues)
    axes[0, 0].plot([], [], color=REWARD, lw=2, label="direction of reward")
    axes[0, 2].legend(fontsize=8, loc="upper left")
    handles = dict(zip(*axes[0, 0].get_legend_handles_labels()[::-1], strict=True))
    axes[0, 0].legend(handles.values(), handles.keys(), fontsize=8, loc="upper left")
    axes[0, 0].set_ylabel("between the modes")
    axes[1, 0].set_ylabel("share of draws")
    return figure


def _normal(count: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(count, *SHAPE, generator=generator, dtype=torch.float64)


def _pvalues(noise: torch.Tensor) -> np.ndarray:
    return np.array([wn.typicality(one.float()).pvalue for one in noise])


def _density(axes: Axes, marginal: object) -> None:
    """Shade the law of the next state: where noise of that level leads."""
    across, up = torch.linspace(-5, 6, 160), torch.linspace(-8, 8, 160)
    grid = torch.cartesian_prod(across, up).double()
    density = marginal.log_density(grid).exp().reshape(160, 160).T
    levels = torch.tensor([0.01, 0.1, 0.3, 0.6, 1.0]) * density.max()
    axes.contourf(across, up, density, levels=levels, colors=[DENSITY], alpha=0.18)
    for low in levels[:-1]:
        axes.contourf(
            across, up, density, levels=[low, density.max()], colors=[DENSITY], alpha=0.12
        )


def _typicality(axes: Axes, pvalues: np.ndarray) -> None:
    """Draw the share of p-values below each level, beside that of white noise."""
    levels = np.logspace(-9, 0, 200)
    axes.plot(levels, levels, color="0.5", ls="--", lw=1, label="white noise")
    shares = (np.maximum(pvalues, levels[0])[:, None] <= levels).mean(0)
    axes.plot(levels, shares, color=MEAN, lw=2, label="perturbation")
    axes.set(xscale="log", ylim=(-0.03, 1.03), xlabel="p-value of typicality below")
    axes.set_title(f"median p = {np.median(pvalues):.2g}", fontsize=10)
    axes.legend(fontsize=8, loc="upper left")


def typicality_figure(rows: list[Row]) -> Figure:
    """Reward beside the share of perturbations that typicality rejects, for each method."""
    figure, axes = plt.subplots(1, 2, figsize=(13, 4.6), layout="constrained")
    for one, name in zip(axes, ("linear", "quadratic"), strict=True):
        shown = [row for row in rows if row.entry.case == name and MAIN in row.entry.tables]
        world = case(name)
        one.axvline(world.tilted.expected_reward(world.known), color=REWARD, lw=1.5)
        for budget, marker in zip(BUDGETS, "osD", strict=True):
            for row in (row for row in shown if row.budget == budget):
                one.scatter(row.law.reward, row.rejected, marker=marker, color=DENSITY, s=24)
                one.annotate(
                    row.entry.label, (row.law.reward, row.rejected), fontsize=7, rotation=30
                )
        one.set(title=name, xlabel="mean reward", ylabel="share of noise rejected")
    return figure
