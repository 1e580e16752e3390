"""VQAScore: how likely a model is to say that an image shows the prompt.

Z. Lin et al., 2024, "Evaluating Text-to-Visual Generation with Image-to-Text Generation", arXiv
2404.01291, Eq. 1, by CLIP-FlanT5, their Flan-T5 that was taught to see with CLIP; the repositories
linzhiqiu/t2v_metrics and linzhiqiu/CLIP-FlanT5 for what the weights are run with.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..saving import optional
from .checkpoints import Checkpoints
from .preprocess import CLIP_MEAN, CLIP_STD, normalise, resize, rgb, single
from .qwen import Finer

__all__ = ["REPOSITORIES", "VQAScore"]

_MODEL, _EYES = "zhiqiulin/clip-flant5-xxl", "openai/clip-vit-large-patch14-336"
# All Flan-T5 have the same vocabulary; the smallest is the least to download.
_TOKENIZER = "google/flan-t5-small"
REPOSITORIES = (_MODEL, _EYES, _TOKENIZER)

_BEFORE = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user's questions. USER:"
)
_AFTER = 'Does this figure show "{}"? Please answer yes or no. ASSISTANT:'
_ANSWER = "Yes"


class VQAScore:
    """The probability of the answer "Yes", in [0, 1].

    As published, the answer is two tokens, "Yes" and the end, and the score is the geometric mean
    of the probabilities of both.

    Parameters
    ----------
    checkpoints
        Where weights are.
    model
        Repository of the model: that of the paper, or the smaller ``zhiqiulin/clip-flant5-xl``.
    """

    def __init__(self, checkpoints: Checkpoints, *, model: str = _MODEL) -> None:
        transformers = optional("transformers")
        # The checkpoint has a copy of CLIP, which was frozen in training, and names the embedding
        # of words once more.
        self.model = checkpoints.pretrained(
            _clip_flan_t5(), model, ignore=r"^vision_tower\.|^embed_tokens\.weight$"
        )
        clip = checkpoints.pretrained(transformers.CLIPModel, _EYES, ignore=r"\.position_ids$")
        self.eyes = clip.vision_model
        self.tokenizer = checkpoints.pretrained(transformers.AutoTokenizer, _TOKENIZER)

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Return the score of images in [0, 1], (batch, 3, height, width), for their prompts."""
        if len(prompts) != len(images):
            raise ValueError(f"prompts must be {len(images)}, one an image, got {len(prompts)}")
        device = self.model.device
        with Finer():
            seen = self.seen(images)
            before, _ = self._words([_BEFORE] * len(images))
            after, mask = self._words([_AFTER.format(prompt) for prompt in prompts])
            known = torch.ones(len(images), before.shape[1] + seen.shape[1], device=device)
            answer = self._tokens([_ANSWER])["input_ids"].repeat(len(images), 1)
            logits = self.model(
                inputs_embeds=torch.cat([before, seen, after], 1),
                attention_mask=torch.cat([known.to(mask.dtype), mask], 1),
                labels=answer,
                use_cache=False,
            ).logits
        found = single(logits).log_softmax(-1).gather(-1, answer[..., None])
        return found.mean((1, 2)).exp()

    def seen(self, images: Tensor) -> Tensor:
        """Return what the model sees of images in [0, 1], as embeddings of tokens."""
        states = self.eyes(self.pixels(images), output_hidden_states=True).hidden_states
        found: Tensor = self.model.mm_projector(states[-2][:, 1:])
        return found

    def pixels(self, images: Tensor) -> Tensor:
        """Return images in [0, 1] as the model's processor prepares them, on a square of grey."""
        images = rgb(images)
        height, width = images.shape[-2:]
        long, side = max(height, width), self.eyes.config.image_size
        top, left = (long - height) // 2, (long - width) // 2
        # The colour in 8 bits that is nearest below CLIP's mean.
        colour = images.new_tensor([int(255 * mean) / 255 for mean in CLIP_MEAN]).view(3, 1, 1)
        border = (left, long - width - left, top, long - height - top)
        square = functional.pad(images - colour, border) + colour
        pixels = normalise(resize(square, (side, side)), CLIP_MEAN, CLIP_STD)
        return pixels.to(self.eyes.dtype)

    @torch.no_grad()
    def _words(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return embeddings of texts, (batch, length, width), and which of them count."""
        tokens = self._tokens(texts)
        return self.model.shared(tokens["input_ids"]), tokens["attention_mask"]

    def _tokens(self, texts: Sequence[str]) -> Any:
        """Return tokens; each text has the end after it, also that before the image."""
        found = self.tokenizer(list(texts), padding=True, padding_side="right", return_tensors="pt")
        return found.to(self.model.device)


@functools.cache
def _clip_flan_t5() -> Any:
    """Return the class of the model: a T5, and a projection of images to its width."""
    transformers = optional("transformers")

    class ClipFlanT5(transformers.T5ForConditionalGeneration):  # type: ignore[name-defined]
        # Words are read and spoken with weights of their own, unlike what T5 does by default.
        _tied_weights_keys: ClassVar[dict[str, str]] = {
            f"{part}.embed_tokens.weight": "shared.weight" for part in ("encoder", "decoder")
        }

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            width = config.d_model
            self.mm_projector = nn.Sequential(
                nn.Linear(config.mm_hidden_size, width), nn.GELU(), nn.Linear(width, width)
            )
            self.post_init()

    return ClipFlanT5
