"""Radio occultations in IODA files, as JEDI's converters write them, and phyda's own feedback of them."""

from __future__ import annotations

import netCDF4
import numpy as np
import pytest

from phyda_cli.formats.feedback.ioda import write_ioda
from phyda_cli.formats.feedback.netcdf import read_feedback, write_feedback
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.observations.table import Feedback, Flag
from tests.support.ioda import GONE, NOON, write

HEIGHTS = [2000.0, 5000.0, 12_000.0, 31_000.0]


def occultation(path, values=(220.0, 160.0, 65.0, 3.2), *, height=HEIGHTS, **more):
    n = len(values)
    metadata = {
        "latitude": [10.0, 10.1, 10.2, 10.3][:n], "longitude": [-170.0] * n, "dateTime": np.full(n, NOON, np.int64),
        "height": list(height), "satelliteIdentifier": np.full(n, 750, np.int32),
        "satelliteTransmitterId": np.full(n, 12, np.int32), "sequenceNumber": np.full(n, 3, np.int32), **more,
    }  # fmt: skip
    return write(
        path,
        {"MetaData": {k: v for k, v in metadata.items() if v is not None},
         "ObsValue": {"atmosphericRefractivity": list(values), "bendingAngle": [0.01] * n},
         "ObsError": {"atmosphericRefractivity": [2.0, 1.0, 0.3, GONE][:n]}},
        units={"MetaData/height": "m", "ObsValue/atmosphericRefractivity": "N_units", "ObsValue/bendingAngle": "rad"},
    )  # fmt: skip


def test_refractivity_is_placed_by_height(tmp_path):
    found = read_observations(occultation(tmp_path / "ro.nc4"))
    rows = found.take(found.variable == "refractivity")
    assert rows.height.tolist() == HEIGHTS
    np.testing.assert_allclose(rows.value, [220.0, 160.0, 65.0, 3.2], rtol=1e-6)
    np.testing.assert_allclose(rows.error, [2.0, 1.0, 0.3, np.nan], rtol=1e-6)
    assert rows.used.all()
    assert set(rows.station) == {"750-12"}
    assert set(rows.report) == {"gnssro"}
    assert np.diff(rows.pressure).max() < 0
    assert 78_000 < rows.pressure[0] < 80_500
    angles = found.take(found.variable == "bendingAngle")
    assert angles.flag.tolist() == [Flag.H_FAILED] * 4
    assert np.isnan(angles.height).all()


def test_a_profile_without_satellites_is_named_by_its_number(tmp_path):
    path = occultation(tmp_path / "ro.nc4", satelliteIdentifier=None, satelliteTransmitterId=None)
    rows = read_observations(path)
    assert set(rows.station[rows.variable == "refractivity"]) == {"profile 3"}
    assert rows.used[rows.variable == "refractivity"].all()


def test_what_is_wrong_is_said(tmp_path):
    path = occultation(
        tmp_path / "ro.nc4",
        height=[GONE, 5000.0, 12_000.0, 900_000.0],
        satelliteIdentifier=np.array([750, -3, 5000, 750], np.int32),
    )
    found = read_observations(path)
    rows = found.take(found.variable == "refractivity")
    assert rows.flag.tolist() == [Flag.PASS, Flag.PRE_QC, Flag.PRE_QC, Flag.BOUNDS]
    assert np.isnan(rows.pressure[0])
    assert rows.reason[1:3].tolist() == ["satellite identifier -3 is none", "satellite identifier 5000 is none"]
    assert rows.reason[3] == "height 900000 m is not within -1000..150000"


@pytest.mark.parametrize("layout", ["ioda", "phyda"])
def test_feedback_comes_back_with_its_heights(tmp_path, layout):
    found = read_observations(occultation(tmp_path / "ro.nc4"))
    rows = found.take(found.variable == "refractivity")
    path = tmp_path / "feedback.nc4"
    feedback = Feedback(rows, rows.value - 1.0, rows.value - 0.5, np.full(len(rows), np.nan))
    if layout == "ioda":
        write_ioda(path, feedback, attributes={})
        again = read_observations(path)
        with netCDF4.Dataset(path) as dataset:
            assert np.ma.getmaskarray(dataset["MetaData"]["pressure"][:]).all()  # the standard atmosphere's is no datum
    else:
        write_feedback(path, feedback, attributes={})
        again = read_feedback(path).observations
    np.testing.assert_allclose(again.height, HEIGHTS, rtol=1e-6)
    np.testing.assert_allclose(again.value, rows.value, rtol=1e-6)
    np.testing.assert_allclose(again.pressure, rows.pressure, rtol=1e-5)
    for name in ("station", "report", "variable"):
        assert getattr(again, name).tolist() == getattr(rows, name).tolist()


def test_a_feedback_file_of_an_earlier_version_has_no_heights(tmp_path):
    found = read_observations(occultation(tmp_path / "ro.nc4"))
    unknown = np.full(len(found), np.nan)
    write_feedback(tmp_path / "feedback.nc", Feedback(found, unknown, unknown, unknown), attributes={})
    with netCDF4.Dataset(tmp_path / "feedback.nc", "a") as dataset:
        dataset.renameVariable("height", "of_no_use")
    again = read_feedback(tmp_path / "feedback.nc").observations
    assert np.isnan(again.height).all()
    np.testing.assert_allclose(again.pressure, found.pressure)
