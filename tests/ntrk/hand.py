"""A world in which one step can be computed by hand, with noise that is written down.

The velocity is x / 2, so that at t = 0.8 the Tweedie estimate is 0.6 x and the noise 1.1 x, and at
s = 0.5 the estimate is 0.75 x. The diffusion coefficient is the constant for which the step from
0.8 to 0.5 keeps sqrt(0.36) of the noise: mean 0.5 * 0.6 x + 0.3 * 1.1 x = 0.63 x, std 0.4. The last
step goes to the estimate. So a result is 0.75 of the state at 0.5.
"""

import math

import numpy as np
import torch

from ntrk.methods import as_method
from ntrk.path import flow
from ntrk.plan import make_plan
from ntrk.sampler import Schedule, drive

COEFFICIENT = math.sqrt(math.log(1 / 0.36) / (1 / 0.5 - 1 / 0.8))
ESTIMATE, MEAN, STD, LAST = 0.6, 0.63, 0.4, 0.75


class ScriptedNoise:
    """Noise from a list, one entry a draw."""

    def __init__(self, normals, uniforms=(), particles=1):
        self.normals, self.uniforms = list(normals), list(uniforms)
        self.ties = [np.random.default_rng(i) for i in range(particles)]

    def normal(self, like, only=None):
        value = torch.as_tensor(self.normals.pop(0), dtype=torch.float64)
        return value.expand(like.shape).clone()

    def uniform(self):
        return torch.tensor([self.uniforms.pop(0)] * len(self.ties), dtype=torch.float64)


def play(method, reward, normals, *, times=(0.8, 0.5, 0.0), uniforms=(), particles=1, width=2):
    """Run a method on the world of this file; return the result and the run."""
    plan = make_plan(
        reward,
        as_method(method),
        strength=None,
        diffusion=COEFFICIENT,
        form="bridge",
        reward_every=1,
        detach_model=False,
        on_bad_gradient="fresh_noise",
        check_noise=False,
    )
    run = plan.run(
        schedule=Schedule(tuple(flow(t) for t in times), "velocity"),
        noise=ScriptedNoise(normals, uniforms, particles),
        decode=lambda data: data,
        prompts=[""] * particles,
        like=torch.zeros(particles, width, dtype=torch.float64),
        batch_size=particles * plan.method.candidates,
    )
    return drive(plan.method.sample(run), lambda x, level: x / 2), run
