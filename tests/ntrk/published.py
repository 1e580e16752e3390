"""Checkpoints of published rewards, small and random, in the real layout: files, keys, configs.

``build(name, hub)`` writes what a reward of the catalogue is loaded from into a folder of
repositories, ``hub / OWNER / NAME``.
"""

import published_blip
import published_clip
import published_hps
import published_vbench
import published_video

BUILDERS = {
    "aesthetic": published_clip.aesthetic,
    "clip_likeness": published_clip.clip_likeness,
    "hpsv2": published_hps.hpsv2,
    "hpsv2.1": published_hps.hpsv21,
    "imagereward": published_blip.imagereward,
    "pickscore": published_clip.pickscore,
    "vbench_aesthetic": published_vbench.vbench_aesthetic,
    "vbench_background": published_vbench.vbench_background,
    "vbench_imaging": published_vbench.vbench_imaging,
    "vbench_subject": published_vbench.vbench_subject,
    "videoreward": published_video.videoreward,
}


def build(name, hub):
    """Write the checkpoints of a reward."""
    BUILDERS[name](hub)
