"""Write docs/cli.md and packaging/phyda.1: the manual page of every command, as `--help` prints it.

python tools/cli_docs.py            writes them
python tools/cli_docs.py --check    ends with 1 where one is not up to date
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from pathlib import Path
from typing import Final

from phyda_cli.cli.app import main

ROOT: Final = Path(__file__).resolve().parents[1]
TARGET: Final = ROOT / "docs" / "cli.md"
MAN_PAGE: Final = ROOT / "packaging" / "phyda.1"
WIDTH: Final = "80"
_HEAD: Final = """# phyda(1)

Made from the program by `python tools/cli_docs.py`; a test holds it up to date.

**phyda** - atmospheric data assimilation: a background and observations in, an analysis out.
"""
_TAIL: Final = """## Environment

Nothing needs to be set; `env -i` is enough.

- `SOURCE_DATE_EPOCH`: seconds since 1970, the time in the outputs' history, so that identical runs give the same bytes.
- `NO_COLOR`, `TERM=dumb`: no colour, or no bars either, on a terminal; elsewhere there are none.
- `HDF5_USE_FILE_LOCKING=FALSE`: opens NetCDF-4 files on a network file system that gives no locks.
- `OMP_WAIT_POLICY`: `PASSIVE` where it is not set, so that threads that wait leave the processor to others.
- `LC_ALL`, `LANG`, `HOME`: not used.

## Files

`.NAME.lock` and `.NAME.partial-…` beside an output NAME exist while it is made; the next run for the same output
removes what a killed one has left of them. Nothing is written anywhere else.

## See also

[operations.md](operations.md) (locks, signals, cron, cycling), [formats.md](formats.md), [train.md](train.md),
[evaluate.md](evaluate.md)
"""


def manual() -> str:
    """The whole page."""
    overview = _help()
    commands = re.findall(r"^  (\w+)  ", overview.split("Commands:\n")[1].split("Exit codes:")[0], re.MULTILINE)
    pages = [("phyda", overview), *((f"phyda {name}", _help(name)) for name in commands)]
    return "\n".join([_HEAD, *(f"## {name}\n\n```text\n{text}```\n" for name, text in pages), _TAIL])


def man_page() -> str:
    """The same for man(1)."""
    lines = [
        '.TH PHYDA 1 "" phyda',
        ".SH NAME",
        "phyda \\- atmospheric data assimilation",
    ]
    for part in re.split(r"^## ", manual(), flags=re.MULTILINE)[1:]:
        title, _, text = part.partition("\n")
        lines += [f".SH {title.upper()}", ".nf"]
        lines += [_roff(line) for line in text.strip("\n").splitlines() if not line.startswith("```")]
        lines.append(".fi")
    return "\n".join(lines) + "\n"


def _roff(line: str) -> str:
    """A line as it stands: no escapes, no requests, links by their names, hyphens that can be copied."""
    plain = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", line.replace("`", ""))
    escaped = plain.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


def _help(*command: str) -> str:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = WIDTH
    try:
        with contextlib.redirect_stdout(io.StringIO()) as page:
            main([*command, "--help"])
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)
    return "".join(f"{line.rstrip()}\n" for line in page.getvalue().splitlines())


if __name__ == "__main__":
    for target, made in ((TARGET, manual()), (MAN_PAGE, man_page())):
        if "--check" not in sys.argv[1:]:
            target.write_text(made, encoding="utf-8")
        elif not target.exists() or target.read_text(encoding="utf-8") != made:
            sys.exit(f"{target}: not up to date; run python tools/cli_docs.py")
