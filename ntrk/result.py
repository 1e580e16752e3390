"""What a run returns: the images, what they scored, what they cost, and how each step went."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .resampling import worst_if_nan
from .saving import optional, read_settings, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image

__all__ = ["Result", "read_settings"]

_SHOWN = 8  # images in a plot
_ALARM = 1e-3  # p-value below which noise is called untypical
_FLOOR = 1e-16  # smallest p-value drawn
_LINE, _BEST, _ALARM_COLOUR = "#8aa6c1", "#33658a", "#c0392b"


@dataclass(eq=False, repr=False)
class Result:
    """Images with their rewards, and the record of how they were made.

    Attributes
    ----------
    images
        Float32 tensor on the CPU: images ``(particles, C, H, W)`` or videos
        ``(particles, F, C, H, W)`` with values in [0, 1]; what a model without pictures makes has
        any shape ``(particles, ...)``, and cannot be shown or saved.
    reward
        Reward of each particle.
    rewards
        The terms of the reward by name, each without its weight.
    held_out
        Rewards by name that were only measured.
    nfe
        Evaluations of the model, all particles together.
    history
        One dict a step: ``step``, ``sigma``, ``nfe``, and lists over the particles ``reward``,
        ``cosine`` (between the gradient and what whitening made of it) and ``pvalue`` (typicality
        of the injected noise). The lists may be absent, and an entry NaN, where nothing was
        measured.
    fallbacks
        Particle-steps in which the gradient was zero or not finite, and fresh noise was used.
    interrupted
        Whether the run was stopped before its end.
    settings
        Everything needed to repeat the run, in values that JSON knows. ``settings["label"]`` names
        the method in titles, ``settings["prompt"]`` becomes the description in saved files.
    latents
        The latents that were decoded, if kept.

    Examples
    --------
    >>> images = torch.zeros(2, 3, 8, 8)
    >>> result = Result(images, torch.tensor([0.25, 0.75]), nfe=50, settings={"label": "NTRK"})
    >>> print(result)
    NTRK: 2 particles of 3x8x8, reward best 0.75, mean 0.5, NFE 50
    >>> result.best, result.image.size
    (1, (8, 8))
    """

    images: torch.Tensor
    reward: torch.Tensor
    rewards: Mapping[str, torch.Tensor] = field(default_factory=dict)
    held_out: Mapping[str, torch.Tensor] = field(default_factory=dict)
    nfe: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    fallbacks: int = 0
    interrupted: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    latents: torch.Tensor | None = None

    def __post_init__(self) -> None:
        scores = {"reward": self.reward}
        scores |= {f"rewards[{name!r}]": score for name, score in self.rewards.items()}
        scores |= {f"held_out[{name!r}]": score for name, score in self.held_out.items()}
        for name, score in scores.items():
            if score.shape != self.images.shape[:1]:
                raise ValueError(
                    f"{name} must have one value for each of the {len(self.images)} particles, "
                    f"got shape {tuple(score.shape)}"
                )

    @property
    def label(self) -> str:
        """Name of the method."""
        return str(self.settings.get("label", self.settings.get("method", "result")))

    @property
    def best(self) -> int:
        """Index of the highest reward; a reward that is NaN is below all others."""
        if not len(self.reward):
            raise ValueError("the result holds no particles, so none is the best")
        return int(worst_if_nan(self.reward).argmax())

    @property
    def image(self) -> Image | list[Image]:
        """The image of the highest reward, or the frames of the video."""
        return self._pil(self.best)

    def pil(self) -> list[Image | list[Image]]:
        """Return every image as a Pillow image, every video as a list of them.

        Raises
        ------
        ValueError
            If `images` are no pictures: a wrong shape, or values that are NaN or outside [0, 1].
        ImportError
            If Pillow is not installed; the message names the extra.
        """
        return [self._pil(particle) for particle in range(len(self.images))]

    def _pil(self, particle: int) -> Image | list[Image]:
        fromarray = optional("PIL.Image").fromarray
        pixels = self.pixels(particle)
        frames = [
            fromarray(frame.squeeze(-1).numpy()) for frame in pixels.reshape(-1, *pixels.shape[-3:])
        ]
        return frames if self.is_video else frames[0]

    @property
    def is_video(self) -> bool:
        """Whether the particles are videos."""
        return len(self.images.shape) == 5

    @property
    def has_pictures(self) -> bool:
        """Whether the particles have the shape of images or videos of one or three channels."""
        return self.images.ndim in (4, 5) and int(self.images.shape[-3]) in (1, 3)

    def pixels(self, particle: int) -> torch.Tensor:
        """Return one particle in 8 bits, channels last: ``(H, W, C)`` or ``(F, H, W, C)``.

        Raises
        ------
        ValueError
            If `images` are no pictures: a wrong shape, or values that are NaN or outside [0, 1].
        """
        if not self.has_pictures:
            raise ValueError(
                "images must have shape (particles, C, H, W) or (particles, F, C, H, W) with one "
                f"or three channels C to be shown or saved, got {tuple(self.images.shape)}"
            )
        x = self.images[particle]
        if not ((x >= 0) & (x <= 1)).all():  # false for NaN too
            raise ValueError(
                f"images[{particle}] must lie in [0, 1] to be shown or saved, got values from "
                f"{x.min():.4g} to {x.max():.4g}"
            )
        return (x.float() * 255).round().to(torch.uint8).movedim(-3, -1).contiguous()

    def save(
        self, path: str | os.PathLike[str], *, fps: float = 16, overwrite: bool = False
    ) -> list[Path]:
        """Write a PNG or MP4 for every particle, and a JSON file with everything but the pixels.

        Parameters
        ----------
        path
            A folder, made if need be: it gets ``image-0.png`` (or ``video-0.mp4``), ... and
            ``result.json``. Or a file ``NAME.png`` (``NAME.mp4``), with ``NAME.json`` beside it;
            several particles become ``NAME-0.png``, ``NAME-1.png``, ...
        fps
            Frames a second of a video.
        overwrite
            Whether files that exist are replaced.

        Returns
        -------
        list of Path
            The files written: one a particle in order, the JSON file last.

        Raises
        ------
        FileExistsError
            If a file exists and `overwrite` is False. Nothing is written.
        ValueError
            If `images` are no pictures, the suffix is not theirs, `fps` is not positive, or a video
            has an odd width or height, which H.264 in its common form (yuv420p) does not have.
        TypeError
            If `settings` or `history` hold something that JSON does not know.
        ImportError
            If Pillow, or PyAV for a video, is not installed; the message names the extra.

        Notes
        -----
        PNG keeps the values rounded to 8 bits; MP4 loses a little more. Both carry the settings,
        and the particle's own rewards, in their metadata: `read_settings` reads them.
        """
        return save(self, Path(path), fps, overwrite)

    def __str__(self) -> str:
        count, shape = len(self.images), "x".join(map(str, self.images.shape[1:]))
        parts = [f"{count} particle{'' if count == 1 else 's'} of {shape}"]
        if count == 1:
            parts.append(f"reward {float(self.reward[0]):.4g}")
        elif count:
            best, mean = float(self.reward[self.best]), float(self.reward.mean())
            parts.append(f"reward best {best:.4g}, mean {mean:.4g}")
        parts.append(f"NFE {self.nfe}")
        if self.fallbacks:
            parts.append(f"{self.fallbacks} particle-steps without a usable gradient")
        if self.interrupted:
            parts.append("interrupted")
        return f"{self.label}: {', '.join(parts)}"

    def __repr__(self) -> str:
        return f"<Result {self}>"

    def plot(self) -> Figure:
        """Draw the images, the reward over the steps, and the typicality of the injected noise.

        Up to eight images are shown, those of highest reward first, and videos by their middle
        frame. The dark line is the particle of the highest reward, the dashed one a p-value of
        0.001, below which noise is untypical. What was not recorded is left out.

        Returns
        -------
        matplotlib.figure.Figure
            Not attached to any window; save it with ``figure.savefig(path)``.

        Raises
        ------
        ValueError
            If there is nothing to draw.
        ImportError
            If matplotlib is not installed; the message names the extra.
        """
        order = worst_if_nan(self.reward).argsort(descending=True).tolist()
        shown = order[:_SHOWN] if self.has_pictures else []
        series = {key: self._series(key) for key in ("reward", "pvalue")}
        curves = [key for key, lines in series.items() if lines]
        if not shown and not curves:
            raise ValueError("nothing to plot: the result holds neither images nor a history")

        heights = [2.6] * bool(shown) + [2.8] * bool(curves)
        figure: Figure = optional("matplotlib.figure").Figure(
            figsize=(max(8.0, 2.2 * len(shown)), sum(heights) + 0.4), layout="constrained"
        )
        title = f"{self}; best {_SHOWN} shown" if len(order) > len(shown) > 0 else str(self)
        figure.suptitle(title, fontsize=10, wrap=True)
        bands = list(figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0])
        if shown:
            row = bands.pop(0).subplots(1, len(shown), squeeze=False)[0]
            for axes, particle in zip(row, shown, strict=True):
                self._draw_image(axes, particle)
        if curves:
            panels = bands.pop().subplots(1, len(curves), squeeze=False)[0]
            for axes, key in zip(panels, curves, strict=True):
                _draw_lines(axes, key, series[key], self.best if len(self.reward) else 0)
        return figure

    def _series(self, key: str) -> dict[int, tuple[list[float], list[float]]]:
        """For each particle with anything recorded, the steps and the finite values at them."""
        series: dict[int, tuple[list[float], list[float]]] = {}
        for row in self.history:
            for particle, value in enumerate(row.get(key, ())):
                if math.isfinite(value):
                    steps, values = series.setdefault(particle, ([], []))
                    steps.append(row["step"])
                    values.append(float(value))
        return series

    def _draw_image(self, axes: Axes, particle: int) -> None:
        pixels = self.pixels(particle)
        frame = pixels[len(pixels) // 2] if self.is_video else pixels
        axes.imshow(frame.squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=255)
        axes.set_title(f"particle {particle}: {float(self.reward[particle]):.4g}", fontsize=9)
        axes.set_axis_off()


def _draw_lines(
    axes: Axes, key: str, series: dict[int, tuple[list[float], list[float]]], best: int
) -> None:
    label = {"reward": "reward", "pvalue": "p-value of the injected noise"}[key]
    for particle, (steps, values) in series.items():
        colour, order = (_BEST, 3) if particle == best else (_LINE, 2)
        drawn = [max(value, _FLOOR) for value in values] if key == "pvalue" else values
        axes.plot(steps, drawn, color=colour, zorder=order, lw=1, marker=".", ms=4)
    if key == "pvalue":
        axes.set_yscale("log")
        axes.axhline(_ALARM, color=_ALARM_COLOUR, lw=1, ls="--")
        if any(min(values) < _FLOOR for _, values in series.values()):
            label += f"\n(those below {_FLOOR:g} drawn there)"
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("step")
    axes.set_ylabel(label, fontsize=9)
