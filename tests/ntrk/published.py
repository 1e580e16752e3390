"""Checkpoints of published rewards, small and random, in the real layout: files, keys, configs.

``build(name, hub)`` writes what a reward of the catalogue is loaded from into a folder of
repositories, ``hub / OWNER / NAME``.
"""

import published_blip
import published_clip
import published_count
import published_countgd
import published_hps
import published_qwen
import published_vbench
import published_video
import published_vqa

BUILDERS = {
    "aesthetic": published_clip.aesthetic,
    "clip_likeness": published_clip.clip_likeness,
    "countgd": published_countgd.countgd,
    "hpsv2": published_hps.hpsv2,
    "hpsv2.1": published_hps.hpsv21,
    "imagereward": published_blip.imagereward,
    "pickscore": published_clip.pickscore,
    "t2icount": published_count.t2icount,
    "vbench_aesthetic": published_vbench.vbench_aesthetic,
    "vbench_background": published_vbench.vbench_background,
    "vbench_imaging": published_vbench.vbench_imaging,
    "vbench_subject": published_vbench.vbench_subject,
    "videoreward": published_video.videoreward,
    "vlm": published_qwen.vlm,
    "vqascore": published_vqa.vqascore,
}


def build(name, hub):
    """Write the checkpoints of a reward."""
    BUILDERS[name](hub)
