"""Draw the figures of the documentation: python docs/_figures.py."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage

import whitenoise as wn
from whitenoise.order_statistics import global_interval, one_level_interval, two_level_interval
from whitenoise.plotting import compare

IMAGES = Path(__file__).parent / "images"
LEVEL = 0.9999
BLUE, RED = "#33658a", "#c0392b"


def intervals():
    """The three kinds of interval, for 1,024 values."""
    figure, (a, b, c) = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    lower, upper = global_interval(LEVEL)
    grid = np.linspace(-5, 5, 401)
    density = np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi)
    a.plot(grid, density, color="black", lw=1)
    inside = (grid >= lower) & (grid <= upper)
    a.fill_between(grid[inside], density[inside], color=BLUE, alpha=0.4)
    for end in (lower, upper):
        a.axvline(end, color=RED, lw=1)
    a.set(title=f"(a) global: [{lower:.2f}, {upper:.2f}]", xlabel="value", yticks=[])

    n = 1024
    noise = np.sort(np.random.default_rng(0).standard_normal(n))
    band = one_level_interval(n, LEVEL)
    rank = np.arange(1, n + 1)
    b.fill_between(rank, *band, color=BLUE, alpha=0.4, label=f"{LEVEL:.2%} interval")
    b.plot(rank, noise, color="black", lw=0.8, label="a draw, sorted")
    b.axhline(float(lower), color=RED, lw=1, ls=":")
    b.axhline(float(upper), color=RED, lw=1, ls=":")
    b.set(title="(b) one level: 1,024 ranks", xlabel="rank", ylabel="value")
    b.legend(loc="upper left", fontsize=8)

    lower, upper = two_level_interval(64, 16, LEVEL)
    draw = np.random.default_rng(0).standard_normal((64, 16))
    draw = np.sort(np.sort(draw, axis=1), axis=0)
    outer = np.arange(1, 65)
    for j, colour in enumerate(plt.get_cmap("viridis")(np.linspace(0, 0.95, 16))):
        c.fill_between(outer, lower[:, j], upper[:, j], color=colour, alpha=0.35, lw=0)
        c.plot(outer, draw[:, j], color=colour, lw=1)
    c.set(title="(c) two levels: 64 chunks of 16", xlabel="rank among chunks", ylabel="value")
    c.text(66, draw[-1, 0], "smallest\nof a chunk", fontsize=7, va="center")
    c.text(66, draw[-1, -1], "largest", fontsize=7, va="center")
    figure.savefig(IMAGES / "intervals.png", dpi=110)


def warped():
    """The report on noise of which a tenth was turned by three degrees, with interpolation."""
    x, fresh = np.random.default_rng(4).standard_normal((2, 4, 64, 64))
    y = ndimage.rotate(x, 3, axes=(1, 2), reshape=False, order=1, mode="wrap")
    report = wn.typicality(np.sqrt(0.9) * fresh + np.sqrt(0.1) * y / np.sqrt(np.mean(y**2)))
    report.plot().savefig(IMAGES / "check.png", dpi=80)


def striped():
    """Stripes of large values, as in the paper's Figure 10, with 64 x 64 values."""
    rng = np.random.default_rng(1)
    x = 0.6 * rng.standard_normal((64, 64))
    x[:, ::8] += 3
    x[20:28] *= 3
    return x


def sequence():
    """The same input through ever tighter sets."""
    x = striped()
    steps = {
        "input": x,
        "global": wn.project_global(x),
        "one level": wn.project_1os(x, rng=0),
        "two levels, chunks of 16": wn.project_2os(x, 16, rng=0),
        "the whole operator": wn.whiten(x, preset="default-1", rng=0),
    }
    figure = compare({"stripes": steps}, {"stripes": {k: moved(x, y) for k, y in steps.items()}})
    figure.savefig(IMAGES / "sequence.png", dpi=80)


def moved(x, y):
    """Two numbers on what an operator did."""
    cosine = np.sum(x * y) / np.linalg.norm(x) / np.linalg.norm(y)
    return (f"cosine {cosine:.3f}, moved {np.linalg.norm(x - y):.1f}",)


if __name__ == "__main__":
    intervals()
    sequence()
    warped()
