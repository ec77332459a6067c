"""An analysis from Python: what `phyda assimilate` does, with objects in place of files.

    analysis = assimilate("background.nc", observations, method="3dvar", members=8)
    analysis.dataset, analysis.spread, analysis.feedback

`assimilate` reads what it is given, and `analyse` is the way from a background, observations and settings to the
analysis, which the command goes too. Settings have the names of the command's options, - as _, and their checks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import numpy as np
import pandas as pd
import torch
import xarray as xr

from phyda_cli.assimilation import Analysis as Result
from phyda_cli.assimilation import AssimilationOptions
from phyda_cli.assimilation import assimilate as assimilated
from phyda_cli.fields.ground import Ground
from phyda_cli.fields.state import State
from phyda_cli.formats.feedback.ioda import write_ioda
from phyda_cli.formats.feedback.netcdf import feedback_table, write_feedback
from phyda_cli.formats.gridded import analysis as netcdf
from phyda_cli.formats.gridded import analysis_members
from phyda_cli.formats.gridded.ground import ground_of, read_ground
from phyda_cli.formats.gridded.layout import Background
from phyda_cli.formats.gridded.output_names import is_grib_name
from phyda_cli.formats.gridded.spread_fields import HumiditySpread, humidity_channels, humidity_spread
from phyda_cli.formats.models import write as layouts
from phyda_cli.formats.provenance import InputRecord, provenance
from phyda_cli.formats.settings import read_errors, read_quality
from phyda_cli.library.inputs import (
    FilePath,
    Gridded,
    Reported,
    first_guesses,
    lagged_forecasts,
    open_background,
    paths_of,
    read_observations,
    withheld,
)
from phyda_cli.library.method import background_for, make_method
from phyda_cli.library.outcome import judge
from phyda_cli.methods.base import Log, Memory, Method
from phyda_cli.methods.material import Lagged
from phyda_cli.observations.summary import LeftOut, left_out_of
from phyda_cli.observations.table import Observations
from phyda_cli.operators.first_guess import BackgroundTimes
from phyda_cli.settings.assimilate import Chosen, LayoutName, chosen_settings


class Settings(TypedDict, total=False):
    """The settings of an analysis, for type checkers; `settings/` declares and checks them (a test compares).

    errors, quality: the TOML file of the command, or its content as a mapping.
    """

    window: str | timedelta
    margin: float
    taper: float
    withhold: str | None
    errors: FilePath | Mapping[str, Any] | None
    quality: FilePath | Mapping[str, Any] | None
    on_empty: Literal["background", "fail"]
    max_reject_fraction: float
    device: Literal["auto", "cpu", "cuda"]
    seed: int
    threads: int
    dry_run: bool
    surface: Literal["auto", "off"]
    orography: FilePath | None
    land_sea: FilePath | None
    members: int | None
    background_error_scale: float | Literal["auto"]
    weights: FilePath | None
    background_error: FilePath | None
    evaluations: int
    churn: float
    localisation: float
    vertical_localisation: float
    weight_spacing: float | Literal["auto"]
    relaxation: float
    huber: float
    truncation: int | Literal["auto"]
    ensemble_weight: float | None


@dataclass(frozen=True)
class Analysis:
    """An analysis, with its datasets in the axes, names and units of its background.

    background: what it was made from, with the members that were used. result: the states on the canonical grid, SI.
    attributes: where it comes from, the global attributes of its files. ground: what lies under it.
    """

    background: Background
    result: Result
    attributes: Mapping[str, str]
    ground: Ground

    @property
    def log(self) -> Log:
        """What was decided: the method, the background-error scale, the number of used observations and more."""
        return self.result.log

    @cached_property
    def dataset(self) -> xr.Dataset:
        """The analysis, with all other fields of the background and `NAME_spread` beside each analysed NAME."""
        return netcdf.analysis_dataset(
            self._mean, self.result.state,
            spread=self.result.spreads, of_humidity=self._of_humidity, attributes=self.attributes,
        )  # fmt: skip

    @cached_property
    def increment(self) -> xr.Dataset:
        """Analysis minus background."""
        return netcdf.increment_dataset(self._mean, self.result.state, attributes=self.attributes)

    @property
    def spread(self) -> xr.Dataset:
        """The standard deviation of the analysis under the names of the fields; empty where the method has none."""
        return netcdf.spread_dataset(self.dataset)

    @cached_property
    def members(self) -> xr.Dataset | None:
        """The members of the analysis along the axis `number`, all in memory; None where there are none."""
        count = self.result.member_count
        if not count:
            return None
        each = map(self.result.member, range(count))
        return analysis_members.members_dataset(self.background, each, count=count, attributes=self.attributes)

    @cached_property
    def feedback(self) -> pd.DataFrame:
        """What became of every observation, one row each in their order, with the columns of a feedback file."""
        return feedback_table(self.result.feedback)

    def write(self, path: FilePath, *, overwrite: bool = False) -> Mapping[str, float]:
        """Write the analysis, whole or not at all: as GRIB where the name ends so (.grib2, .grb …), else as NetCDF.

        Returns the largest packing error of each field, in its unit; of NetCDF there are none. Raises BadDataError,
        CannotWriteError, and UsageError for GRIB of a background that is not GRIB.
        """
        place, state, spread = Path(path), self.result.state, self.result.spreads
        if is_grib_name(place):
            from phyda_cli.formats.gridded import grib_write  # loads the GRIB library only where there is GRIB

            return grib_write.write_analysis(place, self.background, state, overwrite=overwrite)
        netcdf.write_analysis(
            place, self._mean, state,
            spread=spread, of_humidity=self._of_humidity, attributes=self.attributes, overwrite=overwrite,
        )  # fmt: skip
        return {}

    def write_increment(self, path: FilePath, *, overwrite: bool = False) -> Mapping[str, float]:
        """Write analysis minus background. Returns and raises as `write` does."""
        place, state = Path(path), self.result.state
        if is_grib_name(place):
            from phyda_cli.formats.gridded import grib_write  # loads the GRIB library only where there is GRIB

            return grib_write.write_increment(place, self.background, state, overwrite=overwrite)
        netcdf.write_increment(place, self._mean, state, attributes=self.attributes, overwrite=overwrite)
        return {}

    def write_spread(self, path: FilePath, *, overwrite: bool = False) -> Mapping[str, float]:
        """Write the standard deviation of the analysis under the names of its fields, as `write` does.

        Raises ValueError where the method has none.
        """
        place, spread = Path(path), self.result.spreads
        if spread is None:
            raise ValueError("the analysis has no spread")
        if is_grib_name(place):
            from phyda_cli.formats.gridded import grib_write  # loads the GRIB library only where there is GRIB

            return grib_write.write_spread(
                place, self.background, spread, of_humidity=self._of_humidity, overwrite=overwrite
            )
        netcdf.write_spread(
            place, self._mean, spread,
            of_humidity=self._of_humidity, attributes=self.attributes, overwrite=overwrite,
        )  # fmt: skip
        return {}

    def write_members(self, path: FilePath, *, overwrite: bool = False) -> Mapping[str, float]:
        """Write the members, one at a time in memory, as `write` does. Raises ValueError where there are none."""
        place, count = Path(path), self.result.member_count
        if not count:
            raise ValueError("the analysis has no members")
        each = map(self.result.member, range(count))
        if is_grib_name(place):
            from phyda_cli.formats.gridded import grib_write  # loads the GRIB library only where there is GRIB

            return grib_write.write_members(place, self.background, each, count=count, overwrite=overwrite)
        analysis_members.write_members(
            place, self.background, each, count=count, attributes=self.attributes, overwrite=overwrite
        )
        return {}

    def write_layout(
        self, path: FilePath, layout: LayoutName, *, previous: State | None = None, overwrite: bool = False
    ) -> None:
        """Write the initial condition of a machine-learning model in its layout (docs/ai-models.md), NetCDF.

        previous: an earlier state on the same grid, such as `open_background(file).state`, for models that want two
        times. Raises UsageError and BadDataError where the layout cannot hold it, CannotWriteError.
        """
        place, states = Path(path), self._states(previous)
        layouts.check_layout(layout, place, self.result.state, previous)
        dataset = layouts.layout_dataset(layout, states, self.ground, attributes=self.attributes)
        layouts.write_layout(place, dataset, overwrite=overwrite)

    def models_of_layout(self, layout: LayoutName, *, previous: State | None = None) -> dict[str, list[str]]:
        """Return for each model that takes a layout which of its inputs the analysis lacks."""
        return layouts.readiness(layout, self._states(previous), self.ground)

    def _states(self, previous: State | None) -> list[State]:
        return [self.result.state] if previous is None else [previous, self.result.state]

    def write_feedback(
        self, path: FilePath, *, layout: Literal["phyda", "ioda"] = "phyda", overwrite: bool = False
    ) -> None:
        """Write what became of every observation. Raises CannotWriteError."""
        write = write_ioda if layout == "ioda" else write_feedback
        write(Path(path), self.result.feedback, attributes=self.attributes, overwrite=overwrite)

    @cached_property
    def left_out(self) -> tuple[LeftOut, ...]:
        """How well each station near the ground is predicted by all others, by variable; empty without a surface
        analysis.
        """
        predicted = self.result.left_out
        return () if predicted is None else left_out_of(self.result.feedback, predicted)

    @cached_property
    def _of_humidity(self) -> HumiditySpread:
        """The spread of relative humidity and dew point over the members, where the file holds them."""
        channels, count = humidity_channels(self._mean), self.result.member_count
        if not channels or count < 2:
            return {}
        return humidity_spread(self._mean, (self.result.member(number, channels) for number in range(count)))

    @cached_property
    def _mean(self) -> Background:
        return self.background.ensemble_mean()


def assimilate(
    background: Gridded,
    observations: Reported | Sequence[Reported],
    *,
    method: str = "phyda",
    fgat: Gridded | Sequence[Gridded] = (),
    lagged: Gridded | Sequence[Gridded] = (),
    **settings: Unpack[Settings],
) -> Analysis:
    """Assimilate observations into a background; nothing is written, and what is given stays as it is.

    background, observations: what `open_background` and `read_observations` return, or what they take.
    method: phyda, 3dvar, envar, oi, surface or letkf. fgat: the background at other times of the window, each as
    `background`.
    lagged: for envar, other forecasts valid at the background's time, each as `background`.
    settings: those of the command and of the method (docs/cli.md), with the same checks.
    Raises the errors of `phyda_cli.errors`, one line each: UsageError or ConfigError for settings, InputMissingError
    and BadDataError for inputs.
    """
    values: dict[str, Any] = {"method": method, **settings}
    tables = {key: values.pop(key) for key in ("errors", "quality") if isinstance(values.get(key), Mapping)}
    others, forecasts = (
        list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
        for given in (fgat, lagged)
    )
    chosen = chosen_settings(values | ({"lagged": tuple(paths_of(forecasts))} if forecasts else {}))
    own = (getattr(chosen.own, name, None) for name in ("weights", "background_error"))
    files = [*paths_of(background), *paths_of(observations), *paths_of(others), *paths_of(forecasts)]
    common = chosen.common
    named = (common.errors, common.quality, common.orography, common.land_sea, *own)
    files += [path for path in named if path is not None]
    record = InputRecord()
    record.add(files)
    opened = open_background(background)
    later = [open_background(other) for other in others if not paths_of(other)]
    guesses = {one.state.time: lambda state=one.state: state for one in later}
    analysis = analyse(
        opened,
        read_observations(observations, time=opened.state.time),
        chosen,
        tables=tables,
        first_guesses={**first_guesses(paths_of(others), opened), **guesses},
        lagged=lagged_forecasts(forecasts, opened),
        record=record,
        inputs=files,
        document=chosen.document() | tables | {"background": opened.sources},
    )
    record.confirm()
    judge(analysis.result, chosen.common)
    return analysis


def analyse(
    background: Background,
    observations: Observations,
    chosen: Chosen,
    *,
    record: InputRecord,
    inputs: Sequence[Path],
    document: Mapping[str, Any],
    first_guesses: BackgroundTimes | None = None,
    lagged: Sequence[Lagged] = (),
    tables: Mapping[str, Mapping[str, Any]] | None = None,
    usual_scale: float = 1.0,
    memory: Memory | None = None,
    command: str = "",
) -> Analysis:
    """Return the analysis of a background, observations and checked settings.

    record, inputs, document: digests, files and settings for the attributes. lagged: other forecasts valid at the
    background's time. tables: contents that take the place of the files `errors` and `quality`. usual_scale: of the
    background errors where the departures are too few. memory: of the analysis before. command: the command
    line, for the history.
    Raises BadDataError and ConfigError for inputs that do not fit, DeviceError without the device.
    """
    background = background_for(chosen, background)
    with _threads(chosen.common.threads):
        ground = read_ground(background, chosen.common.orography, chosen.common.land_sea)
        method, weights = make_method(chosen, background, lagged, ground)
        record.add(weights)  # those that ship
        result = solve(
            background, observations, chosen, method, ground=ground,
            first_guesses=first_guesses, tables=tables, usual_scale=usual_scale, memory=memory,
        )  # fmt: skip
    about = provenance(
        record,
        [path for path in inputs if path not in weights],
        weights=weights,
        settings={name: value for name, value in document.items() if name != "threads"},
        log=result.log,
        command=command,
    )
    return Analysis(background, result, about, ground)


def solve(
    background: Background,
    observations: Observations,
    chosen: Chosen,
    method: Method,
    *,
    ground: Ground | None = None,
    first_guesses: BackgroundTimes | None = None,
    tables: Mapping[str, Mapping[str, Any]] | None = None,
    usual_scale: float = 1.0,
    memory: Memory | None = None,
) -> Result:
    """Return the analysis by a method that is made already, as the settings say; arguments as of `analyse`.

    ground: what lies under the background; None: what its file says of that.
    """
    settings, held, scale = chosen.common, tables or {}, chosen.own.background_error_scale
    return assimilated(
        background.ensemble_mean().state,
        withheld(observations, settings.withhold),
        method=method.remembering(memory or {}),
        table=read_errors(held.get("errors", settings.errors)),
        options=AssimilationOptions(
            window=np.timedelta64(settings.window, "ns"),
            background_error_scale=None if isinstance(scale, str) else scale,
            usual_scale=usual_scale,
            update=not settings.dry_run,
            quality=read_quality(held.get("quality", settings.quality)),
            margin=1000.0 * settings.margin,
            taper=1000.0 * settings.taper,
            memory=memory or {},
        ),
        first_guesses=first_guesses,
        orography=(ground_of(background) if ground is None else ground).height,
    )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Compute with so many threads, and leave torch afterwards as it was."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
