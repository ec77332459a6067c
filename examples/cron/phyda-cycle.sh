#!/usr/bin/env bash
# One assimilation cycle, for cron: phyda-cycle.sh DIRECTORY [TIME]
#
#   DIRECTORY/incoming/background-YYYYMMDDHH.nc        a forecast valid at the cycle's time (or .grib2)
#   DIRECTORY/incoming/observations-YYYYMMDDHH*.csv    one table or several
#   DIRECTORY/analyses/{analysis,feedback}-….nc        what it makes
#   DIRECTORY/state/carry.json                         what passes from cycle to cycle
#   DIRECTORY/log/phyda.log                            everything said, one JSON object a line
#
# TIME is YYYYMMDDHH, by default the last of 00, 06, 12 and 18 UTC. It may be started as often as one likes: a finished
# cycle is left alone, one whose inputs are not there yet is looked at again next time, and two runs at once keep out of
# each other's way (phyda locks its outputs; no flock is needed). stdout stays empty; stderr has one line, which cron
# mails, when a person must look. PHYDA names the program, PHYDA_OPTIONS adds options.
set -euo pipefail
export LC_ALL=C
umask 022

directory=${1:?usage: phyda-cycle.sh DIRECTORY [TIME]}
cycle=${2:-$(date -u -d "@$(($(date -u +%s) / 21600 * 21600))" +%Y%m%d%H)}
phyda=${PHYDA:-phyda}
time="${cycle:0:4}-${cycle:4:2}-${cycle:6:2}T${cycle:8:2}"

mkdir -p "$directory/analyses" "$directory/state" "$directory/log"
analysis=$directory/analyses/analysis-$cycle.nc
carry=$directory/state/carry.json
log=$directory/log/phyda.log

# The analysis appears last and whole: where it is, the cycle is done.
[[ -e $analysis ]] && exit 0

background=
for suffix in nc grib2; do
    [[ -e $directory/incoming/background-$cycle.$suffix ]] && background=$directory/incoming/background-$cycle.$suffix
done
shopt -s nullglob
tables=("$directory/incoming/observations-$cycle"*.csv)
[[ -n $background && ${#tables[@]} -gt 0 ]] || exit 0

options=(--background "$background" --time "$time" --out "$analysis" --carry "$carry"
    --feedback "$directory/analyses/feedback-$cycle.nc" --overwrite --wait 10min)
for table in "${tables[@]}"; do options+=(--obs "$table"); done
[[ -e $carry ]] || options+=(--carry-new)
read -r -a extra <<< "${PHYDA_OPTIONS:-}"

# The log is opened anew by every run, so that logrotate may move it at any time.
code=0
"$phyda" --log-format json assimilate "${options[@]}" ${extra[@]+"${extra[@]}"} >> "$log" 2>&1 || code=$?
case $code in
    0) ;;
    75) ;; # held by another run for longer than 10 min, or short of memory: the next start tries again
    129 | 130 | 143) ;; # ended by an operator or a shutdown: nothing is half-written, the next start begins anew
    *) printf 'phyda cycle %s failed with code %d: %s\n' "$cycle" "$code" "$(tail -n 1 "$log")" >&2 ;;
esac
exit "$code"
