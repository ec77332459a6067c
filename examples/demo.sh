#!/usr/bin/env bash
# From a background and observations to an analysis, its scores and a picture, in out/demo/.
# Takes phyda from $PHYDA or the PATH; the picture needs phyda[plot].
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
phyda=${PHYDA:-phyda}
phyda=$(command -v "$phyda") || { echo "demo: no phyda: install it, or set PHYDA to its executable" >&2; exit 69; }
out=out/demo
mkdir -p "$out"

heading() { printf '\n== %s\n' "$*"; }

heading "Assimilate $(($(wc -l < examples/observations.csv) - 1)) observations into a 48 h forecast"
"$phyda" assimilate --background examples/background.nc --obs examples/observations.csv \
    --out "$out/analysis.nc" --feedback "$out/feedback.nc" --increment "$out/increment.nc" --overwrite

heading "Against the truth"
"$phyda" evaluate --analysis "$out/analysis.nc" --background examples/background.nc --truth examples/truth.nc |
    tee "$out/scores-truth.txt"

heading "Against the observations of stations that were withheld"
"$phyda" evaluate --analysis "$out/analysis.nc" --background examples/background.nc --obs examples/withheld.csv |
    tee "$out/scores-withheld.txt"

heading "Picture"
"$phyda" plot --background examples/background.nc --analysis "$out/analysis.nc" --feedback "$out/feedback.nc" \
    --truth examples/truth.nc --channel z500 --only maps --out "$out/demo.png" --overwrite
