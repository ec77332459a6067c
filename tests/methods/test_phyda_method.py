"""The learned analysis as a method: an untrained model is 3D-Var; scale, channels, seeds, members."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.assimilation import Analysis, AssimilationOptions, assimilate
from phyda_cli.errors import BadDataError, ConfigError
from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.errors_b.resolution import on_grid
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.harmonics import SphericalHarmonics
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.methods.base import Case, Departures
from phyda_cli.methods.phyda import LearnedAnalysis
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.methods.trust import BANDS, FORGETTING
from phyda_cli.networks.band_limit import BandLimit
from phyda_cli.networks.calibration import EDGES, Calibration
from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.table import Flag, Observations
from tests.support.background_error import CHANNELS, GRID, random_errors, small_statistics, zero_time
from tests.support.learned import MEAN, checkpoint, scrambled, statistics, untrained
from tests.support.observations import make_departures, make_observations

UNIT = {"u": 2.0, "v": 2.0, "t": 1.0, "q": 3e-4, "z": 100.0, "msl": 100.0}
TURNED = tuple(reversed(CHANNELS))
FINE = LatLonGrid.equiangular(32, 64)


def network(count: int, *, seed: int) -> list[tuple[str, float, float, float, float, float]]:
    """Rows of departures about as large as their errors."""
    generator = np.random.default_rng(seed)
    rows = []
    for name in generator.choice(list(UNIT), count).tolist():
        pressure = float("nan") if name == "msl" else float(generator.choice([25_000.0, 50_000.0, 85_000.0]))
        lat, lon = np.degrees(np.arcsin(generator.uniform(-1, 1))), generator.uniform(0, 360)
        rows.append((name, pressure, lat, lon, UNIT[name] * generator.standard_normal(), 0.7 * UNIT[name]))
    return rows


def climate() -> State:
    """The mean of the climatology as a state."""
    values = torch.tensor(MEAN, dtype=torch.float64)[:, None, None].expand(-1, *GRID.shape).clone()
    return State(values, CHANNELS, GRID, zero_time())


def observe(background: State, rows: list) -> Observations:
    """Observations with the departures of the rows from a background that is the same everywhere."""
    shifted = []
    for name, pressure, lat, lon, departure, error in rows:
        channel = Channel(name, None if name == "msl" else pressure)
        shifted.append(
            (name, pressure, lat, lon, float(background.values[CHANNELS.index(channel), 0, 0]) + departure, error)
        )
    return make_observations(shifted, time=zero_time())


def threedvar() -> ThreeDVar:
    return ThreeDVar(small_statistics(), tolerance=1e-6)


def learned(model=None, channels=CHANNELS, **changes) -> LearnedAnalysis:
    model = model or scrambled()
    settings = {"members": 4, "evaluations": 4, **changes}
    calibration = settings.pop("calibration", None)
    return LearnedAnalysis(checkpoint(model, channels, calibration=calibration), threedvar(), **settings)


def run(method, background: State, observations: Observations, scale: float = 1.0) -> Analysis:
    options = AssimilationOptions(window=np.timedelta64(3, "h"), background_error_scale=scale)
    return assimilate(background, observations, method=method, table=default_error_table(), options=options)


def relative(first: torch.Tensor, second: torch.Tensor) -> float:
    """The largest difference of two increments in units of σ_b."""
    return float(((first - second) / small_statistics().sigma[:, :, None]).abs().max())


@pytest.mark.parametrize("members", [0, 4])
@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_before_training_the_analysis_is_3dvar_with_the_scaled_background_error(members, scale):
    departures = make_departures(network(80, seed=1))
    found = learned(untrained(), members=members).scaled(ErrorScale.uniform(scale)).increment(climate(), departures)
    expected = threedvar().scaled(ErrorScale.uniform(scale)).increment(climate(), departures)
    assert relative(expected.mean.values, torch.zeros(1)) > 1.0
    assert relative(found.mean.values, expected.mean.values) < 1e-3
    assert (found.spread is None) == (members == 0)


def test_what_is_remembered_decides_how_far_the_correction_is_trusted():
    """A memory of harm in the north and of good elsewhere: there the analysis is 3D-Var's; the sums go on."""
    method, departures = learned(members=0), make_departures(network(80, seed=1))
    one = method.increment(climate(), departures)
    harm = {f"{band} {channel}": [-1e6 if band == "north" else 1e6, 1e6] for band in BANDS for channel in CHANNELS}
    wary = method.remembering(harm).increment(climate(), departures)
    case, guess = Case(climate(), departures.canonical()), torch.zeros(1, len(CHANNELS), *GRID.shape)
    trust = method.remembering(harm).correct([case], guess).trust[0]
    latitudes = torch.tensor(GRID.latitudes)
    assert trust[:, latitudes > 25].max() == 0.0
    assert trust[:, latitudes < 15].min() > 0.999
    assert float(wary.log["trust"]) == pytest.approx(
        float((trust * torch.as_tensor(GRID.area_weights)).sum(1).mean()), abs=1e-3
    )
    for name, (agreement, weight) in wary.memory.items():
        before = harm.get(name, [0.0, 0.0])
        found = [agreement - FORGETTING * before[0], weight - FORGETTING * before[1]]
        assert found == pytest.approx(one.memory[name], abs=1e-8)
    assert max(weight for _, weight in one.memory.values()) > 0.1


def test_errors_larger_than_any_of_the_training_leave_little_of_the_correction():
    """At a scale of 5 a quarter of the trust is left, at 2 all of it."""
    case, guess = (
        Case(climate(), make_departures(network(80, seed=1)).canonical()),
        torch.zeros(1, len(CHANNELS), *GRID.shape),
    )
    method = learned(members=0, judged=False)
    for scale, left in ((2.0, 1.0), (5.0, 0.25)):
        larger = ErrorScale.uniform(scale)
        for found in (
            method.correct([replace(case, scale=larger)], guess),
            method.scaled(larger).correct([case], guess),
        ):
            assert found.trust.unique().tolist() == pytest.approx([left])


def finer() -> ThreeDVar:
    """3D-Var on twice as many rows, with wavenumbers up to 20, which the model's grid does not carry, and a channel
    that the model has not.
    """
    own = on_grid(small_statistics(), FINE)
    longer = {
        name: torch.cat([getattr(own, name), getattr(own, name)[-1:].expand(8, -1, -1)])
        for name in ("covariance_psi", "covariance_unbalanced")
    }
    return ThreeDVar(replace(own, **longer), tolerance=1e-6)


def bands(fields: torch.Tensor) -> tuple[float, float]:
    """The mean square of the temperature (…, lat, lon) at the highest level in n ≤ 15 and beyond."""
    transform = SphericalHarmonics(FINE, 31)
    power = transform.power(transform.analysis(fields[..., CHANNELS.index(Channel("t", 25_000.0)), :, :].double()))
    power = power.reshape(-1, power.shape[-1]).mean(0)
    return float(power[:16].sum()), float(power[16:].sum())


def test_a_first_guess_of_another_grid_is_corrected_in_what_the_model_s_carries():
    departures = make_departures(network(80, seed=1))
    plain = finer().increment(climate(), departures)
    kept = LearnedAnalysis(checkpoint(untrained()), finer(), members=0).increment(climate(), departures)
    assert kept.mean.grid == FINE
    assert bands(plain.mean.values)[1] > 1e-4
    assert torch.allclose(kept.mean.values.float(), plain.mean.values.float(), rtol=1e-4, atol=1e-5)
    moved = LearnedAnalysis(checkpoint(scrambled()), finer(), members=0, judged=False)
    inside, beyond = bands(moved.increment(climate(), departures).mean.values - plain.mean.values)
    assert inside > 1e-3
    assert beyond < 1e-6 * inside


def test_a_correction_is_the_same_on_every_grid_of_the_first_guess():
    """With what the coarse grid's own minimisation gives, handed over on both grids."""
    departures = make_departures(network(80, seed=1))
    case = Case(climate(), departures.canonical())
    coarse = LearnedAnalysis(checkpoint(scrambled()), threedvar(), members=2)
    fine = LearnedAnalysis(
        checkpoint(scrambled()), replace(finer(), statistics=on_grid(small_statistics(), FINE)), members=2
    )
    guess = BandLimit(CHANNELS, GRID)(threedvar().increment(climate(), departures).mean.values[None].float())
    there = BandLimit(CHANNELS, GRID, FINE)(guess)
    first, second = coarse.correct([case], guess), fine.correct([case], there)
    for one, other in zip(first[:2], second[:2], strict=True):
        assert float(one.norm()) > 0
        assert float((one - other).norm()) < 0.02 * float(one.norm())


def test_beyond_the_model_s_grid_members_have_the_background_error():
    departures = make_departures(network(40, seed=3))
    method = LearnedAnalysis(checkpoint(untrained()), finer(), members=48, evaluations=2)
    made = method.increment(climate(), departures)
    rounding = 1e-5 * method.background_error().values
    assert ((made.mean.values - made.members.mean(0)).abs() < rounding).all()
    draws = replace(finer(), members=200, seed=9).prior_members()
    _, expected = bands(draws)
    _, beyond = bands(made.members - made.mean.values)
    assert expected > 1e-3
    assert beyond == pytest.approx(expected * 47 / 48, rel=0.15)


def test_scales_compose():
    departures = make_departures(network(40, seed=2))
    twice, once = (
        learned().scaled(ErrorScale.uniform(2.0)).scaled(ErrorScale.uniform(3.0)),
        learned().scaled(ErrorScale.uniform(6.0)),
    )
    assert torch.equal(
        twice.increment(climate(), departures).mean.values, once.increment(climate(), departures).mean.values
    )
    assert torch.allclose(once.background_error().values, 6.0 * learned().background_error().values)
    assert torch.allclose(learned().background_error().values[:, :, 0], small_statistics().sigma, rtol=1e-6)


def test_a_trial_is_the_first_guess_s_with_the_same_scale():
    method = learned().scaled(ErrorScale.uniform(2.0)).trial()
    assert (method.name, method.members) == ("3dvar", 0)
    assert torch.allclose(method.background_error().values, 2.0 * threedvar().background_error().values)


def test_the_order_of_the_channels_is_the_model_s_and_the_result_the_same():
    """Model and statistics turned around; through the neighbours' check, which asks 3D-Var with its own order."""
    background, rows = climate(), network(60, seed=3)
    around = [(lat, lon) for lat in (47.0, 50.0, 53.0) for lon in (95.0, 98.0, 102.0, 105.0)]
    rows += [("t", 50_000.0, 50.0, 100.0, 15.0, 0.5), *(("t", 50_000.0, lat, lon, 0.1, 0.5) for lat, lon in around)]
    observations = observe(background, rows)
    straight = run(learned(untrained(), members=0), background, observations, scale=8.0)
    turned = run(learned(untrained(), TURNED, members=0), background, observations, scale=8.0)
    plain = run(threedvar(), background, observations, scale=8.0)
    assert Flag.BUDDY in plain.feedback.observations.flag
    for other in (straight, turned):
        assert np.array_equal(other.feedback.observations.flag, plain.feedback.observations.flag)
        assert relative(other.increment.values, plain.increment.values) < 0.02
    assert straight.log["method"] == "phyda"


def test_rows_may_come_in_any_order_and_the_seed_decides_the_rest():
    rows = network(50, seed=4)
    rows += [("t", 50_000.0, 51.0 + 0.3 * i, 101.0, 0.1 * 3.0**-i, 0.7 + 0.1 * i) for i in range(12)]  # in one cell
    first = learned().increment(climate(), make_departures(rows))
    again = learned().increment(climate(), make_departures(rows[::-1]))
    other = learned(seed=1).increment(climate(), make_departures(rows))
    stirred = learned(churn=0.3).increment(climate(), make_departures(rows))
    assert torch.equal(first.members, again.members)
    assert torch.equal(first.mean.values, again.mean.values)
    assert relative(first.members, other.members) > 1e-3
    assert relative(first.members, stirred.members) > 1e-3
    assert torch.equal(first.mean.values, other.mean.values)  # the members are centred on the reconstruction
    fresh = learned(churn=0.3).increment(climate(), make_departures(rows))
    assert torch.equal(stirred.members, fresh.members)


def test_mean_and_spread_are_those_of_the_members_and_the_calibration_widens_them():
    departures = make_departures(network(50, seed=5))
    plain = learned().increment(climate(), departures)
    rounding = 1e-5 * learned().background_error().values  # single precision
    assert ((plain.mean.values - plain.members.mean(0)).abs() < rounding).all()
    by_hand = ((plain.members - plain.members.mean(0)).square().sum(0) / 3).sqrt()
    assert torch.allclose(plain.spread.values, by_hand)
    wide = Calibration(torch.full((len(EDGES) + 1, len(CHANNELS)), 1.7))
    widened = learned(calibration=wide).increment(climate(), departures)
    assert relative(widened.mean.values, plain.mean.values) < 1e-4
    assert torch.allclose(widened.spread.values, 1.7 * plain.spread.values, rtol=1e-3)


def test_the_background_s_anomaly_by_hand_and_climatology_for_what_it_lacks():
    """Two standard deviations above the mean everywhere, on a finer grid, without humidity and in another order."""
    own, fine = statistics(), LatLonGrid.equiangular(32, 64)
    held = tuple(channel for channel in TURNED if channel.variable != "q")
    index = [CHANNELS.index(channel) for channel in held]
    rows = (own.mean + 2.0 * own.std)[index].double().repeat_interleave(2, dim=1)
    background = State(rows[:, :, None].expand(-1, -1, 64).clone(), held, fine, zero_time())
    anomaly = learned().space.anomaly(background)
    for place, channel in enumerate(CHANNELS):
        if channel.variable == "q":
            assert not anomaly[place].any(), channel
        elif channel.variable not in ("u", "v"):  # what a wind is at the pole is another matter
            assert torch.allclose(anomaly[place], torch.tensor(2.0), atol=1e-3), channel


def test_an_unknown_background_is_told_apart_and_its_observations_are_not_used():
    rows = network(60, seed=6)
    background = replace(climate(), values=climate().values + random_errors(1, seed=9)[0])
    held = tuple(channel for channel in CHANNELS if channel.variable != "q")
    lacking = run(learned(), background.select(held), observe(climate(), rows))
    whole = run(learned(), background, observe(climate(), rows))
    humid = lacking.feedback.observations.variable == "q"
    assert humid.any()
    assert not lacking.feedback.observations.used[humid].any()
    assert lacking.state.channels == held
    assert torch.isfinite(lacking.state.values).all()
    assert not torch.allclose(lacking.increment.values, whole.increment.select(held).values)


def test_no_observation_no_increment_but_members_of_the_background_error():
    method = learned(members=64)
    departures = make_departures([])
    result = method.increment(climate(), departures)
    assert isinstance(departures, Departures)
    assert not result.mean.values.any()
    ratio = result.members.square().mean((0, 2, 3)).sqrt() / result.spread.values.square().mean((1, 2)).sqrt()
    assert torch.allclose(ratio, torch.ones(1).double(), atol=0.15)
    assert learned(members=0).increment(climate(), departures).members is None
    nothing = run(learned(members=2), climate(), make_observations([], time=zero_time()))
    assert torch.equal(nothing.state.values, climate().values)
    assert nothing.result.members.shape == (2, len(CHANNELS), *GRID.shape)


def test_members_on_the_background_s_grid_have_their_mean_and_no_negative_humidity():
    fine = LatLonGrid.equiangular(32, 64)
    values = torch.tensor(MEAN, dtype=torch.float64)[:, None, None].expand(-1, *fine.shape).clone()
    q = [i for i, channel in enumerate(CHANNELS) if channel.variable == "q"]
    values[q] = 1e-5
    dry = State(values, CHANNELS, fine, zero_time())
    rows = [row for row in network(60, seed=7) if row[0] != "q"]
    result = run(learned(scrambled()), dry, observe(climate(), rows))
    members = torch.stack([result.member(number).values for number in range(4)])
    assert 0.0 < float(members[:, q].min()) < 5e-6
    rest = [i for i in range(len(CHANNELS)) if i not in q]
    assert torch.allclose(members.mean(0)[rest], result.state.values[rest], rtol=1e-5, atol=1e-6)
    assert int(result.log["humidity_clipped"]) > 0


def test_one_member_and_statistics_of_another_kind_are_refused():
    with pytest.raises(ConfigError, match="at least 2"):
        learned(members=1)
    made = checkpoint(untrained())
    wider = replace(made, statistics=replace(made.statistics, channels=(*CHANNELS[:-1], Channel("t2m"))))
    with pytest.raises(BadDataError, match="lack t2m"):
        LearnedAnalysis(wider, threedvar())


@pytest.mark.parametrize("columns", [False, True])
def test_the_encoder_sees_columns_where_its_model_was_trained_with_them(columns):
    """A column of water over one place: its departure at all levels of q there, or nothing."""
    model = scrambled()
    model.config = model.config.model_copy(update={"columns": columns})
    method = learned(model, members=0)
    case = Case(climate(), make_departures([("tcwv", np.nan, 20.0, 40.0, 3.0, 1.0)]))
    seen = method._gridded([case], method._sigma(case)[None])
    water = torch.tensor([channel.variable == "q" for channel in CHANNELS])
    assert not seen.density[0, ~water].any()
    assert bool(seen.density[0, water].any()) == columns
    assert float(seen.count().sum()) == pytest.approx(float(columns), abs=1e-4)
