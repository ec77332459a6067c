"""What is said of an analysis that is done, and the errors where too few of its observations were of use."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final

import numpy as np

from phyda_cli.assimilation import Analysis
from phyda_cli.errors import BadDataError
from phyda_cli.observations.passive import is_set_aside
from phyda_cli.observations.table import Flag, Observations, Use
from phyda_cli.settings.assimilate import AnalysisSettings

_log = logging.getLogger(__name__)


def judge(analysis: Analysis, settings: AnalysisSettings) -> None:
    """Log what was decided and what is doubtful. Raises BadDataError when too few observations were of use."""
    log = analysis.log
    said = (f"{key} {value:.6g}" if isinstance(value, float) else f"{key} {value}" for key, value in log.items())
    _log.info("%s", ", ".join(said))
    outside = log.get("outside_first_guesses", 0)
    if outside:
        _log.warning(
            "--fgat: %s of the used observations lie before or after all its times; the nearest counts", outside
        )
    if log.get("converged") is False or log.get("trials_converged") is False:
        _log.warning(
            "3D-Var did not converge: after %s iterations its gradient is %.2g of the first one, so the analysis draws "
            "less to the observations than it should; lower --background-error-scale or give larger observation "
            "errors",
            log.get("iterations", "all"),
            float(log.get("gradient_reduction", float("nan"))),
        )
    scale = float(log.get("background_error_scale", 1.0))
    if scale >= DOUBTFUL_SCALE:
        _log.warning(
            "the background's errors count as %.3g times those of a short forecast: do background and observations "
            "belong together? Check times (%s), units and places; an old forecast or a climatology is like that",
            scale,
            _when(analysis.feedback.observations, analysis),
        )
    _check_use(analysis, settings)


DOUBTFUL_SCALE: Final = 4.0
"""Scale of the background errors from which an operator should look: forecasts of some days reach 3."""


def _check_use(analysis: Analysis, settings: AnalysisSettings) -> None:
    o = analysis.feedback.observations
    total, used, files = len(o), int(o.used.sum()), ", ".join(o.sources)
    if used == 0 and settings.on_empty == "fail":
        raise BadDataError(
            f"{files}: none of {total} observations can be used ({_why(o, analysis)}); "
            "--on-empty background would go on"
        )
    if used == 0:
        _log.warning(
            "none of %d observations can be used (%s): THE ANALYSIS IS THE BACKGROUND", total, _why(o, analysis)
        )
    # fewer rows on purpose, and rows of an earlier cycle, are no sign of bad data
    spared = np.isin(o.flag, (Flag.PASS, Flag.THINNED, Flag.SUPEROB, Flag.HISTORY))
    rejected = int((~spared & ~is_set_aside(o, Use.WITHHOLD) & ~is_set_aside(o, Use.MONITOR)).sum())
    if rejected > settings.max_reject_fraction * total:
        limit = f"--max-reject-fraction {settings.max_reject_fraction:g}"
        raise BadDataError(f"{files}: {rejected} of {total} observations are rejected, more than {limit} allows")


def _why(o: Observations, analysis: Analysis) -> str:
    """Return the commonest verdicts, and when the observations and the background are."""
    verdicts = Counter(Flag(int(flag)).name.lower() for flag in o.flag)
    listed = ", ".join(f"{name} {count}" for name, count in verdicts.most_common(3)) or "no rows"
    when = _when(o, analysis)
    return f"{listed}; {when}" if when else listed


def _when(o: Observations, analysis: Analysis) -> str:
    """Return when the observations and the background are; nothing where no row has a time."""
    times = o.time[~np.isnat(o.time)]
    if not times.size:
        return ""
    first, last, own = (
        f"{np.datetime_as_string(t, unit='m')}Z" for t in (times.min(), times.max(), analysis.background.time)
    )
    return f"they are of {first} to {last}, the background of {own}"
