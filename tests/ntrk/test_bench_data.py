"""What the benchmark is made of: tasks, experiments, statistics, result files, choices."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
import scipy.stats
import torch
from bright_world import PROMPTS, tasks

import whitenoise as wn
from ntrk.bench import Task
from ntrk.bench.components import Components
from ntrk.bench.experiments import EXPERIMENTS, Entry, kernel_of
from ntrk.bench.jobs import jobs_of
from ntrk.bench.records import Records
from ntrk.bench.setting import Setting, fingerprint, load_tasks, shipped_weights
from ntrk.bench.statistics import difference, estimate, per_prompt
from ntrk.bench.tuning import GRIDS, Score, apply, choose, read_tuned, with_main
from ntrk.methods import DPS, METHODS, NTRK, SVDD, BestOfN, FreeDoM
from ntrk.rewards import brightness, contrast

GOOD = {
    "name": "bright",
    "title": "Bright",
    "prompts": ("a", "b"),
    "validation": ("c",),
    "target": {"brightness": brightness},
    "held_out": {"contrast": contrast},
}


class TestTask:
    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            ({"name": "two words"}, "one word"),
            ({"prompts": ()}, "one or more prompts"),
            ({"prompts": "a hill"}, "tuple of texts"),
            ({"prompts": ("a", "a")}, "distinct"),
            ({"validation": ("b",)}, "test prompt: 'b'"),
            ({"target": {}}, "one reward"),
            ({"held_out": {"brightness": contrast}}, "brightness"),
        ],
    )
    def test_what_cannot_be_one_is_refused(self, wrong, says):
        assert Task(**GOOD).target_name == "brightness"
        with pytest.raises((ValueError, TypeError), match=says):
            Task(**(GOOD | wrong))


class TestStatistics:
    def test_the_interval_is_scipys(self):
        x = np.random.default_rng(0).normal(3, 2, size=17)
        found = estimate(x)
        expected = scipy.stats.ttest_1samp(x, 0).confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx(tuple(expected))
        assert found.mean == pytest.approx(sum(x) / 17)
        assert found.prompts == 17

    def test_a_difference_is_paired_and_scipys(self):
        rng = np.random.default_rng(1)
        common = rng.normal(size=9)
        a, b = common + rng.normal(0.5, 0.1, size=9), common
        first = {f"p{i}": v for i, v in enumerate(a)} | {"only here": 100.0}
        second = {f"p{i}": v for i, v in reversed(list(enumerate(b)))} | {"only there": -100.0}
        found = difference(first, second)
        expected = scipy.stats.ttest_rel(a, b).confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx(tuple(expected))

    def test_the_interval_covers_as_often_as_it_says(self):
        # 4000 intervals from 5 prompts: 5 sd of the count of a fair 95 % are 1.7 %, so the chance
        # of a false alarm is below 1e-6.
        draws = np.random.default_rng(2).normal(size=(4000, 5))
        found = [estimate(x) for x in draws]
        covered = np.mean([e.low <= 0 <= e.high for e in found])
        assert abs(covered - 0.95) < 0.0172

    def test_few_prompts(self):
        assert math.isnan(estimate([]).mean)
        one = estimate([2.0])
        assert one.mean == 2
        assert math.isnan(one.half)

    def test_seeds_are_averaged_before_prompts(self):
        runs = [("a", 1.0), ("b", 10.0), ("a", 2.0), ("a", 6.0)]
        assert per_prompt(runs) == {"a": 3.0, "b": 10.0}


class TestExperiments:
    def test_entries_spend_what_they_say(self):
        for experiment in EXPERIMENTS.values():
            for entry in experiment.entries:
                # Half a step of FreeDoM's budget is no particle: the paper gives it 123 and 533.
                more = 41 if isinstance(kernel_of(entry.method), FreeDoM) else 1
                assert entry.budget <= entry.nfe < entry.budget + more, (experiment.name, entry)

    def test_each_row_can_be_told_from_the_others(self):
        for experiment in EXPERIMENTS.values():
            rows = [(e.name, e.budget, e.particles, e.steps) for e in experiment.entries]
            assert len(set(rows)) == len(rows), experiment.name

    def test_the_paper_has_its_headline(self):
        table = {(e.name, e.budget): e.paper for e in EXPERIMENTS["table2"].entries}
        for task in ("aesthetic", "text"):
            others = [p[task] for (n, _), p in table.items() if p and not n.startswith("NTRK")]
            assert table["NTRK", 25][task] > max(others)

    def test_budgets_can_be_bounded(self):
        assert {e.budget for e in EXPERIMENTS["table11"].within(500).entries} == {25, 500}

    def test_what_two_experiments_have_in_common_is_one_run(self):
        setting = Setting("a/b", "world.py:tasks")
        task = tasks()["aesthetic"]
        runs = {
            name: {job.id for e in EXPERIMENTS[name].entries for job in jobs_of(e, task, setting)}
            for name in ("table2", "table14")
        }
        names = {
            (e.method, e.particles, e.steps, e.diffusion)
            for name in runs
            for e in EXPERIMENTS[name].entries
        }
        assert len(runs["table2"] | runs["table14"]) == len(names) * len(PROMPTS)
        assert len(runs["table2"] & runs["table14"]) > 15 * len(PROMPTS)

    def test_every_setting_makes_another_run(self):
        task, entry, setting = tasks()["aesthetic"], Entry(DPS(), 25), Setting("a/b", "w.py:tasks")
        entries = [
            entry,
            *(dataclasses.replace(entry, **c) for c in ({"particles": 2}, {"steps": 5})),
            *(dataclasses.replace(entry, **c) for c in ({"diffusion": "ode"}, {"lora": True})),
            dataclasses.replace(entry, method=DPS(0.5)),
        ]
        settings = [setting, Setting("a/c", "w.py:tasks"), Setting("a/b", "v.py:tasks")]
        settings += [dataclasses.replace(setting, dtype="float16", lora="x/y")]
        settings += [dataclasses.replace(setting, call={"height": 64}, lora="x/y")]
        settings[0] = dataclasses.replace(setting, lora="x/y")
        ids = [
            job.id
            for e, s in [*((e, settings[0]) for e in entries), *((entry, s) for s in settings[1:])]
            for job in jobs_of(e, task, s, seeds=2)
        ]
        assert len(set(ids)) == len(ids) == 10 * 2 * len(PROMPTS)

    def test_methods_start_from_the_same_noise(self):
        task, setting = tasks()["aesthetic"], Setting("a/b", "w.py:tasks")
        seeds = [
            [j.random_seed for j in jobs_of(Entry(m, 25), task, setting, seeds=2)]
            for m in (DPS(), SVDD(4))
        ]
        assert seeds[0] == seeds[1]
        validation = jobs_of(Entry(DPS(), 25), task, setting, split="validation")
        assert len({*seeds[0], *(j.random_seed for j in validation)}) == 6 + 2


class TestComponents:
    x = torch.sin(torch.arange(1024.0)).reshape(4, 16, 16)

    def test_all_of_them_are_the_papers_operator(self):
        whole = Components(tiles=True, domains=True)(self.x, rng=0)
        torch.testing.assert_close(whole, wn.Whitener((4, 16, 16), preset="paper")(self.x, rng=0))

    def test_each_one_changes_what_comes_out(self):
        results = [
            Components(*c)(self.x, rng=0) for c in itertools.product((False, True), repeat=2)
        ]
        for a, b in itertools.combinations(results, 2):
            assert float((a - b).abs().max()) > 0.01

    def test_records_name_them(self):
        settings = NTRK(whitening=Components(tiles=True, domains=False)).settings
        assert settings["whitening"] == "Components(tiles=True, domains=False)"


class TestRecords:
    def test_a_torn_line_is_left_out_and_replaced(self, tmp_path):
        path = tmp_path / "deep" / "runs.jsonl"
        rows = [{"id": name, "target": i} for i, name in enumerate("abc")]
        records = Records(path)
        for row in rows:
            records.add(row)
        whole = path.read_bytes()
        for cut in (1, 5, 10, len(json.dumps(rows[2]))):
            path.write_bytes(whole[:-cut])
            again = Records(path)
            assert len(again) == 2
            assert "c" not in again
            again.add({"id": "d"})
            assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == [*"abd"]

    def test_another_line_that_is_none_is_an_error(self, tmp_path):
        path = tmp_path / "runs.jsonl"
        path.write_text('{"id": "a"}\n{"id": \n{"id": "b"}\n')
        with pytest.raises(ValueError, match=r"runs\.jsonl, line 2"):
            Records(path)

    def test_what_another_has_written_meanwhile_is_not_overwritten(self, tmp_path):
        first, second = (Records(tmp_path / "runs.jsonl") for _ in range(2))
        first.add({"id": "a"})
        with pytest.raises(OSError, match="one command at a time"):
            second.add({"id": "b"})
        first.add({"id": "c"})
        assert len(Records(first.path)) == 2

    def test_numbers_that_json_lacks_are_not_written(self, tmp_path):
        records = Records(tmp_path / "runs.jsonl")
        with pytest.raises(ValueError, match="JSON"):
            records.add({"id": "a", "target": float("nan")})
        assert "a" not in records


class TestSetting:
    def test_the_name_of_the_shipped_model_holds_no_path(self):
        shipped = Setting(str(shipped_weights() / "pipeline"), "ntrk.worlds.shapes:tasks")
        assert shipped.name == "ntrk.worlds.shapes"
        assert dataclasses.replace(shipped, model="some/model").name == "some/model"

    def test_the_fingerprint_sees_names_and_content(self, tmp_path):
        def folder(name, **files):
            for file, text in files.items():
                (tmp_path / name / file).parent.mkdir(exist_ok=True)
                (tmp_path / name / file).write_text(text)
            return fingerprint(str(tmp_path / name))

        assert folder("a", x="one", y="two") == folder("b", x="one", y="two")
        assert len({folder("a"), folder("c", x="one", y="too"), folder("d", x="one", z="two")}) == 3

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("nothing", "file.py:function"),
            ("no_such_module:tasks", "no_such_module"),
            ("math:pi", "TypeError"),
            ("builtins:dict", "one or more"),
            ("os:environ.copy", "AttributeError"),
        ],
    )
    def test_tasks_that_are_none_are_named(self, text, says):
        with pytest.raises(ValueError, match=says):
            load_tasks(text)


class TestChoice:
    @staticmethod
    def scores(*targets, held_out=None, failures=()):
        judged = held_out or [0.0] * len(targets)
        return [
            Score(float(i), t, h, int(i in failures))
            for i, (t, h) in enumerate(zip(targets, judged, strict=True))
        ]

    def test_the_target_chooses_and_the_judge_is_reported(self):
        found = choose(self.scores(1.0, 3.0, 2.0, held_out=[0.5, 0.1, 0.9]))
        assert found == {"value": 1.0, "edge": None, "by_held_out": 2.0}

    def test_ends_of_the_grid_are_said(self):
        assert choose(self.scores(3.0, 2.0, 1.0))["edge"] == "low"
        assert choose(self.scores(1.0, 2.0, 3.0))["edge"] == "high"

    def test_what_failed_is_not_chosen(self):
        assert choose(self.scores(1.0, 2.0, 9.0, failures={2}))["value"] == 1.0
        with pytest.raises(FloatingPointError):
            choose(self.scores(1.0, failures={0}))

    def test_every_grid_is_of_a_parameter_that_takes_it(self):
        for name, (parameter, values) in GRIDS.items():
            for value in values:
                assert getattr(with_main(METHODS[name](), value), parameter) == value
            assert list(values) == sorted(set(values))

    def test_experiments_get_it_unless_they_vary_it(self):
        tuned = {"aesthetic": {"ntrk": {"value": 0.7}}}
        entry = Entry(BestOfN(NTRK(whitening="sphere")), 500, 20)
        assert apply(entry, "aesthetic", tuned).method == BestOfN(NTRK(0.7, "sphere"))
        assert apply(entry, "text", tuned) == entry
        varied = dataclasses.replace(entry, fixed=True)
        assert apply(varied, "aesthetic", tuned) == varied

    def test_a_file_that_holds_no_choices_is_refused(self, tmp_path):
        path = tmp_path / "tuned.json"
        assert read_tuned(path) == {}
        for text in ("{", '{"a": {"no_method": {"value": 1}}}', '{"a": {"dps": {}}}', "[]"):
            path.write_text(text)
            with pytest.raises(ValueError, match=r"tuned\.json"):
                read_tuned(path)
