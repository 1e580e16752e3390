"""The shapes world: what is drawn, what is said of it, and what is read off the pixels again."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import ndimage

from ntrk.worlds.shapes import (
    COLORS,
    SHAPES,
    Demand,
    Group,
    Scene,
    Thing,
    draw,
    read_caption,
    sample_scene,
)
from ntrk.worlds.shapes.drawing import coverage
from ntrk.worlds.shapes.grammar import HELD_OUT, NUMBERS, vocabulary
from ntrk.worlds.shapes.parsing import count, parse, satisfies

RED = Thing("circle", "red", 20, 30, 8)
BLUE = Thing("square", "blue", 48, 30, 8)


def scenes(number, seed=0, **kwargs):
    rng = np.random.default_rng(seed)
    return [sample_scene(rng, **kwargs) for _ in range(number)]


class TestDrawing:
    @pytest.mark.parametrize(
        ("shape", "area"),
        [
            ("circle", math.pi),
            ("square", 1.8**2),
            ("triangle", 1.85),
            ("cross", 2 * 0.76 * 2 - 0.76**2),
        ],
    )
    def test_areas_are_those_of_the_figures(self, shape, area):
        covered = coverage(Thing(shape, "red", 31.3, 32.6, 20)).sum()
        assert covered == pytest.approx(area * 400, rel=0.01)

    def test_a_sharp_figure_has_the_same_pixels(self):
        """Against points in a polygon, counted 8 x 8 a pixel."""
        thing = Thing("triangle", "red", 30.25, 33.5, 15)
        fine = (np.arange(64 * 8) + 0.5) / 8
        dx, dy = fine[None, :] - thing.x, fine[:, None] - thing.y
        r, base = thing.radius, 0.85 * thing.radius
        inside = (dy <= base) & (dy >= -r) & (abs(dx) <= r * (dy + r) / (base + r))
        share = inside.reshape(64, 8, 64, 8).mean((1, 3))
        assert abs(share - coverage(thing)).max() < 0.25  # at corners
        assert abs(share - coverage(thing)).mean() < 2e-3

    def test_colours_and_grounds(self):
        image = draw(Scene((RED, BLUE), "landscape", 40.0))
        assert image.shape == (64, 64, 3)
        assert image.dtype == np.uint8
        assert image[30, 20].tolist() == list(COLORS["red"])
        assert image[30, 48].tolist() == list(COLORS["blue"])
        assert image[39, 0].tolist() != image[40, 0].tolist()

    @pytest.mark.parametrize("texture", ["striped", "dotted"])
    def test_textures_are_darker_in_part(self, texture):
        plain = draw(Scene((dataclasses.replace(RED, radius=14),)))
        marked = draw(Scene((dataclasses.replace(RED, radius=14, texture=texture),)))
        darker = (marked.astype(int) < plain.astype(int)).any(-1).sum()
        assert 0.2 < darker / (math.pi * 14**2) < 0.8
        assert not (marked > plain).any()


class TestGrammar:
    def test_captions_read_back_as_what_was_asked(self):
        for caption, _ in scenes(500):
            assert str(read_caption(caption)) == caption

    def test_scenes_have_what_captions_ask_for(self):
        """By the things themselves, without `satisfies`."""
        for caption, scene in scenes(300):
            demand = read_caption(caption)
            assert scene.ground == demand.ground
            assert (scene.horizon is not None) == (scene.ground == "landscape")
            kinds = [(t.color, t.shape) for t in scene.things]
            assert sorted(kinds) == sorted(
                (g.color, g.shape) for g in demand.groups for _ in range(g.number)
            )
            if demand.relation == "above":
                assert scene.things[0].y < scene.things[1].y
            if demand.relation == "left of":
                assert scene.things[0].x < scene.things[1].x

    def test_things_neither_touch_nor_leave_the_image(self):
        for _, scene in scenes(200):
            covers = [coverage(t) > 0.5 for t in scene.things]
            assert sum(covers).max() <= 1
            _, parts = ndimage.label(sum(covers), np.ones((3, 3)))
            assert parts == len(scene.things)
            border = np.pad(np.zeros((62, 62)), 1, constant_values=1)
            assert not (sum(covers) * border).any()

    def test_held_out_pairs_never_come_up_unless_asked_for(self):
        def pairs(held_out):
            found = [read_caption(c).groups for c, _ in scenes(400, held_out=held_out)]
            return [[(g.color, g.shape) in HELD_OUT for g in groups] for groups in found]

        assert not any(map(any, pairs(False)))
        assert all(first for first, *_ in pairs(True))

    def test_every_number_colour_and_shape_comes_up(self):
        words = {word for caption, _ in scenes(1500) for word in caption.split()}
        assert words == set(vocabulary())

    @pytest.mark.parametrize(
        "caption",
        [
            "a dog on white",
            "a circles on white",
            "two red circle on white",
            "a orange circle on white",
            "a red circle in a white",
            "a red circle",
            "eleven red circles on white",
        ],
    )
    def test_other_captions_are_refused(self, caption):
        with pytest.raises(ValueError, match=r"caption must .* got '" + caption):
            read_caption(caption)


class TestParsing:
    def test_drawn_scenes_are_found_again(self):
        for caption, scene in scenes(1000, seed=7):
            found = parse(draw(scene))
            assert satisfies(read_caption(caption), found), caption
            assert len(found.things) == len(scene.things)
            for thing in scene.things:
                near = min(found.things, key=lambda t: math.hypot(t.x - thing.x, t.y - thing.y))
                assert near.shape == thing.shape
                assert near.color == thing.color
                assert abs(near.x - thing.x) < 1
                assert abs(near.y - thing.y) < 1
                assert abs(near.radius - thing.radius) < 1
            if scene.horizon is not None:
                assert abs(found.horizon - scene.horizon) <= 1

    def test_floats_and_bytes_give_the_same(self):
        image = draw(Scene((RED, BLUE)))
        floats = np.moveaxis(image, -1, 0).astype(np.float32) / 255
        assert parse(floats) == parse(image)

    @pytest.mark.parametrize(
        "caption",
        [
            "two red circles and a blue square on white",
            "a red circle right of a blue square on white",
            "a red circle and a blue square on black",
            "a red circle on white",
            "a striped red circle left of a blue square on white",
            "a large red circle left of a blue square on white",
        ],
    )
    def test_wrong_captions_are_told(self, caption):
        scene = parse(draw(Scene((RED, BLUE))))
        assert satisfies(read_caption("a red circle left of a blue square on white"), scene)
        assert not satisfies(read_caption(caption), scene)

    def test_shapes_that_melt_into_each_other_are_not_two(self):
        scene = Scene((RED, dataclasses.replace(RED, x=30)))
        assert count(parse(draw(scene)), Group(2, "red", "circle")) < 2

    def test_noise_and_nothing_show_nothing(self):
        noise = np.random.default_rng(0).random((3, 64, 64))
        for image in (noise, np.ones((3, 64, 64))):
            demand = Demand((Group(1, "red", "circle"),))
            assert not satisfies(demand, parse(image))

    @pytest.mark.parametrize(
        ("image", "message"),
        [
            (np.zeros((64, 64, 3)), r"shape \(64, 64, 3\) of float64"),
            (np.zeros((3, 32, 32)), r"shape \(3, 32, 32\)"),
            (np.full((3, 64, 64), 1.5), "1.5"),
            (np.full((3, 64, 64), np.nan), "nan"),
        ],
    )
    def test_other_images_are_refused(self, image, message):
        with pytest.raises(ValueError, match=message):
            parse(image)


def test_vocabulary_is_of_single_words():
    words = vocabulary()
    assert len(set(words)) == len(words)
    assert set(NUMBERS) | set(COLORS) | set(SHAPES) <= set(words)
