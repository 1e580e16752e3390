"""The Python examples of the README and the pages run; the pages' tables are there."""

import re
from pathlib import Path

import matplotlib
import pytest

matplotlib.use("Agg")

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WITH_CODE = [page for page in PAGES if "```python" in page.read_text()]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.name)
def test_examples_run(page):
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.S):
        exec(compile(code, page.name, "exec"), {})


def test_the_printed_certificate_is_the_one_shown(capsys):
    """The counterexample page shows what its example prints."""
    page = (ROOT / "docs" / "one-pass.md").read_text()
    code = re.search(r"```python\n(.*?)```", page, flags=re.S).group(1)
    exec(code, {})
    assert (
        re.search(r"print\(certificate\)\s+# (.*)", code).group(1)
        == capsys.readouterr().out.strip()
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_included_files_exist(page):
    text = page.read_text()
    links = re.findall(r"\]\((?!http|#)([^)#]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
    included = re.findall(r'--8<-- "([^":]+)', text)
    places = (ROOT / "docs", ROOT)
    assert [name for name in included if not any((p / name).exists() for p in places)] == []
