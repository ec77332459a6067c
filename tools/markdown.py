"""Tables of Markdown, for the scripts that write documents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(head: Sequence[str], rows: Iterable[Iterable[object]]) -> list[str]:
    """The lines of a table and an empty one."""
    lines = [f"| {' | '.join(str(cell) for cell in cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    return [*lines, ""]
