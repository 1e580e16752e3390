"""VBench's models, small and random, in the layout of the published checkpoints."""

import torch
import transformers
from published_clip import WIDTH, save_clip

SIDE, PATCH = 32, 8


def vbench_subject(hub):
    """DINO ViT-B/16, with the epsilon that its published configuration has."""
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=PATCH,
        layer_norm_eps=1e-12,
    )
    model = transformers.ViTModel(config, add_pooling_layer=False)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(hub / "facebook/dino-vitb16")


def vbench_background(hub):
    """CLIP ViT-B/32."""
    save_clip(hub / "openai/clip-vit-base-patch32")


def vbench_aesthetic(hub):
    """CLIP ViT-L/14 and a linear head."""
    save_clip(hub / "openai/clip-vit-large-patch14")
    folder = hub / "LAION-AI/aesthetic-predictor"
    folder.mkdir(parents=True)
    head = torch.nn.Linear(WIDTH, 1).state_dict()
    torch.save(head, folder / "sa_0_4_vit_l_14_linear.pth")


def vbench_imaging(hub):
    """MUSIQ: narrower and less deep, but with patches, grid, scales and heads of the real size."""
    width, hidden, depth = 12, 20, 2
    shapes = {"conv_root.weight": (64, 3, 7, 7), "gn_root": 64, "embedding": (width, 16384)}
    for name, shape in {"conv1": (64, 64, 1), "conv2": (64, 64, 3), "conv3": (256, 64, 1)}.items():
        shapes[f"block1.{name}.weight"] = (*shape, shape[-1])
    shapes |= {"block1.gn1": 64, "block1.gn2": 64, "block1.gn3": 256}
    shapes |= {"block1.conv_proj.weight": (256, 64, 1, 1), "block1.gn_proj": 256}
    encoder = "transformer_encoder"
    shapes |= {
        f"{encoder}.posembed_input.position_emb": (1, 100, width),
        f"{encoder}.scaleembed_input.scale_emb": (3, width),
        f"{encoder}.cls": (1, 1, width),
        f"{encoder}.encoder_norm": width,
    }
    for number in range(depth):
        layer = f"{encoder}.transformer.encoderblock_{number}"
        shapes |= {f"{layer}.norm{n}": width for n in (1, 2)}
        for name in ("query", "key", "value", "out"):
            shapes[f"{layer}.attention.{name}"] = (width, width)
        shapes |= {f"{layer}.mlp.fc1": (hidden, width), f"{layer}.mlp.fc2": (width, hidden)}
    shapes["head"] = (1, width)
    folder = hub / "chaofengc/IQA-PyTorch-Weights"
    folder.mkdir(parents=True)
    torch.save(_random(shapes), folder / "musiq_spaq_ckpt-358bb6af.pth")


def _random(shapes):
    """Weights of norms, where a shape is a number, of layers with a bias, and by themselves.

    Norms leave a channel well above zero or well below it, where what follows has no kink.
    """
    torch.manual_seed(0)
    weights = {}
    for name, shape in shapes.items():
        if isinstance(shape, int):
            weights[f"{name}.weight"] = 1 + torch.randn(shape) / 5
            weights[f"{name}.bias"] = 4 * torch.randn(shape).sign() + torch.randn(shape) / 5
        elif name.endswith((".weight", "_emb", ".cls")):
            weights[name] = torch.randn(shape)
        else:
            weights[f"{name}.weight"] = torch.randn(shape) / shape[1] ** 0.5
            weights[f"{name}.bias"] = torch.randn(shape[0])
    return weights
