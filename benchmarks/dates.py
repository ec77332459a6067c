"""Many dates in one process beside one process each: python benchmarks/dates.py [--dates 10] [--method 3dvar].

Each date is the shipped example with its times moved. Processor time is what counts: a machine that is busy with other
work stretches wall times, not that.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import xarray as xr
from cold import EXAMPLES, Process, run

FIRST = datetime(2003, 10, 17, 12)
"""The example's own time."""


def main() -> None:
    """Run both and print processor seconds a date, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dates", type=int, default=10, metavar="N", help="dates in the one process (10)")
    parser.add_argument("--alone", type=int, default=2, metavar="N", help="dates that are run alone too (2)")
    parser.add_argument("--method", default="3dvar", help="the method (3dvar)")
    parser.add_argument("--members", type=int, default=0, metavar="N", help="members (0)")
    options = parser.parse_args()
    dates = [FIRST + timedelta(days=number) for number in range(options.dates)]
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        for date in dates:
            _inputs(place, date)
        names = {"--background": "bg", "--obs": "obs", "--out": "an"}
        endings = {"--obs": "csv"}
        words = ["assimilate", "--method", options.method, "--members", str(options.members), "--overwrite"]
        for option, name in names.items():
            words += [option, str(place / f"{name}-%Y%m%d%H.{endings.get(option, 'nc')}")]
        alone = [_alone(words, date) for date in dates[: options.alone]]
        together = run([*words, "--each", f"{dates[0].isoformat()}/{dates[-1].isoformat()}/24h"])
    one = min(process.processor for process in alone)
    each = together.processor / len(dates)
    print(f"{options.method}, {options.members} members, {len(dates)} dates: processor s a date")
    print(f"  one process each     {one:.2f}")
    print(f"  all in one process   {each:.2f}   {one / each:.1f} times as fast, peak {together.memory:.2f} GB")


def _alone(words: list[str], date: datetime) -> Process:
    return run([date.strftime(word) if "%" in word else word for word in words])


def _inputs(place: Path, date: datetime) -> None:
    """Write the example's background and observations as if they were of another date."""
    shift = date - FIRST
    with xr.open_dataset(EXAMPLES / "background.nc") as example:
        moved = example.assign_coords(time=example.time + np.timedelta64(shift))
        moved.to_netcdf(place / date.strftime("bg-%Y%m%d%H.nc"))
    text = (EXAMPLES / "observations.csv").read_text()
    for hours in range(-3, 4):
        old = FIRST + timedelta(hours=hours)
        text = text.replace(old.strftime("%Y-%m-%dT%H:"), (old + shift).strftime("%Y-%m-%dT%H:"))
    (place / date.strftime("obs-%Y%m%d%H.csv")).write_text(text)


if __name__ == "__main__":
    main()
