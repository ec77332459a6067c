"""A picture of one analysis: maps of one channel.

With the background x_b, the analysis x_a and the truth x_t the maps show

    x_b − x_t      background error            y − H(x_b)     departures of the observations
    x_a − x_b      increment                   x_a − x_t      analysis error

on one symmetric colour scale: a perfect increment is the background error with its sign changed, and the departures are
its samples with the observations' own errors. Without a truth they show the analysis, the increment, the spread and the
departures, each with a scale of its own but for the increment and the departures, which share one.
The numbers beside the titles are root mean squares over the grid, √⟨e²⟩ with the areas of its points.

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
from phyda_cli.evaluation.map_view import INK, MUTED, MapView, map_of
from phyda_cli.fields.display import Display, display
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.base import Grid
from phyda_cli.observations.table import Feedback

Array = NDArray[np.float64]

DIVERGING: Final = "RdBu_r"
SEQUENTIAL: Final = "viridis"
SIZES: Final = "magma_r"
"""Colours of what is never negative: the spread."""
COVERED: Final = 99.0
"""The symmetric scale holds this part of the errors [%]; what lies beyond has the colour of its end."""
LIMITS: Final = (1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 4.8, 6.4, 8.0, 10.0)
"""Ends of the symmetric scale, times a power of ten: an eighth of each is a round number."""

_LEVEL_TOLERANCE: Final = 1e-6


@dataclass(frozen=True)
class ChannelMaps:
    """What the picture shows of one channel.

    grid: of the fields. time: valid time (UTC). background, analysis, truth, spread: (lat, lon), SI, canonical
    orientation; None for what there is not.
    latitude, longitude, departure: (n,) of the observations used of this channel; departure y − H(x_b), SI.
    """

    channel: Channel
    grid: Grid
    time: np.datetime64
    background: Array
    analysis: Array
    truth: Array | None
    latitude: Array
    longitude: Array
    departure: Array
    spread: Array | None = None


class Panel(NamedTuple):
    """One map. field: (lat, lon) as displayed, or None for the observations. score: what stands beside the title."""

    title: str
    field: Array | None
    score: str
    colours: str


def select_maps(
    channel: Channel,
    background: State,
    analysis: State,
    feedback: Feedback | None,
    truth: State | None = None,
    spread: State | None = None,
) -> ChannelMaps:
    """Return what a picture of the channel needs, from the states (channel, lat, lon) on one grid and the feedback.

    spread: of the analysis, of those channels that have one. Raises BadDataError when a state does not hold the channel
    or the grids differ.
    """
    states = [background, analysis] if truth is None else [background, analysis, truth]
    if any(state.grid.shape != background.grid.shape for state in states):
        grids = ", ".join(str(state.grid) for state in states)
        raise BadDataError(f"a picture needs all fields on one grid, found {grids}")
    planes = [_plane(state, channel) for state in states]
    nowhere = np.empty(0)
    latitude, longitude, departure = nowhere, nowhere, nowhere
    if feedback is not None:
        latitude, longitude, departure = _departures(channel, feedback)
    return ChannelMaps(
        channel=channel,
        grid=background.grid,
        time=background.time,
        background=planes[0],
        analysis=planes[1],
        truth=planes[2] if truth is not None else None,
        latitude=latitude,
        longitude=longitude,
        departure=departure,
        spread=None if spread is None or channel not in spread.channels else _plane(spread, channel),
    )


def _departures(channel: Channel, feedback: Feedback) -> tuple[Array, Array, Array]:
    """Latitude, longitude and y − H(x_b) of the observations used of a channel."""
    observations = feedback.observations
    mine = observations.used & (observations.variable == channel.variable)
    if channel.level is not None:
        with np.errstate(invalid="ignore"):
            mine &= np.abs(observations.pressure / channel.level - 1.0) < _LEVEL_TOLERANCE
    return observations.latitude[mine], observations.longitude[mine], feedback.background_departure[mine]


def _plane(state: State, channel: Channel) -> Array:
    return np.asarray(state.values[state.index(channel)].double().cpu().numpy())


def root_mean_square(field: Array, grid: Grid) -> float:
    """√⟨e²⟩ of a field (lat, lon) over the grid, with the areas that its points stand for."""
    return float(np.sqrt(np.sum(grid.area * field**2)))


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


def panels(maps: ChannelMaps) -> tuple[Panel, ...]:
    """Return the maps in reading order, with their titles and root mean squares, as displayed."""
    factor, _, unit = display(maps.channel.variable)
    background, analysis = factor * maps.background, factor * maps.analysis
    increment, departure = analysis - background, factor * maps.departure
    size = f"RMS {_number(float(np.sqrt(np.mean(departure**2))))} {unit}" if departure.size else ""
    departures = Panel(f"Observation departures, y − H(x$_b$): {departure.size} used", None, size, DIVERGING)
    moved = f"RMS {_number(root_mean_square(increment, maps.grid))} {unit}"
    change = Panel("Increment, x$_a$ − x$_b$", increment, moved, DIVERGING)
    if maps.truth is None:
        after = Panel("Analysis, x$_a$", analysis, "", SEQUENTIAL)
        if maps.spread is None:
            return Panel("Background, x$_b$", background, "", SEQUENTIAL), departures, change, after
        spread = factor * maps.spread
        mean = f"RMS {_number(root_mean_square(spread, maps.grid))} {unit}"
        return after, change, Panel("Spread of the analysis", spread, mean, SIZES), departures
    truth = factor * maps.truth
    before_error, after_error = background - truth, analysis - truth
    rmse, rmse_after = root_mean_square(before_error, maps.grid), root_mean_square(after_error, maps.grid)
    gain = f" ({100.0 * (rmse_after / rmse - 1.0):+.0f} %)".replace("-", "−") if rmse > 0 else ""
    return (
        Panel("Background error, x$_b$ − x$_t$", before_error, f"RMSE {_number(rmse)} {unit}", DIVERGING),
        departures,
        change,
        Panel("Analysis error, x$_a$ − x$_t$", after_error, f"RMSE {_number(rmse_after)} {unit}{gain}", DIVERGING),
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


WIDTH: Final = 12.0
"""Of every picture [inch]."""
_ABOVE, _BELOW = 0.95, 0.95
"""Room for the title and for the colour bars [inch]."""


def height(maps: ChannelMaps) -> float:
    """Return how high the picture is [inch], for the shape of its maps."""
    return float(np.clip(2 * 5.45 * map_of(maps.grid).shape + 0.75, 5.0, 12.0)) + _ABOVE + _BELOW


def heading(maps: ChannelMaps) -> str:
    """Return what the picture shows, such as 500 hPa geopotential height."""
    level = "" if maps.channel.level is None else f"{maps.channel.level / 100:g} hPa "
    title = f"{level}{display(maps.channel.variable).name}"
    return title[0].upper() + title[1:]


def caption(maps: ChannelMaps) -> str:
    """Return in words what is seen."""
    said = ["Increment: analysis minus background. Departures: observation minus background, of the used rows."]
    if maps.truth is not None:
        said.insert(0, "Errors: state minus truth.")
    elif maps.spread is not None:
        said.append("Spread: the standard deviation of the analysis' error, as the method estimates it.")
    return " ".join([*said, "RMS over the grid, weighted by area."])


def draw(maps: ChannelMaps, drawing: Any = None) -> Any:
    """Draw the picture into a Figure or SubFigure as high as `height`, by default one of its own, and return it.

    Raises MissingExtraError without matplotlib.
    """
    tall = height(maps)
    drawing = figure(WIDTH, tall) if drawing is None else drawing
    shown, shows, view = display(maps.channel.variable), panels(maps), map_of(maps.grid)
    limit = symmetric_limit(*(p.field for p in shows if p.colours == DIVERGING and p.field is not None))
    levels = {DIVERGING: symmetric_levels(limit)}
    for colours in (SEQUENTIAL, SIZES):
        fields = [p.field for p in shows if p.colours == colours and p.field is not None]
        levels |= {colours: even_levels(fields)} if fields else {}
    top, bottom = 1.0 - _ABOVE / tall, _BELOW / tall + 0.01
    grid = drawing.add_gridspec(2, 2, left=0.05, right=0.98, bottom=bottom, top=top, wspace=0.06, hspace=0.17)
    drawn: dict[str, Any] = {}
    for index, panel in enumerate(shows):
        axes = drawing.add_subplot(grid[index // 2, index % 2])
        view.decorate(axes, left=index % 2 == 0, bottom=index // 2 == 1)
        if panel.field is None:
            _draw_observations(axes, maps, view, shown.factor, levels[DIVERGING])
        else:
            drawn[panel.colours] = draw_field(axes, panel.field, view, levels[panel.colours], panel.colours)
        axes.set_title(panel.title, loc="left", fontsize=10.5, color=INK, pad=5)
        axes.set_title(panel.score, loc="right", fontsize=10.5, color=INK, pad=5)
    moment = np.datetime_as_string(maps.time, unit="m").replace("T", " ")
    drawing.text(0.05, 1.0 - 0.42 / tall, heading(maps), fontsize=15, fontweight="bold", color=INK)
    drawing.text(0.98, 1.0 - 0.42 / tall, f"valid {moment} UTC", fontsize=11, color=MUTED, ha="right")
    _draw_bars(drawing, drawn, shown, levels[DIVERGING], 0.55 / tall, 0.143 / tall)
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


def draw_field(axes: Any, field: Array, view: MapView, levels: Array, colours: str) -> Any:
    """Fill a map with a field (lat, lon) in the steps of the levels; what lies beyond has the colour of its end."""
    return view.fill(axes, field, levels, colours, extend="both" if colours == DIVERGING else "neither")


def _draw_observations(axes: Any, maps: ChannelMaps, view: MapView, factor: float, levels: Array) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm

    view.land(axes)
    colours = colormaps[DIVERGING]
    view.scatter(
        axes, maps.latitude, maps.longitude, c=factor * maps.departure, s=20 if maps.departure.size < 2000 else 6,
        cmap=colours, norm=BoundaryNorm(levels, colours.N, extend="both"), edgecolors=INK,
        linewidths=0.4 if maps.departure.size < 2000 else 0.1, zorder=4,
    )  # fmt: skip


def _draw_bars(
    figure: Any, drawn: dict[str, Any], shown: Display, symmetric: Array, bottom: float, thick: float
) -> None:
    """One colour bar for each scale, side by side."""
    alone = len(drawn) == 1
    said = {
        DIVERGING: "error, departure, increment" if alone else "increment, departure",
        SEQUENTIAL: shown.name,
        SIZES: "spread",
    }
    room = 0.93 / len(drawn)
    for number, colours in enumerate(name for name in (SEQUENTIAL, DIVERGING, SIZES) if name in drawn):
        place = (0.25, bottom, 0.53, thick) if alone else (0.05 + room * (number + 0.06), bottom, 0.88 * room, thick)
        bar = figure.colorbar(drawn[colours], cax=figure.add_axes(place), orientation="horizontal", extendfrac=0.03)
        if colours == DIVERGING:
            bar.set_ticks(symmetric[[0, 2, 4, 6, 9, 11, 13, 15]])
        bar.ax.tick_params(labelsize=8.5, length=2.5, color=MUTED, labelcolor=INK)
        bar.outline.set(linewidth=0.6, edgecolor=MUTED)
        bar.set_label(f"{said[colours]} [{shown.unit}]", fontsize=9.5, color=INK)
