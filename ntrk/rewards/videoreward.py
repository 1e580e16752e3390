"""VideoReward: a Qwen2-VL that learned from people's choices to judge videos.

J. Liu et al., 2025, "Improving Video Generation with Human Feedback", arXiv 2501.13918, Section 3;
the repository KwaiVGI/VideoAlign for what the weights are run with.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..saving import optional
from .checkpoints import Checkpoints, fill
from .preprocess import single
from .qwen import Finer, patches, prompt_tokens
from .vbench import frames
from .videoreward_prompt import TEMPLATE, TOKENS

__all__ = ["REPOSITORIES", "VideoReward"]

_WEIGHTS, _BASE = "KlingTeam/VideoReward", "Qwen/Qwen2-VL-2B-Instruct"
_FILE = "checkpoint-11352/model.pth"
REPOSITORIES = (_WEIGHTS, _BASE)

_PARTS = ("VQ", "MQ", "TA")  # in the order of their tokens
_LEAST_FRAMES, _MOST_FRAMES = 4, 768
_LEAST_PIXELS = 128 * 28 * 28
_UP, _DOWN = ".lora_B.default.weight", ".lora_A.default.weight"


class VideoReward:
    """Visual quality, motion quality and text alignment, standardised each, and added.

    Parameters
    ----------
    checkpoints
        Where weights are.
    fps
        Frames of the videos in a second, of which the model sees two: 16 for Wan.
    """

    def __init__(self, checkpoints: Checkpoints, *, fps: float = 16.0) -> None:
        if not (math.isfinite(fps) and fps > 0):
            raise ValueError(f"fps must be positive and finite, got {fps!r}")
        transformers = optional("transformers")
        self.fps = fps
        self.settings = json.loads(checkpoints.file(_WEIGHTS, "model_config.json").read_text())
        lora = self.settings["peft_lora_config"]
        weights = merged(checkpoints.weights(_WEIGHTS, _FILE), lora["lora_alpha"] / lora["lora_r"])
        self.tokenizer = checkpoints.pretrained(transformers.AutoTokenizer, _BASE)
        self.tokenizer.add_tokens(list(TOKENS), special_tokens=True)
        config = checkpoints.pretrained(transformers.Qwen2VLConfig, _BASE)
        config.text_config.vocab_size = len(self.tokenizer)
        with optional("transformers.initialization").no_init_weights():
            model = transformers.AutoModel.from_config(config, dtype=checkpoints.dtype)
            head = nn.Linear(config.text_config.hidden_size, 1, bias=False)
        both = nn.ModuleDict({"model": model, "rm_head": head})
        _round_frequencies(checkpoints.place(fill(both, weights, f"{_WEIGHTS}/{_FILE}")))
        self.model, self.head = model, head

    def __call__(self, videos: Tensor, prompts: Sequence[str]) -> Tensor:
        """Return the score of videos in [0, 1], (batch, frames, 3, height, width)."""
        return torch.stack(list(self.parts(videos, prompts).values())).sum(0)

    def parts(self, videos: Tensor, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Return what is added, by name: ``VQ``, ``MQ`` and ``TA``, (batch,) each."""
        ids, states = self._states(videos, prompts)
        known = self.settings["inference_config"]
        found = {}
        for part, token in zip(_PARTS, TOKENS, strict=True):
            at = (ids == self.tokenizer.convert_tokens_to_ids(token)).int().argmax(1)
            state = single(states[torch.arange(len(ids), device=ids.device), at])
            score = functional.linear(state, single(self.head.weight)).squeeze(-1)
            found[part] = (score - known[f"{part}_mean"]) / known[f"{part}_std"]
        return found

    def patches(self, videos: Tensor) -> tuple[Tensor, Tensor]:
        """Return the patches seen of videos in [0, 1], and how many are in time, down and across.

        As in `qwen.patches`, of some of the frames.
        """
        videos = frames(videos, least=2)
        data = self.settings["data_config"]
        seen = videos[:, sampled(videos.shape[1], self.fps, data["fps"])]
        vision, most = self.model.config.vision_config, data["max_frame_pixels"]
        return patches(seen, vision, least=_LEAST_PIXELS, most=most)

    def _states(self, videos: Tensor, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return the question's tokens, (batch, length), and what the model makes of them."""
        cut, grid = self.patches(videos)
        questions = [TEMPLATE.format(text_prompt=prompt) for prompt in prompts]
        merge = self.model.config.vision_config.spatial_merge_size
        tokens = prompt_tokens(self.tokenizer, questions, grid, merge=merge, kind="video")
        ids = tokens["input_ids"]
        with Finer():
            seen = torch.cat(self.model.get_video_features(cut, grid).pooler_output)
            words = self.model.get_input_embeddings()(ids)
            places = (ids == self.model.config.video_token_id)[..., None]
            states = self.model.language_model(
                inputs_embeds=words.masked_scatter(places, seen.to(words.dtype)),
                attention_mask=tokens["attention_mask"],
                # Text and frames are counted in one line, unlike what Qwen2-VL itself does: it is
                # what `transformers` 4.45 does when called as the published model calls it.
                position_ids=torch.arange(ids.shape[1], device=ids.device).expand(3, *ids.shape),
                use_cache=False,
            ).last_hidden_state
        return ids, states


def sampled(count: int, fps: float, wanted: float) -> list[int]:
    """Return which of `count` frames are seen, `wanted` in a second, evenly from first to last."""
    most = min(_MOST_FRAMES, count) // 2 * 2
    number = 2 * round(min(max(count / fps * wanted, _LEAST_FRAMES), most) / 2)
    times: list[int] = torch.linspace(0, count - 1, number).round().long().tolist()
    return times


def merged(weights: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """Return weights with their low-rank updates added, under the names of the modules here.

    The published file has both, as they were in training: a layer's ``base_layer.weight``,
    ``lora_A.default.weight`` and ``lora_B.default.weight``, of which it is A that comes first.
    """
    rest = dict(weights)
    rest.pop("base_model.model.lm_head.weight", None)  # of a language model: nothing is said here
    for name in [key.removesuffix(_DOWN) for key in weights if key.endswith(_DOWN)]:
        keys = (f"{name}.base_layer.weight", name + _UP, name + _DOWN)
        if all(key in rest for key in keys):
            base, up, down = (single(rest.pop(key)) for key in keys)
            rest[f"{name}.weight"] = base + scale * up @ down
    return {_renamed(key): value for key, value in rest.items()}


def _renamed(key: str) -> str:
    """Undo `peft`'s and older `transformers`' names, which the file has."""
    key = key.removeprefix("base_model.model.").replace(".base_layer.", ".")
    if key.startswith("rm_head."):
        return key
    inner = key if key.startswith("visual.") else f"language_{key}"
    return f"model.{inner}"


@torch.no_grad()
def _round_frequencies(module: nn.Module) -> None:
    """Round the frequencies of positions to bfloat16, as VideoAlign does in taking all to it.

    What is thousands of tokens on turns by another angle then, of whatever dtype the rest is.
    """
    for name, buffer in module.named_buffers():
        if name.endswith(".inv_freq"):
            buffer.copy_(buffer.bfloat16())
