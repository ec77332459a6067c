"""The report of an experiment in Markdown, with its pictures; `markdown.to_html` makes one file of both."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from phyda_cli.experiments import figures
from phyda_cli.experiments.comparison import Cell, Comparison
from phyda_cli.experiments.ensembles import spread_skill
from phyda_cli.experiments.intervals import BLOCK_DAYS
from phyda_cli.experiments.maps import NEAR_DENSITY, Example, maps
from phyda_cli.experiments.markdown import table
from phyda_cli.experiments.measure import SHOWN
from phyda_cli.experiments.results import ALL
from phyda_cli.experiments.score import CRPS, RMSE, Score
from phyda_cli.experiments.tables import shown
from phyda_cli.fields.display import display, number

LOSING: str = "losing-cells.csv"


@dataclass
class Report:
    """A report that is being written. pictures: PNG by file name; with_pictures: whether any are to be drawn."""

    comparison: Comparison
    document: dict[str, Any]
    losses: Sequence[Cell]
    with_pictures: bool
    lines: list[str] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Write everything but the maps of one date."""
        results = self.comparison.results
        positive = [density for density in results.densities if density > 0] or list(results.densities)
        self.middle = min(positive, key=lambda value: abs(value - NEAR_DENSITY))
        self._densities = list(dict.fromkeys((self.middle, min(positive))))
        self._head()
        self._scores()
        self._spread()
        self._spectra()
        self._tuning()
        self._losing()

    @property
    def text(self) -> str:
        """The Markdown."""
        return "\n".join(self.lines).rstrip() + "\n"

    def _picture(self, name: str, words: str, content: bytes | None) -> None:
        if content is not None:
            self.pictures[name] = content
            self.lines += [f"![{words}]({name})", ""]

    def _head(self) -> None:
        d, settings = self.document, self.document["settings"]
        lead = ", ".join(str(lead) for lead in settings["leads"])
        only = f" of {', '.join(settings['only'])} alone" if settings["only"] else ""
        self.lines += [
            f"# Twin experiments on the {settings['part']} part: {d['dates']} dates",
            "",
            f"{d['first_date']} to {d['last_date']}; backgrounds of {lead} h in turn. Observations{only} are single",
            "values at places even on the sphere, in per cent of the grid values, with errors of",
            f"{settings['noise']:g} × the error table; network and noise are the same for all methods, and all know",
            "the same size of the background error, that of the lead; rows named (analysis) take the path of",
            f"`phyda assimilate`, which checks and estimates it. {settings['members']} members. Scores are",
            "area-weighted, in units of the background error's standard deviation σ at the lead, and means over all",
            "channels unless a unit or channel is given. Intervals: paired bootstrap of 95 %, blocks of",
            f"{self.comparison.bootstrap.block} neighbouring dates (about {BLOCK_DAYS:g} days).",
            "",
        ]

    def _scores(self) -> None:
        head, *rows = shown(self.document["summary"])
        self.lines += ["## Scores", "", table(head, rows)]
        if self.with_pictures:
            self._picture("curves.png", "scores over density", figures.curves(self.comparison))
        results = self.comparison.results
        channels = [str(c) for c in results.channels if (c.variable, c.level) in SHOWN]
        if channels:
            scores = {"RMSE / σ": RMSE, "CRPS / σ": CRPS, "SpecDiv": Score("specdiv", part="members")}
            rows = [
                [m, *(number(results.pooled(m, self.middle, s)[c]) for c in channels for s in scores.values())]
                for m in results.methods
            ]
            head = ["method", *(f"{channel} {name}" for channel in channels for name in scores)]
            self.lines += [f"## Single fields at {self.middle:g} %", "", table(head, rows)]
        balances = ("hydrostatic_mean", "geostrophic_mean")
        rows = [
            [f"{row['density_percent']:g}", row["method"], *(number(row[name]) for name in balances)]
            for row in self.document["summary"]
        ]
        self.lines += ["## Balance", ""]
        self.lines += ["Root mean square of the difference of the residual to the truth's, of the (mean) analysis.", ""]
        self.lines.append(table(["obs %", "method", "hydrostatic [m²/s²]", "geostrophic [m/s²]"], rows))

    def _spread(self) -> None:
        results = self.comparison.results
        ensembles = [method for method in results.methods if results.members(method)]
        if not ensembles:
            return
        groups = (*results.variables, ALL)
        rows = []
        for density in results.densities:
            for method in ensembles:
                ratios = spread_skill(results, method, density)
                rows.append([f"{density:g}", method, *(number(ratios.get(name), ".2f") for name in groups)])
        self.lines += ["## Spread and ranks", "", "√((M+1)/M) spread / RMSE of the mean; 1 is right.", ""]
        self.lines.append(table(["obs %", "method", *groups], rows))
        if not self.with_pictures:
            return
        for method in ensembles:
            for density in self._densities:
                drawn = figures.rank_histograms(self.comparison, method, density)
                plain = re.sub(r"[^\w-]+", "-", method).strip("-")
                self._picture(f"ranks-{plain}-{density:g}.png", f"rank histogram of {method}, {density:g} %", drawn)
        self.lines += ["Frequency of the truth's rank among the members; 1 is flat.", ""]
        drawn = figures.spread_against_error(results, ensembles)
        self._picture("spread.png", "spread against error", drawn)

    def _spectra(self) -> None:
        if not self.with_pictures:
            return
        for density in self._densities:
            self.lines += [f"## Spectra at {density:g} %", ""]
            states, increments = (
                figures.spectra(self.comparison.results, density, of) for of in ("state", "increment")
            )
            self._picture(f"spectra-{density:g}.png", "power spectra of states", states)
            self._picture(f"spectra-increment-{density:g}.png", "power spectra of increments", increments)

    def one_date(self, example: Example) -> None:
        """Add the maps of one date."""
        moment = np.datetime_as_string(example.time, unit="h")
        level = f"{example.channel.level / 100:g} hPa " if example.channel.level is not None else ""
        what = f"{level}{display(example.channel.variable).name}"
        self.lines += [f"## One date: {what}, {moment} UTC, {example.density:g} %", ""]
        self._picture("maps.png", "maps of one date", maps(example))

    def _tuning(self) -> None:
        rows = [
            (density, f"{e['sigma']:g}", f"{e['length']:g}", f"{e['score']:.4f}", f"{e['untuned']:.4f}")
            for density, e in self.document["tuning"].items()
        ]
        if rows:
            head = ["obs %", "σ ×", "lengths ×", "MSE / σ² (validation)", "untuned"]
            self.lines += ["## Tuning of 3D-Var", "", table(head, rows)]

    def _losing(self) -> None:
        if self.losses:
            counts = Counter((cell.other, cell.score.name) for cell in self.losses)
            surely = Counter((cell.other, cell.score.name) for cell in self.losses if cell.significant)
            rows = [[*key, str(count), str(surely[key])] for key, count in sorted(counts.items())]
            self.lines += [
                f"## Losing cells: {len(self.losses)}",
                "",
                f"Every cell (density × channel or group × score) in which {self.losses[0].method} is worse than",
                f"another method, by however little; all of them are in {LOSING}.",
                "The MSE is left out: it loses where the RMSE does.",
                "",
                table(["against", "score", "cells", "beyond chance"], rows),
            ]
        rows = [[name, str(value)] for name, value in self.document["settings"].items()]
        rows += [[f"digest of {name}", str(value)] for name, value in self.document["digests"].items()]
        self.lines += ["## Origin", "", table(["", ""], rows)]
