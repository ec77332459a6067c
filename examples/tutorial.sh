#!/usr/bin/env bash
# Own data, own background errors, own weights, their scores and an analysis with them, in out/tutorial/: every step of
# docs/train.md with numbers so small that it ends in minutes and the weights are of no use. Again it goes on where it was.
# Takes phyda (with the extras simulate and plot) from $PHYDA or the PATH, and another place from $OUT.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
phyda=${PHYDA:-phyda}
phyda=$(command -v "$phyda") || { echo "tutorial: no phyda: install it, or set PHYDA to its executable" >&2; exit 69; }
out=${OUT:-out/tutorial}
mkdir -p "$out"

run() {
    printf '\n$ phyda %s\n' "$*"
    "$phyda" "$@"
}

# Sixteen days of a simulated atmosphere, forecasts of a coarser model, and the statistics of their errors
[ -e "$out/b.safetensors" ] ||
    run prepare --simulate --preset tiny --out "$out/store.zarr" --background-error "$out/b.safetensors" --overwrite

# Three stages of a few steps each; then the calibration of the spread
run train --store "$out/store.zarr" --background-error "$out/b.safetensors" --preset tiny --out "$out/training"
run info "$out/training/phyda.safetensors"

# The weights beside a tuned 3D-Var, on dates that nothing was fitted to
run experiment "$out/store.zarr" --weights "$out/training/phyda.safetensors" --background-error "$out/b.safetensors" \
    --out "$out/scores" --dates 4 --densities 5,1 --members 4 --tuning-cases 2

# An analysis with them, judged by a truth that it has not seen
run assimilate --background examples/background.nc --obs examples/observations.csv --out "$out/analysis.nc" --overwrite \
    --weights "$out/training/phyda.safetensors" --background-error "$out/b.safetensors" --members 4 \
    --feedback "$out/feedback.nc"
run evaluate --analysis "$out/analysis.nc" --background examples/background.nc --truth examples/truth.nc
run plot --analysis "$out/analysis.nc" --background examples/background.nc --feedback "$out/feedback.nc" \
    --out "$out/analysis.png" --overwrite
