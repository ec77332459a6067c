"""Tables of forecasts from the analyses of cycles: ratios by lead and hours gained, by hand."""

from __future__ import annotations

import json

from benchmarks.forecasts import CHANNELS, LINES, tables
from phyda_cli.cycle.scores import REGIONS

LEADS = (24, 48, 72, 96, 120)


def write(path, growth, starts=range(8)):
    """Errors of `growth` by lead, the same in every channel and region, and larger by day."""
    path.mkdir()
    lines = []
    for day in starts:
        leads = {
            str(lead): {region: dict.fromkeys(CHANNELS, error * (1.0 + 0.1 * day)) for region in REGIONS}
            for lead, error in zip(LEADS, growth, strict=True)
        }
        lines.append(json.dumps({"time": f"2003-05-{day + 1:02d}T00:00Z", "leads": leads}))
    (path / LINES).write_text("\n".join(lines))
    return path


def test_ratios_and_hours_gained(tmp_path):
    """3, 4, 5, 6, 7 against 2, 3, 4, 5, 6: at 72 h the other's 5 is reached at 96 h."""
    runs = {"a": write(tmp_path / "a", (3, 4, 5, 6, 7)), "b": write(tmp_path / "b", (2, 3, 4, 5, 6), range(1, 8))}
    text = tables(runs, against="a")
    assert text.startswith("7 starts from 2003-05-02T00:00Z to 2003-05-08T00:00Z")
    rows = [line for line in text.splitlines() if line.startswith("| b | 72 h")]
    assert len(rows) == len(REGIONS)
    assert rows[0].count("0.80 (0.80–0.80)") == len(CHANNELS)
    gained = [line for line in text.splitlines() if "gained at 72 h" in line]
    assert gained[0].count("+24 h") == len(CHANNELS)


def test_gains_beyond_the_leads_are_bounds(tmp_path):
    runs = {
        "slow": write(tmp_path / "slow", (3, 4, 5, 6, 7)),
        "good": write(tmp_path / "good", (1, 1, 1, 1, 1)),
        "bad": write(tmp_path / "bad", (9, 9, 9, 9, 9)),
    }
    text = tables(runs, against="slow")
    assert text.count("> 48 h") == len(REGIONS) * len(CHANNELS)
    assert text.count("< -48 h") == len(REGIONS) * len(CHANNELS)
