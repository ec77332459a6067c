"""Write docs/real-cases.md: analyses from real files, through the command line alone, and how good they are.

    python tools/real_cases.py CASES docs/real-cases.md [--store STORE]

CASES holds `grid_netcdf`, `grid_grib`, `obs_csv` and `obs` (`docs/formats.md` names the files). STORE is a training
store: case B takes its background error from it and is left out without one. The inputs are made in
`real_cases_inputs.py`; the analyses and the scores at withheld stations by `phyda assimilate` and `phyda evaluate`.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from markdown import markdown_table
from real_cases_inputs import (
    LEAD,
    SONDE_TIME,
    draw_sondes,
    feedback_rows,
    january_mean,
    minus,
    read_table,
    regional_rmse,
    store_error,
    write_state,
)
from real_cases_native import native
from real_cases_text import HEAD, PREPBUFR, SONDES, TWIN, TWIN_TITLE, WEAKNESSES

from phyda_cli.constants import GRAVITY
from phyda_cli.fields.increment import interpolate_increment
from phyda_cli.fields.state import Channel, State
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.networks.checkpoint import read_checkpoint
from phyda_cli.observations.table import Flag
from phyda_cli.resources import LEARNED_MODEL, weights_path

PREPBUFR_TIME = "1989-01-01T06:00"
WITHHELD = 5
STANDARD = (1000, 925, 850, 700, 500, 400, 300, 250, 200, 150, 100)
REFERENCE = {("z", 500): (92.8, 33.8), ("v", 200): (14.8, 5.1), ("t", 500): (4.2, 1.9)}
"""RMS O−B, O−A of a plain 2-D OI with an 800 km length scale, with its own choice of rows: m, m s-1, K."""
REGIONS = {"NH 20–90": (20.0, 90.0), "tropics": (-20.0, 20.0), "SH 20–90": (-90.0, -20.0)}
TWIN_CHANNELS = [("z", 850), ("z", 500), ("z", 250), ("t", 850), ("t", 500), ("u", 850), ("u", 250), ("v", 850),
                 ("v", 250), ("q", 850), ("q", 500)]  # fmt: skip
SHOWN_UNITS = {"z": ("m", 1 / GRAVITY), "t": ("K", 1.0), "u": ("m s-1", 1.0), "v": ("m s-1", 1.0), "q": ("g/kg", 1e3)}
WORST_GOOD_MARK = 3
FAR = 5.0
UNMET = 10.0
AGREEING = 3.0
METHODS = ("phyda", "3dvar", "oi")


@dataclass
class Workshop:
    """A temporary folder in which phyda runs. commands: those run so far."""

    folder: Path
    commands: list[str] = field(default_factory=list)

    def phyda(self, *arguments: str) -> dict[str, Any]:
        """Run a command in the folder; its JSON document."""
        self.commands.append(shlex.join(("phyda", *arguments)))
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
    parser.add_argument("--store", type=Path, help="training store for case B")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        shop = Workshop(Path(name))
        lines = [HEAD]
        for case in (
            sondes,
            lambda c, w: twin(c, w, options.store),
            prepbufr,
            lambda c, w: native(c, w, _counts),
        ):
            lines += case(options.cases, shop)
        lines.append(WEAKNESSES)
        options.output.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def sondes(cases: Path, shop: Workshop) -> list[str]:
    """Case A: sondes on a climatology, scored at stations that the analysis has not seen."""
    january_mean(cases, shop.folder / "january.nc", SONDE_TIME)
    table = read_table(cases / "obs_csv" / "temp_2008120812.csv.gz")
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
        goals.append([f"{name}{level} [{SHOWN_UNITS[name][0]}]", _arrow(before, after),
                      *(_arrow(*own[method]) for method in METHODS),
                      f"{own['phyda'][1] / own['3dvar'][1]:.3f}"])  # fmt: skip
    rows = []
    for entry in sorted(scores["3dvar"], key=lambda e: ("ztuv".find(e["variable"]), -e["level"])):
        name, level = entry["variable"], round(entry["level"] / 100)
        rows.append([f"{name}{level}", SHOWN_UNITS[name][0], str(entry["count"]),
                     *(_arrow(*_rms(scores[method], name, level)) for method in METHODS)])  # fmt: skip
    scale = documents["phyda"]["log"]["background_error_scale"]
    ratios = [_rms(scores["phyda"], e["variable"], round(e["level"] / 100))[1]
              / _rms(scores["3dvar"], e["variable"], round(e["level"] / 100))[1] for e in scores["3dvar"]]  # fmt: skip
    better = sum(ratio <= 1.0 for ratio in ratios)
    return [
        SONDES.format(total=table.station.nunique(), stations=stations),
        *shop.take_commands(),
        f"The scale found is {scale:.2f}. RMS O−B → O−A at the withheld stations. The plain OI is a two-dimensional",
        "one with 800 km; its figures come from its own choice of rows.",
        "",
        *markdown_table(["", "plain OI", *METHODS, "O−A, phyda / 3dvar"], goals),
        f"In {better} of {len(ratios)} cells phyda is at least as near to the withheld values as 3dvar; the geometric",
        f"mean of the ratios is {float(np.exp(np.mean(np.log(ratios)))):.3f}, the largest {max(ratios):.3f}.",
        "",
        *markdown_table(["field", "unit", "rows", *METHODS], rows),
        "Rows of the assimilated table (phyda):",
        "",
        *_counts(documents["phyda"]),
    ]


def twin(cases: Path, shop: Workshop, store: Path | None) -> list[str]:
    """Case B: a real state, a drawn background error and drawn observations at real places."""
    if store is None:
        return [TWIN_TITLE, "Not run: it needs a training store (`--store`).", ""]
    shutil.copyfile(cases / "grid_grib" / "gfs_2011011012_f120_2p5deg.grib2", shop.folder / "gfs.grib2")
    truth = read_background([shop.folder / "gfs.grib2"]).state
    kept = tuple(c for c in truth.channels if c.variable in ("u", "v", "t", "q", "z", "msl"))
    truth = truth.select(kept)
    part, pair = store_error(store, truth)
    humid = torch.tensor([channel.variable == "q" for channel in truth.channels])[:, None, None]
    values = truth.values + interpolate_increment(pair, truth.channels, truth.grid).values
    values = torch.where(humid, values.clamp_min(0.0), values)
    write_state(State(values, truth.channels, truth.grid, truth.time), shop.folder / "background.nc")
    count = draw_sondes(cases, truth, shop.folder / "drawn.csv")
    errors: dict[str, State] = {}
    background = read_background([shop.folder / "background.nc"]).state
    errors["background"] = minus(background, truth)
    documents = {}
    for method in METHODS:
        documents[method] = shop.phyda(
            "assimilate", "--background", "background.nc", "--obs", "drawn.csv", "--out", f"b_{method}.nc",
            "--method", method,
        )  # fmt: skip
        analysis = read_background([shop.folder / f"b_{method}.nc"]).state
        errors[method] = minus(analysis, truth)
    rows = []
    for name, level in TWIN_CHANNELS:
        unit, factor = SHOWN_UNITS[name]
        cells = [f"{name}{level} [{unit}]"]
        for south, north in REGIONS.values():
            size = {
                key: factor * regional_rmse(error, Channel(name, 100.0 * level), south, north)
                for key, error in errors.items()
            }
            after = " · ".join(f"{size[method]:.3g}" for method in METHODS)
            cells.append(f"{size['background']:.3g} → {after}")
        rows.append(cells)
    return [
        TWIN_TITLE,
        TWIN.format(part=part, count=count, lead=LEAD),
        *shop.take_commands(),
        f"RMSE against the truth, area-weighted: background → {' · '.join(METHODS)}.",
        "",
        *markdown_table(["field", *REGIONS], rows),
        *_counts(documents["phyda"]),
    ]


def prepbufr(cases: Path, shop: Workshop) -> list[str]:
    """Case C: a table with real gross errors, without and with the quality marks that a centre gave it."""
    january_mean(cases, shop.folder / "january.nc", PREPBUFR_TIME)
    table = read_table(cases / "obs_csv" / "prepbufr_89010106.csv.gz")
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
        log[name] = documents[name]["log"]
        sigma_b = learned_sigma_b(log[name]["background_error_scale"])
        rows[name] = feedback_rows(shop.folder / f"c_{name}.feedback.nc", table, sigma_b)
    own, trusted = rows["unmarked"], rows["marked"]
    own["from_trusted"] = np.abs(trusted.o_minus_a) / own.error
    bad = own[own.mark > WORST_GOOD_MARK]
    verdicts = Counter(Flag(flag).name.lower() for flag in bad.flag)
    used, used_bad = own[own.flag == Flag.PASS], bad[bad.flag == Flag.PASS]
    far = used_bad[used_bad.from_trusted > FAR]
    largest = used.normalised.abs().groupby(used.variable).max()
    unmet = used[used.unmet > UNMET].sort_values("unmet", ascending=False)
    caught = bad[bad.flag.isin([Flag.FIRST_GUESS, Flag.BOUNDS, Flag.BUDDY])]
    agreeing = (used_bad.unmet <= AGREEING).sum()
    buddies = own[own.flag == Flag.BUDDY]
    whole = buddies.reason.str.contains("of its report").sum()
    examples = caught[["row", "variable", "hPa", "reason"]].to_numpy()
    increments = {name: _largest(shop.folder / f"c_{name}.increment.nc") for name in rows}
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
        f"NCEP marks {len(bad)} of these values worse than {WORST_GOOD_MARK}. Without the marks they end as: "
        + ", ".join(f"{name} {count}" for name, count in sorted(verdicts.items()))
        + ".",
        "(`h_failed`: the background has no such variable; `domain`: outside its levels; `pass`: used.) Those that the",
        "checks of value, departure and neighbours caught:",
        "",
        *markdown_table(["row", "variable", "hPa", "reason"], examples),
        "Largest |O−B| / √(σo² + s²σb²) among the rows used, where the limit is 5: "
        + ", ".join(f"{name} {value:.2f}" for name, value in largest.items())
        + ".",
        "",
        f"The neighbours reject {len(buddies) - whole} values in {log['unmarked']['trials']} trial analyses, the rule",
        f"of whole reports {whole} more; NCEP's marks reject {(buddies.mark > WORST_GOOD_MARK).sum()} of these.",
        "",
        f"Of the {len(used_bad)} marked values that are used without marks, {agreeing} lie within {AGREEING:g} σo",
        f"of the analysis that uses them, and {len(far)} more than {FAR:g} σo from the analysis with marks:",
        "",
        *markdown_table(
            ["station", "latitude", "longitude", "variable", "hPa", "distance [σo]"],
            far[["station", "latitude", "longitude", "variable", "hPa", "from_trusted"]].round(1).to_numpy(),
        ),
        f"{len(unmet)} of the {len(used)} values used lie more than {UNMET:g} σo from the analysis that uses them.",
        f"NCEP's marks reject {(unmet.mark > WORST_GOOD_MARK).sum()} of them. The farthest:",
        "",
        *markdown_table(
            ["station", "report", "latitude", "longitude", "variable", "hPa", "mark", "distance [σo]"],
            unmet[["station", "report", "latitude", "longitude", "variable", "hPa", "mark", "unmet"]][:8].to_numpy(),
        ),
        "Largest increments:",
        "",
        *markdown_table(["", *next(iter(increments.values()))], [[n, *v.values()] for n, v in increments.items()]),
    ]


def learned_sigma_b(scale: float) -> State:
    """s σ_b of the shipped weights."""
    statistics = read_checkpoint(weights_path(LEARNED_MODEL)).statistics
    sigma = statistics.sigma(torch.tensor([scale], dtype=torch.float64))[0]
    return State(sigma, statistics.channels, statistics.grid, np.datetime64("NaT", "ns"))


def _rms(scores: Iterable[Mapping[str, Any]], name: str, level: float) -> tuple[float, float]:
    """RMS O−B and O−A of a variable at a level [hPa], in the unit shown."""
    entry = next(e for e in scores if e["variable"] == name and round(e["level"] / 100) == level)
    before, after = (SHOWN_UNITS[name][1] * entry["scores"][key]["rmse"] for key in ("background", "analysis"))
    return before, after


def _largest(path: Path) -> dict[str, str]:
    """Largest absolute value of each variable of an increment, with its unit."""
    increment = xr.open_dataset(path)
    return {
        f"{name} [{SHOWN_UNITS[name][0]}]": f"{float(np.abs(increment[name]).max()) * SHOWN_UNITS[name][1]:.3g}"
        for name in "ztuv"
    }


def _arrow(before: float, after: float) -> str:
    return f"{before:.1f} → {after:.1f}"


def _counts(document: Mapping[str, Any]) -> list[str]:
    """What became of the rows of an assimilation, by variable."""
    rows = []
    for entry in document["variables"]:
        rejected = ", ".join(f"{name} {count}" for name, count in entry["rejected"].items())
        rows.append([entry["variable"] or "unreadable", str(entry["total"]), str(entry["used"]), rejected])
    return markdown_table(["variable", "rows", "used", "not used, by reason"], rows)


if __name__ == "__main__":
    main()
