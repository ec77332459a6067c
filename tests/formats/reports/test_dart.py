"""DART observation sequences: what counts as the observation, its place and marks, and every fault in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from phyda_cli.errors import BadDataError, InputMissingError
from phyda_cli.formats.reports.dart import find_kind
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.observations.table import Flag, Observations, Use

KINDS = {
    1: "RADIOSONDE_TEMPERATURE",
    2: "ACARS_U_WIND_COMPONENT",
    3: "ACARS_V_WIND_COMPONENT",
    4: "GPSRO_REFRACTIVITY",
    5: "LAND_SFC_TEMPERATURE",
    6: "LAND_SFC_ALTIMETER",
    7: "RADIOSONDE_SPECIFIC_HUMIDITY",
    8: "MARINE_SFC_U_WIND_COMPONENT",
}
NOON = "43200 149763"
"""12 UTC on 2011-01-15, which is 149763 days after 1601-01-01: 410 years of 365 days, 99 leap days, and 14 days."""


def record(copies="250.5", marks="0.0", kind=1, place="0.5 0.25 50000.0 2", time=NOON, variance="4.0", extra=""):
    """The lines of one observation after `OBS n`, `LINKS` for its links; copies and marks are separated by blanks."""
    values = "\n".join(f"   {value}" for value in [*copies.split(), *marks.split()])
    return f"{values}\nLINKS\nobdef\nloc3d\n  {place}\nkind\n    {kind}\n{extra} {time}\n   {variance}\n"


def sequence(*records, copies=("observation",), marks=("Data QC",), links=None, first=1, count=None, begin=None) -> str:
    n = len(records)
    count = n if count is None else count
    links = links or [f"{i} {i + 2 if i + 1 < n else -1} -1" for i in range(n)]
    types = "".join(f"  {number} {name}    \n" for number, name in KINDS.items())
    head = f" obs_sequence\nobs_type_definitions\n   {len(KINDS)}\n{types}" if begin is None else begin
    head += f"  num_copies: {len(copies)}  num_qc: {len(marks)}\n  num_obs: {count}  max_num_obs: {count}\n"
    head += "".join(f"{name}    \n" for name in (*copies, *marks)) + f"  first: {first}  last: {n}\n"
    return head + "".join(f" OBS {i + 1}\n{text.replace('LINKS', f'  {links[i]}')}" for i, text in enumerate(records))


def read(folder: Path, *records, **header) -> Observations:
    path = folder / "obs_seq.csv"
    path.write_text(sequence(*records, **header))
    return read_observations(path)


def test_an_observation_in_si(tmp_path):
    result = read(tmp_path, record())
    assert result.variable.tolist() == ["t"]
    assert result.value.tolist() == [250.5]
    assert result.error.tolist() == [2.0]
    assert result.pressure.tolist() == [50_000.0]
    # radians: 0.5 · 180/π and 0.25 · 180/π
    np.testing.assert_allclose(result.longitude, [28.64788975654116])
    np.testing.assert_allclose(result.latitude, [14.32394487827058])
    assert result.time[0] == np.datetime64("2011-01-15T12:00:00")
    assert result.report.tolist() == ["sonde"]
    assert result.row.tolist() == [1]
    assert result.used.all()


def test_the_old_name_of_the_types_and_no_first_line(tmp_path):
    begin = "obs_kind_definitions\n 1\n 1 RADIOSONDE_TEMPERATURE\n"
    assert read(tmp_path, record(), begin=begin).value.tolist() == [250.5]


def test_fortran_double_precision(tmp_path):
    result = read(tmp_path, record(copies="0.2505D+03", variance="4.0D0"))
    assert (result.value[0], result.error[0]) == (250.5, 2.0)


@pytest.mark.parametrize(
    ("names", "index"),
    [
        (("observation", "prior ensemble mean", "prior ensemble spread"), 0),
        (("truth", "NCEP BUFR observation"), 1),
        (("prior ensemble member      1", "observations", "truth"), 1),
        (("MADIS observation", "observation"), 1),
        (("WMO DATA",), 0),
    ],
)
def test_the_copy_that_is_the_observation(tmp_path, names, index):
    values = [str(250 + i) for i in range(len(names))]
    assert read(tmp_path, record(copies=" ".join(values)), copies=names).value.tolist() == [250.0 + index]


def test_a_file_of_model_values_only(tmp_path):
    with pytest.raises(BadDataError, match="no copy is the observation, there are: 'truth', 'prior ensemble mean'"):
        read(tmp_path, record(copies="1 2"), copies=("truth", "prior ensemble mean"))


@pytest.mark.parametrize(("mark", "flag"), [(0, Flag.PASS), (3, Flag.PASS), (4, Flag.PRE_QC), (15, Flag.PRE_QC)])
@pytest.mark.parametrize("name", ["Data QC", "NCEP QC index", "MADIS QC"])
def test_marks_that_came_with_the_observation(tmp_path, name, mark, flag):
    result = read(tmp_path, record(marks=f"{mark}.0"), marks=(name,))
    assert result.flag.tolist() == [flag]
    assert result.reason[0] == ("" if flag == Flag.PASS else f"{name} {mark} in the file (0 to 3 are used)")


@pytest.mark.parametrize(
    ("mark", "flag", "use"),
    [
        *((good, Flag.PASS, Use.ASSIMILATE) for good in (0, 2, 4, 8, -888888)),
        *((evaluated, Flag.PASS, Use.MONITOR) for evaluated in (1, 3, 5)),
        *((bad, Flag.PRE_QC, Use.ASSIMILATE) for bad in (6, 7, 9)),
    ],
)
def test_marks_of_dart(tmp_path, mark, flag, use):
    result = read(tmp_path, record(marks=f"0.0 {mark}.0"), marks=("Data QC", "DART quality control"))
    assert (result.flag[0], result.use[0]) == (flag, use)


@pytest.mark.parametrize(
    ("which", "says"),
    [
        (3, "placed by height (5500 m); H needs a pressure"),
        (1, "placed by model level; H needs a pressure"),
        (4, "placed by scale height; H needs a pressure"),
        (-1, "placed at the surface without its pressure; H needs a pressure"),
        (-2, "placed at no vertical place; H needs a pressure"),
        (7, "placed by which_vert 7; H needs a pressure"),
    ],
)
def test_places_that_h_cannot_use(tmp_path, which, says):
    result = read(tmp_path, record(place=f"0.5 0.25 5500.0 {which}"))
    assert result.flag.tolist() == [Flag.H_FAILED]
    assert result.reason.tolist() == [says]
    assert np.isnan(result.pressure[0])


def test_surface_observations_have_an_elevation_and_no_pressure(tmp_path):
    result = read(
        tmp_path,
        record(kind=5, place="0.5 0.25 312.0 -1"),
        record(kind=8, copies="5.0", place="0.5 0.25 10.0 3"),
        record(kind=6, copies="1013.0", place="0.5 0.25 312.0 -1"),
    )
    assert result.variable.tolist() == ["t2m", "u10", "LAND_SFC_ALTIMETER"]
    assert result.flag.tolist() == [Flag.PASS, Flag.PASS, Flag.H_FAILED]
    assert result.reason[2] == "unknown variable LAND_SFC_ALTIMETER"
    np.testing.assert_array_equal(result.elevation, [312.0, np.nan, 312.0])
    assert result.report.tolist()[:2] == ["synop", "ship"]


def test_lines_of_a_type_of_its_own_are_passed_over(tmp_path):
    extra = "gpsroref     504\n   0.0  0.0  0.0   GPSREF\n"
    result = read(tmp_path, record(kind=4, extra=extra, place="0.5 0.25 2600.0 3", variance="9.0"), record())
    assert result.variable.tolist() == ["GPSRO_REFRACTIVITY", "t"]
    assert result.flag.tolist() == [Flag.H_FAILED, Flag.PASS]
    assert result.error.tolist() == [3.0, 2.0]
    assert (result.time == np.datetime64("2011-01-15T12:00:00")).all()


def test_missing_values(tmp_path):
    result = read(
        tmp_path, record(copies="-888888.0"), record(copies="NaN"), record(variance="-888888.0"), record(variance="0.0")
    )
    assert result.flag.tolist() == [Flag.MISSING, Flag.MISSING, Flag.PASS, Flag.BOUNDS]
    assert np.isnan(result.error[2])
    assert result.reason[3] == "error variance 0 is not positive"


def test_a_time_that_is_none(tmp_path):
    assert read(tmp_path, record(time="0 10")).reason.tolist() == ["time is not within the years 1678 to 2261"]


def test_a_type_without_a_name(tmp_path):
    assert read(tmp_path, record(kind=-5)).reason.tolist() == ["unknown variable type -5"]


def test_the_linked_list_says_what_was_deleted(tmp_path):
    result = read(tmp_path, record(), record(), record(), links=["-1 3 -1", "1 3 -1", "1 -1 -1"])
    assert result.flag.tolist() == [Flag.PASS, Flag.PRE_QC, Flag.PASS]
    assert result.reason[1] == "deleted: not in the file's linked list"


def test_rows_are_in_the_files_order_whatever_the_list(tmp_path):
    result = read(tmp_path, record(copies="250"), record(copies="251"), links=["2 -1 -1", "-1 1 -1"], first=2)
    assert result.value.tolist() == [250.0, 251.0]
    assert result.used.all()


@pytest.mark.parametrize("links", [["-1 2 -1", "1 1 -1"], ["-1 7 -1", "1 -1 -1"]])
def test_a_broken_list(tmp_path, links):
    with pytest.raises(BadDataError, match="linked list is broken"):
        read(tmp_path, record(), record(), links=links)


def test_no_observations_are_none(tmp_path):
    assert len(read(tmp_path, first=-1)) == 0


def test_every_cut_is_found(tmp_path):
    """A file cut anywhere but at the end of its last line is refused in one line that names it."""
    text = sequence(record(kind=4, extra="gpsroref 5\n 1.0 GPSREF\n"), record(kind=2, copies="5.0"))
    path = tmp_path / "a"
    for end in range(20, len(text)):
        path.write_text(text[:end])
        with pytest.raises(BadDataError) as error:
            read_observations(path)
        assert str(error.value).startswith(f"{path}: ")
    path.write_text(text)
    assert len(read_observations(path)) == 2


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("loc3d", "loc1d", "'loc1d' where 'loc3d' is expected"),
        ("num_qc", "num_xx", "not the numbers of copies and QC fields"),
        ("   250.5", "   25x.5", "OBS 1 (line 18): '25x.5' is not a value"),
        ("0.5 0.25 50000.0 2", "0.5 0.25 50000.0", "is not longitude, latitude"),
        ("obs_type_definitions", "obs_types", "not obs_type_definitions"),
        ("num_obs: 1 ", "num_obs: 2 ", "holds 1 observations, its header says 2"),
    ],
)
def test_damage(tmp_path, old, new, says):
    text = sequence(record())
    assert old in text
    (tmp_path / "a").write_text(text.replace(old, new))
    with pytest.raises(BadDataError) as error:
        read_observations(tmp_path / "a")
    assert says in str(error.value)


def test_a_binary_file(tmp_path):
    (tmp_path / "a").write_bytes(b"\x0c\0\0\0obs_sequence\x0c\0\0\0")
    with pytest.raises(BadDataError, match="is a binary DART file; write it as text"):
        read_observations(tmp_path / "a")


def test_no_file(tmp_path):
    with pytest.raises(InputMissingError, match="no such file"):
        read_observations(tmp_path / "none")


def test_a_table_whose_column_is_called_so_is_still_a_table(tmp_path):
    (tmp_path / "a").write_text("obs_sequence,time,lat,lon,value,variable,p\n1,2011-01-15T12,1,2,250,t,500\n")
    assert read_observations(tmp_path / "a").value.tolist() == [250.0]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("RADIOSONDE_TEMPERATURE", ("t", "sonde")),
        ("AIRCRAFT_V_WIND_COMPONENT", ("v", "aircraft")),
        ("SAT_U_WIND_COMPONENT", ("u", "satwind")),
        ("RADIOSONDE_SURFACE_PRESSURE", ("sp", "sonde")),
        ("MARINE_SFC_PRESSURE", ("sp", "ship")),
        ("METAR_TEMPERATURE_2_METER", ("t2m", "metar")),
        ("METAR_U_10_METER_WIND", ("u10", "metar")),
        ("RADIOSONDE_GEOPOTENTIAL_HGT", ("gh", "sonde")),
        ("LAND_SFC_DEWPOINT", ("td", "synop")),
        ("SPECIFIC_HUMIDITY", ("q", "")),
        ("LAND_SFC_ALTIMETER", None),
        ("SEA_SURFACE_TEMPERATURE", None),
        ("FLOAT_TEMPERATURE", None),
        ("TEMPERATURES", None),
    ],
)
def test_types(name, found):
    assert find_kind(name) == found
