"""Reward alignment of diffusion models by the Noise-Tilted Reverse Kernel, on top of `whitenoise`."""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError('ntrk needs Torch: pip install "noisetilt[ntrk]"') from error

__version__ = "0.4.0"

from . import diffusion, kernels, methods, path, rewards, whitening
from .methods import METHODS, Method
from .result import Result, read_settings
from .rewards import Reward
from .run import Tilt, generate, sample, tilt
from .schedulers import UnsupportedSchedulerError

__all__ = [
    "METHODS",
    "Method",
    "Result",
    "Reward",
    "Tilt",
    "UnsupportedSchedulerError",
    "diffusion",
    "generate",
    "kernels",
    "methods",
    "path",
    "read_settings",
    "rewards",
    "sample",
    "tilt",
    "whitening",
]
