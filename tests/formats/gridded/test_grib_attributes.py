"""Attributes of passed-through GRIB fields: what ecCodes says, made CF."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from phyda_cli.formats.gridded.grib_cube import _attributes
from phyda_cli.formats.gridded.grib_header import Header


def attributes(units: str, name: str | None) -> dict[str, Any]:
    labels = ("paramId", "shortName", "typeOfLevel", "stepType", "dataType")
    keys = {"units": units, "cfName": name, "name": "long"} | dict.fromkeys(labels, "x")
    return _attributes(cast(Header, SimpleNamespace(keys=keys, pressure=None)), [])


@pytest.mark.parametrize("units", ["(Code table 4.222)", "~", "(0 - 1)", "unknown"])
def test_what_is_no_unit_is_a_number(units: str) -> None:
    assert attributes(units, None)["units"] == "1"


def test_a_thickness_is_not_a_mass() -> None:
    assert "standard_name" not in attributes("kg m**-2", "lwe_thickness_of_convective_precipitation_amount")
    assert attributes("m", "lwe_thickness_of_convective_precipitation_amount")["standard_name"].startswith("lwe_")
    assert attributes("kg m**-2", "precipitation_amount")["standard_name"] == "precipitation_amount"
