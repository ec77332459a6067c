#!/usr/bin/env bash
# A pipeline on the shipped example: check, assimilate, judge at withheld observations, publish; in out/pipeline/.
# Every step ends the pipeline when it fails, with phyda's exit code. Takes phyda from $PHYDA or the PATH.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
phyda=${PHYDA:-phyda}
out=${OUT:-out/pipeline}
options=(--background examples/background.nc --obs examples/observations.csv --method 3dvar --members 0)
mkdir -p "$out/published"

# 1. Read and check everything, in seconds, before the machine is asked for more.
"$phyda" --quiet assimilate "${options[@]}" --out "$out/analysis.nc" --overwrite --dry-run --max-reject-fraction 0.2

# 2. Assimilate. stdout has one JSON document; a file of it is the record of the run.
"$phyda" --quiet --json assimilate "${options[@]}" --out "$out/analysis.nc" --feedback "$out/feedback.nc" \
    --on-empty fail --max-reject-fraction 0.2 --overwrite --wait 10min > "$out/run.json"

# 3. Judge it at observations that it has not seen.
"$phyda" --quiet --json evaluate --analysis "$out/analysis.nc" --background examples/background.nc \
    --obs examples/withheld.csv > "$out/scores.json"

# 4. Publish by a name that appears in one step, so that no reader sees half a file.
ln -f "$out/analysis.nc" "$out/published/.analysis.nc"
mv -f "$out/published/.analysis.nc" "$out/published/analysis.nc"
printf '%s\n' "$out/published/analysis.nc"
