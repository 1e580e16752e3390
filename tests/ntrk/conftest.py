"""Tiny pipelines: built, saved and loaded once a session; every test gets a copy of its own."""

import copy
import functools

import diffusers
import published
import pytest
import tiny
import transformers

# A first-order solver for each: what ships with SD 1 and Wan is a multistep one.
FIRST_ORDER = {
    "wan": lambda config: diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
    "sd": lambda config: diffusers.DDIMScheduler.from_config(config, clip_sample=False),
}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """``checkpoint(name)``: a folder as a published model has it."""
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()

    @functools.cache
    def folder(name):
        path = tmp_path_factory.mktemp(name)
        tiny.build(name, path)
        return path

    return folder


@pytest.fixture(scope="session")
def loaded(checkpoint):
    return functools.cache(lambda name, **kwargs: tiny.load(name, checkpoint(name), **kwargs))


@pytest.fixture
def load(loaded):
    """``load(name)`` with a first-order scheduler, ``load(name, scheduler_class, **settings)``."""

    def fresh(name, scheduler=None, dtype=None, **settings):
        pipe = copy.deepcopy(loaded(name, **({"dtype": dtype} if dtype else {})))
        if scheduler is not None:
            pipe.scheduler = scheduler.from_config(pipe.scheduler.config, **settings)
        elif name in FIRST_ORDER:
            pipe.scheduler = FIRST_ORDER[name](pipe.scheduler.config)
        return pipe

    return fresh


@pytest.fixture(scope="session")
def hub(tmp_path_factory):
    """``hub(name)``: a folder of repositories with what a published reward is loaded from."""

    @functools.cache
    def folder(name):
        path = tmp_path_factory.mktemp(name.replace(".", "-"))
        published.build(name, path)
        return path

    return folder
