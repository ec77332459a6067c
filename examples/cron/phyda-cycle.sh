#!/usr/bin/env bash
# Assimilation cycles, for cron: phyda-cycle.sh DIRECTORY [TIME]
#
#   DIRECTORY/incoming/background-YYYYMMDDHH.SUFFIX    a forecast valid at the cycle's time, GRIB or NetCDF
#   DIRECTORY/incoming/observations-YYYYMMDDHH*        one file or several, of any format that phyda reads
#   DIRECTORY/analyses/{analysis,feedback}-….nc        what it makes
#   DIRECTORY/state/carry.json                         what passes from cycle to cycle
#   DIRECTORY/log/phyda.log                            everything said, one JSON object a line
#
# TIME is YYYYMMDDHH; by default every cycle of the last PHYDA_CATCH_UP hours (24) is looked at, oldest first, so that
# late ones are caught up. It may be started as often as one likes: a finished cycle is left alone, one whose inputs are
# not there yet is looked at again next time, and two runs at once keep out of each other's way (phyda locks its
# outputs; no flock is needed). stdout stays empty; stderr has one line, which cron mails, when a person must look: when
# a cycle fails, and once when its inputs are not there PHYDA_PATIENCE hours (6) after its time. A cycle is made without
# those that it lacks when a later one is there (its --carry file goes on in order). PHYDA names the program,
# PHYDA_OPTIONS adds options.
set -euo pipefail
export LC_ALL=C
umask 022
shopt -s nullglob

directory=${1:?usage: phyda-cycle.sh DIRECTORY [TIME]}
phyda=${PHYDA:-phyda}
now=$(date -u +%s)
mkdir -p "$directory/analyses" "$directory/state" "$directory/log"
carry=$directory/state/carry.json
log=$directory/log/phyda.log
read -r -a extra <<< "${PHYDA_OPTIONS:-}"

seconds() { date -u -d "${1:0:4}-${1:4:2}-${1:6:2} ${1:8:2}:00" +%s; }

# Says once that the inputs of a cycle are late.
alarm() {
    local mark=$directory/state/late-$1
    (($(seconds "$1") + ${PHYDA_PATIENCE:-6} * 3600 <= now)) || return 0
    [[ -e $mark ]] && return 0
    printf 'phyda cycle %s lacks %s after %d h\n' "$1" "$2" "${PHYDA_PATIENCE:-6}" >&2
    : > "$mark"
}

make_cycle() {
    local cycle=$1 code=0 backgrounds tables options table
    local analysis=$directory/analyses/analysis-$cycle.nc
    # The analysis appears last and whole: where it is, the cycle is done.
    [[ -e $analysis ]] && return 0
    backgrounds=("$directory/incoming/background-$cycle".*)
    tables=("$directory/incoming/observations-$cycle"*)
    if [[ ${#backgrounds[@]} -eq 0 || ${#tables[@]} -eq 0 ]]; then
        alarm "$cycle" "$([[ ${#backgrounds[@]} -eq 0 ]] && echo "its background" || echo "observations")"
        return 0
    fi
    options=(--background "${backgrounds[-1]}" --time "${cycle:0:4}-${cycle:4:2}-${cycle:6:2}T${cycle:8:2}"
        --out "$analysis" --carry "$carry" --feedback "$directory/analyses/feedback-$cycle.nc"
        --overwrite --wait 10min)
    for table in "${tables[@]}"; do options+=(--obs "$table"); done
    [[ -e $carry ]] || options+=(--carry-new)
    # The log is opened anew by every run, so that logrotate may move it at any time.
    "$phyda" --log-format json assimilate "${options[@]}" ${extra[@]+"${extra[@]}"} >> "$log" 2>&1 || code=$?
    case $code in
        0) rm -f "$directory/state/late-$cycle" ;;
        75) ;; # held by another run for longer than 10 min, or short of memory: the next start tries again
        129 | 130 | 143) ;; # ended by an operator or a shutdown: nothing is half-written, the next start begins anew
        *) printf 'phyda cycle %s failed with code %d: %s\n' "$cycle" "$code" "$(tail -n 1 "$log")" >&2 ;;
    esac
    return "$code"
}

if [[ -n ${2:-} ]]; then
    make_cycle "$2" && exit 0 || exit $?
fi
last=$((now / 21600 * 21600)) worst=0
for ((time = last - ${PHYDA_CATCH_UP:-24} * 3600; time <= last; time += 21600)); do
    make_cycle "$(date -u -d "@$time" +%Y%m%d%H)" || { worst=$?; break; }  # the cycles go on in order
done
exit "$worst"
