"""Physical constants in SI: value, unit, symbol, source. The only place where they are written.

Sources: CODATA 2018 / WMO No. 8 for gravity; IFS documentation Cy47r3 part IV for the gas and heat constants of air;
IERS for the rotation rate; WMO (spherical radius of GRIB shape-of-the-earth 6) for the radius.
"""

from __future__ import annotations

from typing import Final

GRAVITY: Final = 9.80665
"""Standard gravity g [m s-2] (WMO)."""

EARTH_RADIUS: Final = 6_371_229.0
"""Radius of the spherical earth a [m] (WMO GRIB2 code table 3.2, value 6)."""

WRF_RADIUS: Final = 6_370_000.0
"""Radius of the spherical earth of the WRF model [m] (WRF users' guide)."""

IAU_AXES: Final = (6_378_160.0, 6_356_775.0)
"""Equatorial and polar radius of the ellipsoid of GRIB 1 [m] (WMO GRIB1 code table 7: IAU 1965)."""

OMEGA: Final = 7.292115e-5
"""Rotation rate of the earth [s-1] (IERS)."""

R_DRY: Final = 287.0597
"""Gas constant of dry air R_d [J kg-1 K-1] (IFS documentation, part IV)."""

R_VAPOUR: Final = 461.5250
"""Gas constant of water vapour R_v [J kg-1 K-1] (IFS documentation, part IV)."""

CP_DRY: Final = 1004.709
"""Specific heat of dry air at constant pressure c_p = 7/2 R_d [J kg-1 K-1] (IFS documentation, part IV)."""

LATENT_HEAT: Final = 2.5008e6
"""Latent heat of vaporisation at 0 degrees C L_v [J kg-1] (IFS documentation, part IV)."""

EPSILON: Final = R_DRY / R_VAPOUR
"""Ratio of the gas constants ε = R_d / R_v [1]."""

LAPSE_RATE: Final = 0.0065
"""Lapse rate of the standard troposphere Γ [K m-1] (ICAO)."""

ZERO_CELSIUS: Final = 273.15
"""0 degrees C in kelvin [K]."""

INCH_OF_MERCURY: Final = 3386.389
"""Pressure of an inch of mercury at 0 degrees C [Pa] (conventional; BIPM)."""

KNOT: Final = 1852.0 / 3600.0
"""One knot [m s-1]."""

WGS84_AXIS: Final = 6_378_137.0
"""Semi-major axis of the WGS84 ellipsoid a [m] (NIMA TR8350.2, table 3.1)."""

WGS84_FLATTENING: Final = 1.0 / 298.257223563
"""Flattening of the WGS84 ellipsoid f [1] (NIMA TR8350.2, table 3.1)."""

WGS84_EQUATOR_GRAVITY: Final = 9.7803253359
"""Gravity on the WGS84 ellipsoid at the equator γ_e [m s-2] (NIMA TR8350.2, table 3.4)."""

WGS84_SOMIGLIANA: Final = 1.931852652458e-3
"""Somigliana's constant of the WGS84 ellipsoid k [1], of which gravity at its poles follows (NIMA TR8350.2, table
3.4)."""

WGS84_CENTRIFUGAL: Final = 3.449786506841e-3
"""Ratio of centrifugal to gravitational acceleration at the equator of WGS84 m = ω² a² b / (GM) [1] (NIMA TR8350.2,
table 3.4)."""
