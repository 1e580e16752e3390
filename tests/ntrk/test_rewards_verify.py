"""``python -m ntrk.rewards.verify``: our score beside the published one."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

import ntrk
from ntrk.rewards import CATALOGUE, verify

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)


def png():
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    return file.getvalue()


def test_the_published_example(hub, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(verify, "_download", lambda address: asked.append(address) or png())
    verify.main(["imagereward", "--folder", str(hub("imagereward"))])
    example = verify.EXAMPLES["imagereward"]
    image = torch.from_numpy(PIXELS.copy()).movedim(-1, 0)[None] / 255
    score = ntrk.rewards.load("imagereward", hub("imagereward"))(image, [example.prompt]).item()
    assert asked == [example.image]
    assert capsys.readouterr().out.splitlines() == [
        f"imagereward: {score:.6g}",
        f"published: {example.score:.6g} ({example.source})",
    ]


def test_an_image_of_ones_own(hub, tmp_path, capsys):
    (tmp_path / "x.png").write_bytes(png())
    words = ["--folder", str(hub("pickscore")), "--image", str(tmp_path / "x.png")]
    verify.main(["pickscore", *words, "--prompt", "a fox"])
    assert capsys.readouterr().out.startswith("pickscore: 0.")


def test_without_either(capsys):
    with pytest.raises(SystemExit):
        verify.main(["pickscore"])
    assert "no score of pickscore is published: give --image" in capsys.readouterr().err
    assert verify.EXAMPLES.keys() <= CATALOGUE.keys()
