"""Start, lead and valid time: what is decoded, which of several times counts, and what contradicts itself."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from phyda_cli.errors import BadDataError
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.preparation.from_files import catalogue
from tests.support.fields import LEVELS, TIME, dataset, save, wave

START = np.datetime64("2020-03-01T00:00", "ns")
TWELVE_HOURS = {
    "weeks": 12 / 168, "days": 0.5, "d": 0.5, "hours": 12, "hour": 12, "h": 12, "hrs": 12, "minutes": 720, "min": 720,
    "seconds": 43200, "s": 43200, "milliseconds": 43_200_000, "ms": 43_200_000, "microseconds": 43_200_000_000,
    "us": 43_200_000_000, "nanoseconds": 43_200_000_000_000, "ns": 43_200_000_000_000,
}  # fmt: skip


def forecast(lead=12, units="hours", name="lead_time", time_attributes=None, **attributes):
    """Fields with a scalar `time` of 2020-03-01T00 and a lead on an axis of one."""
    data = dataset(["t"]).isel(time=0, drop=True).expand_dims({name: 1})
    about = {"units": "hours since 2020-03-01", **(time_attributes or {})}
    unit = {} if units is None else {"units": units}
    return data.assign_coords({"time": ((), 0, about), name: (name, [lead], {**unit, **attributes})})


@pytest.mark.parametrize("unit", TWELVE_HOURS)
def test_a_lead_counts_in_every_unit_of_time(tmp_path, unit):
    data = forecast(np.int64(TWELVE_HOURS[unit]) if TWELVE_HOURS[unit] > 1 else TWELVE_HOURS[unit], unit)
    assert read_background([save(data, tmp_path / "bg.nc")]).state.time == TIME


def test_a_lead_as_xarray_writes_it_counts(tmp_path):
    data = forecast().assign_coords(lead_time=("lead_time", np.array([12 * 3600 * 10**9], "timedelta64[ns]")))
    path = save(data, tmp_path / "bg.nc")
    assert read_background([path]).state.time == TIME
    entry = catalogue([path], forecasts=True)[0]
    assert (entry.valid, entry.start) == (TIME.astype("datetime64[s]"), START.astype("datetime64[s]"))


def test_a_lead_of_odd_nanoseconds_is_exact(tmp_path):
    data = forecast(np.int64(43_200_000_000_001), "ns")
    assert read_background([save(data, tmp_path / "bg.nc")]).state.time == TIME + np.timedelta64(1, "ns")


@pytest.mark.parametrize("name", ["lead_time", "step", "prediction_timedelta", "forecast_period", "tau"])
@pytest.mark.parametrize("units", [None, "furlongs"])
def test_a_lead_without_a_unit_of_time_is_refused_and_the_remedy_helps(tmp_path, name, units):
    about = {"standard_name": "forecast_period"} if name == "tau" else {}
    data = forecast(12, units, name, **about)
    with pytest.raises(BadDataError, match=rf"the lead time '{name}' has .*ncatted -a units,{name},o,c,hours"):
        read_background([save(data, tmp_path / "bg.nc")])
    data[name].attrs["units"] = "hours"
    assert read_background([save(data, tmp_path / "mended.nc")]).state.time == TIME


def test_a_lead_over_start_and_step_is_added_place_by_place(tmp_path):
    first = dataset(["t"]).isel(time=0, drop=True)
    rows = [xr.concat([first + 10.0 * i + j for j in range(2)], "step") for i in range(2)]
    data = xr.concat(rows, "time").assign_coords(
        time=("time", [0, 6], {"units": "hours since 2020-03-01"}),
        lead_time=(("time", "step"), [[3, 9], [6, 18]], {"units": "hours"}),
    )
    data["t"].attrs["units"] = "K"
    path = save(data, tmp_path / "bg.nc")
    np.testing.assert_allclose(read_background([path], time=TIME).state.values[0], wave("t", LEVELS[0]) + 10.0)
    with pytest.raises(
        BadDataError, match="2020-03-01T03:00Z, 2020-03-01T09:00Z, 2020-03-01T12:00Z, 2020-03-02T00:00Z"
    ):
        read_background([path])


def scalars(**times):
    """Fields without a time axis; each time (value [h], attributes) is a scalar, of hours since 2020-03-01."""
    data = dataset(["t"]).isel(time=0, drop=True)
    since = "hours since 2020-03-01"
    return data.assign_coords({k: ((), v, {"units": since, **a}) for k, (v, a) in times.items()})


def hours(data, **leads):
    return data.assign_coords({k: ((), v, {"units": "hours", **a}) for k, (v, a) in leads.items()})


CF_TIME, REFERENCE = {"standard_name": "time"}, {"standard_name": "forecast_reference_time"}
PERIOD = {"standard_name": "forecast_period"}
VALID_AT_NOON = {
    "time alone": scalars(time=(12, {})),
    "start and valid": scalars(time=(0, {}), valid_time=(12, {})),
    "init and valid": scalars(init_time=(0, {}), valid_time=(12, {})),
    "cfgrib": hours(
        scalars(time=(0, CF_TIME | {"long_name": "initial time of forecast"}), valid_time=(12, CF_TIME)),
        step=(12, PERIOD),
    ),
    "cfgrib without valid_time": hours(
        scalars(time=(0, CF_TIME | {"long_name": "initial time of forecast"})), step=(12, PERIOD)
    ),
    "time and step": hours(scalars(time=(0, CF_TIME)), step=(12, {})),
    "CF": hours(scalars(time=(12, CF_TIME), forecast_reference_time=(0, REFERENCE)), forecast_period=(12, PERIOD)),
    "CF without a start": hours(scalars(time=(12, CF_TIME)), forecast_period=(12, PERIOD)),
    "start by name and lead": hours(scalars(init_time=(0, {})), lead_time=(12, {})),
    "time beside its start": scalars(time=(12, {}), init_time=(0, {})),
    "time and a lead": hours(scalars(time=(0, {})), lead_time=(12, {})),
}


@pytest.mark.parametrize("layout", VALID_AT_NOON)
def test_the_valid_time_is_found_among_several_times(tmp_path, layout):
    assert read_background([save(VALID_AT_NOON[layout], tmp_path / "bg.nc")]).state.time == TIME


CONTRADICTIONS = {
    "valid_time against start and lead": (
        hours(scalars(time=(0, {}), valid_time=(12, {})), step=(6, {})),
        "'valid_time' says 2020-03-01T12:00Z, but 'time' and 'step' 2020-03-01T06:00Z",
    ),
    "time against start and lead": (
        hours(scalars(time=(12, CF_TIME), forecast_reference_time=(0, REFERENCE)), forecast_period=(6, PERIOD)),
        "'time' says 2020-03-01T12:00Z, but 'forecast_reference_time' and 'forecast_period' 2020-03-01T06:00Z",
    ),
    "valid before its start": (
        scalars(init_time=(18, {}), valid_time=(12, {})),
        "'valid_time' says 2020-03-01T12:00Z, before the start of the forecast, 'init_time', 2020-03-01T18:00Z",
    ),
    "valid or start": (hours(scalars(time=(12, CF_TIME)), lead_time=(6, {})), "is it the valid time or the start"),
}


@pytest.mark.parametrize("layout", CONTRADICTIONS)
def test_times_that_contradict_each_other_are_refused(tmp_path, layout):
    data, says = CONTRADICTIONS[layout]
    with pytest.raises(BadDataError, match=says):
        read_background([save(data, tmp_path / "bg.nc")])


def test_leaving_out_the_wrong_lead_helps(tmp_path):
    data, _ = CONTRADICTIONS["valid_time against start and lead"]
    assert read_background([save(data.drop_vars("step"), tmp_path / "bg.nc")]).state.time == TIME


@pytest.mark.parametrize("words", ["hours since today", "days since now"])
def test_words_are_no_date(tmp_path, words):
    data = dataset(["t"]).isel(time=0, drop=True).assign_coords(time=((), 0, {"units": words}))
    path = save(data, tmp_path / "bg.nc")
    with pytest.raises(BadDataError, match="tells no valid time; give it with --time"):
        read_background([path])
    assert read_background([path], time=TIME).state.time == TIME


def test_a_start_alone_is_no_valid_time(tmp_path):
    with pytest.raises(BadDataError, match="tells no valid time; give it with --time"):
        read_background([save(scalars(forecast_reference_time=(0, REFERENCE)), tmp_path / "bg.nc")])


def test_fields_on_a_second_time_axis_are_read_at_the_same_time_or_left_out(tmp_path):
    data = dataset(["t"])
    second = (
        dataset(["u", "v"])
        .rename(time="time1")
        .assign_coords(time1=("time1", [6], {"units": "hours since 2020-03-01"}))
    )
    background = read_background([save(xr.merge([data, second]), tmp_path / "two.nc")])
    assert background.state.variables == ("t",)
    assert any("not valid at 2020-03-01T12:00Z, left out: u, v" in note for note in background.notes)
    later = xr.concat([second - 1.0, second], "time1").assign_coords(
        time1=("time1", [6, 12], {"units": "hours since 2020-03-01"})
    )
    for name in ("u", "v"):
        later[name].attrs["units"] = "m s-1"
    background = read_background([save(xr.merge([data, later]), tmp_path / "three.nc")])
    assert background.state.variables == ("t", "u", "v")
    u = background.state.values[background.state.channels.index(("u", LEVELS[0]))]
    np.testing.assert_allclose(u, wave("u", LEVELS[0]))
