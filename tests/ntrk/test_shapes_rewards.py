"""Rewards of the shapes world: what they prefer, that they see it, and that gradients are right.

Networks are measured on 200 scenes of a seed that no training used; thresholds are three standard
errors or more below what was measured, so that only a worse network fails.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from ntrk.worlds.shapes import draw, read_caption, sample_scene
from ntrk.worlds.shapes import rewards as r
from ntrk.worlds.shapes.encoders import LENGTH, as_tokens
from ntrk.worlds.shapes.grammar import HELD_OUT, RELATIONS, holds
from ntrk.worlds.shapes.networks import NETWORKS
from ntrk.worlds.shapes.parsing import satisfies
from ntrk.worlds.shapes.preference import preference
from ntrk.worlds.shapes.questions import asked_relation, asked_row
from ntrk.worlds.shapes.scene import SIDE, Scene, Thing
from ntrk.worlds.shapes.tasks import tasks
from ntrk.worlds.shapes.training import rewards as training
from ntrk.worlds.shapes.training.scenes import Pool, distort, mutate

THRESHOLDS = {  # least and most
    "aesthetic": {"correlation": (0.93, 1), "mean_absolute_error": (0, 0.35)},
    "aesthetic_twin": {"correlation": (0.93, 1), "mean_absolute_error": (0, 0.35)},
    "alignment": {"above_all_wrong": (0.78, 1), "above_a_wrong_one": (0.94, 1)},
    "alignment_twin": {"above_all_wrong": (0.64, 1), "above_a_wrong_one": (0.91, 1)},
    "count": {"right": (0.98, 1), "mean_absolute_error": (0, 0.06)},
    "count_twin": {"right": (0.98, 1), "mean_absolute_error": (0, 0.08)},
    "answers": {
        "caption_right": (0.75, 1),
        "relation_right": (0.75, 1),
        "horizon_right": (0.98, 1),
        "horizon_distance": (0, 1),
    },
    "answers_twin": {
        "caption_right": (0.7, 1),
        "relation_right": (0.75, 1),
        "horizon_right": (0.98, 1),
        "horizon_distance": (0, 1),
    },
}

LEARNED = [r.aesthetic, r.alignment, r.count, r.answers]
TWINS = [r.aesthetic_twin, r.alignment_twin, r.count_twin, r.answers_twin]
PLACED = [r.relation, r.relation_twin, r.horizon, r.horizon_twin]
PROMPT = "a red circle and a blue square in a landscape"
SCENE = Scene(
    (Thing("circle", "red", 20, 22, 8.5), Thing("square", "blue", 44, 40, 8)), "landscape", 30.0
)


def as_images(*scenes):
    return torch.from_numpy(np.stack([draw(s) for s in scenes])).permute(0, 3, 1, 2) / 255


@pytest.fixture(scope="module")
def pool():
    return Pool(200, seed=404)


@pytest.fixture(scope="module")
def batch(pool):
    return pool.batch(np.random.default_rng(0), 200)


class TestPreference:
    def test_one_thing_in_the_middle_by_hand(self):
        scene = Scene((Thing("circle", "yellow", 32, 32, 14),), "white")
        luminance = 0.299 * 250 + 0.587 * 220 + 0.114 * 50
        colour = (1 + (250 - luminance) / 255 / 0.6) / 2
        layout = (1 + 1 / (1 + math.exp(-(18 - 4) / 1.5)) + 1 - math.exp(-196 / 250)) / 3
        assert preference(scene) == pytest.approx(3 * colour + 7 * layout)

    def test_two_things_in_a_landscape_by_hand(self):
        pair = (Thing("cross", "red", 22, 32, 6), Thing("circle", "red", 42, 32, 6))
        layout = [
            1,
            1 / (1 + math.exp(-(22 - 6 - 4) / 1.5)),
            1 - math.exp(-72 / 250),
            20 / (0.8 * 64 / math.sqrt(2)),
            math.exp(-((30 - 64 / 3) ** 2) / 72),
        ]
        red = (0.299 * 214 + 0.587 * 40 + 0.114 * 40) / 255
        land = 1 / (1 + math.exp(-1))
        sky_y, land_y = (
            (0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2]) / 255
            for c in ((175, 215, 240), (205, 185, 150))
        )
        ground = (1 - land) * sky_y + land * land_y
        colour = (1 + min((ground - red) / 0.6, 1)) / 2
        expected = 3 * colour + 7 * sum(layout) / 5
        assert preference(Scene(pair, "landscape", 30.0)) == pytest.approx(expected)

    def test_it_is_in_range_and_sees_neither_order_nor_mirror_nor_shape(self):
        rng = np.random.default_rng(0)
        for _ in range(200):
            _, scene = sample_scene(rng)
            value = preference(scene)
            assert 0 <= value <= 10
            mirrored = [replace(t, x=SIDE - t.x, shape="circle") for t in scene.things[::-1]]
            assert preference(replace(scene, things=tuple(mirrored))) == pytest.approx(value)
        assert preference(Scene(())) == 0

    def test_two_colours_by_hand(self):
        # Red has hue 0, yellow (220 - 50) / (250 - 50) * 60 = 51 degrees.
        things = (Thing("circle", "red", 12, 32, 6), Thing("circle", "yellow", 52, 32, 6))
        harmony = (1 + math.cos(math.radians(51)) ** 2) / 2
        luminances = [0.299 * 214 + 0.587 * 40 + 0.114 * 40, 0.299 * 250 + 0.587 * 220 + 0.114 * 50]
        contrast = sum(min((y - 20) / 255 / 0.6, 1) for y in luminances) / 2
        layout = [1, 1 / (1 + math.exp(-(12 - 6 - 4) / 1.5)), 1 - math.exp(-72 / 250), 1]
        expected = 3 * (harmony + contrast) / 2 + 7 * sum(layout) / 4
        assert preference(Scene(things, "black")) == pytest.approx(expected)


class TestScenesToLearnFrom:
    def test_a_changed_caption_is_wrong_and_the_caption_is_right(self):
        rng = np.random.default_rng(1)
        for k in range(300):
            caption, scene = sample_scene(rng, held_out=k % 2 == 1)
            demand = read_caption(caption)
            wrong = mutate(demand, rng)
            assert read_caption(str(wrong)) == wrong
            assert satisfies(demand, scene)
            assert not satisfies(wrong, scene)

    def test_relations_are_answered_as_the_scene_has_them(self, pool):
        rng = np.random.default_rng(2)
        for row in pool.pairs:
            question, answer = pool.relation(row, rng)
            things = {f"{t.color} {t.shape}": t for t in pool.scenes[row].things}
            relation = next(word for word in RELATIONS if word in question)
            words = question.removeprefix("is ").split(f" {relation} ")
            first, second = (things.get(w.split(" ", 1)[1]) for w in words)
            there = first is not None and second is not None
            assert answer == (there and holds(relation, first, second))

    def test_maps_add_up_to_counts_of_what_is_there(self, pool):
        batch = pool.batch(np.random.default_rng(3), 40, altered=0.5)
        for side in (8, 16):
            torch.testing.assert_close(batch.densities(side).sum((2, 3)), batch.counts())
        sizes = torch.tensor([len(pool.scenes[row].things) for row in batch.rows])
        assert torch.equal(batch.counts().sum(1) == sizes, batch.whole)
        assert not batch.whole[:20].all()
        assert batch.whole[20:].all()

    def test_distortion_keeps_the_range_and_depends_on_the_generator_alone(self, batch):
        one, two, three = (
            distort(batch.images[:4], 1.6, torch.Generator().manual_seed(seed))
            for seed in (0, 0, 1)
        )
        assert torch.equal(one, two)
        assert not torch.equal(one, three)
        assert one.min() >= 0
        assert one.max() <= 1


class TestNetworks:
    @pytest.mark.parametrize("name", NETWORKS)
    def test_each_is_small(self, name):
        assert sum(p.numel() for p in NETWORKS[name]().parameters()) <= 250_000

    def test_all_together_are_at_most_four_megabytes(self):
        assert sum(f.stat().st_size for f in r.FOLDER.glob("*.safetensors")) <= 4_000_000

    @pytest.mark.parametrize(("name", "least"), THRESHOLDS.items())
    def test_each_sees_what_it_was_trained_for_on_new_scenes(self, pool, batch, name, least):
        network = r.load(r.FOLDER / f"{name}.safetensors")
        measure = training.MEASURES[name.removesuffix("_twin")]
        with torch.no_grad():
            found = measure(network, pool, batch, batch.images)
        for what, (worst, best) in least.items():
            assert worst <= found[what] <= best, what

    def test_words_are_numbered_from_one_and_the_rest_is_zero(self):
        tokens = as_tokens(["a red circle on white", "a a"])
        assert tokens.shape == (2, LENGTH)
        assert (tokens > 0).sum(1).tolist() == [5, 2]
        assert tokens[1, 0] == tokens[1, 1] == tokens[0, 0]


class TestTraining:
    @pytest.mark.parametrize("name", NETWORKS)
    def test_a_loss_reaches_all_that_is_trained(self, pool, name):
        torch.manual_seed(0)
        network = NETWORKS[name]()
        kind = name.removesuffix("_twin")
        training.LOSSES[kind](network, pool, np.random.default_rng(0), 1.6).backward()
        for key, value in network.named_parameters():
            assert value.grad.isfinite().all(), key
            assert value.grad.any(), key

    def test_what_is_missing_comes_again_as_it_was_and_the_rest_stays(self, tmp_path, monkeypatch):
        names = ["count", "alignment", "count_twin", "alignment_twin"]
        monkeypatch.setattr(training, "NETWORKS", {name: NETWORKS[name] for name in names})
        monkeypatch.setattr(training, "STEPS", {"count": 1, "alignment": 1})
        monkeypatch.setattr(training, "SCENES", 60)
        monkeypatch.setattr(training, "HELD_OUT_SCENES", 20)
        training._pool.cache_clear()
        metrics = training.train_rewards(tmp_path)
        written = {f.name: f.read_bytes() for f in tmp_path.iterdir()}
        assert len(written) == 5
        (tmp_path / "alignment.safetensors").unlink()
        monkeypatch.setattr(training, "LOSSES", {"alignment": training.LOSSES["alignment"]})
        assert training.train_rewards(tmp_path) == metrics
        assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == written
        training._pool.cache_clear()


class TestRewards:
    @pytest.mark.parametrize("reward", [*LEARNED, *TWINS, *PLACED], ids=lambda f: f.__name__)
    def test_the_gradient_is_the_slope(self, reward):
        generator = torch.Generator().manual_seed(0)
        image = as_images(SCENE)
        image = 0.8 * image + 0.2 * torch.rand(image.shape, generator=generator)
        image.requires_grad_()
        value = reward(image, [PROMPT])
        assert value.shape == (1,)
        (slope,) = torch.autograd.grad(value.sum(), image)
        step = slope / slope.norm()
        ahead, behind = (reward(image + e * step, [PROMPT]).item() for e in (1e-2, -1e-2))
        assert (ahead - behind) / 2e-2 == pytest.approx(slope.norm().item(), rel=0.05)

    @pytest.mark.parametrize("reward", [*LEARNED, *TWINS, *PLACED], ids=lambda f: f.__name__)
    def test_an_image_has_one_reward_whatever_is_beside_it(self, reward):
        images = as_images(SCENE, replace(SCENE, horizon=45.0), replace(SCENE, horizon=20.0))
        together = reward(images, [PROMPT] * 3)
        alone = torch.cat([reward(images[k : k + 1], [PROMPT]) for k in range(3)])
        torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-3)

    @pytest.mark.parametrize(
        "reward",
        [r.alignment, r.alignment_twin, r.answers, r.answers_twin],
        ids=lambda f: f.__name__,
    )
    def test_a_wrong_caption_scores_lower(self, reward, pool, batch):
        right = [str(pool.demands[row]) for row in batch.rows[:100]]
        rng = np.random.default_rng(5)
        wrong = [str(mutate(pool.demands[row], rng)) for row in batch.rows[:100]]
        images = batch.images[:100]
        assert (reward(images, right) > reward(images, wrong)).float().mean() > 0.85

    @pytest.mark.parametrize("reward", [r.count, r.count_twin], ids=lambda f: f.__name__)
    def test_the_right_number_has_the_highest_count_reward(self, reward):
        things = [Thing("circle", "red", x, y, 6) for y in (16, 48) for x in (12, 32, 52)]
        images = as_images(*(Scene(tuple(things[:n]), "gray") for n in range(2, 7)))
        values = reward(images, ["four red circles on gray"] * 5)
        assert values.argmax() == 2
        assert (values <= 0).all()

    @pytest.mark.parametrize("reward", [r.horizon, r.horizon_twin], ids=lambda f: f.__name__)
    def test_the_horizon_is_wanted_in_the_row_asked_for(self, reward):
        row = asked_row(PROMPT)
        rows = [row - 12, row - 6, row, row + 6, row + 12]
        values = reward(as_images(*(replace(SCENE, horizon=h) for h in rows)), [PROMPT] * 5)
        assert values.argmax() == 2
        assert values.abs().max() < 8

    @pytest.mark.parametrize("reward", [r.relation, r.relation_twin], ids=lambda f: f.__name__)
    def test_of_four_relations_the_one_that_holds_is_wanted_most(self, reward, pool):
        rows = [k for k, demand in enumerate(pool.demands) if demand.relation]
        images = torch.from_numpy(pool.images[rows]).permute(0, 3, 1, 2) / 255
        demands = [pool.demands[row] for row in rows]
        values = torch.stack(
            [
                reward(images, [str(replace(d, relation=name)) for d in demands])
                for name in RELATIONS
            ]
        )
        truth = torch.tensor([RELATIONS.index(d.relation) for d in demands])
        assert (values.argmax(0) == truth).float().mean() > 0.75


class TestFlattery:
    """Pixels that follow a target please it far more than they please anything held out."""

    @pytest.mark.parametrize(
        ("target", "twin"),
        list(zip(LEARNED, TWINS, strict=True)),
        ids=[reward.__name__ for reward in LEARNED],
    )
    def test_the_twin_is_not_flattered(self, target, twin, pool, batch):
        start = batch.images[:8]
        prompts = [str(pool.demands[row]) for row in batch.rows[8:16]]  # of other images
        images = start.clone()
        for _ in range(20):
            images.requires_grad_()
            (slope,) = torch.autograd.grad(target(images, prompts).sum(), images)
            step = 0.5 * slope / slope.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
            images = (images.detach() + step).clamp(0, 1)
        gain, shared = ((f(images, prompts) - f(start, prompts)).mean() for f in (target, twin))
        assert gain > 0.5
        assert shared < gain / 3


class TestExactRewards:
    def test_they_are_what_the_scene_is(self):
        rng = np.random.default_rng(6)
        pairs = [sample_scene(rng) for _ in range(60)]
        captions, scenes = zip(*pairs, strict=True)
        images = as_images(*scenes)
        assert r.caption_exact(images, captions).min() == 1
        assert r.count_exact(images, captions).abs().max() == 0
        assert r.count_right(images, captions).min() == 1
        truth = torch.tensor([preference(scene) for scene in scenes])
        assert (r.aesthetic_exact(images, captions) - truth).abs().max() < 0.5

    def test_counts_too_few_and_too_many_add_up(self):
        prompt = "two red circles and three blue squares in a landscape"
        images = as_images(SCENE)
        assert r.count_exact(images, [prompt]).tolist() == [-3]
        assert r.count_right(images, [prompt]).tolist() == [0]

    def test_the_relation_is_that_of_the_only_things_of_each_kind(self):
        for relation in RELATIONS:
            prompt = f"a red circle {relation} a blue square in a landscape"
            expected = float(relation == "left of")
            assert r.relation_exact(as_images(SCENE), [prompt]).tolist() == [expected]
        twice = replace(SCENE, things=(*SCENE.things, Thing("circle", "red", 12, 52, 7)))
        prompt = "a red circle left of a blue square in a landscape"
        assert r.relation_exact(as_images(twice), [prompt]).tolist() == [0]

    def test_the_horizon_is_as_far_as_it_is_and_absent_is_farthest(self):
        row = asked_row(PROMPT)
        scenes = [replace(SCENE, horizon=row + 9), replace(SCENE, ground="white", horizon=None)]
        near, absent = r.horizon_exact(as_images(*scenes), [PROMPT] * 2).tolist()
        assert near == pytest.approx(-9, abs=1)
        assert absent == -64

    @pytest.mark.parametrize("reward", r.EXACT, ids=lambda f: f.__name__)
    def test_they_say_that_they_have_no_gradient(self, reward):
        assert reward.differentiable is False


class TestErrors:
    @pytest.mark.parametrize("reward", [*LEARNED, *TWINS, *PLACED, *r.EXACT])
    def test_images_and_prompts_that_do_not_fit_are_refused(self, reward):
        with pytest.raises(
            ValueError, match="shape \\(batch, 3, 64, 64\\), got \\(1, 3, 32, 32\\)"
        ):
            reward(torch.zeros(1, 3, 32, 32), [PROMPT])
        with pytest.raises(ValueError, match="one an image, 1, got 2"):
            reward(as_images(SCENE), [PROMPT, PROMPT])

    @pytest.mark.parametrize("reward", [r.alignment, r.count, r.answers, r.relation, r.horizon])
    def test_prompts_that_are_not_of_the_grammar_are_refused(self, reward):
        with pytest.raises(ValueError, match=r"of the grammar.*'a red dragon'"):
            reward(as_images(SCENE), ["a red dragon"])

    def test_relations_and_horizons_need_prompts_that_have_them(self):
        with pytest.raises(ValueError, match="two single things, got 'two red circles on white'"):
            r.relation(as_images(SCENE), ["two red circles on white"])
        with pytest.raises(ValueError, match="'in a landscape', got 'a red circle on white'"):
            r.horizon(as_images(SCENE), ["a red circle on white"])


class TestTasks:
    @pytest.mark.parametrize("task", tasks().values(), ids=lambda task: task.name)
    def test_every_reward_reads_every_prompt(self, task):
        assert (len(task.prompts), len(task.validation)) == (24, 8)
        images = as_images(SCENE, SCENE)
        for reward in [*task.target.values(), *task.held_out.values()]:
            for prompts in (task.prompts[:2], task.prompts[-2:], task.validation[-2:]):
                assert reward(images, prompts).shape == (2,)

    def test_prompts_are_of_the_kinds_that_their_tasks_say(self):
        demands = {n: [read_caption(p) for p in t.prompts] for n, t in tasks().items()}
        firsts = [(d.groups[0].color, d.groups[0].shape) in HELD_OUT for d in demands["text"]]
        assert sum(firsts) == 12
        assert {d.groups[0].number for d in demands["count"]} == set(range(4, 11))
        assert {d.ground for d in demands["horizon"]} == {"landscape"}
        asked = [asked_relation(str(d)) for d in demands["relation"]]
        assert [asked.count(relation) for relation in RELATIONS] == [6] * 4
