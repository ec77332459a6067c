"""Every page of docs/ is what its script makes, frozen at a commit, or written by hand, as docs/index.md says."""

from __future__ import annotations

import shutil

import pytest

from phyda_cli.experiments.markdown import table
from tools.docs_check import DOCS, demo_faults, faults, unknown_commits
from tools.pages import put


def test_every_page_is_what_the_index_says():
    assert list(faults()) == []


@pytest.mark.parametrize(
    ("page", "old", "new", "said"),
    [
        ("index.md", "- [Design]", "- Design", "index.md: lists"),
        ("cli.md", "# phyda(1)", "# phyda", "cli.md: not up to date"),
        ("physics.md", "d299841", "0000000", "physics.md: does not say"),
        ("formats.md", "airTemperature |", "airTemperatures |", "formats.md: its table 'names of IODA files'"),
        ("train.md", "\n\n", "\n\nMade by `train`.\n\n", "train.md: says that a script made it"),
        ("formats.md", "formats/units.py", "formats/none.py", "formats.md: names phyda_cli/formats/none.py"),
        ("physics.md", "physics.png", "p.png", "physics.png: no page shows it"),
    ],
)
def test_a_page_that_is_not(tmp_path, page, old, new, said):
    docs = tmp_path / "docs"
    shutil.copytree(DOCS, docs)
    text = (docs / page).read_text(encoding="utf-8")
    assert old in text
    (docs / page).write_text(text.replace(old, new, 1), encoding="utf-8")
    assert any(line.startswith(said) for line in faults(docs))


@pytest.mark.skipif(not (DOCS.parent / ".git").exists(), reason="not a clone")
def test_a_commit_that_git_does_not_know():
    assert unknown_commits({"3293e83", "0000000"}) in (["0000000"], [])


def test_the_demo_differs_by_more_than_rounding():
    line = "t850    K             2048          0.686 →     0.6009       -0.04169 →  -0.009993"
    assert not list(demo_faults(line, line))
    assert not list(demo_faults(line.replace("0.6009", "0.6010"), line))
    assert not list(demo_faults(line.replace("-0.009993", "-0.01001"), line))
    for changed in ("0.65", "-0.6009", "nan"):
        assert list(demo_faults(line.replace("0.6009", changed), line))
    assert list(demo_faults(line.replace("t850", "t700"), line))
    assert list(demo_faults(f"{line}\n{line}", line))


def test_only_the_table_between_its_markers_is_replaced(tmp_path):
    page, before = tmp_path / "page.md", "# Words\n\n<!-- begin a -->\n\n"
    after = "\n<!-- end a -->\n\n## More\n\n<!-- begin b -->\n\nb\n\n<!-- end b -->\n"
    page.write_text(f"{before}old\n{after}")
    for _ in range(2):
        put(page, "a", table(["x", "y"], [[1, 2]]))
        assert page.read_text() == f"{before}| x | y |\n| --- | --- |\n| 1 | 2 |\n{after}"
    with pytest.raises(ValueError, match="begin c"):
        put(page, "c", "")
