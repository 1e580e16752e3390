"""HPSv2 and HPSv2.1, small and random, in the layout of the published checkpoints: open_clip's."""

import math
import string

import torch
import transformers

SIDE, PATCH, LENGTH = 32, 8, 77
LETTERS = [*string.ascii_lowercase, *(letter + "</w>" for letter in string.ascii_lowercase)]
TOKENS = [*LETTERS, "<|startoftext|>", "<|endoftext|>"]  # these two last, as in CLIP's vocabulary


def hpsv2(hub):
    """A file of half-precision weights, and another repository for the tokenizer."""
    _save(hub, "HPS_v2_compressed.pt", seed=0)


def hpsv21(hub):
    """The same, of another file."""
    _save(hub, "HPS_v2.1_compressed.pt", seed=1)


def _save(hub, file, seed):
    folder = hub / "xswu/HPSv2"
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    weights = {key: _random(key, shape).half() for key, shape in _shapes().items()}
    torch.save({"state_dict": weights}, folder / file)
    transformers.CLIPTokenizer(
        vocab={token: n for n, token in enumerate(TOKENS)}, merges=[], model_max_length=LENGTH
    ).save_pretrained(hub / "openai/clip-vit-large-patch14")


def _shapes(vision=48, text=32, joint=24):
    shapes = {
        "logit_scale": (),
        "text_projection": (text, joint),
        "positional_embedding": (LENGTH, text),
        "token_embedding.weight": (len(TOKENS), text),
        "visual.class_embedding": (vision,),
        "visual.conv1.weight": (vision, 3, PATCH, PATCH),
        "visual.positional_embedding": ((SIDE // PATCH) ** 2 + 1, vision),
        "visual.proj": (vision, joint),
    }
    norms = {"visual.ln_pre": vision, "visual.ln_post": vision, "ln_final": text}
    for prefix, width, depth in (("", text, 2), ("visual.", vision, 3)):
        for number in range(depth):
            block = f"{prefix}transformer.resblocks.{number}"
            norms |= {f"{block}.ln_{n}": width for n in (1, 2)}
            shapes[f"{block}.attn.in_proj_weight"] = (3 * width, width)
            shapes[f"{block}.attn.in_proj_bias"] = (3 * width,)
            sizes = {"attn.out_proj": (width, width)}
            sizes |= {"mlp.c_fc": (4 * width, width), "mlp.c_proj": (width, 4 * width)}
            for name, size in sizes.items():
                shapes[f"{block}.{name}.weight"] = size
                shapes[f"{block}.{name}.bias"] = size[:1]
    for name, width in norms.items():
        shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    return shapes


def _random(key, shape):
    """Values so large that nothing of the model is without a part in the score."""
    if "ln_" in key:
        return torch.randn(shape) / 5 + key.endswith(".weight")
    return torch.randn(shape) * (0.5 if len(shape) < 2 else math.prod(shape[1:]) ** -0.5)
