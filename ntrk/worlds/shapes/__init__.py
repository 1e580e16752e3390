"""A world of coloured shapes: scenes, captions, a small FLUX that draws them, rewards for it."""

from . import rewards
from .drawing import draw
from .grammar import Demand, Group, read_caption, sample_scene
from .parsing import parse, satisfies
from .pipeline import CALL, load_pipeline
from .preference import preference
from .scene import COLORS, GROUNDS, SHAPES, SIDE, TEXTURES, Scene, Thing
from .tasks import tasks

__all__ = [
    "CALL",
    "COLORS",
    "GROUNDS",
    "SHAPES",
    "SIDE",
    "TEXTURES",
    "Demand",
    "Group",
    "Scene",
    "Thing",
    "draw",
    "load_pipeline",
    "parse",
    "preference",
    "read_caption",
    "rewards",
    "sample_scene",
    "satisfies",
    "tasks",
]
