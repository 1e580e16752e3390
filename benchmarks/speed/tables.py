"""Rows of measurements as Markdown tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from .record import Row

GENERIC = "numpy generic"


def select(rows: Iterable[Row], **wanted: object) -> list[Row]:
    """Rows whose fields have the values wanted."""
    return [row for row in rows if all(row.get(k) == v for k, v in wanted.items())]


def distinct(rows: Iterable[Row], field: str) -> list:
    """Values of a field in order of appearance."""
    return list(dict.fromkeys(row[field] for row in rows))


def fast_path(rows: Iterable[Row]) -> str:
    """Path that a NumPy array takes by default, of those measured."""
    names = distinct(select(rows, measure="cost"), "path")
    return next((n for n in names if n.startswith("numpy ") and n != GENERIC), GENERIC)


def seconds(value: float) -> str:
    """Time in the unit that suits it, to three digits."""
    for scale, unit in ((1e6, "µs"), (1e3, "ms")):
        if value * scale < 999.5:
            return f"{_three(value * scale)} {unit}"
    return f"{_three(value)} s"


def ratio(value: float) -> str:
    return f"{_three(value)}x"


def _three(value: float) -> str:
    """Three significant digits, without an exponent."""
    for places, limit in ((3, 0.9995), (2, 9.995), (1, 99.95)):
        if value < limit:
            return f"{value:.{places}f}"
    return f"{value:,.0f}"


def grid(head: Sequence[str], body: Iterable[Sequence[str]], left: int = 1) -> list[str]:
    """Markdown table; the columns after the first `left` are set to the right."""
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return ["| " + " | ".join(line) + " |" for line in (head, rule, *body)]


def _cell(rows: list[Row], write: Callable[[Row], str]) -> str:
    return write(rows[0]) if rows else "-"


def _quotient(over: list[Row], under: list[Row]) -> str:
    """How many times faster the second is than the first, in one run."""
    return ratio(over[0]["seconds"] / under[0]["seconds"]) if over and under else "-"


def cost(rows: list[Row]) -> list[str]:
    """Every stage at every size: the fast path beside `np.sort` and beside the other paths."""
    noise = select(rows, measure="cost", input="noise", dtype="float32", batch=1)
    fast = fast_path(rows)
    others = [path for path in distinct(noise, "path") if path != fast]
    head = ["stage", "N", "np.sort", fast, "÷ np.sort", *(f"{path} ÷ it" for path in others)]
    body = []
    for stage in distinct(noise, "stage"):
        for size in distinct(noise, "size"):
            here = select(noise, stage=stage, size=size)
            mine = select(here, path=fast)
            if not here:
                continue
            line = [stage, f"{size:,}", seconds(here[0]["sort"])]
            line += [_cell(mine, lambda r: seconds(r["seconds"]))]
            line += [_cell(mine, lambda r: ratio(r["ratio"]))]
            body.append(line + [_quotient(select(here, path=path), mine) for path in others])
    return grid(head, body)


def inputs(rows: list[Row]) -> list[str]:
    """One size, every kind of input: time of the fast path, and the generic one over it."""
    fast = fast_path(rows)
    timed = select(rows, measure="cost", batch=1)
    sizes = distinct([r for r in timed if r["dtype"] == "float64"], "size")
    timed = [r for r in timed if r["size"] in sizes]
    kinds = list(dict.fromkeys((r["input"], r["dtype"]) for r in timed))
    kinds.sort(key=lambda kind: (kind[0] != "noise", kind[1]))
    head = ["stage", *(", ".join(kind) if kind[0] == "noise" else kind[0] for kind in kinds)]
    body = []
    for stage in distinct(timed, "stage"):
        line = [stage]
        for kind, dtype in kinds:
            here = select(timed, stage=stage, input=kind, dtype=dtype)
            mine, generic = select(here, path=fast), select(here, path=GENERIC)
            text = _cell(mine, lambda r: seconds(r["seconds"]))
            line.append(text if fast == GENERIC else f"{text} ({_quotient(generic, mine)})")
        body.append(line)
    return grid(head, body)


def batches(rows: list[Row]) -> list[str]:
    """`paper` on several vectors at once: time per vector."""
    timed = select(rows, measure="cost", stage="paper", input="noise", dtype="float32")
    several = [r for r in timed if r["batch"] > 1]
    timed = [r for r in timed if r["size"] in distinct(several, "size")]
    counts = sorted(distinct(timed, "batch"))
    head = ["path", *(f"{n} at once" if n > 1 else "alone" for n in counts), "largest ÷ alone"]
    body = []
    for path in distinct(timed, "path"):
        each = {r["batch"]: r["seconds"] / r["batch"] for r in select(timed, path=path)}
        line = [path, *(seconds(each[n]) if n in each else "-" for n in counts)]
        largest = max(each)
        grows = largest > 1 and 1 in each
        body.append([*line, ratio(each[largest] / each[1]) if grows else "-"])
    return grid(head, body)


def memory(rows: list[Row]) -> list[str]:
    """Peak extra memory in multiples of the input."""
    measured = select(rows, measure="memory")
    paths = distinct(measured, "path")
    head = ["stage", "input", *paths]
    body = []
    for stage in distinct(measured, "stage"):
        for shape in dict.fromkeys((r["batch"], r["size"]) for r in measured):
            here = select(measured, stage=stage, batch=shape[0], size=shape[1])
            cells = [_cell(select(here, path=path), lambda r: ratio(r["peak"])) for path in paths]
            body.append([stage, f"{shape[0]} x {shape[1]:,}", *cells])
    return grid(head, body, left=2)


def cold_start(rows: list[Row]) -> list[str]:
    """Import and first calls in fresh processes."""
    columns = ["first", "second", "compiled", "later"]
    body = [
        [r["path"], r["cache"], *(seconds(r[k]) for k in ("import", *columns))]
        for r in select(rows, measure="cold start")
    ]
    head = ["path", "cache of kernels", "`import whitenoise`", "first call", "second call"]
    head += ["kernels ready", "later call"]
    return grid(head, body, left=2)


def machine(rows: list[Row]) -> list[str]:
    """One line on where and with what the rows were measured."""
    row = rows[0]
    versions = ", ".join(f"{name} {version}" for name, version in row["versions"].items())
    threads = ", ".join(f"{name} {count}" for name, count in row["threads"].items())
    measured = f"Measured on {row['date']} at revision {row['revision'] or 'unknown'}"
    return [f"{measured}: {row['hardware']}; threads: {threads}; {versions}."]


TABLES = {
    "machine": machine,
    "cost": cost,
    "inputs": inputs,
    "batches": batches,
    "memory": memory,
    "cold": cold_start,
}
