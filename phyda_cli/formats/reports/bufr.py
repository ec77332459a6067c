"""BUFR files of observations: WMO's, by the tables of ecCodes, and NCEP's PREPBUFR, by those in the file itself.

A message that is damaged inside the file, or of a template that is not read, is one row with its reason, and a warning
counts them all: one bad bulletin among thousands does not cost an analysis its observations. A file that is cut off, or
of which no message can be read, is refused.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import numpy as np

from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.bufr_messages import Damage, Message, scan_messages
from phyda_cli.formats.reports.bufr_reports import read_reports
from phyda_cli.formats.reports.build import Given, Reports
from phyda_cli.formats.reports.dx_decode import DX_CATEGORY, DxTables
from phyda_cli.formats.reports.prepbufr import is_prepbufr, read_prepbufr
from phyda_cli.formats.reports.table_text import bytes_of
from phyda_cli.observations.table import Flag

_logger = logging.getLogger(__name__)

_REASONS: Final = 3
"""How many reasons the warning names."""


def read_bufr(path: Path, label: str, given: Given) -> Reports:
    """Return the rows of a BUFR or PREPBUFR file; `row` is the number of the level in the file, from 1.

    given.reference_time: for PREPBUFR messages that do not tell their time.
    Raises InputMissingError when the file cannot be read; BadDataError when it is empty, cut off, or nothing in it can
    be read.
    """
    content = bytes_of(path, label)
    tables = DxTables()
    messages: list[Message | str] = []
    for item in scan_messages(content, label):
        if isinstance(item, Message) and item.category == DX_CATEGORY:
            try:
                tables.add(item.data)
            except BadDataError as error:
                messages.append(f"message {item.number} at byte {item.offset} is damaged: {error}")
        elif isinstance(item, Damage):
            messages.append(f"message {item.number} at byte {item.offset} is damaged: {item.reason}")
        else:
            messages.append(item)
    if is_prepbufr(tables):
        result, unread = read_prepbufr(messages, tables, label, given.reference_time)
    else:
        result, unread = read_reports(messages, label)
    observations = result.observations
    if unread and not np.any(observations.variable != ""):
        raise BadDataError(f"{label}: none of its {len(messages)} messages can be read: {unread.most_common(1)[0][0]}")
    bare = int(np.sum((observations.variable == "") & (observations.flag == Flag.MISSING)))
    parts = [f"{count} times: {reason}" for reason, count in unread.most_common(_REASONS)]
    if len(unread) > _REASONS:
        parts.append(
            f"{sum(unread.values()) - sum(n for _, n in unread.most_common(_REASONS))} times for other reasons"
        )
    if bare:
        parts.append(f"{bare} levels hold no quantity that is read")
    if parts:
        _logger.warning("%s: of %d messages some are not read: %s", label, len(messages), "; ".join(parts))
    return result
