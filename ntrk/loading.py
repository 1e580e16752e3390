"""Reading a pipeline from disk: quietly, and with an error that says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from .saving import optional

__all__ = ["hushed", "load_pipeline"]


def load_pipeline(name: str, dtype: str) -> Any:
    """Read a diffusers pipeline from a folder or the hub's cache.

    Parameters
    ----------
    name
        Of the folder, or on the hub.
    dtype
        Of the weights, such as ``"float32"``.

    Raises
    ------
    OSError
        If it cannot be read; the message says how to get it.
    """
    diffusers = optional("diffusers")
    try:
        return diffusers.DiffusionPipeline.from_pretrained(name, dtype=getattr(torch, dtype))
    except Exception as error:  # whatever its libraries raise
        message = f"cannot load the model {name!r}"
        if Path(name).exists():
            message += f": {error}"
        elif re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name):
            message += f", neither from a folder nor from the hub; get it with: hf download {name}"
        else:
            message += ": there is no such folder, and names on the hub are OWNER/NAME"
        raise OSError(message) from error


@contextmanager
def hushed(*, bars: bool) -> Iterator[None]:
    """Keep the libraries' remarks on loading, and their bars unless wanted, off the terminal."""
    with ExitStack() as stack:
        for library in ("diffusers", "transformers"):
            logging = optional(library).utils.logging
            stack.callback(logging.set_verbosity, logging.get_verbosity())
            logging.set_verbosity_error()
            if not bars and logging.is_progress_bar_enabled():
                logging.disable_progress_bar()
                stack.callback(logging.enable_progress_bar)
        yield
