"""T2ICount, small and random, in the layout of the published checkpoint.

It is written out here by hand, with the modules of its repository and of Stable Diffusion's
first code: their names are those in the checkpoint, and their forward is what the reward is tested
against. No part of it is of `diffusers`.
"""

from itertools import pairwise

import published_clip
import torch
import transformers
from torch import nn
from torch.nn import functional

WIDTHS, GROUPS, HEAD = (8, 16, 32, 32), 8, 16
TEXT = published_clip.WIDTH


def t2icount(hub):
    """The tokenizer and configuration of CLIP ViT-L/14; T2ICount's one file."""
    clip = hub / "openai/clip-vit-large-patch14"
    published_clip.save_clip(clip)
    (clip / "model.safetensors").unlink()  # T2ICount's file has the text encoder
    torch.manual_seed(3)
    text = transformers.CLIPTextConfig.from_pretrained(clip)
    weights = HandT2ICount(text).state_dict()
    weights["clip.transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    (hub / "cha15yq/T2ICount").mkdir(parents=True)
    torch.save(weights, hub / "cha15yq/T2ICount/best_model_paper.pth")


class HandT2ICount(nn.Module):
    """T2ICount as its repository has it; the density of one window and one text's tokens."""

    def __init__(self, text):
        super().__init__()
        self.vae = part(
            encoder=Encoder(), quant_conv=nn.Conv2d(8, 8, 1), post_quant_conv=nn.Conv2d(4, 4, 1)
        )
        self.unet = part(unet=part(diffusion_model=UNet()))
        self.clip = part(transformer=part(text_model=transformers.CLIPTextModel(text)))
        self.decoder = HandDecoder()
        # Every other channel is cut off, the rest are not, whatever is seen: without kinks that
        # a step crosses, finite differences are gradients.
        for module in self.decoder.modules():
            if isinstance(module, nn.Sequential):
                for layer, after in pairwise(module):
                    if isinstance(layer, nn.Conv2d) and isinstance(after, nn.ReLU):
                        layer.bias.data[0::2] += 4
                        layer.bias.data[1::2] -= 4

    def forward(self, pixels, tokens, mask):
        latents = self.vae.quant_conv(self.vae.encoder(pixels))[:, :4]
        states = self.clip.transformer.text_model(input_ids=tokens).last_hidden_state
        features = self.unet.unet.diffusion_model(latents, states)
        return self.decoder(features, (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))


def part(**modules):
    """A module that holds others."""
    holder = nn.Module()
    for name, module in modules.items():
        setattr(holder, name, module)
    return holder


def norm(width, eps=1e-6):
    return nn.GroupNorm(GROUPS, width, eps)


def conv(before, after, stride=1):
    return nn.Conv2d(before, after, 3, stride, padding=1)


def swish(x):
    return x / (1 + (-x).exp())


def attend(query, key, value, heads):
    """Attention, head by head."""
    parts = zip(*(t.chunk(heads, -1) for t in (query, key, value)), strict=True)
    scale = (query.shape[-1] // heads) ** -0.5
    return torch.cat([(q @ k.mT * scale).softmax(-1) @ v for q, k, v in parts], -1)


class EncoderResnet(nn.Module):
    def __init__(self, before, after):
        super().__init__()
        self.norm1, self.conv1 = norm(before), conv(before, after)
        self.norm2, self.conv2 = norm(after), conv(after, after)
        if before != after:
            self.nin_shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x):
        h = self.conv2(swish(self.norm2(self.conv1(swish(self.norm1(x))))))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class EncoderAttention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = norm(width)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, x):
        h = self.norm(x)
        q, k, v = (layer(h).flatten(2).mT for layer in (self.q, self.k, self.v))
        return x + self.proj_out(attend(q, k, v, 1).mT.reshape(x.shape))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_in = conv(3, WIDTHS[0])
        self.down = nn.ModuleList()
        for level, after in enumerate(WIDTHS):
            before = WIDTHS[max(level - 1, 0)]
            blocks = nn.ModuleList([EncoderResnet(before, after), EncoderResnet(after, after)])
            self.down.append(part(block=blocks))
            if level < 3:
                self.down[-1].downsample = part(conv=nn.Conv2d(after, after, 3, 2))
        self.mid = part(
            block_1=EncoderResnet(after, after),
            attn_1=EncoderAttention(after),
            block_2=EncoderResnet(after, after),
        )
        self.norm_out, self.conv_out = norm(after), conv(after, 8)

    def forward(self, x):
        x = self.conv_in(x)
        for level in self.down:
            for block in level.block:
                x = block(x)
            if hasattr(level, "downsample"):
                x = level.downsample.conv(functional.pad(x, (0, 1, 0, 1)))
        x = self.mid.block_2(self.mid.attn_1(self.mid.block_1(x)))
        return self.conv_out(swish(self.norm_out(x)))


class Resnet(nn.Module):
    def __init__(self, before, after):
        super().__init__()
        same = nn.Identity
        self.in_layers = nn.Sequential(norm(before, 1e-5), nn.SiLU(), conv(before, after))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(4 * WIDTHS[0], after))
        self.out_layers = nn.Sequential(norm(after, 1e-5), nn.SiLU(), same(), conv(after, after))
        self.skip_connection = same() if before == after else nn.Conv2d(before, after, 1)

    def forward(self, x, time, states):
        h = self.in_layers(x) + self.emb_layers(time)[..., None, None]
        return self.skip_connection(x) + self.out_layers(h)


class CrossAttention(nn.Module):
    def __init__(self, width, other):
        super().__init__()
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k, self.to_v = (nn.Linear(other, width, bias=False) for _ in range(2))
        self.to_out = nn.Sequential(nn.Linear(width, width), nn.Identity())

    def forward(self, x, other):
        return self.to_out(attend(self.to_q(x), self.to_k(other), self.to_v(other), 8))


class TransformerBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.attn1, self.attn2 = CrossAttention(width, width), CrossAttention(width, TEXT)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        net = [part(proj=nn.Linear(width, 8 * width)), nn.Identity(), nn.Linear(4 * width, width)]
        self.ff = part(net=nn.ModuleList(net))

    def forward(self, x, states):
        h = self.norm1(x)
        x = x + self.attn1(h, h)
        x = x + self.attn2(self.norm2(x), states)
        value, gate = self.ff.net[0].proj(self.norm3(x)).chunk(2, -1)
        return x + self.ff.net[2](value * functional.gelu(gate))


class Transformer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = norm(width)
        self.proj_in, self.proj_out = (nn.Conv2d(width, width, 1) for _ in range(2))
        self.transformer_blocks = nn.ModuleList([TransformerBlock(width)])

    def forward(self, x, time, states):
        h = self.transformer_blocks[0](self.proj_in(self.norm(x)).flatten(2).mT, states)
        return x + self.proj_out(h.mT.reshape(x.shape))


class Down(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.op = conv(width, width, 2)

    def forward(self, x, time, states):
        return self.op(x)


class Up(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = conv(width, width)

    def forward(self, x, time, states):
        return self.conv(x.repeat_interleave(2, -1).repeat_interleave(2, -2))


class UNet(nn.Module):
    """Its features, finest first: after output blocks 1, 4, 7 and the last."""

    def __init__(self):
        super().__init__()
        first = WIDTHS[0]
        self.time_embed = nn.Sequential(
            nn.Linear(first, 4 * first), nn.SiLU(), nn.Linear(4 * first, 4 * first)
        )
        self.input_blocks = nn.ModuleList([nn.ModuleList([conv(4, first)])])
        self.output_blocks = nn.ModuleList()
        width, skips = first, [first]
        for level, after in enumerate(WIDTHS):
            for _ in range(2):
                block = [Resnet(width, after), *([Transformer(after)] if level < 3 else [])]
                self.input_blocks.append(nn.ModuleList(block))
                width = after
                skips.append(width)
            if level < 3:
                self.input_blocks.append(nn.ModuleList([Down(width)]))
                skips.append(width)
        self.middle_block = nn.ModuleList(
            [Resnet(width, width), Transformer(width), Resnet(width, width)]
        )
        for level, after in reversed(list(enumerate(WIDTHS))):
            for n in range(3):
                block = [Resnet(width + skips.pop(), after)]
                block += [Transformer(after)] if level < 3 else []
                block += [Up(after)] if level and n == 2 else []
                self.output_blocks.append(nn.ModuleList(block))
                width = after
        self.out = nn.Sequential(norm(first), nn.SiLU(), conv(first, 4))

    def forward(self, latents, states):
        half = WIDTHS[0] // 2
        # Of step 0, the cosines are one and the sines zero.
        time = self.time_embed(torch.cat([torch.ones(half), torch.zeros(half)])[None].to(latents))
        x, skips, features = self.input_blocks[0][0](latents), [], []
        skips.append(x)
        for block in self.input_blocks[1:]:
            for layer in block:
                x = layer(x, time, states)
            skips.append(x)
        for layer in self.middle_block:
            x = layer(x, time, states)
        for number, block in enumerate(self.output_blocks):
            x = torch.cat([x, skips.pop()], 1)
            for layer in block:
                x = layer(x, time, states)
            if number in (1, 4, 7, 11):
                features.append(x)
        return features[::-1]


class HandAttention(nn.Module):
    def __init__(self, width):
        super().__init__()
        for name in "qkv":
            setattr(self, f"{name}_proj", nn.Linear(width, width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, q, k, v):
        return self.out_proj(attend(self.q_proj(q), self.k_proj(k), self.v_proj(v), 8))


def larger(x):
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class Fusion(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.img_pe_transform = nn.Conv2d(width, width, 3, 1, 1, groups=width)
        self.txt2img, self.img2txt = HandAttention(width), HandAttention(width)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        first = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU())
        self.mlp = part(net=nn.Sequential(first, nn.Identity(), nn.Linear(4 * width, width)))

    def forward(self, x, text):
        place, flat, text = self.img_pe_transform(x).flatten(2).mT, x.flatten(2).mT, text[:, None]
        new = self.norm1(text + self.txt2img(text, flat + place, flat))
        new = self.norm2(new + self.mlp.net(new))
        flat = self.norm3(flat + self.img2txt(flat + place, new + text, new))
        return flat.mT.reshape(x.shape), new[:, 0]


class Upsample(nn.Module):
    def __init__(self, coarse, fine, width, fused):
        super().__init__()
        self.conv1 = nn.Sequential(conv(coarse, width), nn.ReLU())
        self.conv2 = nn.Sequential(conv(width + fine, width), nn.ReLU())
        if fused:
            self.text_conv, self.norm1 = nn.Linear(TEXT, width), nn.LayerNorm(width)
            self.img_txt_fusion1, self.img_txt_fusion2 = Fusion(width), Fusion(width)
            self.conv3 = nn.Sequential(conv(width, width), nn.ReLU())

    def forward(self, coarse, fine, text=None, alike=0.0):
        low = self.conv1(larger(coarse))
        x = self.conv2(torch.cat([fine, low], 1)) + alike * low
        if text is None:
            return x
        text = self.text_conv(text)
        x, text = self.img_txt_fusion1(x, text + self.norm1(text))
        return self.img_txt_fusion2(self.conv3(x), text)


class HandDecoder(nn.Module):
    def __init__(self):
        super().__init__()
        first, second, third, fourth = WIDTHS
        self.upsample1 = Upsample(fourth, third, fourth // 2, True)
        self.upsample2 = Upsample(fourth // 2, second, fourth // 4, True)
        self.upsample3 = Upsample(fourth // 4, first, HEAD, False)
        self.regressor = Regressor(HEAD)

    def forward(self, features, text):
        def alike(x, words):
            x, words = functional.normalize(x, dim=1), functional.normalize(words, dim=1)
            return torch.einsum("bchw,bc->bhw", x, words)[:, None]

        x, words = self.upsample1(features[3], features[2], text)
        size = features[1].shape[-2:]  # 24 by 24, of windows of 384
        similar = functional.interpolate(alike(larger(larger(x)), words), size, mode="bilinear")
        x, words = self.upsample2(x, features[1], text, similar)
        return self.regressor(self.upsample3(x, features[0], None, alike(larger(x), words)))


class Regressor(nn.Module):
    def __init__(self, width):
        super().__init__()
        for n in "12":
            setattr(self, f"img_pe_transform{n}", nn.Conv2d(width, width, 3, 1, 1, groups=width))
            setattr(self, f"self_attn{n}", HandAttention(width))
            setattr(self, f"norm{n}", nn.LayerNorm(width))
        self.conv = nn.Sequential(conv(width, width), nn.ReLU())
        head = [conv(width, width), nn.ReLU(), conv(width, 128), nn.ReLU(), nn.Conv2d(128, 1, 1)]
        self.reg_head = nn.Sequential(*head, nn.ReLU())

    def forward(self, x):
        for n in "12":
            flat = x.flatten(2).mT
            placed = flat + getattr(self, f"img_pe_transform{n}")(x).flatten(2).mT
            attention = getattr(self, f"self_attn{n}")(placed, placed, flat)
            x = getattr(self, f"norm{n}")(flat + attention).mT.reshape(x.shape)
            x = self.conv(x) if n == "1" else x
        return self.reg_head(x)
