"""Small BUFR files: messages of WMO templates made by ecCodes, and raw ones put together byte by byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import eccodes

Values = Mapping[str, Any]


def wmo_message(
    template: Sequence[int],
    reports: Sequence[Values],
    *,
    category: int,
    compressed: bool = False,
    replications: Sequence[int] = (),
    long_replications: Sequence[int] = (),
) -> bytes:
    """A message of edition 4; reports: one for each subset, ecCodes key → value (keys may have a rank, `#2#pressure`).

    replications, long_replications: the counts of those with 8 and with 16 bits. Where there are several reports, each
    key must stand once in a report.
    """
    handle = eccodes.codes_bufr_new_from_samples("BUFR4")
    try:
        for key, value in (
            ("masterTablesVersionNumber", 31),
            ("localTablesVersionNumber", 0),
            ("dataCategory", category),
            ("numberOfSubsets", len(reports)),
            ("compressedData", int(compressed)),
        ):
            eccodes.codes_set(handle, key, value)
        for kind, counts in (("", replications), ("Extended", long_replications)):
            if counts:
                eccodes.codes_set_array(handle, f"input{kind}DelayedDescriptorReplicationFactor", list(counts))
        eccodes.codes_set_array(handle, "unexpandedDescriptors", list(template))
        for key in reports[0]:
            values = [report[key] for report in reports]
            if len(reports) == 1:
                eccodes.codes_set(handle, key, values[0])
            elif compressed:
                eccodes.codes_set_array(handle, key, values)
            else:
                for number, value in enumerate(values, 1):
                    eccodes.codes_set(handle, f"#{number}#{key}", value)
        eccodes.codes_set(handle, "pack", 1)
        return bytes(eccodes.codes_get_message(handle))
    finally:
        eccodes.codes_release(handle)


def raw_message(
    descriptors: Sequence[int],
    data: bytes,
    *,
    category: int,
    subsets: int = 1,
    compressed: bool = False,
    time: tuple[int, int, int, int, int] = (1989, 1, 1, 6, 0),
) -> bytes:
    """A message of edition 3 with NCEP's century in octet 18."""
    year, *rest = time
    one = bytes([0, 0, 18, 0, 3, 7, 0, 0, category, 0, 14, 1, year % 100, *rest, year // 100 + 1])
    packed = [(d // 100_000 << 14) + (d // 1000 % 100 << 8) + d % 1000 for d in descriptors]
    three = b"\0" + subsets.to_bytes(2, "big") + bytes([0x80 | 0x40 * compressed])
    three += b"".join(code.to_bytes(2, "big") for code in packed)
    three = (len(three) + 3).to_bytes(3, "big") + three
    four = (len(data) + 4).to_bytes(3, "big") + b"\0" + data
    body = one + three + four + b"7777"
    return b"BUFR" + (len(body) + 8).to_bytes(3, "big") + b"\3" + body
