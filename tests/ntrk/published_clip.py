"""CLIP, and the rewards on it, small and random, in the layout of the published checkpoints."""

import string

import torch
import transformers

WIDTH, SIDE = 16, 32


def save_clip(folder, seed=0):
    """Save a small CLIP in the layout of published ones."""
    torch.manual_seed(seed)
    tokens = ["<|startoftext|>", "<|endoftext|>", *string.ascii_lowercase]
    tokens += [letter + "</w>" for letter in string.ascii_lowercase]
    sizes = {"hidden_size": WIDTH, "intermediate_size": WIDTH, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 2}
    config = transformers.CLIPConfig(
        text_config={
            **sizes,
            "vocab_size": len(tokens),
            "bos_token_id": 0,
            "eos_token_id": 1,
            "pad_token_id": 1,
        },
        vision_config={**sizes, "image_size": SIDE, "patch_size": 8},
        projection_dim=WIDTH,
    )
    transformers.CLIPModel(config).save_pretrained(folder)
    transformers.CLIPTokenizer(
        vocab={token: n for n, token in enumerate(tokens)}, merges=[], model_max_length=77
    ).save_pretrained(folder)


def aesthetic(hub):
    """CLIP ViT-L/14 and the head."""
    save_clip(hub / "openai/clip-vit-large-patch14")
    head, width = {}, WIDTH
    for number, after in zip((0, 2, 4, 6, 7), (1024, 128, 64, 16, 1), strict=True):
        layer = torch.nn.Linear(width, after)
        head |= {f"layers.{number}.{name}": value for name, value in layer.state_dict().items()}
        width = after
    folder = hub / "trl-lib/ddpo-aesthetic-predictor"
    folder.mkdir(parents=True)
    torch.save(head, folder / "aesthetic-model.pth")


def clip_likeness(hub):
    """CLIP ViT-L/14 alone."""
    save_clip(hub / "openai/clip-vit-large-patch14")


def pickscore(hub):
    """CLIP ViT-H/14, and another repository for the tokenizer."""
    save_clip(hub / "yuvalkirstain/PickScore_v1", seed=1)
    save_clip(hub / "laion/CLIP-ViT-H-14-laion2B-s32B-b79K", seed=2)
