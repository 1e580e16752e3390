"""Tables and the figure from the rows of a run."""

from __future__ import annotations

import json
import math

import numpy as np

from . import inputs
from .operators import OURS

ALARM = 1e-3
COLOURS = {"gradients": "#D55E00", "fields": "#0072B2"}
MARKERS = "osPDvd^*"
SHORT = "one sweep (paper)", "until it converges (default-1)", OURS


class Rows:
    """Rows of a file, to be selected from."""

    def __init__(self, rows):
        self.rows = rows

    def where(self, **wanted):
        return Rows([r for r in self.rows if all(r.get(k) == v for k, v in wanted.items())])

    def structured(self):
        return Rows([r for r in self.rows if r.get("input", "noise") != "noise"])

    def group(self, name):
        gradient = [", step " in r["input"] for r in self.rows]
        wanted = name == "gradients"
        return Rows([r for r, g in zip(self.rows, gradient, strict=True) if g == wanted])

    def names(self, key):
        return list(dict.fromkeys(json.dumps(r[key]) for r in self.rows if key in r))

    def mean(self, key):
        """Mean over inputs of the mean over draws."""
        by_input = {}
        for r in self.rows:
            by_input.setdefault(r["input"], []).append(r[key])
        return float(np.mean([np.mean(v) for v in by_input.values()])) if by_input else math.nan

    def rejected(self, key):
        """Share of p-values below ALARM, or of their logarithms."""
        limit = math.log10(ALARM) if key.endswith("p") else ALARM
        found = [r[key] < limit for r in self.rows if key in r]
        return np.mean(found) if found else math.nan

    def __len__(self):
        return len(self.rows)


def read(path):
    """Return the rows of a file, none if there is none."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def write(path, out, figure):
    """Write the tables and the figure."""
    rows = Rows(read(path))
    world = rows.where(shape=list(inputs.WORLD))
    names = [json.loads(name) for name in world.names("operator")]
    bounds = {r["bounded"]: (r["bound"], r["from"]) for r in rows.rows if "bounded" in r}
    (out / "frontier.md").write_text("\n".join(_summary(rows, world, names)) + "\n")
    (out / "frontier_inputs.md").write_text("\n".join(_inputs(world, bounds)) + "\n")
    (out / "frontier_shapes.md").write_text("\n".join(_shapes(rows)) + "\n")
    _picture(world.structured(), names, bounds, figure)


def _summary(rows, world, names):
    head = [
        "operator",
        *("cosine, gradients", "cosine, fields", "rejected", "by other tests"),
        *("told by a network, gradients", "told, fields"),
        *("mixed, rejected", "by other tests", "noise untouched", "least cosine of noise"),
        *("ms, 4,096 values", "ms, 65,536"),
    ]
    yield "| " + " | ".join(head) + " |"
    yield "|---|" + "---:|" * (len(head) - 1)
    large = rows.where(shape=[16, 64, 64])
    for name in names:
        own = world.where(operator=name)
        structured, noise = own.structured(), own.where(input="noise")
        told = {r["told"]: r["accuracy"] for r in rows.where(operator=name).rows if "told" in r}
        cells = [
            *(f"{structured.group(g).mean('cosine'):.2f}" for g in COLOURS),
            *(_share(structured.rejected(key)) for key in ("log10p", "battery")),
            *(f"{100 * told[group]:.0f} %" if group in told else "" for group in COLOURS),
            *(_share(structured.rejected(key)) for key in ("mixed_log10p", "mixed_battery")),
            _share(np.mean([r["untouched"] for r in noise.rows])),
            f"{min(r['cosine'] for r in noise.rows):.6f}",
            f"{1e3 * structured.mean('seconds'):.3g}",
            f"{1e3 * large.where(operator=name).structured().mean('seconds'):.3g}",
        ]
        yield f"| {name} | " + " | ".join(cells) + " |"


def _share(value):
    return f"{value:.4f}".rstrip("0").rstrip(".") if 0 < value < 1 else f"{value:.0f}"


def _inputs(world, bounds):
    yield "| input | " + " | ".join(SHORT) + " | relaxed bound | from |"
    yield "|---|" + "---:|" * (len(SHORT) + 1) + "---|"
    structured = world.structured()
    means = {name: [] for name in COLOURS}
    for key in structured.names("input"):
        name = json.loads(key)
        own = structured.where(input=name)
        values = [own.where(operator=o).mean("cosine") for o in SHORT]
        values.append(bounds[name][0])
        means["gradients" if ", step " in name else "fields"].append(values)
        yield _line(name, values, bounds[name][1])
    for name, values in means.items():
        yield _line(f"**mean of {name}**", np.mean(values, axis=0), "")


def _line(name, values, origin):
    return f"| {name} | " + " | ".join(f"{v:.2f}" for v in values) + f" | {origin} |"


def _shapes(rows):
    head = ["shape", "operator", "draws", "cosine", "rejected", "by other tests"]
    head += ["mixed, rejected", "by other tests", "noise untouched", "ms"]
    yield "| " + " | ".join(head) + " |"
    yield "|---|---|" + "---:|" * (len(head) - 2)
    for key in rows.names("shape"):
        shape = json.loads(key)
        for name in SHORT:
            own = rows.where(shape=shape, operator=name)
            if not len(own):
                continue
            structured, noise = own.structured().group("fields"), own.where(input="noise")
            keys = ("log10p", "battery", "mixed_log10p", "mixed_battery")
            cells = [
                f"{len(structured):,}",
                f"{structured.mean('cosine'):.2f}",
                *(_share(structured.rejected(k)) for k in keys),
                _share(np.mean([r["untouched"] for r in noise.rows])),
                f"{1e3 * structured.mean('seconds'):.3g}",
            ]
            yield f"| {'x'.join(map(str, shape))} | {name} | " + " | ".join(cells) + " |"


def _picture(rows, names, bounds, path):
    """Draw the mean cosine against the mean log p-value of every operator."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.6), layout="constrained")
    axes = figure.subplots()
    for group, colour in COLOURS.items():
        of_group = [v for k, (v, _) in bounds.items() if (", step " in k) == (group == "gradients")]
        axes.axhline(np.mean(of_group), color=colour, lw=1.2, ls=(0, (5, 3)))
        axes.text(60, np.mean(of_group) + 0.012, "relaxed bound", color=colour, fontsize=8)
    for name, marker in zip(names, MARKERS, strict=True):
        for group, colour in COLOURS.items():
            own = rows.where(operator=name).group(group)
            size = 240 if name == OURS else 75
            axes.scatter(
                *(-own.mean("log10p"), own.mean("cosine")),
                s=size, c=colour, marker=marker, ec="white", zorder=3,
            )  # fmt: skip
        axes.scatter([], [], s=60, c="0.4", marker=marker, label=name)
    for group, colour in COLOURS.items():
        axes.plot([], [], color=colour, lw=6, label=f"mean of {group}")
    axes.axvline(-math.log10(ALARM), color="0.4", lw=0.9, ls=(0, (1, 3)))
    axes.text(-math.log10(ALARM) * 0.9, 1.0, "p = 0.001", fontsize=9, color="0.4")
    axes.set_xscale("log")
    axes.invert_xaxis()
    axes.set(
        xlabel="mean of -log10 p: right is more typical",
        ylabel="mean cosine with the input: up is more direction",
        ylim=(0, 1.06),
    )
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False, labelspacing=0.9)
    figure.savefig(path, dpi=130)
