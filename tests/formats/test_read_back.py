"""Whatever is analysed can be read again: saturated, dry, cold and hot backgrounds, with q, r and dew point."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from phyda_cli.cli.app import main
from phyda_cli.fields.humidity import limit_humidity
from phyda_cli.fields.state import Channel
from phyda_cli.fields.thermodynamics import (
    dewpoint_from_specific_humidity,
    relative_humidity_from_specific_humidity,
    specific_humidity_from_relative_humidity,
)
from phyda_cli.formats.gridded.analysis import write_analysis, write_increment
from phyda_cli.formats.gridded.analysis_members import write_members
from phyda_cli.formats.gridded.background import read_background
from tests.formats.gridded.test_labels import LEVELS, atmosphere
from tests.support.fields import save

CLIMATES = {
    "saturated": lambda r, t: (np.full_like(r, 1.0), t),
    "saturated in places": lambda r, t: (np.where(np.arange(12) % 3 == 0, 1.0, 0.9 * np.ones_like(r)), t),
    "supersaturated aloft": lambda r, t: (np.where(t < 240, 1.15, r), t),
    "dry in places": lambda r, t: (np.where(np.arange(12) % 2 == 0, 0.0, r), t),
    "cold": lambda r, t: (r, t - 25.0),
    "hot": lambda r, t: (r, t + 12.0),
}


def background_of(path, quantity, climate):
    """A background whose file holds humidity as `quantity`, in single precision as files do."""
    data = atmosphere(("t", "r"))
    r, t = CLIMATES[climate](data["r"].values, data["t"].values)
    p = 100.0 * LEVELS[:, None, None]
    q = specific_humidity_from_relative_humidity(r, t, p)
    dims = ("level", "latitude", "longitude")
    stored = {
        "q": (q, "kg kg-1"),
        "r": (100 * r, "%"),
        "td": (dewpoint_from_specific_humidity(q, p), "K"),
        "q and r": (q, "kg kg-1"),
    }[quantity]
    fields = {"t": (dims, t.astype("f4"), {"units": "K"})}
    name = {"q and r": "q", "td": "dewpoint"}.get(quantity, quantity)
    fields[name] = (dims, stored[0].astype("f4"), {"units": stored[1]})
    if quantity == "q and r":
        fields["r"] = (dims, (100 * r).astype("f4"), {"units": "%"})
    return read_background([save(xr.Dataset(fields, data.coords), path)])


def moved(background, seed):
    """The state with increments of some 7 K and most of the humidity, brought within its limits."""
    draws = torch.from_numpy(np.random.default_rng(seed).standard_normal(tuple(background.state.values.shape)))
    values = background.state.values.clone()
    for index, channel in enumerate(background.state.channels):
        scale = 7.0 if channel.variable == "t" else 1.5 * float(values[index].abs().mean())
        values[index] += scale * draws[index]
    return replace(background.state, values=limit_humidity(background.state, values).values)


@pytest.mark.parametrize("quantity", ["q", "r", "td", "q and r"])
@pytest.mark.parametrize("climate", CLIMATES)
def test_analyses_members_and_increments_stay_readable(tmp_path, capsys, quantity, climate):
    background = background_of(tmp_path / "bg.nc", quantity, climate)
    states = [moved(background, seed) for seed in range(3)]
    spread = replace(background.state, values=torch.ones_like(background.state.values))
    write_analysis(tmp_path / "a.nc", background, states[0], spread=spread, attributes={})
    write_members(tmp_path / "m.nc", background, states, count=3, attributes={})
    write_increment(tmp_path / "i.nc", background, states[0], attributes={})
    again = [read_background([tmp_path / "a.nc"]), *(read_background([tmp_path / "m.nc"], member=i) for i in range(3))]
    for found, state in zip(again, [states[0], *states], strict=True):
        assert found.state.channels == background.state.channels
        for level in 100.0 * LEVELS:
            q, t = (found.state.index(Channel(name, level)) for name in ("q", "t"))
            humid = relative_humidity_from_specific_humidity(found.state.values[q], found.state.values[t], level)
            before = relative_humidity_from_specific_humidity(
                background.state.values[q], background.state.values[t], level
            )
            assert float(humid.min()) >= 0.0
            assert bool((humid <= before.clamp_min(1.0) * (1 + 1e-4) + 1e-4).all())
            if quantity != "td":  # drier than a dew point of 130 K is given as that
                np.testing.assert_allclose(found.state.values[q], state.values[q], rtol=1e-5, atol=1e-11)
    with xr.open_dataset(tmp_path / "i.nc") as i, xr.open_dataset(tmp_path / "a.nc") as a:
        for name in background.dataset.data_vars:
            np.testing.assert_allclose(i[name][0], a[name][0] - background.dataset[name], atol=1e-5)
    files = {"--analysis": "a.nc", "--background": "bg.nc", "--truth": "a.nc"}
    assert main(["evaluate", *(word for option, name in files.items() for word in (option, str(tmp_path / name)))]) == 0
    assert "RMSE" in capsys.readouterr().out


def test_just_saturated_air_that_cools_by_seven_kelvin_is_written_at_saturation(tmp_path):
    background = background_of(tmp_path / "bg.nc", "r", "saturated")
    values = background.state.values.clone()
    for index, channel in enumerate(background.state.channels):
        if channel.variable == "t":
            values[index] -= 7.0
    state = replace(background.state, values=limit_humidity(background.state, values).values)
    write_analysis(tmp_path / "a.nc", background, state, attributes={})
    with xr.open_dataset(tmp_path / "a.nc") as file:
        np.testing.assert_allclose(file["r"], 100.0, rtol=1e-4)
