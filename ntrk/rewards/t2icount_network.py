"""T2ICount's network: one look of Stable Diffusion at an image, and a head that reads it.

Y. Qian et al., 2025, "T2ICount", arXiv 2502.20625, Section 3.2. The published weights have the
names of CompVis/stable-diffusion; here they are those of `diffusers`, whose modules do the work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..saving import optional
from .t2icount_decoder import Decoder

__all__ = ["Network", "rename", "sizes"]

_VAE, _UNET, _CLIP = "vae.encoder.", "unet.unet.diffusion_model.", "clip.transformer.text_model."
_LEVELS, _GROUPS = 4, 32

_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_INSIDE_VAE = {
    "nin_shortcut": "conv_shortcut",
    "norm": "group_norm",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "proj_out": "to_out.0",
}


class Network(nn.Module):
    """Images and tokens to the density of what the tokens name.

    Parameters
    ----------
    text
        Configuration of the text encoder.
    latent, unet
        Channels of the levels of the encoder of images, and of the denoising network.
    width
        Of the finest stage of the head.
    """

    def __init__(
        self, text: Any, latent: tuple[int, ...], unet: tuple[int, ...], width: int
    ) -> None:
        super().__init__()
        diffusers, vae = optional("diffusers"), optional("diffusers.models.autoencoders.vae")
        self.encoder = vae.Encoder(
            out_channels=4,
            down_block_types=("DownEncoderBlock2D",) * _LEVELS,
            block_out_channels=latent,
            norm_num_groups=min(_GROUPS, latent[0]),
        )
        self.quant_conv = nn.Conv2d(8, 8, 1)
        self.unet = diffusers.UNet2DConditionModel(
            block_out_channels=unet,
            norm_num_groups=min(_GROUPS, unet[0]),
            cross_attention_dim=text.hidden_size,
            attention_head_dim=8,
        )
        self.text = optional("transformers").CLIPTextModel(text)
        self.decoder = Decoder(unet, text.hidden_size, width)

    def forward(self, images: Tensor, tokens: Tensor, named: Tensor) -> Tensor:
        """Return the density, (batch, height / 8, width / 8).

        Parameters
        ----------
        images
            In [-1, 1].
        tokens, named
            Of each name, with the special ones; and which of them are of the name itself.
        """
        with torch.no_grad():
            words = self.text(tokens).last_hidden_state
            weights = named.to(words.dtype).unsqueeze(-1)
            name = (words * weights).sum(1) / weights.sum(1)
        # The mode of the latent; unlike in generation it is not scaled.
        latents = self.quant_conv(self.encoder(images))[:, :4]
        found: Tensor = self.decoder(self._features(latents, words), name)
        return found

    def _features(self, latents: Tensor, words: Tensor) -> list[Tensor]:
        """Return features of denoising at time 0, from fine to coarse, (batch, channels, ...)."""
        coarsest, coarse, fine, finest = self.unet.up_blocks
        # The second of the three layers of a level, and the last one of the finest.
        layers = finest.attentions[2], fine.attentions[1], coarse.attentions[1], coarsest.resnets[1]
        found: dict[nn.Module, Tensor] = {}

        def keep(layer: nn.Module, _: Any, output: Any) -> None:
            found[layer] = output[0] if isinstance(output, tuple) else output

        hooks = [layer.register_forward_hook(keep) for layer in layers]
        try:
            self.unet(latents, 0, words)
        finally:
            for hook in hooks:
                hook.remove()
        return [found[layer] for layer in layers]


def sizes(weights: Mapping[str, Tensor]) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Return the `latent`, `unet` and `width` of a `Network` for published weights.

    Raises
    ------
    ValueError
        If weights are missing that tell.
    """

    def rows(key: str) -> int:
        if key not in weights:
            raise ValueError(f"weights are not of the layout expected: missing: {key}")
        return len(weights[key])

    latent = tuple(rows(f"{_VAE}down.{n}.block.0.conv2.weight") for n in range(_LEVELS))
    unet = tuple(
        rows(f"{_UNET}input_blocks.{3 * n + 1}.0.out_layers.3.weight") for n in range(_LEVELS)
    )
    return latent, unet, rows("decoder.upsample3.conv2.0.weight")


def rename(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return published weights under the names that they have in `Network`."""
    found = {}
    for key, value in weights.items():
        # Of decoding latents, which has no part in this; and a count from 0 to 76.
        if key.startswith("vae.post_quant_conv.") or key == _CLIP + "embeddings.position_ids":
            continue
        if key.startswith(_VAE):
            name = "encoder." + _replace(key.removeprefix(_VAE), dict(_vae_blocks()), _INSIDE_VAE)
            # What `diffusers` has as linear layers are convolutions of one pixel here.
            found[name] = value.flatten(1) if ".attentions." in name and value.ndim > 1 else value
        elif key.startswith(_UNET):
            name = _replace(key.removeprefix(_UNET), dict(_unet_blocks()), _RESNET)
            found["unet." + name] = value
        else:
            found[key.replace("vae.", "", 1).replace(_CLIP, "text.")] = value
    return found


def _replace(key: str, blocks: Mapping[str, str], inside: Mapping[str, str]) -> str:
    """Replace the longest of the `blocks` that a key begins with, and what comes next."""
    parts = key.split(".")
    for end in range(len(parts), 0, -1):
        if (block := ".".join(parts[:end])) in blocks:
            rest = ".".join(parts[end:])
            for old, new in inside.items():
                if rest.startswith(old + "."):
                    rest = new + rest.removeprefix(old)
                    break
            return f"{blocks[block]}.{rest}"
    return key


def _vae_blocks() -> Iterator[tuple[str, str]]:
    for level in range(_LEVELS):
        yield f"down.{level}.downsample", f"down_blocks.{level}.downsamplers.0"
        for n in range(2):
            yield f"down.{level}.block.{n}", f"down_blocks.{level}.resnets.{n}"
    yield "mid.block_1", "mid_block.resnets.0"
    yield "mid.attn_1", "mid_block.attentions.0"
    yield "mid.block_2", "mid_block.resnets.1"
    yield "norm_out", "conv_norm_out"


def _unet_blocks() -> Iterator[tuple[str, str]]:
    yield "time_embed.0", "time_embedding.linear_1"
    yield "time_embed.2", "time_embedding.linear_2"
    yield "input_blocks.0.0", "conv_in"
    yield "middle_block.0", "mid_block.resnets.0"
    yield "middle_block.1", "mid_block.attentions.0"
    yield "middle_block.2", "mid_block.resnets.1"
    yield "out.0", "conv_norm_out"
    yield "out.2", "conv_out"
    for level in range(_LEVELS):
        # Two layers and what halves the size; then three layers, the last with what doubles it.
        yield f"input_blocks.{3 * level + 3}.0.op", f"down_blocks.{level}.downsamplers.0.conv"
        doubling = f"output_blocks.{3 * level + 2}.{2 if level else 1}.conv"
        yield doubling, f"up_blocks.{level}.upsamplers.0.conv"
        for n in range(2):
            yield f"input_blocks.{3 * level + n + 1}.0", f"down_blocks.{level}.resnets.{n}"
            yield f"input_blocks.{3 * level + n + 1}.1", f"down_blocks.{level}.attentions.{n}"
        for n in range(3):
            yield f"output_blocks.{3 * level + n}.0", f"up_blocks.{level}.resnets.{n}"
            yield f"output_blocks.{3 * level + n}.1", f"up_blocks.{level}.attentions.{n}"
