"""Where checkpoints are, and how they are read: all of their weights, or an error that says why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ..loading import hushed
from ..saving import optional

__all__ = ["Checkpoints", "fill"]

_loaded: WeakValueDictionary[tuple[Any, ...], nn.Module] = WeakValueDictionary()


@dataclass(frozen=True)
class Checkpoints:
    """Reads repositories of weights.

    Attributes
    ----------
    folder
        Holds each repository as ``OWNER/NAME``; None for the hub, or its cache when offline.
    dtype, device
        Of the modules.
    gradient_checkpointing
        Whether the layers of modules that `transformers` made keep their inputs alone, and compute
        the rest again when a gradient is taken.
    """

    folder: Path | None = None
    dtype: torch.dtype = torch.float32
    device: str | torch.device = "cpu"
    gradient_checkpointing: bool = False

    def place(self, module: nn.Module) -> Any:
        """Return a module with frozen weights, ready to be used, in the dtype and on the device."""
        module.to(self.device, self.dtype).eval().requires_grad_(False)
        if self.gradient_checkpointing:
            kind = optional("transformers.modeling_layers").GradientCheckpointingLayer
            for layer in module.modules():
                # Their own switch works in training alone.
                if isinstance(layer, kind):
                    layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
        return module

    def pretrained(self, kind: Any, name: str, *, ignore: str | None = None, **kwargs: Any) -> Any:
        """Return ``kind.from_pretrained`` of a repository.

        Models are placed, and shared between all who ask for the same one while any of them lives.

        Parameters
        ----------
        kind
            A class of `transformers`: of a model, a tokenizer or a configuration.
        name
            ``OWNER/NAME``.
        ignore
            Pattern of weights in the checkpoint that are of no use here.
        **kwargs
            For ``from_pretrained``.

        Raises
        ------
        OSError
            If it is not there; the message says how to get it.
        ValueError
            If weights are missing, left over, or of another shape.
        """
        is_model = isinstance(kind, type) and issubclass(kind, nn.Module)
        key = (kind, replace(self, folder=None), self._source(name), repr(kwargs))
        if is_model and key in _loaded:
            return _loaded[key]
        if is_model:
            kwargs = {"dtype": self.dtype, "output_loading_info": True, **kwargs}
        try:
            with hushed(bars=True):  # what does not fit is checked below
                found = kind.from_pretrained(self._source(name), **kwargs)
        except OSError as error:
            raise OSError(self._absent(name, None)) from error
        if not is_model:
            return found
        model, info = found
        left = [k for k in info["unexpected_keys"] if not (ignore and re.search(ignore, k))]
        _check(name, info["missing_keys"], left, [key for key, *_ in info["mismatched_keys"]])
        _loaded[key] = self.place(model)
        return model

    def file(self, name: str, path: str) -> Path:
        """Return a file of a repository; raises as `pretrained` does."""
        if self.folder is not None:
            if not (found := self.folder / name / path).exists():
                raise OSError(self._absent(name, path))
            return found
        try:
            return Path(optional("huggingface_hub").hf_hub_download(name, path))
        except Exception as error:  # offline, gated, gone: whatever the hub raises
            raise OSError(self._absent(name, path)) from error

    def weights(self, name: str, path: str) -> dict[str, Any]:
        """Return what is in a file of weights: safetensors, or pickled tensors and nothing else."""
        file = self.file(name, path)
        if file.suffix == ".safetensors":
            return dict(optional("safetensors.torch").load_file(file))
        return dict(torch.load(file, map_location="cpu", weights_only=True))

    def _source(self, name: str) -> str:
        return name if self.folder is None else str(self.folder / name)

    def _absent(self, name: str, path: str | None) -> str:
        what, command = name, f"hf download {name}"
        if path:
            what, command = f"{name}/{path}", f"{command} {path}"
        if self.folder is None:
            return f"cannot load {what} from the hub or its cache; get it with: {command}"
        place = self.folder / name
        return f"cannot load {what} from {self.folder}; get it with: {command} --local-dir {place}"


def fill(module: nn.Module, weights: Mapping[str, torch.Tensor], source: str) -> nn.Module:
    """Load weights into a module, all of them and nothing else; return it.

    Raises
    ------
    ValueError
        If keys are missing or left over, or shapes differ; the message names `source` and them.
    """
    own = module.state_dict()
    both = own.keys() & weights.keys()
    _check(
        source,
        own.keys() - weights.keys(),
        weights.keys() - own.keys(),
        [key for key in both if weights[key].shape != own[key].shape],
    )
    module.load_state_dict(dict(weights))
    return module


def _check(
    source: str, missing: Iterable[str], unknown: Iterable[str], other: Iterable[str]
) -> None:
    found = {"missing": missing, "unknown": unknown, "of another shape": other}
    wrong = {what: sorted(keys) for what, keys in found.items() if list(keys)}
    if wrong:
        text = "; ".join(f"{what}: {len(keys)}, {keys[:3]}" for what, keys in wrong.items())
        raise ValueError(f"the weights of {source} are not of the layout expected: {text}")
