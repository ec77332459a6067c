"""The version of the program, as the build has written it."""

from __future__ import annotations

from pathlib import Path

_WRITTEN = Path(__file__).with_name("VERSION")
"""After the last tag; a checkout that was never installed has none."""

__version__ = _WRITTEN.read_text(encoding="ascii").strip() if _WRITTEN.exists() else "0+unknown"
