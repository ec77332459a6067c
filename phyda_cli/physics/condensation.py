"""Condensation in saturated ascent: the rates at which rising moist air loses vapour and gains heat.

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

from phyda_cli.constants import CP_DRY, LATENT_HEAT, R_DRY, R_VAPOUR
from phyda_cli.fields.thermodynamics import saturation_specific_humidity

CRITICAL_HUMIDITY: Final = 0.8
"""Relative humidity of a grid box from which part of it is saturated [1]."""


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
