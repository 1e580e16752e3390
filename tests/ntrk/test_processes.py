"""Particles over two processes: whatever they share, the result is that of one process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from two_processes import POPULATIONS

from ntrk import cli
from ntrk.processes import Processes, launched

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
CASES = [
    f"{kind}, {name}, {particles}"
    for kind, particles in (("flow", 2), ("flow", 5), ("flux", 3))
    for name in POPULATIONS
]


def torchrun(*arguments):
    """Run two processes, with as many threads each as one has when it repeats their work."""
    return subprocess.run(
        [*TORCHRUN, *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory, checkpoint):
    path = tmp_path_factory.mktemp("processes") / "found.pt"
    script = Path(__file__).parent / "two_processes.py"
    run = torchrun(script, path, checkpoint("flux"))
    assert run.returncode == 0, run.stderr
    return torch.load(path, weights_only=False)


def assert_same(a, b):
    """Compare bit for bit, whatever it is; NaN is NaN."""
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b or a != a != b != b


@pytest.mark.parametrize("case", [*CASES, "generator", "fallbacks"])
def test_two_processes_give_all_that_one_gives(found, case):
    alone = found["alone"][case]
    for together in found["everywhere"]:
        assert_same(together[case], alone)


def test_in_these_cases_a_particle_of_one_process_takes_the_place_of_another_ones(found):
    for name in ("das", "psi", "fks"):
        assert len(set(found["alone"][f"flow, {name}, 2"]["reward"].tolist())) == 1
    for case in ("flow, best_of_n, 5", "flux, best_of_n, 3"):
        alone = found["alone"][case]
        assert len(alone["images"]) == 1
        assert int(torch.tensor(alone["history"][-1]["reward"]).argmax()) > 0  # of the second one
    assert 0 < found["alone"]["fallbacks"]["fallbacks"] < found["alone"]["fallbacks"]["nfe"]


def test_fewer_particles_than_processes_are_refused_by_all(found):
    for together in found["everywhere"]:
        assert together["refusal"] == (
            "particles must be at least the number of processes, 2, got 1"
        )


def test_the_command_line_under_torchrun_saves_once_and_the_same(tmp_path, checkpoint):
    arguments = ["generate", checkpoint("flux"), "a fox", "--reward", "200*brightness"]
    arguments += ["--method", "das", "--set", "temperature=0.5", "--particles", "3", "--steps", "2"]
    arguments += ["--height", "32", "--width", "32", "--pipe", "max_sequence_length=64"]
    arguments += ["--dtype", "float32"]
    run = torchrun("-m", "ntrk.cli", *arguments, "--out", tmp_path / "two")
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("DAS: 3 particles of 3x32x32") == 1
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert cli.main([*map(str, arguments), "--quiet", "--out", str(tmp_path / "one")]) == 0
    finally:
        torch.set_num_threads(threads)
    two, one = (json.loads((tmp_path / n / "result.json").read_text()) for n in ("two", "one"))
    assert two == one
    for name in two["files"]:
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


@pytest.mark.parametrize(("particles", "size"), [(1, 1), (5, 5), (7, 3), (8, 3), (64, 7)])
def test_shares_are_blocks_that_differ_by_one_particle_at_most(particles, size):
    shares = []
    for rank in range(size):
        processes = Processes()
        processes.rank, processes.size = rank, size
        shares.append(processes.share(particles))
        rows = torch.arange(particles)
        assert processes.own(rows).tolist() == list(shares[-1])
    assert [p for share in shares for p in share] == list(range(particles))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_without_torchrun_a_process_is_alone():
    with launched("cpu") as device:
        assert device == torch.device("cpu")
        processes = Processes()
    assert (processes.alone, processes.rank, processes.size) == (True, 0, 1)
    x = torch.arange(3)
    assert processes.gather(x) is x
    assert processes.gather_objects("x") == ["x"]


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for device in ("cuda", "tpu"):
        with pytest.raises(ValueError, match=f"device must be .* got '{device}'"), launched(device):
            pass
