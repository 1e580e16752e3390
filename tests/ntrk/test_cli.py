"""The command line: it runs what the Python API runs, and blames the right party in one line."""

import contextlib
import dataclasses
import io
import itertools
import json
import re
import subprocess
import sys

import pytest
import torch
from PIL import Image

import ntrk
from ntrk import cli
from ntrk.methods import DAS, METHODS, NTRK, BestOfN
from ntrk.rewards import PLAIN

HEAVY = {"diffusers", "transformers", "accelerate", "peft", "matplotlib", "PIL", "av"}
SMALL = ["--height", "32", "--width", "32", "--pipe", "max_sequence_length=64"]
CALL = {"height": 32, "width": 32, "max_sequence_length": 64}


@pytest.fixture
def generate(checkpoint, tmp_path, monkeypatch):
    """``generate(*arguments) -> (code, stdout, stderr)`` on the tiny Flux, two steps."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, model="flux", reward="brightness"):
        # Stable Diffusion takes no lengths.
        small = SMALL[:4] if model == "sd" else SMALL
        model = str(checkpoint(model)) if "/" not in model else model
        line = ["generate", model, "a fox", "--reward", reward, "--steps", "2", "--dtype"]
        out, error = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            code = cli.main([*line, "float32", *small, *map(str, arguments)])
        return code, out.getvalue(), error.getvalue()

    return run


def pixels(path):
    with Image.open(path) as image:
        return image.format, image.tobytes()


def says(error, *words):
    """Whether stderr is one line of ours, with the words in it."""
    assert error.startswith("ntrk: error: ")
    assert error.count("\n") == 1
    return all(word in error for word in words)


def run(*arguments, code=None):
    command = [sys.executable, *(["-c", code] if code else ["-m", "ntrk.cli"]), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


class TestHelp:
    @pytest.mark.parametrize("argument", ["--help", "methods"])
    def test_it_loads_no_model_library(self, argument):
        code = "import sys; from ntrk.cli import main; code = main(sys.argv[1:])"
        code += f"; sys.exit(code or str(sorted({HEAVY} & set(sys.modules))))"
        done = run(argument, code=code)
        assert done.stderr == "[]\n"
        assert "ntrk" in done.stdout

    def test_version(self, capsys):
        assert cli.main(["--version"]) == 0
        assert capsys.readouterr().out == f"ntrk {ntrk.__version__}\n"

    def test_no_command_prints_help_and_fails(self, capsys):
        assert cli.main([]) == 2
        out, error = capsys.readouterr()
        assert not out
        assert "generate" in error
        assert "methods" in error

    def test_every_line_of_help_fits_a_terminal(self, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "80")
        assert cli.main(["generate", "--help"]) == 0
        assert all(len(line) < 100 for line in capsys.readouterr().out.splitlines())


class TestMethods:
    def test_table_says_all_of_every_method_in_100_columns(self, capsys):
        assert cli.main(["methods"]) == 0
        out = capsys.readouterr().out
        assert max(map(len, out.splitlines())) <= 100
        blocks = re.split(r"\n(?=\w)", out)
        for name, method in METHODS.items():
            (block,) = (b for b in blocks if b.startswith(f"{name} "))
            known = [method().label, method.kind, method.summary]
            known += [f"{f.name}=" for f in dataclasses.fields(method) if name != "best_of_n"]
            assert [word for word in known if word not in block] == []

    def test_numbers_of_evaluations_are_those_that_are_counted(self, capsys):
        """The paper's: 41 for FreeDoM, K times the steps for searches."""
        assert cli.main(["methods", "--json"]) == 0
        methods = {m["name"]: m for m in json.loads(capsys.readouterr().out)}
        assert list(methods) == list(METHODS)
        assert methods["fks"]["parameters"]["potential"] == "max"
        for name in ("ntrk", "freedom", "svdd", "psi"):
            out = ntrk.sample(
                lambda x, t: x * (2 * t - 1) / (t**2 + (1 - t) ** 2),
                (8,),
                reward=lambda x, prompts: x.mean(1),
                method=name,
                particles=2,
            )
            assert out.nfe == 2 * methods[name]["nfe"]
        assert [methods[name]["nfe"] for name in ("ntrk", "freedom", "svdd")] == [25, 41, 500]


class TestGenerate:
    def test_it_is_the_python_call_saved(self, generate, load, tmp_path):
        code, out, _ = generate(
            *("--particles", 3, "--seed", 7, "--strength", 0.5, "--set", "whitening=sphere"),
            *("--diffusion", "1-(1-t)^2", "--form", "euler_maruyama", "--reward-every", 2),
            *("--detach-model", "--gradient-checkpointing", "--vae-tiling", "--batch-size", 2),
            *("--held-out", "contrast + redness", "--guidance-scale", 2, "--plot", "p/plot.png"),
            reward="brightness - 0.5*redness",
        )
        assert code == 0
        result = ntrk.generate(
            load("flux", dtype=torch.float32),
            "a fox",
            reward=ntrk.rewards.parse_reward("brightness - 0.5*redness"),
            method=NTRK(0.5, whitening="sphere"),
            steps=2,
            particles=3,
            seed=7,
            held_out={"contrast": PLAIN["contrast"], "redness": PLAIN["redness"]},
            batch_size=2,
            diffusion="1-(1-t)^2",
            form="euler_maruyama",
            reward_every=2,
            detach_model=True,
            gradient_checkpointing=True,
            vae_tiling=True,
            guidance_scale=2.0,
            progress=False,
            **CALL,
        )
        first, *paths = out.splitlines()
        assert first == str(result)
        files = [f"ntrk-result/{name}" for name in ("image-0.png", "image-1.png", "image-2.png")]
        assert paths == [*files, "ntrk-result/result.json", "p/plot.png"]
        assert pixels(tmp_path / "p/plot.png")[0] == "PNG"
        result.save(tmp_path / "expected")
        for name in ("image-0.png", "image-1.png", "image-2.png"):
            assert pixels(tmp_path / "ntrk-result" / name) == pixels(tmp_path / "expected" / name)
        got, expected = (
            json.loads((tmp_path / f / "result.json").read_text())
            for f in ("ntrk-result", "expected")
        )
        assert got == expected

    @pytest.mark.parametrize(
        ("arguments", "method", "images"),
        [
            (["das", "--set", "temperature=0.2", "--set", "growth=None"], DAS(0.2), 2),
            (["best_of_n"], BestOfN(), 1),
            (["ntrk+best_of_n", "--strength", "0.1"], BestOfN(NTRK(0.1)), 1),
        ],
    )
    def test_methods_with_their_parameters(self, generate, arguments, method, images, tmp_path):
        code, out, _ = generate("--method", *arguments, "--particles", "2", "--out", "x.png")
        assert (code, len(out.splitlines())) == (0, 1 + images + 1)
        settings = json.loads((tmp_path / "x.json").read_text())["settings"]
        assert settings["method"] == method.settings

    def test_a_video_and_a_scheduler_of_the_same_noise_levels(self, generate, load, tmp_path):
        wan = ["--num-frames", "5", "--scheduler", "FlowMatchEulerDiscreteScheduler"]
        code, _, error = generate(*wan, "--out", "a/fox.mp4", model="wan")
        assert code == 0, error
        document = json.loads((tmp_path / "a/fox.json").read_text())
        assert document["settings"]["scheduler"] == "FlowMatchEulerDiscreteScheduler"
        # `load` gives the tiny Wan this scheduler, with the shift of its own one.
        result = ntrk.generate(
            load("wan", dtype=torch.float32),
            "a fox",
            reward=PLAIN["brightness"],
            steps=2,
            num_frames=5,
            progress=False,
            **CALL,
        )
        assert document["reward"] == result.reward.tolist()

    def test_a_reward_may_start_with_a_minus(self, generate, tmp_path):
        code, *_ = generate("--held-out", "-redness", "--quiet", reward="-contrast")
        assert code == 2  # a held-out reward has no weight, and was read
        code, out, error = generate("--quiet", reward="-contrast")
        assert (code, out, error) == (0, "", "")
        settings = json.loads((tmp_path / "ntrk-result/result.json").read_text())["settings"]
        assert settings["reward"] == "-contrast"

    def test_files_are_not_replaced_unless_told_so(self, generate, monkeypatch):
        assert generate("--quiet")[0] == 0
        with monkeypatch.context() as patched:
            patched.setattr(cli, "_load", None)  # refused before anything is loaded
            code, _, error = generate("--particles", "1")
        assert code == 1
        assert says(error, "--overwrite", "ntrk-result/image-0.png", "ntrk-result/result.json")
        assert generate("--overwrite")[0] == 0


class TestInterrupted:
    @pytest.mark.parametrize(("call", "saved"), [(1, False), (3, True)])
    def test_what_there_is_is_saved(self, generate, monkeypatch, tmp_path, call, saved):
        calls = itertools.count(1)

        def interrupted(images, prompts=()):
            if next(calls) == call:
                raise KeyboardInterrupt
            return images.flatten(1).mean(1)

        monkeypatch.setitem(PLAIN, "brightness", interrupted)
        code, out, error = generate("--steps", "3")
        assert code == 130
        assert ("interrupted" in out) == saved
        assert (tmp_path / "ntrk-result/image-0.png").exists() == saved
        if not saved:
            assert error.splitlines()[-1] == "ntrk: interrupted"


class TestCommandLineAtFault:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--method", "nuts"], ["method must be one of ntrk, base", "got 'nuts'"]),
            (["--method", "best_of_n+best_of_n"], ["got 'best_of_n+best_of_n'"]),
            (["--method", "das", "--strength", "1"], ["'strength'; it has: temperature, growth\n"]),
            (["--method", "best_of_n", "--set", "method=das"], ["has no parameter 'method'"]),
            (["--strength", "1.5"], ["strength must be in [0, 1], got 1.5"]),
            (["--strength", "0.5", "--set", "strength=0.5"], ["strength is given twice"]),
            (["--reward", "softness"], ["unknown reward 'softness'"]),
            (["--held-out", "2*contrast"], ["--held-out", "without weights", "'2*contrast'"]),
            (["--diffusion", "4t"], ["diffusion must be one of", "got '4t'"]),
            (["--method", "das", "--reward-every", "2"], ["reward_every must be 1"]),
            (["--pipe", "height=3"], ["height is given twice"]),
        ],
    )
    def test_before_anything_is_loaded(self, generate, monkeypatch, arguments, words):
        monkeypatch.setattr(cli, "_load", None)
        code, out, error = generate(*arguments)
        assert (code, out) == (2, "")
        assert says(error, *words)

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--steps", "0"],
            ["--seed", "-1"],
            ["--set", "strength"],
            ["--pipe", "2=3"],
            ["--dtype", "int8"],
            ["--scheduler", "PNDMScheduler"],
            ["--part", "2"],  # no abbreviations
        ],
    )
    def test_options_that_cannot_be_read(self, generate, arguments):
        code, out, error = generate(*arguments)
        assert (code, out) == (2, "")
        assert "ntrk generate: error: " in error or "ntrk: error: " in error

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--pipe", "cfg=3"], ["FluxPipeline has no argument 'cfg'", "guidance_scale"]),
            (["--pipe", "num_inference_steps=3"], ["use steps"]),
            (["--out", "x.mp4"], ["folder or end in .png"]),
            (["--scheduler", "DDIMScheduler"], ["FlowMatchEulerDiscreteScheduler"]),
        ],
    )
    def test_once_the_model_is_known(self, generate, arguments, words):
        code, out, error = generate(*arguments, "--quiet")
        assert (code, out) == (2, "")
        assert says(error, *words)


class TestModelAtFault:
    def test_a_model_that_is_nowhere(self, generate, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        code, out, error = generate("--quiet", model="some-one/some.model")
        assert (code, out) == (1, "")
        assert says(error, "'some-one/some.model'", "hf download some-one/some.model")

    @pytest.mark.parametrize("model", ["./no", "/no/such/folder", "a/b/c"])
    def test_a_folder_that_is_not_there(self, generate, model):
        code, out, error = generate("--quiet", model=model)
        assert (code, out) == (1, "")
        assert says(error, repr(model), "there is no such folder")

    def test_a_folder_that_holds_no_model(self, generate, tmp_path):
        code, out, error = generate("--quiet", model=f"{tmp_path}/")
        assert (code, out) == (1, "")
        assert says(error, "model_index.json")

    def test_a_scheduler_that_cannot_be_tilted_and_the_way_out(self, generate):
        code, out, error = generate("--quiet", model="sd")
        assert (code, out) == (1, "")
        assert says(error, "PNDMScheduler cannot be tilted", "--scheduler NAME")
        assert generate("--quiet", "--scheduler", "DDIMScheduler", model="sd")[0] == 0

    def test_a_reward_that_returns_the_wrong_shape(self, generate, tmp_path):
        (tmp_path / "my.py").write_text("def f(images, prompts): return images.mean()")
        code, out, error = generate("--quiet", reward="my.py:f")
        assert (code, out) == (1, "")
        assert says(error, "the reward 'f' must return", "got shape ()")
