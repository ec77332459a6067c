"""The feedback file: what is written is read back, one row for every observation, and no NaN in the file."""

from __future__ import annotations

from dataclasses import fields, replace

import netCDF4
import numpy as np
import pytest
import xarray as xr

from phyda_cli.errors import BadDataError, CannotWriteError, InputMissingError
from phyda_cli.formats.feedback.netcdf import read_feedback, write_feedback
from phyda_cli.observations.table import Feedback, Flag
from tests.support.observations import TIME, observations


def feedback():
    table = observations(
        ["t", "msl", "radiance"],
        [250.5, 101_325.0, np.nan],
        pressure=[50_000.0, np.nan, np.nan],
        error=[1.2, 100.0, np.nan],
        time=np.array([TIME, TIME + np.timedelta64(1_500_000, "us"), np.datetime64("NaT", "ns")]),
        station=np.array(["10393", "Zürich", ""], dtype=object),
        flag=[Flag.PASS, Flag.FIRST_GUESS, Flag.H_FAILED],
    )
    table = replace(table, reason=np.array(["", "departure 900", "unknown variable radiance"], dtype=object))
    gone = np.nan
    return Feedback(
        table, np.array([249.0, 100_425.0, gone]), np.array([250.0, 100_600.0, gone]), np.array([0.5, gone, gone])
    )


def test_round_trip(tmp_path):
    path = tmp_path / "feedback.nc"
    write_feedback(path, feedback(), attributes={"history": "made by a test"})
    result, expected = read_feedback(path), feedback()
    for field in fields(expected.observations):
        left, right = getattr(result.observations, field.name), getattr(expected.observations, field.name)
        if field.name == "sources":
            assert left == right
        else:
            np.testing.assert_array_equal(left, right)
            assert left.dtype.kind == right.dtype.kind
    np.testing.assert_array_equal(result.background_equivalent, expected.background_equivalent)
    np.testing.assert_array_equal(result.analysis_equivalent, expected.analysis_equivalent)
    np.testing.assert_array_equal(result.spread, expected.spread)


def test_what_the_file_holds(tmp_path):
    path = tmp_path / "feedback.nc"
    write_feedback(path, feedback(), attributes={"history": "made by a test"})
    with netCDF4.Dataset(path) as dataset:
        assert dataset.history == "made by a test"
        np.testing.assert_allclose(dataset["o_minus_b"][:2], [1.5, 900.0])
        np.testing.assert_allclose(dataset["o_minus_a"][:2], [0.5, 725.0])
        assert dataset["units"][:].tolist() == ["K", "Pa", ""]
        assert dataset["flag"][:].tolist() == [0, 19, 15]
        assert dataset["dart_qc"][:].tolist() == [0, 7, 4]
        meanings = dict(zip(dataset["flag"].flag_values.tolist(), dataset["flag"].flag_meanings.split(), strict=True))
        assert meanings == {member.value: member.name.lower() for member in Flag}
        assert dataset["station"][:].tolist() == ["10393", "Zürich", ""]
        reasons = dataset["reason_text"][:][dataset["reason"][:]].tolist()
        assert reasons == ["", "departure 900", "unknown variable radiance"]
        assert (dataset.time_coverage_start, dataset.time_coverage_end) == (
            f"{np.datetime_as_string(TIME, unit='s')}Z",
            f"{np.datetime_as_string(TIME + np.timedelta64(1, 's'), unit='s')}Z",
        )
        dataset.set_auto_mask(False)
        for name, variable in dataset.variables.items():
            if variable.dtype.kind in "if":
                assert np.isfinite(variable[:]).all(), name
                assert np.isfinite(getattr(variable, "_FillValue", 0.0)), name
        assert dataset["spread"][1] == dataset["spread"]._FillValue


def test_many_rows_are_small_and_xarray_reads_their_texts(tmp_path):
    n = 79_000
    rng = np.random.default_rng(0)
    table = observations(["t"] * n, np.round(250 + rng.normal(size=n), 1), pressure=np.round(rng.uniform(1e4, 1e5, n)))
    table = replace(
        table,
        station=np.array([f"{i % 800:05d}" for i in range(n)], object),
        report=np.full(n, "sonde", object),
        reason=np.array([f"departure {x:.3g} K" if x > 2 else "" for x in rng.normal(size=n)], object),
    )
    path = tmp_path / "feedback.nc"
    numbers = np.round(250 + rng.normal(size=(3, n)), 2)
    write_feedback(path, Feedback(table, *numbers), attributes={})
    assert path.stat().st_size < 5_000_000
    with xr.open_dataset(path) as dataset:
        assert dataset["station"].values[:2].tolist() == ["00000", "00001"]
        texts = dataset["reason_text"].values[dataset["reason"].values]
        assert texts.tolist() == table.reason.tolist()


def test_no_observations(tmp_path):
    path = tmp_path / "feedback.nc"
    nothing = np.empty(0)
    write_feedback(path, Feedback(observations("t", []), nothing, nothing, nothing), attributes={})
    assert len(read_feedback(path).observations) == 0


def test_an_existing_file_is_kept(tmp_path):
    path = tmp_path / "feedback.nc"
    path.write_text("precious")
    with pytest.raises(CannotWriteError, match="exists"):
        write_feedback(path, feedback(), attributes={})
    assert path.read_text() == "precious"
    write_feedback(path, feedback(), attributes={}, overwrite=True)
    assert len(read_feedback(path).observations) == 3


def test_a_failure_leaves_nothing_behind(tmp_path):
    wrong = replace(feedback(), spread=np.zeros(7))
    with pytest.raises((IndexError, ValueError)):
        write_feedback(tmp_path / "feedback.nc", wrong, attributes={})
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputMissingError):
        read_feedback(tmp_path / "none.nc")
    text = tmp_path / "text.nc"
    text.write_text("no NetCDF")
    with pytest.raises(BadDataError, match="NetCDF"):
        read_feedback(text)
    other = tmp_path / "other.nc"
    netCDF4.Dataset(other, "w").close()
    with pytest.raises(BadDataError, match="not a feedback file"):
        read_feedback(other)
