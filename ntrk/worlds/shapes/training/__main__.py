"""Train the shapes world: ``python -m ntrk.worlds.shapes.training`` (``make train-world``).

Autoencoder, transformer with text encoders, rewards, then measures and the model card. It can be
stopped at any time, and goes on where it was. What it needs in between stays in the cache.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from ..pipeline import WEIGHTS, assemble
from .autoencoder import encode, train_autoencoder
from .card import write_card
from .data import dataset
from .rewards import train_rewards
from .transformer import train_transformer

SCENES = 60_000
AUTOENCODER_STEPS, TRANSFORMER_STEPS = 1_800, 7_000


def train_pipeline(out: Path, cache: Path, seed: int) -> None:
    """Train the pipeline and save it in half precision."""
    images, captions = dataset(cache, SCENES, seed=2)
    vae = train_autoencoder(
        images, steps=AUTOENCODER_STEPS, seed=seed, checkpoint=cache / "autoencoder.pt"
    )
    latents = encode(vae, images).float()
    shift, spread = float(latents.mean()), float(latents.std())
    parts = train_transformer(
        ((latents - shift) / spread).half(),
        captions,
        steps=TRANSFORMER_STEPS,
        seed=seed,
        checkpoint=cache / "transformer.pt",
    )
    vae.register_to_config(shift_factor=shift, scaling_factor=1 / spread)
    assemble(parts | {"vae": vae}).to(torch.float16).save_pretrained(out / "pipeline")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m ntrk.worlds.shapes.training", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("--out", type=Path, default=WEIGHTS, help="for the weights (default: the package)")
    add("--cache", type=Path, default=Path("world-cache"), help="(default: world-cache)")
    add("--seed", type=int, default=0, help="(default: 0)")
    options = parser.parse_args()
    train_pipeline(options.out, options.cache, options.seed)
    train_rewards(options.out / "rewards", options.cache)
    write_card(options.out, options.cache)


if __name__ == "__main__":
    main()
