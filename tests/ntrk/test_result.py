"""Results: pixels and settings come back from the files, and nothing is lost without a word."""

import json
import math
import subprocess
import sys

import av
import numpy as np
import pytest
import torch
from PIL import Image

from ntrk.result import Result, read_settings

NAN = math.nan
SETTINGS = {
    "label": "NTRK",
    "method": {"name": "ntrk", "strength": 0.3},
    "prompt": 'a “cat”; ünder = \\ #1\n"quoted" 猫',
    "seed": 2**63 + 1,
    "steps": (1, 2.5, None, True),
    "tau": math.inf,
    "shift": np.float32(0.5),
}
SAVED_SETTINGS = SETTINGS | {"steps": [1, 2.5, None, True], "tau": None, "shift": 0.5}
HISTORY = [
    {"step": 0, "sigma": 1.0, "nfe": 2, "reward": [NAN, 0.1], "pvalue": [0.5, 0.0]},
    {"step": 1, "sigma": 0.5, "nfe": 4, "reward": [0.25, 0.75], "pvalue": [0.3, 1e-5]},
]


def result(images=None, **changes):
    if images is None:
        images = torch.rand(2, 3, 8, 6, generator=torch.Generator().manual_seed(0))
    particles = len(images)
    reward = torch.arange(1, particles + 1) / 4
    parts = {
        "reward": reward,
        "rewards": {"red": 2 * reward, "round": torch.full((particles,), NAN)},
        "held_out": {"blue": -reward},
        "nfe": 50,
        "history": HISTORY,
        "settings": SETTINGS,
    }
    return Result(images, **parts | changes)


def strict(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("offset", [-0.4, 0.0, 0.4])
def test_png_pixels_are_the_nearest_of_256_levels(tmp_path, channels, offset):
    exact = np.random.default_rng(0).integers(0, 256, (2, channels, 8, 6))
    images = torch.tensor((exact + offset).clip(0, 255) / 255, dtype=torch.float32)
    *files, _ = result(images).save(tmp_path)
    for file, pixels in zip(files, exact, strict=True):
        read = np.asarray(Image.open(file)).reshape(8, 6, channels)
        np.testing.assert_array_equal(read, pixels.transpose(1, 2, 0))


def test_png_metadata_tell_everything_of_their_particle(tmp_path):
    paths = result(fallbacks=3, interrupted=True).save(tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["image-0.png", "image-1.png", "result.json"]
    assert read_settings(paths[1]) == {
        "settings": SAVED_SETTINGS,
        "nfe": 50,
        "fallbacks": 3,
        "interrupted": True,
        "particle": 1,
        "reward": 0.5,
        "rewards": {"red": 1.0, "round": None},
        "held_out": {"blue": -0.5},
    }
    text = Image.open(paths[1]).text
    assert text["Description"] == SETTINGS["prompt"]
    assert (text["Title"], text["Software"]) == ("NTRK", "ntrk")
    assert text["Comment"] == "reward 0.5, particle index 1 of 2, NFE 50"


def test_json_is_strict_and_has_the_rest(tmp_path):
    path = result().save(tmp_path)[-1]
    read = read_settings(path)
    assert read == strict(path)
    assert read["settings"] == SAVED_SETTINGS
    assert read["reward"] == [0.25, 0.5]
    assert read["rewards"] == {"red": [0.5, 1.0], "round": [None, None]}
    assert read["history"] == [HISTORY[0] | {"reward": [None, 0.1]}, HISTORY[1]]
    assert read["files"] == ["image-0.png", "image-1.png"]


def moving_bars(particles=2, frames=5, height=32, width=48):
    """Smooth colours, which lossy compression keeps."""
    position = torch.linspace(0, 1, width).expand(height, width)
    shift = torch.arange(particles * frames).reshape(particles, frames, 1, 1) / 3
    channels = [0.5 + 0.5 * torch.cos(3 * position + shift + phase) for phase in (0, 2, 4)]
    return torch.stack(channels, dim=2)


def psnr(a, b):
    """Peak signal-to-noise ratio in dB; from about 35 on, eyes see little difference."""
    return 20 * math.log10(255) - 10 * math.log10(np.mean((a - b) ** 2))


def test_video_and_its_metadata_come_back(tmp_path):
    videos = moving_bars()
    paths = result(videos).save(tmp_path, fps=12.5)
    assert [path.name for path in paths] == ["video-0.mp4", "video-1.mp4", "result.json"]
    for particle, path in enumerate(paths[:-1]):
        with av.open(path) as container:
            stream = container.streams.video[0]
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
            assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
            assert stream.average_rate == 12.5
            assert container.metadata["description"] == SETTINGS["prompt"]
        expected = (255 * videos[particle]).movedim(1, -1).numpy()
        assert psnr(np.stack(frames), expected) > 35
        assert read_settings(path)["settings"] == SAVED_SETTINGS
        assert read_settings(path)["reward"] == (particle + 1) / 4


def test_video_is_tagged_with_the_colours_it_is_written_in(tmp_path):
    colours = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
    video = colours.reshape(1, 3, 3, 1, 1).expand(1, 3, 3, 16, 16)
    path = result(video).save(tmp_path)[0]
    with av.open(path) as container:
        assert container.streams.video[0].codec_context.colorspace == 1
        luma = [frame.to_ndarray()[0, 0] for frame in container.decode(video=0)]
    # ITU-R BT.709, table 3: black 16, white 235, weights of red, green and blue in luma.
    np.testing.assert_allclose(luma, 16 + 219 * np.array([0.2126, 0.7152, 0.0722]), atol=1.5)


def test_grey_video_is_saved_in_grey(tmp_path):
    path = result(torch.full((1, 2, 1, 16, 16), 0.4)).save(tmp_path / "grey.mp4")[0]
    with av.open(path) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert np.abs(frame - 102).max() <= 2


def test_a_file_name_names_the_files(tmp_path):
    assert [p.name for p in result().save(tmp_path / "a.png")] == ["a-0.png", "a-1.png", "a.json"]
    one = result(torch.zeros(1, 3, 4, 4))
    assert [path.name for path in one.save(tmp_path / "strength-0.3.png")] == [
        "strength-0.3.png",
        "strength-0.3.json",
    ]
    assert one.save(tmp_path / "strength-0.3")[0] == tmp_path / "strength-0.3" / "image-0.png"
    many = result(torch.zeros(11, 3, 4, 4)).save(tmp_path / "many")
    assert [path.name for path in many[:2]] == ["image-00.png", "image-01.png"]


@pytest.mark.parametrize("name", ["a.jpg", "a.mp4", "a.json", "a.webp"])
def test_suffixes_of_other_formats_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"path must be a folder or end in \.png"):
        result().save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_existing_files_are_kept_unless_told_otherwise(tmp_path):
    (tmp_path / "image-1.png").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"overwrite=True: .*image-1\.png"):
        result().save(tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"mine"]
    result().save(tmp_path, overwrite=True)
    assert read_settings(tmp_path / "image-1.png")["particle"] == 1


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (
            {"images": torch.full((2, 3, 4, 4), NAN)},
            ValueError,
            r"images\[0\] must lie in \[0, 1\]",
        ),
        ({"images": torch.full((2, 3, 4, 4), 1.01)}, ValueError, "from 1.01 to 1.01"),
        ({"images": torch.zeros(2, 5)}, ValueError, r"images must have shape .* got \(2, 5\)"),
        ({"images": torch.zeros(2, 4, 8, 8)}, ValueError, "one or three channels"),
        ({"images": torch.zeros(2, 2, 3, 8, 7)}, ValueError, "even height and width.*8x7"),
        ({"settings": {"a": [object()]}}, TypeError, r"settings\['a'\]\[0\] must be a value that"),
        ({"settings": {1: 2}}, TypeError, r"settings must have strings for keys .*\[1\]"),
    ],
)
def test_what_cannot_be_saved_is_refused_before_anything_is_written(
    tmp_path, wrong, error, message
):
    with pytest.raises(error, match=message):
        result(**wrong).save(tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fps", [0, -1, NAN, math.inf])
def test_fps_is_positive(tmp_path, fps):
    with pytest.raises(ValueError, match="fps must be a positive number, got"):
        result(moving_bars()).save(tmp_path, fps=fps)


def test_files_of_others_are_not_taken_for_results(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    (tmp_path / "a.json").write_text("[1]")
    for name in ("a.png", "a.json"):
        with pytest.raises(ValueError, match="holds no settings of a result"):
            read_settings(tmp_path / name)
    with pytest.raises(ValueError, match=r"path must end in \.png, \.mp4 or \.json"):
        read_settings(tmp_path / "a.txt")


@pytest.mark.parametrize("name", ["reward", "rewards", "held_out"])
def test_there_is_one_reward_a_particle(name):
    wrong = torch.zeros(3)
    with pytest.raises(ValueError, match=rf"{name}.* of the 2 particles, got shape \(3,\)"):
        result(**{name: wrong if name == "reward" else {"x": wrong}})


def test_the_best_is_never_nan():
    scored = result(torch.rand(3, 3, 4, 4), reward=torch.tensor([-2.0, -1.0, NAN]))
    assert scored.best == 1
    np.testing.assert_array_equal(np.asarray(scored.image), np.asarray(scored.pil()[1]))
    with pytest.raises(ValueError, match="holds no particles"):
        _ = result(torch.zeros(0, 3, 4, 4)).best


def test_videos_are_lists_of_frames():
    videos = result(moving_bars(2, 5))
    assert [len(video) for video in videos.pil()] == [5, 5]
    assert [frame.size for frame in videos.image] == [(48, 32)] * 5


def test_one_line_tells_the_outcome():
    assert str(result()) == "NTRK: 2 particles of 3x8x6, reward best 0.5, mean 0.375, NFE 50"
    ended = result(torch.zeros(1, 5), fallbacks=3, interrupted=True, settings={"method": "dps"})
    assert str(ended) == (
        "dps: 1 particle of 5, reward 0.25, NFE 50, 3 particle-steps without a usable gradient, "
        "interrupted"
    )
    assert repr(ended) == f"<Result {ended}>"
    assert str(result(torch.zeros(0, 5))) == "NTRK: 0 particles of 5, NFE 50"


def test_plot_shows_images_rewards_and_pvalues():
    *images, rewards, pvalues = result().plot().axes
    assert [axes.get_title() for axes in images] == ["particle 1: 0.5", "particle 0: 0.25"]
    lines = [line.get_xydata().tolist() for line in rewards.lines]
    assert lines == [[[0, 0.1], [1, 0.75]], [[1, 0.25]]]
    assert pvalues.get_yscale() == "log"
    lines = [line.get_ydata() for line in pvalues.lines]
    assert [list(line) for line in lines] == [[0.5, 0.3], [1e-16, 1e-5], [1e-3, 1e-3]]
    assert "below 1e-16" in pvalues.get_ylabel()


def test_plot_leaves_out_what_is_not_there():
    assert len(result(history=[]).plot().axes) == 2
    assert len(result(torch.zeros(2, 5)).plot().axes) == 2
    assert len(result(history=[{"step": 0, "pvalue": [NAN, NAN]}]).plot().axes) == 2
    assert len(result(torch.zeros(20, 2, 3, 4, 4), history=[]).plot().axes) == 8
    with pytest.raises(ValueError, match="nothing to plot"):
        result(torch.zeros(2, 5), history=[]).plot()


@pytest.mark.parametrize(
    ("package", "call"),
    [
        ("PIL", lambda folder: result().save(folder)),
        ("av", lambda folder: result(moving_bars()).save(folder)),
        ("matplotlib", lambda folder: result().plot()),
    ],
)
def test_missing_packages_are_named_with_their_extra(monkeypatch, tmp_path, package, call):
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf'{package}: pip install "noisetilt\[ntrk\]"'):
        call(tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_import_loads_no_optional_package():
    code = "import sys, ntrk.result; print({'PIL', 'av', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
