"""The settings of an experiment: which cases, which observations, how large the ensembles; and their digest."""

from __future__ import annotations

import hashlib
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

DENSITIES: Final = (10.0, 5.0, 2.0, 1.0, 0.5, 0.0)
"""The paper's densities [% of the grid values], and none at all."""
LARGEST_LEAD: Final = 72
"""Without a choice, all leads of the store up to this one [h]."""
_LAYOUT: Final = 3
"""Version of the records: others are not read."""


class Settings(BaseModel):
    """An experiment. leads: [h]. densities, withheld: in % of the grid values. noise: factor on the table's σ_o.

    withheld: observations of the truth, without noise, that no method sees. only: the channels that are observed, such
    as t850; empty for all. batch: dates solved together; it decides the rounding of the results. tuning_cases: of the
    validation part, for 3D-Var; 0 leaves it as it is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    part: Literal["train", "validation", "test"] = "test"
    dates: int = Field(default=200, ge=1)
    leads: tuple[int, ...] = Field(min_length=1)
    densities: tuple[Annotated[float, Field(ge=0.0, le=100.0)], ...] = Field(default=DENSITIES, min_length=1)
    members: int = Field(default=16, ge=2)
    noise: float = Field(default=1.0, gt=0.0)
    only: tuple[str, ...] = ()
    withheld: float = Field(default=2.0, gt=0.0, le=100.0)
    tuning_cases: int = Field(default=24, ge=0)
    batch: int = Field(default=16, ge=1)
    seed: int = Field(default=0, ge=0)

    def digest(self, *inputs: str) -> str:
        """SHA-256 of what decides the cases, and of the digests of the inputs. Densities and methods may be added."""
        own = self.model_dump_json(exclude={"densities", "members", "tuning_cases"})
        return hashlib.sha256("\n".join([str(_LAYOUT), own, *inputs]).encode()).hexdigest()
