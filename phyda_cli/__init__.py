"""phyda: atmospheric data assimilation, from the command line and from Python.

    from phyda_cli import assimilate

    analysis = assimilate("background.nc", "observations.csv")

docs/library.md shows more. Importing the package loads nothing: each name comes with its module when it is first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phyda_cli.formats.gridded.layout import Background
    from phyda_cli.library.analysis import Analysis, assimilate
    from phyda_cli.library.inputs import open_background, read_observations
    from phyda_cli.library.scores import diagnose, evaluate
    from phyda_cli.observations.table import Observations
    from phyda_cli.version import __version__ as __version__

__all__ = [
    "Analysis",
    "Background",
    "Observations",
    "assimilate",
    "diagnose",
    "evaluate",
    "open_background",
    "read_observations",
]

_HOMES = {
    "Analysis": "library.analysis",
    "Background": "formats.gridded.layout",
    "Observations": "observations.table",
    "__version__": "version",
    "assimilate": "library.analysis",
    "diagnose": "library.scores",
    "evaluate": "library.scores",
    "open_background": "library.inputs",
    "read_observations": "library.inputs",
}
"""The module of each name."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
