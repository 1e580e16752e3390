"""Rewards: any function ``reward(images, prompts) -> (batch,)``, and sums of them."""

from .interface import Reward, as_reward
from .plain import PLAIN, brightness, contrast, redness
from .spec import parse_reward

__all__ = ["PLAIN", "Reward", "as_reward", "brightness", "contrast", "parse_reward", "redness"]
