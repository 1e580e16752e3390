"""`ntrk bench`: its tables and figures, and what it says of a wrong command line."""

import bright_world
import pytest
import torch
from bright_world import CALL, EXPERIMENT, SPEC

from ntrk import cli
from ntrk.bench import command, jobs
from ntrk.bench.collected import Row, collect
from ntrk.bench.experiments import Entry
from ntrk.bench.jobs import jobs_of
from ntrk.bench.records import Records
from ntrk.bench.running import run_jobs
from ntrk.bench.setting import Setting, load_tasks
from ntrk.bench.summary import comparisons, results_table
from ntrk.methods import NTRK, SVDD, Base, BestOfN

TASKS = load_tasks(SPEC)
SMALL = ["--pipe", "height=32", "--pipe", "width=32", "--pipe", "max_sequence_length=64"]
SMALL += ["--dtype", "float32"]


@pytest.fixture
def bench(checkpoint, tmp_path, monkeypatch, capsys):
    """``bench(*arguments) -> (code, stdout, stderr)``, where table2 takes two steps."""
    monkeypatch.setattr(command, "EXPERIMENTS", {"table2": EXPERIMENT})

    def run(*arguments):
        line = ["bench", str(checkpoint("flux")), "--tasks", SPEC, "--results", str(tmp_path)]
        capsys.readouterr()
        code = cli.main([*line, *SMALL, "--jobs", "1", *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def row(method, budget, targets, **more):
    prompts = {f"p{i}": float(t) for i, t in enumerate(targets)}
    entry = Entry(method, budget)
    return Row(
        entry.name,
        entry,
        prompts,
        {"contrast": prompts, "redness": {}},
        nfe=budget,
        seconds=1.0,
        **more,
    )


class TestTables:
    ROWS = (
        row(Base(), 25, (1, 2, 3)),
        row(NTRK(), 25, (4.1, 5.2, 6.3)),
        row(BestOfN(), 500, (2, 3, 4), checked=1000, rejected=5),
        row(SVDD(), 500, (3.0, 4.0, 5.0)),
    )

    def test_comparisons_are_with_the_best_other_method(self):
        first, second = comparisons(self.ROWS)
        assert first.startswith(
            "NTRK (25 NFE) less Base (25 NFE), the best other method of at most"
        )
        assert "+3.20 [+2.95, +3.45] over 3 prompts; NTRK is above" in first
        assert second.startswith("NTRK (25 NFE) less SVDD (500 NFE), the best other method of all")
        assert "+1.20 [+0.95, +1.45]" in second

    def test_a_table_says_what_was_measured_and_reported(self):
        lines = results_table(TASKS["aesthetic"], self.ROWS, seeds=2, tuned=False)
        head, _, *body = [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in lines
            if line[:1] == "|"
        ]
        cells = {line[0]: dict(zip(head, line, strict=True)) for line in body}
        assert cells["NTRK"]["above Base"] == "+3.20 ± 0.25"
        assert cells["NTRK"]["gain"] == "3.20"  # best of N adds 1
        assert cells["BoN"]["rejected"] == "0.005"
        assert cells["SVDD"]["brightness"] == "4.0 ± 2.5"
        assert cells["SVDD"]["contrast"] == "4.0 ± 2.5"
        assert "2 seeds" in "\n".join(lines)
        assert "not tuned" in "\n".join(lines)

    def test_missing_and_failed_runs_are_said(self):
        rows = [*self.ROWS[:3], row(SVDD(), 500, (3.0,), failures=2)]
        text = "\n".join(results_table(TASKS["aesthetic"], rows, seeds=1, tuned=True))
        assert "SVDD 2" in text
        assert "Incomplete" in text

    def test_rows_are_found_by_what_was_run(self, checkpoint, tmp_path):
        setting = Setting(str(checkpoint("flux")), SPEC, CALL)
        records = Records(tmp_path / "runs.jsonl")
        run_jobs(
            jobs_of(EXPERIMENT.entries[0], TASKS["text"], setting), records, setting, progress=False
        )
        rows = collect(EXPERIMENT, TASKS["text"], setting, records, {}, prompts=2)
        assert set(rows[0].target) == set(bright_world.PROMPTS[:2])
        assert rows[0].mean.mean == pytest.approx(sum(rows[0].target.values()) / 2)
        assert [len(r.target) for r in rows[1:]] == [0, 0, 0]


class TestCommand:
    def test_it_writes_tables_and_figures_and_goes_on(self, bench, tmp_path):
        code, out, error = bench("--prompts", "2", "--quiet")
        assert (code, out, error) == (0, "", "")
        lines = (tmp_path / "runs.jsonl").read_bytes()
        assert lines.count(b"\n") == 2 * 2 * len(EXPERIMENT.entries)
        code, out, _ = bench("--prompts", "2", "--tables", tmp_path / "t", "--quiet")
        assert (tmp_path / "runs.jsonl").read_bytes() == lines
        (table,) = (tmp_path / "t").iterdir()
        assert table.name.endswith("_table2.md")
        text = table.read_text()
        assert "**Bright pictures**" in text
        assert "| NTRK | 2 |" in text
        assert {p.suffix for p in (tmp_path / "figures").iterdir()} == {".png"}
        assert len(list((tmp_path / "figures").iterdir())) == 2

    def test_the_list_costs_nothing(self, bench, monkeypatch):
        monkeypatch.setattr(jobs, "generate", None)
        code, out, error = bench("--list")
        assert (code, error) == (0, "")
        assert "| table2 | Few steps | aesthetic, text | 4 |" in out

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (("--experiments", "table3"), "'table3'"),
            (("--max-nfe", "10"), "--max-nfe 10 leaves no rows of table2"),
            (("--lora", "no/such/folder"), "--lora must be a folder"),
            (("--pipe", "height=32"), "height is given twice"),
            (("--device", "cuda"), "device"),
            (("--tasks", "no_such.py:tasks"), "no_such.py:tasks"),
            (("--prompts", "0"), "--prompts"),
        ],
    )
    def test_a_wrong_command_line_is_blamed(self, bench, arguments, says):
        if "cuda" in arguments and torch.cuda.is_available():
            pytest.skip("there is a GPU")
        code, out, error = bench(*arguments)
        assert (code, out) == (2, "")
        assert says in error

    def test_every_line_of_help_fits_a_terminal(self, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "80")
        assert cli.main(["bench", "--help"]) == 0
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 80

    def test_a_model_without_tasks_is_refused(self, capsys):
        assert cli.main(["bench", "some/model"]) == 2
        assert "--tasks must say what the tasks of some/model are" in capsys.readouterr().err

    def test_a_model_that_is_not_there_is_named(self, capsys, tmp_path):
        line = ["bench", str(tmp_path / "none"), "--tasks", SPEC, "--results", str(tmp_path)]
        assert cli.main([*line, "--jobs", "1", "--quick", "--quiet"]) == 1
        assert "cannot load the model" in capsys.readouterr().err

    def test_experiments_that_need_more_are_left_out_and_named(self, capsys, checkpoint, tmp_path):
        line = ["bench", str(checkpoint("flux")), "--tasks", SPEC, "--results", str(tmp_path)]
        assert cli.main([*line, "--experiments", "section55,table11"]) == 2
        error = capsys.readouterr().err
        assert "section55 needs an adapter" in error
        assert "table11 is of the tasks count; there are: aesthetic, text" in error
