"""The emulator of brightness temperatures (`phyda_cli/operators/brightness_temperature.py`): its profiles and its fit.

    python -m benchmarks.radiance_emulator profiles DIR --nature NATURE.npz --seed 1 --count 2000
    python -m benchmarks.radiance_emulator fit DIR --out phyda_cli/operators/amsua.npz --seed 1 --test 2

`profiles` needs pyrtlib (a generator, no dependency of phyda). Half of the profiles are mixtures of the six AFGL
atmospheres with correlated noise of 6 K, half are profiles of a simulation (`t` (n, level) [K], `level` [hPa]) up to
50 hPa with such a mixture above and noise of 2.5 K; relative humidity, the pressure and temperature at the ground and
the angle are drawn. Each is one call of the line-by-line model with the absorption of Rosenkranz (R20) at two
frequencies of each passband, for emissivities of 1 and ½. Shards of 100 profiles, which resume.

`fit` minimises the mean square of the standardised errors with a weight decay, and prints the RMS on the profiles of
another seed, which were not seen.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from phyda_cli.operators.brightness_temperature import WARM_NODES, WET_NODES, emulated

NODES, WET = np.array(WARM_NODES) / 100.0, np.array(WET_NODES) / 100.0
"""[hPa]"""
BANDS = {
    5: (53.596, (-0.115, 0.115)),
    6: (54.4, (-0.1155, 0.1155)),
    7: (54.94, (-0.1155, 0.1155)),
    8: (55.5, (-0.0953, 0.0953)),
    9: (57.290344, (-0.0953, 0.0953)),
}
"""Centre [GHz] and the two points of Gauss of a passband; the middles of the two bands of channel 5."""
FREQUENCIES = np.array([centre + offset for centre, offsets in BANDS.values() for offset in offsets])
SURFACE = 8
"""Of these frequencies those that see the ground."""
TOP = np.geomspace(7.0, 0.1, 14)
SHARD = 100
NAMES = ("t", "q", "ps", "ts", "angle", "one", "half")


def profiles(directory: Path, nature: Path, *, seed: int, count: int) -> None:
    """Write the shards that are missing."""
    from pyrtlib.climatology import AtmosphericProfiles

    standard = [AtmosphericProfiles.gl_atm(number) for number in range(6)]
    simulated = dict(np.load(nature))
    directory.mkdir(parents=True, exist_ok=True)
    for shard in range(count // SHARD):
        path = directory / f"{seed}-{shard:03d}.npz"
        if path.exists():
            continue
        rng = np.random.default_rng([seed, shard])
        rows: list[tuple[Any, ...]] = []
        for _ in range(SHARD):
            t, q, ps, ts, angle, top = drawn(rng, simulated, standard)
            rows.append((t, q, ps, ts, angle, *transfer(*column(t, q, ps, ts, top), angle)))
        np.savez(path, **{name: np.array([row[i] for row in rows]) for i, name in enumerate(NAMES)})
        print(path, flush=True)


def drawn(rng: np.random.Generator, simulated: dict[str, Any], standard: list[Any]) -> tuple[Any, ...]:
    """T and q at the nodes, p_s [hPa], T_s, θ [degree] and T above 10 hPa."""
    weights = rng.dirichlet(np.full(6, 0.6))
    t, top = weights @ of_standard(NODES, standard), weights @ of_standard(TOP, standard)
    if rng.random() < 0.5:
        own, level = simulated["t"][rng.integers(len(simulated["t"]))], simulated["level"]
        low = np.interp(-np.log(NODES), -np.log(level), own)
        held = level.min() <= NODES
        fade = np.exp(-np.log(level.min() / NODES))
        t = np.where(held, low, t + (low[held][-1] - t[held][-1]) * fade)
        t = t + noise(rng, NODES, 0.5, 2.5)
    else:
        t = t + noise(rng, NODES, 0.6, 6.0)
    t = np.clip(t + noise(rng, NODES, 0.15, 1.0), 170.0, 325.0)
    plain = rng.random() < 0.6
    ps = float(rng.uniform(980.0, 1040.0)) if plain else float(rng.uniform(500.0, 1040.0))
    rh = np.clip(rng.uniform(0.0, 0.9) + noise(rng, WET, 0.4, 0.3), 0.01, 1.0)
    ts = np.interp(-np.log(min(ps, 1000.0)), -np.log(NODES), t) + rng.normal(0.0, 3.0)
    angle = float(np.degrees(np.arccos(1.0 / rng.uniform(1.0, 2.05))))
    return (
        t,
        humidity(rh, t[: WET.size], WET),
        ps,
        float(np.clip(ts, 200.0, 330.0)),
        angle,
        top + noise(rng, TOP, 1.0, 5.0),
    )


def of_standard(pressure: Any, standard: list[Any]) -> Any:
    """(6, k) temperatures of the AFGL atmospheres at pressures (k,) [hPa]."""
    return np.array([np.interp(-np.log(pressure), -np.log(a[1]), a[3]) for a in standard])


def noise(rng: np.random.Generator, pressure: Any, length: float, size: float) -> Any:
    """(k,) of N(0, size²) with a Gaussian correlation of `length` in ln p."""
    apart = np.subtract.outer(np.log(pressure), np.log(pressure)) / length
    covariance = np.exp(-0.5 * apart**2) + 1e-6 * np.eye(pressure.size)
    return size * (np.linalg.cholesky(covariance) @ rng.standard_normal(pressure.size))


def saturation(t: Any) -> Any:
    """e_s [hPa] over water."""
    return 6.112 * np.exp(17.67 * (t - 273.15) / (t - 29.65))


def humidity(rh: Any, t: Any, p: Any) -> Any:
    """q of relative humidity [1] at p [hPa]."""
    e = np.minimum(rh * saturation(t), 0.5 * p)
    return 0.622 * e / (p - 0.378 * e)


def column(t: Any, q: Any, ps: float, ts: float, top: Any) -> tuple[Any, Any, Any, Any]:
    """Pressures [hPa], heights [km], T and relative humidity from the ground up, linear in ln p between the nodes."""
    above = 0.995 * ps > NODES
    lnp = np.log(np.concatenate([[ps], NODES[above], TOP]))
    fine = np.unique(np.concatenate([lnp, np.linspace(lnp[0], lnp[-1], 60)]))[::-1]
    fine = fine[np.concatenate([[True], np.abs(np.diff(fine)) > 1e-9])]
    p, warm = np.exp(fine), np.interp(-fine, -lnp, np.concatenate([[ts], t[above], top]))
    wet = np.interp(-fine, -np.log(WET), q)
    wet = np.where(p < WET[-1], q[-1] * np.minimum(1.0, (p / WET[-1]) ** 3), wet)
    wet = np.minimum(np.maximum(wet, 2e-6), humidity(1.0, warm, p))
    virtual = warm * (1.0 + 0.608 * wet)
    thickness = 287.05 / 9.80665 * 0.5 * (virtual[1:] + virtual[:-1]) * -np.diff(fine)
    e = wet * p / (0.622 + 0.378 * wet)
    return p, np.concatenate([[0.0], np.cumsum(thickness)]) / 1000.0, warm, np.clip(e / saturation(warm), 1e-4, 1.0)


def transfer(p: Any, z: Any, t: Any, rh: Any, angle: float) -> tuple[Any, Any]:
    """y₁ and y_½ (5,) [K] by the line-by-line model.

    Seen from space that model has no radiation that the ground reflects, so that one with a black ground and one with
    none give what the air emits, y₀, and τ T_s = y₁ − y₀; seen from the ground it gives the sky T_↓. With both
    y_½ = y₀ + τ (T_s + T_↓)/2.
    """
    from pyrtlib.tb_spectrum import TbCloudRTE

    def seen(frequencies: Any, emissivity: Any, *, satellite: bool) -> Any:
        model = TbCloudRTE(z, p, t, rh, frequencies, np.array([90.0 - angle]))
        model.init_absmdl("R20")
        model.satellite = satellite
        model.emissivity = emissivity
        return model.execute()["tbtotal"].to_numpy().reshape(-1, 2).mean(1)

    surface = FREQUENCIES[:SURFACE]
    emissivity = np.concatenate([np.ones(FREQUENCIES.size), np.zeros(SURFACE)])
    bands = seen(np.concatenate([FREQUENCIES, surface]), emissivity, satellite=True)
    black, air = bands[:5], bands[5:]
    sky = seen(surface, np.ones(SURFACE), satellite=False)
    half = air + (black[:4] - air) / t[0] * 0.5 * (t[0] + sky)
    return black, np.concatenate([half, black[4:]])


def read(directory: Path, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (n, 28) in SI and (y₁, y_½) (n, 10) of all shards of a seed."""
    shards = [np.load(path) for path in sorted(directory.glob(f"{seed}-*.npz"))]
    held = {name: np.concatenate([shard[name] for shard in shards]) for name in NAMES}
    slant = 1.0 / np.cos(np.radians(held["angle"]))
    ends = np.stack([held["ts"], np.log(100.0 * held["ps"]), slant], axis=1)
    features = np.concatenate([held["t"], held["q"], ends], axis=1)
    return torch.from_numpy(features), torch.from_numpy(np.concatenate([held["one"], held["half"]], axis=1))


def fit(
    features: torch.Tensor, target: torch.Tensor, *, width: int, steps: int, decay: float
) -> dict[str, torch.Tensor]:
    """Return the numbers of the emulator."""
    torch.manual_seed(0)
    mean, size = features.mean(0), features.std(0)
    out_mean, out_size = target.mean(0), target.std(0)
    scales = {"mean": mean, "size": size, "out_mean": out_mean, "out_size": out_size}
    shapes = {"first": (width, features.shape[1]), "second": (width, width), "third": (target.shape[1], width)}
    held = {name: torch.randn(*shape, dtype=torch.float64) / shape[1] ** 0.5 for name, shape in shapes.items()}
    held["third"] *= 0.1
    held |= {f"{name}_bias": torch.zeros(width, dtype=torch.float64) for name in ("first", "second")}
    held["linear"] = torch.linalg.lstsq((features - mean) / size, (target - out_mean) / out_size).solution.mT.clone()
    for value in held.values():
        value.requires_grad_()
    optimiser = torch.optim.AdamW(held.values(), lr=4e-3, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    for _ in range(steps):
        chosen = torch.randint(features.shape[0], (256,))
        loss = ((emulated(scales | held, features[chosen]) - target[chosen]) / out_size).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return scales | {name: value.detach() for name, value in held.items()}


def main() -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("profiles", "fit"))
    parser.add_argument("directory", type=Path)
    parser.add_argument("--nature", type=Path, help="profiles of a simulation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--test", type=int, default=2, help="seed of the profiles to judge by")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--decay", type=float, default=1e-2)
    asked = parser.parse_args()
    if asked.step == "profiles":
        profiles(asked.directory, asked.nature, seed=asked.seed, count=asked.count)
        return
    features, target = read(asked.directory, asked.seed)
    made = fit(features, target, width=asked.width, steps=asked.steps, decay=asked.decay)
    for label, seed in (("fitted", asked.seed), ("unseen", asked.test)):
        inputs, truth = read(asked.directory, seed)
        error = emulated(made, inputs) - truth
        print(
            label, len(truth), "RMS [K] of channels 5 to 9:", np.round(error[:, :5].square().mean(0).sqrt().numpy(), 3)
        )
        print("  with an emissivity of 1/2:", np.round(error[:, 5:].square().mean(0).sqrt().numpy(), 3))
    if asked.out is not None:
        np.savez(asked.out, **{name: value.numpy().astype(np.float32) for name, value in made.items()})


if __name__ == "__main__":
    main()
