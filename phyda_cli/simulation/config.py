"""What a simulation is made of: resolutions, time steps, length, start interval, leads, perturbations, splits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Preset = Literal["tiny", "short", "default", "core"]

Progress = Callable[[str], None]
"""Takes one line that says how far the simulation is."""

HOURS_PER_DAY: Final = 24
LEVEL_FIELDS: Final = ("u", "v", "t", "q", "z")
"""Fields of the output on pressure levels."""
NEAR_SURFACE_FIELDS: Final = ("sp", "t2m", "u10", "v10")
"""Further single-level fields of an output with the near-surface air."""
STANDARD_LEVELS: Final = (1000, 925, 850, 700, 600, 500, 400, 300, 250, 200, 150, 100, 50)
"""The thirteen pressure levels of most data sets for learning, from the ground up [hPa]."""
OUTPUT_HOURS: Final = 6
"""Interval of the nature run's output, and of a forecast's possible leads [h]."""


Range = tuple[float, float]


class NetworkRanges(BaseModel):
    """From what the networks of a cycle are drawn, one for each segment; numbers lie evenly between two ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sondes: Range = (0.3, 1.0)
    """Share of the places of real sonde stations that report at 00 and 12 UTC [1]."""

    sondes_between: Range = (0.0, 0.5)
    """Share of these that report at 06 and 18 UTC too [1]."""

    surface: Range = (100, 1500)
    """Pressure at sea level: half near sonde stations, half anywhere."""

    routes: Range = (0, 80)
    """Routes of aircraft between sonde stations."""

    winds: Range = (0, 1200)
    """Winds in the sight of one to four satellites over the equator, elsewhere in every cycle."""

    swaths: Range = (0, 3)
    """Satellites on polar orbits that sound the temperature along their tracks."""

    columns: Range = (0, 150)
    """Whole columns at places anywhere, the same for the whole segment."""

    presence: float = Field(default=0.8, gt=0, le=1)
    """Probability that a segment has a kind at all; sondes or columns it always has [1]."""

    errors: Range = (0.8, 1.3)
    """Factor on the errors of the table, with which the analyses are told them [1]."""

    @model_validator(mode="after")
    def _increasing(self) -> NetworkRanges:
        for name, value in self:
            if isinstance(value, tuple) and not 0 <= value[0] <= value[1]:
                raise ValueError(f"{name} must be a non-negative increasing pair")
        return self


class CyclesConfig(BaseModel):
    """The settings of the cycles that make a store of cycled errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    streams: tuple[int, int, int] = (6, 2, 2)
    """Cycles that run apart in training, validation and test; each has its share of the part's time."""

    hours: Literal[6] = 6
    """From one analysis to the next [h]."""

    leads_hours: tuple[int, ...] = (6, 12, 24, 48)
    """Lead times kept of the forecasts from the analyses, increasing multiples of 6 h [h]."""

    every_hours: int = Field(default=24, ge=6, multiple_of=6)
    """A forecast longer than a cycle is kept where it is valid at a multiple of this from midnight [h]."""

    segment_days: int = Field(default=8, ge=1)
    """How long a network persists [d]."""

    spin_up_days: int = Field(default=8, ge=0)
    """Days at the start of each cycle of which nothing is kept [d]."""

    networks: NetworkRanges = NetworkRanges()

    seed: int = Field(default=0, ge=0)
    """Seed of the networks and of the observations' errors."""

    @model_validator(mode="after")
    def _consistent(self) -> CyclesConfig:
        leads = self.leads_hours
        if not leads or any(lead <= 0 or lead % OUTPUT_HOURS for lead in leads) or list(leads) != sorted(set(leads)):
            raise ValueError("leads_hours must be increasing multiples of 6")
        if min(self.streams) < 1:
            raise ValueError("streams: every part needs a cycle")
        return self


class SimulationConfig(BaseModel):
    """The settings of a nature run and of the forecasts that start from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nature_truncation: Literal[31, 42, 63, 85] = 42
    """Triangular truncation of the nature run [total wavenumber]."""

    forecast_truncation: Literal[31, 42, 63, 85] = 31
    """Triangular truncation of the forecast model, at most that of the nature run [total wavenumber]."""

    nature_step_minutes: int = Field(default=24, ge=1, le=60)
    """Time step of the nature run; divides 6 h [min]."""

    forecast_step_minutes: int = Field(default=30, ge=1, le=60)
    """Time step of the forecast model; divides 6 h [min]."""

    start: datetime = datetime(2001, 1, 1, tzinfo=UTC)
    """First day of the nature run, 00 UTC; sets the season only, the sea surface is climatological."""

    spin_up_days: int = Field(default=100, ge=1)
    """Days from the state of rest at the forecast model's truncation, which is the cheaper one [d]."""

    settling_days: int = Field(default=24, ge=1)
    """Days after that at the nature run's truncation, before the first output; whole pieces [d]."""

    rows: Literal[32, 64] = 32
    """Latitudes of the output grid, evenly spaced without the poles; there are twice as many longitudes [1]."""

    levels_hpa: tuple[int, ...] = (925, 850, 700, 500, 300, 250, 200, 100)
    """Pressure levels of the output, from the ground up [hPa]."""

    near_surface: bool = False
    """Whether t2m, u10, v10 (the surface scheme's air) and sp are part of the output."""

    days: int = Field(default=1096, ge=2)
    """Length of the nature run [d]."""

    chunk_days: int = Field(default=8, ge=1)
    """Length of one restartable piece [d]; the nature run is a whole number of them (rounded up)."""

    start_interval_hours: int = Field(default=12, ge=6)
    """Interval of the states from which forecasts can start [h]."""

    passes: Literal[1, 2, 4] = 4
    """In how many passes the forecasts go over the starts: each halves the gaps that the earlier ones left, so that
    an unfinished set of forecasts still covers the whole nature run evenly."""

    leads_hours: tuple[int, ...] = (6, 12, 24, 36, 48, 72, 96, 120)
    """Lead times saved from every forecast, increasing multiples of 6 h [h]."""

    perturbation_range: tuple[float, float] = (0.05, 0.1)
    """Smallest and largest factor on the difference of two nature states that perturbs a forecast's start [1]."""

    perturbation_window_days: int = Field(default=20, ge=1)
    """The two states are from the days before the start, at most this many: same season, never the future [d]."""

    split_fractions: tuple[float, float, float] = (2 / 3, 1 / 6, 1 / 6)
    """Shares of the nature run for training, validation and test, in this order of time [1]."""

    split_gap_days: int = Field(default=25, ge=20)
    """Days left out between two splits: the perturbation window and the longest lead [d]."""

    seed: int = Field(default=0, ge=0)
    """Seed of the noise at the start and of the forecasts' perturbations."""

    cycles: CyclesConfig = CyclesConfig()
    """The cycles on the nature run, where there are any."""

    @model_validator(mode="after")
    def _consistent(self) -> SimulationConfig:
        if self.forecast_truncation > self.nature_truncation:
            raise ValueError("forecast_truncation must not exceed nature_truncation")
        for minutes in (self.nature_step_minutes, self.forecast_step_minutes):
            if (OUTPUT_HOURS * 60) % minutes:
                raise ValueError(f"a time step of {minutes} minutes does not divide {OUTPUT_HOURS} hours")
        if self.start.utcoffset() is None or self.start.hour or self.start.minute or self.start.second:
            raise ValueError("start must be a UTC midnight")
        if self.settling_days % self.chunk_days:
            raise ValueError("settling_days must be a multiple of chunk_days")
        if self.start_interval_hours % OUTPUT_HOURS or (HOURS_PER_DAY * self.chunk_days) % self.start_interval_hours:
            raise ValueError("start_interval_hours must be a multiple of 6 and divide a chunk")
        levels = self.levels_hpa
        if not levels or min(levels) <= 0 or list(levels) != sorted(set(levels), reverse=True):
            raise ValueError("levels_hpa must be decreasing pressures")
        leads = self.leads_hours
        if not leads or any(lead <= 0 or lead % OUTPUT_HOURS for lead in leads) or list(leads) != sorted(set(leads)):
            raise ValueError("leads_hours must be increasing multiples of 6")
        low, high = self.perturbation_range
        if not 0.0 <= low <= high:
            raise ValueError("perturbation_range must be a non-negative increasing pair")
        if min(self.split_fractions) <= 0.0 or abs(sum(self.split_fractions) - 1.0) > 1e-6:
            raise ValueError("split_fractions must be positive and add up to 1")
        return self

    @property
    def output_truncation(self) -> int:
        """Highest total wavenumber of the output: what the grid carries without aliasing [1]."""
        return {32: 31, 64: 42}[self.rows]

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the output's fields: those on pressure levels, then the single ones."""
        return (*LEVEL_FIELDS, "msl", *(NEAR_SURFACE_FIELDS if self.near_surface else ()))

    @property
    def chunks(self) -> int:
        """Number of pieces of the nature run."""
        return -(-self.days // self.chunk_days)

    @property
    def chunk_hours(self) -> int:
        """Length of a piece [h]."""
        return HOURS_PER_DAY * self.chunk_days


PRESETS: Final[dict[Preset, SimulationConfig]] = {
    "tiny": SimulationConfig(
        nature_truncation=31, nature_step_minutes=30, spin_up_days=2, settling_days=2, days=16, chunk_days=2,
        leads_hours=(6, 12, 24), passes=1, perturbation_window_days=1,
        cycles=CyclesConfig(
            streams=(1, 1, 1), leads_hours=(6, 12), every_hours=6, segment_days=1, spin_up_days=0,
            networks=NetworkRanges(sondes=(0.2, 0.3), surface=(20, 40), routes=(0, 3), winds=(0, 20), swaths=(0, 1)),
        ),
    ),
    "short": SimulationConfig(days=728, leads_hours=(6, 12, 24, 36, 48, 72)),
    "default": SimulationConfig(),
    "core": SimulationConfig(
        nature_truncation=63, nature_step_minutes=15, forecast_truncation=42, forecast_step_minutes=24, rows=64,
        levels_hpa=STANDARD_LEVELS, near_surface=True, days=480,
    ),
}  # fmt: skip
"""`tiny` runs in a few minutes and is no weather: it holds just what the later commands need, to try them; `default` is
three years at T42 with T31 forecasts; `short` is two years with forecasts to 72 h, so that the same time gives more
starts that are independent of each other; `core` is a T63 nature run with T42 forecasts on 64 × 128 points, 13 levels
and the near-surface air."""


def preset(name: str) -> SimulationConfig:
    """Return the named preset; KeyError names the known ones."""
    if name not in PRESETS:
        raise KeyError(f"no preset {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
