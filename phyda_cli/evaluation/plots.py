"""A picture of one analysis: four global maps of one channel.

With the background x_b, the analysis x_a and the truth x_t the maps show

    x_b − x_t      background error            y − H(x_b)     departures of the observations
    x_a − x_b      increment                   x_a − x_t      analysis error

on one symmetric colour scale: a perfect increment is the background error with its sign changed, and the departures are
its samples with the observations' own errors. Without a truth the background and the analysis themselves are shown.
The numbers beside the titles are root mean squares over the sphere, √⟨e²⟩ with the area weights of the grid's rows.

matplotlib is optional and imported when a picture is made. Nothing of its global state is used or changed.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError, MissingExtraError
from phyda_cli.evaluation.coastline import coastline, land_rings
from phyda_cli.evaluation.display import Display, display
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.observations.table import Feedback

Array = NDArray[np.float64]

DIVERGING: Final = "RdBu_r"
SEQUENTIAL: Final = "viridis"
COVERED: Final = 99.0
"""The symmetric scale holds this part of the errors [%]; what lies beyond has the colour of its end."""
LIMITS: Final = (1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 4.8, 6.4, 8.0, 10.0)
"""Ends of the symmetric scale, times a power of ten: an eighth of each is a round number."""

_LAND, _INK, _MUTED = "#ececea", "#222222", "#6b6b6b"
_LEVEL_TOLERANCE: Final = 1e-6


@dataclass(frozen=True)
class ChannelMaps:
    """What the picture shows of one channel.

    grid: of the fields. time: valid time (UTC). background, analysis, truth: (lat, lon), SI, canonical orientation.
    latitude, longitude, departure: (n,) of the observations used of this channel; departure y − H(x_b), SI.
    """

    channel: Channel
    grid: LatLonGrid
    time: np.datetime64
    background: Array
    analysis: Array
    truth: Array | None
    latitude: Array
    longitude: Array
    departure: Array


class Panel(NamedTuple):
    """One map. field: (lat, lon) as displayed, or None for the observations. score: what stands beside the title."""

    title: str
    field: Array | None
    score: str
    diverging: bool


def select_maps(
    channel: Channel, background: State, analysis: State, feedback: Feedback, truth: State | None = None
) -> ChannelMaps:
    """Return what a picture of the channel needs, from the states (channel, lat, lon) on one grid and the feedback.

    Raises BadDataError when a state does not hold the channel or the grids differ.
    """
    states = [background, analysis] if truth is None else [background, analysis, truth]
    if not isinstance(background.grid, LatLonGrid):
        raise BadDataError("a picture needs fields on a global latitude-longitude grid")
    if any(state.grid.shape != background.grid.shape for state in states):
        grids = ", ".join(str(state.grid) for state in states)
        raise BadDataError(f"a picture needs all fields on one grid, found {grids}")
    planes = [state.values[state.index(channel)].double().cpu().numpy() for state in states]
    observations = feedback.observations
    mine = observations.used & (observations.variable == channel.variable)
    if channel.level is not None:
        with np.errstate(invalid="ignore"):
            mine &= np.abs(observations.pressure / channel.level - 1.0) < _LEVEL_TOLERANCE
    return ChannelMaps(
        channel=channel,
        grid=background.grid,
        time=background.time,
        background=planes[0],
        analysis=planes[1],
        truth=planes[2] if truth is not None else None,
        latitude=observations.latitude[mine],
        longitude=observations.longitude[mine],
        departure=feedback.background_departure[mine],
    )


def root_mean_square(field: Array, grid: LatLonGrid) -> float:
    """√⟨e²⟩ of a field (lat, lon) over the sphere."""
    return float(np.sqrt(np.mean(field**2, axis=-1) @ grid.area_weights))


def symmetric_limit(*fields: Array) -> float:
    """The end L of the scale [−L, L] that holds `COVERED` % of all values, one of `LIMITS` · 10^k; 1 for zeros."""
    sizes = np.concatenate([np.abs(field).ravel() for field in fields])
    sizes = sizes[np.isfinite(sizes)]
    size = float(np.percentile(sizes, COVERED)) if sizes.size else 0.0
    if size == 0.0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(size))
    steps = power * np.array(LIMITS)
    return float(steps[np.searchsorted(steps, size * (1.0 - 1e-12))])


def panels(maps: ChannelMaps) -> tuple[Panel, Panel, Panel, Panel]:
    """Return the four maps in reading order, with their titles and root mean squares, as displayed."""
    factor, _, unit = display(maps.channel.variable)
    background, analysis = factor * maps.background, factor * maps.analysis
    increment, departure = analysis - background, factor * maps.departure
    spread = f"RMS {_number(float(np.sqrt(np.mean(departure**2))))} {unit}" if departure.size else ""
    departures = Panel(f"Observation departures, y − H(x$_b$): {departure.size} used", None, spread, True)
    size = root_mean_square(increment, maps.grid)
    change = Panel("Increment, x$_a$ − x$_b$", increment, f"RMS {_number(size)} {unit}", True)
    if maps.truth is None:
        before = Panel("Background, x$_b$", background, "", False)
        return before, departures, change, Panel("Analysis, x$_a$", analysis, "", False)
    truth = factor * maps.truth
    before_error, after_error = background - truth, analysis - truth
    rmse, rmse_after = root_mean_square(before_error, maps.grid), root_mean_square(after_error, maps.grid)
    gain = f" ({100.0 * (rmse_after / rmse - 1.0):+.0f} %)".replace("-", "−") if rmse > 0 else ""
    return (
        Panel("Background error, x$_b$ − x$_t$", before_error, f"RMSE {_number(rmse)} {unit}", True),
        departures,
        change,
        Panel("Analysis error, x$_a$ − x$_t$", after_error, f"RMSE {_number(rmse_after)} {unit}{gain}", True),
    )


def figure(width: float, height: float, **more: Any) -> Any:
    """Return a matplotlib Figure [inches] with the Agg canvas. Raises MissingExtraError without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("pictures", "plot") from None
    made = Figure(figsize=(width, height), facecolor="white", **more)
    FigureCanvasAgg(made)
    return made


def png(drawn: Any, *, dots_per_inch: int = 110) -> bytes:
    """Return a Figure as PNG, without date or software in it: the same drawing gives the same bytes."""
    stream = io.BytesIO()
    drawn.savefig(stream, format="png", dpi=dots_per_inch, metadata={"Software": None})
    return stream.getvalue()


def draw(maps: ChannelMaps) -> Any:
    """Return the picture as a matplotlib Figure. Raises MissingExtraError without matplotlib."""
    drawing = figure(12.0, 7.95)
    shown, four = display(maps.channel.variable), panels(maps)
    limit = symmetric_limit(*(p.field for p in four if p.diverging and p.field is not None))
    grid = drawing.add_gridspec(2, 2, left=0.05, right=0.98, bottom=0.135, top=0.875, wspace=0.06, hspace=0.17)
    symmetric = symmetric_levels(limit)
    full = [panel.field for panel in four if panel.field is not None and not panel.diverging]
    values = even_levels(full) if full else symmetric
    drawn: dict[bool, Any] = {}
    for index, panel in enumerate(four):
        axes = drawing.add_subplot(grid[index // 2, index % 2])
        _decorate(axes, left=index % 2 == 0, bottom=index // 2 == 1)
        if panel.field is None:
            _draw_observations(axes, maps, shown.factor, symmetric)
        else:
            levels, colours = (symmetric, DIVERGING) if panel.diverging else (values, SEQUENTIAL)
            drawn[panel.diverging] = draw_field(axes, panel.field, maps.grid, levels, colours)
        axes.set_title(panel.title, loc="left", fontsize=10.5, color=_INK, pad=5)
        axes.set_title(panel.score, loc="right", fontsize=10.5, color=_INK, pad=5)
    level = "" if maps.channel.level is None else f"{maps.channel.level / 100:g} hPa "
    title = f"{level}{shown.name}"
    moment = np.datetime_as_string(maps.time, unit="m").replace("T", " ")
    drawing.text(0.05, 0.948, title[0].upper() + title[1:], fontsize=15, fontweight="bold", color=_INK)
    drawing.text(0.98, 0.948, f"valid {moment} UTC", fontsize=11, color=_MUTED, ha="right")
    _draw_bars(drawing, drawn, shown, symmetric)
    return drawing


def render(maps: ChannelMaps, *, dots_per_inch: int = 130) -> bytes:
    """Return the picture as PNG, without date or software in it: the same maps give the same bytes. Raises as `draw`
    does.
    """
    return png(draw(maps), dots_per_inch=dots_per_inch)


def _number(value: float) -> str:
    return f"{value:#.3g}".rstrip(".")


def symmetric_levels(limit: float) -> Array:
    """Even steps of an eighth of the limit, without zero: the smallest errors of both signs share one colour."""
    side = limit * np.arange(1, 9) / 8.0
    return np.concatenate([-side[::-1], side])


def even_levels(fields: Iterable[Array]) -> Array:
    """Round steps over all values of the fields."""
    from matplotlib.ticker import MaxNLocator

    ends = [(float(field.min()), float(field.max())) for field in fields]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    return np.asarray(MaxNLocator(nbins=14).tick_values(low, high if high > low else low + 1.0))


def _closed(field: Array, grid: LatLonGrid) -> tuple[Array, Array, Array]:
    """Return longitudes from −180 to 180, latitudes from pole to pole, and the field there.

    The meridians at both ends of the map are interpolated between their neighbours. Where the grid has no pole row, the
    pole holds the mean of the last row.
    """
    longitudes = (np.asarray(grid.longitudes) + 180.0) % 360.0 - 180.0
    order = np.argsort(longitudes)
    longitudes, field = longitudes[order], field[:, order]
    around = np.concatenate([[longitudes[-1] - 360.0], longitudes, [longitudes[0] + 360.0]])
    columns = np.concatenate([field[:, -1:], field, field[:, :1]], axis=1)
    inside = longitudes[(longitudes > -180.0) & (longitudes < 180.0)]
    x = np.concatenate([[-180.0], inside, [180.0]])
    values = np.stack([np.interp(x, around, row) for row in columns])
    y = np.asarray(grid.latitudes)
    if y[0] > -90.0:
        y, values = np.concatenate([[-90.0], y]), np.vstack([np.full(x.size, field[0].mean()), values])
    if y[-1] < 90.0:
        y, values = np.concatenate([y, [90.0]]), np.vstack([values, np.full(x.size, field[-1].mean())])
    return x, y, values


def draw_field(axes: Any, field: Array, grid: LatLonGrid, levels: Array, colours: str) -> Any:
    """Fill a map with a field (lat, lon) in the steps of the levels; what lies beyond has the colour of its end."""
    x, y, values = _closed(field, grid)
    beyond = "both" if colours == DIVERGING else "neither"
    filled = axes.contourf(x, y, values, levels=levels, cmap=colours, extend=beyond, zorder=1)
    filled.set_edgecolor("face")
    return filled


def _draw_observations(axes: Any, maps: ChannelMaps, factor: float, levels: Array) -> None:
    from matplotlib import colormaps
    from matplotlib.collections import PathCollection
    from matplotlib.colors import BoundaryNorm
    from matplotlib.path import Path

    land = Path.make_compound_path(*(Path(ring, closed=True) for ring in land_rings()))
    axes.add_collection(PathCollection([land], facecolors=[_LAND], edgecolors="none", zorder=1))
    colours = colormaps[DIVERGING]
    axes.scatter(
        (maps.longitude + 180.0) % 360.0 - 180.0,
        maps.latitude,
        c=factor * maps.departure,
        s=20,
        cmap=colours,
        norm=BoundaryNorm(levels, colours.N, extend="both"),
        edgecolors=_INK,
        linewidths=0.4,
        zorder=4,
    )


def frame(axes: Any, width: float) -> None:
    """Draw the coastlines [points] on a map of the whole globe."""
    from matplotlib.collections import LineCollection

    axes.add_collection(LineCollection(list(coastline()), colors=_INK, linewidths=width, zorder=3))
    axes.set_xlim(-180, 180)
    axes.set_ylim(-90, 90)


def _decorate(axes: Any, *, left: bool, bottom: bool) -> None:
    """Coastlines, graticule and axis labels."""
    frame(axes, 0.6)
    meridians, parallels = range(-180, 181, 60), range(-90, 91, 30)
    shared = 180 if left else -180  # where the two maps of a row meet, labels would run into each other
    axes.set_aspect("equal")
    axes.set_xticks(
        meridians, [_degrees(value, "W", "E") if value != shared else "" for value in meridians] if bottom else []
    )
    axes.set_yticks(parallels, [_degrees(value, "S", "N") for value in parallels] if left else [])
    axes.grid(color=_MUTED, linewidth=0.3, linestyle=(0, (2, 3)), zorder=2)
    axes.set_axisbelow(False)
    axes.tick_params(labelsize=8.5, length=2.5, color=_MUTED, labelcolor=_MUTED)
    for spine in axes.spines.values():
        spine.set(linewidth=0.6, color=_MUTED)


def _degrees(value: int, negative: str, positive: str) -> str:
    if value == 0 or abs(value) == 180:
        return f"{abs(value)}°"
    return f"{abs(value)}°{negative if value < 0 else positive}"


def _draw_bars(figure: Any, drawn: dict[bool, Any], shown: Display, symmetric: Array) -> None:
    """One colour bar, or two side by side when full fields are shown as well."""
    alone = len(drawn) == 1
    for diverging, filled in drawn.items():
        place = (0.25, 0.072, 0.53, 0.018) if alone else ((0.56 if diverging else 0.08), 0.072, 0.38, 0.018)
        axes = figure.add_axes(place)
        bar = figure.colorbar(filled, cax=axes, orientation="horizontal", extendfrac=0.03)
        if diverging:
            bar.set_ticks(symmetric[[0, 2, 4, 6, 9, 11, 13, 15]])
        bar.ax.tick_params(labelsize=8.5, length=2.5, color=_MUTED, labelcolor=_INK)
        bar.outline.set(linewidth=0.6, edgecolor=_MUTED)
        what = "error, departure, increment" if alone else "departure, increment" if diverging else shown.name
        bar.set_label(f"{what} [{shown.unit}]", fontsize=9.5, color=_INK)
