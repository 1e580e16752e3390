"""CountGD, small and random, in the layout of the published checkpoint."""

import safetensors.torch
import torch
import transformers

WIDTH, HIDDEN, LAYERS, HEADS, QUERIES = 32, 64, 2, 4, 30
SWIN, DEPTHS, SWIN_HEADS, WINDOW = 8, (2, 1, 1, 1), (1, 2, 2, 4), 4
LEVELS, POINTS = 4, 4
BERT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
BERT |= {"intermediate_size": 24, "vocab_size": 1040, "max_position_embeddings": 64}
WORDS = {1013: "dogs", 1014: "red", 1015: "cube", 1016: "small"}


def countgd(hub):
    """GroundingDINO's configuration and tokenizer, and weights by the names of its first code."""
    base = hub / "IDEA-Research/grounding-dino-base"
    transformers.GroundingDinoConfig(
        backbone_config=transformers.SwinConfig(
            embed_dim=SWIN,
            depths=list(DEPTHS),
            num_heads=list(SWIN_HEADS),
            window_size=WINDOW,
            out_features=["stage2", "stage3", "stage4"],
        ),
        text_config=transformers.BertConfig(**BERT),
        num_queries=QUERIES,
        d_model=WIDTH,
        encoder_layers=LAYERS,
        decoder_layers=LAYERS,
        encoder_ffn_dim=HIDDEN,
        decoder_ffn_dim=HIDDEN,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
    ).save_pretrained(base)
    # The model knows the special tokens by their numbers.
    words = {f"[unused{n}]": n for n in range(BERT["vocab_size"])}
    special = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: "."}
    names = {number: word for word, number in words.items()} | special | WORDS
    transformers.BertTokenizer(
        vocab={word: number for number, word in names.items()}
    ).save_pretrained(base)
    folder = hub / "nikigoli/CountGD"
    folder.mkdir(parents=True)
    # Tensors that are shared are there once, with their other names beside them.
    aliases = {
        f"{place}bbox_embed.{n}.layers.{k}.{what}": f"bbox_embed.0.layers.{k}.{what}"
        for place in ("", "transformer.decoder.")
        for n in range(LAYERS)
        for k in range(3)
        for what in ("weight", "bias")
        if place or n
    }
    safetensors.torch.save_file(weights(), folder / "model.safetensors", metadata=aliases)


def weights():
    """Random tensors of the names and shapes of the published ones."""
    torch.manual_seed(0)
    found = {}
    for name, shape in shapes().items():
        if isinstance(shape, int):  # of a norm
            found[f"{name}.weight"] = 1 + torch.randn(shape) / 5
            found[f"{name}.bias"] = torch.randn(shape) / 5
        elif shape[0] is None:  # of what is no layer
            found[name] = torch.randn(shape[1:])
        else:
            found[f"{name}.weight"] = torch.randn(shape) / torch.tensor(shape[1:]).prod().sqrt()
            found[f"{name}.bias"] = torch.randn(shape[0]) / 5
    for name in list(found):
        if ".downsample.reduction.bias" in name or "_embeddings.bias" in name:
            del found[name]
        elif ".in_proj." in name:
            found[name.replace("in_proj.", "in_proj_")] = found.pop(name)
    # All tokens alike, so that some boxes are far from all of them.
    found[f"transformer.encoder.text_layers.{LAYERS - 1}.norm2.bias"] *= 5
    for level, depth in enumerate(DEPTHS):
        for block in range(depth):
            index = torch.randint((2 * WINDOW - 1) ** 2, (WINDOW**2, WINDOW**2))
            found[f"backbone.0.layers.{level}.blocks.{block}.attn.relative_position_index"] = index
    found["bert.embeddings.position_ids"] = torch.arange(BERT["max_position_embeddings"])[None]
    return found


def shapes():
    """A number is the width of a norm, (None, ...) is a tensor, the rest is a layer with a bias."""
    found = {"backbone.0.patch_embed.proj": (SWIN, 3, 4, 4), "backbone.0.patch_embed.norm": SWIN}
    for level, depth in enumerate(DEPTHS):
        width, layer = SWIN * 2**level, f"backbone.0.layers.{level}"
        for block in (f"{layer}.blocks.{n}" for n in range(depth)):
            heads = SWIN_HEADS[level]
            found[f"{block}.attn.relative_position_bias_table"] = (
                None,
                (2 * WINDOW - 1) ** 2,
                heads,
            )
            found |= {f"{block}.norm1": width, f"{block}.norm2": width}
            found |= {f"{block}.attn.qkv": (3 * width, width), f"{block}.attn.proj": (width, width)}
            found |= {
                f"{block}.mlp.fc1": (4 * width, width),
                f"{block}.mlp.fc2": (width, 4 * width),
            }
        if level < 3:
            found[f"{layer}.downsample.reduction"] = (2 * width, 4 * width)
            found[f"{layer}.downsample.norm"] = 4 * width
        if level:
            found[f"backbone.0.norm{level}"] = width
            found[f"input_proj.{level - 1}.0"] = (WIDTH, width, 1, 1)
            found[f"input_proj.{level - 1}.1"] = WIDTH
    found |= {"input_proj.3.0": (WIDTH, 8 * SWIN, 3, 3), "input_proj.3.1": WIDTH}
    found |= {"feature_map_proj": (WIDTH, 14 * SWIN, 1, 1), "feat_map": (WIDTH, 16)}
    return found | _bert() | _transformer()


def _bert():
    width, inner = BERT["hidden_size"], BERT["intermediate_size"]
    found = {
        "bert.embeddings.word_embeddings": (BERT["vocab_size"], width),
        "bert.embeddings.position_embeddings": (BERT["max_position_embeddings"], width),
        "bert.embeddings.token_type_embeddings": (2, width),
        "bert.embeddings.LayerNorm": width,
        "bert.pooler.dense": (width, width),
    }
    for layer in (f"bert.encoder.layer.{n}" for n in range(BERT["num_hidden_layers"])):
        for name in ("query", "key", "value"):
            found[f"{layer}.attention.self.{name}"] = (width, width)
        found |= {f"{layer}.attention.output.dense": (width, width)}
        found |= {f"{layer}.attention.output.LayerNorm": width, f"{layer}.output.LayerNorm": width}
        found[f"{layer}.intermediate.dense"] = (inner, width)
        found[f"{layer}.output.dense"] = (width, inner)
    return found


def _transformer():
    found = {
        "transformer.level_embed": (None, LEVELS, WIDTH),
        "transformer.tgt_embed.weight": (None, QUERIES, WIDTH),
        "transformer.enc_output": (WIDTH, WIDTH),
        "transformer.enc_output_norm": WIDTH,
        "transformer.decoder.norm": WIDTH,
        "transformer.decoder.ref_point_head.layers.0": (WIDTH, 2 * WIDTH),
        "transformer.decoder.ref_point_head.layers.1": (WIDTH, WIDTH),
    }
    for head in ("transformer.enc_out_bbox_embed", "bbox_embed.0"):
        for k, after in enumerate((WIDTH, WIDTH, 4)):
            found[f"{head}.layers.{k}"] = (after, WIDTH)
    for n in range(LAYERS):
        fusion = f"transformer.encoder.fusion_layers.{n}"
        for side in "vl":
            found[f"{fusion}.gamma_{side}"] = (None, WIDTH)
            found[f"{fusion}.layer_norm_{side}"] = WIDTH
            found[f"{fusion}.attn.{side}_proj"] = (HIDDEN // 2, WIDTH)
            found[f"{fusion}.attn.values_{side}_proj"] = (HIDDEN // 2, WIDTH)
            found[f"{fusion}.attn.out_{side}_proj"] = (WIDTH, HIDDEN // 2)
        text = f"transformer.encoder.text_layers.{n}"
        found |= _attention(f"{text}.self_attn") | _feedforward(text, HIDDEN // 2, 2)
        layer = f"transformer.encoder.layers.{n}"
        found |= _deformable(f"{layer}.self_attn") | _feedforward(layer, HIDDEN, 2)
        layer = f"transformer.decoder.layers.{n}"
        found |= _attention(f"{layer}.self_attn") | _attention(f"{layer}.ca_text")
        found |= _deformable(f"{layer}.cross_attn") | _feedforward(layer, HIDDEN, 3)
        found[f"{layer}.catext_norm"] = WIDTH
    return found


def _attention(name):
    return {f"{name}.in_proj": (3 * WIDTH, WIDTH), f"{name}.out_proj": (WIDTH, WIDTH)}


def _deformable(name):
    samples = HEADS * LEVELS * POINTS
    found = {f"{name}.{part}_proj": (WIDTH, WIDTH) for part in ("value", "output")}
    found |= {f"{name}.sampling_offsets": (2 * samples, WIDTH)}
    return found | {f"{name}.attention_weights": (samples, WIDTH)}


def _feedforward(name, hidden, norms):
    found = {f"{name}.linear1": (hidden, WIDTH), f"{name}.linear2": (WIDTH, hidden)}
    return found | {f"{name}.norm{n}": WIDTH for n in range(1, norms + 1)}
