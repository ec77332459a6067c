from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.constants import GRAVITY
from phyda_cli.errors import BadDataError, MissingExtraError
from phyda_cli.evaluation.coastline import coastline, land_rings
from phyda_cli.evaluation.map_view import map_of
from phyda_cli.evaluation.plots import (
    LIMITS,
    ChannelMaps,
    draw,
    panels,
    render,
    select_maps,
    symmetric_limit,
)
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.observations.table import Feedback, Flag, Observations

# Rows at −60°, 0°, 60° have the area shares ¼, ½, ¼ (edges at ±30°).
GRID = LatLonGrid((-60.0, 0.0, 60.0), (0.0, 90.0, 180.0, 270.0))
TIME = np.datetime64("2020-01-01T12", "ns")
Z500 = Channel("z", 50_000.0)


def rows(*values: float) -> np.ndarray:
    return np.repeat(np.array(values, float)[:, None], 4, axis=1)


def height_maps() -> ChannelMaps:
    """Errors of ±(4, 2, 0) m before and (0, 2, 0) m after; increment (−4, 0, 0) m."""
    truth = rows(5000.0, 5500.0, 5200.0)
    return ChannelMaps(
        channel=Z500,
        grid=GRID,
        time=TIME,
        background=GRAVITY * (truth + rows(4.0, 2.0, 0.0)),
        analysis=GRAVITY * (truth + rows(0.0, 2.0, 0.0)),
        truth=GRAVITY * truth,
        latitude=np.array([10.0, -20.0]),
        longitude=np.array([350.0, 200.0]),
        departure=GRAVITY * np.array([3.0, -4.0]),
    )


def right_titles(maps: ChannelMaps) -> list[str]:
    return [axes.get_title(loc="right") for axes in draw(maps).axes[:4]]


def test_titles_hold_the_root_mean_squares_in_metres():
    # √(¼·16 + ½·4) = √6 = 2.449; √((9 + 16)/2) = 3.536; √(¼·16) = 2; √(½·4) = 1.414, 42 % less
    assert right_titles(height_maps()) == ["RMSE 2.45 gpm", "RMS 3.54 gpm", "RMS 2.00 gpm", "RMSE 1.41 gpm (−42 %)"]


def test_without_truth_fields_are_shown_and_no_error_is_claimed():
    maps = replace(height_maps(), truth=None)
    assert right_titles(maps) == ["", "RMS 3.54 gpm", "RMS 2.00 gpm", ""]
    before, _, _, after = panels(maps)
    np.testing.assert_allclose(before.field, rows(5004.0, 5502.0, 5200.0))
    np.testing.assert_allclose(after.field, rows(5000.0, 5502.0, 5200.0))


def test_no_observation_has_no_root_mean_square():
    none = np.zeros(0)
    maps = replace(height_maps(), latitude=none, longitude=none, departure=none)
    assert panels(maps)[1].score == ""
    assert render(maps)[:4] == b"\x89PNG"


def test_colour_scale_is_symmetric_and_shared():
    background, observations, increment, analysis = draw(height_maps()).axes[:4]
    scales = [c.levels for axes in (background, increment, analysis) for c in axes.collections if hasattr(c, "levels")]
    assert len(scales) == 3
    dots = next(c for c in observations.collections if c.get_array() is not None)
    for levels in (*scales, dots.norm.boundaries):
        np.testing.assert_array_equal(levels, -levels[::-1])
        np.testing.assert_array_equal(levels, scales[0])


def test_limit_holds_nearly_all_values():
    # 99th percentile of 0..100 is 99: the next end of a scale is 100
    assert symmetric_limit(np.arange(-100.0, 1.0)) == pytest.approx(100.0)
    assert symmetric_limit(np.full((2, 2), 3.3e-4), np.full(3, -1e-4)) == pytest.approx(4e-4)
    assert symmetric_limit(np.full(5, 2.4)) == pytest.approx(2.4)
    assert symmetric_limit(np.zeros(4)) == 1.0
    for factor in (1.0, 1e3, 1e-5):
        for step in LIMITS:
            assert symmetric_limit(np.full(3, factor * step)) == pytest.approx(factor * step)


def test_same_maps_give_the_same_bytes():
    first = render(height_maps())
    assert first == render(height_maps())
    assert b"matplotlib" not in first
    assert first != render(replace(height_maps(), departure=np.array([-30.0, 40.0])))


def test_matplotlib_state_is_left_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    loaded = "matplotlib.pyplot" in sys.modules
    render(height_maps())
    assert dict(matplotlib.rcParams) == before
    assert ("matplotlib.pyplot" in sys.modules) == loaded


def test_missing_matplotlib_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"phyda\[plot\]"):
        draw(height_maps())


def test_fields_keep_their_place_on_the_map():
    # the grid's column at 180° is the last one west of the dateline: it holds both edges; 270° lies at −90°
    field = np.tile([0.0, 1.0, 7.0, 3.0], (3, 1))
    maps = replace(height_maps(), truth=None, background=GRAVITY * field, analysis=GRAVITY * field)
    view = map_of(GRID)
    x, y, values = view.x, view.y, view.sample(panels(maps)[0].field)
    np.testing.assert_allclose(x, [-180.0, -90.0, 0.0, 90.0, 180.0])
    np.testing.assert_allclose(y, [-90.0, -60.0, 0.0, 60.0, 90.0])
    np.testing.assert_allclose(values[2], [7.0, 3.0, 0.0, 1.0, 7.0])
    np.testing.assert_allclose(values[-1], 2.75)


def test_grid_without_a_point_on_the_dateline_meets_there():
    grid = LatLonGrid((-45.0, 45.0), (45.0, 135.0, 225.0, 315.0))
    values = map_of(grid).sample(np.tile([1.0, 2.0, 4.0, 8.0], (2, 1)))
    # half-way between the 2 at 135° and the 4 at 225°
    np.testing.assert_allclose(values[1], [3.0, 4.0, 8.0, 1.0, 2.0, 3.0])


def make_states() -> tuple[State, State, Feedback]:
    values = torch.arange(24.0, dtype=torch.float64).reshape(2, 3, 4)
    background = State(values, (Z500, Channel("msl")), GRID, TIME)
    analysis = replace(background, values=values + 1.0)
    n = 4
    texts = np.full(n, "", dtype=object)
    observations = Observations(
        variable=np.array(["z", "z", "z", "msl"], dtype=object),
        latitude=np.array([1.0, 2.0, 3.0, 4.0]),
        longitude=np.array([10.0, 20.0, 30.0, 40.0]),
        pressure=np.array([50_000.0, 30_000.0, 50_000.0, np.nan]),
        value=np.array([10.0, 20.0, 30.0, 40.0]),
        error=np.ones(n),
        time=np.full(n, TIME),
        station=texts,
        report=texts,
        elevation=np.full(n, np.nan),
        height=np.full(n, np.nan),
        zenith=np.full(n, np.nan),
        top=np.full(n, np.nan),
        use=np.full(n, "assimilate", dtype=object),
        source=np.zeros(n, np.int64),
        row=np.arange(1, n + 1),
        flag=np.array([Flag.PASS, Flag.PASS, Flag.FIRST_GUESS, Flag.PASS], dtype=np.int16),
        reason=texts,
    )
    equivalents = np.array([7.0, 7.0, 7.0, 7.0])
    return background, analysis, Feedback(observations, equivalents, equivalents, np.full(n, np.nan))


def test_only_used_observations_of_the_channel_are_shown():
    background, analysis, feedback = make_states()
    upper = select_maps(Z500, background, analysis, feedback)
    assert upper.latitude.tolist() == [1.0]
    assert upper.departure.tolist() == [3.0]
    surface = select_maps(Channel("msl"), background, analysis, feedback)
    assert surface.departure.tolist() == [33.0]
    np.testing.assert_array_equal(surface.analysis - surface.background, np.ones((3, 4)))


def test_states_on_different_grids_are_refused():
    background, analysis, feedback = make_states()
    other = State(torch.zeros(1, 4, 8), (Z500,), LatLonGrid.equiangular(4, 8), TIME)
    with pytest.raises(BadDataError, match="one grid"):
        select_maps(Z500, background, analysis, feedback, other)
    with pytest.raises(BadDataError, match="holds no t500"):
        select_maps(Channel("t", 50_000.0), background, analysis, feedback)


def test_coastline_lies_on_the_map_and_never_crosses_it():
    lines = coastline()
    assert len(lines) > 100
    for line in lines:
        assert len(line) > 1
        assert np.all(np.abs(line[:, 0]) <= 180.0)
        assert np.all(np.abs(line[:, 1]) <= 90.0)
        assert np.abs(np.diff(line[:, 0])).max() < 180.0
        # nothing runs along the map's edges
        assert not np.any((np.abs(line[:-1, 0]) == 180.0) & (np.abs(line[1:, 0]) == 180.0))
        assert not np.any((line[:-1, 1] == -90.0) & (line[1:, 1] == -90.0))


def test_land_covers_its_known_part_of_the_earth():
    # ∮ sin φ dλ over closed rings is minus the solid angle of land (lakes run the other way); 29 % of 4π is land
    angle = 0.0
    for ring in land_rings():
        np.testing.assert_array_equal(ring[0], ring[-1])
        lam, phi = np.radians(ring[:, 0]), np.radians(ring[:, 1])
        angle -= np.sum(np.diff(lam) * 0.5 * (np.sin(phi[1:]) + np.sin(phi[:-1])))
    assert angle / (4 * np.pi) == pytest.approx(0.29, abs=0.01)
