"""Write the table of rewards of the documentation: python docs/_rewards.py."""

from pathlib import Path

from ntrk.rewards.catalogue import table

if __name__ == "__main__":
    (Path(__file__).parent / "_tables" / "rewards.md").write_text(table(), encoding="utf-8")
