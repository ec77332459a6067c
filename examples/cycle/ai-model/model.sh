#!/usr/bin/env bash
# A learned model that is run from a file of settings, as anemoi-inference is, as the forecast model of phyda cycle.
#
#   model.sh ANALYSIS CYCLE OUT HOURS TIME      cycle.toml beside this file names them
#
# Such models begin with two states, six hours apart: the analysis of the cycle before, and this one. The first cycle
# takes EARLIER (a file of the background's own layout; without it the analysis is all the model gets).
# ANEMOI names the program, CHECKPOINT the model, PYTHON an interpreter with xarray and netCDF4.
set -euo pipefail
analysis=$1 cycle=$2 out=$3 hours=$4 time=$5
anemoi=${ANEMOI:-anemoi-inference}
checkpoint=${CHECKPOINT:-model.ckpt}
number=$(basename "$cycle")
earlier=${EARLIER:-}
if ((10#$number > 0)); then
    earlier=$(dirname "$cycle")/$(printf %05d $((10#$number - 1)))/analysis.nc
fi

"${PYTHON:-python3}" - "$cycle/input.nc" ${earlier:+"$earlier"} "$analysis" <<'END'
import sys

import xarray as xr

states = [xr.open_dataset(path).load() for path in sys.argv[2:]]
fields = [name for name in states[-1].data_vars if not str(name).endswith("_spread")]
states = [state[fields] if "time" in state.dims else state[fields].expand_dims("time") for state in states]
xr.concat(states, dim="time", join="exact").to_netcdf(sys.argv[1])
END

cat > "$cycle/run.yaml" <<END
checkpoint: $checkpoint
date: $time
lead_time: ${hours}h
input:
  netcdf: $cycle/input.nc
output:
  netcdf: $out
END
"$anemoi" run "$cycle/run.yaml"
