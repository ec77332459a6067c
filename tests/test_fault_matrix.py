"""Every fault of a file at every stage of a run: an exit code, one line, the old output as it was, nothing beside it.

Where a fault can be lived with (a missing value in a row, an empty configuration) the run ends well and every input
row is accounted for.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from phyda_cli.cli.app import main
from phyda_cli.library import analysis
from phyda_cli.library import inputs as inputs_of_the_library
from tests.support.runs import OLD, TABLE, Inputs, make_inputs, nan_field

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The good inputs, made once."""
    return make_inputs(tmp_path_factory.mktemp("good"))


@pytest.fixture
def inputs(good, tmp_path):
    """A copy of them to damage."""
    shutil.copytree(good.place, tmp_path, dirs_exist_ok=True)
    return Inputs(tmp_path)


def cut(share: float) -> Callable[[Path], None]:
    """A little less than the share, which for GRIB would be whole messages: a shorter file that is a good one."""

    def damage(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: max(int(len(data) * share) - 7, 1)])

    return damage


def flip(path: Path) -> None:
    """Flip one bit of each of the first eight bytes."""
    data = path.read_bytes()
    path.write_bytes(bytes(byte ^ (1 << k) for k, byte in enumerate(data[:8])) + data[8:])


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def not_a_number(path: Path) -> None:
    if path.name.startswith("bg"):
        nan_field(path.parent)
    elif path.suffix == ".csv":
        path.write_text(TABLE.replace("265.25", "NaN"))
    elif path.suffix == ".toml":
        path.write_text("background_error_scale = nan")
    else:
        data = bytearray(path.read_bytes())
        data[-4:] = b"\xff\xff\xff\xff"
        path.write_bytes(bytes(data))


FAULTS: dict[str, Callable[[Path], None]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b"") and None,
    "cut 10 %": cut(0.1),
    "cut 50 %": cut(0.5),
    "cut 90 %": cut(0.9),
    "flipped": flip,
    "other type": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8) and None,
    "NaN": not_a_number,
    "directory": directory,
    "no permission": lambda path: path.chmod(0),
}
STAGES = {
    "GRIB": ("bg.grib", "background"),
    "NetCDF": ("bg.nc", "background"),
    "observations": ("obs.csv", "obs"),
    "weights": ("b.safetensors", "weights"),
    "configuration": ("run.toml", "config"),
}
EXPECTED = {
    "GRIB": dict.fromkeys(FAULTS, 65),
    "NetCDF": dict.fromkeys(FAULTS, 65),
    "observations": dict.fromkeys(FAULTS, 65) | {"NaN": 0, "directory": 66},
    "weights": dict.fromkeys(FAULTS, 65) | {"directory": 66},
    "configuration": dict.fromkeys(FAULTS, 78) | {"empty": 0, "directory": 66},
}
"""The exit codes; missing and unreadable files are 66 at every stage."""


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """The exit code, the last line of stderr and stdout; no run may show a traceback or a second error."""
    code = main(words)
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    errors = [line for line in captured.err.splitlines() if line.startswith("phyda: error: ")]
    assert len(errors) == (code != 0)
    assert "bug in phyda" not in captured.err
    return code, errors[0] if errors else "", captured.out


def assert_reconciled(document: dict, rows: int) -> None:
    """Every input row is used or rejected, once."""
    assert document["observations"] == rows
    assert sum(entry["total"] for entry in document["variables"]) == rows
    assert sum(entry["used"] for entry in document["variables"]) == document["used"]
    for entry in document["variables"]:
        assert entry["used"] + sum(entry["rejected"].values()) == entry["total"]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stage", STAGES)
def test_file_fault(inputs, capsys, stage, fault):
    name, option = STAGES[stage]
    path = inputs.place / name
    FAULTS[fault](path)
    if fault == "no permission" and os.access(path, os.R_OK):
        pytest.skip("root may read everything")
    before = inputs.listing() if fault != "no permission" else {}
    code, line, out = run([*inputs.words(**{option: path}), "--json"], capsys)
    expected = 66 if fault in ("missing", "no permission") else EXPECTED[stage][fault]
    assert code == expected, line
    document = json.loads(out)
    if code:
        assert name in line
        assert document["exit_code"] == code
        if fault == "no permission":
            path.chmod(0o644)
        assert not before or inputs.listing() == before
        assert (inputs.place / "a.nc").read_bytes() == OLD
    else:
        assert_reconciled(document, 5)
        assert document["used"] == (4 if fault == "NaN" else 5)
        assert sorted(set(inputs.listing()) - set(before)) == []


@pytest.mark.parametrize("stage", STAGES)
def test_without_a_fault_the_run_ends_well(inputs, capsys, stage):
    name, option = STAGES[stage]
    before = inputs.listing()
    code, _, out = run([*inputs.words(**{option: inputs.place / name}), "--json"], capsys)
    assert code == 0
    assert_reconciled(json.loads(out), 5)
    assert inputs.listing().keys() == before.keys()
    assert (inputs.place / "a.nc").read_bytes()[:4] == b"\x89HDF"


def replaced(path: Path) -> None:
    """As `mv new old`: the same content in another file."""
    other = path.with_name("other")
    shutil.copyfile(path, other)
    other.rename(path)


def rewritten(path: Path) -> None:
    """One byte changed in place, with the times of before."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "removed": Path.unlink,
    "replaced": replaced,
    "rewritten": rewritten,
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\n"),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:40]),
}


@pytest.mark.parametrize("moment", ["while it is read", "while the outputs are written"])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["bg.nc", "obs.csv", "b.safetensors"])
def test_an_input_that_changes_during_the_run(inputs, capsys, monkeypatch, name, change, moment):
    """The digest in an output is that of the bytes that were read, or there is no output."""
    if moment == "while it is read":
        place, function = inputs_of_the_library, "read_background"
    else:
        place, function = analysis, "write_feedback"
    real = getattr(place, function)

    def changing(*arguments: object, **options: object) -> object:
        CHANGES[change](inputs.place / name)
        return real(*arguments, **options)

    monkeypatch.setattr(place, function, changing)
    before = inputs.listing()
    words = inputs.words(feedback=inputs.place / "f.nc", carry=inputs.place / "c.json")
    code, line, _ = run([*words, "--carry-new"], capsys)
    assert code == 75
    assert name in line
    assert "run again" in line
    after = inputs.listing()
    before.pop(name)
    after.pop(name, None)
    assert after == before


def test_a_new_link_or_mode_of_an_input_is_no_change(inputs, capsys, monkeypatch):
    def linking(*arguments: object, **options: object) -> object:
        os.link(inputs.place / "obs.csv", inputs.place / "copy.csv")
        (inputs.place / "bg.nc").chmod(0o600)
        return real(*arguments, **options)

    real = analysis.write_feedback
    monkeypatch.setattr(analysis, "write_feedback", linking)
    assert run(inputs.words(feedback=inputs.place / "f.nc"), capsys)[0] == 0


OUTPUT_FAULTS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "missing directory": (lambda place: None, "none/a.nc", "does not exist; create it first"),
    "a file for a directory": (lambda place: None, "obs.csv/a.nc", "does not exist; create it first"),
    "directory": (lambda place: (place / "d").mkdir(), "d", "is a directory; name a file"),
    "pipe": (lambda place: os.mkfifo(place / "p"), "p", "is not a regular file"),
    "link to nowhere": (lambda place: (place / "l").symlink_to("none/a.nc"), "l", "does not exist; create it first"),
    "no permission": (lambda place: (place / "r").mkdir(0o555), "r/a.nc", "no permission to write"),
}


@pytest.mark.parametrize("option", ["out", "feedback", "increment", "members_out"])
@pytest.mark.parametrize("fault", OUTPUT_FAULTS)
def test_output_fault(inputs, capsys, option, fault):
    prepare, name, message = OUTPUT_FAULTS[fault]
    prepare(inputs.place)
    if fault == "no permission" and os.access(inputs.place / "r", os.W_OK):
        pytest.skip("root may write everywhere")
    names = sorted(path.name for path in inputs.place.rglob("*"))
    code, line, _ = run(inputs.words(**{option: inputs.place / name}), capsys)
    assert code == 73
    assert message in line
    assert sorted(path.name for path in inputs.place.rglob("*")) == names
    assert (inputs.place / "a.nc").read_bytes() == OLD


@pytest.mark.parametrize("room", [0, 100, 5_000, 20_000])
@pytest.mark.parametrize("option", ["out", "feedback", "increment", "members_out", "carry"])
def test_no_room(inputs, capsys, option, room):
    """A file-size limit stands for a full disk: the same failing writes, at any depth of the file."""
    extra = {} if option == "out" else {option: inputs.place / "extra"}
    words = inputs.words(**extra) + (["--carry-new"] if option == "carry" else [])
    before = inputs.listing()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        code, line, _ = run(words, capsys)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 73, line
    assert inputs.listing() == before


FULL = """
set -eu
mount -t tmpfs -o size=256k tmpfs "$1"
printf old > "$1/a.nc"
printf "old feedback" > "$1/f.nc"
head -c ${FILL}k /dev/zero > "$1/filler"
shift
set +e
"$@"
echo "code $?"
ls -A "$0"
cat "$0/a.nc" "$0/f.nc"
"""
READ_ONLY = FULL.replace("shift\n", 'mount -o remount,ro "$1"\nshift\n')


def can_mount() -> bool:
    words = ["unshare", "--mount", "true"]
    return (
        os.geteuid() == 0 and shutil.which("unshare") is not None and subprocess.run(words, check=False).returncode == 0
    )


@pytest.mark.parametrize(
    ("script", "fill", "message"),
    [
        (FULL, 200, "is the disk full?|No space left"),
        (FULL, 120, "is the disk full?|No space left"),
        (READ_ONLY, 0, "no permission"),
    ],
)
def test_a_disk_that_is_full_or_read_only(inputs, script, fill, message):
    """With room for the feedback and not for the analysis, neither is replaced, and no carry file begins."""
    if not can_mount():
        pytest.skip("needs to mount a small disk")
    disk = inputs.place / "disk"
    disk.mkdir()
    outputs = {"out": disk / "a.nc", "feedback": disk / "f.nc", "carry": disk / "carry.json"}
    words = [sys.executable, "-m", "phyda_cli", *inputs.words(**outputs, members=8), "--carry-new"]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, str(disk), str(disk), *words],
        capture_output=True, text=True, check=False, cwd=ROOT,
        env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "FILL": str(fill)},
    )  # fmt: skip
    if "code" not in done.stdout:
        pytest.skip(f"cannot mount: {done.stderr}")
    assert done.stdout == "code 73\na.nc\nf.nc\nfiller\noldold feedback"
    errors = [line for line in done.stderr.splitlines() if "error: " in line]
    assert len(errors) == 1
    assert any(part in errors[0] for part in message.split("|"))
