"""Analyses judged from Python: as `phyda evaluate` and `phyda diagnose` do, with objects in place of files."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from phyda_cli.errors import BadDataError, UsageError
from phyda_cli.evaluation.compare import compare_fields, compare_observations
from phyda_cli.evaluation.diagnosis import Diagnosis
from phyda_cli.fields.state import State
from phyda_cli.formats.feedback.netcdf import log_in, read_feedback, read_log
from phyda_cli.formats.gridded.layout import Background
from phyda_cli.library.analysis import Analysis
from phyda_cli.library.inputs import FilePath, Gridded, Reported, open_background, read_observations
from phyda_cli.methods.as_analysed import AsAnalysed
from phyda_cli.observations.rule import matching
from phyda_cli.observations.table import Observations
from phyda_cli.settings.values import parse_duration

_log = logging.getLogger(__name__)


def evaluate(
    analysis: Analysis | Gridded,
    *,
    background: Gridded | None = None,
    truth: Gridded | None = None,
    observations: Reported | Sequence[Reported] | None = None,
    withhold: str | None = None,
    window: str | timedelta = "3h",
    log_of: FilePath | None = None,
) -> pd.DataFrame:
    """Score an analysis, and its background, against a truth or against observations that it has not seen.

    analysis: of `assimilate`, whose background is then known, or what `open_background` takes. withhold: take only the
    observations that this rule names. window: leave out those farther from the valid time. log_of: another NetCDF
    output of the analysis's run, which says how it saw refractivity and brightness temperatures where it cannot itself.
    Returns a row for each state, variable and level [Pa]: units, count, rmse, mae and bias, SI. Raises UsageError
    unless there is a truth or observations, BadDataError when nothing can be compared.
    """
    held = analysis if isinstance(analysis, Analysis) else open_background(analysis)
    states = _states(held, background)
    if (truth is None) == (observations is None):
        raise UsageError("name either truth or observations to compare with")
    if truth is not None:
        entries = compare_fields(states, open_background(truth).ensemble_mean().state)
    elif observations is not None:
        width = np.timedelta64(parse_duration(window) if isinstance(window, str) else window, "ns")
        rows = named_by(withhold, read_observations(observations, time=states["analysis"].time))
        entries = compare_observations(states, rows, window=width, seen=as_analysed(held, rows, log_of))
    return pd.DataFrame(
        [
            {
                "state": name, "variable": entry.variable, "level": entry.level, "units": entry.units,
                "count": entry.count, "rmse": scores.rmse, "mae": scores.mae, "bias": scores.bias,
            }
            for entry in entries
            for name, scores in entry.scores.items()
        ]
    )  # fmt: skip


def diagnose(feedbacks: Iterable[Analysis | FilePath]) -> Diagnosis:
    """Sum up the departures of many analyses, each in memory or as its feedback file; files are read one by one.

    Raises BadDataError for a feedback without an analysis, or when no row has departures and an error.
    """
    diagnosis, names = Diagnosis(), []
    for number, one in enumerate(feedbacks, start=1):
        names.append(f"analysis {number}" if isinstance(one, Analysis) else str(one))
        held = one.result.feedback if isinstance(one, Analysis) else read_feedback(Path(one))
        if not np.isfinite(held.analysis_equivalent).any():
            if np.isfinite(held.background_equivalent).any():
                raise BadDataError(f"{names[-1]}: holds no analysis, as a dry run wrote it; leave it out")
            _log.warning("%s: no observation has an equivalent; only its verdicts count", names[-1])
        diagnosis.add(held, names[-1])
    if not diagnosis.groups("variables"):
        first = names[0] if names else "no feedback"
        raise BadDataError(f"{first}: no row has departures and an observation error; there is nothing to diagnose")
    return diagnosis


def named_by(rule: str | None, observations: Observations) -> Observations:
    """Only the observations that a rule names. Raises UsageError when it names none of them."""
    if rule is None:
        return observations
    named = matching(observations, rule)
    if not named.any():
        raise UsageError(f"--withhold {rule!r} names none of {len(observations)} observations")
    return observations.take(named)


def as_analysed(analysis: Analysis | Background, observations: Observations, log_of: FilePath | None) -> AsAnalysed:
    """Return how an analysis saw observations, by its log, and warn of what that does not say of these.

    log_of: a file with that log, None: the analysis's own attributes. Raises InputMissingError or BadDataError for a
    file without one.
    """
    if log_of is not None:
        seen = AsAnalysed(read_log(Path(log_of)))
        if not seen.log:
            raise BadDataError(f"{log_of}: holds no log of an analysis; name a NetCDF file that phyda assimilate wrote")
    elif isinstance(analysis, Analysis):
        seen = AsAnalysed(analysis.log)
    else:
        seen = AsAnalysed(log_in(analysis.dataset.attrs))
    for note in seen.unsaid(observations):
        _log.warning("the analysis does not say %s; --log-of names another output of its run that does", note)
    return seen


def _states(analysis: Analysis | Background, background: Gridded | None) -> dict[str, State]:
    if isinstance(analysis, Analysis):
        before = analysis.result.background if background is None else open_background(background).ensemble_mean().state
        return {"background": before, "analysis": analysis.result.state}
    judged = analysis.ensemble_mean().state
    if background is None:
        return {"analysis": judged}
    return {"background": open_background(background).ensemble_mean().state, "analysis": judged}
