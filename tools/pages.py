"""Tables inside hand-written pages: what stands between two markers of a page is made by a script, the rest by hand.

<!-- begin NAME -->
... made ...
<!-- end NAME -->
"""

from __future__ import annotations

import re
from pathlib import Path


def block(text: str, name: str) -> re.Match[str]:
    """Find the part of a page between the markers of a name; it is group 1. Raises ValueError where there is none."""
    found = re.search(rf"<!-- begin {re.escape(name)} -->\n\n(.*?)\n<!-- end {re.escape(name)} -->", text, re.DOTALL)
    if found is None:
        raise ValueError(f"the page has no <!-- begin {name} --> … <!-- end {name} -->")
    return found


def put(page: Path, name: str, made: str) -> None:
    """Replace what stands between the markers of a name, and nothing else. Raises ValueError as `block` does."""
    text = page.read_text(encoding="utf-8")
    found = block(text, name)
    page.write_text(text[: found.start(1)] + made.rstrip("\n") + "\n" + text[found.end(1) :], encoding="utf-8")
