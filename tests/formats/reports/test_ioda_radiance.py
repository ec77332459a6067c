"""Brightness temperatures in IODA files: channels of AMSU-A and of ATMS, angles, marks, and phyda's own feedback."""

from __future__ import annotations

import netCDF4
import numpy as np
import pytest

from phyda_cli.errors import BadDataError
from phyda_cli.formats.feedback.ioda import write_ioda
from phyda_cli.formats.feedback.netcdf import read_feedback, write_feedback
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.observations.table import Feedback, Flag, Use
from tests.support.ioda import GONE, INT_FILL, NOON, write

AMSUA = [23.8, 31.4, 50.3, 52.8, 53.596, 54.4, 54.94, 55.4987, 57.29033, 57.29033, 57.29033]
ATMS = [23.8, 31.4, 50.3, 51.76, 52.8, 53.596, 54.4, 54.94, 55.5, 57.290344, 57.290344]


def sounder(path, frequencies=AMSUA, *, groups=None, attributes=None, **metadata):
    """Three places; the value of channel k (from 1) at place i (from 0) is 200 + k + 0.1 i."""
    places, count = 3, len(frequencies)
    value = 200.0 + np.arange(1, count + 1) + 0.1 * np.arange(places)[:, None]
    about = {
        "latitude": [-10.0, 0.0, 10.0], "longitude": [10.0, 20.0, 30.0], "dateTime": np.full(places, NOON, np.int64),
        "sensorZenithAngle": [-36.6, 0.5, 44.8], "height": [0.0, 0.0, 320.0],
        **metadata,
    }  # fmt: skip
    wanted = {"MetaData": about, "ObsValue": {"brightnessTemperature": value}, **(groups or {})}
    found = write(path, wanted, attributes=attributes)
    with netCDF4.Dataset(found, "a") as dataset:
        if frequencies is not None:
            variable = dataset["MetaData"].createVariable("sensorCentralFrequency", "f4", ("Channel",))
            variable[:] = frequencies
    return found


@pytest.mark.parametrize(("frequencies", "first"), [(AMSUA, 5), (ATMS, 6), ([1e9 * f for f in AMSUA], 5)])
def test_channels_are_known_by_their_frequency(tmp_path, frequencies, first):
    found = read_observations(sounder(tmp_path / "a.nc4", frequencies, attributes={"satellite": "n19"}))
    for number, name in enumerate(("tb5", "tb6", "tb7", "tb8", "tb9")):
        rows = found.take(found.variable == name)
        np.testing.assert_allclose(rows.value, 200.0 + first + number + 0.1 * np.arange(3), rtol=1e-6)
        np.testing.assert_allclose(rows.zenith, [-36.6, 0.5, 44.8], rtol=1e-6)
        assert rows.elevation.tolist() == [0.0, 0.0, 320.0]
        assert rows.used.all()
        assert set(rows.station) == {"n19"}
        assert set(rows.report) == {"sounder"}
        assert np.isnan(rows.pressure).all()
    others = found.take(found.variable == "brightnessTemperature")
    assert others.flag.tolist() == [Flag.H_FAILED] * 3
    assert set(others.reason) == {"6 channels of brightnessTemperature have no operator"}
    assert np.isnan(others.zenith).all()
    assert len(found) == 18


def test_marks_uses_and_errors_are_those_of_channel_and_place(tmp_path):
    marks, errors, uses = np.zeros((3, 11), int), np.full((3, 11), 0.3), np.ones(11, int)
    marks[1, 4], errors[2, 5], errors[0, 5] = 50, GONE, 0.7
    path = sounder(
        tmp_path / "a.nc4",
        groups={"PreQC": {"brightnessTemperature": marks}, "ObsError": {"brightnessTemperature": errors}},
        satelliteIdentifier=np.array([223, INT_FILL, 3], np.int32),
        attributes={"satellite": "n19"},
    )
    uses[5], uses[7] = 0, -1
    with netCDF4.Dataset(path, "a") as dataset:
        dataset["MetaData"].createVariable("gsi_use_flag", "i4", ("Channel",))[:] = uses
    found = read_observations(path)
    assert found.flag[found.variable == "tb5"].tolist() == [Flag.PASS, Flag.PRE_QC, Flag.PASS]
    assert found.reason[found.variable == "tb5"][1] == "quality mark 50 in the file (0 to 3 are used)"
    np.testing.assert_allclose(found.error[found.variable == "tb6"], [0.7, 0.3, np.nan], rtol=1e-6)
    assert set(found.use[np.isin(found.variable, ["tb6", "tb8"])]) == {Use.MONITOR}
    assert set(found.use[found.variable == "tb7"]) == {Use.ASSIMILATE}
    assert found.station[found.variable == "tb9"].tolist() == ["223", "n19", "3"]


def test_without_frequencies_numbers_are_those_of_amsu_a(tmp_path):
    found = read_observations(sounder(tmp_path / "a.nc4", [GONE] * 11))
    np.testing.assert_allclose(found.value[found.variable == "tb5"], [205.0, 205.1, 205.2], rtol=1e-6)


def test_values_out_of_bounds_and_angles_beyond_the_fit(tmp_path):
    path = sounder(tmp_path / "a.nc4", sensorZenithAngle=[0.0, 71.0, GONE])
    found = read_observations(path)
    assert found.flag[found.variable == "tb5"].tolist() == [Flag.PASS, Flag.BOUNDS, Flag.PASS]
    assert np.isnan(found.zenith[found.variable == "tb5"][2])  # which the checks find


def test_errors_of_another_shape_are_refused(tmp_path):
    path = sounder(tmp_path / "a.nc4", groups={"ObsError": {"brightnessTemperature": [0.3, 0.3, 0.3]}})
    with pytest.raises(BadDataError, match=r"a.nc4: ObsError/brightnessTemperature has shape \(3,\)"):
        read_observations(path)


def test_feedback_keeps_angle_and_channel(tmp_path):
    found = read_observations(sounder(tmp_path / "a.nc4", attributes={"satellite": "n19"}))
    rows = found.take(found.used)
    nothing = np.full(len(rows), np.nan)
    feedback = Feedback(rows, rows.value - 0.5, nothing, nothing)
    write_feedback(tmp_path / "f.nc", feedback, attributes={})
    np.testing.assert_allclose(read_feedback(tmp_path / "f.nc").observations.zenith, rows.zenith)
    write_ioda(tmp_path / "f.nc4", feedback, attributes={})
    again = read_observations(tmp_path / "f.nc4")
    assert sorted(again.variable) == sorted(rows.variable)
    for name in ("tb5", "tb9"):
        own, back = rows.take(rows.variable == name), again.take(again.variable == name)
        np.testing.assert_allclose(back.value, own.value, rtol=1e-6)
        np.testing.assert_allclose(back.zenith, own.zenith, rtol=1e-6)
        assert back.elevation.tolist() == own.elevation.tolist()
        assert set(back.station) == {"n19"}
