"""The numbers of the results: all of them in CSV files, the pooled ones as rows and as text."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from phyda_cli.evaluation.spectra import Bands
from phyda_cli.experiments.comparison import REFERENCES, Cell, Comparison
from phyda_cli.experiments.ensembles import band_ratios, grouped, pooled_divergence, spread_skill
from phyda_cli.experiments.results import ALL, Results
from phyda_cli.experiments.score import CONSISTENCY, CRPS, PLAIN, RMSE, SCALARS, SCORES, Of, Part, Score
from phyda_cli.fields.display import aligned, number

COLUMNS: Final = (
    "method", "density_percent", "channel", "score", "value",
    *(f"{part}_{name}" for name in REFERENCES for part in ("ratio_to", "low", "high")),
)  # fmt: skip
_KINDS: Final[tuple[tuple[Of, Part], ...]] = (
    ("state", "mean"), ("increment", "mean"), ("state", "members"), ("increment", "members"),
)  # fmt: skip
_SPECDIV: Final = tuple(Score("specdiv", of=of, part=part) for of, part in _KINDS)
_POOLED: Final = (
    RMSE, Score("mse", relative=True), Score("mae", relative=True), CRPS, Score("rmse", True, True), *_SPECDIV,
)  # fmt: skip
_COUNTED: Final = ("used", "scale")
"""How many observations passed quality control, and the scale of the background error; means over dates."""
_BALANCES: Final = (Score("hydrostatic", part="mean"), Score("geostrophic", part="mean"))

Row = tuple[str, float, str, str, float]
"""Method, density, channel or group, score, value."""
Pooled = dict[str, Any]
"""The pooled scores of a method at a density, by name; None where it has none."""


def rows(results: Results, bands: Bands) -> Iterator[Row]:
    """Yield every score of every method, density and channel or group."""
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
    for of, part in _KINDS:
        kind = "increment_" if of == "increment" else ""
        for channel, value in grouped(results, pooled_divergence(results, method, density, of, part)).items():
            yield channel, f"specdiv_pooled_{kind}{part}", value
        ratios = band_ratios(results, method, density, of, part)
        for place, (low, high) in enumerate(bands):
            for channel, value in grouped(results, ratios[:, place]).items():
                yield channel, f"power_{kind}{part}_{low}-{high}", value
    for score in SCALARS:
        found = results.scalar(method, density, score)
        if found is not None:
            yield ALL, score.name, found
    for name in (*CONSISTENCY, *_COUNTED, "seconds"):
        found = results.mean(method, density, name)
        if found is not None:
            yield ALL, name, found


def to_csv(comparison: Comparison, bands: Bands) -> str:
    """Return the CSV file of all scores: one row a method, density, channel and score, with the ratios to the
    references.
    """
    results = comparison.results
    cells = {
        (cell.method, cell.other, cell.density, cell.channel, cell.score.name): cell
        for method in results.methods
        for other in REFERENCES
        if other in results.methods and other != method
        for cell in comparison.cells(method, other)
    }

    def lines() -> Iterator[list[str]]:
        for method, density, channel, score, value in rows(results, bands):
            ratios: list[str] = []
            for other in REFERENCES:
                cell = cells.get((method, other, density, channel, score))
                ratios += ["", "", ""] if cell is None else [_cell(x) for x in (cell.ratio, cell.low, cell.high)]
            yield [method, f"{density:g}", channel, score, _cell(value), *ratios]

    return _csv(COLUMNS, lines())


def losses_csv(cells: Sequence[Cell]) -> str:
    """Return the CSV file of losing cells, the worst first."""
    head = ("method", "other", "density", "channel", "score", "ratio", "low", "high", "significant")
    documents = (cell.document() for cell in sorted(cells, key=lambda cell: -cell.ratio))
    lines = ([d[name] for name in head] for d in documents)
    return _csv(head, ([f"{x:.4g}" if type(x) is float else str(x) for x in line] for line in lines))


def _csv(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(lines)
    return text.getvalue()


def _cell(value: float) -> str:
    """Empty for what is not a number."""
    return f"{value:.6g}" if math.isfinite(value) else ""


def summary(comparison: Comparison) -> list[Pooled]:
    """Return the pooled scores: a row for each density and method."""
    results = comparison.results
    found: list[Pooled] = []
    for density in results.densities:
        for method in results.methods:
            row: Pooled = {"density_percent": density, "method": method}
            row |= {score.name: results.pooled(method, density, score).get(ALL) for score in _POOLED}
            row["spread_skill"] = spread_skill(results, method, density).get(ALL)
            row |= {score.name: results.scalar(method, density, score) for score in _BALANCES}
            row |= {name: results.mean(method, density, name) for name in (*_COUNTED, "seconds")}
            for other in REFERENCES:
                there = other in results.methods and other != method
                cell = comparison.find(method, other, density, RMSE) if there else None
                row[f"nrmse_ratio_{other}"] = None if cell is None else cell.ratio
                row[f"nrmse_low_{other}"] = None if cell is None else cell.low
                row[f"nrmse_high_{other}"] = None if cell is None else cell.high
            found.append(row)
    return found


SHOWN: Final = {
    "obs %": "density_percent", "method": "method", "RMSE": "nrmse", "MSE": "nmse", "MAE": "nmae", "CRPS": "ncrps",
    "withheld": "withheld_nrmse", "SpecDiv": "specdiv_members", "of increments": "specdiv_increment_members",
    "spread/skill": "spread_skill", "used": "used", "scale": "scale",
}  # fmt: skip
"""Columns of the table for people, by their heads."""


def shown(pooled: Sequence[Pooled]) -> list[list[str]]:
    """Return the cells of the table for people, its head first; the ratios to the references with their intervals."""
    lines = [[*SHOWN, *(f"RMSE / {other}" for other in REFERENCES), "s/date"]]
    for row in pooled:
        cells = [row[name] if name == "method" else number(row[name]) for name in SHOWN.values()]
        for other in REFERENCES:
            ratio, low, high = (row[f"nrmse_{part}_{other}"] for part in ("ratio", "low", "high"))
            cells.append("-" if ratio is None else f"{ratio:.3f} [{low:.3f}, {high:.3f}]")
        lines.append([*cells, f"{row['seconds']:.2f}"])
    return lines


def text(pooled: Sequence[Pooled], losses: int) -> str:
    """Return the table on stdout."""
    lines = [aligned(shown(pooled), left=2)]
    lines.append("RMSE, MSE, MAE, CRPS: in units of the background error's standard deviation, means over all channels")
    if losses:
        lines.append(f"losing cells, all in losing-cells.csv: {losses}")
    return "\n".join(lines)
