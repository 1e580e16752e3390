"""VideoReward, small and random, in the layout of the published checkpoint."""

import json
import math

import tokenizers
import torch
import transformers

from ntrk.rewards.videoreward_prompt import TEMPLATE

NAMES = "endoftext im_start im_end object_ref_start object_ref_end box_start box_end quad_start"
NAMES += " quad_end vision_start vision_end vision_pad image_pad video_pad"
MARKS = [f"<|{name}|>" for name in NAMES.split(" ")]
WIDTH, RANK, ALPHA = 16, 4, 8
LAYERS = {
    "self_attn.q_proj": (WIDTH, WIDTH),
    "self_attn.k_proj": (WIDTH // 2, WIDTH),
    "self_attn.v_proj": (WIDTH // 2, WIDTH),
    "self_attn.o_proj": (WIDTH, WIDTH),
    "mlp.gate_proj": (2 * WIDTH, WIDTH),
    "mlp.up_proj": (2 * WIDTH, WIDTH),
    "mlp.down_proj": (WIDTH, 2 * WIDTH),
}


def videoreward(hub):
    """What was trained, with its low-rank updates apart, and what it is based on."""
    base = hub / "Qwen/Qwen2-VL-2B-Instruct"
    words = save_tokenizer(base)
    config = {
        "model_type": "qwen2_vl",
        "architectures": ["Qwen2VLForConditionalGeneration"],
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "max_position_embeddings": 32768,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "num_key_value_heads": 1,
        "rms_norm_eps": 1e-06,
        "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]},
        "rope_theta": 1000000.0,
        "tie_word_embeddings": True,
        "vocab_size": words + 50,  # more than there are words, as the published one has
        "bos_token_id": words - 14,
        "eos_token_id": words - 12,
        "vision_start_token_id": words - 5,
        "vision_end_token_id": words - 4,
        "image_token_id": words - 2,
        "video_token_id": words - 1,
        "vision_config": {
            "depth": 2,
            "embed_dim": WIDTH,
            "mlp_ratio": 2,
            "num_heads": 2,
            "in_chans": 3,
            "hidden_size": WIDTH,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "spatial_patch_size": 14,
            "temporal_patch_size": 2,
        },
    }
    (base / "config.json").write_text(json.dumps(config))
    trained = hub / "KlingTeam/VideoReward"
    (trained / "checkpoint-11352").mkdir(parents=True)
    torch.save(save_weights(words + 3), trained / "checkpoint-11352/model.pth")
    settings = {
        "data_config": {
            "max_frame_pixels": 200704,
            "num_frames": None,
            "fps": 2.0,
            "eval_dim": ["VQ", "MQ", "TA"],
            "prompt_template_type": "detailed_special",
            "sample_type": "uniform",
        },
        "model_config": {
            "model_name_or_path": "Qwen/Qwen2-VL-2B-Instruct",
            "output_dim": 1,
            "use_special_tokens": True,
            "reward_token": "special",
        },
        "peft_lora_config": {
            "lora_enable": True,
            "vision_lora": False,
            "lora_r": RANK,
            "lora_alpha": ALPHA,
            "lora_namespan_exclude": ["lm_head", "rm_head", "embed_tokens", "visual"],
            "use_rslora": False,
        },
        "inference_config": {
            "VQ_mean": 3.6757,
            "VQ_std": 2.2476,
            "MQ_mean": 1.1646,
            "MQ_std": 1.3811,
            "TA_mean": 2.8105,
            "TA_std": 2.5121,
        },
    }
    (trained / "model_config.json").write_text(json.dumps(settings))


def save_tokenizer(folder):
    """Save a tokenizer of a few hundred words, learnt from the question; return their number."""
    learner = tokenizers.Tokenizer(tokenizers.models.BPE())
    learner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    learner.train_from_iterator(
        [TEMPLATE],
        tokenizers.trainers.BpeTrainer(
            vocab_size=700, initial_alphabet=alphabet, show_progress=False
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


def save_weights(words):
    """Names and shapes as in the published file, all of it in bfloat16."""
    torch.manual_seed(0)
    vision, text = "base_model.model.visual", "base_model.model.model"
    shapes = {
        f"{vision}.patch_embed.proj.weight": (WIDTH, 3, 2, 14, 14),
        f"{vision}.merger.ln_q": WIDTH,
        f"{vision}.merger.mlp.0": (4 * WIDTH, 4 * WIDTH),
        f"{vision}.merger.mlp.2": (WIDTH, 4 * WIDTH),
    }
    for number in range(2):
        block = f"{vision}.blocks.{number}"
        shapes |= {f"{block}.norm1": WIDTH, f"{block}.norm2": WIDTH}
        shapes |= {f"{block}.attn.qkv": (3 * WIDTH, WIDTH), f"{block}.attn.proj": (WIDTH, WIDTH)}
        shapes |= {f"{block}.mlp.fc1": (2 * WIDTH, WIDTH), f"{block}.mlp.fc2": (WIDTH, 2 * WIDTH)}
        layer = f"{text}.layers.{number}"
        for name, (after, before) in LAYERS.items():
            shapes[f"{layer}.{name}.lora_A.default.weight"] = (RANK, before)
            shapes[f"{layer}.{name}.lora_B.default.weight"] = (after, RANK)
            biased = name[-6:] in ("q_proj", "k_proj", "v_proj")
            key = f"{layer}.{name}.base_layer"
            shapes[key if biased else f"{key}.weight"] = (after, before)
        for name in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"{layer}.{name}.weight"] = (WIDTH,)
    shapes |= {f"{text}.embed_tokens.weight": (words, WIDTH), f"{text}.norm.weight": (WIDTH,)}
    shapes["base_model.model.lm_head.weight"] = (words, WIDTH)
    shapes["base_model.model.rm_head.weight"] = (1, WIDTH)
    weights = {}
    for name, shape in shapes.items():
        if isinstance(shape, int):
            weights[f"{name}.weight"] = 1 + torch.randn(shape) / 5
            weights[f"{name}.bias"] = torch.randn(shape) / 5
        elif not name.endswith(".weight"):
            weights[f"{name}.weight"] = torch.randn(shape) / shape[1] ** 0.5
            weights[f"{name}.bias"] = torch.randn(shape[0]) / 5
        elif len(shape) == 1:
            weights[name] = 1 + torch.randn(shape) / 5
        else:
            wide = 1 if "embed_tokens" in name or "rm_head" in name else math.prod(shape[1:]) ** 0.5
            weights[name] = torch.randn(shape) / wide
    for name in weights:
        if name.endswith(("q_proj.base_layer.weight", "k_proj.base_layer.weight")):
            weights[name] /= 3  # attention that is as mild as after training
    return {name: value.bfloat16() for name, value in weights.items()}
