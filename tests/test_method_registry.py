"""A new method is one file and one row: its options reach the command, its checks, its help and the experiments."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated

import pytest
import torch

from phyda_cli.errors import UsageError
from phyda_cli.fields.state import State
from phyda_cli.methods.base import Method, zero
from phyda_cli.settings import methods as registry
from phyda_cli.settings.assimilate import command_fields, merge_config
from phyda_cli.settings.methods import METHODS, MethodEntry, MethodSettings, make, method_fields, owners
from phyda_cli.settings.option import Option, fields_of, parameters
from tests.support.background_error import CHANNELS, GRID, zero_time
from tests.support.observations import make_departures

FILES = {"background": "b.nc", "observations": "o.csv", "output": "a.nc"}


@dataclass(frozen=True, kw_only=True)
class NudgingSettings(MethodSettings):
    strength: Annotated[float, Option("How far towards the observations.", "X", default="0.5", gt=0, le=1)] = 0.5


@dataclass(frozen=True)
class Nudging(Method):
    strength: float
    name: str = "nudging"

    def increments(self, cases):
        return [zero(case.background, case.background, None) for case in cases]


@pytest.fixture
def nudging(monkeypatch) -> MethodEntry:
    module = ModuleType("nudging_of_this_test")
    module.make = lambda settings, material: Nudging(settings.strength)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    entry = MethodEntry("nudging", NudgingSettings, f"{module.__name__}:make")
    monkeypatch.setattr(registry, "METHODS", (*METHODS, entry))
    return entry


def test_its_options_are_those_of_the_command(nudging):
    found = {field.name: field for field in method_fields()}
    assert found["strength"].option.help == "How far towards the observations (nudging)."
    assert owners("strength") == ("nudging",)
    assert [field.name for field in command_fields()].count("members") == 1
    parameter = {one.name: one for one in parameters(command_fields())}["strength"]
    assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
    assert parameter.annotation.__metadata__[0].help.endswith("(nudging). [default: 0.5]")


def test_its_settings_make_it(nudging):
    settings = nudging.settings(strength=0.25)
    method = make(nudging, settings, None)
    assert method.strength == 0.25
    background = State(torch.ones(len(CHANNELS), *GRID.shape, dtype=torch.float64), CHANNELS, GRID, zero_time())
    assert not method.increment(background, make_departures([])).mean.values.any()


def test_another_method_s_option_is_refused_with_its_owner(nudging):
    with pytest.raises(UsageError, match="--strength: is of --method nudging, not of phyda"):
        merge_config(None, {**FILES, "strength": 0.3})


def test_every_option_has_one_declaration():
    """No option of the command stands in two settings classes with different help or limits."""
    seen: dict[str, Option] = {}
    for settings in [entry.settings for entry in METHODS]:
        for field in fields_of(settings):
            other = seen.setdefault(field.name, field.option)
            assert field.option.with_default("") == other.with_default(""), field.name


def test_limits_name_the_option():
    for flags, message in (
        ({"churn": -1.0}, r"--churn: .*greater than or equal to 0"),
        ({"evaluations": 0}, r"--evaluations: .*greater than or equal to 1"),
        ({"method": "letkf", "relaxation": 1.5}, r"--relaxation: .*less than or equal to 1"),
        ({"method": "letkf", "localisation": float("nan")}, "--localisation"),
        ({"method": "letkf", "members": 1}, "letkf needs at least 2 members"),
        ({"method": "kriging"}, "--method"),
        ({"background_error_scale": "0"}, "--background-error-scale"),
    ):
        with pytest.raises(UsageError, match=message):
            merge_config(None, {**FILES, **flags})


def test_defaults_are_the_methods_own():
    assert merge_config(None, FILES).own.background_error_scale == "auto"
    assert merge_config(None, {**FILES, "method": "letkf"}).own.background_error_scale == 1.0
    assert merge_config(None, {**FILES, "method": "oi"}).document()["method"] == "oi"
