"""The one table of variables: their names in every format, units and bounds. A new variable is a row here.

Units are SI. Bounds are gross physical limits [SI] outside which a value is wrong whatever the weather; they are wide
on purpose (the background check is the sharp one). Names in files and tables are compared without case. The tables of
the formats are made from these rows (`index`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from phyda_cli.constants import ZERO_CELSIUS


class Prepbufr(NamedTuple):
    """Mnemonics of a value and its quality mark; SI = scale · value + offset."""

    value: str
    mark: str
    scale: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True)
class Variable:
    """One variable, or a quantity that reports hold in its place.

    name: ECMWF short name as used in NetCDF (`t2m`, not `2t`), the key everywhere in phyda.
    units: SI unit as UDUNITS reads it.
    bounds: lowest and highest credible value [units].
    pressure_level: True for a field on pressure levels, False for a single-level field.
    grib: GRIB short names (eccodes `shortName`) of the same quantity in the same unit.
    aliases: names found in NetCDF, Zarr and tables for the same quantity (any unit; the unit attribute decides).
    gridded: further names in gridded files; in tables they would mean something else, or nothing.
    table: further names in tables of observations. table_units: (name, unit) of those that tell a unit.
    ioda: name in IODA's ObsValue, in `units`, and former names. ioda_near_surface: the same at 2 or 10 metres.
    dart: what DART's names of types end with. odb: number in ODB (`varno`).
    bufr: BUFR element descriptors in SI (relative humidity in %), the best first. prepbufr: names in PREPBUFR.
    height: above the ground, of a field near it [m].
    cds: name in the Climate Data Store, WeatherBench 2 and GraphCast. earth2studio: name there, of levels without them.
    """

    name: str
    long_name: str
    standard_name: str
    units: str
    bounds: tuple[float, float]
    pressure_level: bool
    grib: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    gridded: tuple[str, ...] = ()
    table: tuple[str, ...] = ()
    table_units: tuple[tuple[str, str], ...] = ()
    ioda: tuple[str, ...] = ()
    ioda_near_surface: tuple[str, ...] = ()
    dart: tuple[str, ...] = ()
    odb: int | None = None
    bufr: tuple[int, ...] = ()
    prepbufr: Prepbufr | None = None
    cds: str | None = None
    earth2studio: str | None = None
    height: float | None = None

    @property
    def is_wind_component(self) -> bool:
        """Whether it is a component along east or north; across a pole such a component changes its sign."""
        return self.standard_name in ("eastward_wind", "northward_wind")

    @property
    def is_northward(self) -> bool:
        """Whether it is a component along north, which changes its sign in a mirror at the equator."""
        return self.standard_name == "northward_wind"


_TABLE: Final = (
    Variable(
        "u", "U component of wind", "eastward_wind", "m s-1", (-200.0, 200.0), True, grib=("u",),
        aliases=("u_component_of_wind", "ugrd", "ua", "uwnd", "eastward_wind"), gridded=("uu", "ugrdprs"),
        table=("u_wind", "uwind", "wind_u"), ioda=("windEastward", "eastward_wind"), dart=("U_WIND_COMPONENT",), odb=3,
        bufr=(11003,), prepbufr=Prepbufr("UOB", "WQM"),
        cds="u_component_of_wind", earth2studio="u",
    ),
    Variable(
        "v", "V component of wind", "northward_wind", "m s-1", (-200.0, 200.0), True, grib=("v",),
        aliases=("v_component_of_wind", "vgrd", "va", "vwnd", "northward_wind"), gridded=("vv", "vgrdprs"),
        table=("v_wind", "vwind", "wind_v"), ioda=("windNorthward", "northward_wind"), dart=("V_WIND_COMPONENT",),
        odb=4, bufr=(11004,), prepbufr=Prepbufr("VOB", "WQM"),
        cds="v_component_of_wind", earth2studio="v",
    ),
    Variable(
        "t", "Temperature", "air_temperature", "K", (150.0, 350.0), True, grib=("t",),
        aliases=("temperature", "tmp", "ta", "air", "air_temperature"), gridded=("tt", "temp", "tmpprs"),
        table=("temp", "air_temp", "airtemp"), table_units=(("tmpf", "degF"), ("tmpc", "degC")),
        ioda=("airTemperature", "air_temperature"), dart=("TEMPERATURE",), odb=2, bufr=(12101, 12001),
        prepbufr=Prepbufr("TOB", "TQM", offset=ZERO_CELSIUS),
        cds="temperature", earth2studio="t",
    ),
    Variable(
        "q", "Specific humidity", "specific_humidity", "kg kg-1", (-0.0001, 0.06), True, grib=("q",),
        aliases=("specific_humidity", "spfh", "hus", "shum"), gridded=("qv", "spfhprs"),
        ioda=("specificHumidity", "specific_humidity"), dart=("SPECIFIC_HUMIDITY",), odb=7, bufr=(13001,),
        prepbufr=Prepbufr("QOB", "QQM", 1e-6),
        cds="specific_humidity", earth2studio="q",
    ),
    Variable(
        "z", "Geopotential", "geopotential", "m2 s-2", (-20000.0, 600000.0), True, grib=("z",),
        aliases=("geopotential", "phi"), odb=1, bufr=(10003, 10008),
        cds="geopotential", earth2studio="z",
    ),
    Variable(
        "gh", "Geopotential height", "geopotential_height", "m", (-2000.0, 60000.0), True, grib=("gh",),
        aliases=("geopotential_height", "hgt", "zg", "height", "hgtprs", "geopotential height"),
        gridded=("z3", "h", "ght"), table=("hght", "gph", "geopot_height", "geop_height"),
        ioda=("geopotentialHeight", "geopotential_height"), dart=("GEOPOTENTIAL_HGT", "GEOPOTENTIAL_HEIGHT"),
        bufr=(10009,), prepbufr=Prepbufr("ZOB", "ZQM"),
    ),
    Variable(
        "r", "Relative humidity", "relative_humidity", "1", (-0.05, 2.0), True, grib=("r",),
        aliases=("relative_humidity", "rh", "hur", "relhum"), gridded=("rhprs", "rhum"),
        table=("rhum", "relh", "rel_hum"), ioda=("relativeHumidity", "relative_humidity"), dart=("RELATIVE_HUMIDITY",),
        odb=29, bufr=(13003,),
        cds="relative_humidity", earth2studio="r",
    ),
    Variable(
        "td", "Dew point temperature", "dew_point_temperature", "K", (120.0, 320.0), True, grib=("dpt",),
        aliases=("dewpoint", "dewpoint_temperature", "dew_point", "dew_point_temperature"),
        table=("dewp", "dwpt", "dewpt", "dpt", "dew_point_temp", "dewpoint_temp"),
        table_units=(("dwpf", "degF"), ("dwpc", "degC")),
        ioda=("dewpointTemperature", "dew_point_temperature", "dewpoint_temperature"), dart=("DEWPOINT",), odb=59,
        bufr=(12103, 12003),
    ),
    Variable(
        "w", "Vertical velocity", "lagrangian_tendency_of_air_pressure", "Pa s-1", (-50.0, 50.0), True, grib=("w",),
        aliases=("vertical_velocity", "omega", "wap"), gridded=("vvelprs", "vvel", "vertical_velocity_pressure"),
        cds="vertical_velocity", earth2studio="w",
    ),
    Variable(
        "vo", "Vorticity (relative)", "atmosphere_relative_vorticity", "s-1", (-0.01, 0.01), True, grib=("vo",),
        aliases=("vorticity", "relative_vorticity"),
        cds="vorticity",
    ),
    Variable(
        "d", "Divergence", "divergence_of_wind", "s-1", (-0.01, 0.01), True, grib=("d",), aliases=("divergence",),
        cds="divergence",
    ),
    Variable(
        "msl", "Mean sea level pressure", "air_pressure_at_mean_sea_level", "Pa", (85000.0, 110000.0), False,
        grib=("msl", "prmsl", "mslet"),
        aliases=("mean_sea_level_pressure", "mslp", "slp", "psl", "prmsl", "pmsl", "air_pressure_at_mean_sea_level",
                 "air_pressure_at_sea_level", "sea_level_pressure"),
        gridded=("prmslmsl", "prmsl_msl", "prmsl_meansealevel", "mslet_meansealevel", "pressure_reduced_to_msl",
                 "pressure_reduced_to_msl_msl", "mslp_eta_model_reduction_msl"),
        table=("pressure_msl",),
        ioda=("pressureReducedToMeanSeaLevel", "mean_sea_level_pressure", "air_pressure_at_sea_level"), odb=108,
        bufr=(10051,), prepbufr=Prepbufr("PMO", "PMQ", 100.0),
        cds="mean_sea_level_pressure", earth2studio="msl",
    ),
    Variable(
        "sp", "Surface pressure", "surface_air_pressure", "Pa", (40000.0, 110000.0), False, grib=("sp",),
        aliases=("surface_pressure", "ps", "pressfc", "pres_sfc", "psfc", "stnp", "station_pressure"),
        gridded=("pressure_surface", "pres_surface", "surface_air_pressure"),
        table=("stn_pres", "station_pres", "stn_pressure"),
        ioda=("stationPressure", "surface_pressure", "station_pressure", "surfacePressure"),
        dart=("SURFACE_PRESSURE", "SFC_PRESSURE"), odb=110, bufr=(10004,), prepbufr=Prepbufr("POB", "PQM", 100.0),
        cds="surface_pressure", earth2studio="sp",
    ),
    Variable(
        "t2m", "2 metre temperature", "air_temperature", "K", (180.0, 340.0), False, grib=("2t",),
        aliases=("2t", "2m_temperature", "tas", "t2", "temperature_2m"),
        gridded=("trefht", "tmp2m", "tmp_2maboveground"), ioda=("airTemperatureAt2M", "air_temperature_at_2m", "t2m"),
        dart=("TEMPERATURE_2_METER",), odb=39, bufr=(12104, 12004),
        cds="2m_temperature", earth2studio="t2m", height=2.0,
    ),
    Variable(
        "d2m", "2 metre dewpoint temperature", "dew_point_temperature", "K", (150.0, 320.0), False, grib=("2d",),
        aliases=("2d", "2m_dewpoint_temperature", "td2m"), gridded=("dpt2m", "dpt_2maboveground"),
        ioda=("dewpointTemperatureAt2M",), dart=("DEWPOINT_2_METER",), odb=40, bufr=(12106, 12006),
        cds="2m_dewpoint_temperature", earth2studio="d2m", height=2.0,
    ),
    Variable(
        "r2m", "2 metre relative humidity", "relative_humidity", "1", (-0.05, 2.0), False, grib=("2r",),
        aliases=("2r", "rh2m", "hurs", "2m_relative_humidity", "relative_humidity_2m"),
        gridded=("rh_2maboveground",), height=2.0,
    ),
    Variable(
        "u10", "10 metre U wind component", "eastward_wind", "m s-1", (-100.0, 100.0), False, grib=("10u",),
        aliases=("10u", "10m_u_component_of_wind", "uas", "u10m"), gridded=("ugrd10m", "ugrd_10maboveground"),
        ioda=("windEastwardAt10M", "uwind_at_10m", "eastward_wind_at_10m"), dart=("U_10_METER_WIND",), odb=41,
        cds="10m_u_component_of_wind", earth2studio="u10m", height=10.0,
    ),
    Variable(
        "v10", "10 metre V wind component", "northward_wind", "m s-1", (-100.0, 100.0), False, grib=("10v",),
        aliases=("10v", "10m_v_component_of_wind", "vas", "v10m"), gridded=("vgrd10m", "vgrd_10maboveground"),
        ioda=("windNorthwardAt10M", "vwind_at_10m", "northward_wind_at_10m"), dart=("V_10_METER_WIND",), odb=42,
        cds="10m_v_component_of_wind", earth2studio="v10m", height=10.0,
    ),
    Variable(
        "tcwv", "Total column vertically-integrated water vapour", "atmosphere_mass_content_of_water_vapor", "kg m-2",
        (-1.0, 120.0), False, grib=("tcwv", "pwat"), aliases=("total_column_water_vapour", "pwat", "tpw"),
        gridded=("prw", "tqv", "tmq", "pwat_entireatmosphere_consideredasasinglelayer_",
                 "precipitable_water_entire_atmosphere_single_layer"),
        ioda=("precipitableWater", "precipitable_water"), odb=9, prepbufr=Prepbufr("PWO", "PWQ"),
        cds="total_column_water_vapour", earth2studio="tcwv",
    ),
    Variable(
        "ztd", "Zenith total delay of navigation satellites", "", "m", (1.0, 3.0), False,
        aliases=("zenith_total_delay", "zenithtotaldelay"), ioda=("zenithTotalDelay", "zenith_total_delay"), odb=128,
        bufr=(15031,),
    ),
    Variable(
        "ws10", "10 metre wind speed", "wind_speed", "m s-1", (0.0, 100.0), False, aliases=("10m_wind_speed", "si10"),
    ),
    Variable(
        "refractivity", "Refractivity of air at radio frequencies", "", "1e-6", (0.0, 500.0), True,
        aliases=("refractivity", "radio_refractivity"), ioda=("atmosphericRefractivity", "refractivity"), bufr=(15036,),
    ),
    Variable(
        "thickness", "Thickness of a layer between two pressures", "", "m", (0.0, 40000.0), True,
        aliases=("layer_thickness",), ioda=("layerThickness",),
    ),
    Variable(
        "tv_layer", "Mean virtual temperature of a layer between two pressures", "", "K", (150.0, 350.0), True,
        aliases=("layer_virtual_temperature", "layer_mean_virtual_temperature"), ioda=("layerVirtualTemperature",),
    ),
    *(
        Variable(
            f"tb{channel}", f"Brightness temperature of AMSU-A, channel {channel}", "toa_brightness_temperature", "K",
            (150.0, 300.0), False,
            ioda=(f"brightnessTemperature_{channel}", f"brightness_temperature_{channel}"),
        )
        for channel in range(5, 10)
    ),
)  # fmt: skip

VARIABLES: Final[dict[str, Variable]] = {entry.name: entry for entry in _TABLE}
"""Every known variable by its short name."""

_REPORTED: Final = (
    Variable(
        "wind_speed", "Wind speed", "wind_speed", "m s-1", (0.0, 250.0), True,
        table=("windspeed", "wspd", "wind_spd", "speed", "ff", "spd", "wsp", "wnd_spd", "wind_velocity", "ws"),
        table_units=(("sknt", "kt"),), ioda=("windSpeed", "wind_speed"),
        ioda_near_surface=("windSpeedAt10M", "wind_speed_at_10m"), dart=("WIND_SPEED",), odb=112, bufr=(11002,),
    ),
    Variable(
        "wind_direction", "Direction that the wind blows from", "wind_from_direction", "degree", (0.0, 360.0), True,
        table=("winddirection", "wdir", "wind_dir", "winddir", "direction", "drct", "dd", "dir", "wnd_dir",
               "wind_from_direction", "wd"),
        ioda=("windDirection", "wind_direction", "wind_from_direction"),
        ioda_near_surface=("windDirectionAt10M", "wind_from_direction_at_10m"), dart=("WIND_DIRECTION",), odb=111,
        bufr=(11001,),
    ),
    Variable(
        "qnh", "Altimeter setting", "air_pressure_at_mean_sea_level", "Pa", (85000.0, 110000.0), False,
        table=("qnh", "altimeter", "altimeter_setting", "altim", "altim_in_hg"), table_units=(("alti", "inHg"),),
        bufr=(10052,),
    ),
)  # fmt: skip

QUANTITIES: Final[dict[str, Variable]] = VARIABLES | {entry.name: entry for entry in _REPORTED}
"""Everything that a report can hold: the variables, and wind as speed and direction."""

Key = TypeVar("Key", bound=Hashable)


def index(names: Callable[[Variable], Iterable[Key]], rows: Iterable[Variable]) -> dict[Key, str]:
    """Return the short name of each name that the rows have in some format; of two with the same name the later row."""
    return {name: row.name for row in rows for name in names(row)}


def file_names(rows: Iterable[Variable]) -> dict[str, str]:
    """Return names in NetCDF, Zarr and tables, in lower case."""
    return index(lambda row: (name.casefold() for name in (row.name, *row.aliases)), rows)


def gridded_names(rows: Iterable[Variable]) -> dict[str, str]:
    """Further names in gridded files."""
    return index(lambda row: row.gridded, rows)


def grib_names(rows: Iterable[Variable]) -> dict[str, str]:
    """GRIB short names."""
    return index(lambda row: row.grib, rows)


EASTWARD: Final = ("u", "u10")
NORTHWARD: Final = ("v", "v10")
"""The components of the same winds, in the same order: on pressure levels and at 10 m."""

_BY_ALIAS: Final = file_names(_TABLE)
_BY_GRIDDED_NAME: Final = gridded_names(_TABLE)
_BY_GRIB: Final = grib_names(_TABLE)


def find_variable(name: str) -> Variable | None:
    """Return the variable that a NetCDF, Zarr or table name means, or None when the name is not known (case is
    ignored).
    """
    key = _BY_ALIAS.get(name.strip().casefold())
    return None if key is None else VARIABLES[key]


def find_gridded_variable(name: str) -> Variable | None:
    """Return the variable that a name means in a gridded file, or None when the name is not known (case is ignored)."""
    key = _BY_GRIDDED_NAME.get(name.strip().casefold())
    return find_variable(name) if key is None else VARIABLES[key]


def find_grib_variable(short_name: str) -> Variable | None:
    """Return the variable of an eccodes `shortName`, or None when it is not known."""
    key = _BY_GRIB.get(short_name)
    return None if key is None else VARIABLES[key]
