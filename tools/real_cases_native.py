"""Case D of `real_cases.py`: native BUFR and PREPBUFR files through the command, some stations withheld."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from markdown import markdown_table
from real_cases_inputs import january_mean

from phyda_cli.constants import GRAVITY

FILES: Final = {
    "temp_2008120812.bufr": ("2008-12-08T12:00", "WMO BUFR, 420 messages of TEMP"),
    "aircraft_20090123.bufr": ("2009-01-23T13:30", "WMO BUFR, aircraft reports"),
    "prepqm89010106.bufr": ("1989-01-01T06:00", "NCEP PREPBUFR, all types, with its quality marks"),
}
"""File of `obs` → valid time of the background, what it is."""
RULE: Final = "station % 5 == 0"
METHODS: Final = ("phyda", "3dvar")
SHOWN: Final = {"z": ("m", 1 / GRAVITY), "t": ("K", 1.0), "u": ("m s-1", 1.0), "v": ("m s-1", 1.0), "msl": ("Pa", 1.0)}
TEXT: Final = f"""## D. Native BUFR and PREPBUFR on the January mean

The files as they come, read by the command; every fifth station (`--withhold "{RULE}"`) is withheld by it as well.
Wall time and peak memory are of the whole process, one thread; other work may have shared the machine.
"""


class Shop(Protocol):
    """Where commands run."""

    folder: Path

    def phyda(self, *arguments: str) -> dict[str, Any]:
        """Run a command; its document."""
        ...

    def take_commands(self) -> list[str]:
        """The commands since the last call, as Markdown."""
        ...


def native(cases: Path, shop: Shop, counts: Callable[[Mapping[str, Any]], list[str]]) -> list[str]:
    """The section. counts: the lines on what became of the rows."""
    lines = [TEXT]
    for name, (time, what) in FILES.items():
        january_mean(cases, shop.folder / "january.nc", time)
        shutil.copyfile(cases / "obs" / name, shop.folder / name)
        documents = {
            method: shop.phyda(
                "assimilate", "--background", "january.nc", "--obs", name, "--out", f"d_{method}.nc",
                "--method", method, "--withhold", RULE, "--overwrite",
            )
            for method in METHODS
        }  # fmt: skip
        first = documents[METHODS[0]]
        lines += [f"### {name}", "", f"{what}: {first['observations']} rows, {first['used']} used.", ""]
        lines += shop.take_commands()
        lines += markdown_table(["", *METHODS], _costs(documents))
        lines += ["Withheld rows, RMS O−B → O−A; J_o/n of the rows that are used.", ""]
        lines += markdown_table(["variable", "unit", "withheld", *METHODS, "J_o/n, phyda"], _scores(documents))
        lines += counts(first)
    return lines


def _costs(documents: Mapping[str, Mapping[str, Any]]) -> Iterator[list[str]]:
    yield ["wall time [s]", *(f"{document['wall_seconds']:.1f}" for document in documents.values())]
    yield ["peak memory [MiB]", *(str(document["peak_memory_mib"]) for document in documents.values())]
    scales = (document["log"]["background_error_scale"] for document in documents.values())
    yield ["scale of the background error", *(f"{scale:.2f}" for scale in scales)]


def _scores(documents: Mapping[str, Mapping[str, Any]]) -> Iterator[list[str]]:
    entries = {method: {e["variable"]: e for e in document["variables"]} for method, document in documents.items()}
    for name, entry in entries[METHODS[0]].items():
        if not entry["withheld"]["count"]:
            continue
        unit, factor = SHOWN[name]
        cells = [name, unit, str(entry["withheld"]["count"])]
        for method in METHODS:
            before, after = (factor * entries[method][name]["withheld"][k]["rms"] for k in ("background", "analysis"))
            cells.append(f"{before:.3g} → {after:.3g}")
        yield [*cells, f"{entry['background']['cost']:.2f} → {entry['analysis']['cost']:.2f}"]
