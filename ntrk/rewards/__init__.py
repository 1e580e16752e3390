"""Rewards: any function ``reward(images, prompts) -> (batch,)``, sums of them, published ones."""

from .catalogue import CATALOGUE, load
from .interface import Reward, as_reward
from .plain import PLAIN, brightness, contrast, redness
from .spec import parse_reward

__all__ = [
    "CATALOGUE",
    "PLAIN",
    "Reward",
    "as_reward",
    "brightness",
    "contrast",
    "load",
    "parse_reward",
    "redness",
]
