"""The command line: formats, batches and what it prints."""

import io
import os
import subprocess
import sys
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
import torch
from command_line import RAMP, TIES, expected, whiten
from safetensors import safe_open
from safetensors.numpy import save_file

import whitenoise as wn
from whitenoise import _files, cli


def tensors(path):
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


class TestFormats:
    @pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
    def test_npy_is_what_the_api_gives(self, tmp_path, dtype):
        x = TIES.astype(dtype).reshape(8, 12)
        np.save(tmp_path / "in.npy", x)
        assert whiten(tmp_path / "in.npy", tmp_path / "out.npy") == 0
        y = np.load(tmp_path / "out.npy")
        assert y.dtype == dtype
        np.testing.assert_array_equal(y, wn.Whitener(x.shape, sweeps=1)(x, rng=0))

    @pytest.mark.parametrize("x", [np.array(2.0), RAMP[:1], RAMP[:31], RAMP.reshape(3, 32).T])
    def test_any_shape_and_order(self, tmp_path, x):
        np.save(tmp_path / "in.npy", x)
        assert whiten(tmp_path / "in.npy", tmp_path / "out.npy") == 0
        y = np.load(tmp_path / "out.npy")
        np.testing.assert_array_equal(y, expected(np.atleast_1d(x)).reshape(x.shape))

    def test_foreign_byte_order_becomes_native(self, tmp_path):
        np.save(tmp_path / "in.npy", RAMP.astype(">f8"))
        assert whiten(tmp_path / "in.npy", tmp_path / "out.npy") == 0
        np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected(RAMP))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_pt_tensor(self, tmp_path, dtype):
        x = torch.tensor(TIES, dtype=dtype, requires_grad=True)
        torch.save(x, tmp_path / "in.pt")
        assert whiten(tmp_path / "in.pt", tmp_path / "out.pt") == 0
        y = torch.load(tmp_path / "out.pt", weights_only=True)
        assert y.dtype == dtype
        assert not y.requires_grad
        assert torch.equal(y, expected(x.detach()))

    def test_pt_dict(self, tmp_path):
        x = {"a": torch.tensor(RAMP), "b": torch.tensor(RAMP[:9])}
        torch.save(x, tmp_path / "in.pt")
        assert whiten(tmp_path / "in.pt", tmp_path / "out.pt") == 0
        y = torch.load(tmp_path / "out.pt", weights_only=True)
        assert list(y) == ["a", "b"]
        for name, array in y.items():
            assert torch.equal(array, expected(x[name], name))

    def test_npz_whitens_every_array(self, tmp_path):
        contents = _files.ArrayFile({"file": RAMP, "b/c": RAMP[:9].astype("f2")})
        _files._write_npz(tmp_path / "in.npz", contents)  # numpy.savez refuses the name "file"
        assert whiten(tmp_path / "in.npz", tmp_path / "out.npz") == 0
        with np.load(tmp_path / "out.npz") as y:
            assert y.files == ["file", "b/c"]
            for name in y.files:
                np.testing.assert_array_equal(y[name], expected(contents.arrays[name], name))

    def test_safetensors_keeps_bfloat16_and_metadata(self, tmp_path):
        x = RAMP.astype(ml_dtypes.bfloat16)
        save_file({"a": x, "b": RAMP}, tmp_path / "in.safetensors", metadata={"by": "me"})
        assert whiten(tmp_path / "in.safetensors", tmp_path / "out.safetensors") == 0
        y, metadata = tensors(tmp_path / "out.safetensors")
        assert metadata == {"by": "me"}
        assert y["a"].dtype == torch.bfloat16
        np.testing.assert_array_equal(y["a"].float().numpy(), expected(x, "a").astype("f4"))
        np.testing.assert_array_equal(y["b"].numpy(), expected(RAMP, "b"))

    def test_ties_of_equal_arrays_are_broken_differently(self, tmp_path):
        np.savez(tmp_path / "in.npz", a=TIES, b=TIES)
        assert whiten(tmp_path / "in.npz", tmp_path / "out.npz") == 0
        with np.load(tmp_path / "out.npz") as y:
            assert (y["a"] != y["b"]).any()

    @pytest.mark.parametrize("suffix", [".npz", ".pt", ".safetensors"])
    def test_key_whitens_one_array_and_copies_the_others(self, tmp_path, suffix):
        labels = np.arange(6).reshape(3, 2).T
        np.savez(tmp_path / "in.npz", x=RAMP, y=RAMP, labels=labels)
        assert whiten(tmp_path / "in.npz", tmp_path / f"out{suffix}", "--key", "x") == 0
        out = _files.read(tmp_path / f"out{suffix}").arrays
        np.testing.assert_array_equal(out["x"], expected(RAMP, "x"))
        np.testing.assert_array_equal(out["y"], RAMP)
        np.testing.assert_array_equal(out["labels"], labels)

    @pytest.mark.parametrize("target", _files.SUFFIXES)
    @pytest.mark.parametrize("source", _files.SUFFIXES)
    def test_conversion(self, tmp_path, ramp, source, target):
        middle, out = tmp_path / f"middle{source}", tmp_path / f"out{target}"
        assert whiten(ramp, middle) == 0
        (x,) = _files.read(middle).arrays.values()
        np.testing.assert_array_equal(np.asarray(x), expected(RAMP))
        assert whiten(middle, out) == 0
        (y,) = _files.read(out).arrays.values()
        name = ["arr_0"] if source in (".npz", ".safetensors") else []
        np.testing.assert_array_equal(np.asarray(y), np.asarray(expected(x, *name)))

    @pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
    def test_bfloat16_goes_between_torch_and_safetensors(self, tmp_path, suffix):
        x = torch.tensor(RAMP, dtype=torch.bfloat16)
        torch.save({"a": x}, tmp_path / "in.pt")
        assert whiten(tmp_path / "in.pt", tmp_path / "first.safetensors") == 0
        assert whiten(tmp_path / "first.safetensors", tmp_path / f"out{suffix}") == 0
        first, _ = tensors(tmp_path / "first.safetensors")
        assert torch.equal(first["a"], expected(x, "a"))
        (y,) = _files.read(tmp_path / f"out{suffix}").arrays.values()
        assert str(y.dtype).endswith("bfloat16")


class TestBatch:
    @pytest.mark.parametrize("suffix", [".npy", ".pt"])
    @pytest.mark.parametrize("axis", ["-1", "1,2", "-1,-2", "0"])
    def test_each_vector_has_its_own_generator(self, tmp_path, axis, suffix):
        x = np.round(np.random.default_rng(0).standard_normal((3, 4, 5)))
        np.save(tmp_path / "in.npy", x)
        out = tmp_path / f"out{suffix}"
        assert whiten(tmp_path / "in.npy", out, "--axis", axis) == 0
        (y,) = _files.read(out).arrays.values()
        axes = [int(a) for a in axis.split(",")]
        last = range(-len(axes), 0)
        vectors, found = (np.moveaxis(np.asarray(a), axes, last) for a in (x, y))
        for number, index in enumerate(np.ndindex(vectors.shape[: -len(axes)])):
            alone = expected(vectors[index], number)
            np.testing.assert_array_equal(found[index], alone)

    def test_line_reports_the_worst_vector(self, tmp_path, capsys):
        x = np.random.default_rng(0).standard_normal((4, 64))
        x[2] = np.linspace(0, 9, 64)
        np.save(tmp_path / "in.npy", x)
        files = (tmp_path / "in.npy", tmp_path / "out.npy", "--axis", "-1")
        assert whiten(*files, "--preset", "paper") == 0
        line = capsys.readouterr().out
        alone = [
            wn.Whitener(64, preset="paper")(
                x[i], rng=np.random.default_rng([0, i]), return_certificate=True
            )[1]
            for i in range(4)
        ]
        inside = np.all([[stage.inside for stage in c.stages] for c in alone], axis=0).sum()
        farthest = max(stage.distance for c in alone for stage in c.stages)
        assert line == (
            f"in.npy: 4x64 float64: worst of 4 vectors: cosine {min(c.cosine for c in alone):.6f}, "
            f"distance {max(c.distance for c in alone):.4g}, sweeps 1 (not converged), "
            f"inside {inside} of 20 sets, farthest {farthest:.3g}\n"
        )
        assert whiten(*files) == 0
        alone = [
            wn.Whitener(64, sweeps=1)(
                x[i], rng=np.random.default_rng([0, i]), return_certificate=True
            )[1]
            for i in range(4)
        ]
        cosine, pvalue, share = (
            min(getattr(c, name) for c in alone) for name in ("cosine", "pvalue", "share")
        )
        assert 0 < share < 1
        assert capsys.readouterr().out == (
            f"in.npy: 4x64 float64: worst of 4 vectors: cosine {cosine:.6f}, "
            f"p-value {pvalue:.3g}, share of fresh noise {1 - share:.2g}\n"
        )

    def test_a_large_file_is_not_loaded(self, tmp_path, monkeypatch):
        """64 MB in, at most a few vectors of 256 kB held; the operator is replaced by a copy."""

        class Copy:
            def __init__(self, shape, **options):
                self.shape = shape

            def __call__(self, x, *, rng, return_certificate):
                return x + 1

        monkeypatch.setattr(cli, "Whitener", Copy)
        path = tmp_path / "in.npy"
        x = np.lib.format.open_memmap(path, mode="w+", dtype="f4", shape=(256, 2**16))
        x[200, 5] = 3
        del x
        tracemalloc.start()
        assert whiten(path, path, "--axis", "1", "--quiet") == 0
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 4e6
        y = np.load(path, mmap_mode="r")
        assert y.shape == (256, 2**16)
        assert (y[200, 5], y[255, -1]) == (4, 1)


class Terminal(io.StringIO):
    def isatty(self):
        return True


class TestPrinting:
    @pytest.mark.parametrize("arguments", ["--help", "whiten --help", "--version"])
    def test_information(self, capsys, arguments):
        assert cli.main(arguments.split()) == 0
        out = capsys.readouterr().out
        assert "whitenoise" in out
        assert max(map(len, out.splitlines())) <= 90

    def test_quiet_prints_nothing_and_gives_the_same(self, ramp, capsys):
        np.save(ramp, TIES)
        out = ramp.with_name("out.npy")
        assert whiten(ramp, out, "--quiet") == 0
        captured = capsys.readouterr()
        assert captured.out + captured.err == ""
        np.testing.assert_array_equal(np.load(out), expected(TIES))

    def test_options_reach_the_operator(self, ramp):
        """Each option changes the result to what the API gives with it."""
        out = ramp.with_name("out.npy")
        options = "--preset paper-wan --confidence-level 0.9 --sweeps 2 --refine 3 --seed 4"
        assert whiten(ramp, out, *options.split()) == 0
        operator = wn.Whitener(96, preset="paper-wan", confidence_level=0.9, sweeps=2, refine=3)
        np.testing.assert_array_equal(np.load(out), operator(RAMP, rng=4))

    @pytest.mark.parametrize("stream", [Terminal, io.StringIO])
    @pytest.mark.parametrize("quiet", [[], ["--quiet"]])
    def test_progress_only_on_a_terminal(self, ramp, monkeypatch, stream, quiet):
        np.save(ramp, RAMP.reshape(8, 12))
        stderr = stream()
        monkeypatch.setattr(sys, "stderr", stderr)
        monkeypatch.setattr(cli, "_BAR_DELAY", 0)
        assert whiten(ramp, ramp, "--axis", "1", *quiet) == 0
        assert ("/8" in stderr.getvalue()) == (stream is Terminal and not quiet)

    def test_no_bar_for_short_work_or_without_tqdm(self, ramp, monkeypatch):
        stderr = Terminal()
        monkeypatch.setattr(sys, "stderr", stderr)
        assert whiten(ramp, ramp) == 0
        monkeypatch.setitem(sys.modules, "tqdm", None)
        monkeypatch.setattr(cli, "_BAR_DELAY", 0)
        assert whiten(ramp, ramp) == 0
        assert stderr.getvalue() == ""


def start(*arguments, **options):
    """Start a real process."""
    command = [sys.executable, "-m", "whitenoise", *map(str, arguments)]
    return subprocess.Popen(command, text=True, stderr=subprocess.PIPE, **options)


def test_module_runs():
    process = start("whiten", "--help", stdout=subprocess.PIPE)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert err == ""
    assert out.count("    whitenoise whiten ") == 2


def test_closed_pipe_is_not_an_error(ramp):
    read_end, write_end = os.pipe()
    os.close(read_end)
    out = ramp.with_name("out.npy")
    process = start("whiten", ramp, out, "--sweeps", 1, "--seed", 0, stdout=write_end)
    os.close(write_end)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    np.testing.assert_array_equal(np.load(out), expected(RAMP))
