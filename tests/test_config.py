"""Settings: precedence, and one line for everything that can be wrong."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from phyda_cli.errors import ConfigError, InputMissingError, UsageError
from phyda_cli.settings.assimilate import merge_config
from phyda_cli.settings.values import parse_choices, parse_duration, parse_time

REQUIRED = {"background": [Path("b.nc")], "observations": [Path("o.csv")], "output": Path("a.nc")}


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "run.toml"
    file.write_text(text)
    return file


def test_flag_wins_over_file_and_file_over_default(tmp_path):
    file = write(tmp_path, 'method = "oi"\nseed = 7\nbackground = "other.nc"\noverwrite = true')
    settings = merge_config(file, {**REQUIRED, "seed": 9, "overwrite": None}).common
    assert (settings.method, settings.seed, settings.overwrite) == ("oi", 9, True)
    assert settings.background == (Path("b.nc"),)
    assert (settings.device, settings.window) == ("auto", timedelta(hours=3))


def test_file_alone_can_hold_everything(tmp_path):
    file = write(
        tmp_path,
        'background = "b.nc"\nobservations = ["o.csv", "p.csv"]\noutput = "a.nc"\ntime = 2008-12-08T13:00:00+01:00\n'
        'on-empty = "fail"\nwindow = "90min"\n[select]\nmonth = "1"',
    )
    settings = merge_config(file, {}).common
    assert settings.observations == (Path("o.csv"), Path("p.csv"))
    assert settings.time == datetime(2008, 12, 8, 12)
    assert (settings.on_empty, settings.window) == ("fail", timedelta(minutes=90))
    assert settings.select == {"month": "1"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sed = 3", "unknown key 'sed'; did you mean 'seed'"),
        ("seed = -1", "key 'seed'.*greater than or equal to 0.*-1"),
        ('window = "soon"', "key 'window'.*'soon' is no duration; write 3h"),
        ('background_error_scale = "big"', "key 'background_error_scale'"),
        ("seed = ", "not a TOML file"),
        ("max_reject_fraction = 1.5", "key 'max_reject_fraction'.*less than or equal to 1"),
    ],
)
def test_wrong_file_is_a_config_error_naming_file_and_key(tmp_path, text, message):
    with pytest.raises(ConfigError, match=rf"run\.toml: .*{message}") as error:
        merge_config(write(tmp_path, text), REQUIRED)
    assert "\n" not in str(error.value)


def test_missing_file_is_a_missing_input(tmp_path):
    with pytest.raises(InputMissingError, match=r"none\.toml: No such file"):
        merge_config(tmp_path / "none.toml", REQUIRED)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"seed": -1}, r"--seed: .*\(got -1\)"),
        ({"background_error_scale": "-2"}, r"--background-error-scale: .*\(got -2\)"),
        ({"background_error_scale": "inf"}, "--background-error-scale"),
        ({"time": "noon"}, "--time: 'noon' is no ISO 8601 time"),
        ({"output": None}, "--output is missing"),
    ],
)
def test_wrong_flag_is_a_usage_error_naming_it(flags, message):
    with pytest.raises(UsageError, match=message):
        merge_config(None, REQUIRED | flags)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("3h", 180), ("PT3H", 180), ("90min", 90), ("PT1H30M", 90), ("1.5h", 90), ("45m", 45)],
)
def test_durations(text, minutes):
    assert parse_duration(text) == timedelta(minutes=minutes)


@pytest.mark.parametrize("text", ["", "PT", "3", "h", "-3h", "3 days"])
def test_wrong_durations(text):
    with pytest.raises(UsageError, match="no duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["2008-12-08T12", "20081208T12", "2008-12-08T12:00Z", "2008-12-08T14:00+02:00"])
def test_times_are_utc(text):
    assert parse_time(text) == datetime(2008, 12, 8, 12)


def test_choices():
    assert parse_choices(["month=1", "name=a=b"]) == {"month": "1", "name": "a=b"}
    for wrong in ("month", "=1", "month="):
        with pytest.raises(UsageError, match="write KEY=VALUE"):
            parse_choices([wrong])
    with pytest.raises(UsageError, match="month is chosen already, as 1"):
        parse_choices(["month=1", "month=2"])
