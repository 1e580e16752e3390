"""Results in files: PNG and MP4 that carry their settings, and one JSON file for the rest."""

from __future__ import annotations

import importlib
import json
import math
import mimetypes
import os
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from PIL.Image import Image

    from .result import Result

__all__ = ["optional", "read_settings", "save", "targets"]

_KEY = "ntrk"
_QUALITY = "12"  # of x264: 0 is lossless, 23 usual
_BT709 = 1  # number of this colour space in H.264; it is also that of the limited range


def optional(module: str) -> Any:
    """Import a module of a package that is not always there, or say which extra brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f'this needs {module.partition(".")[0]}: pip install "noisetilt[ntrk]"'
        ) from error


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what `Result.save` wrote beside the pixels.

    Parameters
    ----------
    path
        A PNG, MP4 or JSON file that `Result.save` wrote.

    Returns
    -------
    dict
        ``settings``, ``nfe``, ``fallbacks``, ``interrupted``, and ``reward``, ``rewards``,
        ``held_out``: numbers for the one ``particle`` of a PNG or MP4, lists over all of them in
        the JSON file, which has ``history`` and the names of the ``files`` too. What was NaN or
        infinite is None.

    Raises
    ------
    ValueError
        If the file is of another kind, or was not written by `Result.save`.
    ImportError
        If Pillow, or PyAV for an MP4, is not installed; the message names the extra.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".json":
        text = path.read_text(encoding="utf-8")
    elif suffix == ".png":
        with optional("PIL.Image").open(path) as image:
            text = image.text.get(_KEY, "")
    elif suffix == ".mp4":
        with optional("av").open(path) as container:
            text = container.metadata.get(_KEY, "")
    else:
        raise ValueError(f"path must end in .png, .mp4 or .json, got {str(path)!r}")
    try:
        document = json.loads(text)
    except json.JSONDecodeError:
        document = None
    if not isinstance(document, dict) or "settings" not in document:
        raise ValueError(f"{path} holds no settings of a result: was it written by Result.save?")
    return document


def save(result: Result, path: Path, fps: float, overwrite: bool) -> list[Path]:
    """Write a result as `Result.save` says; whatever can be refused is refused before the first."""
    suffix = ".mp4" if result.is_video else ".png"
    pictures, summary = targets(path, suffix, len(result.images))
    existing = [str(file) for file in (*pictures, summary) if file.exists()]
    if existing and not overwrite:
        raise FileExistsError(f"not replaced without overwrite=True: {', '.join(existing)}")
    if result.is_video:
        _check_video(result, fps)
        optional("av")
    particles = range(len(result.images))
    pixels = [result.pixels(particle) for particle in particles]
    images: list[Any] = [] if result.is_video else result.pil()
    documents = [_document(result, particle) for particle in particles]
    everything = _document(result, None) | {
        "history": _strict(result.history, "history"),
        "files": [file.name for file in pictures],
    }

    summary.parent.mkdir(parents=True, exist_ok=True)
    for particle, file in enumerate(pictures):
        tags = _tags(result, particle) | {_KEY: json.dumps(documents[particle], allow_nan=False)}
        if result.is_video:
            _write_mp4(file, pixels[particle], Fraction(str(fps)), tags)
        else:
            _write_png(file, images[particle], tags)
    summary.write_text(json.dumps(everything, allow_nan=False, indent=1) + "\n", encoding="utf-8")
    return [*pictures, summary]


def targets(path: Path, suffix: str, count: int) -> tuple[list[Path], Path]:
    """Files of the particles, and the JSON file; `path` is a folder unless it has the suffix."""
    digits = len(str(count - 1))
    numbers = [f"{particle:0{digits}}" for particle in range(count)]
    if path.suffix.lower() == suffix:
        several = [path.with_name(f"{path.stem}-{number}{path.suffix}") for number in numbers]
        return [path] if count == 1 else several, path.with_suffix(".json")
    kind = mimetypes.guess_type(path.name)[0] or ""
    if kind.startswith(("image/", "video/", "application/json")):
        raise ValueError(f"path must be a folder or end in {suffix} for this result, got {path}")
    name = "image" if suffix == ".png" else "video"
    return [path / f"{name}-{number}{suffix}" for number in numbers], path / "result.json"


def _check_video(result: Result, fps: float) -> None:
    if not (fps > 0 and math.isfinite(fps)):
        raise ValueError(f"fps must be a positive number, got {fps!r}")
    height, width = result.images.shape[-2:]
    if height % 2 or width % 2:
        raise ValueError(
            "images must have an even height and width to be saved as MP4 (H.264, yuv420p), got "
            f"{height}x{width}: crop or pad them first"
        )


def _document(result: Result, particle: int | None) -> dict[str, Any]:
    """What is told of one particle, or of all."""

    def of(score: torch.Tensor) -> Any:
        return score if particle is None else score[particle]

    document = {
        "settings": result.settings,
        "nfe": result.nfe,
        "fallbacks": result.fallbacks,
        "interrupted": result.interrupted,
        "reward": of(result.reward),
        "rewards": {name: of(score) for name, score in result.rewards.items()},
        "held_out": {name: of(score) for name, score in result.held_out.items()},
    }
    if particle is not None:
        document["particle"] = particle
    return {key: _strict(value, key) for key, value in document.items()}


def _strict(value: Any, where: str) -> Any:
    """The value in what JSON knows; numbers that it does not know become None."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"{where} must have strings for keys to be saved, got {list(value)}")
        return {key: _strict(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        return _strict(value.tolist(), where)
    raise TypeError(f"{where} must be a value that JSON knows to be saved, got {value!r}")


def _tags(result: Result, particle: int) -> dict[str, str]:
    """The entries for people and for programs that know nothing of this package."""
    reward = float(result.reward[particle])
    prompt = result.settings.get("prompt")
    return {
        "Title": result.label,
        "Description": prompt if isinstance(prompt, str) else "",
        "Comment": f"reward {reward:.6g}, particle index {particle} of {len(result.images)}, "
        f"NFE {result.nfe}",
        "Software": "ntrk",
    }


def _write_png(file: Path, image: Image, tags: Mapping[str, str]) -> None:
    text = optional("PIL.PngImagePlugin").PngInfo()
    for key, value in tags.items():
        text.add_text(key, value)
    image.save(file, format="PNG", pnginfo=text)


def _write_mp4(file: Path, frames: torch.Tensor, fps: Fraction, tags: Mapping[str, str]) -> None:
    av = optional("av")
    # Without this option the container keeps only the keys it has a field for.
    with av.open(str(file), "w", format="mp4", options={"movflags": "use_metadata_tags"}) as output:
        for key, value in tags.items():
            output.metadata[key if key == _KEY else key.lower()] = value
        stream = output.add_stream("libx264", rate=fps, options={"crf": _QUALITY})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        codec = stream.codec_context
        codec.colorspace = codec.color_primaries = codec.color_trc = codec.color_range = _BT709
        for pixels in frames.expand(-1, -1, -1, 3).numpy():
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
            for packet in stream.encode(frame):
                output.mux(packet)
        for packet in stream.encode():
            output.mux(packet)
