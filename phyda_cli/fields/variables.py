"""The one table of variables: ECMWF short, CF standard, GRIB and common NetCDF names, units, bounds.

Units are SI. Bounds are gross physical limits [SI] outside which a value is wrong whatever the weather; they are wide
on purpose (the background check is the sharp one). `aliases` are compared without case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Variable:
    """One variable.

    name: ECMWF short name as used in NetCDF (`t2m`, not `2t`), the key everywhere in phyda.
    units: SI unit as UDUNITS reads it.
    bounds: lowest and highest credible value [units].
    pressure_level: True for a field on pressure levels, False for a single-level field.
    grib: GRIB short names (eccodes `shortName`) of the same quantity in the same unit.
    gridded: further names in gridded files; in tables they would mean something else, or nothing.
    aliases: names found in NetCDF, Zarr and tables for the same quantity (any unit; the unit attribute decides).
    """

    name: str
    long_name: str
    standard_name: str
    units: str
    bounds: tuple[float, float]
    pressure_level: bool
    grib: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    gridded: tuple[str, ...] = ()

    @property
    def is_wind_component(self) -> bool:
        """Whether it is a component along east or north; across a pole such a component changes its sign."""
        return self.standard_name in ("eastward_wind", "northward_wind")


_TABLE: Final = (
    Variable(
        "u",
        "U component of wind",
        "eastward_wind",
        "m s-1",
        (-200.0, 200.0),
        True,
        ("u",),
        ("u_component_of_wind", "ugrd", "ua", "uwnd", "eastward_wind"),
        gridded=("uu", "ugrdprs"),
    ),
    Variable(
        "v",
        "V component of wind",
        "northward_wind",
        "m s-1",
        (-200.0, 200.0),
        True,
        ("v",),
        ("v_component_of_wind", "vgrd", "va", "vwnd", "northward_wind"),
        gridded=("vv", "vgrdprs"),
    ),
    Variable(
        "t",
        "Temperature",
        "air_temperature",
        "K",
        (150.0, 350.0),
        True,
        ("t",),
        ("temperature", "tmp", "ta", "air", "air_temperature"),
        gridded=("tt", "temp", "tmpprs"),
    ),
    Variable(
        "q",
        "Specific humidity",
        "specific_humidity",
        "kg kg-1",
        (-1e-4, 0.06),
        True,
        ("q",),
        ("specific_humidity", "spfh", "hus", "shum"),
        gridded=("qv", "spfhprs"),
    ),
    Variable("z", "Geopotential", "geopotential", "m2 s-2", (-2.0e4, 6.0e5), True, ("z",), ("geopotential", "phi")),
    Variable(
        "gh",
        "Geopotential height",
        "geopotential_height",
        "m",
        (-2.0e3, 6.0e4),
        True,
        ("gh",),
        ("geopotential_height", "hgt", "zg", "height", "hgtprs", "geopotential height"),
        gridded=("z3", "h", "ght"),
    ),
    Variable(
        "r",
        "Relative humidity",
        "relative_humidity",
        "1",
        (-0.05, 2.0),
        True,
        ("r",),
        ("relative_humidity", "rh", "hur", "relhum"),
        gridded=("rhprs", "rhum"),
    ),
    Variable(
        "td",
        "Dew point temperature",
        "dew_point_temperature",
        "K",
        (120.0, 320.0),
        True,
        ("dpt",),
        ("dewpoint", "dewpoint_temperature", "dew_point", "dew_point_temperature"),
    ),
    Variable(
        "w",
        "Vertical velocity",
        "lagrangian_tendency_of_air_pressure",
        "Pa s-1",
        (-50.0, 50.0),
        True,
        ("w",),
        ("vertical_velocity", "omega", "wap"),
        gridded=("vvelprs", "vvel", "vertical_velocity_pressure"),
    ),
    Variable(
        "vo",
        "Vorticity (relative)",
        "atmosphere_relative_vorticity",
        "s-1",
        (-1e-2, 1e-2),
        True,
        ("vo",),
        ("vorticity", "relative_vorticity"),
    ),
    Variable("d", "Divergence", "divergence_of_wind", "s-1", (-1e-2, 1e-2), True, ("d",), ("divergence",)),
    Variable(
        "msl",
        "Mean sea level pressure",
        "air_pressure_at_mean_sea_level",
        "Pa",
        (85_000.0, 110_000.0),
        False,
        ("msl", "prmsl", "mslet"),
        (
            "mean_sea_level_pressure",
            "mslp",
            "slp",
            "psl",
            "prmsl",
            "pmsl",
            "air_pressure_at_mean_sea_level",
            "air_pressure_at_sea_level",
            "sea_level_pressure",
        ),
        gridded=(
            "prmslmsl",
            "prmsl_msl",
            "prmsl_meansealevel",
            "mslet_meansealevel",
            "pressure_reduced_to_msl",
            "pressure_reduced_to_msl_msl",
            "mslp_eta_model_reduction_msl",
        ),
    ),
    Variable(
        "sp",
        "Surface pressure",
        "surface_air_pressure",
        "Pa",
        (40_000.0, 110_000.0),
        False,
        ("sp",),
        ("surface_pressure", "ps", "pressfc", "pres_sfc", "psfc", "stnp", "station_pressure"),
        gridded=("pressure_surface", "pres_surface", "surface_air_pressure"),
    ),
    Variable(
        "t2m",
        "2 metre temperature",
        "air_temperature",
        "K",
        (180.0, 340.0),
        False,
        ("2t",),
        ("2t", "2m_temperature", "tas", "t2", "temperature_2m"),
        gridded=("trefht", "tmp2m", "tmp_2maboveground"),
    ),
    Variable(
        "d2m",
        "2 metre dewpoint temperature",
        "dew_point_temperature",
        "K",
        (150.0, 320.0),
        False,
        ("2d",),
        ("2d", "2m_dewpoint_temperature", "td2m"),
        gridded=("dpt2m", "dpt_2maboveground"),
    ),
    Variable(
        "u10",
        "10 metre U wind component",
        "eastward_wind",
        "m s-1",
        (-100.0, 100.0),
        False,
        ("10u",),
        ("10u", "10m_u_component_of_wind", "uas", "u10m"),
        gridded=("ugrd10m", "ugrd_10maboveground"),
    ),
    Variable(
        "v10",
        "10 metre V wind component",
        "northward_wind",
        "m s-1",
        (-100.0, 100.0),
        False,
        ("10v",),
        ("10v", "10m_v_component_of_wind", "vas", "v10m"),
        gridded=("vgrd10m", "vgrd_10maboveground"),
    ),
    Variable(
        "tcwv",
        "Total column vertically-integrated water vapour",
        "atmosphere_mass_content_of_water_vapor",
        "kg m-2",
        (-1.0, 120.0),
        False,
        ("tcwv", "pwat"),
        ("total_column_water_vapour", "pwat", "tpw"),
        gridded=(
            "prw",
            "tqv",
            "tmq",
            "pwat_entireatmosphere_consideredasasinglelayer_",
            "precipitable_water_entire_atmosphere_single_layer",
        ),
    ),
)

VARIABLES: Final[dict[str, Variable]] = {entry.name: entry for entry in _TABLE}
"""Every known variable by its short name."""

_BY_ALIAS: Final = {alias.casefold(): entry.name for entry in _TABLE for alias in (entry.name, *entry.aliases)}
_BY_GRIDDED_NAME: Final = {name: entry.name for entry in _TABLE for name in entry.gridded}
_BY_GRIB: Final = {short: entry.name for entry in _TABLE for short in entry.grib}


def find_variable(name: str) -> Variable | None:
    """The variable that a NetCDF, Zarr or table name means, or None when the name is not known (case is ignored)."""
    key = _BY_ALIAS.get(name.strip().casefold())
    return None if key is None else VARIABLES[key]


def find_gridded_variable(name: str) -> Variable | None:
    """The variable that a name means in a gridded file, or None when the name is not known (case is ignored)."""
    key = _BY_GRIDDED_NAME.get(name.strip().casefold())
    return find_variable(name) if key is None else VARIABLES[key]


def find_grib_variable(short_name: str) -> Variable | None:
    """The variable of an eccodes `shortName`, or None when it is not known."""
    key = _BY_GRIB.get(short_name)
    return None if key is None else VARIABLES[key]
