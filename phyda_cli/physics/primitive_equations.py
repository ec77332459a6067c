"""The primitive equations on pressure levels: the `full` operator, spectral in the horizontal.

With f = 2Ω sin φ, Φ the geopotential, T_v the virtual temperature, ζ and D vorticity and divergence of V = (u, v):

    u_t = (f + ζ) v − ∂_x(Φ + E) − ω ∂u/∂p            E = (u² + v²)/2
    v_t = −(f + ζ) u − ∂_y(Φ + E) − ω ∂v/∂p
    ω(p) = −∫₀ᵖ D dp′ + (p/p_0)² ∫₀^{p_0} D dp′
    T_t = −V·∇T + ω (R_d T_v/(c_p p) − ∂T/∂p) [+ L C/c_p]
    q_t = −V·∇q − ω ∂q/∂p [− C]
    Φ_t(p) = Φ_t(p_m) + ∫_p^{p_m} R_d ∂T_v/∂t d ln p′,     ∇²Φ_t(p_m) = ∇·(f ∇ψ_t(p_m)),     ψ_t: streamfunction of V_t

The momentum equations are those with −V·∇u + u v tan φ/a and −V·∇v − u² tan φ/a, rewritten: the metric terms are
inside ζ and E, and nothing has to be divided by cos φ. p_m is the level nearest 550 hPa, about where D vanishes, so
that ψ_t is known best; there Φ_t is in linear balance with it. The text-book closure at the ground, Φ_t = α ω − V·∇Φ,
rests on the divergence of the whole column: on few levels its error is several times the tendency (docs/physics.md).

The second part of ω is O'Brien's (1970) correction: the integral from the top gathers the errors of D, and at p_0 =
1000 hPa ω is to be zero. What a product holds beyond the grid's truncation N folds back into it, so the tendencies keep
n ≤ 2N/3 only (winds as vector harmonics). The state is not cut: without its short waves the products would lose more
below 2N/3 than folds back there, for that takes two factors with n_1 + n_2 > 4N/3 (docs/physics.md).

C is condensation in saturated ascent: the rates at which rising moist air loses vapour and gains heat.

Air that rises and stays saturated follows c_p dT = R_d T d ln p − L dq with q = q_s(T, p), dq_s = q_s (L/(R_v T²) dT −
d ln p), so that along its path

    dq_s/d ln p = q_s (L R_d/(c_p R_v T) − 1) / (1 + L² q_s/(c_p R_v T²)) = F
    C = δ F max(−ω, 0)/p    [kg kg-1 s-1],     q_t: −C,     T_t: +L C/c_p

δ, the share of a grid box that is saturated, grows from 0 at a relative humidity of 80 % to 1 at 100 %: boxes of
hundreds of kilometres rain long before their mean is saturated.
"""

from __future__ import annotations

from typing import Final

import torch

from phyda_cli.constants import CP_DRY, EPSILON, LATENT_HEAT, R_DRY, R_VAPOUR
from phyda_cli.fields.thermodynamics import saturation_specific_humidity
from phyda_cli.physics.level_fields import LevelFields
from phyda_cli.physics.pressure_column import PressureColumn
from phyda_cli.physics.spectral_filter import SpectralFilter

CRITICAL_HUMIDITY: Final = 0.8
"""Relative humidity of a grid box from which part of it is saturated [1]."""

BALANCE_PRESSURE: Final = 5.5e4
"""The level nearest to this pressure [Pa] ties the geopotential's tendency to the wind's."""

_MOIST: Final = 1.0 / EPSILON - 1.0
"""T_v = T (1 + _MOIST q)."""


class PrimitiveEquations:
    """Rates of change of u, v, t, q, z by the equations above, differentiable and batched.

    spectral: the filter of the tendencies. column: the levels. condensation: whether C acts.
    """

    def __init__(self, spectral: SpectralFilter, column: PressureColumn, *, condensation: bool) -> None:
        self._spectral = spectral
        self._wide = spectral.uncut
        self._column = column
        self._condensation = condensation
        self._middle = int((column.pressure.flatten() - BALANCE_PRESSURE).abs().argmin())

    def __call__(self, x: LevelFields) -> LevelFields:
        """Tendencies [per s] of fields (…, level, lat, lon), levels from the top down."""
        wide, spectral, column = self._wide, self._spectral, self._column
        u, v, t, q, z = x
        psi, i_chi = wide.potentials(u, v)
        (t_x, t_y), (q_x, q_y) = wide.gradient(wide.analysis(t)), wide.gradient(wide.analysis(q))
        b_x, b_y = wide.gradient(wide.analysis(z + 0.5 * (u.square() + v.square())))

        omega = column.omega(wide.divergence(i_chi))
        absolute = wide.f + wide.vorticity(psi)
        u_t = absolute * v - b_x - omega * column.derivative(u)
        v_t = -absolute * u - b_y - omega * column.derivative(v)
        warmth = 1.0 + _MOIST * q
        expansion = t * warmth * (R_DRY / CP_DRY / column.pressure)
        t_t = -u * t_x - v * t_y + omega * (expansion - column.derivative(t))
        q_t = -u * q_x - v * q_y - omega * column.derivative(q)
        if self._condensation:
            rate = condensation_rate(t, q, omega, column.pressure)
            t_t, q_t = t_t + LATENT_HEAT / CP_DRY * rate, q_t - rate

        psi_t, i_chi_t = spectral.potentials(u_t, v_t)
        thickness = spectral.analysis(column.from_level(self._middle, R_DRY * (t_t * warmth + _MOIST * t * q_t)))
        z_c = thickness + spectral.balanced(psi_t[..., self._middle : self._middle + 1, :])
        return LevelFields(
            *spectral.winds(psi_t, i_chi_t), spectral.scalars(t_t), spectral.scalars(q_t), spectral.synthesis(z_c)
        )

    def omega(self, x: LevelFields) -> torch.Tensor:
        """ω [Pa s-1] (…, level, lat, lon) by continuity."""
        return self._column.omega(self._wide.divergence(self._wide.potentials(x.u, x.v)[1]))


def condensation_rate(
    temperature: torch.Tensor, humidity: torch.Tensor, omega: torch.Tensor, pressure: torch.Tensor
) -> torch.Tensor:
    """C ≥ 0 [kg kg-1 s-1] from T [K], q [kg kg-1], ω [Pa s-1] and p [Pa], which broadcast against each other."""
    saturation = saturation_specific_humidity(temperature, pressure)
    share = ((humidity / saturation - CRITICAL_HUMIDITY) / (1.0 - CRITICAL_HUMIDITY)).clamp(0.0, 1.0)
    slope = LATENT_HEAT * R_DRY / (CP_DRY * R_VAPOUR * temperature) - 1.0
    damping = 1.0 + LATENT_HEAT**2 * saturation / (CP_DRY * R_VAPOUR * temperature.square())
    loss_per_log_pressure = saturation * slope / damping
    rate: torch.Tensor = share * loss_per_log_pressure * (-omega).clamp_min(0.0) / pressure
    return rate
