"""The one table of variables: every format takes its names from the rows, so that a new variable is one more row."""

import pytest

from phyda_cli.constants import ZERO_CELSIUS
from phyda_cli.fields.variables import (
    QUANTITIES,
    VARIABLES,
    Prepbufr,
    Variable,
    file_names,
    find_gridded_variable,
    find_variable,
    grib_names,
    gridded_names,
)
from phyda_cli.formats.reports.bufr_reports import bufr_elements
from phyda_cli.formats.reports.columns import find_quantity, names_with_unit, odb_numbers, split_unit, table_names
from phyda_cli.formats.reports.dart import dart_names, find_kind
from phyda_cli.formats.reports.ioda_names import IodaName, ioda_names
from phyda_cli.formats.reports.prepbufr import prepbufr_names
from phyda_cli.formats.units import find_unit

SNOW = Variable(
    "sd",
    "Snow depth",
    "surface_snow_thickness",
    "bushel",
    (-0.01, 30.0),
    False,
    grib=("sde",),
    aliases=("snow_depth",),
    gridded=("snod",),
    table=("Snow on ground",),
    table_units=(("snow_cm", "cm"),),
    ioda=("totalSnowDepth", "snow_depth_old"),
    ioda_near_surface=("snowDepthAt2M",),
    dart=("SNOW_DEPTH",),
    odb=92,
    bufr=(13013, 13012),
    prepbufr=Prepbufr("TOSD", "SQM", 0.001),
)
ROWS = (*QUANTITIES.values(), SNOW)


@pytest.mark.parametrize(
    ("table", "names"),
    [
        (grib_names, {"sde": "sd"}),
        (file_names, {"sd": "sd", "snow_depth": "sd"}),
        (gridded_names, {"snod": "sd"}),
        (table_names, {"sd": "sd", "snow_depth": "sd", "snow_on_ground": "sd"}),
        (names_with_unit, {"snow_cm": ("sd", "cm")}),
        (dart_names, {"SNOW_DEPTH": "sd"}),
        (odb_numbers, {"92": "sd"}),
        (bufr_elements, {"sd": (13013, 13012)}),
        (prepbufr_names, {"sd": Prepbufr("TOSD", "SQM", 0.001)}),
    ],
)
def test_one_more_row_is_named_in_every_format(table, names):
    new, old = table(ROWS), table(QUANTITIES.values())
    assert {name: found for name, found in new.items() if name not in old} == names
    assert all(new[name] == found for name, found in old.items())


def test_one_more_row_is_named_in_ioda():
    new = set(ioda_names(ROWS)) - set(ioda_names(QUANTITIES.values()))
    assert new == {
        IodaName("totalSnowDepth", "sd", "bushel", ("snow_depth_old",)),
        IodaName("snowDepthAt2M", "sd", "bushel", (), True),
    }


def test_the_si_unit_of_a_row_is_known():
    unit = find_unit("Bushel", SNOW.units)
    assert unit is not None
    assert (unit.scale, unit.offset, unit.si) == (1.0, 0.0, "bushel")
    assert find_unit("degC", "K").offset == ZERO_CELSIUS
    assert find_unit("peck", SNOW.units) is None


def test_no_name_means_two_things():
    for of in ("grib", "dart", "bufr", "ioda", "ioda_near_surface"):
        names = [name for row in QUANTITIES.values() for name in getattr(row, of)]
        assert len(set(names)) == len(names), of
    numbers = [row.odb for row in QUANTITIES.values() if row.odb is not None]
    assert len(set(numbers)) == len(numbers)
    in_tables = [(name.casefold(), row.name) for row in QUANTITIES.values() for name in (*row.aliases, *row.table)]
    assert len(dict(in_tables)) == len(set(in_tables))


@pytest.mark.parametrize(
    ("name", "quantity"),
    [("Temp", "t"), ("Geopotential Height", "gh"), ("DRCT", "wind_direction"), ("pwat", "tcwv"), ("nonsense", None)],
)
def test_names_of_tables(name, quantity):
    assert find_quantity(name) == quantity


def test_wind_as_speed_is_no_variable_of_fields():
    assert find_variable("wind_speed") is None
    assert "wind_speed" not in VARIABLES
    assert QUANTITIES["wind_direction"].bounds == (0.0, 360.0)


def test_names_that_mean_something_in_gridded_files_alone():
    assert find_gridded_variable("TT").name == "t"
    assert find_quantity("tt") is None
    assert split_unit("sknt") == ("wind_speed", "kt")
    assert find_kind("METAR_U_10_METER_WIND") == ("u10", "metar")
