"""An analysis is judged by the H that it had: constants of refractivity and bias of brightness temperatures."""

from __future__ import annotations

import json

import numpy as np
import pytest

from phyda_cli.assimilation import Analysis, AssimilationOptions, assimilate
from phyda_cli.cli.app import main
from phyda_cli.errors import BadDataError
from phyda_cli.evaluation.compare import compare_observations
from phyda_cli.fields.state import State
from phyda_cli.methods.as_analysed import AsAnalysed
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.settings import Quality, Refractivity
from phyda_cli.observations.table import Observations, concatenate
from phyda_cli.operators.first_guess import first_guess
from tests.cli.test_evaluate import write
from tests.support.background_error import small_statistics, zero_time
from tests.support.observations import observations
from tests.test_assimilation_occultation import background, profiles

BETA = [0.5, 0.3, -0.2, 0.4]
WINDOW = np.timedelta64(3, "h")


def radiances(state: State, count: int = 12) -> Observations:
    zenith = np.linspace(-50.0, 50.0, count)
    where = {"latitude": np.linspace(-60.0, 60.0, count), "station": "n19", "pressure": np.nan, "time": zero_time()}
    blank = observations("tb7", np.zeros(count), zenith=zenith, report="sounder", **where)
    values = first_guess(state, blank, {})(state.values)
    return observations("tb7", values, zenith=zenith, report="sounder", **where)


def analysed(rows: Observations) -> Analysis:
    return assimilate(
        background(),
        rows,
        method=ThreeDVar(small_statistics(), tolerance=1e-3),
        table=default_error_table(),
        options=AssimilationOptions(
            window=WINDOW,
            background_error_scale=1.0,
            quality=Quality(refractivity=Refractivity(constants="rueger")),
            memory={"bias n19 tb7": BETA},
        ),
    )


def test_the_background_has_the_departures_that_the_analysis_found():
    rows = concatenate([profiles(background(), [10_200.0], count=6), radiances(background())])
    made = analysed(rows)
    found, log = made.feedback.background_departure, json.loads(json.dumps(made.log))
    assert log["refractivity_constants"] == "rueger"
    assert log["bias n19 tb7"] == "0.5 0.3 -0.2 0.4"
    assert AsAnalysed(log).unsaid(rows) == []
    own = {"analysis": made.background}
    refracted, warm = compare_observations(own, rows, window=WINDOW, seen=AsAnalysed(log))
    assert [refracted.variable, warm.variable] == ["refractivity", "tb7"]
    assert refracted.scores["analysis"].bias == pytest.approx(-found[:6].mean(), rel=1e-12)
    assert warm.scores["analysis"].bias == pytest.approx(-found[6:].mean(), abs=1e-5)
    plain, unbiased = compare_observations(own, rows, window=WINDOW)
    # Rüger's constants make N 0.11 % larger, the bias moves H by what the coefficients say of each angle
    assert refracted.scores["analysis"].bias == pytest.approx(rows.value[:6].mean() * (77.689 / 77.6 - 1.0), rel=0.03)
    assert plain.scores["analysis"].bias == pytest.approx(0.0, abs=1e-9)
    assert unbiased.scores["analysis"].bias == pytest.approx(0.0, abs=1e-9)


def test_what_the_log_does_not_say_is_said():
    rows = concatenate([profiles(background(), [10_200.0], count=2), radiances(background(), count=2)])
    assert AsAnalysed({}).unsaid(rows) == [
        "the constants of refractivity (those of bevis are taken)",
        "a bias of n19 tb7 (none is taken)",
    ]
    assert AsAnalysed({}).unsaid(observations("t", [250.0])) == []


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ({"refractivity_constants": "thayer"}, "refractivity_constants thayer, which is none of"),
        ({"bias n19 tb7": "0.5 0.3"}, r"the log of bias n19 tb7 holds \['0.5', '0.3'\], not 4 coefficients"),
        ({"bias n19 tb7": "1 2 3 many"}, "not 4 coefficients"),
    ],
)
def test_a_log_that_is_none_is_refused(log, line):
    with pytest.raises(BadDataError, match=line):
        AsAnalysed(log).first_guess(background(), radiances(background(), count=1))


def test_the_command_takes_the_log_of_the_analysis_or_of_another_output(tmp_path, capsys):
    import xarray as xr

    analysis = write(tmp_path / "a.nc", 251.0)
    table = tmp_path / "withheld.csv"
    table.write_text(
        "time,latitude,longitude,zenith,variable,value,station\n2020-01-01T12:00:00Z,10,20,0,tb7,230,n19\n"
        "2020-01-01T12:00:00Z,10,20,,t,250,n19\n"
    )
    words = ["evaluate", "-a", analysis, "--obs", str(table), "--json"]
    assert main(words) == 65  # neither levels high enough nor a pressure
    assert "does not say a bias of n19 tb7 (none is taken); --log-of names" in capsys.readouterr().err
    other = tmp_path / "feedback.nc"
    xr.Dataset(attrs={"phyda_log": json.dumps({"bias n19 tb7": "1 0 0 0"})}).to_netcdf(other)
    assert main([*words, "--log-of", str(other)]) == 65
    assert "does not say" not in capsys.readouterr().err
    assert main([*words, "--log-of", analysis]) == 65
    assert "a.nc: holds no log of an analysis; name a NetCDF file" in capsys.readouterr().err
    assert main([*words, "--log-of", str(table)]) == 65
    assert main(["evaluate", "-a", analysis, "--truth", analysis, "--log-of", str(other)]) == 2
