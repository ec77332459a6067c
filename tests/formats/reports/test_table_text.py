"""Tables as text: separators, decimal commas, comments, and what is packed; no file takes unbounded memory or time."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile

import numpy as np
import pytest

from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports import table_text
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.formats.reports.table_text import _is_even

HEADER = "time,lat,lon,variable,value,pressure_hpa"
ROW = "2020-01-01T12:00,47.5,8.25,t,255.4,500"
PLAIN = f"{HEADER}\n{ROW}\n"


def read(text):
    return read_observations(io.StringIO(text), name="obs.csv")


def with_separator(mark, comma=False):
    text = PLAIN.replace(",", mark)
    return text.replace(".", ",") if comma else text


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        with_separator(";"),
        with_separator("\t"),
        with_separator(";", comma=True),
        with_separator("\t", comma=True),
        with_separator("   "),
        with_separator("   ", comma=True),
        f'{HEADER}\n2020-01-01T12:00,"47,5","8,25",t,"255,4",500\n',
        f"#DEBUG: Format -> comma\n#DEBUG: more\n{PLAIN}",
        f"# {PLAIN}",
    ],
)
def test_the_same_table_however_it_is_written(text):
    table = read(text)
    np.testing.assert_allclose([table.latitude[0], table.longitude[0], table.value[0]], [47.5, 8.25, 255.4])
    assert table.used.all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{with_separator(';', comma=True)}2020-01-01T12:00;47.5;8;t;255;500\n", "write decimal points throughout"),
        (f'{HEADER}\n2020-01-01T12:00,47,8,t,255,"1,000"\n', "a decimal comma or thousands"),
        (f'{HEADER}\n2020-01-01T12:00,47,8,z,"54,321.5",500\n', "without thousands marks"),
        (with_separator(" ").replace("T12:00", " 12:00"), "row 1 has 7 fields between blanks, expected 6"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(text, words):
    with pytest.raises(BadDataError, match=r"^obs\.csv: ") as failure:
        read(text)
    assert words in str(failure.value)


def packed(path, data):
    path.write_bytes(data)
    return path


def zipped(*contents):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, content in enumerate(contents):
            archive.writestr(f"{number}.csv", content)
    return stream.getvalue()


def test_one_layer_is_unpacked(tmp_path):
    plain = PLAIN.encode()
    for data in (gzip.compress(plain), gzip.compress(plain[:50]) + gzip.compress(plain[50:]), zipped(plain)):
        assert read_observations(packed(tmp_path / "obs", data)).value[0] == 255.4
    assert read_observations(packed(tmp_path / "obs", PLAIN.encode("utf-16"))).value[0] == 255.4


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (gzip.compress(gzip.compress(PLAIN.encode())), "is a gzip file inside"),
        (gzip.compress(zipped(PLAIN)), "is a zip archive inside"),
        (zipped(gzip.compress(PLAIN.encode())), "is a gzip file inside"),
        (zipped(PLAIN, PLAIN), "zip archive of 2 files"),
        (zipped(PLAIN)[:-30], "damaged"),
        (gzip.compress(bytes(10_000_000)), "binary inside"),
        (gzip.compress(b"1,2,3\n" * 2_000_000), "unpacks to more than 8 MiB"),
        (zipped(b"1,2,3\n" * 2_000_000), "unpacks to more than 8 MiB"),
    ],
)
def test_what_is_packed_otherwise_is_refused(tmp_path, monkeypatch, data, words):
    monkeypatch.setattr(table_text, "MOST_BYTES", 8 * 2**20)
    with pytest.raises(BadDataError, match=words):
        read_observations(packed(tmp_path / "obs", data))


def stream(data):
    return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8")


def test_standard_input_as_bytes():
    assert read_observations(stream(gzip.compress(PLAIN.encode()))).value[0] == 255.4
    with pytest.raises(BadDataError, match="line 2 holds byte 0xfc"):
        read_observations(stream(f"{HEADER}\nZ\xfcrich\n".encode("latin-1")))


def test_too_many_columns_are_refused_at_once():
    with pytest.raises(BadDataError, match="has 200000 columns, more than 2000"):
        read(",".join(f"c{i}" for i in range(200_000)) + "\n" + ",".join("1" for _ in range(200_000)) + "\n")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_counting_separators_says_what_taking_rows_apart_says(separator):
    """Random tables, ragged and with blank lines and quotes: what is even by counting is even by `csv`, never the other
    way; and a plain table is found to be.
    """
    rng = np.random.default_rng(0)
    agreed = 0
    for _ in range(300):
        width = int(rng.integers(1, 4))
        rows = [separator.join(["é1", "", "x"][:width]) for _ in range(int(rng.integers(1, 5)))]
        odd = rng.choice(["", "   ", f"a{separator}b{separator}c{separator}d", f'"a{separator}b"'], 1)[0]
        if rng.random() < 0.5:
            rows.insert(int(rng.integers(0, len(rows) + 1)), odd)
        text = "\n".join(rows) + "\n" * int(rng.integers(0, 2))
        counts = {
            len(r) for r in csv.reader(io.StringIO(text), delimiter=separator) if r and (len(r) > 1 or r[0].strip())
        }
        if _is_even(text, separator):
            assert len(counts) == 1
            agreed += 1
    assert agreed > 100
    assert _is_even(f"a{separator}b\n1{separator}2\n", separator)
