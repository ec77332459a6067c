#!/usr/bin/env bash
# A cycle in a minute: the truth turns by 14 degrees a day, the model by 10. 3D-Var keeps it near; alone it drifts away.
#
#   bash examples/cycle/run.sh      results in out/cycle and out/cycle-free, a picture in each: cycles.png
#
# PHYDA names the program, PYTHON an interpreter with xarray and netCDF4.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
phyda=${PHYDA:-phyda}
python=${PYTHON:-python3}
truth=../../out/cycle-truth
mkdir -p "$truth"

state=$truth/2003101712.nc
cp ../truth.nc "$state"
for number in $(seq 1 12); do
    next=$truth/$(date -u -d "2003-10-17 12:00 UTC + $((6 * number)) hours" +%Y%m%d%H).nc
    [[ -e $next ]] || "$python" model.py --init "$state" --out "$next" --hours 6 --speed 14
    state=$next
done

"$phyda" cycle --config cycle.toml
"$phyda" cycle --config free.toml
