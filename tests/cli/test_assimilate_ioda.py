"""`phyda assimilate` with IODA: the same analysis from a table and from its IODA file, feedback in UFO's groups."""

from __future__ import annotations

import json

import netCDF4
import numpy as np
import pytest
import xarray as xr

from phyda_cli.cli.app import main
from phyda_cli.formats.feedback.netcdf import read_feedback
from phyda_cli.formats.gridded.background_error import to_bytes
from tests.support.background_error import small_statistics
from tests.support.fields import dataset, save
from tests.support.ioda import metadata, write

TABLE = """\
time,latitude,longitude,pressure_hPa,station,variable,value,error
2020-03-01T12:00:00Z,40,100,500,A,t,265,1
2020-03-01T12:00:00Z,41,200,500,B,t,262,1
2020-03-01T12:20:00Z,-35,20,850,C,u,9,2
2020-03-01T12:20:00Z,-35,20,850,C,v,-1,2
2020-03-01T12:20:00Z,-35,20,500,C,gh,4120,15
2020-03-01T12:00:00Z,,20,850,D,t,270,1
2020-03-01T12:00:00Z,10,20,850,D,t,1000,1
2020-03-01T12:00:00Z,10,20,850,D,ozone,1,1
"""


@pytest.fixture
def run(tmp_path):
    """Assimilate a file and give the analysis's file back."""
    save(dataset(["t", "u", "v", "z"]), tmp_path / "bg.nc")
    (tmp_path / "obs.csv").write_text(TABLE)
    (tmp_path / "b.safetensors").write_bytes(to_bytes(small_statistics(), provenance={}))

    def assimilate(observations, output, *options):
        files = {"--background": "bg.nc", "--obs": observations, "--out": output, "--weights": "b.safetensors"}
        words = [word for option, name in files.items() for word in (option, str(tmp_path / name))]
        assert main(["assimilate", *words, "--background-error-scale", "1", *options]) == 0
        return tmp_path / output

    return assimilate


@pytest.mark.parametrize("method", [("oi",), ("3dvar", "--members", "0")], ids=["oi", "3dvar"])
def test_the_analysis_of_a_table_and_of_its_ioda_file_are_the_same(run, tmp_path, capsys, method):
    words, ioda = ("--method", *method, "--json"), ("--feedback-format", "ioda")
    first = run("obs.csv", "a.nc", *words, "--feedback", str(tmp_path / "f.nc4"), *ioda)
    counts = json.loads(capsys.readouterr().out)
    second = run("f.nc4", "b.nc", *words, "--feedback", str(tmp_path / "f.nc"))
    again = json.loads(capsys.readouterr().out)
    assert (counts["observations"], counts["used"]) == (again["observations"], again["used"]) == (8, 5)
    with xr.open_dataset(first) as one, xr.open_dataset(second) as two, xr.open_dataset(tmp_path / "bg.nc") as before:
        moved = float(np.abs(one["t"] - before["t"].squeeze("time")).max())
        assert moved > 0.1
        for name in ("t", "u", "v", "z"):
            size = float(np.abs(one[name] - before[name].squeeze("time")).max())
            assert size > 0
            np.testing.assert_allclose(two[name], one[name], rtol=0, atol=1e-4 * size)
    with netCDF4.Dataset(tmp_path / "f.nc4") as ioda:
        feedback = read_feedback(tmp_path / "f.nc")
        temperatures = np.flatnonzero(feedback.observations.variable == "t")[:2]
        np.testing.assert_allclose(
            ioda["oman/airTemperature"][:2], feedback.analysis_departure[temperatures], rtol=1e-3
        )
        assert ioda["EffectiveQC0/airTemperature"][:].compressed().tolist() == [0, 0, 10, 12]
        assert ioda["EffectiveQC0/ozone"][:].compressed().tolist() == [15]
        assert ioda.phyda_version


def test_a_file_of_a_converter_is_assimilated(run, tmp_path, capsys):
    place = metadata(3, latitude=[40.0, 41.0, -35.0], longitude=[100.0, 200.0, 20.0], stationElevation=[5.0, 6.0, 7.0])
    value = {"airTemperature": [265.0, 262.0, np.nan], "windEastward": [np.nan, np.nan, 9.0]}
    groups = {"MetaData": place, "ObsValue": value, "PreQC": {"airTemperature": [2, 13, 2]}}
    write(tmp_path / "obs.nc4", groups)
    run("obs.nc4", "a.nc", "--method", "oi", "--json")
    document = json.loads(capsys.readouterr().out)
    assert (document["observations"], document["used"]) == (3, 2)
    assert document["variables"][0]["rejected"] == {"pre_qc": 1}


def test_a_layout_without_a_feedback_is_refused(tmp_path, capsys):
    files = [f"--{option}={tmp_path / option}" for option in ("background", "obs", "out")]
    assert main(["assimilate", *files, "--feedback-format", "ioda"]) == 2
    assert "give --feedback FILE" in capsys.readouterr().err
