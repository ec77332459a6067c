"""A hook of mkdocs: links of the pages to files outside of docs/ become links to the repository.

A link to a file that is not there ends the build of the site (`mkdocs build --strict`).
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
_OUTSIDE: Final = re.compile(r"\]\((\.\./[^)#\s]+|demo\.txt)((?:#[^)\s]*)?)\)")

_log = logging.getLogger("mkdocs.plugins.site_links")


def on_page_markdown(markdown: str, *, config: Any, **_: Any) -> str:
    """Return a page with its links to files outside of docs/ as those of the repository."""

    def moved(found: re.Match[str]) -> str:
        target = (ROOT / "docs" / found[1]).resolve()
        if not target.exists():
            _log.warning("link to %s, which is not there", found[1])
        kind = "tree" if target.is_dir() else "blob"
        return f"]({config['repo_url']}/{kind}/main/{target.relative_to(ROOT)}{found[2]})"

    return _OUTSIDE.sub(moved, markdown)
