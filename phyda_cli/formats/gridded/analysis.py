"""An analysis, its increment and its spread as NetCDF files, on the background's own grid, levels and units.

What the analysis did not change stays bit for bit (`restore`). Analysed fields are NaN only where the background is.
The same inputs, seed and SOURCE_DATE_EPOCH give the same bytes. What each file says of itself is
`analysis_attributes.py`, the spread in the file's variables `spread_fields.py`.

A file is written one field after the other, unless the background's own layout is made of all fields together.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import xarray as xr
from numpy.typing import NDArray

from phyda_cli.fields.state import Planes, State
from phyda_cli.formats.gridded.analysis_attributes import (
    described,
    finished,
    known_names,
    names_with_missing,
    temperature_kind,
)
from phyda_cli.formats.gridded.finite import finite, require_finite
from phyda_cli.formats.gridded.layout import Background, check_fits, restore, restored_field
from phyda_cli.formats.gridded.made_fields import placeholder, write_dataset, write_made
from phyda_cli.formats.gridded.spread_fields import HumiditySpread, spread_fields, spread_outline, spreads_to_make

_TITLE: Final = "Analysis: background and observations combined by data assimilation"
_INCREMENT_TITLE: Final = "Analysis increment: analysis minus background"


def write_analysis(
    path: Path,
    background: Background,
    analysis: State,
    *,
    spread: Planes | None = None,
    of_humidity: HumiditySpread | None = None,
    attributes: Mapping[str, str],
    overwrite: bool = False,
) -> None:
    """Write the analysis, whole or not at all: `analysis_dataset`, which has the arguments, one field in memory.

    Raises BadDataError when a field is not finite, CannotWriteError as `atomic_path` does.
    """
    require_finite(path, analysis, "analysis")
    spread = None if spread is None else finite(path, spread, "spread")
    if background.of_all_fields:
        dataset = analysis_dataset(background, analysis, spread=spread, of_humidity=of_humidity, attributes=attributes)
        write_dataset(path, dataset, overwrite=overwrite)
        return
    check_fits(background, analysis)
    names, spreads = known_names(background), {}
    outline = background.dataset.assign({name: placeholder(background.dataset[name]) for name in names})
    if spread is not None:
        spreads = spreads_to_make(background, spread, of_humidity)
        outline = outline.assign(spread_outline(background, spreads))
    outline = finished(described(outline, background), background, _TITLE, attributes)
    fields = {name: partial(restored_field, background, analysis, name) for name in names}
    write_made(path, outline, fields | spreads, missing=names_with_missing(background), overwrite=overwrite)


def analysis_dataset(
    background: Background,
    analysis: State,
    *,
    spread: Planes | None = None,
    of_humidity: HumiditySpread | None = None,
    attributes: Mapping[str, str],
) -> xr.Dataset:
    """Return the analysis as its file holds it.

    analysis, spread: on the background's grid [SI]; the spread goes to `NAME_spread`. of_humidity: that of relative
    humidity and dew point (`humidity_spread`), without which these have none. attributes: provenance, added to the
    global attributes.
    """
    dataset = restore(background, analysis)
    if spread is not None:
        dataset = dataset.assign(spread_fields(background, spread, of_humidity))
    return finished(described(dataset, background), background, _TITLE, attributes)


def write_increment(
    path: Path, background: Background, analysis: State, *, attributes: Mapping[str, str], overwrite: bool = False
) -> None:
    """Write `increment_dataset`, one field in memory. Raises as `write_analysis` does."""
    require_finite(path, analysis, "analysis")
    if background.of_all_fields:
        write_dataset(path, increment_dataset(background, analysis, attributes=attributes), overwrite=overwrite)
        return
    check_fits(background, analysis)
    names = known_names(background)
    outline = background.dataset[names].assign({name: placeholder(background.dataset[name]) for name in names})
    outline = finished(
        _as_increments(described(outline, background), background),
        background,
        _INCREMENT_TITLE,
        attributes,
        differences=True,
    )

    def increment(name: str) -> NDArray[Any]:
        made: NDArray[Any] = restored_field(background, analysis, name) - background.dataset[name].values
        return made

    fields = {name: partial(increment, name) for name in names}
    write_made(path, outline, fields, missing=names_with_missing(background), overwrite=overwrite)


def increment_dataset(background: Background, analysis: State, *, attributes: Mapping[str, str]) -> xr.Dataset:
    """Analysis minus background of the known fields, in the file's units."""
    restored, original = restore(background, analysis), background.dataset
    names = known_names(background)
    increments = _as_increments(described(restored[names], background), background)
    for name in names:
        increments[name] = (restored[name] - original[name]).assign_attrs(increments[name].attrs)
    return finished(increments, background, _INCREMENT_TITLE, attributes, differences=True)


def _as_increments(dataset: xr.Dataset, background: Background) -> xr.Dataset:
    """Return the known fields with the attributes of their increments."""
    for name in known_names(background):
        kept = {key: dataset[name].attrs[key] for key in ("standard_name", "units", "coverage_content_type")}
        label = {"long_name": f"analysis increment of {dataset[name].attrs['long_name']}"}
        own = background.dataset[name].attrs
        dataset[name].attrs = own | kept | label | temperature_kind(kept["units"], "difference")
    return dataset


def write_spread(
    path: Path,
    background: Background,
    spread: Planes,
    *,
    of_humidity: HumiditySpread | None = None,
    attributes: Mapping[str, str],
    overwrite: bool = False,
) -> None:
    """Write `spread_dataset`, one field in memory; arguments as of `analysis_dataset`. Raises as `write_analysis`."""
    spread = finite(path, spread, "spread")
    if background.of_all_fields:
        beside = analysis_dataset(
            background, background.state, spread=spread, of_humidity=of_humidity, attributes=attributes
        )
        whole = spread_dataset(beside)
        write_dataset(path, whole, overwrite=overwrite)
        return
    made = spreads_to_make(background, spread, of_humidity)
    outline = background.dataset.assign(spread_outline(background, made))
    outline = spread_dataset(finished(described(outline, background), background, _TITLE, attributes))
    fields = {name.removesuffix("_spread"): make for name, make in made.items()}
    write_made(path, outline, fields, missing=names_with_missing(background), overwrite=overwrite)


def spread_dataset(analysis: xr.Dataset) -> xr.Dataset:
    """Return the spreads beside the fields of `analysis_dataset` under the names of these."""
    names = {str(name): str(name).removesuffix("_spread") for name in analysis if str(name).endswith("_spread")}
    return analysis[list(names)].rename(names).assign_attrs(analysis.attrs | {"title": "Analysis standard deviation"})
