"""The pictures of the report, as PNG: curves over density, spectra, ranks, spread against error.

matplotlib is optional and imported when a picture is made. Nothing of its global state is used or changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from phyda_cli.evaluation.plots import figure, png
from phyda_cli.experiments.comparison import Comparison
from phyda_cli.experiments.ensembles import ranks
from phyda_cli.experiments.measure import SHOWN
from phyda_cli.experiments.results import ALL, Results
from phyda_cli.experiments.score import CRPS, Of, Part, Score

COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999933")
"""Of the methods in turn; they are told apart by most people who do not see all colours."""
MARKS: Final = "osD^vP*X"
_INK: Final = "#222222"
_LEAST_DENSITY: Final = 0.3
"""Where no observation at all is drawn on the logarithmic axis [%]."""


def curves(comparison: Comparison) -> bytes:
    """MSE, MAE, CRPS, SpecDiv of states and of increments over density, for all methods, pooled over channels."""
    results = comparison.results
    shown = (
        (Score("mse", relative=True), "MSE / σ²"),
        (Score("mae", relative=True), "MAE / σ"),
        (CRPS, "CRPS / σ"),
        (Score("specdiv", part="members"), "SpecDiv (members)"),
        (Score("specdiv", of="increment", part="members"), "SpecDiv of increments (members)"),
        (Score("rmse", withheld=True, relative=True), "RMSE / σ at withheld places"),
    )  # fmt: skip
    drawn = figure(12.0, 6.6, layout="constrained")
    for place, (score, title) in enumerate(shown):
        axes = drawn.add_subplot(2, 3, place + 1)
        for number, method in enumerate(results.methods):
            values = [results.pooled(method, density, score)[ALL] for density in results.densities]
            x = [max(density, _LEAST_DENSITY) for density in results.densities]
            order = np.argsort(x)
            axes.plot(
                np.take(x, order), np.take(values, order), marker=MARKS[number % len(MARKS)], ms=5, lw=1.6,
                color=_colour(number), label=method,
            )  # fmt: skip
        axes.set_xscale("log")
        ticks = sorted({max(density, _LEAST_DENSITY) for density in results.densities})
        none = 0.0 in results.densities
        axes.set_xticks(ticks, ["none" if none and t == _LEAST_DENSITY else f"{t:g}" for t in ticks], fontsize=8)
        axes.minorticks_off()
        axes.set_title(title, fontsize=10, loc="left", color=_INK)
        axes.grid(lw=0.3)
        if place >= 3:
            axes.set_xlabel("observations [% of the grid values]", fontsize=9)
    drawn.legend(*drawn.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=8, frameon=False)
    return png(drawn)


def spectra(results: Results, density: float, of: Of) -> bytes | None:
    """Power by total wavenumber relative to the truth's, of members and means; None without channels to show.

    Increments are compared with x_t − x_b.
    """
    channels = [c for c in results.channels if (c.variable, c.level) in SHOWN]
    if not channels:
        return None
    what = "power of increments / of x$_t$ − x$_b$" if of == "increment" else "power / truth's"
    drawn = figure(12.0, 3.4 * ((len(channels) + 1) // 2), layout="constrained")
    for place, channel in enumerate(channels):
        axes = drawn.add_subplot((len(channels) + 1) // 2, 2, place + 1)
        for number, method in enumerate(results.methods):
            truth = results.spectrum(method, density, "spectrum", of, "truth")
            parts: tuple[tuple[Part, str], ...] = (("members", "-"), ("mean", ":"))
            for part, style in parts if results.members(method) else parts[1:]:
                power = results.spectrum(method, density, "spectrum", of, part)
                if power is None or truth is None:
                    continue
                ratio = power[:, place].sum(0)[1:] / np.maximum(truth[:, place].sum(0)[1:], 1e-300)
                axes.plot(
                    np.arange(1, ratio.size + 1), ratio, style if results.members(method) else "-", lw=1.5,
                    color=_colour(number), label=f"{method} {part}" if results.members(method) else method,
                )  # fmt: skip
        axes.axhline(1.0, color=_INK, lw=0.6)
        axes.axhspan(0.8, 1.2, color="#eeeeee", zorder=0)
        axes.set_title(f"{channel}: {what} at {density:g} %", fontsize=10, loc="left")
        axes.set_xlabel("total wavenumber n", fontsize=9)
        axes.set_ylim(0.0, 2.0)
        axes.grid(lw=0.3)
    drawn.legend(*drawn.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False)
    return png(drawn)


def rank_histograms(comparison: Comparison, method: str, density: float) -> bytes | None:
    """Of each variable, with the bootstrap's band; 1 is flat. None for a method without members."""
    held = ranks(comparison.results, method, density, comparison.bootstrap)
    if held is None:
        return None
    share, low, high = held
    variables = comparison.results.variables
    columns = min(3, len(variables))
    lines = -(-len(variables) // columns)
    drawn = figure(12.0, 2.3 * lines, layout="constrained")
    x = np.arange(share.shape[1])
    for place, variable in enumerate(variables):
        axes = drawn.add_subplot(lines, columns, place + 1)
        axes.bar(x, share[place], color="#b8cfe5", width=0.9)
        axes.vlines(x, low[place], high[place], color=_INK, lw=1.2)
        axes.axhline(1.0, color=_INK, lw=0.6)
        axes.set_ylim(0.0, max(2.0, 1.1 * float(high[place].max())))
        axes.set_title(f"{variable}: {method}, {density:g} %", fontsize=10, loc="left")
        axes.tick_params(labelsize=8)
    return png(drawn)


def spread_against_error(results: Results, methods: Sequence[str]) -> bytes | None:
    """Spread (with √((M+1)/M)) against RMSE of the mean, a point for each channel and density, in units of σ_b."""
    if not methods:
        return None
    columns = min(4, len(methods))
    lines = -(-len(methods) // columns)
    drawn = figure(3.6 * columns + 1.0, 3.6 * lines, layout="constrained")
    for place, method in enumerate(methods):
        axes = drawn.add_subplot(lines, columns, place + 1)
        factor = np.sqrt((results.members(method) + 1) / results.members(method))
        largest = 0.0
        for number, density in enumerate(results.densities):
            variance, error = (results.of(method, density, Score(kind, relative=True)) for kind in ("spread", "mse"))
            assert variance is not None
            assert error is not None
            x, y = np.sqrt(error.mean(0)), factor * np.sqrt(variance.mean(0))
            largest = max(largest, float(x.max()), float(y.max()))
            axes.plot(x, y, ".", color=_colour(number), label=f"{density:g} %")
        line = np.array([0.0, 1.05 * largest])
        axes.plot(line, line, color=_INK, lw=0.8)
        axes.fill_between(line, 0.8 * line, 1.2 * line, color="#eeeeee", zorder=0)
        axes.set_title(method, fontsize=10, loc="left")
        axes.set_xlabel("RMSE of the mean / σ", fontsize=9)
        axes.set_ylabel("spread / σ", fontsize=9)
    drawn.axes[0].legend(fontsize=8, frameon=False)
    return png(drawn)


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]
