"""What practice asks for: narrow dtypes, little memory, bad gradients, interruptions, records."""

import itertools
import json
import math
from dataclasses import dataclass

import diffusers
import pytest
import tiny
import torch

import ntrk
from ntrk import methods
from ntrk.methods import Method
from ntrk.rewards import Reward, brightness, contrast, redness

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning:diffusers"
)

ALL = sorted(tiny.PIPELINES)
UP, DOWN = Reward({"bright": brightness}), -Reward({"bright": brightness})
PROMPT = "a cat"


def generate(pipe, name, reward=UP, *, steps=4, **kwargs):
    if "method" not in kwargs:  # the default whitening takes most of the time
        kwargs["method"] = methods.NTRK(kwargs.pop("strength", 0.3), whitening="sphere")
    settings = {"check_noise": False, "progress": False, **tiny.CALL[name], **kwargs}
    return ntrk.generate(pipe, PROMPT, reward=reward, steps=steps, **settings)


# ------------------------------------------------------------------------------- narrow dtypes


@pytest.mark.parametrize("name", ALL)
def test_a_bfloat16_pipeline_follows_a_float32_reward(load, name):
    """Two particles, each brighter with +r than with -r: by chance with probability 1/4 in one
    pipeline, 2^-12 in all six."""
    pipe = load(name, dtype=torch.bfloat16)

    def look(images, prompts):
        assert images.dtype == torch.float32
        return brightness(images)

    up, down = (
        generate(
            pipe,
            name,
            sign * Reward({"look": look}),
            method="ntrk",
            strength=0.8,
            particles=2,
            batch_size=2,
        )
        for sign in (1, -1)
    )
    assert up.settings["dtype"] == "bfloat16"
    assert up.images.dtype == up.latents.dtype == torch.float32
    assert up.images.isfinite().all()
    assert up.fallbacks == 0
    assert (brightness(up.images) > brightness(down.images)).all()


def test_states_are_not_rounded_to_the_dtype_of_the_model(load):
    latents = generate(load("sd", dtype=torch.bfloat16), "sd").latents
    assert not torch.equal(latents, latents.bfloat16().float())


def test_a_prediction_that_is_not_finite_stops_the_run(load):
    pipe = load("sd")
    pipe.unet.register_forward_hook(lambda module, args, out: (out[0] * torch.nan,))
    with pytest.raises(FloatingPointError, match="prediction at step 0 is not finite"):
        generate(pipe, "sd")


# --------------------------------------------------------------------- gradients and their memory


@dataclass(frozen=True)
class Probe(Method):
    """Compares gradients with central differences, of step `h`, along the gradient."""

    level: int
    h: float
    found: list

    name = label = "probe"
    kind = summary = ""
    needs_gradient = True

    def sample(self, run):
        x = run.start()
        guided = yield from run.guide(x, self.level)
        gradient = guided.gradient
        direction = gradient / gradient.norm()
        rewards = []
        for side in (1, -1):
            moved = x + side * self.h * direction
            if run.detach_model:
                point = run.schedule.points[self.level]
                held = point.velocity(guided.denoised)  # as it was at x
                data = point.denoise(moved, held, "velocity").data
            else:
                data = (yield from run.denoise(moved, self.level)).data
            rewards.append(float(run.score(data)))
        slope = (rewards[0] - rewards[1]) / (2 * self.h)
        self.found.extend([slope, float(gradient.norm())])
        run.latest = x
        return x


@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_gradients_are_those_of_finite_differences(load, name, detach):
    """Pixels in float32, averaged in float64, leave 1e-5 of a reward of 100: over 2 h = 0.04, and
    slopes from 0.04 to 2, that and the curvature are some 1e-3 of the slope. The tiny autoencoder
    of Wan normalises four channels at a time, so its curvature asks for a smaller step."""
    h, tolerance = {"wan": (0.002, 0.02)}.get(name, (0.02, 3e-3))
    exact = Reward({"bright": lambda images, _: brightness(images.double())}, {"bright": 200.0})
    found = []
    generate(load(name), name, exact, method=Probe(1, h, found), detach_model=detach)
    slope, norm = found
    assert slope == pytest.approx(norm, rel=tolerance)


def test_detaching_the_model_saves_its_graph_and_gives_another_gradient(load):
    pipe, graphs = load("flux"), []
    pipe.transformer.register_forward_hook(lambda m, args, out: graphs.append(out[0].requires_grad))
    full, detached = (generate(pipe, "flux", detach_model=d, strength=0.8) for d in (False, True))
    assert graphs == 4 * [True] + 4 * [False]
    assert (full.images - detached.images).abs().max() > 0.05
    assert detached.reward > generate(pipe, "flux", method="base").reward


@pytest.mark.parametrize("name", ALL)
def test_checkpoints_recompute_and_change_nothing(load, name):
    pipe, forwards = load(name), []
    denoiser = pipe.unet if hasattr(pipe, "unet") else pipe.transformer
    layer = next(m for m in denoiser.modules() if type(m).__name__.endswith("Attention"))
    layer.register_forward_hook(lambda *args: forwards.append(1))
    settings = {"steps": 2, "guidance_scale": 1.0}
    if name == "z_image":
        settings["guidance_scale"] = 0.0
    plain = generate(pipe, name, **settings)
    once = len(forwards)
    checkpointed = generate(pipe, name, gradient_checkpointing=True, **settings)
    assert len(forwards) - once == 2 * once
    torch.testing.assert_close(checkpointed.images, plain.images, rtol=0, atol=1e-4)
    expected = [n for n in ("transformer", "unet", "vae") if hasattr(pipe, n)]
    if name == "wan":  # whose autoencoder has no checkpoints
        expected.remove("vae")
    assert checkpointed.settings["gradient_checkpointing"] == expected
    assert not any(getattr(pipe, part).is_gradient_checkpointing for part in expected)


def test_a_large_image_is_decoded_in_tiles(load, monkeypatch):
    pipe, decoded = load("sd"), []
    whole = generate(pipe, "sd", steps=2, height=64, width=64)
    tiles = type(pipe.vae).tiled_decode
    monkeypatch.setattr(
        type(pipe.vae), "tiled_decode", lambda *a, **k: decoded.append(1) or tiles(*a, **k)
    )
    tiled = generate(pipe, "sd", steps=2, height=64, width=64, vae_tiling=True)
    assert len(decoded) == 3  # both steps, with gradients, and the final image
    assert tiled.images.shape == (1, 3, 64, 64)
    assert tiled.fallbacks == 0
    assert tiled.reward == pytest.approx(float(whole.reward), abs=0.05)
    assert not torch.equal(whole.images, tiled.images)
    generate(pipe, "sd", steps=2, height=64, width=64)
    assert len(decoded) == 3


def test_a_reward_on_every_second_step_needs_half_of_the_gradients(load):
    pipe, gradients = load("sd"), []

    def look(images, prompts):
        gradients.append(images.requires_grad)
        return brightness(images)

    out = generate(pipe, "sd", look, reward_every=2, steps=6)
    assert gradients == [True, True, True, False]  # the last is the final image
    assert [math.isnan(entry["reward"][0]) for entry in out.history] == [False, True] * 3
    assert out.nfe == 6
    assert out.fallbacks == 0


# -------------------------------------------------------------------------------- bad gradients


def nan(images, prompts):
    return brightness(images) * torch.nan


def flat(images, prompts):
    return brightness(images) * 0


def infinite(images, prompts):
    """Finite, but its gradient is not: a square root at zero."""
    return (brightness(images) * 0).sqrt()


@pytest.mark.parametrize("bad", [nan, flat, infinite])
def test_a_gradient_of_no_use_leaves_fresh_noise_and_is_counted(load, bad):
    pipe = load("sd")
    base = generate(pipe, "sd", method="base", particles=2)
    out = generate(pipe, "sd", bad, particles=2)
    assert torch.equal(out.images, base.images)
    assert out.fallbacks == 8
    assert "8 particle-steps without a usable gradient" in str(out)
    with ntrk.tilt(pipe, bad) as last:
        images = pipe(PROMPT, num_inference_steps=4, output_type="pt", **tiny.CALL["sd"])[0]
    assert last.fallbacks == 4
    assert images.isfinite().all()


def test_one_particle_without_a_gradient_does_not_disturb_the_other(load):
    pipe, calls = load("sd"), itertools.count()

    def sometimes(images, prompts):  # one call a particle and step: every second one fails
        return brightness(images) * (torch.nan if next(calls) % 2 else 1.0)

    base, good = (generate(pipe, "sd", particles=2, **m) for m in ({"method": "base"}, {}))
    out = generate(pipe, "sd", sometimes, particles=2)
    assert torch.equal(out.images[0], good.images[0])
    assert torch.equal(out.images[1], base.images[1])
    assert out.fallbacks == 4


@pytest.mark.parametrize("bad", [nan, flat, infinite])
def test_or_it_stops_the_run(load, bad):
    with pytest.raises(FloatingPointError, match=f"'{bad.__name__}' is zero or not finite"):
        generate(load("sd"), "sd", bad, on_bad_gradient="raise")


@pytest.mark.parametrize("method", ["dps", "freedom", "tfg", "das", "psi", "dno", "reno"])
def test_no_method_makes_a_silent_nan_image(load, method):
    short = {"dno": {"passes": 2}, "reno": {"passes": 2}, "psi": {"initial_steps": 2}}
    chosen = methods.as_method(method, **short.get(method, {}))
    out = generate(load("sd"), "sd", infinite, method=chosen, particles=2, steps=3)
    assert out.images.isfinite().all()
    assert out.fallbacks > 0


# -------------------------------------------------------------------------------- interruptions


def interrupting(after):
    calls = itertools.count()

    def reward(images, prompts):
        if next(calls) == after:
            raise KeyboardInterrupt
        return brightness(images)

    return reward


@pytest.mark.parametrize("name", ALL)
def test_an_interrupt_from_the_keyboard_returns_what_is_done(load, name):
    pipe = load(name)
    out = generate(pipe, name, interrupting(after=2), steps=6)
    assert out.interrupted
    assert len(out.history) == 2
    assert out.images.isfinite().all()
    assert out.reward == brightness(out.images)
    assert "interrupted" in str(out)
    assert type(pipe).__name__ == tiny.PIPELINES[name][0]


SHORT = {"svdd": {"candidates": 2}, "rbf": {"candidates": 2}, "psi": {"initial_steps": 2}}
SHORT |= {"dno": {"passes": 3}, "reno": {"passes": 3}}


@pytest.mark.parametrize("name", sorted(methods.METHODS))
def test_an_interrupt_returns_what_any_method_has(load, name):
    after = {"rbf": 16, "tfg": 20, "dno": 3, "reno": 3}.get(name, 9)  # rewards until some is done
    out = generate(
        load("sd"),
        "sd",
        interrupting(after),
        method=methods.as_method(name, **SHORT.get(name, {})),
        particles=2,
        steps=6,
    )
    assert out.interrupted
    assert len(out.images) in (1, 2)
    assert out.images.isfinite().all()


def test_an_interrupt_before_anything_is_done_stays_one(load):
    with pytest.raises(KeyboardInterrupt):
        generate(load("sd"), "sd", interrupting(after=0))
    with pytest.raises(KeyboardInterrupt), ntrk.tilt(pipe := load("sd"), interrupting(after=2)):
        pipe(PROMPT, num_inference_steps=4, **tiny.CALL["sd"])


@pytest.mark.parametrize("name", ALL)
def test_the_interrupt_of_the_pipeline_stops_early(load, name):
    pipe, evaluated = load(name), []
    denoiser = pipe.unet if hasattr(pipe, "unet") else pipe.transformer
    settings = {"guidance_scale": 0.0 if name == "z_image" else 1.0}
    denoiser.register_forward_hook(lambda *args: evaluated.append(1))

    def stop(pipe, step, timestep, tensors):
        pipe._interrupt = step == 1
        return tensors

    out = generate(pipe, name, callback_on_step_end=stop, steps=6, **settings)
    assert out.interrupted
    assert out.nfe == len(evaluated) == len(out.history) == 2
    assert out.images.isfinite().all()


# --------------------------------------------------------------------------------------- records


@pytest.mark.parametrize("name", ["flux", "wan"])
def test_the_history_has_an_entry_a_step(load, name):
    out = generate(load(name), name, method="ntrk", particles=2, check_noise=True)
    assert [entry["step"] for entry in out.history] == [0, 1, 2, 3]
    assert [entry["nfe"] for entry in out.history] == [2, 4, 6, 8]
    assert all(a["sigma"] > b["sigma"] for a, b in itertools.pairwise(out.history))
    assert all(0 < r < 1 for entry in out.history for r in entry["reward"])
    for entry in out.history[:-1]:
        assert all(0 < cosine <= 1 for cosine in entry["cosine"])  # it points along the gradient
        assert all(0 <= p <= 1 for p in entry["pvalue"])
    assert not {"cosine", "pvalue"} & set(out.history[-1])  # the last step injects no noise
    assert {len(v) for e in out.history for v in e.values() if isinstance(v, list)} == {2}


def test_recording_the_noise_does_not_change_it(load):
    recorded, unrecorded = (generate(load("sd"), "sd", check_noise=c) for c in (True, False))
    assert torch.equal(recorded.images, unrecorded.images)


@pytest.mark.parametrize(("name", "file"), [("sd", "cat.png"), ("wan", "cat.mp4")])
def test_results_are_saved_with_every_setting(load, tmp_path, name, file):
    settings = {"guidance_scale": 2.0, "negative_prompt_embeds": None, "diffusion": 0.5}
    out = generate(
        load(name), name, **settings, method="ntrk", particles=2, held_out={"contrast": contrast}
    )
    *pictures, table = out.save(tmp_path / file)
    assert len(pictures) == 2
    for picture in pictures:
        saved = ntrk.read_settings(picture)
        assert saved["settings"] == json.loads(json.dumps(out.settings))
        assert saved["nfe"] == 8
    saved = ntrk.read_settings(table)
    assert saved["held_out"]["contrast"] == pytest.approx(out.held_out["contrast"].tolist())
    settings = saved["settings"]
    assert settings["method"] == {"name": "ntrk", "strength": 0.3, "whitening": "default-2"}
    assert settings["prompt"] == PROMPT
    assert settings["seed"] == 0
    assert settings["diffusion"] == "constant 0.5"
    assert settings["pipe_kwargs"] == {
        **tiny.CALL[name],
        "guidance_scale": 2.0,
        "negative_prompt_embeds": None,
    }


def test_held_out_rewards_are_only_measured_on_the_final_images(load):
    pipe, calls = load("sd"), []

    def judge(images, prompts):
        calls.append((torch.is_grad_enabled() and images.requires_grad, list(prompts)))
        return contrast(images)

    out = generate(pipe, "sd", held_out={"judge": judge, "red": redness}, particles=2)
    assert calls == [(False, [PROMPT])] * 2
    torch.testing.assert_close(out.held_out["judge"], contrast(out.images))
    torch.testing.assert_close(out.held_out["red"], redness(out.images))
    assert torch.equal(out.images, generate(pipe, "sd", particles=2).images)


def test_rewards_add_up_with_their_weights(load):
    pipe = load("sd")
    total = Reward({"bright": brightness, "red": redness}, weights={"red": -2.0})
    out = generate(pipe, "sd", total)
    assert set(out.rewards) == {"bright", "red"}
    torch.testing.assert_close(out.rewards["red"], redness(out.images))
    torch.testing.assert_close(out.reward, out.rewards["bright"] - 2 * out.rewards["red"])
    alone = generate(pipe, "sd", lambda i, p: brightness(i) - 2 * redness(i))
    torch.testing.assert_close(out.images, alone.images)


# ------------------------------------------------------------------------------- adapted weights


@pytest.mark.parametrize("name", ["flux", "sd"])
def test_an_adapter_is_used_as_it_is(load, name):
    pipe = load(name)
    plain = generate(pipe, name)
    tiny.add_lora(pipe)
    denoiser = pipe.unet if hasattr(pipe, "unet") else pipe.transformer
    adapter = {k: w for k, w in denoiser.named_parameters() if "lora" in k}
    before = {k: (w.requires_grad, w.detach().clone()) for k, w in adapter.items()}
    assert any(trained for trained, _ in before.values())
    adapted = generate(pipe, name)
    assert (plain.images - adapted.images).abs().max() > 0.01
    for key, (trained, weight) in before.items():
        assert adapter[key].requires_grad == trained
        assert adapter[key].grad is None
        assert torch.equal(adapter[key], weight)
    images = [
        call(PROMPT, generator=torch.Generator().manual_seed(0))
        for call in (in_block(pipe, name), stock(pipe, name))
    ]
    torch.testing.assert_close(*images, rtol=0, atol=1e-5)


def stock(pipe, name):
    settings = {"num_inference_steps": 3, "output_type": "pt", **tiny.CALL[name]}
    return lambda prompt, generator: pipe(prompt, generator=generator, **settings)[0]


def in_block(pipe, name):
    def call(prompt, generator):
        with ntrk.tilt(pipe, UP, method="base", diffusion="ode"):
            return stock(pipe, name)(prompt, generator)

    return call


def test_another_pipeline_that_is_built_like_them_runs_too(load):
    pipe = diffusers.StableDiffusionXLPipeline.from_pipe(load("sdxl"))
    assert generate(pipe, "sdxl").images.isfinite().all()
