"""What is whitened: reward gradients of the shapes world, and structured fields of any shape."""

from __future__ import annotations

import math

import numpy as np
from tqdm import tqdm

from benchmarks.fields import photographs

TASKS = ("aesthetic", "text", "count", "relation")
SHOWN = (0, 8, 16, 22)  # levels of the sampler, of 25, whose gradients are in the table
WORLD = (16, 16, 16)


def gradients(prompts):
    """Gradients that NTRK meets with the first prompts of each task, (tasks, prompts, levels, ...).

    Validation prompts, the method at its default strength with the paper's operator.
    """
    import ntrk
    from ntrk.worlds import shapes

    pipe, tasks, found = shapes.load_pipeline(), shapes.tasks(), []
    operator = ntrk.whitening.whitening_operator("paper", WORLD)
    for name in tqdm(TASKS, desc="gradients"):
        for index, prompt in enumerate(tasks[name].validation[:prompts]):
            seen = []

            def keep(gradient, rng=None, seen=seen):
                seen.append(standardized(gradient.numpy()))
                return operator(gradient, rng=rng)

            ntrk.generate(
                pipe,
                prompt,
                reward=ntrk.rewards.Reward(tasks[name].target),
                method=ntrk.methods.NTRK(whitening=keep),
                seed=index,
                progress=False,
                **shapes.CALL,
            )
            found.append(np.stack(seen))
    return np.stack(found).reshape(len(TASKS), prompts, -1, *WORLD)


def shown(found):
    """Name the gradients of the table, those of each task's first prompt."""
    return {
        f"{task}, step {level + 1}": found[number, 0, level]
        for number, task in enumerate(TASKS)
        for level in SHOWN
    }


def fields(shape, seed=0):
    """Structured fields; the last two axes are images."""
    rng = np.random.default_rng(seed)
    *leading, height, width = shape
    images = math.prod(leading)
    y, x = np.mgrid[:height, :width]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency = np.maximum(frequency, 1 / height)

    def coloured(slope):
        white = np.fft.rfft2(rng.standard_normal((images, height, width)))
        return np.fft.irfft2(white / frequency**slope, s=(height, width))

    cells = rng.standard_normal((images, height // 8 + 1, width // 8 + 1))
    loud = np.exp(2 * np.sin(2 * np.pi * x / width))
    photo = np.stack(list(photographs().values()))
    corners = rng.integers(0, 256 - np.array([height, width]) + 1, (images, 2))
    cut = [photo[k % 2, t : t + height, v : v + width] for k, (t, v) in enumerate(corners)]
    phase = np.arange(images)[:, None, None]
    white = rng.standard_normal((images, height, width))
    found = {
        "photographs": np.stack(cut),
        "pink": coloured(1),
        "smooth": coloured(3),
        "blocks": np.kron(cells, np.ones((8, 8)))[:, :height, :width],
        "sparse": np.where(rng.random(white.shape) < 0.02, white, 0),
        "stripes": np.sin(2 * np.pi * (5 * x + 3 * y) / height + phase),
        "one channel repeated": np.broadcast_to(white[:1], white.shape),
        "heavy tails": rng.standard_t(1.5, white.shape),
        "modulated": white * loud,
        "pink in bfloat16": rounded(coloured(1)),
    }
    return {name: standardized(field.reshape(shape)) for name, field in found.items()}


def rounded(x):
    """Round to 8 bits of precision, as bfloat16 does."""
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.round(mantissa * 256) / 256, exponent)


def standardized(x):
    """Divide by the standard deviation, in float32; the mean stays."""
    return (x / x.std()).astype(np.float32)
