"""Replace the tables of docs/real-cases.md: analyses from real files, by the command line alone, and how good they are.

    python -m benchmarks.real_cases CASES docs/real-cases.md [sondes] [prepbufr] [native]

The folder holds `grid_netcdf`, `obs_csv` and `obs` with the files that docs/formats.md names.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from phyda_cli.constants import GRAVITY
from phyda_cli.evaluation.compare import on_grid
from phyda_cli.experiments.markdown import table
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.formats.feedback.netcdf import read_feedback
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.observations.table import Flag
from tools.pages import put

METHODS: Final = ("phyda", "3dvar", "oi")
SHOWN: Final = {"z": ("m", 1 / GRAVITY), "msl": ("Pa", 1.0), "t": ("K", 1.0), "u": ("m s-1", 1.0),
                "v": ("m s-1", 1.0)}  # fmt: skip
STANDARD: Final = (1000, 925, 850, 700, 500, 400, 300, 250, 200, 150, 100)
PLAIN_OI: Final = {("z", 500): "92.8 → 33.8", ("v", 200): "14.8 → 5.1", ("t", 500): "4.2 → 1.9"}
"""RMS O−B, O−A of a two-dimensional OI with an 800 km length scale and its own choice of rows: m, m s-1, K."""
PAIR: Final = ("background", "analysis")
RULE: Final = "station % 5 == 0"
MARKS: Final = {"z": "zqm", "t": "tqm", "t2m": "tqm", "q": "qqm"} | dict.fromkeys(("u", "v", "u10", "v10"), "wqm")
WORST_GOOD_MARK: Final = 3
NATIVE: Final = {
    "temp_2008120812.bufr": ("2008-12-08T12:00", "WMO BUFR, 420 messages of TEMP"),
    "aircraft_20090123.bufr": ("2009-01-23T13:30", "WMO BUFR, aircraft reports"),
    "prepqm89010106.bufr": ("1989-01-01T06:00", "NCEP PREPBUFR, all types, with its quality marks"),
}


class Workshop:
    """A folder in which phyda runs. commands: those run since they were last taken."""

    def __init__(self, cases: Path, folder: Path) -> None:
        self.cases, self.folder, self.commands, self.background = cases, folder, list[str](), "january.nc"

    def phyda(self, *arguments: str) -> dict[str, Any]:
        """Run a command in the folder; its JSON document."""
        self.commands.append(shlex.join(("phyda", *arguments)))
        command = [sys.executable, "-m", "phyda_cli", *arguments, "--json", "--quiet"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{self.commands[-1]} ended with {done.returncode}: {done.stderr.strip()}")
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def assimilate(self, observations: str, out: str, *more: str) -> dict[str, Any]:
        """Run `phyda assimilate` on the background, the January mean unless another is set."""
        return self.phyda("assimilate", "--background", self.background, "--obs", observations, "--out", out, *more)

    def take_commands(self) -> str:
        """The commands since the last call, as a block of Markdown."""
        lines, self.commands = ["```", *self.commands, "```", ""], []
        return "\n".join(lines)

    def january_mean(self, time: str) -> None:
        """january.nc: u, v, z of ERA-Interim, T of uvt.nc (whose unit is wrong) on a 2.5° grid, each on its levels."""
        source, grid, parts = self.cases / "grid_netcdf", LatLonGrid.with_poles(73, 144), []
        temperature = xr.open_dataset(source / "uvt.nc", decode_times=False)[["T"]].isel(time=0, drop=True)
        temperature["T"].attrs["units"] = "K"
        temperature.to_netcdf(self.folder / "t.nc")
        for path, select in ((source / "eraint_uvz.nc", {"month": "1"}), (self.folder / "t.nc", dict[str, str]())):
            state = on_grid(read_background([path], time=np.datetime64(time, "ns"), select=select).state, grid)
            for name in state.variables:
                channels = tuple(channel for channel in state.channels if channel.variable == name)
                units, axis = {"units": VARIABLES[name].units}, f"level_{name}"
                level = (axis, [c.level for c in channels], {"units": "Pa", "standard_name": "air_pressure"})
                values = ((axis, "latitude", "longitude"), state.select(channels).values.numpy(), units)
                parts.append(xr.Dataset({name: values}, {axis: level}))
        latitude = ("latitude", list(grid.latitudes), {"units": "degrees_north"})
        longitude = ("longitude", list(grid.longitudes), {"units": "degrees_east"})
        place = {"latitude": latitude, "longitude": longitude, "time": ((), np.datetime64(time, "ns"))}
        xr.merge(parts).assign_coords(place).to_netcdf(self.folder / "january.nc")


def sondes(shop: Workshop) -> str:
    """Case A: sondes on a climatology, scored at stations that the analysis has not seen."""
    shop.january_mean("2008-12-08T12:00")
    rows = pd.read_csv(shop.cases / "obs_csv" / "temp_2008120812.csv.gz", dtype=str, keep_default_na=False)
    withheld = rows.station.astype(int) % 5 == 0
    rows[~withheld].to_csv(shop.folder / "sondes.csv", index=False)
    rows[withheld & rows.p.astype(float).isin(STANDARD)].to_csv(shop.folder / "withheld.csv", index=False)
    documents, scores = {}, {}
    for method in METHODS:
        out = f"a_{method}.nc"
        documents[method] = shop.assimilate("sondes.csv", out, "--method", method, "--background-error-scale", "auto")
        document = shop.phyda("evaluate", "--analysis", out, "--background", "january.nc", "--obs", "withheld.csv")
        scores[method] = {(e["variable"], round(e["level"] / 100)): _score(e) for e in document["scores"]}
    ratio = {key: score[1] / scores["3dvar"][key][1] for key, score in scores["phyda"].items()}
    shown = {key: [scores[method][key][2] for method in METHODS] for key in ratio}
    plain = [[_field(*at), rms, *shown[at], f"{ratio[at]:.3f}"] for at, rms in PLAIN_OI.items()]
    order = sorted(ratio, key=lambda at: ("ztuv".find(at[0]), -at[1]))
    cells = [[_field(*at), scores["phyda"][at][0], *shown[at]] for at in order]
    scale = documents["phyda"]["log"]["background_error_scale"]
    return f"""{shop.take_commands()}
The scale found is {scale:.2f}. RMS O−B → O−A at the
{rows.station[withheld].nunique()} withheld of {rows.station.nunique()} stations. The plain OI is a two-dimensional one
with 800 km; its figures come from its own choice of rows.

{table(["", "plain OI", *METHODS, "O−A, phyda / 3dvar"], plain)}
In {sum(r <= 1 for r in ratio.values())} of {len(ratio)} cells phyda is at least as near to the withheld values as
3dvar; the geometric mean of the ratios is {np.exp(np.mean(np.log([*ratio.values()]))):.3f}, the largest
{max(ratio.values()):.3f}.

{table(["field", "rows", *METHODS], cells)}
Rows of the assimilated table (phyda):

{_counts(documents["phyda"])}"""


def prepbufr(shop: Workshop) -> str:
    """Case C: a table with real gross errors, without and with the quality marks that a centre gave it."""
    shop.january_mean("1989-01-01T06:00")
    source = pd.read_csv(shop.cases / "obs_csv" / "prepbufr_89010106.csv.gz", dtype=str, keep_default_na=False)
    source.to_csv(shop.folder / "marked.csv", index=False)
    source.filter(regex="(?<!qm)$").to_csv(shop.folder / "unmarked.csv", index=False)
    documents, rows, increments = {}, {}, []
    for name in ("unmarked", "marked"):
        more = ("--feedback", f"c_{name}.feedback.nc", "--increment", f"c_{name}.increment.nc")
        out = f"c_{name}.nc"
        documents[name] = shop.assimilate(f"{name}.csv", out, *more, "--background-error-scale", "auto")
        rows[name] = _marked_rows(shop.folder / f"c_{name}.feedback.nc", source)
        increment = xr.open_dataset(shop.folder / f"c_{name}.increment.nc")
        increments.append([name, *(f"{float(np.abs(increment[v]).max()) * SHOWN[v][1]:.3g}" for v in "ztuv")])
    scales = [document["log"]["background_error_scale"] for document in documents.values()]
    found = rows["unmarked"]
    found["trusted"] = (np.abs(rows["marked"].o_minus_a) / found.error).round(1)
    bad = found[found["mark"] > WORST_GOOD_MARK]
    counts = Counter(Flag(flag).name.lower() for flag in bad.flag)
    verdicts = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    used, used_bad = found[found.flag == Flag.PASS], bad[bad.flag == Flag.PASS]
    unmet, far = used[used.unmet > 10].sort_values("unmet", ascending=False), used_bad[used_bad.trusted > 5]
    caught = bad[bad.flag.isin([Flag.FIRST_GUESS, Flag.BOUNDS, Flag.BUDDY])][["row", "variable", "hPa", "reason"]]
    buddies = found[found.flag == Flag.BUDDY]
    whole = buddies.reason.str.contains("of its report").sum()
    place = ["station", "report", "latitude", "longitude", "variable", "hPa", "mark"]
    return f"""{shop.take_commands()}
Scales found: {scales[0]:.2f} without marks, {scales[1]:.2f} with them. Verdicts without marks:

{_counts(documents["unmarked"])}
With marks (`pre_qc`):

{_counts(documents["marked"])}
NCEP marks {len(bad)} of these values worse than {WORST_GOOD_MARK}. Without the marks they end as: {verdicts}.
(`h_failed`: the background has no such variable; `domain`: outside its levels; `pass`: used). Those that the checks of
value, departure and neighbours caught:

{table(caught.columns, caught.to_numpy())}
The neighbours reject {len(buddies) - whole} values in {documents["unmarked"]["log"]["trials"]} trial analyses, the rule
of whole reports {whole} more; NCEP's marks reject {(buddies["mark"] > WORST_GOOD_MARK).sum()} of these.

Of the {len(used_bad)} marked values that are used without marks, {(used_bad.unmet <= 3).sum()} lie within 3 σo of the
analysis that uses them, and {len(far)} more than 5 σo from the analysis with marks:

{table([*place, "distance [σo]"], far[[*place, "trusted"]].to_numpy())}
{len(unmet)} of the {len(used)} values used lie more than 10 σo from the analysis that uses them; NCEP's marks reject
{(unmet["mark"] > WORST_GOOD_MARK).sum()} of them. The farthest:

{table([*place, "distance [σo]"], unmet[[*place, "unmet"]][:8].to_numpy())}
Largest increments:

{table(["", *(f"{v} [{SHOWN[v][0]}]" for v in "ztuv")], increments)}"""


def native(shop: Workshop) -> str:
    """Case D: native BUFR and PREPBUFR files through the command, which withholds some stations itself."""
    parts = []
    for name, (time, what) in NATIVE.items():
        shop.january_mean(time)
        shutil.copyfile(shop.cases / "obs" / name, shop.folder / name)
        more = ("--withhold", RULE, "--overwrite")
        documents = [shop.assimilate(name, f"d_{m}.nc", "--method", m, *more) for m in METHODS[:2]]
        costs = [
            ["wall time [s]", *(f"{d['wall_seconds']:.1f}" for d in documents)],
            ["peak memory [MiB]", *(d["peak_memory_mib"] for d in documents)],
            ["scale of the background error", *(f"{d['log']['background_error_scale']:.2f}" for d in documents)],
        ]
        scores = [{e["variable"]: e for e in d["variables"] if e["withheld"]["count"]} for d in documents]
        cells = []
        for variable, first in scores[0].items():
            rms = [[SHOWN[variable][1] * s[variable]["withheld"][k]["rms"] for k in PAIR] for s in scores]
            arrows = (f"{before:.3g} → {after:.3g}" for before, after in rms)
            cost = " → ".join(f"{first[k]['cost']:.2f}" for k in PAIR)
            cells.append([variable, SHOWN[variable][0], first["withheld"]["count"], *arrows, cost])
        parts.append(f"""### {name}

{what}: {documents[0]["observations"]} rows, {documents[0]["used"]} used.

{shop.take_commands()}
{table(["", *METHODS[:2]], costs)}
Withheld rows, RMS O−B → O−A; J_o/n of the rows that are used.

{table(["variable", "unit", "withheld", *METHODS[:2], "J_o/n, phyda"], cells)}
{_counts(documents[0])}""")
    return "\n".join(parts)


def _marked_rows(path: Path, source: pd.DataFrame) -> pd.DataFrame:
    """Every row of a feedback with its NCEP mark; unmet: its distance from the analysis in units of σo."""
    feedback = read_feedback(path)
    o = feedback.observations
    marks = source.iloc[o.row - 1][sorted({*MARKS.values(), "pqm"})].apply(pd.to_numeric, errors="coerce").fillna(0)
    own = [MARKS.get(name, "pqm") for name in o.variable]
    mark = [max(row[name], row["pqm"]) for name, (_, row) in zip(own, marks.iterrows(), strict=True)]
    return pd.DataFrame(
        {name: getattr(o, name) for name in ("row", "station", "report", "variable", "latitude", "longitude", "error")}
        | {"flag": o.flag, "reason": o.reason, "hPa": (o.pressure / 100).round(1), "mark": np.array(mark).astype(int)}
        | {"o_minus_a": feedback.analysis_departure, "unmet": np.abs(feedback.analysis_departure / o.error).round(1)}
    )


def _score(entry: Mapping[str, Any]) -> tuple[int, float, str]:
    """(rows, RMS O−A, RMS O−B → O−A) of a variable at a level, in the unit shown."""
    before, after = (SHOWN[entry["variable"]][1] * entry["scores"][key]["rmse"] for key in PAIR)
    return entry["count"], after, f"{before:.1f} → {after:.1f}"


def _field(variable: str, level: int) -> str:
    return f"{variable}{level} [{SHOWN[variable][0]}]"


def _counts(document: Mapping[str, Any]) -> str:
    """What became of the rows of an assimilation, by variable."""
    rows = []
    for entry in document["variables"]:
        rejected = ", ".join(f"{name} {count}" for name, count in entry["rejected"].items())
        rows.append([entry["variable"] or "unreadable", entry["total"], entry["used"], rejected])
    return table(["variable", "rows", "used", "not used, by reason"], rows)


CASES: Final = {"sondes": sondes, "prepbufr": prepbufr, "native": native}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        for case in sys.argv[3:] or CASES:
            put(Path(sys.argv[2]), case, CASES[case](Workshop(Path(sys.argv[1]).resolve(), Path(name))))
