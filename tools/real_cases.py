"""Write docs/real-cases.md: three analyses from real files, through the command line alone, and how good they are.

    python tools/real_cases.py CASES docs/real-cases.md [--weights FILE] [--store STORE]

CASES holds `grid_netcdf`, `grid_grib` and `obs_csv` (`docs/formats.md` names the grid files). STORE is a training store:
case B takes its background error from it and is left out without one. The inputs are only cut and put together here;
the analyses and their scores at withheld stations are made by `phyda assimilate` and `phyda evaluate`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from phyda_cli.fields.constants import GRAVITY
from phyda_cli.fields.grid import Grid
from phyda_cli.fields.increment import interpolate_increment
from phyda_cli.fields.state import Channel, State
from phyda_cli.formats.background import read_background
from phyda_cli.formats.csv import read_csv
from phyda_cli.formats.feedback import read_feedback
from phyda_cli.observations.equivalent import model_equivalent
from phyda_cli.observations.errors import assign_errors, default_error_table
from phyda_cli.observations.operator import ObservationOperator
from phyda_cli.observations.quality import screen
from phyda_cli.observations.table import Flag
from phyda_cli.preparation.store import open_store
from phyda_cli.verification.compare import on_grid

SONDE_TIME = "2008-12-08T12:00"
PREPBUFR_TIME = "1989-01-01T06:00"
TWIN_TIME = "2011-01-15T12:00"
LEAD = 48
WITHHELD = 5
STANDARD = (1000, 925, 850, 700, 500, 400, 300, 250, 200, 150, 100)
REFERENCE = {("z", 500): (92.8, 33.8), ("v", 200): (14.8, 5.1), ("t", 500): (4.2, 1.9)}
"""RMS O−B, O−A of a plain 2-D OI with an 800 km length scale, with its own choice of rows: m, m s-1, K."""
REGIONS = {"NH 20–90": (20.0, 90.0), "tropics": (-20.0, 20.0), "SH 20–90": (-90.0, -20.0)}
TWIN_CHANNELS = [("z", 850), ("z", 500), ("z", 250), ("t", 850), ("t", 500), ("u", 850), ("u", 250), ("v", 850),
                 ("v", 250), ("q", 850), ("q", 500)]  # fmt: skip
SHOWN_UNITS = {"z": ("m", 1 / GRAVITY), "t": ("K", 1.0), "u": ("m s-1", 1.0), "v": ("m s-1", 1.0), "q": ("g/kg", 1e3)}
MARKS = {"z": "zqm", "t": "tqm", "t2m": "tqm", "q": "qqm"} | dict.fromkeys(("u", "v", "u10", "v10"), "wqm")
WORST_GOOD_MARK = 3
METHODS = ("3dvar", "oi")


@dataclass
class Workshop:
    """A temporary folder in which phyda runs. weights: as further arguments. commands: those run so far."""

    folder: Path
    weights: list[str]
    commands: list[str] = field(default_factory=list)

    def phyda(self, *arguments: str) -> dict[str, Any]:
        """Run a command in the folder; its JSON document."""
        if arguments[0] == "assimilate":
            arguments = (*arguments, *self.weights)
        self.commands.append(" ".join(("phyda", *arguments)))
        done = subprocess.run(
            [sys.executable, "-m", "phyda_cli", *arguments, "--json", "--quiet"],
            cwd=self.folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{self.commands[-1]} ended with {done.returncode}: {done.stderr.strip()}")
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def take_commands(self) -> list[str]:
        """The commands since the last call, as a block of Markdown."""
        lines, self.commands = ["```", *self.commands, "```", ""], []
        return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--weights", type=Path, help="background-error statistics [default: those shipped]")
    parser.add_argument("--store", type=Path, help="training store for case B")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        weights = [] if options.weights is None else ["--weights", options.weights.name]
        if options.weights is not None:
            shutil.copyfile(options.weights, Path(name, options.weights.name))
        shop = Workshop(Path(name), weights)
        lines = [HEAD]
        for case in (sondes, lambda c, w: twin(c, w, options.store), prepbufr):
            lines += case(options.cases, shop)
            options.output.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def january_mean(cases: Path, target: Path, time: str) -> None:
    """u, v, z of ERA-Interim and T of uvt.nc (its unit corrected) on one 2.5° grid, each on its own levels."""
    moment, grid = np.datetime64(time, "ns"), Grid.with_poles(73, 144)
    temperature = xr.open_dataset(cases / "grid_netcdf" / "uvt.nc", decode_times=False)[["T"]].isel(time=0, drop=True)
    temperature["T"].attrs["units"] = "K"
    corrected = target.with_suffix(".t.nc")
    temperature.to_netcdf(corrected)
    mean = xr.Dataset(attrs={"title": "January mean"})
    for path, select, axis in (
        (cases / "grid_netcdf" / "eraint_uvz.nc", {"month": "1"}, "level"),
        (corrected, {}, "level_t"),
    ):
        state = on_grid(read_background([path], time=moment, select=select).state, grid)
        for name in state.variables:
            channels = [channel for channel in state.channels if channel.variable == name]
            values = state.select(channels).values.numpy()
            units = {"z": "m2 s-2", "t": "K"}.get(name, "m s-1")
            mean[name] = ((axis, "latitude", "longitude"), values, {"units": units})
            mean[axis] = (axis, [c.level for c in channels], {"units": "Pa", "standard_name": "air_pressure"})
    _write(mean, grid, moment, target)


def sondes(cases: Path, shop: Workshop) -> list[str]:
    """Case A: sondes on a climatology, scored at stations that the analysis has not seen."""
    january_mean(cases, shop.folder / "january.nc", SONDE_TIME)
    table = _table(cases / "obs_csv" / "temp_2008120812.csv.gz")
    withheld = table.station.astype(int) % WITHHELD == 0
    at_standard = table.p.astype(float).isin(STANDARD)
    table[~withheld].to_csv(shop.folder / "sondes.csv", index=False)
    table[withheld & at_standard].to_csv(shop.folder / "withheld.csv", index=False)
    documents, scores = {}, {}
    for method in METHODS:
        documents[method] = shop.phyda(
            "assimilate", "--background", "january.nc", "--obs", "sondes.csv", "--out", f"a_{method}.nc",
            "--method", method, "--background-error-scale", "auto",
        )  # fmt: skip
        scores[method] = shop.phyda(
            "evaluate", "--analysis", f"a_{method}.nc", "--background", "january.nc", "--obs", "withheld.csv"
        )["scores"]
    stations = table.station[withheld].nunique()
    goals = []
    for (name, level), (before, after) in REFERENCE.items():
        own = {method: _rms(scores[method], name, level) for method in METHODS}
        verdict = "met" if own["3dvar"][1] <= after else f"missed by {own['3dvar'][1] / after - 1:.0%}"
        goals.append([f"{name}{level} [{SHOWN_UNITS[name][0]}]", _arrow(before, after),
                      *(_arrow(*own[method]) for method in METHODS), verdict])  # fmt: skip
    rows = []
    for entry in sorted(scores["3dvar"], key=lambda e: ("ztuv".find(e["variable"]), -e["level"])):
        name, level = entry["variable"], round(entry["level"] / 100)
        rows.append([f"{name}{level}", SHOWN_UNITS[name][0], str(entry["count"]),
                     *(_arrow(*_rms(scores[method], name, level)) for method in METHODS)])  # fmt: skip
    scale = documents["3dvar"]["log"]["background_error_scale"]
    return [
        SONDES.format(total=table.station.nunique(), stations=stations),
        *shop.take_commands(),
        f"The scale found is {scale:.2f}. RMS O−B → O−A at the withheld stations; the plain OI is a 2-D one with 800 km,",
        "its figures made with its own choice of rows.",
        "",
        *_markdown(["", "plain OI", "phyda 3dvar", "phyda oi", "3dvar against plain OI"], goals),
        *_markdown(["field", "unit", "rows", "3dvar", "oi"], rows),
        "Rows of the assimilated table (3dvar):",
        "",
        *_counts(documents["3dvar"]),
    ]


def twin(cases: Path, shop: Workshop, store: Path | None) -> list[str]:
    """Case B: a real state, a drawn background error and drawn observations at real places."""
    if store is None:
        return [TWIN_TITLE, "Not run: it needs a training store (`--store`).", ""]
    shutil.copyfile(cases / "grid_grib" / "gfs_2011011012_f120_2p5deg.grib2", shop.folder / "gfs.grib2")
    truth = read_background([shop.folder / "gfs.grib2"]).state
    kept = [c for c in truth.channels if c.variable in "tuvzq" or c.variable == "msl"]
    truth = truth.select(kept)
    part, pair = _store_error(store, truth)
    humid = torch.tensor([channel.variable == "q" for channel in truth.channels])[:, None, None]
    values = truth.values + interpolate_increment(pair, truth.channels, truth.grid).values
    values = torch.where(humid, values.clamp_min(0.0), values)
    _write_state(State(values, truth.channels, truth.grid, truth.time), shop.folder / "background.nc")
    count = _draw_sondes(cases, truth, shop.folder / "drawn.csv")
    errors: dict[str, State] = {}
    background = read_background([shop.folder / "background.nc"]).state
    errors["background"] = _minus(background, truth)
    documents = {}
    for method in METHODS:
        documents[method] = shop.phyda(
            "assimilate", "--background", "background.nc", "--obs", "drawn.csv", "--out", f"b_{method}.nc",
            "--method", method,
        )  # fmt: skip
        analysis = read_background([shop.folder / f"b_{method}.nc"]).state
        errors[method] = _minus(analysis, truth)
    rows = []
    for name, level in TWIN_CHANNELS:
        unit, factor = SHOWN_UNITS[name]
        cells = [f"{name}{level} [{unit}]"]
        for south, north in REGIONS.values():
            size = {
                key: factor * _regional_rmse(error, Channel(name, 100.0 * level), south, north)
                for key, error in errors.items()
            }
            cells.append(f"{size['background']:.3g} → {size['3dvar']:.3g} · {size['oi']:.3g}")
        rows.append(cells)
    return [
        TWIN_TITLE,
        TWIN.format(part=part, count=count, lead=LEAD),
        *shop.take_commands(),
        "RMSE against the truth, area-weighted: background → 3dvar · oi.",
        "",
        *_markdown(["field", *REGIONS], rows),
        *_counts(documents["3dvar"]),
    ]


def prepbufr(cases: Path, shop: Workshop) -> list[str]:
    """Case C: a table with real gross errors, without and with the quality marks that a centre gave it."""
    january_mean(cases, shop.folder / "january.nc", PREPBUFR_TIME)
    table = _table(cases / "obs_csv" / "prepbufr_89010106.csv.gz")
    table.to_csv(shop.folder / "marked.csv", index=False)
    marks = [name for name in table.columns if name.endswith("qm")]
    table.drop(columns=marks).to_csv(shop.folder / "unmarked.csv", index=False)
    documents, rows, log = {}, {}, {}
    for name in ("unmarked", "marked"):
        documents[name] = shop.phyda(
            "assimilate", "--background", "january.nc", "--obs", f"{name}.csv", "--out", f"c_{name}.nc",
            "--feedback", f"c_{name}.feedback.nc", "--increment", f"c_{name}.increment.nc",
            "--background-error-scale", "auto",
        )  # fmt: skip
        rows[name] = _feedback_rows(shop.folder / f"c_{name}.feedback.nc", table)
        log[name] = documents[name]["log"]
    own, trusted = rows["unmarked"], rows["marked"]
    own["from_trusted"] = np.abs(trusted.o_minus_a) / own.error
    bad = own[own.mark > WORST_GOOD_MARK]
    verdicts = Counter(Flag(flag).name.lower() for flag in bad.flag)
    used_bad = bad[bad.flag == Flag.PASS]
    far = used_bad[used_bad.from_trusted > 5.0]
    used = own[own.flag == Flag.PASS]
    largest = used.assign(part=used.normalised.abs()).sort_values("part").groupby("variable").part.last()
    increments = {name: _largest(shop.folder / f"c_{name}.increment.nc") for name in rows}
    caught = bad[bad.flag.isin([Flag.FIRST_GUESS, Flag.BOUNDS]) & (bad.variable != "t2m")]
    examples = [
        [str(r.row), r.variable, f"{r.pressure / 100:g}", str(int(r.mark)), r.reason] for r in caught.itertuples()
    ]
    far_text = ", ".join(f"{r.variable} at {r.pressure / 100:g} hPa ({r.from_trusted:.1f} σo)" for r in far.itertuples())
    places = ", ".join(sorted({f"{r.station} at {r.latitude:g}°N {r.longitude:g}°E" for r in far.itertuples()}))
    outcome = ", ".join(f"{name} {count}" for name, count in sorted(verdicts.items()))
    return [
        PREPBUFR,
        *shop.take_commands(),
        f"Scales found: {log['unmarked']['background_error_scale']:.2f} without marks, "
        f"{log['marked']['background_error_scale']:.2f} with them. Verdicts without marks:",
        "",
        *_counts(documents["unmarked"]),
        "With marks (`pre_qc`):",
        "",
        *_counts(documents["marked"]),
        f"NCEP marks {len(bad)} of these values worse than {WORST_GOOD_MARK}. Without its marks their verdicts are: "
        f"{outcome}. (`h_failed`: the background has no such variable; `domain`: outside its levels; `pass`: used.) Those",
        "that the checks of value and departure caught:",
        "",
        *_markdown(["row", "variable", "hPa", "mark", "reason"], examples),
        "Largest |O−B| / √(σo² + s²σb²) among the rows used (the threshold is 5): "
        + ", ".join(f"{name} {value:.2f}" for name, value in largest.items()) + ".",
        "",
        f"Of the {len(used_bad)} marked values that are used without marks, {len(far)} lie more than 5 σo from the "
        "analysis made with the marks"
        + (f": {far_text}; {places}. The climatology cannot tell them from weather, see the weaknesses." if len(far) else "."),
        "",
        "Largest increments:",
        "",
        *_markdown(["", *next(iter(increments.values()))], [[n, *v.values()] for n, v in increments.items()]),
        WEAKNESSES,
    ]


def _store_error(store: Path, truth: State) -> tuple[str, State]:
    """(part, ε) of the first pair at the lead, of the test part or, where that has none, the validation part."""
    opened = open_store(store)
    part = next(name for name in ("test", "validation") if opened.pair_index(name, [LEAD]).size)
    pair = opened.read_pairs(opened.pair_index(part, [LEAD])[:1])
    error = torch.from_numpy(pair.background[0] - pair.truth[0]).double()
    return part, State(error, opened.channels, opened.grid, truth.time)


def _draw_sondes(cases: Path, truth: State, target: Path) -> int:
    """Write a long table: truth + N(0, σo) where the sondes of case A have a value that H(truth) exists for."""
    moment = np.datetime64(SONDE_TIME, "ns")
    o = read_csv(cases / "obs_csv" / "temp_2008120812.csv.gz", reference_time=moment)
    operator = ObservationOperator(truth.grid, truth.channels, o.variable, o.latitude, o.longitude, o.pressure)
    equivalent = model_equivalent(operator, truth.values, o)
    o = assign_errors(o, default_error_table())
    o = screen(o, channels=truth.channels, operator_defined=operator.defined, background_equivalent=equivalent,
               time=moment, window=np.timedelta64(3, "h"))  # fmt: skip
    noise = np.random.default_rng(0).standard_normal(len(o)) * np.nan_to_num(o.error)
    drawn = np.where(o.variable == "q", np.maximum(equivalent + noise, 0.0), equivalent + noise)
    rows = pd.DataFrame({"station": o.station, "time": TWIN_TIME, "lat": o.latitude, "lon": o.longitude,
                         "pressure": o.pressure, "variable": o.variable, "value": drawn})  # fmt: skip
    rows[o.used].to_csv(target, index=False)
    return int(o.used.sum())


def _feedback_rows(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """Every row of a feedback with its NCEP mark; normalised: O−B over the σ that the background check expects."""
    feedback = read_feedback(path)
    o = feedback.observations
    source = table.iloc[o.row - 1]
    marks = {name: pd.to_numeric(source[name]).fillna(0).to_numpy() for name in {*MARKS.values(), "pqm"}}
    mark = np.array([max(marks[MARKS.get(v, "pqm")][i], marks["pqm"][i]) for i, v in enumerate(o.variable)])
    expected = np.hypot(o.error, _background_sigma(path, o))
    return pd.DataFrame({
        "row": o.row, "station": o.station, "variable": o.variable, "pressure": o.pressure, "latitude": o.latitude,
        "longitude": o.longitude, "error": o.error, "flag": o.flag, "reason": o.reason, "mark": mark,
        "o_minus_a": feedback.analysis_departure, "normalised": feedback.background_departure / expected,
    })  # fmt: skip
