"""Files of quality settings and errors: what they change, and one line for everything that can be wrong."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

from phyda_cli.errors import ConfigError, InputMissingError
from phyda_cli.formats.settings import read_errors, read_quality
from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.settings import Mesh, Quality

DOCUMENT = Path(__file__).parents[2] / "docs" / "quality.md"


def write(tmp_path, text):
    path = tmp_path / "settings.toml"
    path.write_text(text)
    return path


def test_a_file_says_only_what_is_different(tmp_path):
    assert read_quality(write(tmp_path, "")) == Quality()
    text = """
    [[blacklist]]
    station = "11035"
    pressure_hpa = [1, 100]
    [stuck]
    enabled = false
    [track.speed]
    ship = 20
    glider = 40
    [thinning]
    report = "aircraft"
    horizontal_km = 80
    """
    found = read_quality(write(tmp_path, text))
    assert found.blacklist[0].station == ("11035",)
    assert not found.stuck.enabled
    assert found.thinning == (Mesh(report="aircraft", horizontal_km=80),)
    assert found.track.speed == {"aircraft": 400, "ship": 20, "buoy": 10, "glider": 40}
    assert found.profile == Quality().profile


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[trak]\nenabled = false", "unknown key 'trak'; did you mean 'track'?"),
        ("[profile]\nsuperadiabtic_k = 3", "unknown key 'profile.superadiabtic_k'; did you mean 'superadiabatic_k'?"),
        ("[[thinning]]\nvertical_hpa = 3", "key 'thinning.0.horizontal_km': Field required"),
        ("[[thinning]]\nhorizontal_km = 0", r"key 'thinning.0.horizontal_km': .*greater than 0 \(got 0\)"),
        (
            "[thinning]\nhorizontal_km = 9\nvertical_hpa = 9\nvertical_ln = 9",
            "key 'thinning.0': vertical_hpa and .*keep",
        ),
        ("[[blacklist]]\nlatitude = [50, 40]", r"key 'blacklist.0': latitude = \[50, 40\] is not in ascending order"),
        ("[superob]\nhorizontal_km = 9\ncorrelation = 2", "key 'superob.0.correlation'.*less than or equal to 1"),
        ("[track]\nspeed = 5", r"key 'track.speed': .*valid dictionary \(got 5\)"),
        ("[track", "not a TOML file"),
    ],
)
def test_a_wrong_quality_file_is_one_line_with_file_and_key(tmp_path, text, message):
    with pytest.raises(ConfigError, match=rf"settings\.toml: .*{message}") as error:
        read_quality(write(tmp_path, text))
    assert "\n" not in str(error.value)


def test_errors_extend_those_that_ship(tmp_path):
    text = """
    [sigma.t]
    units = "K"
    pressure = [10000, 100000]
    sigma = [2.0, 1.0]
    [sigma.u.aircraft]
    sigma = 2.2
    [inflation]
    q = 1.5
    [background_check]
    q = 3.5
    """
    found, shipped = read_errors(write(tmp_path, text)), default_error_table()
    names = np.array(["t", "u", "u", "q"], dtype=object)
    kinds = np.array(["", "amdar", "sonde", ""], dtype=object)
    sigma = found.sigma(names, np.full(4, 1e5), kinds)
    assert sigma[:2].tolist() == [1.0, 2.2]
    assert sigma[2:].tolist() == shipped.sigma(names, np.full(4, 1e5), kinds)[2:].tolist()
    assert found.final(names, sigma)[3] == pytest.approx(1.5 * sigma[3])
    assert found.limit(names).tolist() == [5.0, 5.0, 5.0, 3.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[sigma.temp]\nsigma = 1", "key 'sigma': 'temp' is not a variable"),
        ("[sigma.t]\nunits = 'degC'\nsigma = 1", "sigma.t is in 'degC'; give it in 'K'"),
        ("[sigma.t]\nsigma = [1, 2]\npressure = [5]", "key 'sigma.t.*': 2 values of sigma for 1 pressures"),
        ("[sigma.t]\nsigma = [1, 2]\npressure = [5, 4]", "key 'sigma.t.*ascending order"),
        ("[sigma.t]\nsigma = -1", "key 'sigma.t.sigma.0'.*greater than 0"),
        ("[sigma.t.amdar]\npresure = [1]\nsigma = [1]", "unknown key 'sigma.t.amdar.presure'; did you mean 'pressure'"),
        ("[inflation]\nt = 0", "key 'inflation.t'.*greater than 0"),
        ("[sigma.default]\nsigma = 1", "'default' is not a variable"),
        ("[inflations]\nt = 1", "unknown key 'inflations'; did you mean 'inflation'"),
        ("[background_check]\nx = 1", "'x' is not a variable"),
    ],
)
def test_a_wrong_error_file_is_one_line_with_file_and_key(tmp_path, text, message):
    with pytest.raises(ConfigError, match=rf"settings\.toml: .*{message}") as error:
        read_errors(write(tmp_path, text))
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    for read in (read_quality, read_errors):
        with pytest.raises(InputMissingError, match=r"none\.toml"):
            read(tmp_path / "none.toml")


def test_the_defaults_in_the_documentation_are_the_defaults():
    """The block of docs/quality.md that lists the defaults, and its examples, are valid."""
    blocks = [block.split("```")[0] for block in DOCUMENT.read_text(encoding="utf-8").split("```toml\n")[1:]]
    defaults = Quality.model_validate(tomllib.loads(blocks[0]))
    assert defaults == Quality()
    assert set(tomllib.loads(blocks[0])) == {
        "domain",
        "surface",
        "duplicates",
        "track",
        "stuck",
        "profile",
        "buddy",
        "consistency",
        "ambiguity",
        "refractivity",
        "bias",
        "sounder",
    }
    for name, table in tomllib.loads(blocks[0]).items():
        assert set(table) == set(type(getattr(defaults, name)).model_fields), name
    Quality.model_validate(tomllib.loads(blocks[1]))
