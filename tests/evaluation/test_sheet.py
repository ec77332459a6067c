"""What `phyda plot` shows: numbers behind the charts, maps of any grid, and the command."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from phyda_cli.cli.app import main
from phyda_cli.evaluation.departures import CycleDepartures, commonest_verdicts, course, nearest, verdicts
from phyda_cli.evaluation.map_view import map_of
from phyda_cli.formats.feedback.netcdf import read_feedback
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.formats.gridded.spread import read_spread, read_spread_file
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.grids.maps import Cone, Earth
from phyda_cli.grids.plane import Geographic, PlaneGrid
from phyda_cli.grids.reduced import ReducedGrid
from phyda_cli.observations.passive import REASONS
from phyda_cli.observations.table import Feedback, Flag, Observations, Use
from tests.support.runs import Inputs, make_inputs

TIME = np.datetime64("2020-03-01T12", "ns")


def feedback(value: np.ndarray, **columns: np.ndarray) -> Feedback:
    """Observations of t at 500 hPa with H(x_b) = 0, H(x_a) = value / 2 and a spread of 3."""
    n = value.size
    o = Observations.build(
        "test", variable=np.full(n, "t", object), latitude=np.zeros(n), longitude=np.arange(n, dtype=float),
        value=value, time=np.full(n, TIME), pressure=np.full(n, 5e4), error=np.full(n, 4.0),
    )  # fmt: skip
    return Feedback(replace(o, **columns), np.zeros(n), value / 2.0, np.full(n, 3.0))


def test_the_course_has_the_numbers_of_its_definition():
    values = np.array([1.0, -3.0, 5.0, 7.0, 10.0, *[20.0] * 6])
    flags = np.array([Flag.PASS] * 5 + [Flag.PASSIVE] * 6, np.int16)
    use = np.array(["assimilate"] * 5 + ["withhold"] * 6, object)
    reason = np.array([""] * 5 + [REASONS[Use.WITHHOLD]] * 6, object)
    one = CycleDepartures.of(feedback(values, flag=flags, use=use, reason=reason), 1.5)
    (entry,) = course([one], ["t"])["t"]
    assert entry["count"] == 5
    assert entry["bias_b"] == pytest.approx(4.0)
    assert entry["rms_b"] == pytest.approx(np.sqrt(184 / 5))
    assert entry["bias_a"] == pytest.approx(2.0)
    assert entry["skill"] == pytest.approx(np.sqrt((9.0 + 16.0) / 100.0))  # O − A is 10 at the withheld rows
    assert entry["scale"] == 1.5
    assert verdicts(one.feedback).tolist() == ["used"] * 5 + ["withheld"] * 6


def test_a_place_has_the_commonest_verdict_of_its_rows():
    flags = np.array([Flag.PASS, Flag.BUDDY, Flag.BUDDY, Flag.PASS], np.int16)
    longitude = np.array([10.0, 10.0, 10.0, 20.0])
    one = feedback(np.ones(4), flag=flags, longitude=longitude)
    _, places, commonest = commonest_verdicts(one.observations, verdicts(one))
    assert dict(zip(places.tolist(), commonest.tolist(), strict=True)) == {10.0: "buddy", 20.0: "used"}


def test_the_feedback_of_an_analysis_is_that_nearest_in_time():
    early, late = feedback(np.ones(1)), feedback(np.ones(1), time=np.array([TIME + np.timedelta64(6, "h")]))
    cycles = [CycleDepartures.of(one, np.nan) for one in (early, late)]
    assert nearest(cycles, TIME + np.timedelta64(5, "h")) is late
    assert nearest([], TIME) is None


def test_a_domain_on_a_map_is_shown_in_its_own_plane():
    projection = Cone.lambert(Earth.of_axes(6.371e6, 6.371e6), 10.0, 50.0, 50.0, 50.0)
    axis = tuple(np.linspace(-4e5, 4e5, 9).tolist())
    grid = PlaneGrid(projection, axis, axis)
    view = map_of(grid)
    latitude, longitude = grid.coordinates
    y, x = view.forward(latitude, longitude)
    np.testing.assert_allclose(x.reshape(9, 9)[0], axis, atol=1e-3)
    np.testing.assert_allclose(y.reshape(9, 9)[:, 0], axis, atol=1e-3)
    assert view.aspect == 1.0
    assert not view.whole_globe


def test_a_cut_out_keeps_lengths_at_its_middle():
    grid = PlaneGrid(Geographic(10.0), (50.0, 60.0, 70.0), (0.0, 10.0, 20.0))
    assert map_of(grid).aspect == pytest.approx(2.0)  # 1 / cos 60°


def test_a_reduced_grid_is_shown_by_its_own_interpolation():
    grid = ReducedGrid.even(1e6)
    latitude = grid.coordinates[0]
    view = map_of(grid)
    assert view.whole_globe
    shown = view.sample(latitude.reshape(grid.shape))
    np.testing.assert_allclose(shown[60:121], np.broadcast_to(view.y[60:121, None], shown[60:121].shape), atol=1.0)
    assert view.x[0] == -180.0


def test_coastlines_that_a_projection_tears_apart_are_cut():
    grid = LatLonGrid((-90.0, 0.0, 90.0), (0.0, 90.0, 180.0, 270.0))
    assert map_of(grid).whole_globe
    europe = map_of(PlaneGrid(Geographic(10.0), (35.0, 50.0, 70.0), (-10.0, 10.0, 40.0)))
    west, east, south, north = europe.extent
    lines = europe._coast()
    longest = max(float(np.hypot(*np.diff(line, axis=0).T).max()) for line in lines)
    assert longest < 0.25 * max(east - west, north - south)
    inside = [line for line in lines if ((line > [west, south]) & (line < [east, north])).all(axis=1).any()]
    assert len(inside) > 5


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """An analysis with spread and feedback, `b.nc` and `f.nc`."""
    inputs = make_inputs(tmp_path_factory.mktemp("plot"))
    words = inputs.words(out=inputs.place / "b.nc", feedback=inputs.place / "f.nc")
    assert main(words) == 0
    return inputs


def test_the_spread_of_a_file_is_that_of_the_analysis(run: Inputs):
    after = read_background([run.place / "b.nc"])
    spread = read_spread(run.place / "b.nc", after)
    assert spread is not None
    assert set(spread.channels) <= set(after.state.channels)
    observed = read_feedback(run.place / "f.nc")
    row = int(np.flatnonzero(observed.observations.used)[0])
    held = spread.values[spread.index(next(c for c in spread.channels if c.variable == "t" and c.level == 5e4))]
    assert float(held.min()) <= observed.spread[row] <= float(held.max())


@pytest.mark.parametrize(("background", "ending", "exact"), [("bg.nc", ".nc", 0.0), ("bg.grib", ".grib2", 2e-5)])
def test_a_spread_in_a_file_of_its_own_is_the_same(run: Inputs, capsys, background, ending, exact):
    analysis, spread = (run.place / f"{name}-own{ending}" for name in ("a", "s"))
    words = run.words(background=run.place / background, out=analysis, spread_out=spread)
    assert main(words) == 0
    found = read_spread_file(spread, read_background([analysis]))
    beside = read_spread(run.place / "b.nc", read_background([run.place / "b.nc"]))
    assert beside is not None
    assert set(found.channels) == set(beside.channels)
    largest = beside.values.amax((-1, -2), keepdim=True)
    # the two backgrounds are one field in two packings, which moves nothing of the spread; GRIB packs it once more
    np.testing.assert_allclose(
        found.select(beside.channels).values / largest, beside.values / largest, atol=1e-6 + exact
    )
    maps = ["--analysis", str(analysis), "--background", str(run.place / background), "--spread", str(spread)]
    picture = run.place / f"own{ending}.html"
    code, _, _ = drawn(run, capsys, *maps, "--out", str(picture))
    assert code == 0
    assert "Spread: the standard deviation" in picture.read_text()
    code, _, said = drawn(run, capsys, *maps[:-1], str(run.place / "bg.grib"), "--out", str(run.place / "no.png"))
    assert (code, "holds no spread of this analysis" in said) == (65, True)


def drawn(run: Inputs, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["plot", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_background_with_another_axis_is_drawn_by_what_is_selected(run: Inputs, capsys):
    with xr.open_dataset(run.place / "bg.nc", decode_times=False) as opened:
        months = xr.concat([opened, opened + 1.0], dim="month").assign_coords(month=[1, 7])
        months.to_netcdf(run.place / "months.nc")
    maps = [f"--analysis={run.place / 'b.nc'}", f"--background={run.place / 'months.nc'}", "--only=maps"]
    code, _, said = drawn(run, capsys, *maps, f"--out={run.place / 'm.png'}")
    assert (code, "choose one with --select month=1" in said) == (65, True)
    code, _, _ = drawn(run, capsys, *maps, "--select=month=1", f"--out={run.place / 'm.png'}")
    assert code == 0


def test_the_command_draws_a_picture_and_a_page_that_needs_nothing_else(run: Inputs, capsys):
    place = run.place
    inputs = [f"--analysis={place / 'b.nc'}", f"--background={place / 'bg.nc'}", f"--feedback={place / 'f.nc'}"]
    code, out, _ = drawn(run, capsys, *inputs, "--channel=t500", f"--out={place / 'p.png'}", "--json")
    assert code == 0
    assert json.loads(out)["sections"][:2] == ["500 hPa temperature", "Observations used and rejected"]
    assert (place / "p.png").read_bytes().startswith(b"\x89PNG")
    code, _, _ = drawn(run, capsys, *inputs, f"--out={place / 'p.html'}", "--only=maps", "--only=observations")
    assert code == 0
    page = (place / "p.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert not re.findall(r'(?:src|href)="(?!data:)', page)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--out=x.pdf"], "ends in .png or .html"),
        (["--out=x.png"], "nothing to draw"),
        (["--out=x.png", "--analysis=b.nc"], "both --analysis and --background"),
        (["--out=x.png", "--feedback=f.nc", "--variable=q"], "no row of the feedback"),
        (["--out=x.png", "--analysis=b.nc", "--background=bg.nc", "--channel=t123"], "holds no such channel"),
        (["--out=x.png", "--feedback=f.nc", "--only=series"], "no such section"),
    ],
)
def test_what_cannot_be_drawn_is_said(run: Inputs, capsys, monkeypatch, words, says):
    monkeypatch.chdir(run.place)
    code, _, err = drawn(run, capsys, *words)
    assert code == 2
    assert says in err
    assert not Path("x.png").exists()
