"""The results as tables: every number in a CSV file, the pooled ones as text."""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Final

from phyda_cli.evaluation.spectra import Bands
from phyda_cli.experiments.comparison import REFERENCES, Comparison
from phyda_cli.experiments.ensembles import band_ratios, grouped, pooled_divergence, spread_skill
from phyda_cli.experiments.results import ALL, CONSISTENCY, PLAIN, SCALARS, SCORES, Results, find

COLUMNS: Final = (
    "method", "density_percent", "channel", "score", "value",
    *(f"{part}_{name}" for name in REFERENCES for part in ("ratio_to", "low", "high")),
)  # fmt: skip

_SPECDIV: Final = ("specdiv_mean", "specdiv_members", "specdiv_increment_mean", "specdiv_increment_members")

Row = tuple[str, float, str, str, float]
"""Method, density, channel or group, score, value."""


def rows(results: Results, bands: Bands) -> Iterator[Row]:
    """Every score of every method, density and channel or group."""
    for method in results.methods:
        for density in results.densities:
            for channel, score, value in _scores(results, method, density, bands):
                yield method, density, channel, score, value


def _scores(results: Results, method: str, density: float, bands: Bands) -> Iterator[tuple[str, str, float]]:
    for score in (*SCORES, *PLAIN):
        for channel, value in results.pooled(method, density, score).items():
            yield channel, score.name, value
    for channel, value in spread_skill(results, method, density).items():
        yield channel, "spread_skill", value
    for part, kind in itertools.product(("mean", "members"), ("", "increment_")):
        for channel, value in grouped(results, pooled_divergence(results, method, density, part, kind)).items():
            yield channel, f"specdiv_pooled_{kind}{part}", value
        ratios = band_ratios(results, method, density, part, kind)
        for number, (low, high) in enumerate(bands):
            for channel, value in grouped(results, ratios[:, number]).items():
                yield channel, f"power_{kind}{part}_{low}-{high}", value
    for score in SCALARS:
        found = results.scalar(method, density, score)
        if found is not None:
            yield ALL, score.name, found
    for name in CONSISTENCY:
        values = results.values(method, density, name)
        if values is not None:
            yield ALL, name, float(values.mean())
    yield ALL, "seconds", results.seconds(method, density)


def to_csv(comparison: Comparison, bands: Bands) -> str:
    """The CSV file: one row a method, density, channel and score, with the ratios to the references."""
    results = comparison.results
    cells = {
        (cell.method, cell.other, cell.density, cell.channel, cell.score): cell
        for method in results.methods
        for other in REFERENCES
        if other in results.methods and other != method
        for cell in comparison.cells(method, other)
    }
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for method, density, channel, score, value in rows(results, bands):
        ratios: list[str] = []
        for other in REFERENCES:
            cell = cells.get((method, other, density, channel, score))
            ratios += ["", "", ""] if cell is None else [_cell(x) for x in (cell.ratio, cell.low, cell.high)]
        writer.writerow([method, f"{density:g}", channel, score, _cell(value), *ratios])
    return text.getvalue()


def _cell(value: float) -> str:
    """Empty for what is not a number."""
    return f"{value:.6g}" if math.isfinite(value) else ""


def summary(comparison: Comparison) -> list[dict[str, float | str | None]]:
    """The pooled scores: a row for each density and method."""
    results = comparison.results
    found: list[dict[str, float | str | None]] = []
    for density in results.densities:
        for method in results.methods:
            row: dict[str, float | str | None] = {"density_percent": density, "method": method}
            for name in ("nrmse", "nmse", "nmae", "ncrps", "withheld_nrmse", *_SPECDIV):
                row[name] = results.pooled(method, density, find(name)).get(ALL)
            row["spread_skill"] = spread_skill(results, method, density).get(ALL)
            for name in ("hydrostatic_mean", "geostrophic_mean"):
                row[name] = results.scalar(method, density, find(name))
            row["seconds"] = results.seconds(method, density)
            for other in REFERENCES:
                there = other in results.methods and other != method
                cell = comparison.find(method, other, density, "nrmse") if there else None
                row[f"nrmse_ratio_{other}"] = None if cell is None else cell.ratio
                row[f"nrmse_low_{other}"] = None if cell is None else cell.low
                row[f"nrmse_high_{other}"] = None if cell is None else cell.high
            found.append(row)
    return found


def text(rows: Sequence[dict[str, float | str | None]], losses: int) -> str:
    """For people: pooled scores."""
    head = ("obs %", "method", "RMSE", "MAE", "CRPS", "withheld", "SpecDiv", "spread/skill", "RMSE / 3dvar", "s/date")
    names = (
        "density_percent", "method", "nrmse", "nmae", "ncrps", "withheld_nrmse", "specdiv_members", "spread_skill",
    )  # fmt: skip
    body: list[tuple[str, ...]] = [head]
    for row in rows:
        ratio = _short(row["nrmse_ratio_3dvar"])
        if ratio != "-":
            ratio += f" [{_short(row['nrmse_low_3dvar'])}, {_short(row['nrmse_high_3dvar'])}]"
        body.append((*(_short(row[name]) for name in names), ratio, f"{row['seconds']:.2f}"))
    widths = [max(len(line[i]) for line in body) for i in range(len(head))]
    lines = ["  ".join(f"{cell:<{w}}" for cell, w in zip(line, widths, strict=True)).rstrip() for line in body]
    lines.append("RMSE, MAE, CRPS: in units of the background error's standard deviation, a mean over all channels")
    if losses:
        lines.append(f"losing cells, all in scores.json and report.html: {losses}")
    return "\n".join(lines)


def _short(value: float | str | None) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:.4g}"
