"""CLIP-FlanT5, small and random, in the layout of the published checkpoint."""

import json
import string

import torch
import transformers
from published_clip import WIDTH as SEEN
from published_clip import save_clip

WIDTH = 24
MODEL, EYES = "zhiqiulin/clip-flant5-xxl", "openai/clip-vit-large-patch14-336"
TOKENIZER = "google/flan-t5-small"


def vqascore(hub):
    """A T5 with a projection of images, the CLIP that sees them, and T5's tokenizer."""
    save_clip(hub / EYES)
    words = save_tokenizer(hub / TOKENIZER)
    folder = hub / MODEL
    folder.mkdir(parents=True)
    config = {
        "architectures": ["CLIPT5ForConditionalGeneration"],
        "model_type": "t5",
        "d_ff": 2 * WIDTH,
        "d_kv": 8,
        "d_model": WIDTH,
        "decoder_start_token_id": 0,
        "eos_token_id": 1,
        "feed_forward_proj": "gated-gelu",
        "is_encoder_decoder": True,
        "mm_hidden_size": SEEN,
        "mm_projector_type": "mlp2x_gelu",
        "mm_vision_select_feature": "patch",
        "mm_vision_select_layer": -2,
        "mm_vision_tower": EYES,
        "num_decoder_layers": 2,
        "num_heads": 4,
        "num_layers": 2,
        "pad_token_id": 0,
        "relative_attention_max_distance": 128,
        "relative_attention_num_buckets": 32,
        "tie_word_embeddings": False,
        "vocab_size": words + 28,  # as T5 has
    }
    (folder / "config.json").write_text(json.dumps(config))
    files, index = [{}, {}], {}
    for number, (name, value) in enumerate(save_weights(config, hub / EYES).items()):
        files[number % 2][name] = value.bfloat16()
        index[name] = f"pytorch_model-0000{1 + number % 2}-of-00002.bin"
    for number, weights in enumerate(files, 1):
        torch.save(weights, folder / f"pytorch_model-0000{number}-of-00002.bin")
    text = json.dumps({"metadata": {"total_size": 0}, "weight_map": index})
    (folder / "pytorch_model.bin.index.json").write_text(text)


def save_tokenizer(folder):
    """Save a tokenizer of letters and some words, with the tokens that T5 has besides."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(f"▁{word}", -3.0) for word in ("Yes", "yes", "no", "USER", "Does", "this", "a")]
    pieces += [(letter, -5.0) for letter in string.ascii_letters + string.punctuation]
    pieces += [(f"<extra_id_{number}>", 0.0) for number in range(99, -1, -1)]
    tokenizer = transformers.T5Tokenizer(vocab=pieces)
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def save_weights(config, eyes):
    """Names and shapes as in the published files: some are there more than once."""
    torch.manual_seed(3)
    width, inner = config["d_model"], config["d_kv"] * config["num_heads"]
    attention = {"q": (inner, width), "k": (inner, width), "v": (inner, width), "o": (width, inner)}
    dense = {
        "wi_0": (config["d_ff"], width),
        "wi_1": (config["d_ff"], width),
        "wo": (width, config["d_ff"]),
    }
    shapes = {}
    for part in ("encoder", "decoder"):
        kinds = ["SelfAttention", "DenseReluDense"]
        kinds[1:1] = ["EncDecAttention"] if part == "decoder" else []
        for block in range(2):
            for number, kind in enumerate(kinds):
                layer = f"{part}.block.{block}.layer.{number}"
                shapes[f"{layer}.layer_norm.weight"] = (width,)
                for name, shape in (dense if kind == "DenseReluDense" else attention).items():
                    shapes[f"{layer}.{kind}.{name}.weight"] = shape
        bias = f"{part}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        shapes[bias] = (config["relative_attention_num_buckets"], config["num_heads"])
        shapes[f"{part}.final_layer_norm.weight"] = (width,)
    shapes |= {
        "lm_head.weight": (config["vocab_size"], width),
        "mm_projector.0.weight": (width, SEEN),
        "mm_projector.0.bias": (width,),
        "mm_projector.2.weight": (width, width),
        "mm_projector.2.bias": (width,),
    }
    weights = {}
    for name, shape in shapes.items():
        weights[name] = torch.randn(shape) / (shape[-1] ** 0.5 if len(shape) > 1 else 5)
        if name.endswith("layer_norm.weight"):
            weights[name] += 1
        elif name.endswith("Attention.q.weight"):
            weights[name] /= config["d_kv"] ** 0.5  # T5 divides nowhere else
    words = torch.randn(config["vocab_size"], width)
    for name in ("shared", "encoder.embed_tokens", "decoder.embed_tokens", "embed_tokens"):
        weights[f"{name}.weight"] = words
    for name, value in transformers.CLIPModel.from_pretrained(eyes).state_dict().items():
        if name.startswith("vision_model."):
            weights[f"vision_tower.vision_tower.{name}"] = value
    return weights
