"""Run by `torchrun`: every case in all processes together, then in the first one alone.

``torchrun ... two_processes.py OUT FLUX`` writes to OUT, for each case, what the first process got
in company and alone, and whether all processes got the same.
"""

import sys

import diffusers
import tiny
import torch
import torch.distributed as dist
import transformers
from accelerate import PartialState

import ntrk
from ntrk.methods import DAS, NTRK, BestOfN, FKSteering, PsiSampler
from ntrk.worlds import GaussianMixture

POPULATIONS = {
    # Cold enough that some are resampled, some not.
    "das": DAS(temperature=0.05),
    "psi": PsiSampler(temperature=0.05, initial_steps=3),
    "fks": FKSteering(temperature=0.05, resamplings=3),
    "best_of_n": BestOfN(),
    "ntrk_best_of_n": BestOfN(NTRK(strength=0.4)),
    "ntrk": NTRK(strength=0.4),
}
WORLD = GaussianMixture([0.4, 0.6], torch.tensor([[-1.0], [1.0]]).expand(2, 64), [0.5, 0.2])


def mean(x, prompts):
    return x.flatten(1).mean(1)


def positive_part(x, prompts):
    """Has no gradient in one of the two modes."""
    return mean(x, prompts).clamp(min=0)


def flow(method, particles, seed=3, reward=mean):
    return ntrk.sample(
        lambda x, t: WORLD.velocity(x, t),
        (8, 8),
        reward=reward,
        held_out={"spread": lambda x, prompts: x.flatten(1).std(1)},
        method=method,
        particles=particles,
        steps=6,
        seed=seed,
        batch_size=1,
    )


def flux(pipe, method, particles):
    return ntrk.generate(
        pipe,
        "a fox",
        reward=200 * ntrk.rewards.as_reward(ntrk.rewards.brightness),  # as they differ by little
        held_out={"contrast": ntrk.rewards.contrast},
        method=method,
        particles=particles,
        steps=3,
        seed=5,
        check_noise=False,
        progress=False,
        **tiny.CALL["flux"],
    )


def results(pipe):
    """Run all cases: as many particles as processes, and a number that is no multiple of theirs."""
    found = {}
    for name, method in POPULATIONS.items():
        for particles in (2, 5):
            found[f"flow, {name}, {particles}"] = flow(method, particles)
        found[f"flux, {name}, 3"] = flux(pipe, method, 3)
    found["generator"] = flow("das", 3, seed=torch.Generator().manual_seed(1))
    found["fallbacks"] = flow("ntrk", 5, reward=positive_part)
    return {name: vars(result) for name, result in found.items()}


def refusal():
    """Return what is said to fewer particles than processes."""
    try:
        flow("base", dist.get_world_size() - 1)
    except ValueError as error:
        return str(error)


def main(out, folder):
    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
        library.utils.logging.set_verbosity_error()
    pipe = tiny.load("flux", folder)
    PartialState(cpu=True)  # a group as `accelerate` makes it
    everywhere = [None] * dist.get_world_size()
    dist.all_gather_object(everywhere, {**results(pipe), "refusal": refusal()})
    first = dist.get_rank() == 0
    dist.destroy_process_group()
    if first:
        torch.save({"everywhere": everywhere, "alone": results(pipe)}, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
