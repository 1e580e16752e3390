"""Tasks for the tiny Flux: a plain reward as target, others held out; and a short experiment."""

from ntrk.bench import Task
from ntrk.bench.experiments import Entry, Experiment
from ntrk.methods import NTRK, SVDD, Base, BestOfN
from ntrk.rewards import brightness, contrast, redness

SPEC = f"{__file__}:tasks"
CALL = {"height": 32, "width": 32, "max_sequence_length": 64}
EXPERIMENT = Experiment(
    "table2",
    "Few steps",
    ("aesthetic", "text"),
    (
        Entry(Base(), 25, steps=2, paper={"aesthetic": 6.0}),
        Entry(BestOfN(), 100, 2, steps=2, paper={"aesthetic": 7.0}),
        Entry(SVDD(2), 100, steps=2),
        Entry(NTRK(whitening="sphere"), 25, steps=2, paper={"aesthetic": 8.0}),
    ),
)
PROMPTS = ("a hill", "a fox", "a boat")
VALIDATION = ("a lake", "a crow")


def tasks():
    return {
        "aesthetic": Task(
            "aesthetic",
            "Bright pictures",
            PROMPTS,
            VALIDATION,
            {"brightness": brightness},
            {"contrast": contrast, "redness": redness},
        ),
        "text": Task(
            "text",
            "Red pictures",
            PROMPTS,
            VALIDATION,
            {"redness": redness},
            {"contrast": contrast},
        ),
    }
