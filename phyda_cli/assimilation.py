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

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.fields.humidity import Limited, limit_humidity
from phyda_cli.fields.moments import Moments
from phyda_cli.fields.refractivity import COEFFICIENTS
from phyda_cli.fields.state import Channel, PlanesOnDemand, State
from phyda_cli.grids.base import Grid
from phyda_cli.methods.base import Departures, EnsembleMethod, Increment, Log, Memory, Method
from phyda_cli.methods.bias import BiasCorrection
from phyda_cli.methods.scale import Innovations, estimated_scale
from phyda_cli.observations.errors import ErrorTable, assign_errors, count_raised, grown
from phyda_cli.observations.passive import apart, is_active, set_aside
from phyda_cli.observations.predicted import Predicted
from phyda_cli.observations.settings import Quality
from phyda_cli.observations.table import Feedback, Flag, Observations
from phyda_cli.operators.first_guess import BackgroundTimes, FirstGuess, first_guess
from phyda_cli.quality.checks import EARLY, LATE, check_missing
from phyda_cli.quality.neighbours import ROUNDS, WORTHWHILE_SCALE, check_neighbours, check_reports
from phyda_cli.quality.pressure_twice import pressure_once
from phyda_cli.quality.screening import JUDGEMENT, REDUCTION, Guess, checked, screen

Mask = NDArray[np.bool_]

_SCORED: Final = 20_000
"""About how many rows near the ground are left out, each in turn, for the scores."""
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
    margin: how far outside of the background's grid observations are used [m]. taper: width of the strip along its rim
        in which increments fade [m].
    memory: of the analysis before (`Analysis.memory`); the method has its part already.
    """

    window: np.timedelta64
    background_error_scale: float | None = None
    usual_scale: float = 1.0
    update: bool = True
    quality: Quality = field(default_factory=Quality)
    margin: float = 0.0
    taper: float = 0.0
    memory: Memory = field(default_factory=dict)


@dataclass(frozen=True)
class Analysis:
    """What came out, all on the background's grid and channels, SI, in the background's precision.

    state: x_a. background: x_b. spreads: analysis standard deviation (zero where the method does not reach), or None
    where the method has none. feedback: what became of each observation. log: what was decided.
    result: what the method returned, on its own grid. ensemble: the members of a background that is an ensemble, from
    which those of the result move; else None. fade: w (lat, lon), None for 1. leave_out: makes `left_out`, None where
    the method predicts no rows from one another. bias: what the next analysis is told of it.
    """

    state: State
    background: State
    spreads: State | PlanesOnDemand | None
    feedback: Feedback
    log: Log
    result: Increment
    ensemble: State | None = None
    fade: torch.Tensor | None = None
    leave_out: Callable[[], Predicted] | None = None
    bias: Memory = field(default_factory=dict)

    @property
    def memory(self) -> Memory:
        """What the next analysis is told."""
        return {**self.result.memory, **self.bias}

    @cached_property
    def increment(self) -> State:
        """x_a − x_b."""
        return replace(self.state, values=self.state.values - self.background.values)

    @cached_property
    def spread(self) -> State | None:
        """All of the spreads; made when it is asked for."""
        if not isinstance(self.spreads, PlanesOnDemand):
            return self.spreads
        values = torch.empty_like(self.background.values)
        for number, channel in enumerate(self.spreads.channels):
            values[number] = self.spreads.plane(channel)
        return replace(self.background, values=values)

    @property
    def member_count(self) -> int:
        """How many members the analysis has."""
        return 0 if self.result.members is None else int(self.result.members.shape[0])

    @cached_property
    def left_out(self) -> Predicted | None:
        """What the others say of each row in use near the ground, or of a sample; computed when it is asked for."""
        return None if self.leave_out is None else self.leave_out()

    def member(self, number: int, channels: tuple[Channel, ...] | None = None) -> State:
        """x_b + δ_i of one member, humidity within its limits; made when asked for. Only where there are members.

        channels: these alone, with the temperature of each humidity; None: all.
        """
        start = self.background if self.ensemble is None else _one_of(self.ensemble, number)
        start = start if channels is None else start.select(channels)
        return _moved(start, partial(self.result.member_onto, number), self.fade)[0]


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
    coefficients = COEFFICIENTS[options.quality.refractivity.constants]
    first = first_guess(background, observations, first_guesses or {}, orography, options.margin, coefficients)
    bias = BiasCorrection.of(observations, background, first, options.memory, options.quality.bias)
    first = replace(first, tendency=first.tendency + bias.values)
    case = _Case.of(background, first, method, fading(background.grid, options.taper))
    guess = _guess(case, observations, method, table, options)
    # what has no place has no usual error either: the missing place is the reason
    rows = assign_errors(check_missing(observations), table)
    rows = pressure_once(screen(grown(rows, np.where(guess.beyond <= options.margin, guess.beyond, 0.0)), guess))
    scale = _scale(rows, options, case, method)
    method = method.scaled(scale).fitted(case.departures(rows, rows.used & is_active(rows)))
    sigma, predicted = method.background_error_at(first.increments, background), method.predicts(first.increments)
    guess = replace(guess, scale=scale, scaled_sigma=sigma, predicted=predicted)
    if predicted.any():
        guess = replace(guess, predict=partial(case.predicted, method, predicted))
    rows = checked(rows, guess, JUDGEMENT)
    trials, settled = 0, True
    if options.update and guess.scale.dynamics > WORTHWHILE_SCALE:
        rows, trials, settled = _ask_neighbours(method, case, rows, guess)
    rows = checked(rows, guess, REDUCTION)
    log: Log = {
        "method": method.name,
        "background_error_scale": guess.scale.dynamics,
        **({} if guess.scale.is_uniform else {"humidity_error_scale": guess.scale.humidity}),
        "trials": trials,
        **({} if settled else {"trials_converged": False}),
        "used": int(rows.used.sum()),
        **({"errors_raised": raised} if (raised := count_raised(observations)) else {}),
        **({"used_outside": int((rows.used & (guess.beyond > 0)).sum())} if options.margin else {}),
        **bias.log(),
        **_times(background, rows, first),
    }
    result = case.analysed(method, rows) if options.update else method.unobserved(background)
    analysis = _ending(case, _weighed(rows, result), result, log | result.log)
    if guess.predict is not None:
        some = np.flatnonzero(rows.used & predicted)
        sample = np.isin(np.arange(len(rows)), some[:: 1 + some.size // _SCORED])
        analysis = replace(analysis, leave_out=partial(guess.predict, rows, sample, rows.used))
    if not options.update:
        return replace(analysis, feedback=_without_analysis(analysis.feedback))
    learned = bias.learned(analysis.feedback, options.quality.bias)
    return replace(analysis, bias=learned.memory(options.memory))


@dataclass(frozen=True)
class _Case:
    """One background with what it says of the observations.

    first: G. equivalent: (n,) G(x_b), equivalents: (member, n) G(x_i) of an ensemble, whose members ensemble holds.
    fade: of increments (lat, lon), None for 1.
    """

    background: State
    first: FirstGuess
    equivalent: NDArray[np.float64]
    equivalents: NDArray[np.float64] | None
    ensemble: State | None
    fade: torch.Tensor | None

    @classmethod
    def of(cls, background: State, first: FirstGuess, method: Method, fade: torch.Tensor | None) -> _Case:
        if not isinstance(method, EnsembleMethod):
            return cls(background, first, first(background.values), None, None, fade)
        members = method.background_members
        equivalents = np.stack([first(values) for values in members.values])
        return cls(background, first, equivalents.mean(0), equivalents, members, fade)

    def analysed(self, method: Method, rows: Observations) -> Increment:
        """The increment of the rows in use."""
        if not rows.used.any():
            return method.unobserved(self.background)
        return method.increment(self.background, self.departures(rows, rows.used))

    def predicted(
        self, method: Method, near_ground: Mask, rows: Observations, wanted: Mask, judging: Mask
    ) -> Predicted:
        """Return the method's predictions of wanted rows from judging ones; near_ground: those that it predicts."""
        index = np.flatnonzero((wanted | judging) & near_ground)
        found = method.predicted(self.departures(rows, (wanted | judging) & near_ground), wanted[index], judging[index])
        return found.among(len(rows), index)

    def departures(self, rows: Observations, mask: Mask) -> Departures:
        """Return the departures of some of the rows."""
        held = np.flatnonzero(mask)
        operator, departure = self.first.increments.take(held), (rows.value - self.equivalent)[held]
        of_members = None if self.equivalents is None else self.equivalents[:, held]
        return Departures(operator, departure, rows.error[held], of_members)


def _guess(
    case: _Case, observations: Observations, method: Method, table: ErrorTable, options: AssimilationOptions
) -> Guess:
    operator = case.first.increments
    sigma = method.background_error_at(operator, case.background)
    return Guess(
        channels=case.background.channels,
        time=case.background.time,
        window=options.window,
        equivalent=case.equivalent,
        defined=case.first.operator.defined,
        beyond=operator.beyond(case.background.grid),
        margin=options.margin,
        surface_pressure=operator.surface_pressure,
        difference=operator.difference,
        sigma=sigma,
        scaled_sigma=sigma,
        method=method.name,
        table=table,
        quality=options.quality,
    )


def _scale(rows: Observations, options: AssimilationOptions, case: _Case, method: Method) -> ErrorScale:
    """How large the background's errors are, as told or as the departures of what may be assimilated say."""
    if options.background_error_scale is not None:
        return ErrorScale.uniform(options.background_error_scale)
    scaling = method.scaling
    if scaling is None:
        return ErrorScale.uniform(1.0)
    reached = scaling.background_error_at(case.first.increments, case.background) > 0
    usable = np.flatnonzero(rows.used & is_active(rows) & reached)
    operator = case.first.increments.take(usable)

    def sigma_of(scale: float) -> NDArray[np.float64]:
        return scaling.scaled(ErrorScale.uniform(scale)).background_error_at(operator, case.background)

    departure = (rows.value - case.equivalent)[usable]
    return estimated_scale(
        Innovations(rows.variable[usable], departure, rows.error[usable], sigma_of),
        otherwise=options.usual_scale,
        uniform=case.ensemble is not None,
        largest=method.largest_scale,
    )


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
    method: Method, case: _Case, candidates: Observations, guess: Guess
) -> tuple[Observations, int, bool]:
    """The candidates, judged by trial analyses until nothing changes; how many these were, whether all converged."""
    method, judged, trials, settled = (method.scaling or method).trial(), candidates, 0, True
    active = is_active(candidates)
    reached = method.background_error_at(case.first.increments, case.background) > 0
    if guess.predicted is not None:
        reached &= ~guess.predicted
    sigma = np.where(reached, guess.sigma, _UNJUDGED)
    while trials < ROUNDS and bool((candidates.used & active).any()):
        trial = case.analysed(method, set_aside(judged))
        settled &= bool(trial.log.get("converged", True))
        moved = case.equivalent + trial.at(case.first.increments)
        before = judged.used
        judged = apart(check_neighbours(candidates, moved, sigma, guess.table), lambda own, _: check_reports(own))
        trials += 1
        if np.array_equal(judged.used[active], before[active]):
            break
    return judged, trials, settled


def _ending(case: _Case, rows: Observations, result: Increment, log: Log) -> Analysis:
    """The analysis: of an ensemble the mean and spread of its members, each from its own background; H of all of it."""
    background, several = case.background, case.ensemble is not None
    if several and result.members is None:
        raise ValueError("a method for ensembles returns members")
    members = case.ensemble
    starts = [background] if members is None else [_one_of(members, n) for n in range(len(members.values))]
    increments, states, places = Moments(), Moments(), Moments()
    clipped = capped = 0
    for number, start in enumerate(starts):
        onto = partial(result.member_onto, number) if several else result.onto
        analysed, limited = _moved(start, onto, case.fade)
        clipped, capped = clipped + limited.negative, capped + limited.supersaturated
        if several:
            states.add(analysed.values)
            increments.add(analysed.values - start.values)  # their mean is zero where nothing moves
        places.add(torch.from_numpy(case.first(analysed.values)))
    if several:
        analysed = replace(background, values=background.values + increments.mean)
        spreads: State | PlanesOnDemand | None = replace(background, values=states.spread())
        at_places = places.spread().numpy()
    else:
        spreads = _spreads(background, result)
        at_places = np.full(len(rows), np.nan)
        if spreads is not None:
            wanted = spreads
            at_places = case.first.operator.of_spread(lambda number: wanted.plane(wanted.channels[number]))
    known = np.where(case.first.operator.defined, 0.0, np.nan)
    return Analysis(
        state=analysed,
        background=background,
        spreads=spreads,
        feedback=Feedback(rows, known + case.equivalent, known + places.mean.numpy(), known + at_places),
        log=log | {"humidity_clipped": clipped, "humidity_capped": capped},
        result=result,
        ensemble=case.ensemble,
        fade=case.fade,
    )


def _moved(start: State, onto: Callable[..., State], fade: torch.Tensor | None) -> tuple[State, Limited]:
    """Return x + w δ with humidity within its limits, made one level at a time, in the precision of x.

    onto: δ on a grid, of channels and for a surface pressure.
    """
    values, pressure = torch.empty_like(start.values), _surface_pressure(start)
    single = tuple(channel for channel in start.channels if channel.level is None)
    for channels in [single] * bool(single) + [(c,) for c in start.channels if c.level is not None]:
        for channel, change in zip(channels, onto(start.grid, channels, pressure).values, strict=True):
            number = start.index(channel)
            values[number] = start.values[number] + (change if fade is None else change * fade.to(change))
    limited = limit_humidity(start, values)
    return replace(start, values=values), limited


def _spreads(background: State, result: Increment) -> PlanesOnDemand | None:
    """Return the spread on the background's grid and channels; None where the method has none."""
    if not result.has_spread:
        return None

    pressure = _surface_pressure(background)

    def made(channel: Channel) -> torch.Tensor:
        found = result.spread_onto(background.grid, (channel,), pressure)
        assert found is not None
        return found.values[0]

    return PlanesOnDemand(made, background.channels, background.grid)


def fading(grid: Grid, width: float) -> torch.Tensor | None:
    """Return w (lat, lon) of a strip of `width` [m] along a grid's rim; None without one."""
    rim = grid.rim if width > 0 else None
    if rim is None:
        return None
    return torch.from_numpy(0.5 * (1.0 - np.cos(np.pi * np.clip(rim / width, 0.0, 1.0))))


def _weighed(rows: Observations, result: Increment) -> Observations:
    """The rows, those in use with the weight that the method's cost left them, where that is less than 1."""
    if result.weights is None:
        return rows
    reasons = rows.reason.copy()
    for row, weight in zip(np.flatnonzero(rows.used), result.weights, strict=True):
        if weight < 1.0:
            reasons[row] = "; ".join(filter(None, [reasons[row], f"{weight:.2g} of its weight, far from the analysis"]))
    return replace(rows, reason=reasons)


def _without_analysis(feedback: Feedback) -> Feedback:
    nothing = np.full(len(feedback.observations), np.nan)
    return replace(feedback, analysis_equivalent=nothing, spread=nothing)


def _one_of(members: State, number: int) -> State:
    return replace(members, values=members.values[number])


def _surface_pressure(state: State) -> torch.Tensor | None:
    """Return p_s (lat, lon) [Pa] of a state that has it, for columns."""
    surface = Channel("sp")
    return state.plane(surface).double() if surface in state.channels else None
