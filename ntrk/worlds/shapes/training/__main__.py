"""Train the shapes world: ``python -m ntrk.worlds.shapes.training`` (``make train-world``).

Autoencoder, transformer with text encoders, rewards, an adapter fine-tuned for one of them, then
measures and the model card. It can be stopped at any time, and goes on where it was. What it needs
in between stays in the cache.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch

from ..pipeline import WEIGHTS, assemble
from .adapter import train_adapter
from .autoencoder import encode, train_autoencoder
from .card import write_card
from .data import dataset
from .rewards import train_rewards
from .transformer import train_transformer


@dataclass(frozen=True)
class Budget:
    """How much is drawn and learnt; `batch` is the transformer's."""

    scenes: int
    autoencoder_steps: int
    transformer_steps: int
    batch: int


BUDGETS = {"cpu": Budget(60_000, 1_800, 7_000, 32), "cuda": Budget(200_000, 6_000, 20_000, 512)}


def train_pipeline(out: Path, cache: Path, seed: int, device: str) -> None:
    """Train the pipeline and save it in half precision."""
    budget = BUDGETS[device]
    images, captions = dataset(cache, budget.scenes, seed=2)
    vae = train_autoencoder(
        images,
        steps=budget.autoencoder_steps,
        seed=seed,
        checkpoint=cache / "autoencoder.pt",
        device=device,
    )
    latents = encode(vae, images).float()
    shift, spread = float(latents.mean()), float(latents.std())
    parts = train_transformer(
        ((latents - shift) / spread).half(),
        captions,
        steps=budget.transformer_steps,
        batch=budget.batch,
        seed=seed,
        checkpoint=cache / "transformer.pt",
    )
    vae.register_to_config(shift_factor=shift, scaling_factor=1 / spread)
    pipe = assemble(parts | {"vae": vae}).to("cpu", torch.float16)
    pipe.save_pretrained(out / "pipeline")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m ntrk.worlds.shapes.training", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("--out", type=Path, default=WEIGHTS, help="for the weights (default: the package)")
    add("--cache", type=Path, default=Path("world-cache"), help="(default: world-cache)")
    add("--seed", type=int, default=0, help="(default: 0)")
    add(
        "--device",
        choices=BUDGETS,
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="on 'cuda' the model sees far more scenes (default: 'cuda' where there is one)",
    )
    options = parser.parse_args()
    train_pipeline(options.out, options.cache, options.seed, options.device)
    train_rewards(options.out / "rewards", options.cache)
    train_adapter(options.out, options.cache, options.seed, options.device)
    write_card(options.out, options.cache)


if __name__ == "__main__":
    main()
