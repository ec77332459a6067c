"""Missing values: extended below the ground and missing again in every output, refused elsewhere."""

from __future__ import annotations

from dataclasses import replace

import netCDF4
import numpy as np
import pytest
import torch
import xarray as xr

from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel
from phyda_cli.fields.thermodynamics import specific_humidity_from_relative_humidity
from phyda_cli.formats.gridded.analysis import write_analysis, write_increment
from phyda_cli.formats.gridded.analysis_members import write_members
from phyda_cli.formats.gridded.background import read_background
from tests.formats.gridded.test_labels import atmosphere
from tests.support.fields import save

NAMES = ("t", "z", "q")


def mountain(names=NAMES):
    """The standard atmosphere with ground at (row 3, column 4) up to 700 hPa and at (3, 5) up to 850 hPa."""
    data = atmosphere(names)
    for name in names:
        data[name][:2, 3, 4] = np.nan
        data[name][0, 3, 5] = np.nan
    return data


def test_below_the_ground_the_state_is_the_standard_atmospheres_and_the_holes_are_counted(tmp_path):
    background = read_background([save(mountain(), tmp_path / "bg.nc")])
    whole = read_background([save(atmosphere(NAMES), tmp_path / "whole.nc")])
    assert bool(torch.isfinite(background.state.values).all())
    assert background.counts["missing_below_ground"] == 9
    assert any("9 values missing below the ground" in note for note in background.notes)
    at = (background.state.index(Channel("t", 100_000.0)), 3, 4)
    # the ripple at that place scales temperatures alike at all levels, so that 6.5 K/km is nearly kept
    assert float(background.state.values[at]) == pytest.approx(float(whole.state.values[at]), rel=1e-6)
    q = [background.state.index(Channel("q", p)) for p in (100_000.0, 70_000.0)]
    assert float(background.state.values[q[0], 3, 4]) == float(background.state.values[q[1], 3, 4])


def test_relative_humidity_below_the_ground_is_that_of_the_lowest_level_as_vapour(tmp_path):
    data = mountain(("t", "r"))
    background = read_background([save(data, tmp_path / "bg.nc")])
    r, t = float(data["r"][2, 3, 4]), float(data["t"][2, 3, 4])
    expected = specific_humidity_from_relative_humidity(np.array(r), np.array(t), 70_000.0)
    found = background.state.values[background.state.index(Channel("q", 100_000.0)), 3, 4]
    assert float(found) == pytest.approx(float(expected), rel=1e-9)


def test_every_output_misses_what_the_background_misses(tmp_path):
    background = read_background([save(mountain((*NAMES, "r")), tmp_path / "bg.nc")])
    state = replace(background.state, values=background.state.values * 1.001)
    spread = replace(background.state, values=torch.ones_like(background.state.values))
    write_analysis(tmp_path / "a.nc", background, state, spread=spread, attributes={})
    write_increment(tmp_path / "i.nc", background, state, attributes={})
    write_members(tmp_path / "m.nc", background, [state, state], count=2, attributes={})
    for file, names in (
        ("a.nc", (*NAMES, "r", "t_spread", "z_spread", "q_spread")),
        ("i.nc", (*NAMES, "r")),
        ("m.nc", (*NAMES, "r")),
    ):
        with xr.open_dataset(tmp_path / file) as written:
            for name in names:
                field = written[name].transpose(..., "level", "latitude", "longitude")
                holes = np.argwhere(np.isnan(field.values.reshape(-1, 7, 7, 12)[-1])).tolist()
                assert holes == [[0, 3, 4], [0, 3, 5], [1, 3, 4]], (file, name)
        with netCDF4.Dataset(tmp_path / file) as written:
            assert "_FillValue" in written["t"].ncattrs()
    again = read_background([tmp_path / "a.nc"])
    assert again.counts["missing_below_ground"] == 9
    np.testing.assert_allclose(again.state.values[0], state.values[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("level", "says"), [(3, "t500 has 1 missing"), (6, "t100 has 1 missing"), (slice(None), "t1000 has 1 missing")]
)
def test_missing_values_elsewhere_are_refused(tmp_path, level, says):
    data = atmosphere(("t",))
    data["t"][level, 2, 2] = np.nan
    with pytest.raises(BadDataError, match=says):
        read_background([save(data, tmp_path / "bg.nc")])


def test_a_level_without_any_value_is_refused(tmp_path):
    data = atmosphere(("t",))
    data["t"][0] = np.nan
    with pytest.raises(BadDataError, match="t1000 is missing everywhere; leave that level out"):
        read_background([save(data, tmp_path / "bg.nc")])
    assert (
        Channel("t", 85_000.0)
        in read_background([save(data.isel(level=slice(1, 7)), tmp_path / "x.nc")]).state.channels
    )


def test_infinite_values_below_the_ground_are_no_holes(tmp_path):
    data = atmosphere(("t",))
    data["t"][0, 2, 2] = np.inf
    with pytest.raises(BadDataError, match="t1000 has 1 missing or infinite"):
        read_background([save(data, tmp_path / "bg.nc")])
