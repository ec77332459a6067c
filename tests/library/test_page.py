"""Every example of docs/library.md runs, from top to bottom, and the names of the package are there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

import phyda_cli
from phyda_cli.library.analysis import Settings
from phyda_cli.settings.assimilate import AnalysisSettings
from phyda_cli.settings.methods import method_fields
from phyda_cli.settings.option import fields_of

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEAVY = ("torch", "numpy", "xarray", "pandas", "pydantic", "netCDF4", "importlib.metadata")


def blocks() -> str:
    """The code of the page, with empty lines for its prose, so that an error names the page's line."""
    text = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    code, at = "", 0
    for found in BLOCK.finditer(text):
        code += "\n" * text[at : found.start(1)].count("\n") + found[1]
        at = found.end(1)
    return code


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    (tmp_path / "examples").mkdir()
    for name in ("background.nc", "truth.nc", "observations.csv", "withheld.csv"):
        shutil.copy(ROOT / "examples" / name, tmp_path / "examples" / name)
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks(), "docs/library.md", "exec"), {"__name__": "page"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["analysis.nc", "examples"]
    said = capsys.readouterr().out
    assert "UsageError: --seed: Input should be greater than or equal to 0 (got -1)" in said
    assert "2003-10-17T18:00" in said


def test_importing_the_package_loads_nothing():
    code = f"import sys, phyda_cli; dir(phyda_cli); print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_every_name_is_there():
    assert set(phyda_cli.__all__) <= set(dir(phyda_cli))
    for name in phyda_cli.__all__:
        assert getattr(phyda_cli, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'assimilat'"):
        _ = phyda_cli.assimilat


def test_the_keywords_are_the_settings_that_are_declared():
    declared = {field.name: field for field in (*fields_of(AnalysisSettings), *method_fields())}
    own_keywords = {"method", "lagged"}  # lagged is a path or a dataset, as fgat is
    assert set(get_type_hints(Settings)) == set(declared) - own_keywords
