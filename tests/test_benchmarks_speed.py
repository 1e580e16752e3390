"""The speed benchmarks: they time what they say, and judge as they say."""

import importlib
import json
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import whitenoise as wn

ROOT = Path(__file__).parents[1]
# At the end of the path, so that `whitenoise` stays the installed package.
sys.path.append(str(ROOT))
cases, cold, compare, memory, plot, record, study, tables, timing, worker = (
    importlib.import_module(f"benchmarks.speed.{name}")
    for name in (
        *("cases", "cold", "compare", "memory", "plot", "record", "study", "tables", "timing"),
        "worker",
    )
)
gpu = importlib.import_module("benchmarks.gpu")
optimality = importlib.import_module("benchmarks.optimality")
nearest, two_level = (importlib.import_module(f"whitenoise.{m}") for m in ("nearest", "two_level"))
torch = pytest.importorskip("torch")
plain = importlib.import_module("benchmarks.speed.straightforward")

MACHINE = {
    "revision": "abc1234",
    "date": "2026-01-02",
    "hardware": "a processor, 2 cores",
    "threads": {"numba": 2},
    "versions": {"numpy": "2.4"},
}


# --- the straightforward operator


@pytest.fixture
def single_pass(monkeypatch):
    """The library's generic path with its search cut down to one pass, written with NumPy."""

    def one_pass(vectors, lower, upper, xp, source, *, exchanges):
        rows = vectors.reshape(-1, *lower.shape)
        moved = [optimality.one_pass(r, lower, upper) for r in rows]
        return two_level.Nearest(np.reshape(moved, vectors.shape), *np.zeros((2, len(vectors))))

    monkeypatch.setattr(nearest, "nearest_doubly_sorted", one_pass)
    with wn.generic_path():
        yield


def uneven(size):
    """Two vectors that every stage moves, without ties."""
    sines = cases.make_input("sines", 1, size, "float64")
    return np.concatenate([1.1 * np.random.default_rng(0).standard_normal((1, size)), sines])


@pytest.mark.parametrize("stage", [s for s in cases.STAGES if s not in ("global", "1OS")])
def test_the_straightforward_stages_are_single_passes_of_the_library(stage, single_pass):
    x = uneven(4096)
    operator = cases.straightforward(stage, 4096, torch.from_numpy(x))
    if stage in ("default-1", "cosine, 8x8"):
        assert operator is None
        return
    found = operator(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, cases.STAGES[stage](4096)(x), atol=1e-9)
    if not stage.startswith(("Fourier", "butterflies")):
        assert np.linalg.norm(found - x) > 1


def test_the_straightforward_transforms_are_those_of_the_library():
    x = np.random.default_rng(1).standard_normal((2, 4608))
    like = torch.from_numpy(x)
    repeats = plain.full_butterfly(4608)[0]
    for found, isometry in (
        (plain.fourier(like), wn.isometries.RealFourier()),
        (plain.butterfly(like, repeats, 4608), wn.isometries.Butterfly(repeats)),
        (plain.butterfly(like, 8, 256), wn.isometries.Butterfly(8, 256)),
    ):
        with wn.generic_path():
            np.testing.assert_allclose(found, isometry.forward(x), atol=1e-12)


def test_the_straightforward_operator_takes_windows_where_the_library_does(single_pass):
    x = uneven(4608)  # not a multiple of 64 * 16
    W = wn.Whitener(4608, preset="paper")
    found = plain.paper(4608, torch.from_numpy(x))(torch.from_numpy(x))
    np.testing.assert_allclose(found, W(x, rng=0), atol=1e-9)


def test_the_straightforward_operator_computes_half_precision_in_float32():
    x = torch.from_numpy(np.random.default_rng(3).standard_normal((1, 1024))).bfloat16()
    found = plain.paper(1024, x)(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(
        found.float(), plain.paper(1024, x.float())(x.float()), rtol=0.01, atol=1e-6
    )


# --- inputs and paths


def test_inputs_are_what_they_are_called():
    made = {kind: cases.make_input(kind, 2, 4096, "float32") for kind in cases.INPUTS}
    assert {(x.shape, str(x.dtype)) for x in made.values()} == {((2, 4096), "float32")}
    assert np.ptp(made["constant"]) == 0
    assert len(np.unique(made["tied"])) < 64
    assert np.abs(made["heavy-tailed"]).max() > 50 > 10 > np.abs(made["noise"]).max()
    spectrum = np.abs(np.fft.rfft(made["sines"][0])) ** 2
    assert np.sort(spectrum)[-8:].sum() > 0.9 * spectrum.sum()


def test_each_path_computes_the_same_stage_its_own_way():
    x = cases.make_input("noise", 1, 1024, "float32")
    present = list(cases.paths())
    names = [path.name for path in present]
    assert names[0] == "numpy generic"
    assert "torch cpu straightforward" in names
    assert len(set(names)) == len(names)
    with present[0].within():
        assert wn.kernel_path(x) == "generic"
    for path in present[1:]:
        kind = wn.kernel_path(path.convert(x))
        assert path.plain or path.name.endswith(kind)
        call = path.call("default-1", x)
        assert (call is None) == path.plain


def test_kernels_are_compiled_before_anything_is_timed(monkeypatch):
    ready = []
    monkeypatch.setattr(wn, "compile_kernels", lambda x: ready.append(wn.kernel_path(x)))
    x = cases.make_input("noise", 1, 1024, "float32")
    chosen = wn.kernel_path(x)
    cases.Path("numpy", np.asarray).call("global", x)
    cases.Path("numpy generic", np.asarray, wn.generic_path).call("global", x)
    worker.prepare("global", 64)
    assert ready == [chosen, "generic", chosen]
    monkeypatch.delattr(wn, "compile_kernels")
    assert worker.prepare("global", 64) is not None


# --- timing


class Clock:
    """A clock that calls move forward."""

    def __init__(self):
        self.now, self.log = 0.0, []

    def call(self, name, durations):
        left = iter(durations)

        def run():
            self.log.append(name)
            self.now += next(left)

        return run


def test_calls_take_turns_and_the_first_of_each_does_not_count():
    clock = Clock()
    calls = {
        "a": clock.call("a", [9.0, 1.0, 3.0, 2.0]),
        "b": clock.call("b", [9.0, *[0.25] * 8]),
        "slow": clock.call("slow", [11.0]),
    }
    found = timing.interleaved(calls, budget=1.5, longest=10.0, clock=lambda: clock.now)
    assert found == {"a": (3, 1.0, 2.0), "b": (6, 0.25, 0.25)}
    assert "".join(clock.log) == "ab" + "slow" + "ababab" + "bbb"


def test_repeats_are_bounded():
    clock = Clock()
    found = timing.interleaved(
        {"a": clock.call("a", [0.0] * 1000)}, budget=1.0, clock=lambda: clock.now
    )
    assert found["a"].repeats == timing.MOST


def test_patience_foresees_linear_cost():
    patience = timing.Patience(longest=4.0)
    assert patience.allows("a", 10**9)
    patience.saw("a", 1000, 1.0)
    assert patience.allows("a", 4000)
    assert not patience.allows("a", 4001)
    assert patience.allows("b", 10**9)


def test_what_is_too_slow_is_left_out_from_then_on(monkeypatch):
    slow = cases.Path("slow", np.asarray)
    monkeypatch.setattr(cases.Path, "call", lambda *_: lambda: None)
    patience = timing.Patience(longest=-1.0)  # every call takes longer than that
    monkeypatch.setattr(study, "interleaved", lambda calls, *_: {study.SORT: (3, 1.0, 1.0)})
    patience.longest = 1.0
    assert study.compare_paths(study.Case("global", 16), [slow], 0.1, patience) == []
    assert not patience.allows(("slow", "global", "noise", "float32"), 16)


def test_every_comparison_is_planned_once():
    plan = study.Plan(
        (64, 16), 16, (1, 8), (), stages=("global", "paper"), inputs=("noise", "tied")
    )
    found = study.cases(plan)
    assert len(set(found)) == len(found)
    assert [c.size for c in found if c.stage == "global"][:2] == [16, 64]
    others = {
        (c.stage, c.kind, c.dtype) for c in found if (c.kind, c.dtype) != ("noise", "float32")
    }
    assert others == {
        (stage, *kind)
        for stage in plan.stages
        for kind in (("noise", "float64"), ("tied", "float32"))
    }
    assert [c.batch for c in found if c.batch > 1] == [8]


# --- memory, cold start, the record


_KNOWN_CALL = """
import numpy as np
from benchmarks.speed import memory

def call():
    kept = [np.ones(2**21) for _ in range(4)]
    kept.clear()
    for _ in range(4):
        np.ones(2**21)

call()
print(memory.resident_peak(call))
"""


@pytest.mark.skipif(not memory.measurable(), reason="the system does not say")
def test_peak_memory_of_a_known_call():
    """Four blocks of 16 MiB at once, one after another of another four: 64 MiB.

    In a process of its own, as the study measures it: elsewhere, what other tests left to be freed
    goes in the meantime.
    """
    done = subprocess.run(
        [sys.executable, "-c", _KNOWN_CALL],
        cwd=memory.ROOT,
        env={**os.environ, **memory.RETURN_FREED},
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert int(done.stdout) == pytest.approx(2**26, rel=0.05)


def test_peak_memory_is_read_from_the_status(tmp_path):
    forget, status = tmp_path / "clear_refs", tmp_path / "status"
    status.write_text("Name:\tx\nVmHWM:\t  900 kB\nVmRSS:\t  100 kB\n")
    peak = memory.resident_peak(lambda: None, forget, status)
    assert peak == 800 * 1024
    assert forget.read_text() == "5"


def test_cold_starts_keep_the_shortest_and_begin_with_an_empty_cache(monkeypatch):
    seen = []

    def child(path, size, cache=None):
        before = len(seen)
        entries = sorted(p.name for p in Path(cache).iterdir()) if cache else None
        seen.append((path, entries))
        if cache:
            (Path(cache) / "kernel").touch()
        return {"import": 5.0 - before, "first": 2.0, "second": 1.0 + before}

    monkeypatch.setattr(cold, "_child", child)
    rows = cold.cold_starts("numba_cpu", 16, repeats=2)
    assert seen[2:] == [("numba_cpu", []), ("numba_cpu", ["kernel"])] * 2
    assert [(r["path"], r["cache"]) for r in rows] == [
        ("numpy generic", "none"),
        ("numpy numba_cpu", "empty"),
        ("numpy numba_cpu", "filled"),
    ]
    assert (rows[0]["import"], rows[0]["second"]) == (4.0, 1.0)
    assert len(cold.cold_starts("generic", 16, repeats=1)) == 1


def test_the_record_says_where_and_with_what():
    found = record.circumstances()
    assert found["versions"]["numpy"] == np.__version__
    assert "cores" in found["hardware"]
    assert all(isinstance(n, int) for n in found["threads"].values())


# --- tables


def row(path, seconds, size=1000, batch=1, kind="noise", dtype="float32", sort=0.002):
    case = {"stage": "paper", "size": size, "batch": batch, "input": kind, "dtype": dtype}
    times = {"repeats": 3, "seconds": seconds, "median": seconds, "sort": sort}
    return MACHINE | case | times | {"measure": "cost", "path": path, "ratio": seconds / sort}


ROWS = [
    row("numpy generic", 0.16),
    row("numpy numba_cpu", 0.02),
    row("torch cpu straightforward", 0.5),
    row("numpy generic", 0.3, size=2000, sort=0.004),
    row("numpy numba_cpu", 0.05, batch=8),
    row("numpy generic", 0.2, dtype="float64"),
    row("numpy numba_cpu", 0.1, dtype="float64"),
    row("numpy numba_cpu", 0.04, kind="tied"),
    {**MACHINE, "measure": "memory", "stage": "paper", "size": 1000, "batch": 1, "peak": 5.25}
    | {"path": "numpy generic"},
    {**MACHINE, "measure": "cold start", "path": "numpy numba_cpu", "cache": "empty"}
    | {"import": 0.5, "first": 2.0, "second": 0.0016, "compiled": 2.5, "later": 0.001},
]


def body(lines):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_of_cost_divides_by_the_fast_path():
    found = body(tables.cost(ROWS))
    assert found[0][3:] == [
        *("numpy numba_cpu", "÷ np.sort", "numpy generic ÷ it"),
        "torch cpu straightforward ÷ it",
    ]
    assert found[2] == ["paper", "1,000", "2.00 ms", "20.0 ms", "10.0x", "8.00x", "25.0x"]
    assert found[3] == ["paper", "2,000", "4.00 ms", "-", "-", "-", "-"]
    assert len(found) == 4


def test_the_tables_of_inputs_batches_memory_and_cold_start():
    found = body(tables.inputs(ROWS))
    assert found[0] == ["stage", "noise, float32", "noise, float64", "tied"]
    assert found[2] == ["paper", "20.0 ms (8.00x)", "100 ms (2.00x)", "40.0 ms (-)"]
    found = body(tables.batches(ROWS))
    assert found[0] == ["path", "alone", "8 at once", "largest ÷ alone"]
    assert found[3] == ["numpy numba_cpu", "20.0 ms", "6.25 ms", "0.312x"]
    assert found[2][1:] == ["160 ms", "-", "-"]
    assert body(tables.memory(ROWS))[2] == ["paper", "1 x 1,000", "5.25x"]
    assert body(tables.cold_start(ROWS))[2][2:] == [
        *("500 ms", "2.00 s", "1.60 ms", "2.50 s", "1.00 ms")
    ]
    assert "abc1234: a processor, 2 cores; threads: numba 2; numpy 2.4" in tables.machine(ROWS)[0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((9.994e-7, "0.999 µs"), (1.5e-5, "15.0 µs"), (9.994e-4, "999 µs")),
        *((9.996e-4, "1.00 ms"), (0.0995, "99.5 ms"), (1.0, "1.00 s"), (1234.0, "1,234 s")),
    ],
)
def test_times_have_three_digits(value, text):
    assert tables.seconds(value) == text


# --- two revisions


def test_verdicts_join_the_rounds_pairwise():
    """The machine slows down in the second round; the ratio within each round does not."""
    before = [{"a": 1.0, "b": 1.0, "c": None}, {"a": 10.0, "b": 10.0, "c": None}]
    after = [{"a": 1.2, "b": 1.4, "c": 3.0}, {"a": 12.0, "b": 12.0, "c": 3.0}]
    found = compare.verdicts(before, after)
    assert [v.slowdown for v in found] == [pytest.approx(1.2), pytest.approx(1.3), None]
    assert found[2][:3] == ("c", None, 3.0)
    assert compare.too_slow(found, 1.25) == ["b"]
    assert compare.too_slow(found, 1.35) == []
    lines = body(compare.table(found, ["old", "new"], "time ÷ np.sort", 1.25))
    assert lines[3] == ["b", "5.50x", "6.70x", "1.300", "slower"]
    assert lines[4] == ["c", "absent", "3.00x", "-", ""]


def test_what_is_gone_in_the_newer_revision_is_absent_too():
    (found,) = compare.verdicts([{"a": 1.0}], [{"a": None}])
    assert found == ("a", 1.0, None, None)


@pytest.mark.parametrize(
    ("report", "number"),
    [
        ("1234567,,instructions:u,998,100.00,,\n", 1234567),
        ("<not supported>,,instructions:u,0,100.00,,\n", None),
        ("==7== Events    : Ir\n==7== Collected : 126637\n", 126637),
    ],
)
def test_reports_of_instructions_are_read(report, number):
    assert compare.counted(report) == number


def test_instructions_are_those_of_the_second_call(monkeypatch):
    runs = []

    def work(tree, chosen, size, options=(), prefix=(), variables=None):
        runs.append(list(options))
        if prefix:
            report = Path(prefix[-1].partition("=")[2])
            report.write_text(f"Collected : {1000 + (70 if options else 0)}\n")
        return {"global": True, "paper": False}

    monkeypatch.setattr(compare, "work", work)
    found = compare.instructions(ROOT, ["global", "paper"], 64, "valgrind")
    assert found == {"global": 70, "paper": None}
    assert runs == [[], [], [], ["--again", "global"]]


def stub(folder, source):
    """A tree whose `whitenoise` is `source`."""
    (folder / "whitenoise").mkdir(parents=True)
    (folder / "whitenoise" / "__init__.py").write_text(source)
    (folder / "benchmarks").symlink_to(ROOT / "benchmarks")
    return folder


QUICK = "import numpy\ndef project_global(x, axis): return numpy.sort(x)\n"
SLOW = "import numpy\ndef project_global(x, axis): return [numpy.sort(x) for _ in range(10)]\n"
OTHER_ARGUMENTS = "def project_global(x): return x\n"
BROKEN = "def project_global(x, axis): return 1 + 'a'\n"


def test_a_slower_tree_is_found_and_what_it_lacks_is_absent(tmp_path):
    trees = [stub(tmp_path / "quick", QUICK), stub(tmp_path / "slow", SLOW)]
    found = compare.verdicts(*compare.in_turns(trees, ["global", "2OS, chunk 16"], 2**16, 1))
    # One sort over one, then ten over one: far apart, however busy the machine.
    assert 0.2 < found[0].before < 5
    assert found[0].slowdown > 2
    assert found[1] == ("2OS, chunk 16", None, None, None)
    assert compare.too_slow(found, compare.LIMIT) == ["global"]


def test_another_signature_is_absent_and_a_failure_within_is_not(tmp_path):
    changed = stub(tmp_path / "changed", OTHER_ARGUMENTS)
    assert compare.work(changed, ["global"], 64, ["--budget", "0.01"]) == {"global": None}
    with pytest.raises(SystemExit, match="unsupported operand"):
        compare.work(stub(tmp_path / "broken", BROKEN), ["global"], 64, ["--budget", "0.01"])


def test_the_command_exits_with_the_verdict(tmp_path, monkeypatch, capsys):
    trees = {"old": stub(tmp_path / "a", QUICK), None: stub(tmp_path / "b", SLOW)}
    monkeypatch.setattr(compare, "check_out", lambda revision, folder: trees[revision])
    arguments = types.SimpleNamespace(
        revision="old",
        other=None,
        limit=1.25,
        rounds=1,
        size=2**16,
        case=["global"],
        instructions=False,
    )
    assert compare.main(arguments) == 1
    assert "slower by more than 1.25: global" in capsys.readouterr().out
    arguments.limit = 100.0
    assert compare.main(arguments) == 0


def in_git():
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    return shutil.which("git") and subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.skipif(not in_git(), reason="needs the repository")
def test_revisions_are_exported_beside_the_present_benchmarks(tmp_path):
    tree = compare.check_out("HEAD", tmp_path / "tree")
    assert (tree / "whitenoise" / "__init__.py").is_file()
    assert (tree / "benchmarks").resolve() == ROOT / "benchmarks"
    assert (
        compare.check_out(None, tmp_path / "now") / "whitenoise"
    ).resolve() == ROOT / "whitenoise"
    with pytest.raises(SystemExit, match="cannot be exported"):
        compare.check_out("no-such-revision", tmp_path / "none")


# --- the whole, on tiny sizes


def test_a_tiny_study_fills_every_table(tmp_path, monkeypatch):
    """Of the processes only those of the generic path are started: the others compile."""
    child, start = memory.in_child, cold.cold_starts
    monkeypatch.setattr(
        memory, "in_child", lambda path, *case: child(path, *case) if "generic" in path else 1.0
    )
    monkeypatch.setattr(cold, "cold_starts", lambda fast, *how: start("generic", *how))
    plan = study.Plan(
        (1024, 2048),
        1024,
        (1, 2),
        (("paper", 1, 4096),),
        stages=("2OS, chunk 16", "paper"),
        inputs=("noise", "tied"),
        budget=0.0,
        processes=1,
    )
    rows = study.run(plan)
    names = {path.name for path in cases.paths()}
    cost = tables.select(rows, measure="cost")
    for case in study.cases(plan):
        here = tables.select(
            cost,
            stage=case.stage,
            size=case.size,
            batch=case.batch,
            input=case.kind,
            dtype=case.dtype,
        )
        assert {r["path"] for r in here} == names
        assert all(r["ratio"] == r["seconds"] / r["sort"] and r["repeats"] == 3 for r in here)
        assert all(0 < r["seconds"] <= r["median"] for r in here)
    for r in tables.select(rows, measure="cold start"):
        assert 0 < r["second"] < 1.5 * r["first"]
        assert 0 < r["later"] < r["first"] <= r["compiled"]
        assert r["import"] > 0
    if memory.measurable():
        assert {r["path"] for r in tables.select(rows, measure="memory")} == names
    for write in tables.TABLES.values():
        assert all(line for line in write(rows))
    record.write_rows(rows, tmp_path / "rows.jsonl")
    written = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in written] == rows
    plot.draw(rows, tmp_path / "images" / "cost.png")
    assert (tmp_path / "images" / "cost.png").stat().st_size > 10_000


# --- on a GPU, as far as a machine without one can tell


def test_without_a_device_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "present", list)
    monkeypatch.setattr(sys, "argv", ["gpu", "--out", str(tmp_path / "gpu.md")])
    gpu.main()
    assert capsys.readouterr().out.count("\n") == 1
    assert not (tmp_path / "gpu.md").exists()


def test_the_floor_counts_reading_and_writing():
    assert gpu.floor_seconds(10**9, 4, 2e12) == pytest.approx(0.004)


@pytest.mark.parametrize(
    ("error", "reference", "dtype", "verdict"),
    [
        *((3e-5, 1e-5, "float32", True), (5e-5, 1e-5, "float32", False)),
        *((0.01, 0.0, "bfloat16", True), (0.02, 0.0, "bfloat16", False)),
        (float("nan"), 1.0, "float32", False),
    ],
)
def test_agreement_is_measured_by_the_error_of_the_generic_path(error, reference, dtype, verdict):
    exact = np.array([3.0, 4.0])
    off = np.array([0.0, 5.0])
    assert gpu.agrees(exact + error * off, exact, exact + reference * off, dtype) is verdict


class Pretended:
    """A device that is the CPU; graphs are the calls themselves."""

    dtypes = ("float32", "bfloat16")
    out_of_memory = MemoryError
    straightforward = gpu.TorchCuda.straightforward

    def __init__(self, wrong=0.0):
        self.waits, self.wrong = 0, wrong

    def wait(self):
        self.waits += 1

    def array(self, x, dtype):
        return torch.from_numpy(x).to(getattr(torch, dtype))

    def to_host(self, x):
        return x.double().numpy()

    def copying(self):
        return lambda: None

    def captured(self, call):
        return call, call() + self.wrong

    def launches(self, call):
        return 7


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(gpu, "SHAPES", {"small 4x16x16": (4, 16, 16)})
    monkeypatch.setattr(gpu, "BUDGET", 0.0)


def test_results_are_compared_before_anything_is_timed(small, monkeypatch):
    assert gpu.disagreements(Pretended(), gpu.SHAPES) == []
    whitened = wn.Whitener.__call__

    def rough(self, x, **options):
        """Half a percent off on the device; the reference takes the generic path."""
        on_device = isinstance(x, torch.Tensor)
        assert on_device or wn.kernel_path(x) == "generic"
        return whitened(self, x, **options) * (1.005 if on_device else 1.0)

    monkeypatch.setattr(wn.Whitener, "__call__", rough)
    wrong = gpu.disagreements(Pretended(), gpu.SHAPES)
    assert "small 4x16x16, float32, noise" in wrong
    assert not any("bfloat16, noise" in text for text in wrong)  # within its rounding


def test_operators_that_do_not_wait_are_captured(small, monkeypatch):
    """With a pretended fast path, whose calls take `check_finite`."""
    seen = []

    def whitened(self, x, *, rng, check_finite=True):
        seen.append((self.sweeps, check_finite))
        return x

    monkeypatch.setattr(wn.Whitener, "__call__", whitened)
    monkeypatch.setattr(wn, "kernel_path", lambda x: "triton_cuda")
    device, shape = Pretended(), "small 4x16x16"
    row = gpu.measure(device, gpu.Case("paper", shape, 2, "bfloat16"), 1e12)
    assert row["path"] == "triton_cuda"
    assert row["launches"] == 7
    assert row["floor"] == pytest.approx(2 * 2 * 1024 * 2 / 1e12)
    assert None not in row.values()
    assert (1, False) in seen
    assert device.waits >= 12
    seen.clear()
    row = gpu.measure(device, gpu.Case("default-1", shape, 1, "float32"), 1e12)
    assert (row["captured"], row["plain"]) == (None, None)
    assert set(seen) == {("converge", True)}
    row = gpu.measure(device, gpu.Case("default-1, 5 sweeps", shape, 1, "float32"), 1e12)
    assert row["captured"] is not None
    assert (5, False) in seen
    with pytest.raises(AssertionError, match="does not repeat"):
        gpu.measure(Pretended(wrong=1.0), gpu.Case("paper", shape, 1, "float32"), 1e12)


def test_what_does_not_fit_in_memory_is_left_open(small, monkeypatch):
    def too_large(self, x, dtype):
        raise MemoryError

    monkeypatch.setattr(Pretended, "array", too_large)
    row = gpu.measure(Pretended(), gpu.Case("paper", "small 4x16x16", 1, "float32"), 1e12)
    line = body(gpu.table([row]))[2]
    assert line[4:6] + line[7:] == ["-"] * 8


def test_the_gpu_table_compares_like_with_like():
    case = gpu.Case("paper", "FLUX 16x64x64", 8, "float32")
    full = {"case": case, "path": "triton_cuda", "launches": 60, "floor": 1e-5, "eager": 2e-3}
    full |= {"captured": 1e-4, "plain": 3e-3, "plain captured": 2e-3}
    eager = full | {"captured": None, "plain captured": None}
    lines = body(gpu.table([full, eager]))
    assert lines[2] == [
        *("paper", "FLUX 16x64x64", "8", "float32", "triton_cuda", "60", "10.0 µs", "2.00 ms"),
        *("100 µs", "10.0x", "3.00 ms", "2.00 ms", "20.0x"),
    ]
    assert lines[3][-4:] == ["200x", "3.00 ms", "-", "1.50x"]


def test_all_shapes_batches_and_dtypes_are_measured():
    swept, equalised = 3 * 3 * 3, 3  # the latter in batches of one
    assert len(gpu.cases(("float32", "bfloat16"))) == 2 * (swept + equalised)
    assert [c.capturable for c in gpu.cases(("float32",))].count(False) == 9 + equalised
