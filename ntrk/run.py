"""Runs: with a diffusers pipeline, inside a pipeline's own call, or with any model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from . import __version__
from .diffusion import Diffusion, as_diffusion
from .kernels import FORMS
from .methods import Method, as_method
from .noise import CallNoise, ParticleNoise, seed_from
from .path import flow
from .processes import Processes
from .progress import progress_bar
from .result import Result
from .rewards import Reward, as_reward
from .sampler import Run, Schedule, Steps, drive

__all__ = ["Tilt", "generate", "sample", "tilt"]

Tensor = torch.Tensor
Coefficient = str | float | Callable[[float], float] | Diffusion

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
    held_out: Mapping[str, Callable[..., Tensor]] | None = None,
    batch_size: int = 1,
    diffusion: Coefficient | None = None,
    form: str = "bridge",
    reward_every: int = 1,
    detach_model: bool = False,
    on_bad_gradient: str = "fresh_noise",
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
    from .pipelines import Decoder, frozen, gradient_checkpoints, tilted, vae_tiles

    chosen = as_method(method, strength=strength)
    total = _as_reward(reward, chosen)
    if not (prompt is None or isinstance(prompt, str)):
        raise TypeError(f"prompt must be one string, got {prompt!r}; call once for each")
    for name, instead in _OWN_ARGUMENTS.items():
        if name in pipe_kwargs:
            raise TypeError(f"{name} is not for the pipeline here: use {instead}")
    processes, base_seed = Processes(), _as_seed(seed)
    share = processes.share(_count("particles", particles))
    decoder = Decoder(pipe)
    runs: list[Run] = []
    results: list[Tensor] = []

    def begin(schedule: Schedule, initial: Tensor, arguments: Any) -> tuple[Run, Steps]:
        run = Run(
            schedule,
            as_diffusion(diffusion or default_diffusion(pipe)),
            form,
            ParticleNoise(base_seed, share),
            total,
            decoder,
            [prompt or ""] * len(share),
            initial.new_zeros(len(share), *initial.shape[1:]),
            seed=base_seed,
            processes=processes,
            on_step=show,
            **options,
        )
        runs.append(run)
        return run, _kept(chosen.sample(run), results)

    options = _options(batch_size, form, reward_every, detach_model, on_bad_gradient, chosen)
    rows = min(_count("batch_size", batch_size), len(share) * chosen.candidates)
    options["batch_size"] = rows
    with ExitStack() as stack:
        settings: dict[str, Any] = {}
        if gradient_checkpointing:
            settings["gradient_checkpointing"] = stack.enter_context(gradient_checkpoints(pipe))
        if vae_tiling:
            stack.enter_context(vae_tiles(pipe))
        show = stack.enter_context(
            progress_bar(
                len(share) * chosen.evaluations(_count("steps", steps)),
                shown=progress and processes.rank == 0,
            )
        )
        stack.enter_context(_quiet(pipe))
        stack.enter_context(frozen(pipe))
        interrupted = False
        images_argument = _images_argument(pipe)
        with tilted(pipe, begin):
            try:
                pipe(
                    prompt,
                    num_inference_steps=steps,
                    output_type="latent",
                    **{images_argument: rows},
                    **pipe_kwargs,
                )
            except KeyboardInterrupt:
                interrupted = True
        if not runs or not (results or runs[0].latest is not None):
            raise KeyboardInterrupt
        settings |= {
            "label": chosen.label,
            "method": chosen.settings,
            "prompt": prompt,
            "steps": steps,
            "particles": particles,
            "seed": base_seed,
            "batch_size": batch_size,
            "diffusion": runs[0].diffusion.name,
            "form": form,
            "reward": total.name,
            "reward_every": reward_every,
            "detach_model": detach_model,
            "on_bad_gradient": on_bad_gradient,
            "vae_tiling": vae_tiling,
            "pipeline": type(pipe).__name__,
            "checkpoint": str(getattr(pipe.config, "_name_or_path", "")),
            "scheduler": type(pipe.scheduler).__name__,
            "dtype": str(pipe.dtype).removeprefix("torch."),
            "pipe_kwargs": {name: _describe(value) for name, value in pipe_kwargs.items()},
            "versions": _versions("diffusers", "transformers"),
        }
        with decoder.upcast():
            return _result(
                runs[0], results[0] if results else None, interrupted, held_out, settings
            )


def sample(
    velocity: Callable[[Tensor, float], Tensor],
    shape: Sequence[int],
    *,
    reward: Any,
    method: str | Method = "ntrk",
    strength: float | None = None,
    steps: int = 25,
    particles: int = 1,
    seed: int | torch.Generator = 0,
    held_out: Mapping[str, Callable[..., Tensor]] | None = None,
    batch_size: int | None = None,
    diffusion: Coefficient = "3t^2",
    form: str = "bridge",
    reward_every: int = 1,
    detach_model: bool = False,
    on_bad_gradient: str = "fresh_noise",
    times: Sequence[float] | None = None,
    decode: Callable[[Tensor], Tensor] = lambda data: data,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> Result:
    """Sample from any flow model towards high reward.

    Parameters
    ----------
    velocity
        ``velocity(x, t)``: the flow's velocity at states (batch, *shape) and time t, which is 1 for
        noise and 0 for data.
    shape
        Shape of one state.
    times
        Times from noise to data, the last of them 0; `steps` equal steps from 1 if None.
    decode
        From data to what the reward sees.
    dtype, device
        Of the states.
    batch_size
        States that the model sees at once; all if None.
    reward, method, strength, steps, particles, seed, held_out, diffusion, form, reward_every, \
detach_model, on_bad_gradient, progress
        As in `generate`.

    Returns
    -------
    Result

    Examples
    --------
    >>> out = sample(  # data that are standard normal
    ...     lambda x, t: x * (2 * t - 1) / (t**2 + (1 - t) ** 2),
    ...     (16, 16),
    ...     reward=lambda x, prompts: x.mean((1, 2)),
    ...     particles=2,
    ... )
    >>> out.nfe, out.images.shape, bool((out.reward > 0.1).all())
    (50, torch.Size([2, 16, 16]), True)
    """
    chosen = as_method(method, strength=strength)
    total = _as_reward(reward, chosen)
    if times is None:
        times = [1 - level / steps for level in range(_count("steps", steps) + 1)]
    times = [float(t) for t in times]
    falling = all(later < t for t, later in itertools.pairwise(times))
    if not (len(times) > 1 and times[0] <= 1 and times[-1] == 0 and falling):
        raise ValueError(f"times must fall from at most 1 to 0, got {times}")
    processes, base_seed = Processes(), _as_seed(seed)
    share = processes.share(_count("particles", particles))
    rows = len(share) * chosen.candidates
    options = _options(rows, form, reward_every, detach_model, on_bad_gradient, chosen)
    options["batch_size"] = (
        rows if batch_size is None else min(_count("batch_size", batch_size), rows)
    )
    evaluations = len(share) * chosen.evaluations(len(times) - 1)
    with progress_bar(evaluations, shown=progress and processes.rank == 0) as show:
        run = Run(
            Schedule(tuple(flow(t) for t in times), "velocity"),
            as_diffusion(diffusion),
            form,
            ParticleNoise(base_seed, share),
            total,
            decode,
            [""] * len(share),
            torch.zeros(len(share), *shape, dtype=dtype, device=device),
            seed=base_seed,
            processes=processes,
            on_step=show,
            **options,
        )
        final = None
        try:
            final = drive(chosen.sample(run), lambda x, level: velocity(x, times[level]))
        except KeyboardInterrupt:
            if run.latest is None:
                raise
    settings = {
        "label": chosen.label,
        "method": chosen.settings,
        "times": times,
        "particles": particles,
        "seed": base_seed,
        "diffusion": run.diffusion.name,
        "form": form,
        "reward": total.name,
        "reward_every": reward_every,
        "detach_model": detach_model,
        "on_bad_gradient": on_bad_gradient,
        "dtype": str(dtype).removeprefix("torch."),
        "versions": _versions(),
    }
    return _result(run, final, final is None, held_out, settings)


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
) -> Iterator[Tilt]:
    """Tilt the calls of a pipeline inside a block; prompts, generators, outputs stay the caller's.

    Parameters
    ----------
    pipe, reward, method, strength, diffusion, form, reward_every, detach_model, on_bad_gradient
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
    from .pipelines import Decoder, tilted

    chosen = as_method(method, strength=strength)
    total = _as_reward(reward, chosen)
    if chosen.population:
        raise ValueError(
            f"the method {chosen.name!r} works on particles of one prompt; use ntrk.generate"
        )
    options = _options(1, form, reward_every, detach_model, on_bad_gradient, chosen)
    record = Tilt()

    def begin(schedule: Schedule, initial: Tensor, arguments: dict[str, Any]) -> tuple[Run, Steps]:
        rows = len(initial)
        options["batch_size"] = rows
        generator = arguments.get("generator")
        run = Run(
            schedule,
            as_diffusion(diffusion or default_diffusion(pipe)),
            form,
            CallNoise(generator, rows),
            total,
            Decoder(pipe),
            _prompts_of_rows(arguments.get("prompt"), rows),
            torch.zeros_like(initial),
            **options,
        )
        run.start_from(initial)
        record.run = run
        return run, chosen.sample(run)

    with tilted(pipe, begin):
        yield record


def default_diffusion(pipe: Any) -> str:
    """Return the diffusion coefficient that suits the scheduler of a pipeline."""
    from .schedulers import check_scheduler

    return check_scheduler(pipe.scheduler, type(pipe.scheduler).__name__).diffusion


def _as_reward(reward: Any, method: Method) -> Reward:
    total = as_reward(reward)
    if method.needs_gradient and not total.differentiable:
        raise TypeError(
            f"the reward {total.name!r} has no gradient, which the method {method.name!r} needs; "
            "`ntrk methods` lists those that need none"
        )
    return total


def _as_seed(seed: int | torch.Generator) -> int:
    if isinstance(seed, torch.Generator):
        drawn = torch.randint(2**62, (1,), generator=seed, device=seed.device)
        return seed_from(int(drawn))
    return _count("seed", seed, least=0)


def _count(name: str, value: Any, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return value


def _options(
    batch_size: int,
    form: str,
    reward_every: int,
    detach_model: bool,
    on_bad_gradient: str,
    method: Method,
) -> dict[str, Any]:
    """Check what all runs have in common."""
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}")
    if on_bad_gradient not in ("fresh_noise", "raise"):
        raise ValueError(
            f"on_bad_gradient must be 'fresh_noise' or 'raise', got {on_bad_gradient!r}"
        )
    if _count("reward_every", reward_every) > 1 and not method.thins_rewards:
        raise ValueError(f"reward_every: the method {method.name!r} needs the reward on every step")
    return {
        "batch_size": batch_size,
        "reward_every": reward_every,
        "detach_model": detach_model,
        "on_bad_gradient": on_bad_gradient,
    }


def _kept(steps: Steps, results: list[Tensor]) -> Steps:
    """Put the result of a method aside: a pipeline keeps rows for one batch only."""
    result = yield from steps
    results.append(result)
    return result


def _result(
    run: Run,
    final: Tensor | None,
    interrupted: bool,
    held_out: Mapping[str, Callable[..., Tensor]] | None,
    settings: dict[str, Any],
) -> Result:
    """Decode and score final states, or the last estimates of an interrupted run."""
    interrupted = interrupted or final is None
    latents = run.latest if final is None else final
    assert latents is not None
    prompts = [run.prompts[0]] * len(latents)
    others = Reward(held_out) if held_out else None
    images, terms, measured = [], [], []
    with torch.no_grad():
        for chunk in latents.split(run.batch_size):
            decoded = run.decode(chunk)
            images.append(decoded.cpu())
            terms.append(run.reward.evaluate(decoded, prompts[: len(chunk)]))
            if others:
                measured.append(others.evaluate(decoded, prompts[: len(chunk)]))
    local: dict[str, Any] = {
        "images": torch.cat(images),
        "latents": latents.cpu(),
        "rewards": _joined(terms),
        "held_out": _joined(measured),
        "nfe": run.nfe,
        "fallbacks": run.fallbacks,
        "history": run.history,
    }
    if not bool(torch.isfinite(local["images"]).all()):
        raise FloatingPointError("the decoder gave values that are not finite")
    parts = run.processes.gather_objects(local)
    # Where a method returns the best of all, every process has that one.
    rows = parts[:1] if len(latents) != run.particles or run.processes.alone else parts
    rewards = _joined([part["rewards"] for part in rows])
    return Result(
        torch.cat([part["images"] for part in rows]),
        sum(run.reward.weights[name] * value for name, value in rewards.items()),  # type: ignore[arg-type]
        rewards=rewards,
        held_out=_joined([part["held_out"] for part in rows]),
        nfe=sum(part["nfe"] for part in parts),
        history=_joined_history([part["history"] for part in parts]),
        fallbacks=sum(part["fallbacks"] for part in parts),
        interrupted=interrupted,
        settings=settings,
        latents=torch.cat([part["latents"] for part in rows]),
    )


def _joined(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Concatenate tensors of one name."""
    names = parts[0] if parts else ()
    return {name: torch.cat([part[name].detach().cpu() for part in parts]) for name in names}


def _joined_history(histories: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Join the records of the processes, step by step: lists run over particles."""
    joined = []
    for entries in zip(*histories, strict=False):
        entry = dict(entries[0])
        for key, value in entry.items():
            if isinstance(value, list):
                entry[key] = [v for other in entries for v in other[key]]
        if "nfe" in entry:
            entry["nfe"] = sum(other["nfe"] for other in entries)
        joined.append(entry)
    return joined


def _prompts_of_rows(prompt: Any, rows: int) -> list[str]:
    """Return the prompt of each row of a pipeline's batch: images of one prompt lie together."""
    prompts = [prompt] if isinstance(prompt, str) else list(prompt or [""])
    return [p for p in prompts for _ in range(rows // len(prompts))]


def _images_argument(pipe: Any) -> str:
    import inspect

    names = inspect.signature(type(pipe).__call__).parameters
    return "num_videos_per_prompt" if "num_videos_per_prompt" in names else "num_images_per_prompt"


@contextmanager
def _quiet(pipe: Any) -> Iterator[None]:
    """Hide the pipeline's own progress bar, which counts its steps."""
    before = getattr(pipe, "_progress_bar_config", None)
    pipe.set_progress_bar_config(disable=True)
    try:
        yield
    finally:
        if before is None:
            del pipe._progress_bar_config
        else:
            pipe._progress_bar_config = before


def _describe(value: Any) -> Any:
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [_describe(item) for item in value]
    if isinstance(value, torch.Tensor):
        return f"tensor {tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    return repr(value)


def _versions(*others: str) -> dict[str, str]:
    from importlib.metadata import version

    return {
        "ntrk": __version__,
        "torch": torch.__version__,
        **{name: version(name) for name in others},
    }
