"""Tiny pipelines with random weights, in the layout of the real checkpoints.

``build(name, folder)`` writes one to a folder, ``load(name, folder)`` reads it back with the class
and the method that a user calls, and ``pipe(prompt, **CALL[name])`` makes a small picture from a
prompt string. Every class, component name, scheduler and latent scaling is that of the published
model; only the sizes are not, so nothing can be learnt here of quality, memory or speed.
"""

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from tokenizers.pre_tokenizers import ByteLevel

SEED = 0
WIDTH = 16  # of the text encoders and the transformers
CHANNELS = 4  # of an image's latent: 4 x 8 x 8 = 256 values for 32 x 32 pixels

# ---------------------------------------------------------- text: a tokenizer and its encoder each
# One token a character: no vocabulary has to be trained, and different prompts differ in tokens.
# CLIP reads 75 of them, the others as many as `max_sequence_length` allows. Two layers, since the
# pipelines read the last but one.

_TWO_LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 2}
_TWO_LAYERS |= {"hidden_size": WIDTH, "intermediate_size": WIDTH}


def _pair(suffix: str, tokenizer: Any, encoder: Any) -> dict[str, Any]:
    return {f"tokenizer{suffix}": tokenizer, f"text_encoder{suffix}": encoder}


def _clip(suffix: str = "", *, model: str = "CLIPTextModel") -> dict[str, Any]:
    bytes_ = sorted(ByteLevel.alphabet())
    tokens = ["<|startoftext|>", "<|endoftext|>", *bytes_, *(b + "</w>" for b in bytes_)]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokens),
        projection_dim=WIDTH,
        bos_token_id=0,
        eos_token_id=1,  # where the pooled embedding is read
        pad_token_id=1,
        **_TWO_LAYERS,
    )
    tokenizer = transformers.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)
    return _pair(suffix, tokenizer, getattr(transformers, model)(config))


def _t5(suffix: str = "", *, width: int = WIDTH, family: str = "T5") -> dict[str, Any]:
    pieces = ["▁", *string.ascii_letters, *string.digits, *string.punctuation]
    vocabulary = [(token, 0.0) for token in ("<pad>", "</s>", "<unk>")]
    vocabulary += [(piece, -1.0) for piece in pieces]
    sizes = {"d_model": width, "d_kv": 8, "d_ff": width, "num_layers": 1, "num_heads": 2}
    config = getattr(transformers, f"{family}Config")(vocab_size=len(vocabulary), **sizes)
    encoder = getattr(transformers, f"{family}EncoderModel")(config)
    tokenizer = transformers.T5TokenizerFast(vocab=vocabulary, extra_ids=0, model_max_length=512)
    return _pair(suffix, tokenizer, encoder)


def _qwen3() -> dict[str, Any]:
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(ByteLevel.alphabet())]
    tokenizer = transformers.Qwen2Tokenizer(
        vocab={token: i for i, token in enumerate(tokens)},
        merges=[],
        eos_token="<|im_end|>",
        extra_special_tokens=["<|im_start|>"],
        chat_template=(
            "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
            "<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
        ),
    )
    config = transformers.Qwen3Config(
        vocab_size=len(tokens),
        num_key_value_heads=1,
        head_dim=8,
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=0,
        **_TWO_LAYERS,
    )
    return _pair("", tokenizer, transformers.Qwen3Model(config))


# -------------------------------------------------------------------------------------- pipelines


def _vae(scaling_factor: float, shift_factor: float | None = None) -> Any:
    levels = 3  # 4 pixels a latent cell and side, where the real ones have 8
    return diffusers.AutoencoderKL(
        block_out_channels=(8,) * levels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        latent_channels=CHANNELS,
        norm_num_groups=4,
        scaling_factor=scaling_factor,
        shift_factor=shift_factor,
        # From SD3 on, the autoencoders shift, and have no convolutions around the latent.
        use_quant_conv=shift_factor is None,
        use_post_quant_conv=shift_factor is None,
    )


def _flux() -> dict[str, Any]:
    return {
        **_clip(),
        **_t5("_2"),
        "vae": _vae(0.3611, 0.1159),
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(shift=3, use_dynamic_shifting=True),
        "transformer": diffusers.FluxTransformer2DModel(
            in_channels=4 * CHANNELS,  # the latent is packed, 2 x 2 cells a token
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=WIDTH,
            pooled_projection_dim=WIDTH,
            guidance_embeds=True,  # as FLUX.1 [dev]
            axes_dims_rope=(4, 2, 2),  # must add up to attention_head_dim
        ),
    }


def _z_image() -> dict[str, Any]:
    return {
        **_qwen3(),
        "vae": _vae(0.3611, 0.1159),
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        "transformer": diffusers.ZImageTransformer2DModel(
            in_channels=CHANNELS,
            dim=WIDTH,
            n_layers=1,
            n_refiner_layers=1,
            n_heads=2,
            n_kv_heads=2,
            cap_feat_dim=WIDTH,
            axes_dims=[4, 2, 2],  # must add up to dim / n_heads
        ),
    }


def _wan() -> dict[str, Any]:
    return {
        **_t5(family="UMT5"),
        # 16 channels and 8 pixels a cell, so the real `latents_mean` and `latents_std` apply.
        "vae": diffusers.AutoencoderKLWan(base_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1),
        "scheduler": diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
        "transformer": diffusers.WanTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=8,
            text_dim=WIDTH,
            freq_dim=WIDTH,
            ffn_dim=WIDTH,
            num_layers=1,
        ),
        "transformer_2": None,
    }


def _sd3() -> dict[str, Any]:
    return {
        **_clip(model="CLIPTextModelWithProjection"),
        **_clip("_2", model="CLIPTextModelWithProjection"),
        **_t5("_3", width=2 * WIDTH),  # as wide as the two CLIP embeddings side by side
        "vae": _vae(1.5305, 0.0609),
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        "transformer": diffusers.SD3Transformer2DModel(
            sample_size=8,
            in_channels=CHANNELS,
            out_channels=CHANNELS,
            num_layers=2,  # the last block is unlike the others
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=2 * WIDTH,
            caption_projection_dim=WIDTH,
            pooled_projection_dim=2 * WIDTH,
            pos_embed_max_size=16,  # in patches: up to 128 pixels
        ),
    }


_BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
_BETAS |= {"steps_offset": 1}


def _unet(resolutions: tuple[str, str], **sizes: Any) -> Any:
    return diffusers.UNet2DConditionModel(
        sample_size=8,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=(WIDTH, WIDTH),
        down_block_types=tuple(f"{kind}DownBlock2D" for kind in resolutions),
        up_block_types=tuple(f"{kind}UpBlock2D" for kind in reversed(resolutions)),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=2,
        **sizes,
    )


def _sdxl() -> dict[str, Any]:
    return {
        **_clip(),
        **_clip("_2", model="CLIPTextModelWithProjection"),
        "vae": _vae(0.13025),
        "scheduler": diffusers.EulerDiscreteScheduler(timestep_spacing="leading", **_BETAS),
        "unet": _unet(
            ("", "CrossAttn"),  # attends to the text at the coarse resolution alone
            use_linear_projection=True,
            cross_attention_dim=2 * WIDTH,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + WIDTH,  # six lengths, the pooled text
        ),
    }


def _sd() -> dict[str, Any]:
    return {
        **_clip(),
        "vae": _vae(0.18215),
        "scheduler": diffusers.PNDMScheduler(skip_prk_steps=True, set_alpha_to_one=False, **_BETAS),
        "unet": _unet(("CrossAttn", ""), cross_attention_dim=WIDTH),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }


PIPELINES: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "flux": ("FluxPipeline", _flux),
    "z_image": ("ZImagePipeline", _z_image),
    "wan": ("WanPipeline", _wan),
    "sd3": ("StableDiffusion3Pipeline", _sd3),
    "sdxl": ("StableDiffusionXLPipeline", _sdxl),
    "sd": ("StableDiffusionPipeline", _sd),
}

# The call's arguments for a small picture. Without them the newer pipelines make large ones.
CALL: dict[str, dict[str, Any]] = {name: {"height": 32, "width": 32} for name in PIPELINES}
CALL["wan"]["num_frames"] = 5
for _name in ("flux", "z_image", "wan", "sd3"):
    CALL[_name]["max_sequence_length"] = 64


def _randomise(model: torch.nn.Module) -> None:
    """Make every layer keep the size of what passes through it.

    As they are created, the models barely react to the prompt: text encoders and embeddings start
    at 0.02, the padding tokens of Z-Image at zero.
    """
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)


def build(name: str, folder: str | Path) -> None:
    """Write the tiny pipeline `name` to `folder`, in float32; the same weights every time."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(SEED)
        pipeline, components = PIPELINES[name]
        pipe = getattr(diffusers, pipeline)(**components())
        for component in pipe.components.values():
            if isinstance(component, torch.nn.Module):
                _randomise(component)
        # Keep the pixels well inside [-1, 1]: one that is clipped has no gradient.
        pipe.vae.decoder.conv_out.weight *= 0.5
    pipe.save_pretrained(folder)


def load(name: str, folder: str | Path, **kwargs: Any) -> Any:
    """Read the pipeline from `folder`, as a user does; `kwargs` go to `from_pretrained`.

    With `dtype=torch.bfloat16`, the autoencoder of Wan still comes in float32: its documentation
    loads it apart from the rest for that.
    """
    if name == "wan" and "vae" not in kwargs:
        wan = diffusers.AutoencoderKLWan
        kwargs["vae"] = wan.from_pretrained(folder, subfolder="vae", dtype=torch.float32)
    pipe = getattr(diffusers, PIPELINES[name][0]).from_pretrained(folder, **kwargs)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def add_lora(pipe: Any) -> None:
    """Add a low-rank adapter to the attention of the denoiser, one that changes the picture."""
    from peft import LoraConfig

    denoiser = pipe.unet if hasattr(pipe, "unet") else pipe.transformer
    # The usual initialisation makes an adapter that does nothing; without it, a random one.
    layers = ["to_q", "to_k", "to_v"]
    config = LoraConfig(r=2, lora_alpha=2, target_modules=layers, init_lora_weights=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        denoiser.add_adapter(config)
