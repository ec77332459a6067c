"""The choice of the device to compute on."""

from __future__ import annotations

import logging

from phyda_cli.errors import DeviceError

_log = logging.getLogger(__name__)


def choose_device(wanted: str) -> str:
    """cpu or cuda for auto, cpu or cuda; says what auto chose. Raises DeviceError for CUDA where there is none."""
    import torch

    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise DeviceError("--device cuda: torch finds no CUDA device here; use --device auto or cpu")
    chosen = ("cuda" if there else "cpu") if wanted == "auto" else wanted
    _log.info("device: %s", torch.cuda.get_device_name() if chosen == "cuda" else "cpu")
    return chosen
