"""The library is the command on objects: the same numbers, the same checks, the same one line."""

from __future__ import annotations

import io
import shutil
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from phyda_cli import assimilate, diagnose, evaluate, open_background, read_observations
from phyda_cli.cli.app import main
from phyda_cli.errors import BadDataError, CannotWriteError, ConfigError, InputMissingError, PhydaError, UsageError
from phyda_cli.formats.feedback.netcdf import read_feedback

EXAMPLES = Path(__file__).parents[2] / "examples"
BACKGROUND = EXAMPLES / "background.nc"
TABLE = EXAMPLES / "observations.csv"
FEW = {"method": "3dvar", "members": 3}


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    return xr.load_dataset(BACKGROUND)


@pytest.fixture(scope="module")
def analysis(dataset):
    return assimilate(dataset, TABLE, **FEW)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """What the command writes of the same."""
    out = tmp_path_factory.mktemp("command")
    names = {"out": "a.nc", "feedback": "f.nc", "increment": "i.nc", "members-out": "m.nc"}
    words = [f"--{option}={out / name}" for option, name in names.items()]
    given = ["--method=3dvar", "--members=3", f"--background={BACKGROUND}", f"--obs={TABLE}"]
    assert main(["assimilate", *given, *words]) == 0
    return out


def same(ours: xr.Dataset, file: Path) -> None:
    """Every variable has the values, dimensions and attributes that the file has."""
    with xr.open_dataset(file) as theirs:
        xr.testing.assert_identical(ours.drop_attrs(deep=False), theirs.drop_attrs(deep=False).drop_encoding())
        differing = {name for name in theirs.attrs if theirs.attrs[name] != ours.attrs[name]}
    assert differing <= {
        "date_created", "history", "summary", "phyda_settings", "phyda_inputs_sha256"
    }  # fmt: skip


def test_dataset_in_is_file_in(analysis, written):
    same(analysis.dataset, written / "a.nc")
    same(analysis.increment, written / "i.nc")
    same(analysis.members, written / "m.nc")
    with xr.open_dataset(written / "a.nc") as file:
        xr.testing.assert_equal(analysis.spread.t, file.t_spread.rename("t"))


def test_feedback_has_the_columns_of_the_file(analysis, written):
    with xr.open_dataset(written / "f.nc") as file:
        reasons = file.reason_text.values[file.reason.values]
        for name in analysis.feedback:
            if name != "source_file":
                held = reasons if name == "reason" else file[name].values
                np.testing.assert_array_equal(analysis.feedback[name].to_numpy(), held, name)
        assert {*analysis.feedback.columns, "reason_text"} == set(file.variables)
        assert set(analysis.feedback.source_file) == set(file.source_file.values)


def test_what_it_writes_is_what_the_command_writes(analysis, written, tmp_path):
    analysis.write(tmp_path / "a.nc")
    analysis.write_increment(tmp_path / "i.nc")
    analysis.write_members(str(tmp_path / "m.nc"))
    analysis.write_feedback(tmp_path / "f.nc")
    for name in ("a.nc", "i.nc", "m.nc"):
        with xr.open_dataset(written / name) as file:
            same(file.load(), tmp_path / name)
    ours, theirs = read_feedback(tmp_path / "f.nc"), read_feedback(written / "f.nc")
    np.testing.assert_array_equal(ours.analysis_equivalent, theirs.analysis_equivalent)
    with pytest.raises(CannotWriteError, match="exists"):
        analysis.write(tmp_path / "a.nc")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.nc", "f.nc", "i.nc", "m.nc"]


def test_paths_are_inputs_with_digests_and_oi_has_no_members(tmp_path):
    given = assimilate(BACKGROUND, TABLE, method="oi")
    assert given.members is None
    with pytest.raises(ValueError, match="no members"):
        given.write_members(tmp_path / "m.nc")
    assert str(BACKGROUND) in given.attributes["phyda_inputs_sha256"]
    assert str(TABLE) in given.attributes["phyda_inputs_sha256"]


@pytest.mark.parametrize(
    "frame",
    [
        pd.read_csv(TABLE, dtype=str, keep_default_na=False),
        pd.read_csv(TABLE, parse_dates=["time"]),
        pd.read_csv(TABLE, parse_dates=["time"]).astype({"station": "category", "report": "string"}),
    ],
    ids=["texts", "typed", "extension types"],
)
def test_a_table_is_its_csv_file(frame):
    ours, theirs = read_observations(frame), read_observations(TABLE)
    before = frame.copy()
    for name in (
        "variable",
        "latitude",
        "longitude",
        "pressure",
        "value",
        "error",
        "time",
        "station",
        "report",
        "flag",
    ):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), name)
    pd.testing.assert_frame_equal(frame, before)


def test_cells_of_a_table_are_the_text_of_a_csv_file():
    zone = timezone(pd.Timedelta("1h").to_pytimedelta())
    frame = pd.DataFrame(
        {
            "time": pd.Series(
                pd.to_datetime(["2020-01-01T13:00:00.00", "2020-01-01T13:30:00.25", None])
            ).dt.tz_localize(zone),
            "station": [72518.0, np.nan, 3.0],
            "latitude": np.array([1.48, 2, np.nan], np.float32),
            "longitude": pd.array([5, 6, None], dtype="Int64"),
            "pressure_hpa": 500,
            "variable": "t",
            "value": [250.0, np.inf, 251.5],
        }
    )
    read = read_observations(frame)
    assert read.station.tolist() == ["72518", "", "3"]
    np.testing.assert_array_equal(read.latitude, [1.48, 2.0, np.nan])
    np.testing.assert_array_equal(read.longitude, [5.0, 6.0, np.nan])
    np.testing.assert_array_equal(read.value, [250.0, np.nan, 251.5])
    times = np.array(["2020-01-01T12:00", "2020-01-01T12:30:00.25", "NaT"], "datetime64[ns]")
    np.testing.assert_array_equal(read.time, times)
    assert read.used.tolist() == [True, False, False]
    assert read.sources == ("table",)


def test_sources_mix_and_keep_their_order():
    frame = pd.read_csv(TABLE).head(2)
    stream = io.StringIO(frame.tail(1).to_csv(index=False))
    read = read_observations([frame, stream, read_observations(frame.head(1))])
    assert read.sources == ("table", "standard input", "table")
    assert read.source.tolist() == [0, 0, 1, 2]
    np.testing.assert_array_equal(read.value[[0, 1]], read.value[[3, 2]])


def rolled(data: xr.Dataset) -> xr.Dataset:
    """From −180 to 180, and from north to south."""
    east = data.assign_coords(longitude=(data.longitude + 180.0) % 360.0 - 180.0)
    return east.sortby("longitude").sortby("latitude", ascending=False)


def test_orientation_and_units_come_back_as_given(dataset, analysis):
    turned = rolled(dataset).assign(
        t=rolled(dataset).t.astype("f8").transpose("longitude", "level", "latitude", ...) - 273.15
    )
    turned["t"].attrs = {"units": "degC"}
    found = assimilate(turned, TABLE, **FEW)
    for axis in ("latitude", "longitude", "level"):
        np.testing.assert_array_equal(found.dataset[axis], turned[axis])
    assert found.dataset.t.dims == ("time", *(d for d in turned.t.dims if d != "time"))
    assert found.dataset.t.attrs["units"] == "degC"
    straight = rolled(analysis.dataset)
    kelvin = (found.dataset.t + 273.15).transpose(*straight.t.dims).drop_attrs()
    xr.testing.assert_allclose(kelvin, straight.t.astype("f8"), atol=1e-4)
    xr.testing.assert_allclose(found.dataset.u.astype("f8"), straight.u.astype("f8"), atol=1e-4)


def test_inputs_stay_as_they_are_and_nothing_is_written(tmp_path, monkeypatch, dataset):
    monkeypatch.chdir(tmp_path)
    given, observations = dataset.copy(deep=True), read_observations(TABLE)
    given["t"].attrs["coordinates"] = "a relic"
    before, rows, threads = given.copy(deep=True), observations.value.copy(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = assimilate(given, observations, **FEW, withhold="station % 5 == 0")
        assert found.members is not None
        found.dataset["t"][:] = 0.0
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    xr.testing.assert_identical(given, before)
    np.testing.assert_array_equal(observations.value, rows)
    assert set(observations.use) == {"assimilate"}
    assert list(tmp_path.iterdir()) == []


def test_a_lazy_dataset_stays_lazy(tmp_path):
    shutil.copy(BACKGROUND, tmp_path / "b.nc")
    with xr.open_dataset(tmp_path / "b.nc") as lazy:
        open_background(lazy)
        assert not lazy.t.variable._in_memory


def test_a_time_chooses(dataset):
    two = xr.concat([dataset, dataset.assign_coords(time=dataset.time + np.timedelta64(6, "h"))], "time")
    with pytest.raises(BadDataError, match=r"^dataset: holds 2 valid times; choose one with --time"):
        open_background(two)
    for time in ("2003-10-17T18", np.datetime64("2003-10-17T18:00"), datetime(2003, 10, 17, 18)):
        assert open_background(two, time=time).state.time == np.datetime64("2003-10-17T18:00")
    opened = open_background(dataset)
    assert open_background(opened) is opened
    with pytest.raises(UsageError, match="is open already"):
        open_background(opened, member=1)


def test_members_make_an_ensemble(analysis):
    found = assimilate(analysis.members, EXAMPLES / "withheld.csv", method="letkf", localisation=1500)
    assert found.members.t.sizes["number"] == 3
    np.testing.assert_allclose(found.members.t.mean("number"), found.dataset.t, atol=1e-3)
    np.testing.assert_allclose(found.members.t.std("number", ddof=1), found.spread.t, atol=1e-3)
    one = open_background(analysis.members, member=2)
    np.testing.assert_allclose(one.dataset.t, analysis.members.t.isel(time=0, number=2))
    assert open_background(analysis.members, member=[0, 2]).member_numbers == (0, 2)


def test_first_guesses_are_files_datasets_or_open_backgrounds(dataset, tmp_path):
    later = dataset.assign_coords(time=dataset.time + np.timedelta64(3, "h"))
    later.to_netcdf(tmp_path / "later.nc")
    rows = pd.read_csv(TABLE, parse_dates=["time"]).head(500)
    rows["time"] += pd.Timedelta("90min")
    logs = [
        assimilate(dataset, rows, method="oi", fgat=fgat).log["first_guesses"]
        for fgat in (tmp_path / "later.nc", [later], [open_background(later)])
    ]
    assert logs == ["2003-10-17T12:00Z, 2003-10-17T15:00Z"] * 3


def test_own_errors_and_quality_as_files_and_as_mappings(dataset, tmp_path):
    (tmp_path / "errors.toml").write_text("[inflation]\nt = 2.0\n")
    (tmp_path / "quality.toml").write_text("[[blacklist]]\nvariable = 'u'\nreason = 'a test'\n")
    files = {"errors": tmp_path / "errors.toml", "quality": str(tmp_path / "quality.toml")}
    said = {"errors": {"inflation": {"t": 2.0}}, "quality": {"blacklist": {"variable": "u", "reason": "a test"}}}
    few = pd.read_csv(TABLE).head(500)
    one, other = (assimilate(dataset, few, method="oi", **tables) for tables in (files, said))
    pd.testing.assert_frame_equal(one.feedback, other.feedback)
    assert not one.feedback[one.feedback.variable == "u"].flag.eq(0).any()
    plain = assimilate(dataset, few, method="oi").feedback
    warm = (plain.variable == "t") & (plain.flag == 0)
    np.testing.assert_allclose(one.feedback.error[warm], 2 * plain.error[warm])


@pytest.mark.parametrize(
    ("given", "kind", "line"),
    [
        ({"seed": -1}, UsageError, "--seed: Input should be greater than or equal to 0 (got -1)"),
        ({"window": "soon"}, UsageError, "--window: 'soon' is no duration; write 3h, 90min or PT3H"),
        ({"relaxation": 0.5}, UsageError, "--relaxation: is of --method letkf, not of phyda"),
        ({"members": 1}, UsageError,
         "--members 1: one member makes no spread; give at least 2, or 0 for the mean alone"),
        ({"method": "kriging"}, UsageError,
         "--method: Input should be 'phyda', '3dvar', 'envar', 'oi', 'surface' or 'letkf' (got kriging)"),
        ({"sed": 1}, ConfigError, "assimilate: unknown key 'sed'; did you mean 'seed'?"),
        ({"output": "a.nc"}, ConfigError, "assimilate: unknown key 'output'"),
        ({"errors": "none.toml"}, InputMissingError, "none.toml: No such file or directory"),
        ({"errors": {"inflation": {"t": -1}}}, ConfigError,
         "errors: key 'inflation.t': Input should be greater than 0 (got -1)"),
        ({"quality": {"track": {"sped": 1}}}, ConfigError,
         "quality: unknown key 'track.sped'; did you mean 'speed'?"),
        ({"withhold": "station %"}, UsageError, None),
        ({"method": "letkf"}, BadDataError,
         "dataset: one member, and --method letkf needs several; give a file with an axis of members, or --background "
         "once for each member"),
    ],
)  # fmt: skip
def test_wrong_settings_are_one_line(dataset, given, kind, line):
    with pytest.raises(PhydaError) as error:
        assimilate(dataset, pd.read_csv(TABLE).head(3), **given)
    assert type(error.value) is kind
    assert line is None or str(error.value) == line
    assert "\n" not in str(error.value)


def test_wrong_inputs_are_one_line(dataset):
    with pytest.raises(InputMissingError, match=r"^none\.nc: "):
        assimilate("none.nc", TABLE)
    with pytest.raises(BadDataError, match=r"^dataset: variable 't' has the unit 'parsec', which phyda cannot convert"):
        open_background(dataset.assign(t=dataset.t.assign_attrs(units="parsec")))
    with pytest.raises(BadDataError, match=r"^dataset: its dimension 'level' has no entries"):
        open_background(dataset.isel(level=slice(0)))
    with pytest.raises(UsageError, match=r"^--select step=3: no background file has a 'step'"):
        open_background(dataset, select={"step": 3})
    with pytest.raises(UsageError, match=r"^--time: 'noon' is no ISO 8601 time"):
        open_background(dataset, time="noon")
    with pytest.raises(BadDataError, match=r"^table: "):
        read_observations(pd.DataFrame({"value": [1.0]}))
    with pytest.raises(UsageError, match="no observations were given"):
        read_observations([])
    late = pd.read_csv(TABLE).head(3).assign(time="2003-10-20T00:00Z")
    with pytest.raises(BadDataError, match=r"^table: none of 3 observations can be used \(domain 3; they are of "):
        assimilate(dataset, late, method="oi", on_empty="fail")


def test_evaluate_says_what_the_command_says(analysis, tmp_path, capsys):
    analysis.write(tmp_path / "a.nc")
    truth = EXAMPLES / "truth.nc"
    scores = evaluate(analysis, truth=truth).set_index(["state", "variable", "level"])
    with xr.open_dataset(truth) as right:
        weights = np.cos(np.deg2rad(right.latitude))
        error = analysis.dataset.t.sel(level=500).squeeze("time") - right.t.sel(level=500).squeeze()
        rmse = float(np.sqrt((error.astype("f8") ** 2).weighted(weights).mean()))
    assert scores.loc[("analysis", "t", 50000.0), "rmse"] == pytest.approx(rmse, rel=2e-3)
    again = evaluate(tmp_path / "a.nc", background=BACKGROUND, truth=truth).set_index(["state", "variable", "level"])
    pd.testing.assert_frame_equal(scores, again, rtol=1e-3)  # the file holds single precision
    unseen = evaluate(analysis, observations=TABLE, withhold="station % 5 == 0", window="1h")
    assert 0 < unseen["count"].max() < len(pd.read_csv(TABLE)) / 4
    with pytest.raises(UsageError, match="either truth or observations"):
        evaluate(analysis)


def test_diagnose_takes_analyses_and_files(analysis, written):
    ours, theirs = diagnose([analysis, analysis]), diagnose([written / "f.nc", written / "f.nc"])
    assert repr(ours.groups("variables")) == repr(theirs.groups("variables"))  # NaN is not equal to itself
    with pytest.raises(BadDataError, match="no feedback: no row has departures"):
        diagnose([])
