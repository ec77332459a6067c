"""The equations of `full` and `proxy` against flows whose rates of change are known in closed form."""

from __future__ import annotations

import math

import pytest
import torch

from phyda_cli.constants import CP_DRY, EARTH_RADIUS, EPSILON, LATENT_HEAT, OMEGA, R_DRY
from phyda_cli.fields.thermodynamics import saturation_specific_humidity
from phyda_cli.grids.harmonics import SphericalHarmonics, largest_truncation
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.physics.horizontal_proxy import HorizontalProxy
from phyda_cli.physics.level_fields import LevelFields
from phyda_cli.physics.pressure_column import PressureColumn
from phyda_cli.physics.primitive_equations import PrimitiveEquations, condensation_rate
from phyda_cli.physics.residuals import geostrophic_residual, hydrostatic_residual
from phyda_cli.physics.spectral_filter import SpectralFilter
from tests.support.harmonics import laplacian

A = EARTH_RADIUS
LEVELS = (10_000.0, 20_000.0, 25_000.0, 30_000.0, 50_000.0, 70_000.0, 85_000.0, 92_500.0)
MIDDLE = LEVELS.index(50_000.0)
GRID = LatLonGrid.equiangular(32, 64)
HERE = {"dtype": torch.float64, "device": "cpu"}
SPECTRAL = SpectralFilter(GRID, 2 * largest_truncation(GRID) // 3, **HERE)
COLUMN = PressureColumn(LEVELS, **HERE)
FULL = PrimitiveEquations(SPECTRAL, COLUMN, condensation=False)
PROXY = HorizontalProxy(GRID, **HERE)
P = torch.tensor(LEVELS, dtype=torch.float64)[:, None, None]
PHI = torch.tensor(GRID.latitudes, dtype=torch.float64).deg2rad()[:, None]
LON = torch.tensor(GRID.longitudes, dtype=torch.float64).deg2rad()[None, :]
S, C = PHI.sin() + 0 * LON, PHI.cos() + 0 * LON
ZERO = torch.zeros(len(LEVELS), *GRID.shape, dtype=torch.float64)
AWAY = PHI.flatten().rad2deg().abs() < 80


def atmosphere(**fields: torch.Tensor | float) -> LevelFields:
    """At rest, 250 K, dry, hydrostatic, but for the fields given."""
    rest = {"u": 0.0, "v": 0.0, "t": 250.0, "q": 0.0, "z": R_DRY * 250.0 * (100_000.0 / P).log()}
    return LevelFields(**{name: ZERO + value for name, value in (rest | fields).items()})


SHARE = P / 100_000.0
PROFILE = SHARE - 0.4971875 / 0.95
"""g(s), s = p/1000 hPa, whose ∫ from the top to s = 1 is 0: ½ 0.1 g(0.1) + ∫_0.1^0.925 g ds + 0.075 g(0.925) = 0."""
DEPTH = 0.05 * PROFILE[0] - 0.4971875 / 0.95 * (SHARE - 0.1) + 0.5 * (SHARE**2 - 0.01)
"""∫ g ds from the top to s."""


def divergent(amplitude: float = 1.0) -> tuple[LevelFields, torch.Tensor]:
    """v = −d a cos φ g on a resting atmosphere; its D = 2 d g sin φ, and so ω = −2 d sin φ ∫ g dp [Pa s-1]."""
    d = 1e-6 * amplitude
    return atmosphere(v=-d * A * C * PROFILE), -2e5 * d * DEPTH * S


def test_an_atmosphere_at_rest_stays_at_rest() -> None:
    for tendency in FULL(atmosphere(q=0.003)):
        assert tendency.abs().max() < 1e-12
    for tendency in PROXY(atmosphere(q=0.003)):
        assert tendency.abs().max() < 1e-12


def test_solid_body_rotation_in_balance_is_steady() -> None:
    """u = U cos φ, Φ = −(aΩU + U²/2) sin² φ; Coriolis alone accelerates by up to 4e-3 m s-2."""
    speed = 40.0
    x = atmosphere(u=speed * C, z=-(A * OMEGA * speed + speed**2 / 2) * S**2 + 1e5)
    for tendency in FULL(x):
        assert tendency.abs().max() < 1e-12


def test_the_proxy_lacks_just_the_metric_term_of_solid_body_rotation() -> None:
    """v_t = u² tan φ/a = U² sin φ cos φ/a is what the balance of the sphere leaves over."""
    speed = 40.0
    tendency = PROXY(atmosphere(u=speed * C, z=-(A * OMEGA * speed + speed**2 / 2) * S**2))
    expected = speed**2 * S * C / A
    assert tendency.u.abs().max() < 1e-12
    inner = slice(3, -3)
    error = (tendency.v[0] - expected)[inner].abs().max()
    assert error < 0.01 * expected.abs().max()


def test_a_uniform_rotation_about_any_axis_carries_a_tracer_around() -> None:
    """u = U cos φ carries q = cos³ φ cos 3λ at the angular velocity U/a: q_t = 3 U/a cos³ φ sin 3λ."""
    speed, q = 30.0, C**3 * (3 * LON).cos()
    expected = ZERO + 3 * speed / A * C**3 * (3 * LON).sin()
    torch.testing.assert_close(FULL(atmosphere(u=speed * C, q=q)).q, expected, rtol=1e-10, atol=1e-17)
    # the centred difference of fourth order sees wavenumber 3 as (8 sin 3h − sin 6h)/6h
    h = 2 * math.pi / 64
    seen = (8 * math.sin(3 * h) - math.sin(6 * h)) / (6 * h)
    torch.testing.assert_close(PROXY(atmosphere(u=speed * C, q=q)).q, expected * seen / 3, rtol=1e-10, atol=1e-17)


def test_a_rossby_haurwitz_wave_turns_at_its_speed() -> None:
    """ψ = −a² ω sin φ + a² k cos⁴φ sin φ cos 4λ turns with ν = (R(3+R) ω − 2Ω)/((1+R)(2+R)), R = 4, so that
    ζ_t = −ν ∂ζ/∂λ; and Φ_t = −ν ∂Φ_b/∂λ in linear balance, Φ_b = (2Ω a² k/30) cos⁴φ (26 − 25 cos² φ) cos 4λ.
    """
    omega, k, turns = 7.848e-6, 7.848e-6, 4
    u = A * omega * C + A * k * C**3 * (4 * S**2 - C**2) * (4 * LON).cos()
    v = -4 * A * k * C**3 * S * (4 * LON).sin()
    tendency = FULL(atmosphere(u=u, v=v))
    speed = (turns * (3 + turns) * omega - 2 * OMEGA) / ((1 + turns) * (2 + turns))
    wide = SphericalHarmonics(GRID, 31)
    psi = wide.streamfunction_potential(tendency.u, tendency.v)[0]
    expected = ZERO - 120 * speed * k * C**4 * S * (4 * LON).sin()
    torch.testing.assert_close(wide.synthesis(laplacian(psi)), expected, rtol=1e-9, atol=1e-21)
    rising = 4 * speed * 2 * OMEGA * A**2 * k / 30 * C**4 * (26 - 25 * C**2) * (4 * LON).sin()
    torch.testing.assert_close(tendency.z[MIDDLE], rising, rtol=1e-9, atol=1e-10)


def test_full_and_proxy_differ_by_the_metric_terms_in_flow_without_divergence() -> None:
    """u_t differs by u v tan φ/a and v_t by −u² tan φ/a: the vector-invariant form holds them."""
    u = 20 * C + 9 * (2 * C * S**2 - C**3) * (2 * LON).cos()
    v = -18 * C * S * (2 * LON).sin()
    x = atmosphere(u=u, v=v)
    full, proxy = FULL(x), PROXY(x)
    inner = slice(4, -4)
    east, north = u * v * PHI.tan() / A, -(u**2) * PHI.tan() / A
    assert ((full.u - proxy.u)[0] - east)[inner].abs().max() < 0.01 * east.abs().max()
    assert ((full.v - proxy.v)[0] - north)[inner].abs().max() < 0.01 * north[inner].abs().max()


def geostrophic(amplitude: float) -> LevelFields:
    """Φ = A sin²φ cos³φ cos 3λ and the wind (−∂_yΦ, ∂_xΦ)/f, smooth at the equator too."""
    scale = amplitude / (2 * OMEGA * A)
    return atmosphere(
        u=-scale * (2 * C**4 - 3 * S**2 * C**2) * (3 * LON).cos(),
        v=-scale * 3 * S * C**2 * (3 * LON).sin(),
        z=amplitude * S**2 * C**3 * (3 * LON).cos(),
    )


def test_geostrophic_wind_feels_no_linear_acceleration() -> None:
    x = geostrophic(1000.0)
    coriolis = (2 * OMEGA * S * x.v).abs().max()
    assert coriolis > 1e-4
    assert geostrophic_residual(x, SPECTRAL).abs().max() < 1e-11 * coriolis
    # what is left is V·∇V: a thousandth of the amplitude accelerates a millionth as much
    strong, weak = FULL(x), FULL(geostrophic(1.0))
    momentum = strong.u.abs().max()
    assert 1e-6 < momentum < coriolis
    # D is not zero, but ω does nothing to a wind without shear
    torch.testing.assert_close(weak.u * 1e6, strong.u, rtol=1e-6, atol=1e-6 * float(momentum))
    torch.testing.assert_close(weak.v * 1e6, strong.v, rtol=1e-6, atol=1e-6 * float(momentum))


def test_without_the_wind_the_residual_is_the_pressure_gradient() -> None:
    """Φ = 1000 sin φ: ∂_yΦ = 1000 cos φ/a."""
    residual = geostrophic_residual(atmosphere(z=1000 * S), SPECTRAL)
    torch.testing.assert_close(residual[1], ZERO + 1000 * C / A, rtol=1e-10, atol=1e-18)
    assert residual[0].abs().max() < 1e-15


def test_omega_of_a_divergence_linear_in_pressure() -> None:
    x, omega = divergent()
    assert PROFILE.flatten()[0] == pytest.approx(-0.42335526)
    assert DEPTH.flatten()[-1] + 0.075 * PROFILE.flatten()[-1] == pytest.approx(0.0, abs=1e-12)
    assert omega.abs().max() > 0.02
    torch.testing.assert_close(FULL.omega(x), omega, rtol=1e-10, atol=1e-12)


def test_subsidence_warms_an_isothermal_column_and_thickens_it() -> None:
    """T_t = ω R_d T/(c_p p), and Φ_t differs between two levels by R_d ∫ T_t d ln p, trapezoids."""
    x, omega = divergent()
    tendency = FULL(x)
    expected = omega * R_DRY * 250.0 / (CP_DRY * P)
    torch.testing.assert_close(tendency.t, expected, rtol=1e-9, atol=1e-12)
    layer = 0.5 * R_DRY * math.log(5 / 3) * (expected[MIDDLE] + expected[MIDDLE - 1])
    assert layer.abs().max() > 1e-3
    torch.testing.assert_close(tendency.z[MIDDLE - 1] - tendency.z[MIDDLE], layer, rtol=1e-9, atol=1e-9)


def test_moist_air_expands_by_its_virtual_temperature() -> None:
    x, omega = divergent()
    tendency = FULL(x._replace(q=ZERO + 0.01)).t
    expected = omega * R_DRY * 250.0 * (1 + (1 / EPSILON - 1) * 0.01) / (CP_DRY * P)
    torch.testing.assert_close(tendency, expected, rtol=1e-9, atol=1e-12)


def test_vertical_advection_of_humidity_linear_in_log_pressure() -> None:
    """q = α ln p + β: q_t = −ω α/p."""
    x, omega = divergent()
    tendency = FULL(x._replace(q=ZERO + 0.002 * P.log())).q
    torch.testing.assert_close(tendency, -0.002 * omega / P, rtol=1e-9, atol=1e-16)


def test_vertical_advection_of_momentum() -> None:
    """u = U cos φ (1 + ln(p/p_0)/2) in the flow v of `divergent`: −v ∂u/∂y + f v + u v tan φ/a − ω U cos φ/(2p)."""
    x, omega = divergent()
    strength = 20.0 * (1 + 0.5 * SHARE.log())
    tendency = FULL(x._replace(u=strength * C + ZERO)).u
    level = x.v * (2 * OMEGA * S + 2 * strength * S / A)  # −v u_φ/a = v U sin φ/a, and so is u v tan φ/a
    torch.testing.assert_close(tendency, level - omega * 10.0 * C / P, rtol=1e-9, atol=1e-12)


def test_a_constant_stays_constant_in_any_flow() -> None:
    generator = torch.Generator().manual_seed(3)
    u, v = torch.randn(2, len(LEVELS), *GRID.shape, generator=generator, dtype=torch.float64) * 20
    assert FULL(atmosphere(u=u, v=v, q=0.004)).q.abs().max() < 1e-15
    assert PROXY(atmosphere(u=u, v=v, q=0.004)).q.abs().max() < 1e-15


def test_a_hydrostatic_isothermal_atmosphere_has_no_residual() -> None:
    assert hydrostatic_residual(atmosphere(), COLUMN).abs().max() < 1e-9


def test_a_stratified_hydrostatic_atmosphere_stays_at_rest() -> None:
    """T = T_0 + β s with s = ln(p/p_0): Φ = −R_d (T_0 s + β s²/2), for which trapezoids in ln p are exact."""
    s = (P / 100_000.0).log()
    x = atmosphere(t=288.0 + 25.0 * s, z=-R_DRY * (288.0 * s + 12.5 * s**2))
    assert hydrostatic_residual(x, COLUMN).abs().max() < 1e-9
    assert geostrophic_residual(x, SPECTRAL).abs().max() < 1e-12
    for tendency in (*FULL(x), *PROXY(x)):
        assert tendency.abs().max() < 1e-12


def test_warmer_air_without_more_height_is_a_residual() -> None:
    """8 K more at 500 hPa: the two layers beside it lack ½ R_d 8 K Δln p of thickness."""
    x = atmosphere()
    t = x.t.clone()
    t[MIDDLE] += 8.0
    residual = hydrostatic_residual(x._replace(t=t), COLUMN)[:, 5, 7]
    expected = [0.0] * (len(LEVELS) - 1)
    expected[MIDDLE - 1] = -4 * R_DRY * math.log(5 / 3)
    expected[MIDDLE] = -4 * R_DRY * math.log(7 / 5)
    torch.testing.assert_close(residual, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-9)


def test_saturated_ascent_follows_the_moist_adiabat() -> None:
    """The loss of vapour is what q_s loses along c_p dT = R_d T d ln p − L dq; the e_s formula's own L varies."""
    temperature, pressure = torch.tensor(285.0, dtype=torch.float64), torch.tensor(85_000.0, dtype=torch.float64)
    saturation = saturation_specific_humidity(temperature, pressure)
    rate = condensation_rate(temperature, saturation, torch.tensor(-1.0, dtype=torch.float64), pressure)
    step = 1.0  # second: ω = −1 Pa s-1 over 1 s
    cooled = temperature - R_DRY * temperature / (CP_DRY * pressure) * step + LATENT_HEAT / CP_DRY * rate * step
    lost = saturation - saturation_specific_humidity(cooled, pressure - step)
    assert rate.item() * step == pytest.approx(lost.item(), rel=0.03)


@pytest.mark.parametrize(
    ("humidity", "omega", "share"), [(0.8, -1.0, 0.0), (0.9, -1.0, 0.5), (1.2, -1.0, 1.0), (1.0, 1.0, 0.0)]
)
def test_condensation_needs_ascent_and_humid_air(humidity: float, omega: float, share: float) -> None:
    temperature, pressure = torch.tensor(280.0, dtype=torch.float64), torch.tensor(70_000.0, dtype=torch.float64)
    saturation = saturation_specific_humidity(temperature, pressure)
    full = condensation_rate(temperature, saturation, torch.tensor(-1.0, dtype=torch.float64), pressure)
    rate = condensation_rate(temperature, humidity * saturation, torch.tensor(omega, dtype=torch.float64), pressure)
    assert full > 0
    assert rate.item() == pytest.approx(share * full.item(), rel=1e-9, abs=1e-20)


def test_condensation_turns_vapour_into_heat() -> None:
    x, _ = divergent(5.0)
    x = x._replace(t=ZERO + 280.0, q=saturation_specific_humidity(ZERO + 280.0, P).clamp_max(0.02))
    dry, moist = FULL(x), PrimitiveEquations(SPECTRAL, COLUMN, condensation=True)(x)
    heating, loss = moist.t - dry.t, dry.q - moist.q
    assert loss.max() > 1e-10
    torch.testing.assert_close(CP_DRY * heating, LATENT_HEAT * loss, rtol=1e-9, atol=1e-9)
    # ω = −2 d sin φ ∫ g dp with ∫ g dp < 0: air rises in the south, and in the north nothing condenses
    assert loss[4, AWAY][-14:].abs().max() < 0.02 * loss[4].max()
