"""Labels against numbers: what contradicts its unit is refused, and the remedy, followed to the letter, helps."""

from __future__ import annotations

import re

import numpy as np
import pytest
import xarray as xr

from phyda_cli.constants import GRAVITY
from phyda_cli.errors import BadDataError
from phyda_cli.fields.standard_atmosphere import standard_height, standard_temperature
from phyda_cli.fields.state import Channel
from phyda_cli.fields.thermodynamics import (
    relative_humidity_from_specific_humidity,
    specific_humidity_from_relative_humidity,
)
from phyda_cli.formats.gridded.background import read_background
from tests.support.fields import TIME, latitudes, longitudes, save

LEVELS = np.array([1000.0, 850.0, 700.0, 500.0, 300.0, 200.0, 100.0])
WRONG = {
    "z": [("m2 s-2", lambda z: z / GRAVITY, "m"), ("m", lambda z: z, "m2 s-2")],
    "gh": [("m", lambda gh: gh * GRAVITY, "m2 s-2"), ("m", lambda gh: gh / 10, "dam")],
    "r": [("%", lambda r: r, "1"), ("1", lambda r: 100 * r, "%")],
    "q": [("g kg-1", lambda q: q, "kg kg-1"), ("kg kg-1", lambda q: 1000 * q, "g kg-1")],
    "t": [("K", lambda t: t - 273.15, "degC"), ("degC", lambda t: t, "K")],
    "msl": [("Pa", lambda p: p / 100, "hPa"), ("hPa", lambda p: p, "Pa")],
    "sp": [("Pa", lambda p: p / 100, "hPa"), ("hPa", lambda p: p, "Pa")],
}
CASES = [(name, *case) for name, cases in WRONG.items() for case in cases]


def atmosphere(names=("t", "z", "q"), units=None):
    """The standard atmosphere with a ripple, levels in hPa from 1000 to 100, SI."""
    ripple = 1.0 + 0.02 * np.sin(np.radians(latitudes()))[:, None] * np.cos(np.radians(longitudes()))
    height, humidity = standard_height(100 * LEVELS), np.linspace(0.8, 0.3, LEVELS.size)
    columns = {
        "t": standard_temperature(height),
        "z": GRAVITY * height,
        "gh": height,
        "q": specific_humidity_from_relative_humidity(humidity, standard_temperature(height), 100 * LEVELS),
        "r": humidity,
    }
    si = {"t": "K", "z": "m2 s-2", "gh": "m", "q": "kg kg-1", "r": "1", "msl": "Pa", "sp": "Pa"}
    fields = {}
    for name in names:
        if name in columns:
            data = columns[name][:, None, None] * ripple
            fields[name] = (("level", "latitude", "longitude"), data, {"units": si[name]})
        else:
            fields[name] = (("latitude", "longitude"), 1.0e5 * ripple, {"units": si[name]})
    return xr.Dataset(
        fields,
        {
            "time": ((), TIME),
            "level": ("level", LEVELS, {"units": "hPa"}),
            "latitude": ("latitude", latitudes(), {"units": "degrees_north"}),
            "longitude": ("longitude", longitudes(), {"units": "degrees_east"}),
        },
    )


def follow(data, message):
    """The dataset after the ncatted of a message: `-a units,NAME,o,c,'UNIT'`."""
    name, unit = re.search(r"ncatted -a units,(\w+),o,c,'([^']*)'", message).groups()
    mended = data.copy()
    mended[name] = mended[name].assign_attrs(units=unit)
    return mended, unit


@pytest.mark.parametrize(("name", "label", "stored", "fits"), CASES)
def test_a_label_that_the_numbers_contradict_is_refused_and_the_remedy_helps(tmp_path, name, label, stored, fits):
    right = atmosphere(tuple(dict.fromkeys(("t", name))))
    wrong = right.assign({name: stored(right[name]).assign_attrs(units=label)})
    with pytest.raises(BadDataError, match=rf"variable '{name}': its numbers.*contradict its unit") as caught:
        read_background([save(wrong, tmp_path / "wrong.nc")])
    mended, unit = follow(wrong, str(caught.value))
    assert unit == fits
    found = read_background([save(mended, tmp_path / "mended.nc")]).state
    expected = read_background([save(right, tmp_path / "right.nc")]).state
    assert found.channels == expected.channels
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-6)


@pytest.mark.parametrize("names", [("t", "z"), ("t", "gh", "q"), ("t", "u")])
@pytest.mark.parametrize(("label", "factor", "fits"), [("Pa", 1.0, "hPa"), ("hPa", 100.0, "Pa")])
def test_levels_that_the_heights_contradict_are_refused_and_the_remedy_helps(tmp_path, names, label, factor, fits):
    right = atmosphere(tuple(name for name in names if name != "u"))
    wrong = right.assign_coords(level=("level", LEVELS * factor, {"units": label}))
    with pytest.raises(BadDataError, match="the levels 'level'") as caught:
        read_background([save(wrong, tmp_path / "wrong.nc")])
    mended, unit = follow(wrong, str(caught.value))
    assert unit == fits
    found = read_background([save(mended, tmp_path / "mended.nc")]).state
    assert Channel("t", 50_000.0) in found.channels


def test_a_scalar_level_is_judged_by_its_height(tmp_path):
    one = atmosphere(("t", "z")).isel(level=3).assign_coords(level=((), 500.0, {"units": "Pa"}))
    with pytest.raises(BadDataError, match="the levels 'level', 500 to 500, are no Pa"):
        read_background([save(one, tmp_path / "wrong.nc")])


def test_heights_and_levels_of_the_stratosphere_are_what_they_say(tmp_path):
    data = atmosphere(("t", "z"))
    levels = LEVELS / 100  # 10 to 1 hPa
    height = standard_height(100 * levels)[:, None, None]
    data = data.assign(z=data["z"] * 0 + GRAVITY * height).assign_coords(level=("level", 100 * levels, {"units": "Pa"}))
    data["z"].attrs["units"] = "m2 s-2"
    background = read_background([save(data, tmp_path / "bg.nc")])
    assert Channel("z", 1000.0) in background.state.channels


@pytest.mark.parametrize("least", [-1e-5, -2e-4, -9e-4])
def test_slightly_negative_humidity_counts_as_zero_and_is_counted(tmp_path, least):
    data = atmosphere(("t", "q"))
    data["q"][4, 2, 3:5] = least
    background = read_background([save(data, tmp_path / "bg.nc")])
    q300 = background.state.values[background.state.index(Channel("q", 30_000.0))]
    assert q300[2, 3] == q300[2, 4] == 0.0
    assert float(q300[3, 3]) == pytest.approx(float(data["q"][4, 3, 3]))
    assert background.counts["negative_humidity"] == 2
    assert any("2 slightly negative values of humidity count as 0" in note for note in background.notes)
    assert float(background.dataset["q"][4, 2, 3]) == least


def test_clearly_negative_humidity_is_refused_without_advice_on_its_unit(tmp_path):
    data = atmosphere(("t", "q"))
    data["q"][4, 2, 3] = -2e-3
    with pytest.raises(BadDataError, match=r"q300 lies between -0\.002 .*: mend these values") as caught:
        read_background([save(data, tmp_path / "bg.nc")])
    assert "ncatted" not in str(caught.value)


@pytest.mark.parametrize("unit", ["%", "1"])
def test_relative_humidity_a_little_outside_its_range_is_read(tmp_path, unit):
    data = atmosphere(("t", "r"))
    data["r"][0, 1, 1:4] = [-0.005, 1.01, 1.05]
    if unit == "%":
        data["r"] = (100 * data["r"]).assign_attrs(units="%")
    background = read_background([save(data, tmp_path / "bg.nc")])
    q = background.state.values[background.state.index(Channel("q", 100_000.0))]
    assert q[1, 1] == 0.0
    assert background.counts["negative_humidity"] == 1
    t = background.state.values[background.state.index(Channel("t", 100_000.0))]
    found = relative_humidity_from_specific_humidity(q, t, 100_000.0)
    assert found[1, 2:4].tolist() == pytest.approx([1.01, 1.05])
