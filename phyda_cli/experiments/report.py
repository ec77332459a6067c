"""The report: one HTML file with everything in it, pictures included."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

import numpy as np

from phyda_cli.evaluation.display import display
from phyda_cli.experiments import figures
from phyda_cli.experiments.comparison import Cell, Comparison
from phyda_cli.experiments.example import NEAR_DENSITY, Example
from phyda_cli.experiments.intervals import BLOCK_DAYS
from phyda_cli.experiments.maps import maps

_STYLE: Final = """
body{font:15px/1.45 system-ui,sans-serif;color:#222;max-width:1200px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
td,th{padding:2px 10px 2px 0;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}
td:first-child,th:first-child,td.t,th.t{text-align:left}
img{max-width:100%}.no{color:#b00020;font-weight:600}.yes{color:#00702a}.scroll{max-height:32rem;overflow:auto}
p.note{color:#555;font-size:13px}
"""


def page(comparison: Comparison, document: dict[str, Any], losses: Sequence[Cell], example: Example) -> str:
    """The HTML document."""
    results = comparison.results
    ensembles = [method for method in results.methods if results.members(method)]
    positive = [density for density in results.densities if density > 0] or list(results.densities)
    middle = min(positive, key=lambda value: abs(value - NEAR_DENSITY))
    settings = document["settings"]
    title = f"Twin experiments on the {settings['part']} part: {document['dates']} dates"
    lead = ", ".join(str(lead) for lead in settings["leads"])
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(document['first_date'])} to {escape(document['last_date'])}; backgrounds of {lead} h in turn; "
        f"single values at places even on the sphere, noise {settings['noise']:g} × the error table, the same for all "
        "methods; all are told the same size of the background error, that of the lead. Scores without a unit are in "
        "units of σ, the background error's standard deviation at the lead, and means over all channels. Intervals: "
        f"paired bootstrap of 95 %, blocks of {comparison.bootstrap.block} neighbouring dates (about {BLOCK_DAYS:g} "
        "days).</p>",
        "<h2>Scores</h2>",
        _summary(document["summary"]),
        _image(figures.curves(comparison), "scores over density"),
    ]
    for method in ensembles:
        parts += [f"<h2>Spread of {escape(method)}</h2>"]
        parts += [
            _image(figures.rank_histograms(comparison, method, density), "rank histogram")
            for density in dict.fromkeys((middle, min(positive)))
        ]
        parts.append('<p class="note">Frequency of the truth\'s rank among the members; 1 is flat.</p>')
    parts.append(_image(figures.spread_against_error(results, ensembles), "spread against error"))
    for density in dict.fromkeys((middle, min(positive))):
        parts.append(f"<h2>Spectra at {density:g} %</h2>")
        parts.append(_image(figures.spectra(results, density), "power spectra of states"))
        parts.append(_image(figures.spectra(results, density, "increment_"), "power spectra of increments"))
    moment = np.datetime_as_string(example.time, unit="h")
    what = f"{example.channel.level / 100:g} hPa " if example.channel.level is not None else ""
    what += display(example.channel.variable).name
    parts += [
        f"<h2>One date: {escape(what)}, {moment} UTC, {example.density:g} %</h2>",
        _image(maps(example), "maps of one date"),
    ]
    if document["tuning"]:
        parts += ["<h2>3D-Var's tuning</h2>", _tuning(document["tuning"])]
    if losses:
        parts += [f"<h2>Losing cells: {len(losses)}</h2>", _losses(losses)]
    parts += ["<h2>Origin</h2>", _origin(document)]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _image(content: bytes | None, words: str) -> str:
    if content is None:
        return ""
    return f'<p><img alt="{escape(words)}" src="data:image/png;base64,{base64.b64encode(content).decode("ascii")}"></p>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are HTML."""
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def _summary(rows: Sequence[dict[str, Any]]) -> str:
    head = (
        "obs %", "method", "RMSE", "MAE", "CRPS", "withheld RMSE", "SpecDiv", "SpecDiv of increments", "spread/skill",
        "RMSE / 3D-Var", "95 %", "RMSE / background", "95 %", "hydrostatic [m²/s²]", "geostrophic [m/s²]", "s/date",
    )  # fmt: skip
    names = (
        "density_percent", "method", "nrmse", "nmae", "ncrps", "withheld_nrmse", "specdiv_members",
        "specdiv_increment_members", "spread_skill",
    )  # fmt: skip
    lines = []
    for row in rows:
        cells = [_short(row[name]) for name in names]
        for other in ("3dvar", "background"):
            low, high = row[f"nrmse_low_{other}"], row[f"nrmse_high_{other}"]
            cells += [_short(row[f"nrmse_ratio_{other}"]), "" if low is None else f"{low:.3f} to {high:.3f}"]
        cells += [_short(row["hydrostatic_mean"]), _short(row["geostrophic_mean"]), f"{row['seconds']:.2f}"]
        lines.append(cells)
    return _table(head, lines)


def _losses(losses: Sequence[Cell]) -> str:
    rows = [
        (
            escape(cell.score), escape(cell.channel), f"{cell.density:g}", escape(cell.other), f"{cell.ratio:.4f}",
            f"{cell.low:.4f} to {cell.high:.4f}", "beyond chance" if cell.significant else "",
        )
        for cell in sorted(losses, key=lambda cell: -cell.ratio)
    ]  # fmt: skip
    note = (
        '<p class="note">Every cell in which the score is larger than the other method\'s, by however little; '
        "the MSE loses where the RMSE does.</p>"
    )
    head = ("score", "channels", "obs %", "against", "ratio", "95 %", "")
    return f'{note}<div class="scroll">{_table(head, rows)}</div>'


def _tuning(tuning: dict[str, Any]) -> str:
    rows = [
        (density, f"{entry['sigma']:g}", f"{entry['length']:g}", f"{entry['score']:.4f}", f"{entry['untuned']:.4f}")
        for density, entry in tuning.items()
    ]
    return _table(("obs %", "σ ×", "lengths ×", "MSE / σ² (validation)", "untuned"), rows)


def _origin(document: dict[str, Any]) -> str:
    rows = [(escape(name), escape(str(value))) for name, value in document["settings"].items()]
    rows += [(f"digest of {escape(name)}", escape(str(value))) for name, value in document["digests"].items()]
    return _table(("", ""), rows)


def _short(value: float | str | None) -> str:
    if value is None:
        return ""
    return escape(value) if isinstance(value, str) else f"{value:.4g}"
