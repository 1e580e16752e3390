"""Qwen2.5-VL, small and random, in the layout of the published checkpoint."""

import json

import safetensors.torch
import tokenizers
import torch
import transformers

NAMES = "endoftext im_start im_end object_ref_start object_ref_end box_start box_end quad_start"
NAMES += " quad_end vision_start vision_end vision_pad image_pad video_pad"
MARKS = [f"<|{name}|>" for name in NAMES.split(" ")]
WORDS = "Yes\nNo\nYes\nNo\nDoes this figure show it? Answer with Yes or No. You are a helpful user"
WIDTH = 16


def vlm(hub):
    """The model and its tokenizer."""
    folder = hub / "Qwen/Qwen2.5-VL-7B-Instruct"
    words = save_tokenizer(folder)
    config = {
        "model_type": "qwen2_5_vl",
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "hidden_act": "silu",
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "max_position_embeddings": 128000,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "num_key_value_heads": 1,
        "rms_norm_eps": 1e-06,
        "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]},
        "rope_theta": 1000000.0,
        "tie_word_embeddings": False,
        "use_sliding_window": False,
        "vocab_size": words + 50,  # more than there are words, as the published one has
        "bos_token_id": words - 14,
        "eos_token_id": words - 12,
        "vision_start_token_id": words - 5,
        "vision_end_token_id": words - 4,
        "vision_token_id": words - 3,
        "image_token_id": words - 2,
        "video_token_id": words - 1,
        "vision_config": {
            "model_type": "qwen2_5_vl",
            "depth": 2,
            "fullatt_block_indexes": [1],
            "hidden_act": "silu",
            "hidden_size": WIDTH,
            "in_chans": 3,
            "intermediate_size": 2 * WIDTH,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "spatial_patch_size": 14,
            "temporal_patch_size": 2,
            "tokens_per_second": 2,
            "window_size": 112,
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    model = transformers.Qwen2_5_VLForConditionalGeneration(
        transformers.AutoConfig.from_pretrained(folder)
    )
    weights = {}
    for key, value in model.state_dict().items():
        # Names of older `transformers`, which the published files have.
        name = key.replace("model.language_model.", "model.").replace("model.visual.", "visual.")
        wide = value[0].numel() ** 0.5 if value.ndim > 1 and "embed_tokens" not in name else 1
        weights[name] = torch.randn(value.shape) / wide
        if "norm" in name or ".ln_q." in name:
            weights[name] = 1 + weights[name] / 5
        elif name.endswith(".bias"):
            weights[name] /= 5
    safetensors.torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})


def save_tokenizer(folder):
    """Save a tokenizer of a few hundred words, "Yes" among them; return their number."""
    learner = tokenizers.Tokenizer(tokenizers.models.BPE())
    learner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    learner.train_from_iterator(
        [WORDS],
        tokenizers.trainers.BpeTrainer(
            vocab_size=300, initial_alphabet=alphabet, show_progress=False
        ),
    )
    model = json.loads(learner.to_str())["model"]
    tokenizer = transformers.Qwen2Tokenizer(
        vocab=model["vocab"],
        merges=[tuple(pair) for pair in model["merges"]],
        padding_side="left",
    )
    tokenizer.add_tokens(MARKS, special_tokens=True)
    tokenizer.save_pretrained(folder)
    return len(tokenizer)
