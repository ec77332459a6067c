"""`phyda info`: what a weights file is: grid, variables, levels, training, scores, sizes, digest; or what ships."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from phyda_cli.console import console
from phyda_cli.errors import BadDataError, InputMissingError

_KINDS: Final = {
    "phyda-model-1": "learned model",
    "phyda-background-error-1": "background-error statistics",
}
"""Formats of weights, and what they are called."""
_PASCAL_PER_HECTOPASCAL: Final = 100.0


def info(
    weights: Annotated[
        Path | None, typer.Argument(metavar="[WEIGHTS]", help="Weights of any kind that phyda writes.")
    ] = None,
) -> None:
    """Say what a weights file holds and where it comes from; without one, which ship with phyda and where they lie."""
    from phyda_cli.resources import sha256

    if weights is None:
        _shipped()
        return
    header, sizes = _read(weights)
    about = header.get("about") or header.get("provenance") or {}
    try:
        fields = _fields(header)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise BadDataError(f"{weights}: not weights that phyda writes, or damaged ({error})") from error
    report = {
        "file": str(weights),
        "kind": _KINDS[header["format"]],
        "format": header["format"],
        "sha256": sha256(weights),
        "bytes": weights.stat().st_size,
        **fields,
        **({"parameters": _parameters(sizes)} if any(name.startswith("model.") for name in sizes) else {}),
        **({"config": header["config"]} if "config" in header else {}),
        "about": about,
    }
    console.result("\n".join(_lines(report)), {"status": "ok", **report})


def _shipped() -> None:
    """Show the shipped weights with their place, kind and size, and whether they are as they were shipped."""
    from phyda_cli.resources import sha256, weights_directory, weights_manifest

    place = weights_directory()
    files: list[dict[str, Any]] = []
    for name, digest in weights_manifest().items():
        path = place / name
        header, _ = _read(path)
        found = sha256(path)
        files.append(
            {
                "file": str(path),
                "kind": _KINDS[header["format"]],
                "bytes": path.stat().st_size,
                "sha256": found,
                "as_shipped": found == digest,
            }
        )
    width = max(map(len, _KINDS.values()))
    lines = [
        f"{one['kind']:<{width}}  {one['bytes'] / 1e6:6.1f} MB  {'' if one['as_shipped'] else 'CHANGED  '}{one['file']}"
        for one in files
    ]
    console.result("\n".join(lines), {"status": "ok", "directory": str(place), "files": files})


def _read(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the header and the size of every tensor. Raises InputMissingError, or BadDataError for anything else."""
    from safetensors import SafetensorError, safe_open

    from phyda_cli.resources import phyda_header

    if not path.is_file():
        raise InputMissingError(f"{path}: no such weights")
    try:
        with safe_open(str(path), framework="numpy") as file:
            header = phyda_header(file.metadata())
            names = list(file.keys())
            sizes = {name: math.prod(file.get_slice(name).get_shape()) for name in names}
        kind = header["format"]
    except (SafetensorError, KeyError, ValueError, TypeError, OSError) as error:
        raise BadDataError(f"{path}: not weights that phyda writes, or damaged ({error})") from error
    if not isinstance(kind, str) or kind not in _KINDS:
        raise BadDataError(f"{path}: weights of format {kind!r}; this phyda knows {', '.join(_KINDS)}")
    return header, sizes


def _fields(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return the grid, and the levels [Pa] of each variable, none for one on a single level."""
    grid = header.get("grid") or header
    latitudes, longitudes = ([float(degrees) for degrees in grid[name]] for name in ("latitudes", "longitudes"))
    variables: dict[str, list[float]] = {}
    for name, level in header["channels"]:
        variables.setdefault(str(name), []).extend([] if level is None else [float(level)])
    return {
        "grid": {
            "rows": len(latitudes),
            "columns": len(longitudes),
            "latitudes": [latitudes[0], latitudes[-1]],
            "longitudes": [longitudes[0], longitudes[-1]],
        },
        "variables": variables,
    }


def _parameters(sizes: Mapping[str, int]) -> dict[str, int]:
    """Return numbers of parameters of each network, and of all."""
    networks: dict[str, int] = {}
    for name, size in sizes.items():
        if name.startswith("model."):
            network = name.split(".")[1]
            networks[network] = networks.get(network, 0) + size
    return {**networks, "all": sum(networks.values())}


def _lines(report: Mapping[str, Any]) -> list[str]:
    """Return the report for people: one aligned line an entry."""
    grid = report["grid"]
    rows: list[tuple[str, str]] = [(name, str(report[name])) for name in ("file", "kind", "format", "sha256", "bytes")]
    north, south, west, east = (f"{degrees:.2f}" for degrees in (*grid["latitudes"], *grid["longitudes"]))
    rows.append(
        ("grid", f"{grid['rows']} x {grid['columns']}, latitudes {north} to {south}, longitudes {west} to {east}")
    )
    for name, levels in report["variables"].items():
        shown = " ".join(f"{level / _PASCAL_PER_HECTOPASCAL:g}" for level in levels)
        rows.append((f"variable {name}", f"{shown} hPa" if levels else "one level"))
    for part in ("parameters", "config", "about"):
        rows += _flat(part, report.get(part, {}))
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {text}" for name, text in rows]


def _flat(name: str, value: Any) -> list[tuple[str, str]]:
    """Return an entry and those inside it, each by its full name."""
    if isinstance(value, Mapping):
        return [row for key, inner in value.items() for row in _flat(f"{name} {key}", inner)]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [(name, " ".join(map(str, value)))]
    return [(name, f"{value:.6g}" if isinstance(value, float) else "none" if value is None else str(value))]
