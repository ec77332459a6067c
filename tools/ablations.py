"""Train the shipped model, its baselines and its ablations, each that is not finished: python tools/ablations.py --help

    small            the model that ships
    unet, unet-raw   direct regression of equal size, with and without the first guess
    encoder, …       the encoder as it is, and with or without one of its parts, as regressions to compare
    physics-…        the score network with another depth of physics in its objective; all else is small's
    state            latents of states instead of increments
    prior            the unconditional prior of increments, for guidance

A stopped run goes on where it was. All share the cases of one directory. What a variant changes is in VARIANTS below.
Variants without an encoder of their own start from small's networks.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from phyda_cli.training.config import TrainConfig, read_config

Overrides = dict[str, Any]

VARIANTS: Final[dict[str, tuple[str, tuple[str, ...], Overrides]]] = {
    # name: (preset, stages, settings that differ)
    "small": ("small", ("encoder", "autoencoder", "score"), {}),
    "unet": ("unet", ("encoder",), {}),
    "unet-raw": ("unet-raw", ("encoder",), {}),
    "encoder": ("small", ("encoder",), {}),
    "revin": ("small", ("encoder",), {"model": {"revin": True}}),
    "no-attention": ("small", ("encoder",), {"model": {"attention": False}}),
    "no-first-guess": ("small", ("encoder",), {"model": {"first_guess": False}}),
    "no-background": ("small", ("encoder",), {"model": {"background": False}}),
    "physics-none": ("small", ("score",), {"prdo": {"operator": {"physics": "none"}}}),
    "physics-hydrostatic": ("small", ("score",), {"prdo": {"operator": {"physics": "hydrostatic"}}}),
    "physics-proxy": ("small", ("score",), {"prdo": {"operator": {"physics": "proxy"}}}),
    "state": ("small", ("autoencoder", "score"), {"model": {"latent": "state"}}),
    "prior": ("small", ("score",), {"model": {"conditional": False}}),
}


def settings_of(name: str, steps: Mapping[str, int] | None = None) -> TrainConfig:
    """The whole configuration of a variant. steps: of each stage, where not the preset's."""
    preset, stages, overrides = VARIANTS[name]
    content = read_config(preset).model_dump(mode="json")
    content["stages"] = {stage: content["stages"][stage] for stage in stages}
    _merge(content, overrides)
    _merge(content["stages"], {stage: {"steps": count} for stage, count in (steps or {}).items() if stage in stages})
    return TrainConfig.model_validate(content)


def _merge(target: Overrides, changes: Overrides) -> None:
    for key, value in changes.items():
        if isinstance(value, dict):
            _merge(target[key], value)
        else:
            target[key] = value


def toml_of(content: Overrides, prefix: str = "") -> str:
    """TOML of nested tables of numbers, texts, truth values and lists; None is left out, as TOML has no such value."""
    plain = {key: value for key, value in content.items() if not isinstance(value, dict) and value is not None}
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in plain.items())
    for key, value in content.items():
        if isinstance(value, dict):
            text += f"\n[{prefix}{key}]\n{toml_of(value, f'{prefix}{key}.')}"
    return text


def command_of(name: str, store: Path, out: Path, cases: Path, threads: int, steps: Mapping[str, int]) -> list[str]:
    """The phyda train command of a variant; its settings are written beside its directory."""
    file = out / f"{name}.toml"
    file.write_text(toml_of(settings_of(name, steps).model_dump(mode="json")).lstrip(), encoding="utf-8")
    words = [sys.executable, "-m", "phyda_cli", "train", "--store", str(store), "--out", str(out / name)]
    words += ["--cases", str(cases), "--config", str(file), "--threads", str(threads)]
    if "encoder" not in VARIANTS[name][1]:
        words += ["--from", str(out / "small" / "autoencoder.safetensors")]
    return words


def main() -> int:
    """Run the variants one after the other; the first that fails ends it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cases", type=Path, help="default: OUT/cases")
    parser.add_argument("--only", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--encoder-steps", type=int, help="steps of the encoder stage, where not the preset's")
    parser.add_argument("--score-steps", type=int, help="the same of the score stage")
    arguments = parser.parse_args()
    given = {"encoder": arguments.encoder_steps, "score": arguments.score_steps}
    steps = {stage: count for stage, count in given.items() if count is not None}
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        cases = arguments.cases or arguments.out / "cases"
        code = subprocess.call(command_of(name, arguments.store, arguments.out, cases, arguments.threads, steps))
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
