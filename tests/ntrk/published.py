"""Checkpoints of published rewards, small and random, in the real layout: files, keys, configs.

``build(name, hub)`` writes what a reward of the catalogue is loaded from into a folder of
repositories, ``hub / OWNER / NAME``.
"""

import published_clip

BUILDERS = {
    "aesthetic": published_clip.aesthetic,
    "pickscore": published_clip.pickscore,
}


def build(name, hub):
    """Write the checkpoints of a reward."""
    BUILDERS[name](hub)
