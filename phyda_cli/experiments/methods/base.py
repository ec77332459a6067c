"""What an experiment asks of a method: the increments of a batch of cases. One file for each family of methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from phyda_cli.experiments.cases import CaseBatch


@dataclass(frozen=True)
class Analyses:
    """x_a − x_b of a batch, SI. mean: (case, channel, lat, lon). members: (case, member, channel, lat, lon) or None."""

    mean: torch.Tensor
    members: torch.Tensor | None = None


class ExperimentMethod(Protocol):
    """One row of the comparison.

    It may read everything of a batch but `error` and the withheld places. Every method is told the same s.
    """

    @property
    def name(self) -> str:
        """How tables call it."""
        ...

    @property
    def identity(self) -> str:
        """All that decides its analyses beside the cases (digests, factors): records of another one are made anew."""
        ...

    def analyse(self, batch: CaseBatch) -> Analyses:
        """The increments of the batch; a case without observations is a case like any other."""
        ...
