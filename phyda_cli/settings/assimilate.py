"""The settings of `phyda assimilate`: one declaration of each option, beside those of the methods (`methods.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from phyda_cli.errors import ConfigError, UsageError
from phyda_cli.settings.methods import METHODS, MethodEntry, MethodSettings, entry_of, method_fields, owners
from phyda_cli.settings.option import Field, Option, as_json, fields_of, validated
from phyda_cli.settings.values import duration, member_numbers, moment, several

Settings = TypeVar("Settings")
Common = TypeVar("Common", bound="AnalysisSettings")

_MOST_THREADS: Final = 1024
LayoutName = Literal["earth2studio", "anemoi", "weatherbench2", "aurora", "graphcast"]
"""Layouts in which machine-learning models take initial conditions (`formats/models/layouts.py`)."""


def _files(value: Any) -> Any:
    """At least one file. Raises ValueError."""
    found = several(value)
    if isinstance(found, list | tuple) and not found:
        raise ValueError("name at least one file")
    return found


@dataclass(frozen=True, kw_only=True)
class FileSettings:
    """The files of the command."""

    background: Annotated[
        tuple[Path, ...],
        Option(
            "Background file, GRIB or NetCDF; repeat to merge several, or for the members of an ensemble.", "FILE",
            names=("--background", "-b"), read=_files,
        ),
    ]  # fmt: skip
    observations: Annotated[
        tuple[Path, ...],
        Option(
            "Observations in any format that docs/formats.md lists; - reads CSV from stdin. Repeatable.", "FILE",
            names=("--obs", "--observations", "-y"), read=_files,
        ),
    ]  # fmt: skip
    output: Annotated[
        Path | None,
        Option(
            "The analysis: GRIB where its name ends so (.grib2, .grb …), by a GRIB background; else NetCDF. "
            "Needed but for --dry-run.", "FILE",
            names=("--out", "--output", "-o"),
        ),
    ] = None  # fmt: skip
    fgat: Annotated[
        tuple[Path, ...],
        Option(
            "Background at other times of the window, for early and late observations. Repeatable.", "FILE",
            read=several,
        ),
    ] = ()  # fmt: skip
    feedback: Annotated[Path | None, Option("Also write what became of every observation, NetCDF.", "FILE")] = None
    feedback_format: Annotated[Literal["phyda", "ioda"], Option("Layout of the feedback.", default="phyda")] = "phyda"
    increment: Annotated[Path | None, Option("Also write analysis minus background, as --out.", "FILE")] = None
    spread_out: Annotated[
        Path | None, Option("Also write the spread alone, as --out; a NetCDF analysis holds it too.", "FILE")
    ] = None
    members_out: Annotated[Path | None, Option("Also write every member of the analysis, as --out.", "FILE")] = None
    layout: Annotated[
        LayoutName | None,
        Option("Layout of --layout-out."),
    ] = None
    layout_out: Annotated[
        Path | None, Option("Also write the initial condition of a machine-learning model, in a --layout.", "FILE")
    ] = None
    previous: Annotated[
        Path | None, Option("The analysis 6 h before, for models of --layout that want two times.", "FILE")
    ] = None


@dataclass(frozen=True, kw_only=True)
class BackgroundChoice:
    """What is read of a background."""

    time: Annotated[
        datetime | None,
        Option("Valid time, ISO 8601 UTC; needed where the background holds several.", "TIME", read=moment),
    ] = None
    member: Annotated[
        int | tuple[int, ...] | None,
        Option("Member of a background ensemble, or several: 3, or 0,3-7.", "N|LIST", read=member_numbers),
    ] = None
    select: Annotated[
        dict[str, str], Option("Choice along another dimension or GRIB key. Repeatable.", "KEY=VALUE")
    ] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TableChoice:
    """What is said of observations beside their files."""

    stations: Annotated[Path | None, Option("Places of stations, CSV, for reports that have none (METAR).", "FILE")] = (
        None
    )
    units: Annotated[
        dict[str, str], Option("Unit of a table's column that does not say it. Repeatable.", "COLUMN=UNIT")
    ] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AnalysisSettings:
    """What decides an analysis, in the command as in the library, beside the settings of its method."""

    method: Annotated[
        Literal[tuple(entry.name for entry in METHODS)],  # type: ignore[valid-type]
        Option("The assimilation method.", default=METHODS[0].name),
    ] = METHODS[0].name
    window: Annotated[
        timedelta,
        Option(
            "Reject observations farther from the valid time: 3h, 90min, PT3H.", "DURATION", default="3h",
            read=duration, gt=timedelta(0),
        ),
    ] = timedelta(hours=3)  # fmt: skip
    margin: Annotated[
        float,
        Option(
            "Use observations so far outside of a regional background too, with its fields as at its rim.", "KM",
            default="0", ge=0,
        ),
    ] = 0.0  # fmt: skip
    taper: Annotated[
        float,
        Option(
            "Let increments fade in a strip so wide along the rim of a regional background.", "KM", default="0", ge=0
        ),
    ] = 0.0
    withhold: Annotated[str | None, Option('Withhold these observations, to judge by: "station % 5 == 0".', "RULE")] = (
        None
    )
    errors: Annotated[Path | None, Option("TOML file of observation errors, instead of those shipped.", "FILE")] = None
    quality: Annotated[Path | None, Option("TOML file: blacklist, checks, thinning, superobs.", "FILE")] = None
    surface: Annotated[
        Literal["auto", "off"],
        Option("Analyse near the ground what the background has there, after the upper air; off: not.", default="auto"),
    ] = "auto"
    orography: Annotated[
        Path | None, Option("File with the height of the background's ground, where its own has none.", "FILE")
    ] = None
    land_sea: Annotated[Path | None, Option("File with its land-sea mask, the same.", "FILE")] = None
    on_empty: Annotated[
        Literal["background", "fail"],
        Option("Without a usable observation write the background, or fail (65).", default="background"),
    ] = "background"
    max_reject_fraction: Annotated[
        float, Option("Fail (65) when more of the observations is rejected.", "X", default="1", ge=0, le=1)
    ] = 1.0
    device: Annotated[Literal["auto", "cpu", "cuda"], Option("Where to compute.", default="auto")] = "auto"
    seed: Annotated[int, Option("Seed of the random numbers.", "N", default="0", ge=0, lt=2**63)] = 0
    threads: Annotated[int, Option("Processor threads.", "N", default="1", ge=1, le=_MOST_THREADS)] = 1
    dry_run: Annotated[bool, Option("Read and check everything, say what would be done; write --feedback alone.")] = (
        False
    )


@dataclass(frozen=True, kw_only=True)
class AssimilateConfig(AnalysisSettings, TableChoice, BackgroundChoice, FileSettings):
    """The keys of a configuration file are the names of the fields, and those of the method's settings."""

    on_missing_obs: Annotated[
        Literal["fail", "warn"],
        Option("An observation file that is not there, or empty: fail (66), or go on with the others.", default="fail"),
    ] = "fail"
    overwrite: Annotated[bool, Option("Replace outputs that exist.")] = False
    wait: Annotated[
        timedelta,
        Option(
            "Wait for a run that holds an output: 30s, 10min.", "DURATION", default="0s, then exit 75",
            read=duration, ge=timedelta(0),
        ),
    ] = timedelta(0)  # fmt: skip
    carry: Annotated[
        Path | None, Option("What the cycle before left, JSON; read first, written anew at the end.", "FILE")
    ] = None
    carry_new: Annotated[bool, Option("First cycle: begin the file of --carry, which must not exist.")] = False


@dataclass(frozen=True)
class Chosen:
    """The settings of one analysis. common: of every method. own: of the method."""

    common: AnalysisSettings
    own: MethodSettings

    @property
    def entry(self) -> MethodEntry:
        """The method."""
        return entry_of(self.common.method)

    def document(self) -> dict[str, Any]:
        """Return all settings as JSON values."""
        return as_json(self.common) | as_json(self.own)


@dataclass(frozen=True)
class Run(Chosen):
    """The settings of one run of the command.

    missing: files of observations that it goes on without. command: the command line, as far as the result hangs on it.
    """

    common: AssimilateConfig
    missing: tuple[Path, ...] = ()
    command: str = ""

    @property
    def observations(self) -> tuple[Path, ...]:
        """The files of observations that are read."""
        return tuple(path for path in self.common.observations if path not in self.missing)


def command_fields() -> tuple[Field, ...]:
    """Return all options of the command; those of the methods stand after the method."""
    common, own = fields_of(AssimilateConfig), method_fields()
    place = next(number for number, one in enumerate(common) if one.name == "method") + 1
    return (*common[:place], *own, *common[place:])


def run_fields(asked: Run) -> tuple[Field, ...]:
    """Return the options that a run of its method has."""
    own = {one.name for one in (*fields_of(AssimilateConfig), *fields_of(type(asked.own)))}
    return tuple(one for one in command_fields() if one.name in own)


def merge_config(file: Path | None, flags: Mapping[str, Any]) -> Run:
    """Return the settings from a configuration file and the flags that were given (those that are not None).

    Raises InputMissingError when the file is not there, ConfigError naming file, key and value when it is wrong, and
    UsageError naming the option when a flag is wrong, a required setting is missing, or an option is another method's.
    """
    from phyda_cli.settings.toml import read_toml, unknown_key

    given = {key: value for key, value in flags.items() if value is not None}
    held = {} if file is None else {key.replace("-", "_"): value for key, value in read_toml(file).items()}
    fields = {one.name: one for one in command_fields()}
    for key in held:
        if key not in fields:
            raise unknown_key(str(file), key, fields)
    values = {**held, **given}
    common, own = _Origin(file, frozenset(given), fields).of_method(AssimilateConfig, values)
    entry = entry_of(common.method)
    if common.output is None and not common.dry_run:
        raise UsageError(_missing("output"))
    if common.members_out is not None and not entry.has_members:
        raise UsageError(f"--members-out {common.members_out}: {entry.name} has no members")
    if (common.layout is None) != (common.layout_out is None):
        raise UsageError("--layout NAME and --layout-out FILE go together; give both")
    if common.previous is not None and common.layout is None:
        raise UsageError(f"--previous {common.previous}: is for --layout, which is not given")
    for option, path in (("--members-out", common.members_out), ("--spread-out", common.spread_out)):
        if path is not None and entry.has_members and own.members == 0:
            raise UsageError(f"{option} {path}: --members 0 makes none")
    return Run(common, own)


def chosen_settings(values: Mapping[str, Any]) -> Chosen:
    """The settings of an analysis by their names, those that are None not given.

    Raises ConfigError for a name that is none, UsageError as `merge_config` does.
    """
    from phyda_cli.settings.toml import unknown_key

    fields = {one.name: one for one in (*fields_of(AnalysisSettings), *method_fields())}
    for key in values:
        if key not in fields:
            raise unknown_key("assimilate", key, fields)
    given = {key: value for key, value in values.items() if value is not None}
    return Chosen(*_Origin(None, frozenset(given), fields).of_method(AnalysisSettings, given))


def checked(settings: type[Settings], **values: Any) -> Settings:
    """Values that no configuration file gave, as settings. Raises UsageError naming the option that is wrong."""
    return _Origin(None, frozenset(values), {}).checked(settings, values)


def _missing(key: str) -> str:
    """Return the message for a setting without which there is no run."""
    return f"--{key.replace('_', '-')} is missing; give it, or set {key} in a file given with --config"


@dataclass(frozen=True)
class _Origin:
    """Where values come from, for messages. given: the keys of flags. fields: all options, by name."""

    file: Path | None
    given: frozenset[str]
    fields: Mapping[str, Field]

    def of_method(self, settings: type[Common], values: Mapping[str, Any]) -> tuple[Common, MethodSettings]:
        """Checked settings of all methods and of the one that they name. Raises for an option of another method."""
        names = {one.name for one in fields_of(settings)}
        common = self.checked(settings, {key: value for key, value in values.items() if key in names})
        entry = entry_of(common.method)
        known = {one.name for one in fields_of(entry.settings)}
        for key in values:
            if key not in names | known:
                raise self.not_of(entry, key)
        own = self.checked(entry.settings, {key: value for key, value in values.items() if key in known})
        problem = own.problem()
        if problem is not None:
            raise UsageError(problem)
        return common, own

    def checked(self, settings: type[Settings], values: Mapping[str, Any]) -> Settings:
        """Checked settings. Raises UsageError or ConfigError for the first that is wrong or missing."""
        from pydantic import ValidationError

        from phyda_cli.settings.toml import reason

        try:
            return validated(settings, values)
        except ValidationError as error:
            key = str(error.errors()[0]["loc"][0])
            option = f"--{key.replace('_', '-')}"
            if error.errors()[0]["type"] == "missing":
                raise UsageError(_missing(key)) from error
            if key in self.given or self.file is None:
                raise UsageError(f"{option}: {reason(error)}") from error
            raise ConfigError(f"{self.file}: key {key!r}: {reason(error)}") from error

    def not_of(self, entry: MethodEntry, key: str) -> UsageError | ConfigError:
        """Return the error for an option that the method does not have."""
        whose, hint = " or ".join(owners(key)), entry.hints.get(key)
        text = f"is of --method {whose}, not of {entry.name}" + (f"; {hint}" if hint else "")
        if key in self.given or self.file is None:
            return UsageError(f"{self.fields[key].spelling}: {text}")
        return ConfigError(f"{self.file}: key {key!r}: {text}")
