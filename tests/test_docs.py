"""Every page of docs/ is what its script makes, frozen at a commit, or written by hand, as docs/index.md says."""

from __future__ import annotations

import ast
import re
import shutil

import pytest

from phyda_cli.experiments.markdown import table
from phyda_cli.methods.threedvar import Minimisation
from phyda_cli.observations.table import Flag
from tools.docs_check import DOCS, ROOT, demo_faults, faults, unknown_commits
from tools.pages import put
from tools.site_links import on_page_markdown


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
        ("start.md", "(glossary.md)", "(glossaries.md)", "start.md: links to glossaries.md"),
        ("glossary.md", "(quality.md)", "(quality.md#no-such)", "glossary.md: links to quality.md#no-such"),
        ("train.md", "../examples/tutorial.sh", "../examples/none.sh", "train.md: links to ../examples/none.sh"),
    ],
)
def test_a_page_that_is_not(tmp_path, page, old, new, said):
    docs = tmp_path / "docs"
    shutil.copytree(DOCS, docs)
    text = (docs / page).read_text(encoding="utf-8")
    assert old in text
    (docs / page).write_text(text.replace(old, new, 1), encoding="utf-8")
    assert any(line.startswith(said) for line in faults(docs))


def log_entries() -> set[str]:
    """The entries of the log that the code makes: keys of what is assigned to, added to or given as `log`."""
    package, found = ROOT / "phyda_cli", set(Minimisation._fields)
    for path in (*(package / "assimilation").glob("*.py"), *(package / "methods").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            is_log = isinstance(target, ast.Name) and target.id == "log"
            if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name) and target.value.id == "log":
                found.add(target.slice.value)
            elif (is_log or (isinstance(node, ast.keyword) and node.arg == "log")) and node.value is not None:
                dicts = [one for one in ast.walk(node.value) if isinstance(one, ast.Dict)]
                found |= {key.value for one in dicts for key in one.keys if isinstance(key, ast.Constant)}
    return found


def test_the_glossary_has_every_entry_of_the_log_and_every_flag():
    held = log_entries()
    assert {"method", "trust", "columns_reached", "humidity_capped", "first_guesses", "cost_after", "used"} <= held
    told = set(re.findall(r"`([^`]+)`", (DOCS / "glossary.md").read_text(encoding="utf-8")))
    assert held - told == set()
    for flag in Flag:
        assert f"| `{flag.name.lower()}` | {flag.value} |" in (DOCS / "glossary.md").read_text(encoding="utf-8")


def test_every_page_has_its_place_in_the_site():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    nav = re.findall(r": (\S+\.md)$", text[text.index("\nnav:") :], re.MULTILINE)
    assert sorted(nav) == sorted(path.name for path in DOCS.glob("*.md"))


def test_links_of_the_site_to_files_outside_of_docs_go_to_the_repository(caplog):
    config = {"repo_url": "https://host/own"}
    page = "[a](../examples/cron) [b](../README.md#try-it) [c](quality.md) [d](https://x/../y) [e](../none)"
    made = on_page_markdown(page, config=config)
    assert made.startswith(
        "[a](https://host/own/tree/main/examples/cron) [b](https://host/own/blob/main/README.md#try-it)"
    )
    assert "[c](quality.md) [d](https://x/../y)" in made
    assert "link to ../none, which is not there" in caplog.text


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
