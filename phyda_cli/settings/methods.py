"""The assimilation methods by their names: a settings class and a row of `METHODS` for each, beside its own file.

The command's options, their checks, `--help`, docs/cli.md and the experiments come from here. `maker` names the
function `make(settings, material) -> Method` of the method's file, which is imported when the method is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from phyda_cli.settings.option import Field, Option, fields_of
from phyda_cli.settings.values import MOST_MEMBERS, several

Scale = float | Literal["auto"]
Truncation = int | Literal["auto"]
WeightSpacing = float | Literal["auto"]

_MEMBERS: Final = Option(
    "Samples for the analysis's uncertainty, 0: none; of a background ensemble the first N.",
    "N",
    ge=0,
    le=MOST_MEMBERS,
)
_SCALE: Final = Option(
    "Factor on the background errors; auto: from the departures.",
    "X|auto",
    names=("--background-error-scale", "--inflation"),
    gt=0,
)
_LOCALISATION: Final = Option("Distance from which an observation has no influence.", "KM", gt=0)
_VERTICAL: Final = Option("The same in ln p.", "X", gt=0)
_HUBER: Final = Option(
    "Where the cost of an observation begins to grow linearly, in observation errors; 0: never.",
    "X",
    default="1.5",
    ge=0,
)
_WEIGHTS: Final = Option("Learned model (phyda) or background-error statistics.", "FILE", default="those shipped")


@dataclass(frozen=True, kw_only=True)
class MethodSettings:
    """What every method has. members: None is the method's own number. background_error_scale: auto estimates it."""

    members: Annotated[int | None, _MEMBERS] = None
    background_error_scale: Annotated[Scale, _SCALE.with_default("auto")] = "auto"

    def problem(self) -> str | None:
        """Return what is wrong with these settings together, or None."""
        return None


@dataclass(frozen=True, kw_only=True)
class StatisticsSettings(MethodSettings):
    """Of a method with background-error statistics."""

    weights: Annotated[Path | None, _WEIGHTS] = None


@dataclass(frozen=True, kw_only=True)
class ThreeDVarSettings(StatisticsSettings):
    """Of 3D-Var."""

    members: Annotated[int | None, _MEMBERS.with_default("8")] = None
    truncation: Annotated[
        Truncation,
        Option(
            "Largest total wavenumber of the increments; auto: what the background's grid and the statistics hold.",
            "N|auto", default="auto", ge=1,
        ),
    ] = "auto"  # fmt: skip
    huber: Annotated[float, _HUBER] = 1.5


@dataclass(frozen=True, kw_only=True)
class LearnedSettings(ThreeDVarSettings):
    """Of the learned analysis, whose first guess is 3D-Var."""

    members: Annotated[int | None, _MEMBERS.with_default("16")] = None
    evaluations: Annotated[int, Option("Network evaluations for each sample.", "N", default="12", ge=1, le=100_000)] = (
        12
    )
    churn: Annotated[float, Option("Fresh noise before each evaluation.", "X", default="0", ge=0)] = 0.0
    background_error: Annotated[
        Path | None,
        Option("Background-error statistics of the first guess.", "FILE", default="those shipped"),
    ] = None

    def problem(self) -> str | None:
        """Say that one member makes no spread."""
        if self.members == 1:
            return "--members 1: one member makes no spread; give at least 2, or 0 for the mean alone"
        return None


@dataclass(frozen=True, kw_only=True)
class EnVarSettings(ThreeDVarSettings):
    """Of 3D-Var with a hybrid background error."""

    lagged: Annotated[
        tuple[Path, ...],
        Option("Another forecast for the background's time, as a member. Repeatable.", "FILE", read=several),
    ] = ()
    ensemble_weight: Annotated[
        float | None,
        Option(
            "Share of the members in the variance of the background error.", "X",
            default="0.5, of lagged forecasts alone 0.25", ge=0, le=1,
        ),
    ] = None  # fmt: skip
    localisation: Annotated[float, _LOCALISATION.with_default("3000")] = 3000.0
    vertical_localisation: Annotated[float, _VERTICAL.with_default("2")] = 2.0


@dataclass(frozen=True, kw_only=True)
class LetkfSettings(MethodSettings):
    """Of the LETKF, whose background error is the ensemble's."""

    background_error_scale: Annotated[Scale, _SCALE.with_default("1")] = 1.0
    localisation: Annotated[float, _LOCALISATION.with_default("1000")] = 1000.0
    vertical_localisation: Annotated[float, _VERTICAL.with_default("1")] = 1.0
    weight_spacing: Annotated[
        WeightSpacing,
        Option(
            "Distance between the places whose weights are computed, others are interpolated; 0: every point.",
            "KM|auto", default="auto, a quarter of the localisation", ge=0,
        ),
    ] = "auto"  # fmt: skip
    relaxation: Annotated[
        float, Option("Relax the spread to the background's, 0 to 1.", "X", default="0", ge=0, le=1)
    ] = 0.0

    def problem(self) -> str | None:
        """Say that an ensemble needs two members."""
        return None if self.members not in (0, 1) else f"--members {self.members}: letkf needs at least 2 members"


@dataclass(frozen=True)
class MethodEntry:
    """A method. maker: `module:function`. backgrounds: what it takes. has_members: whether its analysis has any.

    needs_weights: whether its weights must be named in experiments on a store. needs_members: whether one background
    is not enough for it. hints: said of options that it does not have.
    """

    name: str
    settings: type[MethodSettings]
    maker: str
    backgrounds: frozenset[Literal["one", "ensemble"]] = frozenset({"one"})
    has_members: bool = True
    needs_weights: bool = False
    needs_members: bool = False
    hints: Mapping[str, str] = field(default_factory=dict)


METHODS: Final[tuple[MethodEntry, ...]] = (
    MethodEntry("phyda", LearnedSettings, "phyda_cli.methods.phyda:make", needs_weights=True),
    MethodEntry(
        "3dvar",
        ThreeDVarSettings,
        "phyda_cli.methods.threedvar:make",
        backgrounds=frozenset({"one", "ensemble"}),
        hints={"background_error": "give the statistics with --weights"},
    ),
    MethodEntry(
        "envar",
        EnVarSettings,
        "phyda_cli.methods.envar:make",
        backgrounds=frozenset({"one", "ensemble"}),
        needs_members=True,
        hints={"background_error": "give the statistics with --weights"},
    ),
    MethodEntry(
        "oi",
        StatisticsSettings,
        "phyda_cli.methods.oi:make",
        has_members=False,
        hints={"background_error": "give the statistics with --weights"},
    ),
    MethodEntry(
        "surface",
        MethodSettings,
        "phyda_cli.methods.surface:make",
        has_members=False,
        hints={"weights": "the analysis near the ground has none"},
    ),
    MethodEntry(
        "letkf",
        LetkfSettings,
        "phyda_cli.methods.letkf:make",
        backgrounds=frozenset({"ensemble"}),
        hints={"weights": "letkf has none, its background error is the ensemble's"},
    ),
)
"""The first is the default."""


def entry_of(name: str) -> MethodEntry:
    """Return the method of a name. Raises ValueError for one that is none."""
    for entry in METHODS:
        if entry.name == name:
            return entry
    raise ValueError(f"{name!r} is no method; there are {', '.join(entry.name for entry in METHODS)}")


def make(entry: MethodEntry, settings: MethodSettings, material: Any) -> Any:
    """Return the method of these settings, by its own file. material: a `methods.material.Material`."""
    module, _, function = entry.maker.partition(":")
    return getattr(import_module(module), function)(settings, material)


def owners(option: str) -> tuple[str, ...]:
    """Return the names of the methods that have an option."""
    return tuple(entry.name for entry in METHODS if any(f.name == option for f in fields_of(entry.settings)))


def method_fields() -> tuple[Field, ...]:
    """Return the options of all methods, each once; the help says whose it is and what each takes without it."""
    found: dict[str, list[tuple[str, Field]]] = {}
    for entry in METHODS:
        for own in fields_of(entry.settings):
            found.setdefault(own.name, []).append((entry.name, own))
    return tuple(_together(held) for held in found.values())


def _together(held: list[tuple[str, Field]]) -> Field:
    from dataclasses import replace

    first = held[0][1]
    defaults = {name: own.option.default for name, own in held if own.option.default is not None}
    text = first.option.default
    if len(set(defaults.values())) > 1:
        common = max(set(defaults.values()), key=list(defaults.values()).count)
        several = list(defaults.values()).count(common) > 1
        shown = [common] if several else []
        shown += [f"{name} {value}" for name, value in defaults.items() if not (several and value == common)]
        text = ", ".join(shown)
    whose = "" if len(held) == len(METHODS) or first.name == "weights" else f" ({', '.join(name for name, _ in held)})"
    help_text = first.option.help
    if whose:
        help_text = f"{help_text[:-1]}{whose}."
    return replace(first, option=replace(first.option, help=help_text, default=text))
