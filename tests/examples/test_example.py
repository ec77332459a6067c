"""The shipped example is what it says: observations of its truth, with the errors that they state."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from phyda_cli.fields.state import State
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.observations.table import Observations, concatenate
from phyda_cli.operators.first_guess import operator_of

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def truth() -> State:
    return read_background([EXAMPLES / "truth.nc"]).state


@pytest.fixture(scope="module")
def assimilated() -> Observations:
    return read_observations(EXAMPLES / "observations.csv")


@pytest.fixture(scope="module")
def withheld() -> Observations:
    return read_observations(EXAMPLES / "withheld.csv")


def normalised_errors(observations: Observations, state: State) -> np.ndarray:
    """(y − H(x))/σ_o (n,)."""
    operator = operator_of(state, observations).states(state.grid, state.channels)
    assert operator.defined.all()
    return (observations.value - operator(state.values)) / observations.error


def test_no_station_is_both_assimilated_and_withheld(assimilated, withheld):
    used, hidden = set(assimilated.station), set(withheld.station)
    assert not used & hidden
    assert len(hidden) / len(used | hidden) == pytest.approx(0.2, abs=0.005)


def test_every_row_reads_without_complaint(assimilated, withheld, truth):
    for table in (assimilated, withheld):
        assert table.used.all()
        assert np.all(table.time == truth.time)
        assert np.all(table.error > 0)
        assert np.all(table.value[table.variable == "q"] > -1e-4)


def test_noise_has_the_stated_errors(assimilated, withheld, truth):
    # Σ e² ~ χ²_n: mean n, variance 2n; Σ e / √n ~ N(0, 1). Five standard deviations for each variable and table.
    for table in (assimilated, withheld):
        errors = normalised_errors(table, truth)
        for variable in ("u", "v", "t", "q", "z", "msl"):
            own = errors[table.variable == variable]
            assert abs(np.sum(own**2) - own.size) < 5 * math.sqrt(2 * own.size), variable
            assert abs(np.sum(own)) < 5 * math.sqrt(own.size), variable
            assert np.max(np.abs(own)) < 6


def test_noise_of_different_rows_is_independent(assimilated, truth):
    # lag-one products have mean 0 and variance 1
    errors = normalised_errors(assimilated, truth)
    assert abs(np.sum(errors[1:] * errors[:-1])) < 5 * math.sqrt(errors.size)


def test_background_is_another_state_at_the_same_time(truth, assimilated):
    background = read_background([EXAMPLES / "background.nc"]).state
    assert background.time == truth.time
    assert background.grid == truth.grid
    assert background.channels == truth.channels
    # departures are larger than the noise alone: there is something to correct
    for variable in ("z", "t", "msl"):
        rows = assimilated.take(assimilated.variable == variable)
        # noise alone has mean square 1 with standard deviation √(2/n)
        assert np.mean(normalised_errors(rows, background) ** 2) > 1 + 4 * np.sqrt(2 / len(rows))


def test_network_is_dense_in_the_north_and_thin_at_sea(assimilated, withheld):
    table = concatenate([assimilated, withheld])
    sondes = table.take(table.report == "sonde")
    places = set(zip(sondes.latitude, sondes.longitude, strict=True))
    assert 280 <= len(places) <= 360
    assert len(set(sondes.station)) == len(places)
    north = sum(latitude > 20 for latitude, _ in places)
    assert north > 2 * (len(places) - north)
    pacific = sum(abs(latitude) < 50 and 170 < longitude < 230 for latitude, longitude in places)
    assert 1 <= pacific <= 12
    assert set(table.report) == {"sonde", "aircraft", "surface"}


def test_files_are_small():
    assert sum((EXAMPLES / name).stat().st_size for name in ("truth.nc", "background.nc")) < 1_000_000
    assert sum((EXAMPLES / name).stat().st_size for name in ("observations.csv", "withheld.csv")) < 1_000_000
