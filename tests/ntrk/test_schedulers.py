"""Noise levels read from diffusers schedulers, against what those schedulers do themselves."""

import itertools

import diffusers
import pytest
import tiny
import torch

import ntrk
from ntrk.path import Denoised
from ntrk.rewards import brightness
from ntrk.schedulers import UnsupportedSchedulerError, read_schedule

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning:diffusers"
)

BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
UNCLIPPED = {**BETAS, "clip_sample": False}
ZERO_SNR = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
TRAILING = {"timestep_spacing": "trailing"}

SETTINGS = {
    "DDIMScheduler": [
        {**UNCLIPPED, "steps_offset": 1, "set_alpha_to_one": False},
        {**UNCLIPPED, **TRAILING, **ZERO_SNR},
    ],
    "DDPMScheduler": [UNCLIPPED, {**UNCLIPPED, "timestep_spacing": "linspace"}],
    "EulerDiscreteScheduler": [
        {**BETAS, "timestep_spacing": "leading", "steps_offset": 1},
        {**BETAS, "use_karras_sigmas": True},
        {**BETAS, **TRAILING, **ZERO_SNR},
    ],
    "EulerAncestralDiscreteScheduler": [BETAS],
    "FlowMatchEulerDiscreteScheduler": [{"shift": 3.0}, {"shift": 1.0, "shift_terminal": 0.02}],
    "UniPCMultistepScheduler": [
        {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}
    ],
}
CASES = [(name, settings) for name, many in SETTINGS.items() for settings in many]


def timed(name, settings, steps=10):
    scheduler = getattr(diffusers, name)(**settings)
    scheduler.set_timesteps(steps)
    return scheduler, read_schedule(scheduler, name)


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_the_levels_are_those_at_which_the_scheduler_adds_noise(name, settings):
    scheduler, schedule = timed(name, settings)
    data, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for index, point in enumerate(schedule.points[:-1]):
        timestep = scheduler.timesteps[index : index + 1]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(index)
        if hasattr(scheduler, "scale_noise"):
            noisy = scheduler.scale_noise(data, timestep, noise)
        else:
            noisy = scheduler.add_noise(data, noise, timestep)
        ours = point.alpha * data + point.sigma * noise
        torch.testing.assert_close(ours, noisy, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["DDIMScheduler", "DDPMScheduler"])
def test_a_velocity_is_what_diffusers_calls_v_prediction(name):
    scheduler, schedule = timed(name, UNCLIPPED)
    data, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for index, point in enumerate(schedule.points[:-1]):
        velocity = scheduler.get_velocity(data, noise, scheduler.timesteps[index : index + 1])
        torch.testing.assert_close(point.velocity(Denoised(data, noise)), velocity)


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_the_levels_end_near_the_data_and_noise_falls(name, settings):
    scheduler, schedule = timed(name, settings)
    assert schedule.steps == len(scheduler.timesteps) == 10
    times = [point.time for point in schedule.points]
    assert all(later < t for t, later in itertools.pairwise(times))
    # SD's `set_alpha_to_one=False` stops at the least noise that the model was trained with.
    assert times[-1] == (
        0 if settings.get("set_alpha_to_one", True) else pytest.approx(0.0283, abs=1e-3)
    )
    assert schedule.initial_scale == getattr(scheduler, "init_noise_sigma", 1.0)


REFUSED = [
    ("PNDMScheduler", {}, "PNDMScheduler"),
    ("DPMSolverMultistepScheduler", {}, "DPMSolverMultistepScheduler"),
    ("HeunDiscreteScheduler", {}, "HeunDiscreteScheduler"),
    ("FlowMatchHeunDiscreteScheduler", {}, "FlowMatchHeunDiscreteScheduler"),
    ("LCMScheduler", {}, "LCMScheduler"),
    ("UniPCMultistepScheduler", {}, "use_flow_sigmas=False"),
    ("DDIMScheduler", {"clip_sample": True}, "clip_sample=True"),
    ("DDIMScheduler", {"clip_sample": False, "thresholding": True}, "thresholding=True"),
    ("DDPMScheduler", {"clip_sample": True}, "clip_sample=True"),
    ("DDPMScheduler", {"clip_sample": False, "variance_type": "fixed_large"}, "'fixed_large'"),
    ("DDPMScheduler", {"clip_sample": False, "variance_type": "learned"}, "'learned'"),
    ("FlowMatchEulerDiscreteScheduler", {"stochastic_sampling": True}, "stochastic_sampling=True"),
    ("FlowMatchEulerDiscreteScheduler", {"invert_sigmas": True}, "invert_sigmas=True"),
]


@pytest.mark.parametrize(("name", "settings", "named"), REFUSED)
def test_what_cannot_be_honoured_is_refused_by_name_before_the_model_runs(
    load, name, settings, named
):
    pipe = load("sd")
    pipe.scheduler = getattr(diffusers, name)(**settings)
    pipe.unet.register_forward_hook(lambda *args: pytest.fail("the model was evaluated"))
    call = tiny.CALL["sd"]
    with pytest.raises(UnsupportedSchedulerError, match=named):
        ntrk.generate(pipe, "a", reward=brightness, progress=False, **call)
    with (
        pytest.raises(UnsupportedSchedulerError, match=named),
        ntrk.tilt(pipe, brightness),
    ):
        pytest.fail("the block was entered")


@pytest.mark.parametrize("name", [n for n, _, _ in REFUSED[:5]])
def test_the_refusal_says_which_schedulers_are_honoured(load, name):
    pipe = load("sd")
    pipe.scheduler = getattr(diffusers, name)()
    with pytest.raises(UnsupportedSchedulerError, match=r"DDIMScheduler.*EulerAncestral"):
        ntrk.generate(pipe, "a", reward=brightness, progress=False, **tiny.CALL["sd"])


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        # The last step of both goes from the least noise to the least noise.
        ("DDIMScheduler", {**UNCLIPPED, "set_alpha_to_one": False, "steps_offset": 0}),
        ("DDIMScheduler", {**UNCLIPPED, "set_alpha_to_one": False, "timestep_spacing": "linspace"}),
        ("EulerDiscreteScheduler", {**BETAS, "final_sigmas_type": "sigma_min"}),
    ],
)
def test_levels_that_do_not_fall_are_refused_before_the_model_runs(name, settings):
    with pytest.raises(UnsupportedSchedulerError, match=name):
        timed(name, settings)
