"""A small PREPBUFR encoder: tables as NCEP embeds them, and reports by those tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.bufr import raw_message

Record = Mapping[str, Any]

_CODE = "CODE TABLE"
ELEMENTS: dict[int, tuple[str, str, int, int, int]] = {
    1194: ("SID", "CCITT IA5", 0, 0, 64),
    6240: ("XOB", "DEG E", 2, -18000, 16),
    5002: ("YOB", "DEG N", 2, -9000, 15),
    4215: ("DHR", "HOURS", 3, -24000, 16),
    10199: ("ELV", "METER", 0, -1000, 17),
    55007: ("TYP", _CODE, 0, 0, 9),
    8193: ("CAT", _CODE, 0, 0, 6),
    31000: ("DRF1BIT", "NUMERIC", 0, 0, 1),
    31001: ("DRF8BIT", "NUMERIC", 0, 0, 8),
    7245: ("POB", "MB", 1, 0, 14),
    7246: ("PQM", _CODE, 0, 0, 5),
    7250: ("POE", "MB", 1, 0, 10),
    13245: ("QOB", "MG/KG", 0, 0, 16),
    13246: ("QQM", _CODE, 0, 0, 5),
    13250: ("QOE", "PERCENT DIVIDED BY 10", 1, 0, 10),
    12245: ("TOB", "DEG C", 1, -2732, 14),
    12246: ("TQM", _CODE, 0, 0, 5),
    12247: ("TPC", _CODE, 0, 0, 5),
    12250: ("TOE", "DEG C", 1, 0, 10),
    10007: ("ZOB", "METER", 0, -1000, 17),
    10246: ("ZQM", _CODE, 0, 0, 5),
    11003: ("UOB", "M/S", 1, -4096, 13),
    11004: ("VOB", "M/S", 1, -4096, 13),
    11240: ("WQM", _CODE, 0, 0, 5),
    11245: ("WOE", "M/S", 1, 0, 10),
    6241: ("XDR", "DEG E", 2, -18000, 16),
    5241: ("YDR", "DEG N", 2, -9000, 15),
    4218: ("HRDR", "HOURS", 3, -24000, 16),
    10243: ("PMO", "MB", 1, 0, 14),
    10244: ("PMQ", _CODE, 0, 0, 5),
}
"""Descriptor → mnemonic, unit, scale, reference, width, as in NCEP's files."""
SEQUENCES: dict[int, tuple[str, tuple[int, ...]]] = {
    360002: ("DRP8BIT", (101000, 31001)),
    360003: ("DRPSTAK", (101000, 31001)),
    360004: ("DRP1BIT", (101000, 31000)),
    348102: ("ADPUPA", (348001, 360002, 348002)),
    348109: ("ADPSFC", (348001, 348002, 360004, 348003)),
    348110: ("SFCSHP", (348001, 348002, 360004, 348003)),
    348104: ("AIRCFT", (348001, 348002)),
    348001: ("HEADR", (1194, 207003, 6240, 5002, 207000, 4215, 10199, 55007)),
    348002: (
        "PRSLEVEL",
        (8193, 360004, 348141, 360004, 348142, 360004, 348143, 360004, 348144, 360004, 348145, 360004, 348155),
    ),
    348003: ("PMSL_SEQ", (10243, 10244)),
    348141: ("P___INFO", (360003, 348171, 7250)),
    348171: ("P__EVENT", (7245, 7246)),
    348142: ("Q___INFO", (360003, 348172, 13250)),
    348172: ("Q__EVENT", (13245, 13246)),
    348143: ("T___INFO", (360003, 348173, 12250)),
    348173: ("T__EVENT", (12245, 12246, 12247)),
    348144: ("Z___INFO", (360003, 348174)),
    348174: ("Z__EVENT", (10007, 10246)),
    348145: ("W___INFO", (360003, 348175, 11245)),
    348175: ("W__EVENT", (11003, 11004, 11240)),
    348155: ("DRFTINFO", (6241, 5241, 4218)),
    363008: ("VIRTMP", (4215,)),
}
"""Descriptor → mnemonic and members. 207003 makes XOB and YOB finer by three digits."""
_KINDS = {name: descriptor for descriptor, (name, _) in SEQUENCES.items()}


def tables() -> bytes:
    """The message with the tables."""

    def entry(descriptor: int) -> bytes:
        return f"{descriptor:06d}".encode()

    def signed(number: int, size: int) -> bytes:
        return f"{'-' if number < 0 else '+'}{abs(number):{size}d}".encode()

    a = bytes([1]) + b"102" + b"ADPUPA".ljust(64)
    b = bytes([len(ELEMENTS)])
    for descriptor, (name, unit, scale, reference, width) in ELEMENTS.items():
        b += entry(descriptor) + name.encode().ljust(64) + unit.encode().ljust(24)
        b += signed(scale, 3) + signed(reference, 10) + f"{width:3d}".encode()
    d = bytes([len(SEQUENCES)])
    for descriptor, (name, members) in SEQUENCES.items():
        d += entry(descriptor) + name.encode().ljust(64) + bytes([len(members)]) + b"".join(map(entry, members))
    return raw_message([103000, 31001, 1, 2, 3, 101000, 31001, 300004, 105000, 31001, 300003], a + b + d, category=11)


def reports(kind: str, records: list[Record]) -> bytes:
    """A message of reports, each padded to whole bytes and led by its length, as NCEP writes them.

    records: mnemonic → value (absent: missing), and for a replicated sequence its mnemonic → list of records.
    """
    data = b""
    for record in records:
        bits = _encode((_KINDS[kind],), record)
        padding = 8 - len(bits) % 8
        bits += f"{padding:08b}" + "0" * padding
        data += (len(bits) // 8 + 2).to_bytes(2, "big") + int(bits, 2).to_bytes(len(bits) // 8, "big")
    descriptors = [63000, _KINDS[kind], 102000, 31001, 206001, 63255]
    return raw_message(descriptors, data, category=102, subsets=len(records), time=(2020, 11, 1, 12, 0))


def _encode(descriptors: tuple[int, ...], record: Record, finer: int = 0) -> str:
    bits, at = "", 0
    while at < len(descriptors):
        descriptor = descriptors[at]
        at += 1
        if descriptor in (360002, 360003, 360004):
            name = SEQUENCES[descriptors[at]][0]
            repeated = record.get(name, [])
            bits += f"{len(repeated):0{1 if descriptor == 360004 else 8}b}"
            bits += "".join(_encode((descriptors[at],), part) for part in repeated)
            at += 1
        elif descriptor // 1000 == 207:
            finer = descriptor % 1000
        elif descriptor in SEQUENCES:
            bits += _encode(SEQUENCES[descriptor][1], record)
        else:
            bits += _number(descriptor, record, finer)
    return bits


def _number(descriptor: int, record: Record, finer: int) -> str:
    name, unit, scale, reference, width = ELEMENTS[descriptor]
    value = record.get(name)
    if unit.startswith("CCITT"):
        return "".join(f"{byte:08b}" for byte in str(value).encode().ljust(width // 8))
    if finer:
        scale, reference, width = scale + finer, reference * 10**finer, width + (10 * finer + 2) // 3
    return "1" * width if value is None else f"{round(value * 10**scale) - reference:0{width}b}"
