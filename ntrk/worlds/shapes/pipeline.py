"""The small FLUX of the shapes world: how it is built, and how the trained one is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .grammar import vocabulary

__all__ = ["CALL", "WEIGHTS", "assemble", "load_pipeline", "text_parts", "transformer"]

WEIGHTS = Path(__file__).parent / "weights"

CALL: Mapping[str, Any] = MappingProxyType({"height": 64, "width": 64, "max_sequence_length": 16})
"""Arguments of a call: the size that the model draws, and the number of tokens that it reads."""

_TOKENS = int(CALL["max_sequence_length"])
_TEXT_WIDTH = 96


def load_pipeline(weights: Path = WEIGHTS, **kwargs: Any) -> Any:
    """Load the trained model, a `diffusers.FluxPipeline`.

    Parameters
    ----------
    weights
        Folder that has it in ``pipeline``; what ships with the package unless told.
    **kwargs
        Passed on to `from_pretrained`, such as ``dtype``; float32 unless told.

    Returns
    -------
    FluxPipeline
        To be called with a caption of the grammar and `CALL`. Latents are 16 x 16 x 16.

    Examples
    --------
    >>> pipe = load_pipeline()  # doctest: +SKIP
    >>> pipe("three red circles on white", **CALL).images[0]  # doctest: +SKIP
    """
    import diffusers
    import torch

    settings = {"dtype": torch.float32} | kwargs
    return diffusers.FluxPipeline.from_pretrained(weights / "pipeline", **settings)


def assemble(parts: Mapping[str, Any]) -> Any:
    """Return a pipeline of its trained parts; noise levels are evenly spaced."""
    import diffusers

    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=1.0)
    return diffusers.FluxPipeline(scheduler=scheduler, **parts)


# ------------------------------------------------------------------------- untrained parts


def transformer() -> Any:
    """Return an untrained transformer."""
    import diffusers

    return diffusers.FluxTransformer2DModel(
        in_channels=64,  # 16 channels, 2 x 2 cells a token
        num_layers=2,
        num_single_layers=4,
        attention_head_dim=32,
        num_attention_heads=4,
        joint_attention_dim=_TEXT_WIDTH,
        pooled_projection_dim=_TEXT_WIDTH,
        guidance_embeds=False,
        axes_dims_rope=(4, 14, 14),
    )


def text_parts() -> dict[str, Any]:
    """Return tokenizers, and untrained encoders, by the names that a pipeline has for them.

    Every word of the grammar is one token of both.
    """
    import transformers

    words = vocabulary()
    vocab, merges = _byte_pairs(words)
    clip = transformers.CLIPTextConfig(
        vocab_size=len(vocab),
        hidden_size=_TEXT_WIDTH,
        intermediate_size=4 * _TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=3,
        max_position_embeddings=_TOKENS + 1,
        projection_dim=_TEXT_WIDTH,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -10.0), *(("▁" + w, -1.0) for w in words)]
    t5 = transformers.T5Config(
        vocab_size=len(pieces),
        d_model=_TEXT_WIDTH,
        d_kv=32,
        d_ff=4 * _TEXT_WIDTH,
        num_layers=2,
        num_heads=3,
        relative_attention_num_buckets=16,
        relative_attention_max_distance=16,
        dropout_rate=0.0,
        feed_forward_proj="gated-gelu",
    )
    return {
        "tokenizer": transformers.CLIPTokenizer(
            vocab=vocab, merges=merges, model_max_length=_TOKENS + 1
        ),
        "text_encoder": transformers.CLIPTextModel(clip),
        "tokenizer_2": transformers.T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=512),
        "text_encoder_2": transformers.T5EncoderModel(t5),
    }


def _byte_pairs(words: list[str]) -> tuple[dict[str, int], list[Any]]:
    """Merge letters until every word is one token; the same tokens every time."""
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(x + "</w>" for x in letters)]
    merges: list[tuple[str, str]] = []
    for word in words:
        parts = [*word[:-1], word[-1] + "</w>"]
        for pair in merges:  # those of other words come first, as when it is read
            for k in reversed(range(len(parts) - 1)):
                if (parts[k], parts[k + 1]) == pair:
                    parts[k : k + 2] = ["".join(pair)]
        while len(parts) > 1:
            merges.append((parts[0], parts[1]))
            parts[:2] = ["".join(parts[:2])]
            tokens.append(parts[0])
    return {token: number for number, token in enumerate(tokens)}, merges
