"""Markdown of the few forms that reports need, and HTML made from it: one file with its pictures in it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Final

_STYLE: Final = """
body{font:15px/1.45 system-ui,sans-serif;color:#222;max-width:1200px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
td,th{padding:2px 10px 2px 0;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}
td:first-child,th:first-child{text-align:left}
img{max-width:100%}
"""
_PICTURE: Final = re.compile(r"!\[(.*)\]\((.*)\)")
_HEADING: Final = re.compile(r"(#+) (.*)")


def table(head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """Return a table, with the line break that ends it."""
    names = list(head)
    lines: list[Iterable[object]] = [names, ["---"] * len(names), *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in cells)} |\n" for cells in lines)


def to_html(text: str, pictures: Mapping[str, bytes]) -> str:
    """Return the document of headings, paragraphs, tables and pictures. pictures: PNG by the name that the text links
    to.
    """
    body, title = [], ""
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.splitlines()
        if heading := _HEADING.fullmatch(block):
            size = len(heading[1])
            title = title or heading[2]
            body.append(f"<h{size}>{escape(heading[2])}</h{size}>")
        elif picture := _PICTURE.fullmatch(block):
            data = base64.b64encode(pictures[picture[2]]).decode("ascii")
            body.append(f'<p><img alt="{escape(picture[1])}" src="data:image/png;base64,{data}"></p>')
        elif lines[0].startswith("| "):
            head, _, *rows = ([escape(cell) for cell in line[2:-2].split(" | ")] for line in lines)
            body_rows = [_row(head, "th"), *(_row(cells, "td") for cells in rows)]
            body.append(f"<table>{''.join(body_rows)}</table>")
        else:
            body.append(f"<p>{escape(' '.join(lines))}</p>")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _row(cells: Iterable[str], kind: str) -> str:
    return f"<tr>{''.join(f'<{kind}>{cell}</{kind}>' for cell in cells)}</tr>"
