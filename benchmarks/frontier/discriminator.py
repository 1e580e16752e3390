"""A small network that learns to tell what an operator makes of gradients from noise."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from .inputs import WORLD, fields

STEPS = 400
BATCH = 64  # of outputs, and of noise
VIEWS = 4  # of each gradient: signs and reflections
HELD_OUT = 0.25  # of the prompts
FIELDS = 180  # seeds of the fields of the training
DRAWN_ANEW = ("pink", "blocks", "sparse", "one channel repeated", "heavy tails", "modulated")


def views(gradients, seed=0):
    """Inputs of training and of the test, which come from other prompts: (..., *WORLD) arrays."""
    rng = np.random.default_rng(seed)
    prompts = gradients.shape[1]
    test = max(1, round(HELD_OUT * prompts))
    for part in (gradients[:, :-test], gradients[:, -test:]):
        flat = part.reshape(-1, *WORLD)
        seen = []
        for _ in range(VIEWS):
            axes = [axis for axis in (1, 2, 3) if rng.random() < 0.5]
            seen.append(np.flip(flat, axes) * rng.choice([-1.0, 1.0], (len(flat), 1, 1, 1)))
        yield np.concatenate(seen).astype(np.float32)


def fresh_fields():
    """Structured fields of the training and of the test, each drawn anew: (..., *WORLD) arrays."""
    for seeds in (range(1, FIELDS), range(FIELDS, FIELDS + FIELDS // 3)):
        drawn = (fields(WORLD, seed) for seed in seeds)
        yield np.stack([found[name] for found in drawn for name in DRAWN_ANEW])


class Network(nn.Module):
    """Convolutions over images of all channels, and over the grid; means of what they find."""

    def __init__(self, width=32):
        super().__init__()
        channels = WORLD[0]
        self.images = nn.Sequential(
            *_layer(nn.Conv2d, channels, width), *_layer(nn.Conv2d, width, width)
        )
        self.grid = nn.Sequential(*_layer(nn.Conv3d, 1, 16))
        self.head = nn.Sequential(nn.LazyLinear(128), nn.GELU(), nn.Dropout(0.2), nn.Linear(128, 1))

    def forward(self, x):
        """Return a logit for each array: positive is the operator's."""
        maps = self.images(x)
        pooled = nn.functional.adaptive_avg_pool2d(maps, 4).flatten(1)
        solid = self.grid(x[:, None]).flatten(2)
        parts = [pooled, maps.square().mean((2, 3)), solid.mean(2), solid.square().mean(2)]
        return self.head(torch.cat(parts, 1))[:, 0]


def _layer(kind, inputs, outputs):
    return kind(inputs, outputs, 3, padding=1, padding_mode="circular"), nn.GELU()


def accuracy(train, test, seed=0, device="cpu"):
    """Share of the test that is told from fresh noise, half of which is fresh noise."""
    torch.manual_seed(seed)
    generator = torch.Generator(device).manual_seed(seed)
    train, test = (torch.from_numpy(a).to(device) for a in (train, test))
    network = Network().to(device)
    network(train[:2])
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)

    def noise(count):
        return torch.randn((count, *WORLD), generator=generator, device=device)

    truth = torch.cat([torch.ones(BATCH), torch.zeros(BATCH)]).to(device)
    for _ in range(STEPS):
        chosen = torch.randint(len(train), (BATCH,), generator=generator, device=device)
        logits = network(torch.cat([train[chosen], noise(BATCH)]))
        loss = nn.functional.binary_cross_entropy_with_logits(logits, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()
    with torch.no_grad():
        right = [
            ((network(part) > 0) == found).float().mean().item()
            for part, found in ((test, True), (noise(len(test)), False))
        ]
    return sum(right) / 2
