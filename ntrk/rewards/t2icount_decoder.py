"""T2ICount's head: features of a diffusion model, and a name, to a map of the density of objects.

Y. Qian et al., 2025, "T2ICount", arXiv 2502.20625, Section 3.3 (hierarchical semantic correction);
the layers, and the names of their weights, are those of the repository cha15yq/T2ICount.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Decoder"]

_HEADS, _HIDDEN = 8, 128


class Decoder(nn.Module):
    """From coarse to fine features, each stage told by the one before where the name applies.

    Parameters
    ----------
    channels
        Of the features, from fine to coarse; each is half as high and wide as the one before.
    text
        Width of the embedding of the name.
    width
        Of the finest stage.
    """

    def __init__(self, channels: Sequence[int], text: int, width: int) -> None:
        super().__init__()
        finest, fine, coarse, coarsest = channels
        half, quarter = coarsest // 2, coarsest // 4
        self.upsample1 = _Stage(coarsest, coarse, half, text)
        self.upsample2 = _Stage(half, fine, quarter, text)
        self.upsample3 = _Stage(quarter, finest, width)
        self.regressor = _Regressor(width)

    def forward(self, features: Sequence[Tensor], name: Tensor) -> Tensor:
        """Return the density of `name`, (batch, text), in the size of the finest features."""
        finest, fine, coarse, coarsest = features
        x, words = self.upsample1(coarsest, coarse, name)
        similar = _similarity(_double(_double(x)), words)
        similar = functional.interpolate(similar, fine.shape[-2:], mode="bilinear")
        x, words = self.upsample2(x, fine, name, similar)
        x, _ = self.upsample3(x, finest, None, _similarity(_double(x), words))
        found: Tensor = self.regressor(x).squeeze(1)
        return found


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear")


def _similarity(x: Tensor, words: Tensor) -> Tensor:
    """Return the cosine of each place, (batch, 1, height, width), with the words."""
    return functional.cosine_similarity(x, words[..., None, None], dim=1).unsqueeze(1)


def _convolution(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.ReLU())


def _positions(width: int) -> nn.Conv2d:
    """Return what stands for positional encodings: a convolution of each channel by itself."""
    return nn.Conv2d(width, width, 3, padding=1, groups=width)


def _flat(x: Tensor) -> Tensor:
    """Return (batch, width, height, width) as (batch, places, width)."""
    return x.flatten(2).transpose(1, 2)


class _Stage(nn.Module):
    """Merges finer features into coarser ones, and, if `text` is given, a name into them."""

    def __init__(self, coarse: int, fine: int, width: int, text: int | None = None) -> None:
        super().__init__()
        self.conv1 = _convolution(coarse, width)
        self.conv2 = _convolution(width + fine, width)
        self.told = text is not None
        if text is not None:
            self.text_conv = nn.Linear(text, width)
            self.norm1 = nn.LayerNorm(width)
            self.img_txt_fusion1, self.img_txt_fusion2 = _Fusion(width), _Fusion(width)
            self.conv3 = _convolution(width, width)

    def forward(
        self, coarse: Tensor, fine: Tensor, name: Tensor | None, similar: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        coarse = self.conv1(_double(coarse))
        x = self.conv2(torch.cat([fine, coarse], 1))
        if similar is not None:
            x = x + similar * coarse
        if not self.told:
            return x, None
        words = self.text_conv(name)
        words = words + self.norm1(words)
        words, x = self.img_txt_fusion1(x, words)
        words, x = self.img_txt_fusion2(self.conv3(x), words)
        return x, words


class _Fusion(nn.Module):
    """Words look at the image, and then every place of the image at the words."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.img_pe_transform = _positions(width)
        self.txt2img, self.img2txt = _Attention(width), _Attention(width)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.mlp = _Mlp(width)

    def forward(self, image: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        places, x, own = _flat(self.img_pe_transform(image)), _flat(image), words.unsqueeze(1)
        told = self.norm1(own + self.txt2img(own, x + places, x))
        told = self.norm2(told + self.mlp(told))
        x = self.norm3(x + self.img2txt(x + places, told + own, told))
        return told.squeeze(1), x.transpose(1, 2).reshape(image.shape)


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        first = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU())
        self.net = nn.Sequential(first, nn.Dropout(0.0), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.net(x)
        return found


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.q_proj, self.k_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        projected = (self.q_proj(query), self.k_proj(key), self.v_proj(value))
        heads = (x.unflatten(-1, (_HEADS, -1)).transpose(1, 2) for x in projected)
        mixed = functional.scaled_dot_product_attention(*heads)
        found: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return found


class _Regressor(nn.Module):
    """Attention between all places, twice, and convolutions down to one channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = _convolution(width, width)
        self.img_pe_transform1, self.img_pe_transform2 = _positions(width), _positions(width)
        self.self_attn1, self.self_attn2 = _Attention(width), _Attention(width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.reg_head = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, _HIDDEN, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(_HIDDEN, 1, 1),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self._attend(x, self.img_pe_transform1, self.self_attn1, self.norm1)
        x = self._attend(self.conv(x), self.img_pe_transform2, self.self_attn2, self.norm2)
        found: Tensor = self.reg_head(x)
        return found

    def _attend(self, x: Tensor, encoding: Any, attention: Any, norm: Any) -> Tensor:
        flat, places = _flat(x), _flat(encoding(x))
        flat = norm(flat + attention(flat + places, flat + places, flat))
        found: Tensor = flat.transpose(1, 2).reshape(x.shape)
        return found
