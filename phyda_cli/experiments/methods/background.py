"""No analysis at all: the background is what every method has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from phyda_cli.experiments.cases import CaseBatch
from phyda_cli.experiments.methods.base import Analyses


@dataclass(frozen=True)
class BackgroundMethod:
    """x_a = x_b."""

    name: str = "background"
    identity: str = ""

    def analyse(self, batch: CaseBatch) -> Analyses:
        """Zero increments."""
        return Analyses(torch.zeros_like(batch.background))
