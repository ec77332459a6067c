"""The whole method on one screen: a background and observations in, the analysis out.

    d = y − G(x_b)      quality control      δ = method(d)      x_a = x_b + δ, brought onto the background's grid

Humidity is then brought within its limits (`fields/humidity.py`), in the analysis as in every member.

G is H at the observation's own time and height (`operators/first_guess.py`), with what earlier analyses have learned of
the bias of brightness temperatures (`methods/bias.py`). All checks stand in
`quality/screening.py`. Observations that are withheld or only monitored pass them and take part in nothing else.

A background much worse than a short forecast makes the background check wide; then trial analyses let the neighbours
judge (`quality/neighbours.py`), instead of the buddies (`quality/buddies.py`). A dry run makes no trial analysis: it
reports the checks that need none.

A background that is an ensemble comes as its mean, with the members in the method: H(x_b) is the mean of H(x_i), every
member moves from its own background, and the analysis is the mean of the members as they are written.

On a background that is not global H exists within it, and by choice around it. An increment may fade towards its rim,

    x_a = x_b + w δ,    w = ½ (1 − cos π r) with r the distance from the rim over `taper`, 1 from there on

so that the analysis meets the values at the rim; the spread says nothing of that.

The background is never replaced by a reconstruction: fields that the method does not know keep their values.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
import torch

from phyda_cli.assimilation.case import Case, Judged, ask_neighbours, guess_of, scale_of
from phyda_cli.assimilation.ending import Analysis, ended, fading, weighed, without_analysis
from phyda_cli.assimilation.options import AssimilationOptions
from phyda_cli.errors import BadDataError
from phyda_cli.fields.refractivity import COEFFICIENTS
from phyda_cli.fields.state import State
from phyda_cli.methods.as_analysed import log_of
from phyda_cli.methods.base import Log, Method
from phyda_cli.methods.bias import BiasCorrection
from phyda_cli.observations.errors import ErrorTable, assign_errors, count_raised, grown
from phyda_cli.observations.passive import is_active
from phyda_cli.observations.table import Flag, Observations
from phyda_cli.operators.first_guess import BackgroundTimes, FirstGuess, first_guess
from phyda_cli.quality.checks import EARLY, LATE, check_missing
from phyda_cli.quality.neighbours import WORTHWHILE_SCALE
from phyda_cli.quality.pressure_twice import pressure_once
from phyda_cli.quality.screening import JUDGEMENT, REDUCTION, checked, screen
from phyda_cli.quality.sounder import seen_ground

_SCORED: Final = 20_000
"""About how many rows near the ground are left out, each in turn, for the scores."""


def assimilate(
    background: State,
    observations: Observations,
    *,
    method: Method,
    table: ErrorTable,
    options: AssimilationOptions,
    first_guesses: BackgroundTimes | None = None,
    orography: torch.Tensor | None = None,
) -> Analysis:
    """Assimilate observations into a background (channel, lat, lon), in any precision, by a method.

    first_guesses: the background at other times, for observations before and after the analysis. orography: (lat, lon)
    [m] of the background's ground, where it is known.
    Raises BadDataError for a background with members or values that are not finite, or that other times do not fit.
    """
    if background.values.dim() != 3:
        raise BadDataError("the background holds several members: choose one with --member")
    if not all(bool(torch.isfinite(plane).all()) for plane in background.values):
        raise BadDataError("the background holds values that are not finite")
    constants = options.quality.refractivity.constants
    coefficients = COEFFICIENTS[constants]
    first = first_guess(background, observations, first_guesses or {}, orography, options.margin, coefficients)
    case = Case.of(background, first, method, fading(background.grid, options.taper))
    seen = np.where(first.operator.defined, case.equivalent, np.nan)
    bias = BiasCorrection.of(observations, background, seen, options.memory, options.quality.bias)
    case = case.corrected(bias.values)
    guess = guess_of(case, observations, method, table, options)
    # what has no place has no usual error either: the missing place is the reason
    rows = assign_errors(check_missing(observations), table)
    rows = seen_ground(grown(rows, np.where(guess.beyond <= options.margin, guess.beyond, 0.0)), guess.ground_error)
    rows = pressure_once(screen(rows, guess))
    scale = scale_of(rows, options, case, method)
    method = method.scaled(scale).fitted(case.departures(rows, rows.used & is_active(rows)))
    sigma, predicted = method.background_error_at(first.increments, background), method.predicts(first.increments)
    guess = replace(guess, scale=scale, scaled_sigma=sigma, predicted=predicted)
    if predicted.any():
        guess = replace(guess, predict=partial(case.predicted, method, predicted))
    rows = checked(rows, guess, JUDGEMENT)
    judged = Judged(rows, 0, True, None)
    if options.update and guess.scale.dynamics > WORTHWHILE_SCALE:
        judged = ask_neighbours(method, case, rows, guess)
    rows = checked(judged.rows, guess, REDUCTION)
    log: Log = {
        "method": method.name,
        "background_error_scale": guess.scale.dynamics,
        **({} if guess.scale.is_uniform else {"humidity_error_scale": guess.scale.humidity}),
        "trials": judged.trials,
        **({} if judged.settled else {"trials_converged": False}),
        "used": int(rows.used.sum()),
        **({"errors_raised": raised} if (raised := count_raised(observations)) else {}),
        **({"used_outside": int((rows.used & (guess.beyond > 0)).sum())} if options.margin else {}),
        **log_of(constants, observations, bias),
        **_times(background, rows, first),
    }
    result = case.analysed(method, rows, judged.control) if options.update else method.unobserved(background)
    analysis = ended(case, weighed(rows, result), result, log | result.log)
    if guess.predict is not None:
        some = np.flatnonzero(rows.used & predicted)
        sample = np.isin(np.arange(len(rows)), some[:: 1 + some.size // _SCORED])
        analysis = replace(analysis, leave_out=partial(guess.predict, rows, sample, rows.used))
    if not options.update:
        return replace(analysis, feedback=without_analysis(analysis.feedback))
    learned = bias.learned(analysis.feedback, options.quality.bias)
    return replace(analysis, bias=learned.memory(options.memory))


def _times(background: State, checked: Observations, guess: FirstGuess) -> Log:
    """Say how many rows are early and late, used or too much so; of several first guesses, which times they have."""
    own = background.time.astype("datetime64[ns]")
    early, late = checked.time < own, checked.time > own
    outside = checked.flag == Flag.DOMAIN
    log: Log = {
        "early": int((checked.used & early).sum()),
        "late": int((checked.used & late).sum()),
        "too_early": int((outside & checked.reason_begins(EARLY)).sum()),
        "too_late": int((outside & checked.reason_begins(LATE)).sum()),
    }
    if len(guess.times) > 1:
        log["first_guesses"] = ", ".join(f"{np.datetime_as_string(time, unit='m')}Z" for time in guess.times)
        log["outside_first_guesses"] = int((checked.used & guess.outside).sum())
    return log
