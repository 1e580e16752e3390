"""The command line: `whitenoise check`, its verdicts, formats, batches and errors."""

import json
import os
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from test_cli import Terminal
from test_cli_failures import make_files_at_fault

import whitenoise as wn
from whitenoise import _check_command, _files, cli


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def check(*arguments):
    return cli.main(["check", *map(str, arguments)])


@pytest.fixture
def typical(tmp_path):
    np.save(tmp_path / "typical.npy", noise(4, 16, 16))
    return tmp_path / "typical.npy"


@pytest.fixture
def batch(tmp_path):
    """Six vectors in the middle axes, the fifth too large."""
    x = noise(2, 16, 16, 3)
    x[1, :, :, 1] *= 1.5
    np.save(tmp_path / "batch.npy", x)
    return tmp_path / "batch.npy"


class TestVerdict:
    def test_typical(self, typical, capsys):
        assert check(typical) == 0
        report = wn.typicality(np.load(typical))
        verdict, *rest = capsys.readouterr().out.splitlines()
        assert verdict.startswith("typical: typical.npy: 4x16x16 float64: p = ")
        assert verdict.endswith(" >= 1e-06")
        assert "\n".join(rest) == str(report)

    def test_atypical(self, typical, capsys):
        np.save(typical, np.load(typical) + 0.5)
        assert check(typical) == 1
        assert capsys.readouterr().out.startswith("atypical: typical.npy: 4x16x16 float64: p = ")

    def test_false_alarm_is_the_level(self, typical, capsys):
        """A p-value on either side of the level."""
        np.save(typical, np.load(typical) + 0.2)
        pvalue = wn.typicality(np.load(typical)).pvalue
        assert check(typical, "--false-alarm", 0.99 * pvalue) == 0
        assert check(typical, "--false-alarm", 1.01 * pvalue) == 1

    def test_several_arrays_share_the_false_alarm(self, tmp_path, capsys):
        path = tmp_path / "in.npz"
        shifted = noise(1000) + 0.3
        pvalue = wn.typicality(shifted).pvalue
        np.savez(path, a=shifted, **{f"b{i}": noise(1000, seed=i + 1) for i in range(3)})
        assert check(path, "--key", "a", "--false-alarm", 1.01 * pvalue) == 1
        assert check(path, "--false-alarm", 3.96 * pvalue) == 0
        capsys.readouterr()
        assert check(path, "--false-alarm", 4.04 * pvalue) == 1
        lines = capsys.readouterr().out.splitlines()
        verdicts = [line.split(": ")[:2] for line in lines if "typical: " in line]
        assert verdicts == [["atypical", "a"], *(["typical", f"b{i}"] for i in range(3))]

    def test_declared_dtype(self, tmp_path):
        rounded = noise(4096).astype(ml_dtypes.bfloat16).astype("f4")
        np.save(tmp_path / "in.npy", rounded)
        assert check(tmp_path / "in.npy") == 1
        assert check(tmp_path / "in.npy", "--dtype", "bfloat16") == 0

    def test_quiet(self, typical, capsys):
        assert check(typical, "--quiet") == 0
        captured = capsys.readouterr()
        assert captured.out + captured.err == ""

    @pytest.mark.parametrize("code", [0, 1])
    def test_the_exit_code_survives_a_closed_pipe(self, typical, code):
        np.save(typical, np.load(typical) + code)
        read_end, write_end = os.pipe()
        os.close(read_end)
        command = [sys.executable, "-m", "whitenoise", "check", str(typical)]
        process = subprocess.Popen(command, text=True, stdout=write_end, stderr=subprocess.PIPE)
        os.close(write_end)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (code, "")


class TestFormats:
    @pytest.mark.parametrize("suffix", _files.SUFFIXES)
    def test_every_format(self, tmp_path, capsys, suffix):
        x = noise(500).astype("f4")
        path = tmp_path / f"in{suffix}"
        {
            ".npy": lambda: np.save(path, x),
            ".npz": lambda: np.savez(path, a=x),
            ".pt": lambda: torch.save({"a": torch.tensor(x, requires_grad=True)}, path),
            ".safetensors": lambda: save_file({"a": x}, path),
        }[suffix]()
        assert check(path, "--json") == 0
        (array,) = json.loads(capsys.readouterr().out)["arrays"]
        assert array["name"] == ("in.npy" if suffix == ".npy" else "a")
        assert array["report"]["pvalue"] == pytest.approx(wn.typicality(x).pvalue)

    @pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
    def test_bfloat16(self, tmp_path, suffix):
        path = tmp_path / f"in{suffix}"
        x = noise(2000).astype(ml_dtypes.bfloat16)
        if suffix == ".pt":
            torch.save(torch.tensor(x.astype("f4")).bfloat16(), path)
        else:
            save_file({"a": x}, path)
        assert check(path) == 0


class TestBatch:
    @pytest.mark.parametrize("piece", [2**22, 1, 700])
    def test_pieces_give_what_the_whole_gives(self, batch, capsys, monkeypatch, piece):
        monkeypatch.setattr(_check_command, "_PIECE", piece)
        assert check(batch, "--axis", "1,2", "--json") == 1
        (array,) = json.loads(capsys.readouterr().out)["arrays"]
        report = wn.typicality(np.load(batch), axis=(1, 2))
        assert array["report"]["batch"] == [2, 3]
        assert array["report"]["pvalue"] == pytest.approx(report.pvalue, rel=1e-6)
        assert array["report"]["families"] == pytest.approx(report.families, rel=1e-6)
        assert array["report"]["worst"]["sentence"] == report.worst.sentence
        assert array["atypical_vectors"] == 1

    def test_text_counts_the_vectors(self, batch, capsys):
        assert check(batch, "--axis", "1,2") == 1
        out = capsys.readouterr().out
        assert out.splitlines()[0].endswith(" < 1e-06, 1 of 6 vectors atypical")
        assert "vector (1, 1): " in out

    @pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (2, 3, 4), (5, 1, 7)])
    @pytest.mark.parametrize("most", [1, 2, 3, 4, 12, 1000])
    def test_pieces_cover_the_batch_in_order(self, shape, most):
        numbers = np.arange(np.prod(shape, dtype=int)).reshape(shape)
        pieces = [numbers[place] for place in _check_command._pieces(shape, most)]
        assert max(np.size(piece) for piece in pieces) <= most
        np.testing.assert_array_equal(
            np.concatenate([np.ravel(p) for p in pieces]), numbers.ravel()
        )

    def test_a_large_batch_is_read_piece_by_piece(self, batch, monkeypatch, capsys):
        sizes = []

        def load(x, axis=None):
            sizes.append(x.size)
            return as_vectors(x, axis)

        as_vectors = _check_command.as_vectors
        monkeypatch.setattr(_check_command, "as_vectors", load)
        monkeypatch.setattr(_check_command, "_PIECE", 512)
        monkeypatch.setattr(_check_command, "_MOST_BETWEEN", 1000)
        assert check(batch, "--axis", "1,2") == 1
        assert max(sizes) == 512
        assert "the batch has more than 1000 values" in capsys.readouterr().out

    def test_equal_vectors_in_different_pieces_are_found(self, tmp_path, monkeypatch):
        x = noise(5, 300)
        x[4] = x[0]
        np.save(tmp_path / "in.npy", x)
        monkeypatch.setattr(_check_command, "_PIECE", 300)
        assert check(tmp_path / "in.npy", "--axis", "1") == 1

    @pytest.mark.parametrize("quiet", [[], ["--quiet"]])
    def test_progress_counts_vectors(self, batch, monkeypatch, quiet):
        stderr = Terminal()
        monkeypatch.setattr(sys, "stderr", stderr)
        monkeypatch.setattr(cli, "_BAR_DELAY", 0)
        monkeypatch.setattr(_check_command, "_PIECE", 256)
        assert check(batch, "--axis", "1,2", *quiet) == 1
        assert ("/6" in stderr.getvalue()) == (not quiet)


class TestJson:
    def test_one_object_and_nothing_else(self, tmp_path, capsys):
        path = tmp_path / "in.npz"
        arrays = {"a": noise(16, 16), "b": noise(300).cumsum() / 3}
        np.savez(path, **arrays)
        assert check(path, "--json", "--false-alarm", "0.001") == 1
        captured = capsys.readouterr()
        assert captured.err == ""
        result = json.loads(captured.out)
        expected = [
            {
                "name": name,
                "verdict": verdict,
                "limit": 0.0005,
                "atypical_vectors": verdict == "atypical",
                "report": wn.typicality(arrays[name]).to_dict(),
            }
            for name, verdict in (("a", "typical"), ("b", "atypical"))
        ]
        assert result == {
            "file": str(path),
            "false_alarm": 0.001,
            "verdict": "atypical",
            "arrays": json.loads(json.dumps(expected)),
        }


class TestPlot:
    @pytest.mark.parametrize(
        ("suffix", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")]
    )
    def test_the_suffix_is_the_format(self, typical, suffix, start):
        out = typical.with_name(f"out.{suffix}")
        assert check(typical, "--plot", out, "--quiet") == 0
        assert out.read_bytes().startswith(start)
        assert sorted(os.listdir(out.parent)) == [out.name, "typical.npy"]

    def test_the_least_typical_array_is_drawn(self, tmp_path, monkeypatch):
        np.savez(tmp_path / "in.npz", a=noise(300), b=noise(500) + 1, c=noise(400))
        drawn = []
        monkeypatch.setattr(_check_command, "_draw", lambda verdict, path: drawn.append(verdict))
        assert check(tmp_path / "in.npz", "--plot", tmp_path / "out.png") == 1
        assert [verdict.task.name for verdict in drawn] == ["b"]

    def test_a_batch_with_trailing_axes(self, batch):
        assert check(batch, "--axis", "1,2", "--plot", batch.with_name("out.png")) == 1

    @pytest.mark.parametrize(
        ("out", "message"),
        [
            ("out", "out: unknown suffix '', use one of "),
            ("out.txt", "out.txt: unknown suffix '.txt', use one of "),
            ("nowhere/out.png", "nowhere/out.png: no directory nowhere"),
            ("folder.png", "folder.png: is a directory"),
        ],
    )
    def test_told_before_the_work(self, typical, monkeypatch, capsys, out, message):
        monkeypatch.chdir(typical.parent)
        os.mkdir("folder.png")
        monkeypatch.setattr(_files, "read", lambda path: pytest.fail("read"))
        assert check(typical, "--plot", out) == 2
        assert message in capsys.readouterr().err

    def test_missing_matplotlib(self, typical, monkeypatch, capsys):
        monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
        assert check(typical, "--plot", typical.with_name("out.png")) == 2
        assert 'install the extra: pip install "noisetilt[plot]"' in capsys.readouterr().err


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ("missing.npy", "missing.npy: no such file"),
            ("table.csv", "table.csv: unknown suffix '.csv'"),
            ("nan.npy", "nan.npy: x must be finite, got 1 NaN"),
            ("nan.npy --axis 1", "nan.npy, vector (3,): x must be finite"),
            ("int.npy", "int.npy has dtype int64"),
            ("complex.npy", "complex.npy has dtype complex128"),
            ("empty.npy", "empty.npy is empty, its shape is (0, 3)"),
            ("ok.npy --axis 1", "ok.npy of shape (96,): axis"),
            ("ok.npy --key a", "ok.npy: holds a single array"),
            ("mixed.npz", "array 'labels' has dtype int64, not one of float64"),
            ("mixed.npz --key b", "no array 'b', there are: a, labels"),
            ("none.npz", "none.npz: holds no arrays"),
            ("sparse.pt", "must be a dense torch tensor"),
            ("half.pt --dtype float32", "half.pt: dtype must not be finer than that of x"),
            *((f"damaged{s}", f"not a readable {s} file") for s in _files.SUFFIXES),
        ],
    )
    @pytest.mark.parametrize("json_option", ["", " --json"])
    def test_bad_data(self, tmp_path, monkeypatch, capsys, arguments, message, json_option):
        make_files_at_fault(tmp_path)
        monkeypatch.chdir(tmp_path)
        assert check(*(arguments + json_option).split()) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("whitenoise: error: ")
        assert message in captured.err
        assert captured.err.count("\n") == 1
        assert captured.out == ""

    @pytest.mark.parametrize(
        "arguments",
        [
            "",
            "in.npy out.npy",
            "in.npy --axis 1,1",
            "in.npy --false-alarm 0",
            "in.npy --false-alarm 1",
            "in.npy --false-alarm low",
            "in.npy --dtype int8",
            "in.npy --json --quiet",
            "in.npy --js",
        ],
    )
    def test_usage_errors(self, monkeypatch, capsys, arguments):
        monkeypatch.setattr(_files, "read", lambda path: pytest.fail("read"))
        assert check(*arguments.split()) == 2
        assert "usage: whitenoise" in capsys.readouterr().err

    @pytest.mark.parametrize(("error", "code"), [(MemoryError, 2), (KeyboardInterrupt, 130)])
    def test_stopped(self, typical, monkeypatch, capsys, error, code):
        def fail(*_):
            raise error

        monkeypatch.setattr(_check_command, "as_vectors", fail)
        assert check(typical) == code
        assert capsys.readouterr().out == ""

    def test_help(self, capsys):
        assert check("--help") == 0
        out = capsys.readouterr().out
        assert out.count("    whitenoise check ") == 3
        assert max(map(len, out.splitlines())) <= 90
