"""Reward alignment of diffusion models: the Noise-Tilted Reverse Kernel, and its rivals."""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError('ntrk needs Torch: pip install "noisetilt[ntrk]"') from error

from whitenoise import __version__

from . import diffusion, kernels, methods, path, rewards, whitening
from .flows import sample
from .methods import METHODS, Method
from .result import Result, read_settings
from .rewards import Reward
from .run import Tilt, generate, tilt
from .schedulers import UnsupportedSchedulerError

__all__ = [
    "METHODS",
    "Method",
    "Result",
    "Reward",
    "Tilt",
    "UnsupportedSchedulerError",
    "__version__",
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
