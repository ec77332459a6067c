"""The options of `phyda evaluate --store`, checked, and the experiment that they ask for."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from phyda_cli.console import console
from phyda_cli.errors import CannotWriteError, ConfigError, UsageError

DEFAULT_NAME: Final = "phyda"
"""The method of weights that are given without a name."""
_NAMED: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]*)=(.+)")

_log = logging.getLogger(__name__)


def run_experiment(store: Path, output: Path | None, options: Mapping[str, Any]) -> None:
    """Run the experiment and print its table, or the document.

    options: of the command line by their names, None where not given; the rest of the settings have their defaults.
    """
    from phyda_cli.cli.targets import check_inputs
    from phyda_cli.experiments.experiment import Inputs, experiment
    from phyda_cli.outputs import output_lock
    from phyda_cli.resources import weights_path

    if output is None:
        raise UsageError("--store: give --out DIRECTORY for the scores and the report")
    background_error = options["background_error"] or weights_path("background-error.safetensors")
    weights = named_weights(options["weights"] or [])
    check_inputs([store, background_error, *weights.values()])
    settings = _settings(store, options)
    methods = options["methods"]
    names = None if methods is None else [name.strip() for name in methods.split(",")]
    try:
        output.mkdir(exist_ok=True)
    except FileNotFoundError as error:
        raise CannotWriteError(f"{output}: the directory {output.parent} does not exist; create it first") from error
    except OSError as error:
        raise CannotWriteError(f"{output}: {error.strerror}; name a directory") from error
    if options["threads"] is not None:
        import torch

        torch.set_num_threads(options["threads"])
    with output_lock(output / "scores.json"), contextlib.ExitStack() as stack:

        def progress(description: str, total: int) -> Callable[[int], None]:
            return stack.enter_context(console.progress(description, total))

        outcome = experiment(Inputs(store, background_error, weights), output, settings, names, progress)
    document = {"status": "ok", "output": output, "files": list(outcome.files), **outcome.document}
    console.result(outcome.table, document)


def named_weights(texts: list[str]) -> dict[str, Path]:
    """NAME=FILE or FILE, by name. Raises UsageError for a name that comes twice."""
    found: dict[str, Path] = {}
    for text in texts:
        match = _NAMED.fullmatch(text)
        name, path = (match[1], Path(match[2])) if match and not Path(text).exists() else (DEFAULT_NAME, Path(text))
        if name in found:
            raise UsageError(f"--weights {text}: there are weights of the name {name} already; give NAME=FILE")
        found[name] = path
    return found


def _settings(store: Path, options: Mapping[str, Any]) -> Any:
    """The settings of the experiment. Raises UsageError for a list that is none, ConfigError for a wrong value."""
    from pydantic import ValidationError

    from phyda_cli.experiments.settings import LARGEST_LEAD, Settings
    from phyda_cli.preparation.store import open_store

    leads = options["leads"]
    given: dict[str, Any] = {
        "leads": tuple(lead for lead in open_store(store).leads if lead <= LARGEST_LEAD)
        if leads is None
        else tuple(int(lead) for lead in _numbers("--leads", leads)),
    }  # fmt: skip
    if options["densities"] is not None:
        given["densities"] = tuple(_numbers("--densities", options["densities"]))
    for name in ("part", "dates", "members", "noise", "seed"):
        if options[name] is not None:
            given[name] = options[name]
    if options["only"] is not None:
        given["only"] = tuple(name.strip() for name in options["only"].split(","))
    if options["tune"] is False:
        given["tuning_cases"] = 0
    elif options["tuning_cases"] is not None:
        given["tuning_cases"] = options["tuning_cases"]
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        option = f"--{str(first['loc'][0]).replace('_', '-')}"
        raise ConfigError(f"{option}: {first['msg']}") from error


def _numbers(option: str, text: str) -> list[float]:
    """Numbers with commas between them, none twice."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} {text}: give numbers with commas between them") from None
    return list(dict.fromkeys(found))
