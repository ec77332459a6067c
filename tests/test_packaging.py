"""What is packaged agrees with the project: requirements, version, man page, the weights that ship."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from phyda_cli import __version__
from phyda_cli.cli.app import main
from phyda_cli.resources import weights_directory, weights_manifest
from tools.cli_docs import MAN_PAGE, man_page

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OTHER_NAMES = {"torch": "pytorch", "netCDF4": "netcdf4", "eccodes": "python-eccodes"}
"""Of conda-forge."""


def test_the_recipe_asks_for_what_the_project_asks_for():
    recipe = (ROOT / "packaging" / "conda" / "recipe.yaml").read_text()
    run = recipe[recipe.index("  run:") : recipe.index("tests:")]
    asked = dict(re.findall(r"- ([\w-]+) >=([\d.]+)", run))
    own = dict(line.split(">=") for line in PROJECT["project"]["dependencies"])
    assert asked == {OTHER_NAMES.get(name, name): version for name, version in own.items()} | {"python": "3.11"}
    host = recipe[recipe.index("  host:") : recipe.index("  run:")]
    for name, version in (line.split(">=") for line in PROJECT["build-system"]["requires"]):
        assert f"- {name} >={version}" in host


def test_the_release_that_comes_or_came_last_has_one_number():
    """In the change log, the citation, the recipe, and where there is no git; a tag at this commit is of it too."""
    log = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (newest, date), *_ = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (.+)$", log, re.MULTILINE)
    assert f"\n[{newest}]: https://" in log
    assert re.search(rf"^version: {re.escape(newest)}$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert f'version: "{newest}"' in (ROOT / "packaging" / "conda" / "recipe.yaml").read_text()
    version = PROJECT["tool"]["hatch"]["version"]
    released = re.fullmatch(r"\d{4}-\d\d-\d\d", date) is not None
    assert (version["source"], version["fallback-version"]) == ("vcs", newest if released else f"{newest}.dev0")
    command = ["git", "-C", str(ROOT), "tag", "--points-at", "HEAD", "--list", "v*"]
    tags = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    assert tags in ([], [f"v{newest}"])
    assert released or not tags


def test_an_installed_program_says_the_version_of_its_build():
    held = ROOT / "phyda_cli" / "VERSION"
    assert __version__ == (held.read_text().strip() if held.exists() else "0+unknown")
    assert re.fullmatch(r"\d+(\.\d+)*(\.dev\d+)?|0\+unknown", __version__)


def test_the_description_of_the_package_has_no_link_that_leads_nowhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    own = {link for link in re.findall(r"\]\(([^)]+)\)", text) if not re.match("https?:|#", link)}
    assert own
    for link in own:
        assert (ROOT / link.partition("#")[0]).exists(), link
    for one in PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(one["pattern"], one["replacement"], text)
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert all(link.startswith("https://") for link in links)
    assert "![The demo" in text
    assert "(https://raw.githubusercontent.com/phyda/phyda/main/docs/demo.png)" in text
    assert "(https://github.com/phyda/phyda/blob/main/docs/formats.md)" in text


def test_the_man_page_is_that_of_the_program():
    assert MAN_PAGE.read_text(encoding="utf-8") == man_page()
    lines = man_page().splitlines()
    assert lines[0].startswith(".TH PHYDA 1")
    assert not any(line.startswith(("'", "`")) for line in lines)
    assert sum(line == ".nf" for line in lines) == sum(line == ".fi" for line in lines) > 10


def test_info_says_which_weights_ship_and_where(capsys):
    assert main(["info", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["directory"] == str(weights_directory())
    assert {one["file"]: one["sha256"] for one in document["files"]} == {
        str(weights_directory() / name): digest for name, digest in weights_manifest().items()
    }
    assert all(one["as_shipped"] for one in document["files"])


def test_info_tells_weights_that_were_changed(tmp_path, capsys, monkeypatch: pytest.MonkeyPatch):
    name = next(iter(weights_manifest()))
    (tmp_path / name).parent.mkdir(exist_ok=True)
    content = (weights_directory() / name).read_bytes()
    (tmp_path / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    (tmp_path / "SHA256SUMS").write_text(f"{weights_manifest()[name]}  {name}\n")
    monkeypatch.setattr("phyda_cli.resources.weights_directory", lambda: tmp_path)
    assert main(["info"]) == 0
    assert f"CHANGED  {tmp_path / name}" in capsys.readouterr().out
