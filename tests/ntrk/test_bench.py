"""Runs of the benchmark on a tiny Flux and plain rewards: rows, resumption, tuning."""

import json
import math

import bright_world
import pytest
import tiny
import torch
from bright_world import CALL, EXPERIMENT, SPEC

import ntrk
from ntrk.bench import running, tuning
from ntrk.bench.experiments import Entry, Experiment
from ntrk.bench.jobs import jobs_of, run_job
from ntrk.bench.records import Records
from ntrk.bench.running import run_jobs
from ntrk.bench.setting import Bench, Setting, load_tasks
from ntrk.bench.summary import tuning_table
from ntrk.bench.tuning import tune
from ntrk.methods import DNO, DPS, NTRK, RBF, Base, BestOfN
from ntrk.noise import seed_from

TASKS = load_tasks(SPEC)


@pytest.fixture
def setting(checkpoint):
    return Setting(str(checkpoint("flux")), SPEC, CALL)


@pytest.fixture
def records(tmp_path):
    return Records(tmp_path / "runs.jsonl")


class TestOneRun:
    def test_a_row_is_the_best_of_what_generate_gives(self, setting):
        job = jobs_of(Entry(DPS(0.01), 100, 3, 2), TASKS["aesthetic"], setting)[1]
        row = run_job(job, Bench(setting))
        out = ntrk.generate(
            tiny.load("flux", setting.model),
            "a fox",
            reward=bright_world.brightness,
            held_out={"contrast": bright_world.contrast},
            method=DPS(0.01),
            steps=2,
            particles=3,
            batch_size=3,
            seed=seed_from(0, 1, 0),
            progress=False,
            **CALL,
        )
        assert out.best < 2, "the last one must not be the best, or this says nothing"
        assert row["target"] == pytest.approx(float(out.reward.max()), rel=1e-5)
        judged = float(out.held_out["contrast"][out.best])
        assert row["held_out"]["contrast"] == pytest.approx(judged, rel=1e-5)
        assert row["nfe"] == out.nfe == 6
        assert row["noise"]["checked"] == 0
        assert json.loads(json.dumps(row, allow_nan=False)) == row

    @pytest.mark.parametrize("method", [Base(), BestOfN(NTRK(whitening="sphere")), DNO(2), RBF(2)])
    def test_the_noise_of_some_prompts_is_tested(self, setting, method):
        particles = 2 if isinstance(method, BestOfN) else 1
        runs = jobs_of(Entry(method, 25, particles, 3), TASKS["aesthetic"], setting)
        noise = run_job(runs[0], Bench(setting))["noise"]
        # The last step injects nothing; the noise of a whole pass of DNO is tested at once.
        assert noise["checked"] == {"dno": 1}.get(method.name, 2 * particles)
        assert 0 <= noise["mean_pvalue"] <= 1

    def test_values_that_are_not_finite_are_a_row_too(self, setting):
        runs = Bench(setting)
        runs.pipe(lora=False).transformer.proj_out.bias.data.fill_(torch.inf)
        row = run_job(jobs_of(Entry(Base(), 25, steps=2), TASKS["aesthetic"], setting)[0], runs)
        assert "not finite" in row["error"]
        assert "target" not in row

    def test_the_adapter_is_there_for_its_entries_alone(self, setting, load, tmp_path):
        pipe = load("flux")
        tiny.add_lora(pipe)
        pipe.transformer.save_lora_adapter(tmp_path / "bare")
        state = {f"transformer.{k}": v for k, v in _adapter(tmp_path / "bare").items()}
        ntrk.saving.optional("safetensors.torch").save_file(
            state, tmp_path / "pytorch_lora_weights.safetensors"
        )
        adapted = Setting(setting.model, SPEC, CALL, lora=str(tmp_path))
        bench = Bench(adapted)
        targets = [
            run_job(
                jobs_of(Entry(Base(), 25, steps=2, lora=lora), TASKS["text"], adapted)[0], bench
            )["target"]
            for lora in (False, True, True, False)
        ]
        assert targets[0] == targets[3] != targets[1] == targets[2]


def _adapter(folder):
    (file,) = folder.glob("*.safetensors")
    return ntrk.saving.optional("safetensors.torch").load_file(file)


class TestRuns:
    def all_jobs(self, setting, **options):
        return [
            job
            for task in TASKS.values()
            for entry in EXPERIMENT.entries
            for job in jobs_of(entry, task, setting, **options)
        ]

    def test_what_is_there_is_not_run_again(self, setting, records, monkeypatch):
        made = []

        def counted(job, *rest):
            made.append(job.id)
            return run_job(job, *rest)

        monkeypatch.setattr(running, "run_job", counted)
        wanted = self.all_jobs(setting, prompts=1)
        run_jobs([*wanted[:3], *wanted[:3]], records, setting, progress=False)
        assert len(made) == 3
        lines = records.path.read_bytes()
        records.path.write_bytes(lines[:-7])  # as if the last line had been cut off
        run_jobs(wanted, Records(records.path), setting, progress=False)
        assert len(made) == len(wanted) + 1
        assert made.count(made[2]) == 2
        assert len(Records(records.path)) == len(wanted)

    def test_processes_give_the_same_rows_as_one(self, setting, tmp_path):
        wanted = self.all_jobs(setting, prompts=1)[:4]
        found = []
        for processes in (1, 2):
            records = Records(tmp_path / f"{processes}.jsonl")
            run_jobs(wanted, records, setting, processes=processes, progress=False)
            found.append([records[job.id]["target"] for job in wanted])
        assert found[0] == pytest.approx(found[1], rel=1e-4)

    def test_an_error_in_a_process_is_passed_on(self, setting, records):
        broken = Setting(setting.model, SPEC, {"no_such_size": 1})
        with pytest.raises(TypeError, match="no_such_size"):
            run_jobs(self.all_jobs(broken)[:2], records, broken, processes=2, progress=False)

    def test_the_best_image_is_kept_if_asked(self, setting, records, tmp_path):
        (job,) = jobs_of(EXPERIMENT.entries[1], TASKS["text"], setting, prompts=1)
        run_jobs([job], records, setting, images=tmp_path / "images", progress=False)
        assert [p.name for p in (tmp_path / "images").iterdir()] == [f"{job.id}.png"]


class TestTuning:
    @pytest.fixture
    def small(self, monkeypatch):
        """Rewards that are known functions of the parameter, in place of runs."""

        def known(job, *_):
            value = job.entry.method.temperature
            return {
                "id": job.id,
                "task": job.task,
                "label": "",
                "prompt": job.prompt,
                "target": -abs(math.log10(value) + 2) + job.index,
                "held_out": {"contrast": value},
            }

        monkeypatch.setattr(running, "run_job", known)
        return Experiment("table2", "", ("aesthetic",), (Entry(BestOfN(DPS()), 500, 20),))

    def test_the_best_mean_target_is_chosen_and_kept(self, setting, small, tmp_path):
        tuned = tune([small], TASKS, setting, tmp_path, progress=False)
        choice = tuned["aesthetic"]["dps"]
        assert choice["value"] == 0.01
        assert choice["by_held_out"] == 10.0
        assert choice["edge"] is None
        assert (choice["nfe"], choice["prompts"], choice["judge"]) == (25, 2, "contrast")
        assert tuning.read_tuned(tmp_path / "tuned.json") == tuned
        grid = {g["value"]: g["target"] for g in choice["grid"]}
        assert grid[0.01] == pytest.approx(0.5)  # the mean of 0 and 1, prompts 0 and 1
        assert "| aesthetic | dps | temperature | 0.0001 … 10 (11) | 0.01 |  |" in "\n".join(
            tuning_table(tuned)
        )

    def test_test_prompts_are_not_looked_at(self, setting, small, tmp_path):
        tune([small], TASKS, setting, tmp_path, progress=False)
        rows = [json.loads(line) for line in (tmp_path / "tuning.jsonl").read_text().splitlines()]
        assert {row["prompt"] for row in rows} == set(bright_world.VALIDATION)

    def test_other_choices_are_kept(self, setting, small, tmp_path):
        (tmp_path / "tuned.json").write_text('{"text": {"dps": {"value": 0.5}}}')
        tune([small], TASKS, setting, tmp_path, progress=False)
        assert set(tuning.read_tuned(tmp_path / "tuned.json")) == {"text", "aesthetic"}
