"""Markdown tables of rare events."""

from __future__ import annotations

from .catalogue import NOT_SAMPLED

EXACT = 0.005  # distance from 1, and standard error, of what counts as exact


def say(level):
    """Write a level as a power of ten."""
    return f"10⁻{'⁰¹²³⁴⁵⁶⁷⁸⁹'[round(float(f'{level:e}'.split('e-')[1]))]}"


def name_of(shape):
    return "x".join(map(str, shape))


def table(head, rows, words):
    """Lines of a table; the first columns are words, the others numbers."""
    rule = "|" + "---|" * words + "---:|" * (len(head) - words)
    lines = ["| " + " | ".join(head) + " |", rule]
    return [*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)]


def by_statistic(found):
    """Ratios of true to stated probability, from ``{(statistic, shape): {level: Estimate}}``."""
    levels = list(next(iter(found.values())))
    rows = [
        [statistic, name_of(shape), *(_ratio(cells[level]) for level in levels)]
        for (statistic, shape), cells in found.items()
    ]
    return table(["statistic", "shape", *(f"at {say(level)}" for level in levels)], rows, words=2)


def _ratio(estimate):
    return f"{estimate.value:.3f} ± {estimate.error:.3f}"


def whole(unions, splits):
    """Level of the report, from unions and ``{shape: {level: Estimate}}`` by splitting."""
    rows = []
    for one in unions:
        seen, union = splits.get(one.shape, {}).get(one.level), one.probability
        rows.append(
            [
                name_of(one.shape),
                say(one.level),
                f"{union.value / one.level:.3f} ± {union.error / one.level:.3f}",
                f"{one.unsampled / one.level:.3f}",
                f"{seen.value / one.level:.2f} ± {seen.error / one.level:.2f}" if seen else "",
            ]
        )
    head = ["shape", "level", "union / level", "not sampled, at most", "splitting / level"]
    return table(head, rows, words=2)


def exact(unions):
    """How many statistics of each report have exactly the level that they state."""
    rows = []
    for one in unions:
        ratios = one.ratios.values()
        kinds = [
            sum(abs(r.value - 1) <= EXACT and r.error <= EXACT for r in ratios),
            sum(r.value < 1 - EXACT and r.value + 4 * r.error < 1 for r in ratios),
            sum(r.value > 1 + EXACT and r.value - 4 * r.error > 1 for r in ratios),
        ]
        rest = len(one.ratios) - sum(kinds)
        rows.append([name_of(one.shape), say(one.level), len(one.ratios), *kinds, rest])
    head = ["shape", "level", "statistics sampled", "exact", "below", "above", "within error"]
    lines = table(head, rows, words=2)
    left = "; ".join(f"{statistic} ({why})" for (_, statistic), why in NOT_SAMPLED.items())
    return [*lines, "", f"Not sampled: {left}."]
