"""`phyda doctor`: what this machine and this installation have."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path
from typing import Any, Final

import typer

from phyda_cli import __version__
from phyda_cli.console import console
from phyda_cli.errors import ConfigError, ExitCode

_LIBRARIES: Final = ("torch", "numpy", "pandas", "xarray", "netCDF4", "cfgrib", "eccodes", "safetensors", "typer")
_EXTRAS: Final = {"store": ("zarr",), "simulate": ("jcm", "zarr"), "plot": ("matplotlib",)}


def doctor() -> None:
    """Say which versions, devices, extras, weights, memory and disk phyda finds; exit 78 when something is broken."""
    from importlib.util import find_spec

    report: dict[str, Any] = {
        "phyda": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "extras": {name: all(find_spec(m) is not None for m in needs) for name, needs in _EXTRAS.items()},
        "torch": _torch(),
        "eccodes": _eccodes(),
        "weights": _weights(),
        "memory_gib": _memory(),
        "disk_free_gib": _gib(shutil.disk_usage(Path.cwd()).free),
    }
    problems = [f"{name} is not installed" for name, version in report["libraries"].items() if version is None]
    problems += [
        part["problem"] for part in (report["torch"], report["eccodes"], report["weights"]) if "problem" in part
    ]
    report["status"] = "error" if problems else "ok"
    report["problems"] = problems
    console.result("\n".join(_lines(report)), report)
    if problems:
        raise typer.Exit(ExitCode.BAD_CONFIG)


def _version(library: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def _torch() -> dict[str, Any]:
    try:
        import torch
    except (ImportError, OSError) as error:
        return {"problem": f"torch cannot be imported ({error})"}
    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {"threads": torch.get_num_threads(), "processors": os.cpu_count(), "cuda": devices}


def _eccodes() -> dict[str, Any]:
    try:
        import eccodes

        return {"library": eccodes.codes_get_api_version()}
    except (ImportError, OSError, RuntimeError) as error:
        return {"problem": f"eccodes cannot be used ({error}); GRIB files cannot be read"}


def _weights() -> dict[str, Any]:
    from phyda_cli.resources import sha256, weights_manifest, weights_path

    try:
        broken = [name for name, digest in weights_manifest().items() if sha256(weights_path(name)) != digest]
        files = {name: "broken" if name in broken else "ok" for name in weights_manifest()}
    except ConfigError as error:
        return {"problem": str(error)}
    return {"files": files} | ({"problem": f"damaged weights: {', '.join(broken)}; reinstall phyda"} if broken else {})


def _memory() -> dict[str, float]:
    """Total and available memory [GiB] as Linux says it; empty elsewhere."""
    table = Path("/proc/meminfo")
    if not table.is_file():
        return {}
    entries = dict(line.split(":", 1) for line in table.read_text(encoding="ascii").splitlines() if ":" in line)
    wanted = {"total": "MemTotal", "available": "MemAvailable"}
    return {name: _gib(int(entries[key].split()[0]) * 1024) for name, key in wanted.items() if key in entries}


def _gib(size: int) -> float:
    return round(size / 2**30, 1)


def _lines(report: dict[str, Any]) -> list[str]:
    """Return the report for people: one aligned line an entry."""
    flat: list[tuple[str, str]] = []
    for name, value in report.items():
        if isinstance(value, dict):
            flat += [(f"{name} {key}", _text(entry)) for key, entry in value.items()]
        else:
            flat.append((name, _text(value)))
    width = max(len(name) for name, _ in flat)
    return [f"{name:<{width}}  {text}" for name, text in flat]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {entry}" for key, entry in value.items()) or "none"
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "none"
    return "missing" if value is None else str(value)
