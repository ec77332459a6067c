"""The refractivity of moist air: N = 10⁶ (n − 1) of the refractive index n at radio frequencies.

    N = k₁ (p − e)/T + k₂ e/T² + k₃ e/T,      e = q p / (ε + (1 − ε) q)

The air counts as an ideal gas, for which Bevis' constants are; with Rüger's N is 0.1 % larger.
Source: Smith and Weintraub (1953); Bevis et al. (1994), table 1; Rüger (2002), best average.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

from phyda_cli.fields.thermodynamics import vapour_pressure


class Coefficients(NamedTuple):
    """dry: k₁ [K Pa-1], of the dry air. dipole: k₂ [K2 Pa-1], moist: k₃ [K Pa-1], both of the vapour."""

    dry: float
    dipole: float
    moist: float


ConstantsName = Literal["bevis", "rueger"]
COEFFICIENTS: Final[dict[ConstantsName, Coefficients]] = {
    "bevis": Coefficients(0.7760, 3739.0, 0.704),
    "rueger": Coefficients(0.776890, 3754.63, 0.712952),
}
BEVIS: Final = COEFFICIENTS["bevis"]
"""Those in use where nobody asks for others."""


def refractivity(pressure: Any, temperature: Any, specific_humidity: Any, coefficients: Coefficients) -> Any:
    """N [1] from p [Pa], T [K] and q [kg kg-1], NumPy arrays or torch tensors, which keep their gradient."""
    vapour = vapour_pressure(specific_humidity, pressure)
    dry, dipole, moist = coefficients
    return (dry * (pressure - vapour) + (dipole / temperature + moist) * vapour) / temperature
