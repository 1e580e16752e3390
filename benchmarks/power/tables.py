"""Markdown tables of a study."""

from __future__ import annotations

import numpy as np

from .alternative import STRENGTHS
from .peers import BATTERIES, PEERS
from .study import LEVELS, OURS, SELECTED

EXPERT = "expert battery"
WORST = 10
TOLERATED = 0.1  # loss of power against the battery that counts as one
SEEN = 0.2  # power below which an alternative counts as unseen


def table(head, rows, words=1):
    """Lines of a table; the first columns are words, the others numbers."""
    rule = "|" + "---|" * words + "---:|" * (len(head) - words)
    lines = ["| " + " | ".join(head) + " |", rule]
    return [*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)]


def say(level):
    return f"{level:g}" if level > 0.01 else f"10⁻{'⁰¹²³⁴⁵⁶⁷⁸⁹'[round(-np.log10(level))]}"


def summary(studies):
    """Mean power over the bank, ours and others, and the aims."""
    tests = [OURS, "best single test", *BATTERIES, SELECTED]
    rows, notes = [], []
    for study in studies:
        for level in LEVELS:
            single = study.best_single(level)
            powers = [study.mean_power(t if t in study.pvalues else single, level) for t in tests]
            cells = [f"{p:.3f}" for p in powers]
            cells[1] += f" ({single})"
            ratio = powers[0] / max(study.mean_power(EXPERT, level), 1e-9)
            rows.append([f"{study.size:,}", say(level), *cells, f"{ratio:.2f}"])
        far = study.mean_power(OURS, LEVELS[-1]) / study.mean_power(EXPERT, LEVELS[0])
        notes.append(
            f"N = {study.size:,}: {len(study.bank)} alternatives at {len(STRENGTHS)} strengths, "
            f"{study.draws} draws each. Power of typicality at {say(LEVELS[-1])} over that of the "
            f"expert battery at {say(LEVELS[0])}: {far:.2f}. "
            f"The best battery is {', '.join(study.selected)}."
        )
    head = ["N", "level", *tests, "typicality / expert battery"]
    lines = table(head, rows)
    for note in notes:
        lines += ["", note]
    return lines


def by_kind(studies):
    """Mean power for each kind of alternative."""
    tests = (OURS, EXPERT, SELECTED)
    head = ["kind", "alternatives", "N"]
    head += [f"{test}, {say(level)}" for test in tests for level in LEVELS]
    rows = []
    for kind, members in studies[0].kinds().items():
        for study in studies:
            powers = [study.power(t, level)[members].mean() for t in tests for level in LEVELS]
            cells = [f"{p:.2f}" for p in powers]
            rows.append([kind, len(members), f"{study.size:,}", *cells])
    return table(head, rows)


def by_test(studies):
    """Rejection rate on noise and mean power of every test."""
    head = ["test", "N", "noise, 0.05", f"noise, {say(LEVELS[1])}"]
    head += [f"power, {say(level)}" for level in LEVELS]
    rows = []
    for test in (OURS, *PEERS, *BATTERIES, SELECTED):
        for study in studies:
            p = study.noise[test]
            false = [np.mean(p <= level) for level in LEVELS[:2]]
            errors = [np.sqrt(level * (1 - level) / p.size) for level in LEVELS[:2]]
            cells = [f"{rate:.4f} ± {e:.4f}" for rate, e in zip(false, errors, strict=True)]
            cells += [f"{study.mean_power(test, level):.3f}" for level in LEVELS]
            rows.append([test, f"{study.size:,}", *cells])
    lines = table(head, rows)
    draws = " and ".join(f"{study.noise[OURS].size:,} at N = {study.size:,}" for study in studies)
    return [*lines, "", f"Draws of noise: {draws}; ± is the standard error at the nominal level."]


def by_alternative(studies):
    """Power at 0.05 for each alternative, weak, medium and strong."""
    head = ["alternative", "kind", "strengths"]
    for study in studies:
        head += [f"typicality, N = {study.size:,}", EXPERT, "loudest family"]
    powers = [(s.power(OURS, LEVELS[0]), s.power(EXPERT, LEVELS[0])) for s in studies]
    rows = []
    for row, one in enumerate(studies[0].bank):
        cells = [one.name, one.kind, ", ".join(f"{s:.3g}" for s in one.strengths)]
        for study, pair in zip(studies, powers, strict=True):
            cells += [" ".join(f"{p:.2f}" for p in power[row]) for power in pair]
            cells.append(study.loudest[row][-1] if pair[0][row, -1] > SEEN else "none")
        rows.append(cells)
    return table(head, rows, words=3)


def worst(studies):
    """Cells where typicality loses most to the expert battery, and what it does not see."""
    level = LEVELS[0]
    cells, notes = [], []
    for study in studies:
        rejected = [study.pvalues[test] <= level for test in (OURS, EXPERT)]
        gain = rejected[0].astype(float) - rejected[1]
        difference, error = gain.mean(axis=-1), gain.std(axis=-1) / np.sqrt(study.draws)
        best = np.max([study.power(test, level) for test in PEERS], axis=0)
        for i in np.ndindex(difference.shape):
            powers = [r[i].mean() for r in rejected]
            numbers = [f"{p:.2f}" for p in (*powers, best[i])]
            name, strength = study.bank[i[0]].name, STRENGTHS[i[1]]
            numbers.append(f"{difference[i]:+.2f} ± {error[i]:.2f}")
            cells.append((difference[i], [name, strength, f"{study.size:,}", *numbers]))
        notes += ["", blind_spots(study, difference)]
    cells.sort(key=lambda cell: cell[0])
    head = ["alternative", "strength", "N", OURS, EXPERT, "best single test", "difference"]
    return table(head, [row for _, row in cells[:WORST]], words=2) + notes


def blind_spots(study, difference):
    """Say how many cells and which kinds lose, and what stays unseen."""
    lost = np.count_nonzero(difference < -TOLERATED)
    kinds = [kind for kind, rows in study.kinds().items() if difference[rows].mean() < 0]
    strong = study.power(OURS, LEVELS[0])[:, -1]
    unseen = [one.name for one, power in zip(study.bank, strong, strict=True) if power < SEEN]
    return (
        f"N = {study.size:,}: {lost} of {difference.size} cells more than {TOLERATED} below the "
        f"expert battery; kinds below it: {', '.join(kinds) or 'none'}; power below {SEEN} even "
        f"when strong: {', '.join(unseen) or 'none'}."
    )


TABLES = {
    "summary": summary,
    "kinds": by_kind,
    "worst": worst,
    "tests": by_test,
    "alternatives": by_alternative,
}
