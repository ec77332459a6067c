"""A sheet of pictures: sections one below the other, as one PNG or as one HTML file that needs nothing else.

A section has a heading, a caption that says what is seen, and a function that draws it into a figure of its height. In
HTML the pictures are embedded; the same sections give the same bytes.
"""

from __future__ import annotations

import base64
import html
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import Template
from typing import Any, Final

from phyda_cli.evaluation.map_view import MUTED
from phyda_cli.evaluation.plots import WIDTH, figure, png

_LINE: Final = 0.2
"""Height of a line of a caption [inch]."""
_LETTERS: Final = 150
"""Letters in such a line."""


@dataclass(frozen=True)
class Section:
    """One picture. kind: by which it is asked for. height: [inch]. draw: into a Figure or SubFigure of that height."""

    kind: str
    heading: str
    caption: str
    height: float
    draw: Callable[[Any], object]


def as_png(sections: Sequence[Section]) -> bytes:
    """Return the sections as one picture. Raises MissingExtraError without matplotlib."""
    lines = [textwrap.wrap(section.caption, _LETTERS) for section in sections]
    below = [_LINE * len(text) + 0.25 for text in lines]
    heights = [part for section, room in zip(sections, below, strict=True) for part in (section.height, room)]
    sheet = figure(WIDTH, sum(heights))
    parts = sheet.subfigures(len(heights), 1, squeeze=False, height_ratios=heights, hspace=0.0)[:, 0]
    for section, text, drawing, caption in zip(sections, lines, parts[::2], parts[1::2], strict=True):
        section.draw(drawing)
        caption.text(0.05, 0.98, "\n".join(text), fontsize=9, color=MUTED, va="top", linespacing=1.35)
    return png(sheet)


def as_html(sections: Sequence[Section], *, title: str, note: str) -> str:
    """Return the sections as one page. note: a line below the title. Raises MissingExtraError without matplotlib."""
    figures = []
    for section in sections:
        drawing = figure(WIDTH, section.height)
        section.draw(drawing)
        picture = base64.b64encode(png(drawing)).decode()
        caption = html.escape(section.caption)
        alt = html.escape(section.heading, quote=True)
        image = f'<img alt="{alt}" src="data:image/png;base64,{picture}">'
        figures.append(f"<figure>{image}<figcaption>{caption}</figcaption></figure>")
    return _PAGE.substitute(title=html.escape(title), note=html.escape(note), figures="\n".join(figures))


_PAGE: Final = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 1240px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; margin-bottom: 0; }
p, figcaption { color: #555; }
figure { margin: 2em 0; }
img { width: 100%; height: auto; }
</style>
</head>
<body>
<h1>$title</h1>
<p>$note</p>
$figures
</body>
</html>
""")
