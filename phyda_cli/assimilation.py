"""The whole method on one screen: a background and observations in, the analysis out.

    d = y − G(x_b)      quality control      δ = method(d)      x_a = x_b + δ, interpolated to the background's grid

Humidity is then brought within its limits (`fields/humidity.py`), in the analysis as in every member.

G is H at the observation's own time and height (`operators/first_guess.py`). Observations that are withheld or only
monitored pass the checks and take part in nothing else (`observations/passive.py`).

A background much worse than a short forecast makes the background check wide; then trial analyses let the neighbours
judge (`quality/neighbours.py`), instead of the buddies (`quality/buddies.py`). A dry run makes no trial
analysis: it reports the checks that need none.

A background that is an ensemble comes as its mean, with the members in the method: H(x_b) is the mean of H(x_i), every
member moves from its own background, and the analysis is the mean of the members as they are written.

The background is never replaced by a reconstruction: fields that the method does not know keep their values.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.fields.humidity import Limited, limit_humidity
from phyda_cli.fields.increment import interpolate_increment, interpolate_spread
from phyda_cli.fields.moments import Moments
from phyda_cli.fields.state import State
from phyda_cli.methods.base import Departures, EnsembleMethod, Increment, Method
from phyda_cli.methods.scale import Innovations, estimated_scale
from phyda_cli.observations.errors import ErrorTable, assign_errors, count_raised
from phyda_cli.observations.feedback import Feedback
from phyda_cli.observations.passive import Rows, apart, is_active, set_aside
from phyda_cli.observations.settings import Quality
from phyda_cli.observations.table import Flag, Observations
from phyda_cli.operators.equivalent import operator_at, surface_pressure_at
from phyda_cli.operators.first_guess import BackgroundTimes, FirstGuess, first_guess
from phyda_cli.quality.buddies import check_buddies
from phyda_cli.quality.checks import EARLY, LATE, check_background, check_missing
from phyda_cli.quality.neighbours import ROUNDS, WORTHWHILE_SCALE, check_neighbours
from phyda_cli.quality.reports import check_reports
from phyda_cli.quality.screening import reduce, screen

Log = dict[str, float | int | str]
_UNJUDGED: Final = 1e30
"""σ_b for the check against neighbours of what trial analyses do not reach."""


@dataclass(frozen=True)
class AssimilationOptions:
    """What the caller decides.

    window: largest distance of an observation from the background's valid time.
    background_error_scale: factor on the method's σ_b; None estimates it from the innovations.
    usual_scale: what it is when they are too few for an estimate.
    update: False stops after H(x_b) and the quality control that needs no analysis (a dry run): the analysis is the
        background, and the feedback has no H(x_a).
    quality: settings of quality control, thinning and superobs.
    """

    window: np.timedelta64
    background_error_scale: float | None = None
    usual_scale: float = 1.0
    update: bool = True
    quality: Quality = field(default_factory=Quality)


@dataclass(frozen=True)
class Analysis:
    """What came out, all on the background's grid and channels, SI.

    state: x_a. background: x_b. increment: x_a − x_b. spread: analysis standard deviation (zero where the method does
    not reach), or None where the method has none. members: increments (member, channel, lat, lon) on the method's own
    grid, or None where it has none. feedback: what became of each observation. log: what was decided.
    ensemble: the members of a background that is an ensemble, to which the increments belong; else None.
    """

    state: State
    background: State
    increment: State
    spread: State | None
    members: State | None
    feedback: Feedback
    log: Log
    ensemble: State | None = None

    def member(self, number: int) -> State:
        """x_b + δ_i of one member, humidity within its limits; made when asked for. Only where there are members."""
        if self.members is None:
            raise ValueError("this analysis has no members")
        start = self.background if self.ensemble is None else _one_of(self.ensemble, number)
        return replace(start, values=_moved(start, _one_of(self.members, number)).values)


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
    """Assimilate observations into a background (channel, lat, lon), double precision, by a method.

    first_guesses: the background at other times, for observations before and after the analysis. orography: (lat, lon)
    [m] of the background's ground, where it is known.
    Raises BadDataError for a background with members or values that are not finite, or that other times do not fit.
    """
    if background.values.dim() != 3:
        raise BadDataError("the background holds several members: choose one with --member")
    if not bool(torch.isfinite(background.values).all()):
        raise BadDataError("the background holds values that are not finite")

    guess = first_guess(background, observations, first_guesses or {}, orography)
    ensemble = method.background_members if isinstance(method, EnsembleMethod) else None
    if ensemble is None:
        equivalents, equivalent = None, guess(background.values)
    else:
        equivalents = np.stack([guess(values) for values in ensemble.values])
        equivalent = equivalents.mean(0)
    reach = operator_at(method.background_error(), observations, extend="increment")
    sigma = reach.of_spread(method.background_error().values).numpy()
    surface_pressure = surface_pressure_at(background, observations)
    time, window, quality = background.time, options.window, options.quality

    def screened(rows: Observations, at: Rows) -> Observations:
        return screen(
            rows, channels=background.channels, operator_defined=guess.operator.defined[at],
            background_equivalent=equivalent[at], surface_pressure=surface_pressure[at],
            height_difference=guess.adjustment.difference[at], time=time, window=window, quality=quality,
        )  # fmt: skip

    # what has no place has no usual error either: the missing place is the reason
    checked = apart(assign_errors(check_missing(observations), table), screened)
    if options.background_error_scale is None:
        usable = checked.used & is_active(checked) & (sigma > 0)
        departure = checked.value - equivalent
        innovations = Innovations(checked.variable, departure, sigma, checked.error)
        scale = estimated_scale(innovations.take(usable), otherwise=options.usual_scale, uniform=ensemble is not None)
    else:
        scale = ErrorScale.uniform(options.background_error_scale)
    method, own_sigma = method.scaled(scale), scale.of(checked.variable) * sigma
    checked = checked.reject(~(sigma > 0), Flag.PASSIVE, f"{method.name} does not reach this variable or level")
    checked = check_background(checked, equivalent, own_sigma, table)
    if scale.dynamics <= WORTHWHILE_SCALE:
        checked = check_buddies(checked, equivalent, own_sigma, table, quality.buddy)
    checked = _check_reports(checked)
    trials, settled = 0, True
    if options.update and scale.dynamics > WORTHWHILE_SCALE:
        checked, trials, settled = _ask_neighbours(method, background, checked, equivalent, equivalents, sigma, table)
    checked = set_aside(reduce(checked, equivalent, time=time, window=window, quality=quality))

    log: Log = {
        "method": method.name,
        "background_error_scale": scale.dynamics,
        **({} if scale.is_uniform else {"humidity_error_scale": scale.humidity}),
        "trials": trials,
        **({} if settled else {"trials_converged": False}),
        "used": int(checked.used.sum()),
        **({"errors_raised": raised} if (raised := count_raised(observations)) else {}),
        **_times(background, checked, guess),
    }
    if options.update:
        result = _analyse(method, background, checked, equivalent, equivalents)
    else:
        result = _no_increment(method, background)
    log |= result.log or {}
    if ensemble is not None:
        made = _of_members(background, ensemble, result, checked, guess, equivalent, log)
        return made if options.update else replace(made, feedback=_without_analysis(made.feedback))
    increment = interpolate_increment(result.mean, background.channels, background.grid)
    limited = limit_humidity(background, background.values + increment.values)
    values, defined = limited.values, guess.operator.defined
    spread = None
    if result.spread is not None:
        spread = interpolate_spread(result.spread, background.channels, background.grid)
    feedback = Feedback(
        checked,
        np.where(defined, equivalent, np.nan),
        np.where(defined, guess(values), np.nan),
        np.full(len(checked), np.nan)
        if spread is None
        else np.where(defined, guess.operator.of_spread(spread.values).numpy(), np.nan),
    )
    log |= {"humidity_clipped": limited.negative, "humidity_capped": limited.supersaturated}
    return Analysis(
        state=replace(background, values=values),
        background=background,
        increment=replace(background, values=values - background.values),
        spread=spread,
        members=None if result.members is None else replace(result.mean, values=result.members),
        feedback=feedback if options.update else _without_analysis(feedback),
        log=log,
    )


def _without_analysis(feedback: Feedback) -> Feedback:
    nothing = np.full(len(feedback.observations), np.nan)
    return replace(feedback, analysis_equivalent=nothing, spread=nothing)


def _check_reports(observations: Observations) -> Observations:
    return apart(observations, lambda rows, _: check_reports(rows))


def _times(background: State, checked: Observations, guess: FirstGuess) -> Log:
    """How many rows are early and late, used or too much so; with several first guesses, of which times they are."""
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


def _ask_neighbours(
    method: Method,
    background: State,
    candidates: Observations,
    equivalent: NDArray[np.float64],
    equivalents: NDArray[np.float64] | None,
    sigma: NDArray[np.float64],
    table: ErrorTable,
) -> tuple[Observations, int, bool]:
    """The candidates, judged by trial analyses until nothing changes; how many these were, and whether all converged.

    equivalent: H(x_b), equivalents: H(x_i) of an ensemble. sigma: σ_b of a short forecast at the observations.
    """
    method, checked, trials, settled = method.without_members(), candidates, 0, True
    active = is_active(candidates)
    reach = operator_at(method.background_error(), candidates, extend="increment")
    sigma = np.where(reach.defined, sigma, _UNJUDGED)
    while trials < ROUNDS and bool((candidates.used & active).any()):
        trial = _analyse(method, background, set_aside(checked), equivalent, equivalents)
        settled &= bool((trial.log or {}).get("converged", True))
        judged = check_neighbours(candidates, equivalent + reach(trial.mean.values).numpy(), sigma, table)
        before, checked, trials = checked.used, _check_reports(judged), trials + 1
        if np.array_equal(checked.used[active], before[active]):
            break
    return checked, trials, settled


def _of_members(
    background: State,
    ensemble: State,
    result: Increment,
    checked: Observations,
    guess: FirstGuess,
    equivalent: NDArray[np.float64],
    log: Log,
) -> Analysis:
    """The analysis of an ensemble: mean and spread of its members, each from its own background; H of each as well.

    equivalent: mean of H(x_i). log: what was decided so far.
    """
    if result.members is None:
        raise ValueError("a method for ensembles returns members")
    members = replace(result.mean, values=result.members)
    increments, states, places = Moments(), Moments(), Moments()
    clipped = capped = 0
    for number in range(ensemble.values.shape[0]):
        start = _one_of(ensemble, number)
        limited = _moved(start, _one_of(members, number))
        clipped, capped = clipped + limited.negative, capped + limited.supersaturated
        increments.add(limited.values - start.values)
        states.add(limited.values)
        places.add(torch.from_numpy(guess(limited.values)))
    mean, spread, at_places = increments.mean, states.spread(), (places.mean, places.spread())
    known = np.where(guess.operator.defined, 0.0, np.nan)
    return Analysis(
        state=replace(background, values=background.values + mean),
        background=background,
        increment=replace(background, values=mean),
        spread=replace(background, values=spread),
        members=members,
        feedback=Feedback(checked, known + equivalent, *(known + x.numpy() for x in at_places)),
        log=log | {"humidity_clipped": clipped, "humidity_capped": capped},
        ensemble=ensemble,
    )


def _one_of(members: State, number: int) -> State:
    return replace(members, values=members.values[number])


def _moved(start: State, increment: State) -> Limited:
    """A state plus an increment on the method's grid, humidity within its limits."""
    moved = interpolate_increment(increment, start.channels, start.grid)
    return limit_humidity(start, start.values + moved.values)


def _analyse(
    method: Method,
    background: State,
    observations: Observations,
    equivalent: NDArray[np.float64],
    equivalents: NDArray[np.float64] | None = None,
) -> Increment:
    if not bool(observations.used.any()):
        return _no_increment(method, background)
    used = observations.used
    o = observations.take(used)
    departure = o.value - equivalent[used]
    of_members = None if equivalents is None else equivalents[:, used]
    return method.increment(
        background, Departures(o.variable, o.pressure, o.latitude, o.longitude, departure, o.error, of_members)
    )


def _no_increment(method: Method, background: State) -> Increment:
    """What an analysis without observations is: the background with its own error, members and all."""
    sigma = replace(method.background_error(), time=background.time)
    return Increment(replace(sigma, values=torch.zeros_like(sigma.values)), sigma, method.prior_members())
