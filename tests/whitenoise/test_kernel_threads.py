"""Kernels among threads and processes: how many run, how they compile, who sees which path."""

import contextvars
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import whitenoise as wn
from whitenoise import _kernels
from whitenoise._kernels import find, numba_cpu
from whitenoise._kernels.numba_cpu import compiling, threads
from whitenoise.isometries import Butterfly, RealFourier

LARGE = np.random.default_rng(0).standard_normal(2**17).astype(np.float32)  # work for 8 threads


@pytest.fixture(autouse=True)
def compiled():
    wn.compile_kernels(LARGE)
    assert find("two_level", LARGE) is numba_cpu.two_level


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


def results(x=LARGE):
    """Every kernel once: rows by network, columns by radix and ties; tiles; transforms."""
    return [
        wn.project_2os(2 * x, 16, rng=1, exchanges=0),
        wn.project_2os(np.round(2 * x, 1), 64, rng=1, exchanges=0),
        wn.project_1os(2 * x, rng=1),
        wn.project_tiles(2 * x, 4, rng=1),
        Butterfly(17).forward(x),
        Butterfly(2, 100).adjoint(x),
        RealFourier().forward(x),
    ]


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


@pytest.fixture(scope="module")
def expected():
    with wn.generic_path():
        return results()


# How many threads


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("name", ["NUMBA_NUM_THREADS", "OMP_NUM_THREADS"])
def test_results_do_not_depend_on_the_number_of_threads(name, count, expected, monkeypatch):
    monkeypatch.setenv(name, str(count))
    asked = []
    pool = threads._pool
    monkeypatch.setattr(
        threads,
        "_pool",
        lambda process, workers: (asked.append(workers), pool(process, workers))[1],
    )
    assert_same(results(), expected)
    assert max(asked, default=0) == count - 1


def test_small_arrays_stay_in_the_calling_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setattr(threads, "_pool", lambda *_: pytest.fail("a pool was asked for"))
    wn.project_2os(LARGE[:16_384], 16, rng=0)


@pytest.mark.parametrize(
    ("numba", "omp", "count"),
    [("3", "5", 3), ("", "5", 5), (None, "5", 5), ("3", "", 3), (None, "4,2", 4), ("2,9", "x", 2)],
)
def test_variables_say_how_many_threads(numba, omp, count, monkeypatch):
    for name, value in (("NUMBA_NUM_THREADS", numba), ("OMP_NUM_THREADS", omp)):
        if value is not None:
            monkeypatch.setenv(name, value)
    assert threads.thread_count() == count


@pytest.mark.parametrize("value", ["0", "-2", "two", "1.5", "2;3"])
@pytest.mark.parametrize("name", ["NUMBA_NUM_THREADS", "OMP_NUM_THREADS"])
def test_a_bad_number_of_threads_is_named(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"^{name} must be a number of at least 1, got '{value}'$"):
        wn.project_2os(LARGE, 16, rng=0)


def test_without_variables_all_processors_allowed_are_used(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3, 5}, raising=False)
    assert threads.thread_count() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert threads.thread_count() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert threads.thread_count() == 1


# Callers at once, and processes


def test_threads_may_call_at_the_same_time(expected, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with ThreadPoolExecutor(8) as callers:
        for found in callers.map(lambda _: results(), range(8)):
            assert_same(found, expected)


def _project_in_child(pipe):
    x = LARGE
    wn.compile_kernels(x)
    found = results(x)
    own = f"whitenoise-{os.getpid()}_"
    helped = any(thread.name.startswith(own) for thread in threading.enumerate())
    pipe.send((find("two_level", x) is not None, helped, found))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_a_forked_process_has_its_own_threads(expected, monkeypatch):
    """Those of the parent do not survive in it; they have worked before the fork."""
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert_same(results(), expected)
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=_project_in_child, args=(there,))
    child.start()
    try:
        assert here.poll(60), "the forked process hangs"
        fast, helped, found = here.recv()
        child.join(20)
        assert child.exitcode == 0
    finally:
        child.kill()
    assert fast
    assert helped
    assert_same(found, expected)
    assert_same(results(), expected)


# Compiling beside the caller


@pytest.fixture
def held(monkeypatch):
    """An event without which no compilation ends, in a process that has compiled nothing."""
    release = threading.Event()
    compile_now = compiling._compile

    def compile_later(dtype):
        assert release.wait(60)
        compile_now(dtype)

    monkeypatch.setattr(compiling, "_compile", compile_later)
    monkeypatch.setattr(compiling, "_tasks", {})
    yield release
    release.set()  # the one thread that compiles must be free for the next test


def test_callers_go_on_while_kernels_compile(held, expected):
    start = time.monotonic()
    assert find("two_level", LARGE) is None
    assert time.monotonic() - start < compiling._PATIENCE + 2
    start = time.monotonic()
    for _ in range(50):
        assert find("two_level", LARGE) is None
        assert find("real_fourier", LARGE) is not None  # SciPy's need no compiling
    assert time.monotonic() - start < 1
    assert_same(results(), expected)
    held.set()
    wn.compile_kernels(LARGE)
    assert find("two_level", LARGE) is numba_cpu.two_level
    assert_same(results(), expected)


def test_a_caller_who_asks_waits_for_the_kernels(held):
    waiting = threading.Thread(target=wn.compile_kernels, args=(LARGE,))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    held.set()
    waiting.join(60)
    assert not waiting.is_alive()
    assert find("two_level", LARGE) is not None


def test_no_message_of_the_compiler_swaps_the_streams_of_the_process(monkeypatch):
    pytest.importorskip("colorama")
    from numba.core import errors

    def swapped():
        raise AssertionError("sys.stdout was swapped")

    for name in ("init", "reinit", "deinit"):
        monkeypatch.setattr(errors, name, swapped)
    assert "such a type" in errors.termcolor().errmsg("such a type")


def test_each_dtype_is_compiled_once(monkeypatch):
    compiled = []
    monkeypatch.setattr(compiling, "_compile", compiled.append)
    monkeypatch.setattr(compiling, "_tasks", {})
    for x in (LARGE, LARGE.astype(float), LARGE):
        wn.compile_kernels(x)
        assert find("two_level", x) is not None
    assert compiled == ["float32", "float64"]


def test_callers_at_once_start_one_compilation(monkeypatch):
    compiled = []
    monkeypatch.setattr(compiling, "_compile", compiled.append)
    monkeypatch.setattr(compiling, "_tasks", {})
    together = threading.Barrier(8)

    def ask(_):
        together.wait(20)
        wn.compile_kernels(LARGE)

    with ThreadPoolExecutor(8) as callers:
        list(callers.map(ask, range(8)))
    assert compiled == ["float32"]


def test_what_goes_wrong_in_compiling_reaches_the_caller(monkeypatch):
    def fail(dtype):
        raise RuntimeError(f"no code for {dtype}")

    monkeypatch.setattr(compiling, "_compile", fail)
    monkeypatch.setattr(compiling, "_tasks", {})
    for call in (wn.compile_kernels, wn.project_1os, wn.project_1os):
        with pytest.raises(RuntimeError, match="no code for float32"):
            call(LARGE[:64])
    with wn.generic_path():
        wn.project_1os(LARGE[:64])


# Which path


def test_importing_and_asking_load_no_compiler():
    code = (
        "import sys, numpy, whitenoise as wn; x = numpy.ones(64); wn.Whitener((64,)); "
        "print(wn.kernel_path(x), end=' '); "
        "\nwith wn.generic_path(): wn.whiten(x, rng=0)"
        "\nprint(sorted({'numba', 'llvmlite'} & set(sys.modules)), end=' ')"
        "\nwn.compile_kernels(x); print('numba' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    assert run.stdout.split() == ["numba_cpu", "[]", "True"]


def test_without_numba_the_generic_path_serves(expected, monkeypatch):
    monkeypatch.setattr(_kernels, "_installed", lambda package: package != "numba")
    monkeypatch.setattr(_kernels, "_module", lambda name: pytest.fail(f"{name} was imported"))
    assert wn.kernel_path(LARGE) == "generic"
    assert find("two_level", LARGE) is None
    wn.compile_kernels(LARGE)
    assert_same(results(), expected)


def test_the_generic_path_is_entered_and_left():
    assert wn.kernel_path(LARGE) == "numba_cpu"
    with wn.generic_path():
        with wn.generic_path():
            assert wn.kernel_path(LARGE) == "generic"
        assert wn.kernel_path(LARGE) == "generic"
        assert find("two_level", LARGE) is None
    assert wn.kernel_path(LARGE) == "numba_cpu"
    with pytest.raises(KeyError), wn.generic_path():
        raise KeyError
    assert wn.kernel_path(LARGE) == "numba_cpu"


def test_the_generic_path_is_of_one_thread_and_context():
    outside = contextvars.copy_context()
    with wn.generic_path(), ThreadPoolExecutor(1) as other:
        assert other.submit(wn.kernel_path, LARGE).result() == "numba_cpu"
        assert outside.run(wn.kernel_path, LARGE) == "numba_cpu"
        inside = contextvars.copy_context()
    assert inside.run(wn.kernel_path, LARGE) == "generic"
    assert wn.kernel_path(LARGE) == "numba_cpu"
