"""Ensembles on model levels: every member as it would be alone, in one file, in several, and in GRIB."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import State
from phyda_cli.formats.gridded.analysis import analysis_dataset, increment_dataset
from phyda_cli.formats.gridded.analysis_members import members_dataset
from phyda_cli.formats.gridded.background import background_of, read_background
from phyda_cli.formats.gridded.layout import Background
from tests.formats.gridded.test_model_levels import SURFACE, A, B, hybrid, ml, of_pressure, wrf, written

SHIFTS = (0.0, 600.0, -900.0)
"""Of the members' surface pressure [Pa]."""


def member(number: int) -> xr.Dataset:
    """The hybrid levels of a member with its own surface pressure, its temperature 0.3 K warmer than the one before."""
    data, surface = hybrid(), SURFACE + SHIFTS[number]
    pressure = A[:, None, None] + B[:, None, None] * surface
    data["ps"] = data["ps"].copy(data=surface)
    data["ta"] = data["ta"].copy(data=of_pressure(pressure) + 0.3 * number)
    return data


def in_one_file() -> xr.Dataset:
    """All members along an axis that is not the first."""
    several = xr.concat(
        [member(n) for n in range(3)], "number", data_vars="different", coords="minimal", compat="equals"
    )
    return several.transpose("lev", "number", ...).assign_coords(number=("number", [0, 1, 2]))


def moved(state: State) -> State:
    """A state with t changed by 1 K + 0.5 K ln p/10⁵, and by 0.1 K for each member more."""
    values = state.values.clone()
    t = [k for k, channel in enumerate(state.channels) if channel.variable == "t"]
    levels = torch.tensor([state.channels[k].level for k in t], dtype=values.dtype)
    change = (1.0 + 0.5 * torch.log(levels / 1e5))[:, None, None]
    several = 0.1 * torch.arange(3.0, dtype=values.dtype)[:, None, None, None] if values.dim() == 4 else 0.0
    values[..., t, :, :] += change + several
    return replace(state, values=values)


def test_every_member_has_the_levels_that_it_would_have_alone():
    background = background_of(in_one_file())
    assert background.member == "number"
    assert background.member_numbers == (0, 1, 2)
    for number in range(3):
        alone = background_of(member(number)).state
        own = background.state
        for channel in own.channels:
            if channel in alone.channels:
                found = own.values[number, own.index(channel)]
                torch.testing.assert_close(found, alone.values[alone.index(channel)], rtol=0, atol=1e-4)
    chosen = background_of(in_one_file(), member=1)
    assert chosen.member is None
    torch.testing.assert_close(chosen.state.values, background_of(member(1)).state.values, rtol=0, atol=1e-4)


def test_increments_go_back_to_the_levels_of_each_member():
    background = background_of(in_one_file())
    after = moved(background.state)
    states = [replace(after, values=after.values[number]) for number in range(3)]
    whole = members_dataset(background, states, count=3, attributes={})
    assert whole["ta"].dims == ("time", "number", "lev", "lat", "lon")
    for number in range(3):
        before = background.one_member(number)
        alone = analysis_dataset(before, states[number], attributes={})
        assert alone["ta"].dims == ("time", "lev", "lat", "lon")
        np.testing.assert_allclose(whole["ta"].values[:, number], alone["ta"].values, rtol=0, atol=1e-4)
        same = analysis_dataset(before, before.state, attributes={})["ta"].values[0]
        np.testing.assert_array_equal(same, member(number)["ta"].values.astype(np.float32))
        pressure = A[:, None, None] + B[:, None, None] * (SURFACE + SHIFTS[number])
        inside = (pressure > 6_000.0) & (pressure < 85_000.0)
        change = alone["ta"].values[0] - member(number)["ta"].values
        exact = 1.0 + 0.5 * np.log(pressure / 1e5) + 0.1 * number
        np.testing.assert_allclose(change[inside], exact[inside], rtol=0, atol=1e-4)
    two = members_dataset(background, states[:2], count=2, attributes={})["ta"]
    np.testing.assert_array_equal(two.values, whole["ta"].values[:, :2])


def test_the_mean_goes_back_to_the_mean_of_the_members():
    mean = background_of(in_one_file()).ensemble_mean()
    same = analysis_dataset(mean, mean.state, attributes={})["ta"]
    expected = np.mean([member(number)["ta"].values for number in range(3)], axis=0)
    np.testing.assert_allclose(same.values[0], expected, rtol=0, atol=1e-4)
    change = increment_dataset(mean, moved(mean.state), attributes={})["ta"].values[0]
    pressure = A[:, None, None] + B[:, None, None] * (SURFACE + np.mean(SHIFTS))
    inside = (pressure > 6_000.0) & (pressure < 85_000.0)
    np.testing.assert_allclose(change[inside], (1.0 + 0.5 * np.log(pressure / 1e5))[inside], rtol=0, atol=1e-4)


def test_files_of_one_member_each_are_an_ensemble(tmp_path):
    paths = []
    for number in range(3):
        paths.append(tmp_path / f"{number}.nc")
        member(number).to_netcdf(paths[-1])
    several = read_background(paths, as_members=True)
    one = background_of(in_one_file())
    assert several.member_numbers == (0, 1, 2)
    assert several.state.channels == one.state.channels
    torch.testing.assert_close(several.state.values, one.state.values, rtol=0, atol=1e-4)
    after = moved(several.state)
    states = [replace(after, values=after.values[number]) for number in range(3)]
    whole, other = (members_dataset(b, states, count=3, attributes={})["ta"] for b in (several, one))
    np.testing.assert_allclose(whole.values, other.values, rtol=0, atol=1e-4)
    chosen = read_background(paths, as_members=True, member=(2, 0))
    torch.testing.assert_close(chosen.state.values, several.state.values[[2, 0]], rtol=0, atol=0)
    assert chosen.model is not None
    np.testing.assert_array_equal(chosen.model.pressure, several.model.pressure[[2, 0]])


def test_wrf_members_keep_their_own_mass_and_staggered_winds(tmp_path):
    def one(number: int) -> xr.Dataset:
        data = wrf()
        pressure = (data["P"].values + data["PB"].values).astype(np.float64) + 300.0 * number
        theta = of_pressure(pressure) * (1e5 / pressure) ** (287.0597 / 1004.7090)
        data["P"] = data["P"].copy(data=(pressure - 5e4).astype(np.float32))
        data["T"] = data["T"].copy(data=(theta - 300.0).astype(np.float32))
        data["U"] = data["U"] + np.float32(number)
        return data

    paths = []
    for number in range(2):
        paths.append(tmp_path / f"wrfinput_{number}.nc")
        one(number).to_netcdf(paths[-1])
    background: Background = read_background(paths, as_members=True)
    state = background.state
    for number in range(2):
        alone = read_background([paths[number]]).state
        for channel in state.channels:
            found = state.values[number, state.index(channel)]
            torch.testing.assert_close(found, alone.values[alone.index(channel)], rtol=0, atol=1e-4)
    states = [replace(state, values=state.values[number] + 1e-3) for number in range(2)]
    out = members_dataset(background, states, count=2, attributes={})
    assert out["U"].dims == ("time", "number", "bottom_top", "south_north", "west_east_stag")
    for number in range(2):
        np.testing.assert_allclose(out["U"].values[0, number], 12.0 + number + 1e-3, rtol=0, atol=2e-6)
        np.testing.assert_array_equal(out["P"].values[0, number], one(number)["P"].values[0])


def test_members_of_grib_on_hybrid_levels(tmp_path):
    half_a, half_b = np.array([0.0, 1e4, 1e4, 0.0]), np.array([0.0, 0.1, 0.6, 1.0])
    a, b = (0.5 * (x[:-1] + x[1:]) for x in (half_a, half_b))

    def messages(number: int, label: int | None) -> list[int]:
        surface = SURFACE + SHIFTS[number]
        fields = [ml("t", k + 1, of_pressure(a[k] + b[k] * surface) + number) for k in range(3)]
        fields.append(ml("lnsp", 1, np.log(surface)))
        return fields if label is None else [numbered(own, label) for own in fields]

    several = read_background([written(tmp_path / "m.grib2", [m for n in range(2) for m in messages(n, n + 4)])])
    assert several.member_numbers == (4, 5)
    for number in range(2):
        alone = read_background([written(tmp_path / f"{number}.grib2", messages(number, None))]).state
        common = [channel for channel in several.state.channels if channel in alone.channels]
        assert sum(channel.variable == "t" for channel in common) > 5
        for channel in common:
            found = several.state.values[number, several.state.index(channel)]
            torch.testing.assert_close(found, alone.values[alone.index(channel)], rtol=0, atol=1e-3)


def numbered(own: int, label: int) -> int:
    """A message of a member."""
    import eccodes

    eccodes.codes_set(own, "productDefinitionTemplateNumber", 1)
    eccodes.codes_set(own, "perturbationNumber", label)
    return own


def test_files_that_do_not_go_together_are_refused(tmp_path):
    member(0).to_netcdf(tmp_path / "0.nc")
    member(1).isel(lev=slice(1, None)).to_netcdf(tmp_path / "1.nc")
    with pytest.raises(BadDataError, match=r"must have the same levels, fields and order of points; write them alike"):
        read_background([tmp_path / "0.nc", tmp_path / "1.nc"], as_members=True)
