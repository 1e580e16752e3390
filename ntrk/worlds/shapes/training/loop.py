"""A training loop that can be stopped at any time and goes on where it was."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

__all__ = ["Average", "random_of", "train"]

_SAVE_EVERY = 60.0  # seconds
_READ_EVERY = 10  # steps; to read a loss is to wait for the device


def random_of(seed: int, step: int, device: Any = "cpu") -> torch.Generator:
    """Return the generator of a step of a run, whatever came before."""
    return torch.Generator(device).manual_seed(seed * 2**32 + step)


class Average:
    """Running average of a module's parameters, which draws better than the last ones."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: p.detach().clone() for name, p in module.state_dict().items()}
        self.count = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take the parameters of now in."""
        self.count += 1
        decay = min(self.decay, self.count / (self.count + 10))  # forgets the start soon
        state = module.state_dict()
        moving = [name for name, value in state.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [self.values[name] for name in moving], [state[name] for name in moving], 1 - decay
        )
        for name in state.keys() - set(moving):
            self.values[name].copy_(state[name])


def train(
    module: nn.Module,
    loss: Callable[[int], Tensor],
    *,
    steps: int,
    learning_rate: float,
    checkpoint: Path,
    title: str,
    decay: float = 0.999,
    warm_up: int = 100,
    is_layer: Callable[[str], bool] = lambda name: False,
) -> Average:
    """Train with a warm-up and a cosine to zero, in bfloat16 where that is safe.

    AdamW, and for the matrices of layers Muon (K. Jordan et al., 2024), which needs fewer steps.

    Parameters
    ----------
    module
        What is trained, in place.
    loss
        From the number of the step to the loss of its batch. It must draw random numbers from
        generators seeded by that number alone: so a run that was stopped gives what one would have
        given that was not.
    steps
        Batches in all.
    learning_rate
        The highest.
    checkpoint
        File for the state, written every minute.
    title
        For the progress bar.
    decay
        Of the average of the parameters.
    warm_up
        Steps over which the rate grows from zero.
    is_layer
        From the name of a parameter to whether it is of a layer, and gets Muon if it is a matrix.

    Returns
    -------
    Average
        Of the parameters.
    """
    optimizers = _optimizers(module, learning_rate, is_layer)
    average, first = Average(module, decay), 0
    device = next(module.parameters()).device.type
    if checkpoint.exists():
        state: dict[str, Any] = torch.load(checkpoint, map_location=device, weights_only=True)
        module.load_state_dict(state["module"])
        for optimizer, own in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(own)
        average.values, average.count, first = state["average"], state["count"], state["step"]
    saved, smooth = time.monotonic(), None
    with tqdm(range(first, steps), initial=first, total=steps, desc=title, mininterval=5) as bar:
        for step in bar:
            rate = learning_rate * min(1.0, (step + 1) / warm_up)
            for group in (group for optimizer in optimizers for group in optimizer.param_groups):
                group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
            with torch.autocast(device, torch.bfloat16):
                value = loss(step)
            module.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
            average.update(module)
            smooth = value.detach() if smooth is None else torch.lerp(smooth, value.detach(), 0.02)
            if step % _READ_EVERY == 0:
                bar.set_postfix(loss=f"{smooth.item():.4f}", refresh=False)
            if time.monotonic() - saved > _SAVE_EVERY or step == steps - 1:
                _save(checkpoint, module, optimizers, average, step + 1)
                saved = time.monotonic()
    return average


def _optimizers(module: nn.Module, rate: float, is_layer: Callable[[str], bool]) -> list[Any]:
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in module.named_parameters():
        matrix = parameter.ndim == 2 and is_layer(name)
        (matrices if matrix else others).append(parameter)
    adam = torch.optim.AdamW(others, rate, betas=(0.9, 0.99), weight_decay=0.01)
    if not matrices:
        return [adam]
    # Its steps are as large as AdamW's, so that one rate suits both.
    muon = torch.optim.Muon(matrices, rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    return [adam, muon]


def _save(
    path: Path, module: nn.Module, optimizers: list[Any], average: Average, step: int
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "module": module.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
    }
    state |= {"average": average.values, "count": average.count, "step": step}
    torch.save(state, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)  # whole, or not at all
