"""MUSIQ, a transformer that scores the quality of photographs of any size, at several scales.

J. Ke et al., 2021, "MUSIQ: Multi-scale Image Quality Transformer", arXiv 2108.05997, Section 3; the
names of its weights, and the details that they depend on, are those of the repository
chaofengc/IQA-PyTorch, which converted them from TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Musiq"]

_PATCH, _GRID, _HEADS = 32, 10, 6
_LONGER = (224, 384)  # sides of the smaller copies of an image; the image itself is the third scale
_CHANNELS = 64


class Musiq(nn.Module):
    """The network, with its layers named as in the checkpoint.

    Parameters
    ----------
    width, hidden, depth
        Of the transformer.
    """

    def __init__(self, width: int = 384, hidden: int = 1152, depth: int = 14) -> None:
        super().__init__()
        self.conv_root = _Conv(3, _CHANNELS, 7, 2)
        self.gn_root = nn.GroupNorm(32, _CHANNELS, eps=1e-6)
        self.block1 = _Block(_CHANNELS, 4 * _CHANNELS)
        self.embedding = nn.Linear(4 * _CHANNELS * (_PATCH // 4) ** 2, width)
        self.transformer_encoder = _Transformer(width, hidden, depth)
        self.head = nn.Linear(width, 1)

    @classmethod
    def like(cls, weights: Mapping[str, Tensor]) -> Musiq:
        """Return it in the size of a checkpoint's weights."""
        layer = "transformer_encoder.transformer.encoderblock_{}.mlp.fc1.weight"
        if (first := layer.format(0)) not in weights:
            return cls()
        hidden, width = weights[first].shape
        depth = sum(key.endswith(".mlp.fc1.weight") for key in weights)
        return cls(width, hidden, depth)

    def forward(self, images: Tensor) -> Tensor:
        """Return scores, about 0 to 100, of images in [0, 1], (batch, 3, height, width)."""
        images = 2 * images - 1
        height, width = images.shape[-2:]
        tokens = []
        for number, longer in enumerate((*_LONGER, max(height, width))):
            ratio = longer / max(height, width)
            size = (round(height * ratio), round(width * ratio))
            # Itself if the size stays.
            scaled = functional.interpolate(images, size, mode="bicubic", align_corners=False)
            tokens.append(self._tokens(scaled, number))
        # Published code pads the scales to fixed lengths and hides that from attention.
        states: Tensor = self.transformer_encoder(torch.cat(tokens, 1))
        found: Tensor = self.head(states[:, 0]).squeeze(-1)
        return found

    def _tokens(self, images: Tensor, scale: int) -> Tensor:
        """Return tokens of the patches of images at a scale, row by row."""
        padded = _pad(images, _PATCH, _PATCH)
        rows, columns = (length // _PATCH for length in padded.shape[-2:])
        patches = padded.unflatten(3, (columns, _PATCH)).unflatten(2, (rows, _PATCH))
        patches = patches.permute(0, 2, 4, 1, 3, 5).flatten(0, 2).to(self.embedding.weight.dtype)
        x = self.gn_root(self.conv_root(patches)).relu()
        x = self.block1(functional.max_pool2d(_pad(x, 3, 2), 3, 2))
        x = self.embedding(x.permute(0, 2, 3, 1).flatten(1)).unflatten(0, (-1, rows * columns))
        encoder = self.transformer_encoder
        at = _spread(rows, x)[:, None] * _GRID + _spread(columns, x)
        places = encoder.posembed_input.position_emb[0, at.flatten()]
        found: Tensor = x + places + encoder.scaleembed_input.scale_emb[scale]
        return found


def _spread(count: int, like: Tensor) -> Tensor:
    """Return the row, or column, of the grid of positions for each of `count` patches in a line."""
    line = torch.arange(_GRID, dtype=torch.float32, device=like.device)
    return functional.interpolate(line[None, None], count, mode="nearest")[0, 0].long()


def _pad(images: Tensor, kernel: int, stride: int) -> Tensor:
    """Pad with zeros so that each stride has its output: TensorFlow's "SAME"."""
    edges: list[int] = []
    for length in (images.shape[-1], images.shape[-2]):
        missing = (math.ceil(length / stride) - 1) * stride + kernel - length
        edges += [missing // 2, missing - missing // 2]
    return functional.pad(images, edges)


class _Conv(nn.Conv2d):
    """A convolution by weights of mean zero and deviation one."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1) -> None:
        super().__init__(before, after, kernel, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        weight = weight / (weight.std((1, 2, 3), keepdim=True) + 1e-5)
        padded = _pad(x, self.kernel_size[0], self.stride[0])
        found: Tensor = functional.conv2d(padded, weight, stride=self.stride)
        return found


class _Block(nn.Module):
    """The bottleneck of a residual network."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1, self.gn1 = _Conv(before, before, 1), nn.GroupNorm(32, before, eps=1e-4)
        self.conv2, self.gn2 = _Conv(before, before, 3), nn.GroupNorm(32, before, eps=1e-4)
        self.conv3, self.gn3 = _Conv(before, after, 1), nn.GroupNorm(32, after, eps=1e-4)
        self.conv_proj, self.gn_proj = _Conv(before, after, 1), nn.GroupNorm(32, after, eps=1e-4)

    def forward(self, x: Tensor) -> Tensor:
        short = self.gn_proj(self.conv_proj(x))
        x = self.gn1(self.conv1(x)).relu()
        x = self.gn2(self.conv2(x)).relu()
        found: Tensor = (self.gn3(self.conv3(x)) + short).relu()
        return found


class _Holder(nn.Module):
    """One weight, under the name that it has in the checkpoint."""

    def __init__(self, name: str, *shape: int) -> None:
        super().__init__()
        self.register_parameter(name, nn.Parameter(torch.zeros(shape)))


class _Transformer(nn.Module):
    def __init__(self, width: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.posembed_input = _Holder("position_emb", 1, _GRID**2, width)
        self.scaleembed_input = _Holder("scale_emb", len(_LONGER) + 1, width)
        self.cls = nn.Parameter(torch.zeros(1, 1, width))
        self.transformer = nn.ModuleDict(
            {f"encoderblock_{n}": _Layer(width, hidden) for n in range(depth)}
        )
        self.encoder_norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1)
        for layer in self.transformer.values():
            x = layer(x)
        found: Tensor = self.encoder_norm(x)
        return found


class _Layer(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, eps=1e-6) for _ in range(2))
        names = ("query", "key", "value", "out")
        self.attention = nn.ModuleDict({name: nn.Linear(width, width) for name in names})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._attend(self.norm1(x))
        found: Tensor = x + self.mlp["fc2"](functional.gelu(self.mlp["fc1"](self.norm2(x))))
        return found

    def _attend(self, x: Tensor) -> Any:
        heads = (
            self.attention[name](x).unflatten(-1, (_HEADS, -1)).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        mixed = functional.scaled_dot_product_attention(*heads)
        return self.attention["out"](mixed.transpose(1, 2).flatten(2))
