"""All six pipelines end to end: against diffusers, up and down, counted, and left as found."""

import itertools

import diffusers
import pytest
import tiny
import torch

import ntrk
from ntrk import methods
from ntrk.decoding import Decoder
from ntrk.rewards import Reward, brightness

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning:diffusers"
)

ALL = sorted(tiny.PIPELINES)
UP, DOWN = Reward({"bright": brightness}), -Reward({"bright": brightness})
PROMPT = "a cat"
SMALL = {"svdd": {"candidates": 3}, "rbf": {"candidates": 3}, "psi": {"initial_steps": 2}}
# The tiny autoencoder of Wan normalises four channels, whose gradients are wild: it needs more.
STEPS = {"wan": 10}
SMALL |= {"dno": {"passes": 2}, "reno": {"passes": 2}}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def generate(pipe, name, reward=UP, *, prompt=PROMPT, steps=4, **kwargs):
    if "method" not in kwargs:  # the default whitening takes most of the time
        kwargs["method"] = methods.NTRK(kwargs.pop("strength", 0.3), whitening="sphere")
    settings = {"check_noise": False, "progress": False, **tiny.CALL[name], **kwargs}
    return ntrk.generate(pipe, prompt, reward=reward, steps=steps, **settings)


def call(pipe, name, prompt=PROMPT, *, seed=0, images=2, steps=4, **kwargs):
    """The pipeline's own call; inside a `tilt` block and outside, word for word the same."""
    many = {"num_videos_per_prompt" if name == "wan" else "num_images_per_prompt": images}
    settings = {**tiny.CALL[name], **many, "num_inference_steps": steps, "output_type": "pt"}
    return pipe(prompt, generator=seeded(seed), **settings | kwargs)[0]


def assert_equal(ours, theirs, atol=3e-5):
    """Images in [0, 1] agree up to the rounding of float32, which a few steps multiply."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)


# -------------------------------------------------------------------------- diffusers is the oracle


@pytest.mark.parametrize("name", ALL)
def test_the_ode_without_reward_is_the_stock_pipeline(load, name):
    pipe = load(name)
    stock = call(pipe, name, output_type="latent")
    with ntrk.tilt(pipe, UP, method="base", diffusion="ode", check_noise=False):
        ours = call(pipe, name, output_type="latent")
    assert stock.std() > 0.5
    assert_equal(ours, stock, atol=1e-5 * float(stock.abs().max()))


@pytest.mark.parametrize("name", ALL)
def test_generate_is_the_stock_pipeline_from_the_same_initial_latents(load, name):
    pipe = load(name)
    pack = pipe._pack_latents if name == "flux" else lambda x, *shape: x
    ours = generate(pipe, name, method="base", diffusion="ode").latents
    draw = ntrk.noise.ParticleNoise(0, range(1)).normal(ours)
    latents = pack(draw, *draw.shape)
    stock = call(pipe, name, images=1, latents=latents, output_type="latent")
    assert_equal(pack(ours, *ours.shape), stock, atol=1e-5 * float(stock.abs().max()))


@pytest.mark.parametrize("name", ALL)
def test_latents_are_decoded_as_the_stock_pipeline_does(load, name):
    pipe = load(name)
    latents, images = (call(pipe, name, output_type=kind) for kind in ("latent", "pt"))
    if name == "flux":
        latents = pipe._unpack_latents(latents, 32, 32, pipe.vae_scale_factor)
    with torch.no_grad():
        assert_equal(Decoder(pipe)(latents), images, atol=1e-5)
    assert images.std() > 0.03


STOCHASTIC = [
    *itertools.product(
        [(diffusers.DDPMScheduler, {}), (diffusers.DDIMScheduler, {"eta": 1.0})],
        ["epsilon", "v_prediction", "sample"],
    ),
    *itertools.product(
        [(diffusers.EulerAncestralDiscreteScheduler, {})],
        ["epsilon", "v_prediction"],  # diffusers does not implement "sample"
    ),
]


@pytest.mark.parametrize(("solver", "kind"), STOCHASTIC)
def test_the_default_diffusion_is_that_of_the_stock_scheduler(load, solver, kind):
    """Both draw one normal array a step from the caller's generator, the last step included."""
    scheduler, stock_only = solver
    settings = {} if "Euler" in scheduler.__name__ else {"clip_sample": False}
    pipe = load("sd", scheduler, prediction_type=kind, **settings)
    stock = call(pipe, "sd", **stock_only)
    with ntrk.tilt(pipe, UP, method="base", check_noise=False):
        assert_equal(call(pipe, "sd"), stock)
    assert (stock - call(pipe, "sd", seed=1)).abs().max() > 0.1


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("name", ["sd", "sdxl"])
@pytest.mark.parametrize(
    ("scheduler", "settings"),
    [(diffusers.DDIMScheduler, {"clip_sample": False}), (diffusers.EulerDiscreteScheduler, {})],
)
def test_the_ode_is_the_stock_solver_for_every_prediction(load, scheduler, settings, name, kind):
    pipe = load(name, scheduler, prediction_type=kind, **settings)
    stock = call(pipe, name)
    with ntrk.tilt(pipe, UP, method="base", diffusion="ode", check_noise=False):
        assert_equal(call(pipe, name), stock)


@pytest.mark.parametrize("settings", [{"rescale_betas_zero_snr": True}, {}])
def test_trailing_timesteps_from_pure_noise(load, settings):
    settings |= {"timestep_spacing": "trailing", "prediction_type": "v_prediction"}
    pipe = load("sd", diffusers.DDIMScheduler, clip_sample=False, **settings)
    stock = call(pipe, "sd")
    with ntrk.tilt(pipe, UP, method="base", diffusion="ode", check_noise=False):
        assert_equal(call(pipe, "sd"), stock)


# ------------------------------------------------------------------------------------ up and down


@pytest.mark.parametrize("name", ALL)
def test_every_particle_goes_up_with_the_reward_and_down_with_its_negative(load, name):
    """Four particles, each both ways: a method without effect passes with probability 2^-8."""
    pipe = load(name)
    settings = {"particles": 4, "batch_size": 4, "steps": STEPS.get(name, 5)}
    base = generate(pipe, name, method="base", **settings)
    up = generate(pipe, name, UP, method="ntrk", strength=0.8, **settings)
    down = generate(pipe, name, DOWN, method="ntrk", strength=0.8, **settings)
    bright = {run: brightness(run.images) for run in (base, up, down)}
    assert (bright[up] > bright[base]).all()
    assert (bright[down] < bright[base]).all()
    torch.testing.assert_close(up.reward, bright[up])
    torch.testing.assert_close(down.reward, -bright[down])
    assert base.fallbacks == up.fallbacks == down.fallbacks == 0


@pytest.mark.parametrize("name", ALL)
def test_a_tilted_call_goes_up_and_down_too(load, name):
    pipe = load(name)
    with ntrk.tilt(pipe, UP, method="base", check_noise=False):
        base = call(pipe, name, images=1, steps=STEPS.get(name, 5))
    with ntrk.tilt(pipe, UP, strength=0.8, check_noise=False):
        up = call(pipe, name, images=1, steps=STEPS.get(name, 5))
    with ntrk.tilt(pipe, DOWN, strength=0.8, check_noise=False):
        down = call(pipe, name, images=1, steps=STEPS.get(name, 5))
    assert (brightness(down) < brightness(base)).all()
    assert (brightness(base) < brightness(up)).all()


def test_the_base_sampler_does_not_see_the_reward(load):
    up, down = (generate(load("sd"), "sd", reward, method="base") for reward in (UP, DOWN))
    assert torch.equal(up.images, down.images)
    assert torch.equal(up.reward, -down.reward)


@pytest.mark.parametrize("name", ALL)
def test_strength_zero_is_the_base_sampler_bit_for_bit(load, name):
    pipe = load(name)
    base, ntrk0 = (
        generate(pipe, name, particles=2, **method)
        for method in ({"method": "base"}, {"method": "ntrk", "strength": 0.0})
    )
    assert torch.equal(base.images, ntrk0.images)
    with ntrk.tilt(pipe, UP, method="base", check_noise=False):
        base = call(pipe, name)
    with ntrk.tilt(pipe, UP, strength=0.0, check_noise=False):
        assert torch.equal(base, call(pipe, name))


# -------------------------------------------------------------------------- evaluations, counted


class Counter:
    """Counts the distinct rows that the denoiser is given: a batch is filled up with copies."""

    def __init__(self, module):
        self.rows = self.calls = 0
        module.register_forward_pre_hook(self.count, with_kwargs=True)

    def count(self, module, args, kwargs):
        states = args[0] if args else kwargs["hidden_states"]
        self.rows += len(torch.unique(states.detach(), dim=0))
        self.calls += 1


NUMBERS = [
    ("ntrk", 1, 25, 25),
    ("base", 1, 25, 25),
    ("dps", 1, 25, 25),
    ("tfg", 1, 25, 25),
    ("best_of_n", 20, 25, 500),
    ("freedom", 1, 25, 41),
    ("svdd", 1, 25, 500),
    (methods.SVDD(candidates=4), 3, 5, 60),
    (methods.DNO(passes=3), 3, 5, 45),
    (methods.ReNO(passes=3), 3, 5, 45),
    ("das", 3, 5, 15),
    ("fks", 3, 5, 15),
    (methods.PsiSampler(initial_steps=4), 3, 5, 27),
]


@pytest.mark.parametrize(("method", "particles", "steps", "nfe"), NUMBERS)
def test_evaluations_are_those_of_the_paper_and_those_the_denoiser_saw(
    load, method, particles, steps, nfe
):
    pipe = load("sd")
    seen = Counter(pipe.unet)
    settings = {"method": method, "particles": particles, "steps": steps, "guidance_scale": 1.0}
    out = generate(pipe, "sd", batch_size=2, **settings)
    assert out.nfe == nfe == seen.rows
    assert nfe == particles * methods.as_method(method).evaluations(steps)


def test_rollover_counts_what_it_evaluates_and_stays_in_its_budget(load):
    pipe = load("sd")
    seen = Counter(pipe.unet)
    out = generate(
        pipe, "sd", method=methods.RBF(candidates=4), particles=2, steps=5, guidance_scale=1.0
    )
    assert 10 <= out.nfe == seen.rows <= 40


def test_guidance_costs_a_second_row_but_no_second_evaluation(load):
    pipe = load("sd")
    rows = []
    pipe.unet.register_forward_pre_hook(lambda module, args: rows.append(len(args[0])))
    out = generate(pipe, "sd", particles=3, batch_size=2, guidance_scale=5.0)
    assert out.nfe == 12
    assert rows == [4] * 8  # two batches of two a step, guided; the second is half copies


def test_a_tilted_call_counts_its_images(load):
    pipe = load("flux")
    with ntrk.tilt(pipe, UP) as last:
        with pytest.raises(RuntimeError, match="has not been called"):
            _ = last.nfe
        call(pipe, "flux", images=3, steps=4)
        assert (last.nfe, last.fallbacks, len(last.history)) == (12, 0, 4)
        call(pipe, "flux", images=1, steps=2)
        assert (last.nfe, len(last.history)) == (2, 2)


# ------------------------------------------------------------------------- left exactly as found


def condition(pipe):
    """What a run could leave behind."""
    modules = {k: m for k, m in pipe.components.items() if isinstance(m, torch.nn.Module)}
    weights = {f"{k}.{n}": w for k, m in modules.items() for n, w in m.named_parameters()}
    parts = {f"{k}.{n}": part for k, m in modules.items() for n, part in m.named_modules()}
    levels = {k: v.tolist() for k, v in vars(pipe.scheduler).items() if torch.is_tensor(v)}
    plain = {k: repr(v) for k, v in vars(pipe.scheduler).items() if k not in levels}
    return {
        "class": type(pipe),
        "attributes": sorted(vars(pipe)),
        "progress bar": dict(pipe._progress_bar_config),
        "scheduler": (id(pipe.scheduler), type(pipe.scheduler), levels, plain),
        "weights": {k: w.detach().double().sum().item() for k, w in weights.items()},
        "dtypes": {k: w.dtype for k, w in weights.items()},
        "trainable": [k for k, w in weights.items() if w.requires_grad],
        "gradients": [k for k, w in weights.items() if w.grad is not None],
        "training": [k for k, part in parts.items() if part.training],
        "hooks": {k: len(part._forward_hooks) for k, part in parts.items()},
        "checkpoints": [k for k, m in parts.items() if getattr(m, "gradient_checkpointing", False)],
        "tiling": getattr(pipe.vae, "use_tiling", None),
        "differentiating": torch.is_grad_enabled(),
    }


def prepared(load, name):
    """A pipeline that has been called, some of whose weights are trained and some are not."""
    pipe = load(name)
    for i, weight in enumerate(pipe.vae.parameters()):
        weight.requires_grad_(i % 2 == 0)
    pipe.set_progress_bar_config(disable=True, desc="mine")
    call(pipe, name, steps=2)
    return pipe, condition(pipe)


def failing(images, prompts):
    raise ZeroDivisionError


EVERYTHING = {"gradient_checkpointing": True, "vae_tiling": True}


@pytest.mark.parametrize("name", ALL)
def test_the_pipeline_is_left_as_it_was(load, name):
    pipe, before = prepared(load, name)
    generate(pipe, name, **EVERYTHING)
    assert condition(pipe) == before
    with pytest.raises(ZeroDivisionError):
        generate(pipe, name, failing, **EVERYTHING)
    assert condition(pipe) == before
    with ntrk.tilt(pipe, UP):
        call(pipe, name)
    assert condition(pipe) == before
    with pytest.raises(ZeroDivisionError), ntrk.tilt(pipe, failing):
        call(pipe, name)
    assert condition(pipe) == before


def test_switches_that_were_on_stay_on(load):
    pipe = load("sd")
    pipe.vae.enable_tiling()
    pipe.unet.enable_gradient_checkpointing()
    generate(pipe, "sd", **EVERYTHING)
    assert pipe.vae.use_tiling
    assert pipe.unet.is_gradient_checkpointing
    assert not pipe.vae.is_gradient_checkpointing


def test_a_pipeline_without_settings_of_its_bar_has_none_afterwards(load):
    pipe = load("sd")
    del pipe._progress_bar_config
    generate(pipe, "sd")
    assert not hasattr(pipe, "_progress_bar_config")


@pytest.mark.parametrize("fails", [False, True])
def test_a_half_precision_vae_that_overflows_is_single_only_while_it_decodes(load, fails):
    pipe = load("sdxl")
    pipe.vae.to(torch.float16)
    pipe.vae.register_to_config(force_upcast=True)
    seen = []

    def look(images, prompts):
        seen.append(pipe.vae.dtype)
        if fails:
            raise ZeroDivisionError
        return brightness(images)

    if fails:
        # The error is held while the pipeline is looked at, as in an interactive session.
        with pytest.raises(ZeroDivisionError) as held:
            generate(pipe, "sdxl", look)
        assert held.tb is not None
    else:
        generate(pipe, "sdxl", look)
    assert set(seen) == {torch.float32}
    assert pipe.vae.dtype == torch.float16


# ------------------------------------------------------------------------------ refused by name


@pytest.mark.parametrize(
    ("kwargs", "error", "named"),
    [
        ({"prompt": ["a", "b"]}, TypeError, r"prompt must be one string, got \['a', 'b'\]"),
        ({"generator": seeded()}, TypeError, "generator .* use seed"),
        ({"latents": torch.zeros(1)}, TypeError, "latents .* use seed"),
        ({"output_type": "pil"}, TypeError, "output_type .* use the result"),
        ({"return_dict": False}, TypeError, "return_dict .* use the result"),
        ({"num_images_per_prompt": 2}, TypeError, "num_images_per_prompt .* use particles"),
        ({"num_inference_steps": 2}, TypeError, "num_inference_steps .* use steps"),
        ({"eta": 1.0}, ValueError, "eta=1.0 .* diffusion="),
        ({"method": "ntrk", "strength": 1.5}, ValueError, r"strength must be in \[0, 1\], got 1.5"),
        (
            {"method": "ntrk", "strength": -0.1},
            ValueError,
            r"strength must be in \[0, 1\], got -0.1",
        ),
        ({"method": "nerk"}, ValueError, "method must be one of ntrk, .*, got 'nerk'"),
        ({"method": "base", "strength": 0.5}, TypeError, "'base' has no parameter 'strength'"),
        ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
        ({"steps": 2.0}, TypeError, "steps must be an integer, got 2.0"),
        ({"particles": 0}, ValueError, "particles must be at least 1, got 0"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"reward_every": 0}, ValueError, "reward_every must be at least 1, got 0"),
        (
            {"reward_every": 2, "method": "svdd"},
            ValueError,
            "reward_every must be 1 for .*'svdd'",
        ),
        ({"on_bad_gradient": "pass"}, ValueError, "on_bad_gradient must be .*, got 'pass'"),
        ({"form": "milstein"}, ValueError, "form must be one of bridge, .*, got 'milstein'"),
        ({"diffusion": "4t"}, ValueError, "diffusion must be one of .*, got '4t'"),
        ({"diffusion": -1.0}, ValueError, "diffusion must be .*, got -1.0"),
        ({"reward": 3}, TypeError, "reward must be a function .*, got int 3"),
        ({"no_such_argument": 1}, TypeError, "no_such_argument"),
    ],
)
def test_arguments_are_refused_by_name_before_the_model_runs(load, kwargs, error, named):
    pipe = load("sd")
    pipe.unet.register_forward_hook(lambda *args: pytest.fail("the model was evaluated"))
    with pytest.raises(error, match=named):
        generate(pipe, "sd", **kwargs)
    assert type(pipe) is diffusers.StableDiffusionPipeline


def test_an_early_end_of_denoising_is_refused_by_name(load):
    with pytest.raises(ValueError, match=r"denoising_end=0.5 .* goes to the end"):
        generate(load("sdxl"), "sdxl", denoising_end=0.5)
    pipe = load("sdxl")
    with ntrk.tilt(pipe, UP), pytest.raises(ValueError, match="denoising_end"):
        call(pipe, "sdxl", denoising_end=0.5)


def undifferentiable(images, prompts):
    return brightness(images.detach())


def declared(images, prompts):
    return brightness(images)


declared.differentiable = False


@pytest.mark.parametrize("reward", [undifferentiable, declared])
@pytest.mark.parametrize("name", sorted(methods.METHODS))
def test_a_reward_without_gradient_is_refused_by_the_methods_that_need_one(load, name, reward):
    method = methods.as_method(name, **SMALL.get(name, {}))
    assert method.needs_gradient == (name not in ("base", "best_of_n", "svdd", "rbf", "fks"))
    run = {"method": method, "particles": 2, "steps": 2}
    if method.needs_gradient:
        with pytest.raises(TypeError, match=f"'{reward.__name__}'.* method"):
            generate(load("sd"), "sd", reward, **run)
    else:
        assert generate(load("sd"), "sd", reward, **run).reward.isfinite().all()


def test_best_of_n_needs_what_its_method_needs(load):
    with pytest.raises(TypeError, match="'declared'"):
        generate(load("sd"), "sd", declared, method=methods.BestOfN(methods.NTRK()))


@pytest.mark.parametrize("method", ["best_of_n", "rbf", "fks", "das", "psi"])
def test_a_tilted_call_refuses_methods_whose_particles_interact(load, method):
    with (
        pytest.raises(ValueError, match=f"{method!r} .* use ntrk.generate"),
        ntrk.tilt(load("sd"), UP, method=method),
    ):
        pytest.fail("the block was entered")


def test_latents_that_a_callback_replaces_are_not_taken_for_those_of_the_method(load):
    def replace(pipe, step, timestep, tensors):
        return {"latents": torch.zeros_like(tensors["latents"])}

    with pytest.raises(RuntimeError, match="latents"):
        generate(load("sd"), "sd", callback_on_step_end=replace)


def test_a_tilted_pipeline_is_not_tilted_again(load):
    pipe = load("sd")
    with ntrk.tilt(pipe, UP), pytest.raises(RuntimeError, match="is being tilted already"):
        generate(pipe, "sd")
    assert type(pipe) is diffusers.StableDiffusionPipeline


def test_a_pipeline_that_starts_from_an_image_is_refused(load):
    pipe = diffusers.StableDiffusionImg2ImgPipeline.from_pipe(load("sd"))
    with ntrk.tilt(pipe, UP), pytest.raises(TypeError, match="StableDiffusionImg2ImgPipeline"):
        pipe(PROMPT, image=torch.rand(1, 3, 32, 32), num_inference_steps=4)


# ------------------------------------------------------- batches, seeds, what passes through


@pytest.mark.parametrize("name", ALL)
def test_the_size_of_batches_does_not_matter(load, name):
    """Beyond rounding, which whitening by ranks would amplify where a gradient has near ties."""
    pipe = load(name)
    method = methods.NTRK(0.5, whitening="sphere") if name != "wan" else "base"  # see STEPS
    settings = {"method": method, "particles": 5, "steps": 3}
    alone, two, three = (generate(pipe, name, batch_size=n, **settings) for n in (1, 2, 3))
    assert_equal(two.images, alone.images, atol=1e-4)
    assert_equal(three.images, alone.images, atol=1e-4)
    assert alone.nfe == two.nfe == three.nfe == 15


@pytest.mark.parametrize("name", sorted(set(methods.METHODS) - {"ntrk"}))
def test_the_size_of_batches_does_not_matter_to_any_method(load, name):
    pipe = load("sd")
    settings = {"method": methods.as_method(name, **SMALL.get(name, {})), "steps": 3}
    alone, batched = (generate(pipe, "sd", particles=3, batch_size=n, **settings) for n in (1, 2))
    assert_equal(batched.images, alone.images, atol=1e-4)


@pytest.mark.parametrize("name", ALL)
def test_a_seed_repeats_bit_for_bit_and_another_differs(load, name):
    first, again, other = (
        generate(load(name), name, method="ntrk", seed=seed, steps=3) for seed in (1, 1, 2)
    )
    assert torch.equal(first.images, again.images)
    assert repr(first.history) == repr(again.history)  # p-values are NaN: they were not asked for
    assert (first.images - other.images).abs().max() > 0.05


def test_more_particles_do_not_change_the_first_ones(load):
    few, many = (generate(load("sd"), "sd", particles=n) for n in (2, 4))
    assert torch.equal(few.images, many.images[:2])
    assert few.history[-1]["reward"] == many.history[-1]["reward"][:2]


def test_a_generator_is_a_seed_and_advances(load):
    generator = seeded(7)
    first, second = (generate(load("sd"), "sd", seed=generator) for _ in range(2))
    again = generate(load("sd"), "sd", seed=seeded(7))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, second.images)
    repeated = generate(load("sd"), "sd", seed=first.settings["seed"])
    assert torch.equal(first.images, repeated.images)


def test_a_tilted_call_takes_one_generator_or_one_an_image(load):
    pipe = load("sd")
    with ntrk.tilt(pipe, UP, method="base"):
        many = pipe(
            PROMPT,
            num_images_per_prompt=2,
            generator=[seeded(0), seeded(1)],
            output_type="pt",
            num_inference_steps=4,
            **tiny.CALL["sd"],
        )[0]
        singles = torch.cat([call(pipe, "sd", images=1, seed=seed) for seed in (0, 1)])
    assert_equal(many, singles)


def test_each_row_of_a_tilted_call_is_scored_with_its_own_prompt(load):
    pipe, seen = load("sd"), []

    def listen(images, prompts):
        seen.append(list(prompts))
        return brightness(images)

    with ntrk.tilt(pipe, listen):
        call(pipe, "sd", ["one", "two"], images=2, steps=1)
    assert seen == [["one", "one", "two", "two"]]


def test_embeddings_stand_for_their_prompt(load):
    pipe = load("flux")
    with torch.no_grad():  # as in the pipeline: another kernel runs with gradients
        embeds, pooled, _ = pipe.encode_prompt(PROMPT, None, max_sequence_length=64)
    given = generate(pipe, "flux", prompt=None, prompt_embeds=embeds, pooled_prompt_embeds=pooled)
    assert torch.equal(given.images, generate(pipe, "flux").images)
    pipe = load("sd")
    with torch.no_grad():
        embeds, negative = pipe.encode_prompt(PROMPT, "cpu", 1, True)
    given = generate(pipe, "sd", prompt=None, prompt_embeds=embeds, negative_prompt_embeds=negative)
    assert torch.equal(given.images, generate(pipe, "sd").images)
    assert given.settings["pipe_kwargs"]["prompt_embeds"] == "tensor (1, 77, 16) float32"


@pytest.mark.parametrize("name", ALL)
def test_prompt_guidance_and_sizes_reach_the_pipeline(load, name):
    pipe = load(name)
    plain = generate(pipe, name, steps=2)
    assert (plain.images - generate(pipe, name, prompt="dog", steps=2).images).abs().max() > 1e-4
    guided = generate(pipe, name, steps=2, guidance_scale=2.0)
    assert (plain.images - guided.images).abs().max() > 1e-4
    wide = generate(pipe, name, steps=2, width=64)
    assert wide.images.shape == (*plain.images.shape[:-1], 64)
    assert ((wide.images >= 0) & (wide.images <= 1)).all()


def test_a_video_has_frames_before_channels(load):
    def look(images, prompts):
        assert images.shape == (1, 5, 3, 32, 32)
        return brightness(images)

    assert generate(load("wan"), "wan", look, steps=2).images.shape == (1, 5, 3, 32, 32)


def test_wan_runs_on_the_noise_levels_it_ships_with(load, checkpoint):
    pipe = tiny.load("wan", checkpoint("wan"))
    assert type(pipe.scheduler) is diffusers.UniPCMultistepScheduler
    base, up = (generate(pipe, "wan", **m) for m in ({"method": "base"}, {"strength": 0.8}))
    assert up.reward > base.reward
    assert up.settings["scheduler"] == "UniPCMultistepScheduler"


# ------------------------------------------------------------------------ what does not fit is said


def test_noise_levels_of_the_callers_own_must_be_as_many_as_the_steps(load):
    with pytest.raises(ValueError, match=r"steps must be the number of noise levels.*, 2, got 4"):
        generate(load("flux"), "flux", sigmas=[1.0, 0.5])
    assert generate(load("flux"), "flux", sigmas=[1.0, 0.5], steps=2).nfe == 2


def test_embeddings_of_several_prompts_are_refused(load):
    pipe = load("sd")
    embeds, negative = pipe.encode_prompt(["a cat", "a dog"], "cpu", 1, True)
    with pytest.raises(ValueError, match="embeddings must be of one prompt"):
        generate(pipe, "sd", prompt=None, prompt_embeds=embeds, negative_prompt_embeds=negative)


def test_a_search_in_a_tilted_call_starts_from_its_latents(load):
    """With one candidate there is nothing to choose: the base sampler from the same latents."""
    pipe = load("sd")
    found = []
    for method in (methods.SVDD(1), "base"):
        with ntrk.tilt(pipe, UP, method=method, check_noise=False):
            found.append(call(pipe, "sd"))
    assert_equal(*found)
