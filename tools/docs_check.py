"""Check the pages of docs/: each is what a script makes of it now, or frozen at a commit, or written by hand.

    python -m tools.docs_check           ends with 1 and one line for each page that is not as docs/index.md says
    python -m tools.docs_check --demo    runs `make demo`'s script too, and holds what it prints against docs/demo.txt

docs/index.md names every page with how it came about: *by hand*, *made by `SCRIPT`, checked*, or *frozen at commit
`…`*; a frozen page says the same commit itself. Tables between markers inside a page are checked like pages.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from phyda_cli.experiments.markdown import table
from phyda_cli.fields.state import Channel
from phyda_cli.formats.models.needs import MODELS, summed
from phyda_cli.formats.reports.ioda_names import NAMES, VIRTUAL
from tools.cli_docs import manual
from tools.pages import block

ROOT: Final = Path(__file__).resolve().parents[1]
DOCS: Final = ROOT / "docs"
STATUS: Final = re.compile(r"^- \[[^]]+\]\(([\w.-]+)\).*\*(by hand|made by `[^`]+`, checked|frozen at commit `\w+`)\*$")
COMMIT: Final = re.compile(r"frozen at\s+commit\s+`([0-9a-f]{7,40})`", re.IGNORECASE)
ROUNDING: Final = 0.02
"""Largest difference of two numbers of the demo, relative to the recorded one or to 1 % of its line's largest."""


def ioda_names() -> str:
    """The table of the variables of IODA files."""
    shown = {VIRTUAL: "t", "wind_speed": "wind speed", "wind_direction": "wind direction"}
    rows = [[shown.get(n.quantity, n.quantity), n.name, n.units, ", ".join(n.old)] for n in NAMES]
    return table(["phyda", "IODA", "unit", "read as well"], rows)


def model_inputs() -> str:
    """The table of what machine-learning models want."""
    rows = []
    for model in MODELS:
        near = ", ".join(model.single + model.ground)
        above = f"{', '.join(model.upper)} at {len(model.levels)} levels" if model.upper else ""
        further = "; ".join(summed(Channel(name, 100.0 * level) for name, level in model.extra))
        times = "1" if model.before is None else f"2, {model.before / np.timedelta64(1, 'h'):g} h apart"
        lacks = "; ".join(f"{what} ({whence})" for what, whence in model.besides.items())
        rows.append([model.name, ", ".join(model.layouts), near, above + further, times, model.grid, lacks])
    return table(["model", "layout", "near the ground", "on pressure levels", "times", "grid", "lacks"], rows)


PAGES: Final[dict[str, Callable[[], str]]] = {"cli.md": manual}
TABLES: Final[dict[tuple[str, str], Callable[[], str]]] = {
    ("formats.md", "names of IODA files"): ioda_names,
    ("ai-models.md", "what the models want"): model_inputs,
}


def faults(docs: Path = DOCS) -> Iterator[str]:
    """One line for each page that is not as the index says, is missing from it, or is not what its script makes."""
    index = (docs / "index.md").read_text(encoding="utf-8")
    entries = [found.groups() for line in index.splitlines() if (found := STATUS.match(line))]
    names = sorted({path.name for path in docs.glob("*.md")} - {"index.md"} | {"demo.txt"})
    if sorted(name for name, _ in entries) != names:
        yield f"index.md: lists {sorted(name for name, _ in entries)}, but there are {names}"
    for name, status in entries:
        text = (docs / name).read_text(encoding="utf-8")
        frozen = COMMIT.search(status)
        if frozen and frozen[1] not in COMMIT.findall(text):
            yield f"{name}: does not say itself that it is {status}"
        if status == "by hand" and re.search(r"^Made by", text[:300], re.MULTILINE):
            yield f"{name}: says that a script made it, and index.md that it is by hand"
        if status == "by hand":
            yield from (f"{name}: names {path}, which is not there" for path in lost_paths(text))
        if status.endswith("checked") and name not in PAGES | {"demo.txt": None}:
            yield f"{name}: nothing checks it"
    for name, make in PAGES.items():
        if (docs / name).read_text(encoding="utf-8") != make():
            yield f"{name}: not up to date; run python tools/cli_docs.py"
    for (name, part), make in TABLES.items():
        if block((docs / name).read_text(encoding="utf-8"), part)[1] != make():
            yield f"{name}: its table '{part}' is not up to date"
    pages = "".join(path.read_text(encoding="utf-8") for path in (*docs.glob("*.md"), ROOT / "README.md"))
    for path in sorted(docs.glob("*.md")):
        yield from (f"{path.name}: links to {link}, which is not there" for link in lost_links(path))
    for path in docs.iterdir():
        if path.suffix in (".png", ".csv") and path.name not in pages:
            yield f"{path.name}: no page shows it"
    for commit in unknown_commits(set(COMMIT.findall(pages))):
        yield f"commit {commit}: git does not know it"


def lost_links(page: Path) -> list[str]:
    """Links of a page to files, or to headings of pages, that are not there. Those to other hosts are not followed."""
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", _without_code(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page if not name else page.parent / name
        outside = name.startswith("../")
        held = (ROOT / name.removeprefix("../") if outside else target).exists()
        if not held or (anchor and target.suffix == ".md" and target.exists() and anchor not in _anchors(target)):
            lost.append(link)
    return lost


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as mkdocs and GitHub name them."""
    headings = re.findall(r"^#+ (.+)$", _without_code(page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower()) for text in headings}


def _without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def lost_paths(text: str) -> list[str]:
    """The source files that a page names and the repository lacks."""
    named = re.findall(r"(?:phyda_cli|tools|benchmarks|examples)/[\w/]+\.(?:py|sh|toml)", text)
    return sorted({path for path in named if not (ROOT / path).exists()})


def unknown_commits(commits: set[str]) -> list[str]:
    """The commits that the repository lacks; none where the history is not there, as in a release or shallow clone."""
    asked = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", "--is-shallow-repository"], capture_output=True, text=True, check=False
    )
    if asked.stdout.strip() != "false":
        return []
    known = ["git", "-C", ROOT, "cat-file", "-e"]
    return [c for c in sorted(commits) if subprocess.run([*known, f"{c}^{{commit}}"], check=False).returncode]


def demo_faults(printed: str, recorded: str) -> Iterator[str]:
    """The lines of the demo that differ from the record by more than rounding."""
    now, then = printed.splitlines(), recorded.splitlines()
    if len(now) != len(then):
        yield f"demo.txt: {len(then)} lines, but the demo prints {len(now)}"
    number = re.compile(r"(?<![\w.-])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.])")
    for mine, recorded_line in zip(now, then, strict=False):
        counts, values = ([[kind(n) for n in number.findall(line) if ("." in n or "e" in n) == (kind is float)]
                           for line in (mine, recorded_line)] for kind in (int, float))  # fmt: skip
        size = max((abs(value) for value in values[1]), default=0.0)
        words = [number.sub("", line).split() for line in (mine, recorded_line)]
        far = [abs(a - b) > ROUNDING * max(abs(b), 0.01 * size) for a, b in zip(*values, strict=False)]
        if words[0] != words[1] or counts[0] != counts[1] or len(values[0]) != len(values[1]) or any(far):
            yield f"demo.txt: has {recorded_line!r}, but the demo prints {mine!r}"


def run_demo() -> str:
    """What `make demo` prints."""
    program = {"PHYDA": str(Path(sys.executable).parent / "phyda")} | os.environ
    words = ["bash", str(ROOT / "examples" / "demo.sh")]
    return subprocess.run(words, env=program, stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    said = list(faults())
    if "--demo" in sys.argv[1:]:
        said += demo_faults(run_demo(), (DOCS / "demo.txt").read_text(encoding="utf-8"))
    sys.exit("\n".join(said) if said else 0)
