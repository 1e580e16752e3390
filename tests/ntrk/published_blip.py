"""ImageReward, small and random, in the layout of the published checkpoint: BLIP's."""

import json
import math
import string

import torch
import transformers

SIDE, PATCH = 32, 8
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase]
TOKENS += [f"##{letter}" for letter in string.ascii_lowercase]
CONFIG = {
    "architectures": ["BertModel"],
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 24,
    "initializer_range": 0.02,
    "intermediate_size": 40,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 64,
    "model_type": "bert",
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": len(TOKENS) + 2,
    "encoder_width": 24,  # which published code puts the image encoder's in the place of
    "add_cross_attention": True,
}


def imagereward(hub):
    """The weights, the configuration of the text encoder, and BERT's tokenizer."""
    folder = hub / "zai-org/ImageReward"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    weights = {key: _random(key, shape) for key, shape in _shapes().items()}
    places = torch.arange(CONFIG["max_position_embeddings"])[None]
    weights["blip.text_encoder.embeddings.position_ids"] = places
    torch.save(weights, folder / "ImageReward.pt")
    (folder / "med_config.json").write_text(json.dumps(CONFIG))
    transformers.BertTokenizer(
        vocab={token: n for n, token in enumerate(TOKENS)}, model_max_length=512
    ).save_pretrained(hub / "google-bert/bert-base-uncased")


def _shapes(vision=32):
    text, hidden = CONFIG["hidden_size"], CONFIG["intermediate_size"]
    encoder = "blip.visual_encoder"
    shapes = {
        f"{encoder}.cls_token": (1, 1, vision),
        f"{encoder}.pos_embed": (1, (SIDE // PATCH) ** 2 + 1, vision),
    }
    layers = {f"{encoder}.patch_embed.proj": (vision, 3, PATCH, PATCH)}
    layers |= {"blip.vision_proj": (16, vision), "blip.text_proj": (16, text)}
    norms = {f"{encoder}.norm": vision}
    for number in range(3):
        block = f"{encoder}.blocks.{number}"
        norms |= {f"{block}.norm{n}": vision for n in (1, 2)}
        layers |= {
            f"{block}.attn.qkv": (3 * vision, vision),
            f"{block}.attn.proj": (vision, vision),
        }
        layers |= {
            f"{block}.mlp.fc1": (4 * vision, vision),
            f"{block}.mlp.fc2": (vision, 4 * vision),
        }
    encoder = "blip.text_encoder"
    shapes[f"{encoder}.embeddings.word_embeddings.weight"] = (CONFIG["vocab_size"], text)
    shapes[f"{encoder}.embeddings.position_embeddings.weight"] = (
        CONFIG["max_position_embeddings"],
        text,
    )
    norms[f"{encoder}.embeddings.LayerNorm"] = text
    for number in range(CONFIG["num_hidden_layers"]):
        block = f"{encoder}.encoder.layer.{number}"
        for name, width in (("attention", text), ("crossattention", vision)):
            layers[f"{block}.{name}.self.query"] = (text, text)
            layers |= {f"{block}.{name}.self.{part}": (text, width) for part in ("key", "value")}
            layers[f"{block}.{name}.output.dense"] = (text, text)
            norms[f"{block}.{name}.output.LayerNorm"] = text
        layers[f"{block}.intermediate.dense"] = (hidden, text)
        layers[f"{block}.output.dense"] = (text, hidden)
        norms[f"{block}.output.LayerNorm"] = text
    before = text
    for number, after in zip((0, 2, 4, 6, 7), (1024, 128, 64, 16, 1), strict=True):
        layers[f"mlp.layers.{number}"] = (after, before)
        before = after
    for name, size in {**layers, **{name: (width,) for name, width in norms.items()}}.items():
        shapes |= {f"{name}.weight": size, f"{name}.bias": size[:1]}
    return shapes


def _random(key, shape):
    """Values so large that nothing of the model is without a part in the score."""
    if "norm" in key.lower():
        return torch.randn(shape) / 5 + key.endswith(".weight")
    return torch.randn(shape) * (0.5 if len(shape) < 2 else math.prod(shape[1:]) ** -0.5)
