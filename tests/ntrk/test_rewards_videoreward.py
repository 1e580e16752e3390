"""VideoReward: against the official processor and model, with its updates apart, read by hand."""

import hashlib
import json
import math
import re

import numpy as np
import peft
import pytest
import torch
import transformers
from PIL import Image
from published_video import ALPHA, RANK, WIDTH
from sklearn.datasets import load_sample_images

import ntrk
from ntrk.rewards import videoreward
from ntrk.rewards.preprocess import CLIP_MEAN, CLIP_STD
from ntrk.rewards.videoreward_prompt import TEMPLATE, TOKENS

PROMPTS = ["a red cube", "two cats on a very long sofa, {waiting} for the evening"]
MOMENTS = {
    "VQ": (3.6757, 2.2476),
    "MQ": (1.1646, 1.3811),
    "TA": (2.8105, 2.5121),
}
CHAT = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>"
    "system\nYou are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% for content in message['content'] %}{% if content['type'] == 'video' %}<|vision_start|>"
    "<|video_pad|><|vision_end|>{% else %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def video(number, height, width, count=8):
    """A walk over a photograph, (frames, height, width, 3) in 8 bits."""
    photograph = load_sample_images().images[number]
    return np.stack([photograph[3 * n :, 5 * n :][:height, :width] for n in range(count)])


def as_tensor(*videos):
    return torch.from_numpy(np.stack(videos)).movedim(-1, 2) / 255


def test_the_question_is_the_published_one():
    """By its hash: of DETAILED_PROMPT_WITH_SPECIAL_TOKEN in `prompt_template.py` of VideoAlign."""
    found = hashlib.sha256(TEMPLATE.encode()).hexdigest()
    assert found == "fdb6309bac618dd0c8b1b589d3a0970a974f7856eecbb355a190b2dce54af700"


@pytest.mark.parametrize(
    ("count", "fps", "times"),
    [
        (81, 16, [0, 9, 18, 27, 36, 44, 53, 62, 71, 80]),  # 10.1 frames, rounded to 10
        (90, 16, [0, 8, 16, 24, 32, 40, 49, 57, 65, 73, 81, 89]),  # 11.25, rounded to 12
        (16, 8, [0, 5, 10, 15]),
        (20, 16, [0, 6, 13, 19]),  # 2.5 frames, of which there are 4 at least
        (3, 16, [0, 2]),
        (5, 1, [0, 1, 3, 4]),  # 10 frames, of which there are 4 at most
    ],
)
def test_frames_are_those_of_the_publication(count, fps, times):
    assert videoreward.sampled(count, fps, 2.0) == times


def official_patches(frames):
    """By the official processor of images: halves of the patches of two frames, joined."""
    processor = transformers.Qwen2VLImageProcessorPil(
        size={"shortest_edge": 128 * 28 * 28, "longest_edge": 200704}
    )
    images = processor([Image.fromarray(frame) for frame in frames], return_tensors="pt")
    pairs = images.pixel_values.view(len(frames) // 2, 2, -1, 3, 2, 14 * 14)
    joined = torch.stack([pairs[:, 0, :, :, 0], pairs[:, 1, :, :, 0]], 3)
    rows, columns = images.image_grid_thw[0, 1:].tolist()
    return joined.flatten(0, 1).flatten(1), (len(frames) // 2, rows, columns)


def levels(patches):
    """The 8-bit values that were normalised."""
    mean, std = (torch.tensor(v).view(3, 1) for v in (CLIP_MEAN, CLIP_STD))
    return (255 * (patches.reshape(len(patches), 3, -1) * std + mean)).round()


@pytest.mark.parametrize("size", [(200, 311), (400, 600), (310, 290), (280, 392)])
def test_pixels_and_patches_are_those_of_the_official_processor(hub, size):
    frames = video(0, *size, count=4)
    reward = ntrk.rewards.load("videoreward", hub("videoreward")).terms["videoreward"]
    found, shape = reward.patches(as_tensor(frames))
    official, grid = official_patches(frames)
    assert shape.tolist() == [list(grid)]
    assert (levels(found) - levels(official)).abs().max() <= 1


@pytest.fixture(scope="module")
def official(hub):
    """The official model, its low-rank updates applied by `peft`, and its tokenizer."""
    base = hub("videoreward") / "Qwen/Qwen2-VL-2B-Instruct"
    tokenizer = transformers.AutoTokenizer.from_pretrained(base, padding_side="right")
    tokenizer.add_special_tokens({"additional_special_tokens": list(TOKENS)})
    config = transformers.AutoConfig.from_pretrained(base)
    config.tie_word_embeddings = False
    model = transformers.Qwen2VLForConditionalGeneration(config)
    model.resize_token_embeddings(len(tokenizer))
    model.rm_head = torch.nn.Linear(WIDTH, 1, bias=False)
    layers = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and not any(part in name for part in ("lm_head", "rm_head", "embed_tokens", "visual"))
    ]
    settings = peft.LoraConfig(target_modules=layers, r=RANK, lora_alpha=ALPHA, lora_dropout=0.05)
    model = peft.inject_adapter_in_model(settings, model).eval()
    file = hub("videoreward") / "KlingTeam/VideoReward/checkpoint-11352/model.pth"
    weights = {}
    for key, value in torch.load(file).items():
        # As its authors say for newer `transformers`, in issue 15 of the repository.
        key = re.sub(r"^base_model\.model\.model\.", "model.language_model.", key)
        key = re.sub(r"^base_model\.model\.visual\.", "model.visual.", key)
        weights[key.removeprefix("base_model.model.")] = value
    model.load_state_dict(weights)
    for rotary in (model.model.visual.rotary_pos_emb, model.model.language_model.rotary_emb):
        rotary.inv_freq = rotary.inv_freq.bfloat16()  # as in the published model
    return model, tokenizer


def by_hand(official, frames, prompt):
    """The three scores as the published forward has it: positions in one line, read at tokens."""
    model, tokenizer = official
    patches, grid = official_patches(frames)
    question = TEMPLATE.replace("{text_prompt}", prompt)
    content = [{"type": "video"}, {"type": "text", "text": question}]
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}],
        chat_template=CHAT,
        tokenize=False,
        add_generation_prompt=True,
    )
    text = text.replace("<|video_pad|>", "<|video_pad|>" * (math.prod(grid) // 4))
    ids = tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        seen = model.model.visual(patches, grid_thw=torch.tensor([grid])).pooler_output
        embeddings = model.model.get_input_embeddings()(ids)
        embeddings[ids == model.config.video_token_id] = seen
        states = model.model.language_model(inputs_embeds=embeddings).last_hidden_state
        scores = {
            token[2:4]: model.rm_head(states[ids == tokenizer.convert_tokens_to_ids(token)]).item()
            for token in TOKENS
        }
    return {name: (scores[name] - mean) / std for name, (mean, std) in MOMENTS.items()}


def test_scores_are_the_official_models(hub, official):
    """Of frames that keep their size, and of questions of two lengths in a batch."""
    videos = [video(n, 280, 392) for n in (0, 1)]
    seen = [frames[[0, 2, 5, 7]] for frames in videos]
    expected = [by_hand(official, *pair) for pair in zip(seen, PROMPTS, strict=True)]
    reward = ntrk.rewards.load("videoreward", hub("videoreward"))
    parts = reward.terms["videoreward"].parts(as_tensor(*videos), PROMPTS)
    for number, scores in enumerate(expected):
        found = {name: part[number].item() for name, part in parts.items()}
        assert found == pytest.approx(scores, abs=2e-4)
    total = reward(as_tensor(*videos), PROMPTS)
    assert total.tolist() == pytest.approx([sum(e.values()) for e in expected], abs=5e-4)


def test_another_rate_of_frames(hub, official):
    frames = video(0, 280, 392)
    expected = by_hand(official, frames, PROMPTS[0])
    reward = ntrk.rewards.load("videoreward", hub("videoreward"), fps=2)
    assert reward(as_tensor(frames), PROMPTS[:1]).item() == pytest.approx(
        sum(expected.values()), abs=5e-4
    )


@pytest.mark.parametrize("change", ["update lost", "update added", "other vocabulary"])
def test_weights_of_another_layout_are_refused(change, hub, tmp_path):
    for name in ("Qwen", "KlingTeam"):
        (tmp_path / name).mkdir()
    (tmp_path / "Qwen/Qwen2-VL-2B-Instruct").symlink_to(
        hub("videoreward") / "Qwen/Qwen2-VL-2B-Instruct"
    )
    whole = hub("videoreward") / "KlingTeam/VideoReward"
    weights = torch.load(whole / "checkpoint-11352/model.pth")
    text = "base_model.model.model"
    if change == "update lost":
        del weights[f"{text}.layers.1.mlp.up_proj.lora_B.default.weight"]
    elif change == "update added":
        weights[f"{text}.norm.lora_A.default.weight"] = torch.zeros(RANK, WIDTH)
    else:
        weights[f"{text}.embed_tokens.weight"] = torch.zeros(7, WIDTH)
    folder = tmp_path / "KlingTeam/VideoReward"
    (folder / "checkpoint-11352").mkdir(parents=True)
    torch.save(weights, folder / "checkpoint-11352/model.pth")
    settings = json.loads((whole / "model_config.json").read_text())
    (folder / "model_config.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=r"VideoReward/.*model\.pth are not of the layout"):
        ntrk.rewards.load("videoreward", tmp_path)


def test_arguments_are_checked(hub):
    with pytest.raises(ValueError, match="fps must be positive and finite, got 0"):
        ntrk.rewards.load("videoreward", hub("videoreward"), fps=0)
    reward = ntrk.rewards.load("videoreward", hub("videoreward"))
    with pytest.raises(ValueError, match="prompts must be 1, one each of what is seen, got 2"):
        reward(as_tensor(video(0, 60, 60)), PROMPTS)
    with pytest.raises(ValueError, match="videos must have at least 2 frames, got 1"):
        reward(as_tensor(video(0, 60, 60, count=1)), PROMPTS[:1])
    with pytest.raises(ValueError, match="images must be less oblong than 2 by 600 pixels"):
        reward(as_tensor(video(0, 2, 600)), PROMPTS[:1])
