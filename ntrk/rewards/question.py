"""A question to a vision-language model as a reward: how likely it is to answer as wished.

The probability of the answer is VQAScore's (Z. Lin et al., 2024, arXiv 2404.01291, Eq. 1) with
Qwen2.5-VL (arXiv 2502.13923); with a question about what is drawn over the image, it is the task of
G. Luo et al., 2025, "Dual-Process Image Generation", arXiv 2506.01955.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..saving import optional
from .checkpoints import Checkpoints
from .preprocess import rgb, single
from .qwen import Finer, patches, prompt_tokens

__all__ = ["REPOSITORIES", "Question"]

_MODEL = "Qwen/Qwen2.5-VL-7B-Instruct"
REPOSITORIES = (_MODEL,)


class Question:
    """The probability of an answer, in [0, 1], among all that the model could say first.

    Parameters
    ----------
    checkpoints
        Where weights are.
    question
        To the model; ``{prompt}`` in it stands for the prompt of the image. The default is that
        of the repository linzhiqiu/t2v_metrics for this model. Questions of one's own should say
        which answers there are, as "Answer with Yes or No.", or the model begins otherwise.
    answer
        What the model should say: one of its tokens.
    overlay
        What to draw over the images before they are seen, a function of them alone, such as
        ``functools.partial(draw_line, row=0.4)`` of `ntrk.rewards.overlays`.
    model
        Repository of a Qwen2.5-VL.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        *,
        question: str = 'Does this figure show "{prompt}"? Please answer Yes or No.',
        answer: str = "Yes",
        overlay: Callable[[Tensor], Tensor] | None = None,
        model: str = _MODEL,
    ) -> None:
        transformers = optional("transformers")
        self.question, self.overlay = question, overlay
        self.tokenizer = checkpoints.pretrained(transformers.AutoTokenizer, model)
        tokens = self.tokenizer(answer, add_special_tokens=False)["input_ids"]
        if len(tokens) != 1:
            raise ValueError(
                f"answer must be one token of the model, got {answer!r}: {len(tokens)}"
            )
        self.answer = tokens[0]
        self.model = checkpoints.pretrained(transformers.Qwen2_5_VLForConditionalGeneration, model)

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Return the probability for images in [0, 1], (batch, 3, height, width)."""
        images = rgb(images)
        if self.overlay is not None:
            images = self.overlay(images)
        vision = self.model.config.vision_config
        values, grid = patches(images, vision)
        # Not `format`: braces in prompts, or in questions, are what they are.
        questions = [self.question.replace("{prompt}", prompt) for prompt in prompts]
        tokens = prompt_tokens(self.tokenizer, questions, grid, merge=vision.spatial_merge_size)
        with Finer():
            states = self.model.model(
                **tokens, pixel_values=values, image_grid_thw=grid, use_cache=False
            ).last_hidden_state
        last = tokens["attention_mask"].sum(1) - 1
        states = states[torch.arange(len(last), device=last.device), last]
        return single(self.model.lm_head(states)).softmax(-1)[:, self.answer]
