"""The command line: what fails, how it says so, and that no file is left half written."""

import os
import sys

import ml_dtypes
import numpy as np
import pytest
import torch
from command_line import RAMP, expected, whiten
from safetensors.numpy import save_file

from whitenoise import _files, cli


class TestReplacing:
    def test_in_place(self, ramp):
        assert whiten(ramp, ramp) == 0
        np.testing.assert_array_equal(np.load(ramp), expected(RAMP))
        assert os.listdir(ramp.parent) == ["in.npy"]

    @pytest.mark.parametrize("suffix", _files.SUFFIXES)
    @pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt, OSError(28, "disk full")])
    def test_failure_leaves_out_untouched(self, ramp, monkeypatch, capsys, error, suffix):
        out = ramp.with_name(f"out{suffix}")
        out.write_text("precious")

        def fail(*_):
            raise error

        monkeypatch.setattr(_files.Output, "save", fail)
        assert whiten(ramp, out) == (130 if error is KeyboardInterrupt else 1)
        assert out.read_text() == "precious"
        assert sorted(os.listdir(ramp.parent)) == ["in.npy", out.name]
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("whitenoise: ")
        assert captured.err.count("\n") == 1

    def test_full_disk_is_an_error(self, ramp, monkeypatch, capsys):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "posix_fallocate", full)
        assert whiten(ramp, ramp) == 1
        assert "in.npy: No space left on device" in capsys.readouterr().err
        np.testing.assert_array_equal(np.load(ramp), RAMP)

    @pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
    @pytest.mark.parametrize("suffix", _files.SUFFIXES)
    def test_permissions(self, ramp, suffix):
        """A new file follows the umask, an old one keeps its own."""
        new, old = ramp.with_name(f"new{suffix}"), ramp.with_name(f"old{suffix}")
        old.touch()
        old.chmod(0o640)
        umask = os.umask(0o022)
        try:
            assert (whiten(ramp, new), whiten(ramp, old)) == (0, 0)
        finally:
            os.umask(umask)
        assert [oct(p.stat().st_mode & 0o777) for p in (new, old)] == ["0o644", "0o640"]

    def test_link_is_followed(self, ramp):
        link = ramp.with_name("link.npy")
        link.symlink_to("real.npy")
        assert whiten(ramp, link) == 0
        assert link.is_symlink()
        np.testing.assert_array_equal(np.load(ramp.with_name("real.npy")), expected(RAMP))


def make_files_at_fault(folder):
    """Files that cannot be whitened, or not into every format; `ok.npy` is fine."""
    nan = np.ones((5, 8))
    nan[3, 2] = np.nan
    arrays = {"nan": nan, "int": np.arange(4), "complex": np.ones(3, complex), "ok": RAMP}
    arrays["empty"] = np.zeros((0, 3))
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    np.save(folder / "object.npy", np.array([{}], object))
    np.savez(folder / "mixed.npz", a=RAMP, labels=np.arange(3))
    np.savez(folder / "none.npz")
    torch.save({"a": [1, 2]}, folder / "nested.pt")
    torch.save(torch.eye(3).to_sparse(), folder / "sparse.pt")
    torch.save(np.ones(3), folder / "code.pt")
    torch.save(torch.ones(3, dtype=torch.bfloat16), folder / "half.pt")
    save_file({"a": RAMP.astype(ml_dtypes.bfloat16)}, folder / "half.safetensors")
    for suffix in _files.SUFFIXES:
        (folder / f"damaged{suffix}").write_bytes(b"x")
    (folder / "table.csv").write_text("1,2")


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ("missing.npy out.npy", "missing.npy: no such file"),
            ("table.csv out.npy", "table.csv: unknown suffix '.csv'"),
            ("ok.npy out.txt", "out.txt: unknown suffix '.txt', use one of .npy, .npz"),
            ("ok.npy nowhere/out.npy", "nowhere/out.npy: no directory"),
            ("nan.npy out.npy", "nan.npy: x must be finite, got 1 NaN"),
            ("nan.npy out.npy --axis 1", "nan.npy, vector (3,): x must be finite"),
            ("int.npy out.npy", "int.npy has dtype int64"),
            ("complex.npy out.npy", "complex.npy has dtype complex128"),
            ("object.npy out.npy", "object.npy: not a readable .npy file"),
            ("empty.npy out.npy", "empty.npy is empty, its shape is (0, 3)"),
            ("ok.npy out.npy --axis 1", "ok.npy of shape (96,): axis"),
            ("ok.npy out.npy --key a", "ok.npy: holds a single array"),
            (
                "ok.npy out.npy --preset paper --confidence-level 1e-300",
                "ok.npy: confidence_level=1e-300",
            ),
            (
                "ok.npy out.npy --confidence-level 0.9",
                "ok.npy: confidence_level is for presets of projections, which 'default' is not",
            ),
            ("mixed.npz out.npz", "array 'labels' has dtype int64"),
            ("mixed.npz out.npz --key b", "no array 'b', there are: a, labels"),
            ("mixed.npz out.npy --key a", "out.npy: .npy holds one array, but there are 2"),
            ("none.npz out.npz", "none.npz: holds no arrays"),
            ("nested.pt out.pt", "entry 'a' is a list"),
            ("sparse.pt out.pt", "must be a dense torch tensor"),
            ("code.pt out.pt", "damaged, or holds more than tensors"),
            ("half.pt out.npy", "out.npy: .npy cannot hold dtype bfloat16"),
            ("half.safetensors out.npz", "out.npz: .npz cannot hold dtype bfloat16 (array 'a')"),
            *((f"damaged{s} out.npy", f"not a readable {s} file") for s in _files.SUFFIXES),
        ],
    )
    def test_data_errors(self, tmp_path, monkeypatch, capsys, arguments, message):
        make_files_at_fault(tmp_path)
        monkeypatch.chdir(tmp_path)
        assert whiten(*arguments.split()) == 1
        captured = capsys.readouterr()
        assert captured.err.startswith("whitenoise: error: ")
        assert message in captured.err
        assert captured.err.count("\n") == 1
        assert captured.out == ""
        assert not list(tmp_path.glob("*out*"))

    def test_unknown_stored_dtype(self, tmp_path, capsys):
        path = tmp_path / "in.safetensors"
        save_file({"a": np.ones(3, ml_dtypes.float8_e5m2)}, path)
        assert whiten(path, path) == 1
        assert "array 'a' has dtype F8_E5M2" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("package", "suffix", "extra"),
        [("torch", ".pt", "torch"), ("safetensors", ".safetensors", "cli")],
    )
    def test_missing_package(self, ramp, monkeypatch, capsys, package, suffix, extra):
        monkeypatch.setitem(sys.modules, package, None)
        assert whiten(ramp, ramp.with_name(f"out{suffix}")) == 1
        assert f'install the extra: pip install "noisetilt[{extra}]"' in capsys.readouterr().err

    @pytest.mark.parametrize(
        "arguments",
        [
            "",
            "frobnicate",
            "whiten in.npy",
            "whiten in.npy out.npy --preset louder",
            "whiten in.npy out.npy --confidence-level 1",
            "whiten in.npy out.npy --confidence-level nan",
            "whiten in.npy out.npy --confidence-level high",
            "whiten in.npy out.npy --axis 1,1",
            "whiten in.npy out.npy --axis a",
            "whiten in.npy out.npy --axis",
            "whiten in.npy out.npy --sweeps 0",
            "whiten in.npy out.npy --refine -1",
            "whiten in.npy out.npy --seed 1.5",
            "whiten in.npy out.npy --see 1",
        ],
    )
    def test_usage_errors(self, monkeypatch, capsys, arguments):
        """Told before any file is opened."""
        monkeypatch.setattr(_files, "read", lambda path: pytest.fail("read"))
        assert cli.main(arguments.split()) == 2
        assert "usage: whitenoise" in capsys.readouterr().err
