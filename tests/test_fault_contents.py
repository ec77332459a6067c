"""Contents of observation files and settings that a run must tell: streams, units, unread columns, a failing solver.

Each goes through the command: an exit code, one line, the old output as it was; or the values that count, and a word
in the log for what was not read.
"""

from __future__ import annotations

import gzip
import io
import json
import sys

import numpy as np
import pytest
import torch

from phyda_cli.cli.app import main
from phyda_cli.formats.feedback.netcdf import read_feedback
from phyda_cli.methods import control_problem
from phyda_cli.methods.conjugate_gradients import Solution
from tests.support.runs import TABLE, TIME, make_inputs, refused


@pytest.fixture
def inputs(tmp_path):
    return make_inputs(tmp_path)


def values_of(words, inputs):
    """(n,) the values that a run took, in the order of the rows."""
    assert main([*words, f"--feedback={inputs.place / 'f.nc'}"]) == 0
    found = read_feedback(inputs.place / "f.nc")
    return np.asarray(found.observations.value)


ENCODED = {
    "UTF-8": TABLE.encode(),
    "with a mark": TABLE.encode("utf-8-sig"),
    "UTF-16": TABLE.encode("utf-16"),
    "gzip": gzip.compress(TABLE.encode()),
    "lines of DOS": TABLE.replace("\n", "\r\n").encode(),
}
BROKEN = {
    "Latin-1": (TABLE.replace(",A\n", ",Z\xfcrich\n").encode("latin-1"), "byte 0xfc"),
    "binary": (bytes(range(256)) * 8, "standard input"),
    "cut gzip": (gzip.compress(TABLE.encode())[:-9], "damaged"),
    "empty": (b"", "empty"),
}


def on_standard_input(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="ascii"))


@pytest.mark.parametrize("kind", ENCODED)
def test_standard_input_of_any_encoding(inputs, monkeypatch, kind):
    """The five values of the table, whatever the locale's encoding."""
    on_standard_input(monkeypatch, ENCODED[kind])
    found = values_of(inputs.words(obs="-"), inputs)
    np.testing.assert_allclose(found, [265.25, 262.25, 9.25, -1.25, 263.25])


@pytest.mark.parametrize("kind", BROKEN)
def test_standard_input_that_is_no_table(inputs, monkeypatch, capsys, kind):
    data, word = BROKEN[kind]
    on_standard_input(monkeypatch, data)
    refused(inputs, capsys, inputs.words(obs="-"), 65, word)


def test_units_mixed_by_row_are_those_of_the_rows(inputs):
    """By hand: −18 °C = 255.15 K, 10 kt = 5.14444 m/s, 5 km/h = 1.38889 m/s."""
    rows = [("t", "-18", "degC"), ("t", "265.25", "K"), ("u", "10", "kt"), ("v", "5", "km/h")]
    text = "time,latitude,longitude,pressure_hPa,variable,value,unit\n"
    text += "".join(f"{TIME},40,{100 + i},500,{','.join(row)}\n" for i, row in enumerate(rows))
    (inputs.place / "obs.csv").write_text(text)
    found = values_of(inputs.words(), inputs)
    np.testing.assert_allclose(found, [255.15, 265.25, 5.144444, 1.388889], rtol=1e-6)


def test_units_mixed_in_a_column_without_units_are_not_guessed_row_by_row(inputs):
    """Three K and two °C: the °C are rejected, each with the remedy, and never converted."""
    text = "time,latitude,longitude,pressure_hPa,variable,value\n"
    values = (265.25, -18.0, 262.25, -20.0, 263.25)
    text += "".join(f"{TIME},40,{100 + 20 * i},500,t,{value}\n" for i, value in enumerate(values))
    (inputs.place / "obs.csv").write_text(text)
    found = values_of(inputs.words(), inputs)
    np.testing.assert_allclose(found, values)
    judged = read_feedback(inputs.place / "f.nc").observations
    assert not judged.used[[1, 3]].any()
    assert all("degC" in judged.reason[i] for i in (1, 3))


def test_columns_and_variables_that_were_not_read_are_named_once(inputs, capsys):
    lines = TABLE.splitlines()
    lines = [f"{lines[0]},remark,cloud_cover", *(f"{line},fine,8" for line in lines[1:])]
    lines.append(f"{TIME},40,100,500,ozone,3e-6,,A,fine,8")
    (inputs.place / "obs.csv").write_text("\n".join(lines) + "\n")
    assert main([*inputs.words(), "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("columns that were not read: remark, cloud_cover") == 1
    assert captured.err.count("variables that are not known and not read: ozone") == 1
    document = json.loads(captured.out)
    assert (document["observations"], document["used"]) == (6, 5)


def solving(monkeypatch, change):
    """Change what the solver of 3D-Var finds."""
    real = control_problem.conjugate_gradients

    def changed(*arguments: object, **options: object) -> Solution:
        return change(real(*arguments, **options))

    monkeypatch.setattr(control_problem, "conjugate_gradients", changed)


def test_a_solver_that_fails_leaves_the_old_output(inputs, monkeypatch, capsys):
    solving(monkeypatch, lambda found: found._replace(residual=torch.full_like(found.residual, torch.nan)))
    refused(inputs, capsys, inputs.words(), 65, "3D-Var cannot be solved", "--background-error-scale")


def test_a_solver_that_does_not_converge_says_so_in_the_log_and_the_document(inputs, monkeypatch, capsys):
    solving(monkeypatch, lambda found: found._replace(residual=torch.full_like(found.residual, 0.25)))
    assert main([*inputs.words(), "--json"]) == 0
    captured = capsys.readouterr()
    assert "3D-Var did not converge" in captured.err
    assert "0.25 of the first one" in captured.err
    log = json.loads(captured.out)["log"]
    assert log["converged"] is False
    assert log["gradient_reduction"] == pytest.approx(0.25)


def test_a_solver_that_converges_warns_of_nothing(inputs, capsys):
    assert main([*inputs.words(), "--json"]) == 0
    captured = capsys.readouterr()
    assert "did not converge" not in captured.err
    assert json.loads(captured.out)["log"]["converged"] is True
