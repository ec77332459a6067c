"""The layout of an error table in TOML: `errors.toml`, which ships, and the user's `--errors FILE` that extends it.

[sigma.t]            units, pressure, sigma: σ of a variable, [sigma.t.aircraft] the same for a report type
[inflation]          factor on σ, by variable
[representativeness] σ_r to add in quadrature, by variable, SI
[background_check]   k, by variable; `default` for all others
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from phyda_cli.fields.variables import VARIABLES

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _one_or_several(value: Any) -> Any:
    return [value] if isinstance(value, int | float) else value


def _known(names: Any) -> Any:
    """Raises ValueError for a key that is no variable."""
    unknown = [name for name in names if name not in VARIABLES] if isinstance(names, dict) else []
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a variable (one of {', '.join(VARIABLES)})")
    return names


def _known_or_default(names: Any) -> Any:
    if isinstance(names, dict):
        _known({name: limit for name, limit in names.items() if name != "default"})
    return names


class ProfileEntry(BaseModel):
    """σ at pressures [Pa] in ascending order, or one for all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pressure: tuple[Positive, ...] = ()
    sigma: Annotated[tuple[Positive, ...], BeforeValidator(_one_or_several), Field(min_length=1)]

    @model_validator(mode="after")
    def _fits(self) -> ProfileEntry:
        if len(self.sigma) != max(len(self.pressure), 1):
            raise ValueError(f"{len(self.sigma)} values of sigma for {len(self.pressure)} pressures")
        if any(lower <= upper for upper, lower in zip(self.pressure, self.pressure[1:], strict=False)):
            raise ValueError("pressures [Pa] are not in ascending order")
        return self


class VariableEntry(BaseModel):
    """What is said of one variable: for every report, and for some report types (the other keys)."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, ProfileEntry] = Field(init=False)

    units: str | None = None
    pressure: tuple[Positive, ...] = ()
    sigma: Annotated[tuple[Positive, ...], BeforeValidator(_one_or_several)] = ()

    @model_validator(mode="after")
    def _fits(self) -> VariableEntry:
        if self.sigma or self.pressure:
            ProfileEntry(pressure=self.pressure, sigma=self.sigma)
        return self

    @property
    def by_report(self) -> dict[str, ProfileEntry]:
        """Entries by report type."""
        return dict(self.__pydantic_extra__)


class ErrorDocument(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sigma: Annotated[dict[str, VariableEntry], BeforeValidator(_known)] = Field(default_factory=dict)
    inflation: Annotated[dict[str, Positive], BeforeValidator(_known)] = Field(default_factory=dict)
    representativeness: Annotated[dict[str, NotNegative], BeforeValidator(_known)] = Field(default_factory=dict)
    background_check: Annotated[dict[str, Positive], BeforeValidator(_known_or_default)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _in_si(self) -> ErrorDocument:
        for name, entry in self.sigma.items():
            if entry.units is not None and entry.units != VARIABLES[name].units:
                raise ValueError(f"sigma.{name} is in {entry.units!r}; give it in {VARIABLES[name].units!r}")
        return self
