"""An analysis by any method: a background and observations in, the analysis out (`run.py`)."""

from __future__ import annotations

from phyda_cli.assimilation.ending import Analysis, fading
from phyda_cli.assimilation.options import AssimilationOptions
from phyda_cli.assimilation.run import assimilate

__all__ = ["Analysis", "AssimilationOptions", "assimilate", "fading"]
