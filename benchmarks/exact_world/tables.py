"""Markdown tables of the study."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from .entries import BUDGETS, DIFFUSION, MAIN, WHITENING
from .study import Law, Row, law_of
from .world import CASES, spread

EXACT = 1000  # samples of the exact laws, for the first two rows
HEAD = (
    *("method", "NFE", "samples", "reward", "bias", "KL along", "KL aside"),
    *("rejected", "checked"),
)


def write(rows: list[Row]) -> dict[str, list[str]]:
    """Return the lines of each table by name."""
    tables = {f"exact_world_{name}": _main(rows, name) for name in CASES}
    tables["exact_world_whitening"] = _whitening(rows)
    tables["exact_world_diffusion"] = _diffusion(rows)
    tables["exact_world_setting"] = _setting(rows)
    return tables


def _main(rows: list[Row], name: str) -> list[str]:
    world = CASES[name]()
    cells = []
    for label, law in (("*tilted law*", world.tilted), ("*prior*", world.prior)):
        samples = law.sample(EXACT, torch.Generator().manual_seed(0))
        found = law_of(samples, world.known(samples), name)
        cells.append([label, "", *_law(found), "", ""])
    for budget in BUDGETS:
        for row in _chosen(rows, MAIN, name):
            if row.budget == budget:
                cells.append([_label(row), f"{row.nfe:.0f}", *_law(row.law), *_noise(row)])
    return _table(HEAD, cells)


def _whitening(rows: list[Row]) -> list[str]:
    cells = []
    for row in _chosen(rows, WHITENING, "linear"):
        if row.budget == BUDGETS[0]:
            cosine = "" if math.isnan(row.cosine) else f"{row.cosine:.2f}"
            cells.append([row.entry.label, cosine, *_law(row.law), *_noise(row)])
    cells.sort()
    return _table(("method, whitening", "cosine", *HEAD[2:]), cells)


def _diffusion(rows: list[Row]) -> list[str]:
    cells = [
        [f"`{row.entry.diffusion}`", row.entry.label, *_law(row.law), *_noise(row)]
        for row in _chosen(rows, DIFFUSION, "linear")
        if row.budget == BUDGETS[0]
    ]
    cells.sort(key=lambda cell: cell[1])
    return _table(("g(t)", "method", *HEAD[2:]), cells, words=2)


def _setting(rows: list[Row]) -> list[str]:
    cells = []
    for name in CASES:
        world = CASES[name]()
        law = [[f"{w:.2f}" for w in law.weights] for law in (world.prior, world.tilted)]
        means = [law.expected_reward(world.known) for law in (world.prior, world.tilted)]
        numbers = [
            f"{means[0]:.2f}",
            f"{spread(world.prior, world.known):.2f}",
            f"{means[1]:.2f}",
            f"{world.temperature:.3g}",
        ]
        cells.append([name, *numbers, *(", ".join(w) for w in law)])
    head = ("reward", "prior mean", "prior sd", "tilted mean", "temperature")
    fallbacks = sum(row.fallbacks for row in rows)
    return [
        *_table((*head, "prior weights", "tilted weights"), cells),
        "",
        f"Steps in which a gradient was of no use, in all runs together: {fallbacks}.",
    ]


def _chosen(rows: list[Row], table: str, name: str) -> Iterable[Row]:
    return (row for row in rows if table in row.entry.tables and row.entry.case == name)


def _label(row: Row) -> str:
    """Mark the best of several runs with a dagger; of the base sampler that is BoN."""
    if row.entry.particles is not None or row.budget // row.entry.cost <= 1:
        return row.entry.label
    return "BoN" if row.entry.label == "Base" else f"{row.entry.label}†"


def _law(law: Law) -> list[str]:
    divergences = [
        "" if math.isnan(value) else f"{value:.2f} ± {scatter:.2f}"
        for value, scatter in (law.along, law.aside)
    ]
    return [
        f"{law.samples}",
        f"{law.reward:.2f} ± {law.error:.2f}",
        f"{law.bias:+.2f}",
        *divergences,
    ]


def _noise(row: Row) -> list[str]:
    return [f"{row.rejected:.3f}", f"{row.checked}"]


def _table(head: Iterable[str], rows: list[list[str]], words: int = 1) -> list[str]:
    head = list(head)
    rule = "|" + "---|" * words + "---:|" * (len(head) - words)
    return ["| " + " | ".join(head) + " |", rule, *("| " + " | ".join(row) + " |" for row in rows)]
