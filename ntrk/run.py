"""Runs with a diffusers pipeline: a call of ours, or inside the caller's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from torch import Tensor

from .arguments import as_count
from .decoding import Decoder
from .equipment import (
    default_diffusion,
    describe_pipeline,
    frozen,
    gradient_checkpoints,
    images_argument,
    quiet,
    vae_tiles,
)
from .methods import Method
from .noise import CallNoise, ParticleNoise
from .outcome import HeldOut, make_result
from .pipelines import tilted
from .plan import Coefficient, as_seed, make_plan
from .processes import Processes
from .progress import progress_bar
from .result import Result
from .sampler import Run, Schedule, Steps

__all__ = ["Tilt", "check_call", "generate", "tilt"]

_OWN_ARGUMENTS = {
    "num_inference_steps": "steps",
    "num_images_per_prompt": "particles",
    "num_videos_per_prompt": "particles",
    "generator": "seed",
    "latents": "seed",
    "output_type": "the result's images, which are decoded",
    "return_dict": "the result",
}


def generate(
    pipe: Any,
    prompt: str | None = None,
    *,
    reward: Any,
    method: str | Method = "ntrk",
    strength: float | None = None,
    steps: int = 25,
    particles: int = 1,
    seed: int | torch.Generator = 0,
    held_out: HeldOut = None,
    batch_size: int = 1,
    diffusion: Coefficient | None = None,
    form: str = "bridge",
    reward_every: int = 1,
    detach_model: bool = False,
    on_bad_gradient: str = "fresh_noise",
    check_noise: bool = True,
    gradient_checkpointing: bool = False,
    vae_tiling: bool = False,
    progress: bool = True,
    **pipe_kwargs: Any,
) -> Result:
    """Sample from a diffusers pipeline towards high reward.

    Parameters
    ----------
    pipe
        A text-to-image or text-to-video pipeline: Flux, Z-Image, Wan, Stable Diffusion 1, 2, 3 and
        XL, and others that are built like them. It is left as it was; LoRA and fine-tuned weights
        are used as they are.
    prompt
        One prompt, or None if `pipe_kwargs` holds embeddings.
    reward
        A function ``(images, prompts) -> (batch,)``, a mapping from names to such functions (their
        sum), or a `Reward`. Images are float32 in [0, 1], of shape (batch, channels, height,
        width), for video (batch, frames, channels, height, width).
    method
        A key of `METHODS`, or a `Method` with its parameters.
    strength
        Of NTRK, in [0, 1]; 0.3 if None.
    steps
        Noise levels from noise to data.
    particles
        Trajectories, of all processes together. `Result.best` says which scored highest.
    seed
        Each particle has its own generator, made from this and its number; a generator gives one
        seed.
    held_out
        Rewards by name that are measured on the final images alone, without gradient.
    batch_size
        States that the model and the VAE see at once: the limit of memory. At 1 a particle's result
        does not depend on the others, nor on the number of processes.
    diffusion
        How much noise a step injects: a key of `DIFFUSIONS`, a number, or a function of flow time;
        None for the scheduler's own, and ``"3t^2"`` for flow models.
    form
        ``"bridge"`` or ``"euler_maruyama"``, see `reverse_kernel`.
    reward_every
        Ask for the reward on every so many steps, and use plain noise on the others.
    detach_model
        Take the gradient through the estimate of the data alone, as if the model did not see the
        state: its activations need not be kept.
    on_bad_gradient
        A gradient that is zero or not finite is replaced by none, so that the step's noise is fresh
        and `Result.fallbacks` counts it (``"fresh_noise"``), or stops the run (``"raise"``).
    check_noise
        Whether the history holds the p-value of `whitenoise.typicality` for the standardised
        perturbation of every step and particle (Eqs. 7 and 13 of the paper): tens of milliseconds
        each.
    gradient_checkpointing
        Recompute activations in the backward pass.
    vae_tiling
        Decode in tiles.
    progress
        Whether to show a bar with the reward.
    **pipe_kwargs
        For the pipeline: sizes, guidance, negative prompts, embeddings.

    Returns
    -------
    Result
        On all processes the same. A run that is interrupted from the keyboard, or by the pipeline's
        own ``interrupt``, returns the last estimates.

    Raises
    ------
    UnsupportedSchedulerError, ValueError, TypeError
        If scheduler, method, reward and arguments do not fit; before anything is computed where
        that can be known.
    FloatingPointError
        If the model or the decoder gives values that are not finite.

    Notes
    -----
    One evaluation of the model a step and particle costs one NFE, also if the pipeline runs it
    twice for guidance. `Result.nfe` counts what was evaluated.
    """
    plan = make_plan(
        reward,
        method,
        strength=strength,
        diffusion=default_diffusion(pipe) if diffusion is None else diffusion,
        form=form,
        reward_every=reward_every,
        detach_model=detach_model,
        on_bad_gradient=on_bad_gradient,
        check_noise=check_noise,
    )
    check_call(prompt, pipe_kwargs)
    processes, base_seed = Processes(), as_seed(seed)
    share = processes.share(as_count("particles", particles))
    rows = min(as_count("batch_size", batch_size), len(share) * plan.method.candidates)
    evaluations = len(share) * plan.method.evaluations(as_count("steps", steps))
    decoder = Decoder(pipe)
    runs: list[Run] = []
    finals: list[Tensor] = []

    def begin(schedule: Schedule, initial: Tensor, arguments: Any) -> tuple[Run, Steps]:
        if schedule.steps != steps:
            raise ValueError(
                f"steps must be the number of noise levels that the pipeline sets, "
                f"{schedule.steps}, got {steps}"
            )
        if len(initial) != rows:
            raise ValueError(
                f"embeddings must be of one prompt: with a batch of {rows} the pipeline made "
                f"{len(initial)} latents"
            )
        run = plan.run(
            schedule=schedule,
            noise=ParticleNoise(base_seed, share),
            decode=decoder,
            prompts=[prompt or ""] * len(share),
            like=initial.new_zeros(len(share), *initial.shape[1:]),
            batch_size=rows,
            seed=base_seed,
            processes=processes,
            on_step=show,
        )
        runs.append(run)
        return run, _kept(plan.method.sample(run), finals)

    with ExitStack() as stack:
        checkpoints = (
            stack.enter_context(gradient_checkpoints(pipe)) if gradient_checkpointing else []
        )
        if vae_tiling:
            stack.enter_context(vae_tiles(pipe))
        stack.enter_context(quiet(pipe))
        shown = progress and processes.rank == 0
        show = stack.enter_context(progress_bar(evaluations, shown=shown))
        with tilted(pipe, begin), suppress(KeyboardInterrupt):
            pipe(
                prompt=prompt,
                num_inference_steps=steps,
                output_type="latent",
                **{images_argument(pipe): rows},
                **pipe_kwargs,
            )
        if not runs:
            raise KeyboardInterrupt
        settings = plan.settings("diffusers", "transformers") | {
            "prompt": prompt,
            "steps": steps,
            "particles": particles,
            "seed": base_seed,
            "batch_size": batch_size,
            "gradient_checkpointing": checkpoints,
            "vae_tiling": vae_tiling,
            **describe_pipeline(pipe),
            "pipe_kwargs": {name: _described(value) for name, value in pipe_kwargs.items()},
        }
        with frozen(pipe), decoder.upcast():
            return make_result(plan, runs[0], finals[0] if finals else None, held_out, settings)


class Tilt:
    """What a `tilt` block knows of the pipeline's last call.

    Attributes
    ----------
    nfe, history, fallbacks
        As in `Result`.
    """

    def __init__(self) -> None:
        self.run: Run | None = None

    @property
    def nfe(self) -> int:
        """Evaluations of the model."""
        return self._last.nfe

    @property
    def history(self) -> list[dict[str, Any]]:
        """One record a step."""
        return self._last.history

    @property
    def fallbacks(self) -> int:
        """Steps of an image in which its gradient was of no use."""
        return self._last.fallbacks

    @property
    def _last(self) -> Run:
        if self.run is None:
            raise RuntimeError("the pipeline has not been called in this block yet")
        return self.run


@contextmanager
def tilt(
    pipe: Any,
    reward: Any,
    *,
    method: str | Method = "ntrk",
    strength: float | None = None,
    diffusion: Coefficient | None = None,
    form: str = "bridge",
    reward_every: int = 1,
    detach_model: bool = False,
    on_bad_gradient: str = "fresh_noise",
    check_noise: bool = True,
) -> Iterator[Tilt]:
    """Tilt the calls of a pipeline inside a block; prompts, generators, outputs stay the caller's.

    Parameters
    ----------
    pipe, reward, method, strength, diffusion, form, reward_every, detach_model, on_bad_gradient, \
check_noise
        As in `generate`. Every image of a call is one particle, all are evaluated at once, and a
        method in which particles interact is refused.

    Yields
    ------
    Tilt
        Evaluations and history of the last call.

    Notes
    -----
    The initial latents are the pipeline's own. The injected noise comes from the ``generator`` of
    the call, from Torch's default one if there is none. A ``callback_on_step_end`` is called after
    every evaluation of the model.
    """
    plan = make_plan(
        reward,
        method,
        strength=strength,
        diffusion=default_diffusion(pipe) if diffusion is None else diffusion,
        form=form,
        reward_every=reward_every,
        detach_model=detach_model,
        on_bad_gradient=on_bad_gradient,
        check_noise=check_noise,
    )
    if plan.method.population:
        raise ValueError(
            f"the method {plan.method.name!r} works on particles of one prompt; use ntrk.generate"
        )
    record = Tilt()

    def begin(schedule: Schedule, initial: Tensor, arguments: dict[str, Any]) -> tuple[Run, Steps]:
        rows = len(initial)
        run = plan.run(
            schedule=schedule,
            noise=CallNoise(arguments.get("generator"), rows),
            decode=Decoder(pipe),
            prompts=_prompts_of_rows(arguments.get("prompt"), rows),
            like=torch.zeros_like(initial),
            batch_size=rows,
        )
        run.start_from(initial)
        record.run = run
        return run, plan.method.sample(run)

    with tilted(pipe, begin):
        yield record


def check_call(prompt: Any, pipe_kwargs: Mapping[str, Any]) -> None:
    """Refuse several prompts, and arguments of the pipeline that `generate` has of its own."""
    if not (prompt is None or isinstance(prompt, str)):
        raise TypeError(f"prompt must be one string, got {prompt!r}; call once for each")
    for name, instead in _OWN_ARGUMENTS.items():
        if name in pipe_kwargs:
            raise TypeError(f"{name} is not for the pipeline here: use {instead}")


def _kept(steps: Steps, finals: list[Tensor]) -> Steps:
    """Put the result of a method aside: a pipeline keeps rows for one batch only."""
    final = yield from steps
    finals.append(final)
    return final


def _prompts_of_rows(prompt: Any, rows: int) -> list[str]:
    """Return the prompt of each row of a pipeline's batch: images of one prompt lie together."""
    prompts = [prompt] if isinstance(prompt, str) else list(prompt or [""])
    return [p for p in prompts for _ in range(rows // len(prompts))]


def _described(value: Any) -> Any:
    """Return a value as JSON can hold it; of a tensor, its shape."""
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [_described(item) for item in value]
    if isinstance(value, torch.Tensor):
        return f"tensor {tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    return repr(value)
