"""Write docs/results.md and its pictures from finished experiments: python tools/results.py --help

MAIN and the further directories are what `phyda evaluate --store … --out DIRECTORY` made; ATTENTION, SAMPLING and
ABLATIONS the printed tables of attention_maps.py, sampling_check.py and ablation_tables.py. Numbers are taken as they
are; the words stand here.
"""

from __future__ import annotations

import argparse
import base64
import csv
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

from markdown import markdown_table

PICTURES: Final = {
    "scores over density": "results-curves.png",
    "rank histogram": "results-ranks.png",
    "spread against error": "results-spread.png",
    "power spectra": "results-spectra.png",
    "maps of one date": "results-maps.png",
}
"""Pictures of the report by their words; of several with the same words the first."""
LOSING: Final = "results-losing-cells.csv"
SPARSITY: Final = (
    "nrmse",
    "nmse",
    "nmae",
    "ncrps",
    "withheld_nrmse",
    "specdiv_members",
    "specdiv_mean",
    "spread_skill",
)


def main() -> int:
    """Read, compose, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("main", type=Path, metavar="MAIN")
    parser.add_argument("--further", type=Path, nargs="*", default=[], help="the same with other observations")
    parser.add_argument("--attention", type=Path)
    parser.add_argument("--sampling", type=Path)
    parser.add_argument("--ablations", type=Path)
    parser.add_argument("--notes", type=Path, help="Markdown to put in front: what the figures mean")
    parser.add_argument("--out", type=Path, required=True, metavar="DIRECTORY")
    arguments = parser.parse_args()
    document = json.loads((arguments.main / "scores.json").read_text(encoding="utf-8"))
    scores = _scores(arguments.main / "scores.csv")
    lines = [_head(document), *([arguments.notes.read_text(encoding="utf-8")] if arguments.notes else [])]
    lines += ["## Sparsity sweep", "", *_sweep(document), "![Scores over density](results-curves.png)", ""]
    lines += ["## Goals", "", *_goals(document)]
    lines += ["## Single fields at 2 %", "", *_fields(document, scores)]
    lines += ["## Balance", "", *_balance(document)]
    lines += ["## Spread and ranks", "", *_spread(document, scores)]
    lines += ["![Rank histograms](results-ranks.png)", "", "![Spread against error](results-spread.png)", ""]
    lines += ["## Spectra", "", "![Power by wavenumber](results-spectra.png)", ""]
    lines += ["## One date", "", "![Maps of one date](results-maps.png)", ""]
    for directory in arguments.further:
        further = json.loads((directory / "scores.json").read_text(encoding="utf-8"))
        lines += [f"## {_title(further)}", "", *_sweep(further)]
        lines += _fields(further, _scores(directory / "scores.csv"))
    for title, path in (
        ("Ablations", arguments.ablations),
        ("Attention over density", arguments.attention),
        ("Sampling", arguments.sampling),
    ):
        if path is not None:
            lines += [f"## {title}", "", path.read_text(encoding="utf-8").strip(), ""]
            if path == arguments.attention:
                lines += ["![Attention](results-attention.png)", ""]
    lines += ["## Tuning of 3D-Var", "", *_tuning(document), "## Losing cells", "", *_losing(document)]
    _pictures(arguments.main / "report.html", arguments.out)
    with (arguments.out / LOSING).open("w", encoding="utf-8", newline="") as file:
        cells = document["losing_cells"]
        writer = csv.DictWriter(file, list(cells[0]) if cells else ["none"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in cell.items()}
            for cell in cells
        )
    (arguments.out / "results.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return 0


def _scores(path: Path) -> dict[tuple[str, str, str, str], str]:
    """(method, density, channel, score) → value."""
    with path.open(encoding="utf-8", newline="") as file:
        return {
            (row["method"], row["density_percent"], row["channel"], row["score"]): row["value"]
            for row in csv.DictReader(file)
        }


def _head(document: dict[str, Any]) -> str:
    settings = document["settings"]
    leads = ", ".join(str(lead) for lead in settings["leads"])
    return f"""# Results on the test part

Made by `python tools/results.py` from `phyda evaluate --store`; do not edit.

Twin experiments: {document["dates"]} dates of the store's {settings["part"]} part, {document["first_date"]} to
{document["last_date"]}, backgrounds of {leads} h in turn. Observations are single values of any channel at places
even on the sphere, in per cent of the grid values, with errors of {settings["noise"]:g} × the error table; network and
noise are the same for all methods, and all are told the same size of the background error. {settings["members"]}
members. Scores are area-weighted, in units of the background error's standard deviation at the lead, and means over
all channels unless said. 95 % intervals: paired bootstrap over blocks of {document["bootstrap_block_dates"]}
neighbouring dates.
"""


def _title(further: dict[str, Any]) -> str:
    only, noise = further["settings"]["only"], f"observation errors of {further['settings']['noise']:g} × the table"
    return f"{', '.join(only)} alone observed, {noise}" if only else f"With {noise}"


def _sweep(document: dict[str, Any]) -> list[str]:
    head = ["obs %", "method", "RMSE", "MSE", "MAE", "CRPS", "withheld RMSE", "SpecDiv members", "SpecDiv mean",
            "spread/skill", "RMSE / 3dvar", "RMSE / background", "s/date"]  # fmt: skip
    rows = []
    for row in document["summary"]:
        cells = [f"{row['density_percent']:g}", row["method"], *(_short(row[name]) for name in SPARSITY)]
        for other in ("3dvar", "background"):
            ratio, low, high = (row[f"nrmse_{part}_{other}"] for part in ("ratio", "low", "high"))
            cells.append("" if ratio is None else f"{ratio:.3f} [{low:.3f}, {high:.3f}]")
        rows.append([*cells, f"{row['seconds']:.2f}"])
    return markdown_table(head, rows)


def _goals(document: dict[str, Any]) -> list[str]:
    goals = document["goals"]
    verdict = {True: "met", False: "**not met**", None: "not told"}
    met = sum(goal["met"] is True for goal in goals)
    rows = [
        [goal["goal"], f"{goal['density']:g}", goal["channel"], _short(goal["value"]), goal["target"],
         verdict[goal["met"]]]
        for goal in goals
    ]  # fmt: skip
    return [
        f"{met} of {len(goals)} met.",
        "",
        *markdown_table(["goal", "obs %", "channels", "value", "target", ""], rows),
    ]


def _fields(document: dict[str, Any], scores: dict[tuple[str, str, str, str], str]) -> list[str]:
    head = ["method", *(f"{field} {score}" for field in ("z500", "t850") for score in ("RMSE / σ", "CRPS / σ",
            "SpecDiv members"))]  # fmt: skip
    rows = []
    for method in document["methods"]:
        cells = [method]
        for channel in ("z500", "t850"):
            for score in ("nrmse", "ncrps", "specdiv_members"):
                value = scores.get((method, "2", channel, score), "")
                cells.append(f"{float(value):.4g}" if value else "")
        rows.append(cells)
    return markdown_table(head, rows)


def _balance(document: dict[str, Any]) -> list[str]:
    rows = [
        [f"{row['density_percent']:g}", row["method"], _short(row["hydrostatic_mean"]), _short(row["geostrophic_mean"])]
        for row in document["summary"]
    ]
    note = "Root mean square of the difference of the residual to the truth's own, of the analysis (the members' mean)."
    return [note, "", *markdown_table(["obs %", "method", "hydrostatic [m² s⁻²]", "geostrophic [m s⁻²]"], rows)]


def _spread(document: dict[str, Any], scores: dict[tuple[str, str, str, str], str]) -> list[str]:
    variables = ("u", "v", "t", "q", "z", "msl", "all")
    methods = [name for name in document["methods"] if (name, "2", "all", "spread_skill") in scores]
    rows = []
    for density in document["settings"]["densities"]:
        for method in methods:
            values = [scores.get((method, f"{density:g}", variable, "spread_skill"), "") for variable in variables]
            if any(values):
                rows.append([f"{density:g}", method, *(f"{float(value):.2f}" if value else "" for value in values)])
    return ["√((M+1)/M) spread / RMSE of the mean.", "", *markdown_table(["obs %", "method", *variables], rows)]


def _tuning(document: dict[str, Any]) -> list[str]:
    rows = [
        [density, f"{entry['sigma']:g}", f"{entry['length']:g}", f"{entry['score']:.4f}", f"{entry['untuned']:.4f}"]
        for density, entry in document["tuning"].items()
    ]
    return markdown_table(["obs %", "σ ×", "lengths ×", "MSE / σ² (validation)", "untuned"], rows)


def _losing(document: dict[str, Any]) -> list[str]:
    cells = document["losing_cells"]
    counts = Counter((cell["other"], cell["score"]) for cell in cells)
    surely = Counter((cell["other"], cell["score"]) for cell in cells if cell["significant"])
    rows = [[other, score, str(count), str(surely[other, score])] for (other, score), count in sorted(counts.items())]
    return [
        f"Every cell (density × channel or group × score) in which `phyda` is worse than another method: {len(cells)},",
        f"all of them in [{LOSING}]({LOSING}) with their intervals. By method and score:",
        "",
        *markdown_table(["against", "score", "cells", "beyond chance"], rows),
    ]


def _pictures(report: Path, out: Path) -> None:
    """Take the pictures out of the report."""
    found = re.findall(r'<img alt="([^"]*)" src="data:image/png;base64,([^"]*)"', report.read_text(encoding="utf-8"))
    for words, name in PICTURES.items():
        content = next((data for alt, data in found if alt == words), None)
        if content is not None:
            (out / name).write_bytes(base64.b64decode(content))


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


if __name__ == "__main__":
    sys.exit(main())
