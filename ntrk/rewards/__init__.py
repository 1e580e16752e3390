"""Rewards: any function ``reward(images, prompts) -> (batch,)``, sums of them, published ones."""

from .cached import Cached
from .catalogue import CATALOGUE, load
from .interface import Reward, as_reward
from .inverse import Measured, blurred, masked, shrunk
from .jpeg import compressibility
from .likeness import SameEdges
from .plain import PLAIN, brightness, contrast, redness, sharpness
from .spec import parse_reward

__all__ = [
    "CATALOGUE",
    "PLAIN",
    "Cached",
    "Measured",
    "Reward",
    "SameEdges",
    "as_reward",
    "blurred",
    "brightness",
    "compressibility",
    "contrast",
    "load",
    "masked",
    "parse_reward",
    "redness",
    "sharpness",
    "shrunk",
]
