"""Draw one channel of an analysis: background error, observations, increment, analysis error.

    python examples/plot_demo.py --background B --analysis A --feedback F [--truth T] [--channel z500] --out PNG

Needs matplotlib (`pip install 'phyda[plot]'`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from phyda_cli.errors import PhydaError, UsageError
from phyda_cli.evaluation.plots import render, select_maps
from phyda_cli.fields.state import Channel
from phyda_cli.formats.feedback.netcdf import read_feedback
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.outputs import atomic_path


def parse_channel(text: str, channels: tuple[Channel, ...]) -> Channel:
    """`z500` or `msl` as a channel that the fields hold. Raises UsageError."""
    by_name = {str(channel): channel for channel in channels}
    if text not in by_name:
        raise UsageError(f"--channel {text}: the background holds no such channel; there are {', '.join(by_name)}")
    return by_name[text]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("background", "analysis", "feedback", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--channel", default="z500", help="variable and level [hPa], such as z500, t850 or msl")
    arguments = parser.parse_args()
    try:
        background, analysis = (read_background([path]).state for path in (arguments.background, arguments.analysis))
        truth = None if arguments.truth is None else read_background([arguments.truth]).state
        channel = parse_channel(arguments.channel, background.channels)
        picture = render(select_maps(channel, background, analysis, read_feedback(arguments.feedback), truth))
        with atomic_path(arguments.out, overwrite=True) as temporary:
            temporary.write_bytes(picture)
    except PhydaError as error:
        print(f"plot_demo: error: {error}", file=sys.stderr)
        return int(error.exit_code)
    print(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
