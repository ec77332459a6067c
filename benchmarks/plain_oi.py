"""The yardstick of the real cases: a plain optimal interpolation beside the methods of the command, on the same rows.

    x_a − x_b = bᵀ (B + σ_o² I)⁻¹ d,     B_ij = σ_b² exp(−r_ij² / 2L²),     L = 800 km,     σ_b² = max(var d − σ̄_o², ε)

One variable (u, v, t, z; the wind as two scalars) on one pressure level at a time: d are the departures of the stations
that report exactly that level, r_ij is the straight distance through the earth, σ_b one number for the globe, σ_o that
of the error table. Departures farther than five robust standard deviations from the median of their level are neither
used nor scored; no check of a method decides which rows are scored. The withheld stations are those with
`station % 5 == 0`. A ratio of RMS errors comes with its interval: the withheld stations are drawn again with
replacement, all their values together and the same for both, and percentiles of the ratios bound it.

    python -m benchmarks.plain_oi CASES [--background-error FILE] [--methods 3dvar oi phyda] [--page docs/real-cases.md]

`--background-error` gives `3dvar` and `oi` other statistics; CASES is the folder of `benchmarks/real_cases.py`.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from benchmarks.real_cases import RULE, SHOWN, Workshop
from phyda_cli.constants import EARTH_RADIUS, R_DRY
from phyda_cli.experiments.intervals import CONFIDENCE, RESAMPLES
from phyda_cli.experiments.markdown import table
from phyda_cli.formats.feedback.netcdf import feedback_table, read_feedback
from phyda_cli.grids.places import unit_vectors
from phyda_cli.observations.table import Flag, Use
from tools.pages import put

LENGTH: Final = 800e3
GROSS: Final = 5.0
BACKGROUNDS: Final = ("full", "january", "hydrostatic")
LEVELS: Final = (1000, 925, 850, 700, 500, 400, 300, 250, 200, 150, 100, 70, 50)
NETWORKS: Final = {"temp_2008120812.bufr": "2008-12-08T12:00", "prepqm89010106.bufr": "1989-01-01T06:00"}
FEWEST: Final = 10
"""Withheld rows below which a level is not shown."""
METHODS: Final = ("3dvar", "oi", "phyda")
WIND: Final = ("u", "v")
FIELDS: Final = {"z": ("z",), "t": ("t",), "u": ("u",), "v": ("v",), "wind": WIND}
"""What a cell of the tables is of: one variable, or the vector of both components."""
AIMS: Final = {"z": 0.97, "t": 0.97, "wind": 0.90}
"""Largest ratio to the plain OI that is aimed at."""
SOUND: Final = (Flag.PASS, Flag.PASSIVE, Flag.THINNED, Flag.SUPEROB, Flag.FIRST_GUESS, Flag.BUDDY)
"""Verdicts of rows that are used and scored: those that say nothing of a row's own value, profile, place or mark."""

Floats = NDArray[np.float64]


def interpolate(places: Floats, departure: Floats, error: Floats, targets: Floats) -> tuple[Floats, float]:
    """Return the plain OI's increments (m,) at places (m, 3) and its σ_b, from departures (n,) at places (n, 3).

    places, targets: unit vectors. error: σ_o (n,), in the unit of the departures.
    """
    noise = float(np.mean(error**2))
    variance = max(float(np.var(departure)) - noise, 1e-2 * noise)
    matrix = variance * _correlation(places, places) + np.diag(error**2)
    increments = variance * _correlation(targets, places) @ np.linalg.solve(matrix, departure)
    return increments, float(np.sqrt(variance))


def _correlation(first: Floats, second: Floats) -> Floats:
    """exp(−r² / 2L²) (n, m) between unit vectors (n, 3) and (m, 3)."""
    square = 2.0 * EARTH_RADIUS**2 * np.maximum(1.0 - first @ second.T, 0.0)
    return np.asarray(np.exp(-square / (2.0 * LENGTH**2)))


def plain(rows: pd.DataFrame) -> pd.Series:
    """Return the plain OI's O−A of the rows to score, from the other rows, level by level; `rows` as of `read`."""
    result = pd.Series(np.nan, rows.index)
    for _, own in rows.groupby(["variable", "level"]):
        scored, used = own[own.withheld], own[~own.withheld]
        if scored.empty or used.empty:
            continue
        places = [unit_vectors(r.latitude.to_numpy(), r.longitude.to_numpy()) for r in (used, scored)]
        increments, _ = interpolate(places[0], used.o_minus_b.to_numpy(), used.error.to_numpy(), places[1])
        result[scored.index] = scored.o_minus_b - increments
    return result


def read(path: Path) -> pd.DataFrame:
    """Return the sound rows of a feedback on a standard level where the background has a value, with their levels."""
    rows = feedback_table(read_feedback(path))
    hpa = rows.pressure / 100
    rows["level"] = sum(np.where(np.abs(hpa - level) < 0.5, level, 0) for level in LEVELS)
    rows["withheld"] = rows.use == Use.WITHHOLD.value
    known = (rows.level > 0) & rows.variable.isin(["z", "t", *WIND]) & np.isfinite(rows.o_minus_b)
    rows = rows[known & rows.flag.isin(SOUND)]
    by_level = rows.groupby(["variable", "level"]).o_minus_b
    distance = (rows.o_minus_b - by_level.transform("median")).abs()
    robust = 1.4826 * distance.groupby([rows.variable, rows.level]).transform("median")
    return rows[distance <= GROSS * robust]


def departures(shop: Workshop, network: str, methods: Sequence[str], statistics: Path | None) -> pd.DataFrame:
    """Return O−B and O−A of all methods at the withheld rows that all of them scored, a column `a_METHOD` each."""
    common: pd.DataFrame | None = None
    for method in methods:
        more = ["--weights", str(statistics)] if statistics and method != "phyda" else []
        shop.assimilate(network, "a.nc", "--method", method, "--withhold", RULE, "--feedback", "a.feedback.nc",
                        "--members", "0", "--overwrite", *more)  # fmt: skip
        rows = read(shop.folder / "a.feedback.nc").rename(columns={"o_minus_a": f"a_{method}"})
        if common is None:
            common = rows.assign(a_plain=plain(rows))
        else:
            common = common.join(rows.loc[rows.withheld, [f"a_{method}"]])
    assert common is not None
    return common[common.withheld].dropna(subset=[c for c in common if str(c).startswith("a_")])


def cells(rows: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """Return RMS by field and level, in the units shown, and the first method's ratio to the plain OI with bounds."""
    columns = ["o_minus_b", "a_plain", *(f"a_{method}" for method in methods)]
    found = []
    for name, members in FIELDS.items():
        for level in LEVELS:
            own = rows[rows.variable.isin(members) & (rows.level == level)]
            if len(own) < FEWEST * len(members):
                continue
            rms = np.sqrt((own[columns] ** 2).mean() * len(members)) * SHOWN[members[0]][1]
            ratio = interval(own.station.to_numpy(), own[f"a_{methods[0]}"].to_numpy(), own.a_plain.to_numpy())
            found.append({"field": name, "level": level, "rows": len(own), **rms, **ratio._asdict()})
    return pd.DataFrame(found)


class Ratio(NamedTuple):
    """Of two RMS errors, with the bounds of its interval."""

    ratio: float
    low: float
    high: float


def interval(station: NDArray[Any], first: Floats, second: Floats) -> Ratio:
    """Return RMS(first) / RMS(second) of values (n,) and its bounds from draws of whole stations (n,)."""
    number = np.unique(station, return_inverse=True)[1]
    sums = np.stack([np.bincount(number, values**2) for values in (first, second)], axis=1)
    drawn = np.random.default_rng(0).integers(len(sums), size=(RESAMPLES, len(sums)))
    tail = 50.0 * (1.0 - CONFIDENCE)
    low, high = np.percentile(_root_ratio(sums[drawn].sum(1)), [tail, 100.0 - tail])
    return Ratio(float(_root_ratio(sums.sum(0))), float(low), float(high))


def _root_ratio(sums: Floats) -> Floats:
    """√(first / second) of sums (…, 2)."""
    return np.asarray(np.sqrt(sums[..., 0] / sums[..., 1]))


def full_background(shop: Workshop, name: str, tied: Sequence[int] = ()) -> None:
    """NAME.nc: january.nc with wind and geopotential at all levels of `uvt.nc` (January 1988).

    At levels that january.nc lacks, the wind is that of uvt.nc. z is the integral of that file's T, −∫ R T d ln p, tied
    to january.nc's z: the difference of the two is interpolated in ln p between the levels `tied` [hPa], constant
    outside; () stands for all that january.nc has. With one level alone z and T are one hydrostatic atmosphere's.
    """
    january = xr.open_dataset(shop.folder / "january.nc")
    source = xr.open_dataset(shop.cases / "grid_netcdf" / "uvt.nc", decode_times=False).isel(time=0, drop=True)
    winds = source[["U", "V"]].rename(U="u", V="v", lev="level", lat="latitude", lon="longitude")
    winds = winds.assign_coords(longitude=winds.longitude % 360, level=winds.level * 100.0).sortby("longitude")
    around = winds.isel(longitude=[0]).assign_coords(longitude=[float(winds.longitude[0]) + 360.0])
    wide = xr.concat([winds, around], "longitude")
    onto = {"latitude": january.latitude, "longitude": january.longitude}
    winds = wide.interp(onto).fillna(wide.interp(onto | {"latitude": january.latitude.clip(-87.8, 87.8)}))
    made = {}
    levels = january.level_t.to_numpy()
    for wind in WIND:
        known = january[wind].rename({f"level_{wind}": "level"})
        rest = winds[wind].sel(level=[p for p in levels if p not in known.level])
        made[wind] = xr.concat([known, rest.transpose(*known.dims)], "level").sortby("level")
        made[wind] = made[wind].rename(level=f"level_{wind}")
        made[wind].attrs = january[wind].attrs
    height, temperature = np.log(levels), january["t"].to_numpy()
    layers = -R_DRY * 0.5 * (temperature[1:] + temperature[:-1]) * np.diff(height)[:, None, None]
    hydrostatic = np.concatenate([np.zeros_like(layers[:1]), layers.cumsum(0)])
    geopotential = january["z"].sel(level_z=[100.0 * p for p in tied]) if tied else january["z"]
    known_levels = geopotential.level_z.to_numpy()
    rest = geopotential.to_numpy() - hydrostatic[[int(np.flatnonzero(levels == p)[0]) for p in known_levels]]
    order = np.argsort(known_levels)
    weights = np.stack([np.interp(height, np.log(known_levels[order]), row) for row in np.eye(len(order))])
    z = hydrostatic + np.einsum("kl,kij->lij", weights, rest[order])
    made["z"] = xr.DataArray(z, dims=("level_z", *january["z"].dims[1:]), coords={"level_z": levels})
    made["z"].attrs = january["z"].attrs
    for variable in ("z", *WIND):
        made[variable][f"level_{variable}"].attrs = january[f"level_{variable}"].attrs
    rest_of = january.drop_vars(["z", *WIND, "level_z", "level_u", "level_v"])
    rest_of.assign(made).to_netcdf(shop.folder / f"{name}.nc")


def page(found: Mapping[tuple[str, str], pd.DataFrame], methods: Sequence[str]) -> str:
    """Return the tables: the ratios of the aim by level with interval and number of values, then RMS of every field."""
    first = methods[0]
    heads = [f"{background}, {network[:4]}" for background, network in found]
    parts = [_summary(pd.concat(found.values()), first)]
    for name in AIMS:
        lines = []
        for level in LEVELS:
            ratios = [_ratio(cell, name, level) for cell in found.values()]
            if any(ratios):
                lines.append([f"{name}{level}", *(ratio or "–" for ratio in ratios)])
        parts.append(table([f"{first} / plain OI", *heads], lines))
    for (background, network), cell in found.items():
        shown = [
            [f"{c.field}{c.level} [{SHOWN['u' if c.field == 'wind' else c.field][0]}]", c.rows]
            + [f"{value:.3g}" for value in (c.o_minus_b, c.a_plain, *(getattr(c, f"a_{m}") for m in methods))]
            for c in cell.itertuples()
        ]
        parts.append(f"{network} on {background}.nc, RMS at the withheld rows:\n\n"
                     + table(["field", "rows", "O−B", "plain OI", *methods], shown))  # fmt: skip
    return "\n".join(parts)


def _summary(cell: pd.DataFrame, method: str) -> str:
    """Say how many cells miss the aim, and of how many the whole interval lies on one side of it or of 1."""
    own = cell[cell.field.isin(list(AIMS))]
    aim = own.field.map(AIMS)
    missed, surely = int((own.ratio > aim).sum()), int((own.low > aim).sum())
    return f"""Ratio of the RMS errors of {method} and the plain OI, its {100 * CONFIDENCE:.0f} % interval from draws of
the withheld stations, and the number of values. {missed} of {len(own)} cells, in bold, miss the aim, {surely} of them
with the whole interval. The whole interval is below 1 in {int((own.high < 1).sum())} cells, above 1 in
{int((own.low > 1).sum())}.
"""


def _ratio(cell: pd.DataFrame, name: str, level: int) -> str:
    for c in cell[(cell.field == name) & (cell.level == level)].itertuples():
        value = f"{c.ratio:.2f}"
        return f"{f'**{value}**' if c.ratio > AIMS[name] else value} ({c.low:.2f}–{c.high:.2f}) {c.rows}"
    return ""


def main(arguments: Iterable[str] | None = None) -> None:
    """Run all cases and print the tables, or put them into a page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--background-error", type=Path)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--backgrounds", nargs="+", default=list(BACKGROUNDS), choices=BACKGROUNDS)
    parser.add_argument("--page", type=Path)
    chosen = parser.parse_args(None if arguments is None else list(arguments))
    statistics = chosen.background_error.resolve() if chosen.background_error else None
    found: dict[tuple[str, str], Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        shop = Workshop(chosen.cases.resolve(), Path(folder))
        for network, time in NETWORKS.items():
            shop.january_mean(time)
            full_background(shop, "full")
            full_background(shop, "hydrostatic", [500])
            shutil.copyfile(shop.cases / "obs" / network, shop.folder / network)
            for background in chosen.backgrounds:
                shop.background = f"{background}.nc"
                rows = departures(shop, network, chosen.methods, statistics)
                found[background, network] = cells(rows, chosen.methods)
    made = page(found, chosen.methods)
    if chosen.page:
        put(chosen.page, "plain-oi", made)
    else:
        print(made)


if __name__ == "__main__":
    main()
