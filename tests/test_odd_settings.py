"""Names, settings and headers that no one writes on purpose: one line and the right code, before any work."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from phyda_cli.cli.app import main
from phyda_cli.outputs import check_target
from tests.support.runs import make_inputs, refused

DEEP = 50_000


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("odd"))


OUTPUTS = {
    "a\udcff.nc": "not UTF-8",
    "d\udcff/a.nc": "not UTF-8",
    "x" * 300: "too long",
    "y" * 240 + ".nc": "take at most 234 bytes",
    "é" * 120 + ".nc": "take at most 234 bytes",
}


@pytest.mark.parametrize("option", ["out", "feedback", "members_out"])
@pytest.mark.parametrize("name", OUTPUTS)
def test_names_of_outputs(inputs, capsys, monkeypatch, option, name):
    monkeypatch.setattr("phyda_cli.cli.assimilate_run.run", None)  # it must not come so far
    refused(inputs, capsys, inputs.words(**{option: inputs.place / name}), 73, OUTPUTS[name])


def test_the_longest_name_is_taken(inputs):
    longest = "x" * 231 + ".nc"
    path = inputs.place / longest
    assert check_target(path, overwrite=False) == path
    assert main(inputs.words(out=path)) == 0
    path.unlink()


@pytest.mark.parametrize("option", ["out", "feedback", "increment"])
def test_standard_output_is_no_output(inputs, capsys, monkeypatch, option):
    monkeypatch.chdir(inputs.place)
    refused(inputs, capsys, inputs.words(**{option: "-"}), 73, "name a file")


@pytest.mark.parametrize("option", ["background", "obs", "weights", "quality"])
@pytest.mark.parametrize(("name", "message"), [("o\udcff.csv", "not UTF-8"), ("x" * 300, "too long")])
def test_names_of_inputs(inputs, capsys, option, name, message):
    refused(inputs, capsys, inputs.words(**{option: inputs.place / name}), 66, message)


def test_names_in_a_configuration(inputs, capsys):
    config = inputs.place / "zero.toml"
    config.write_text('feedback = "a\\u0000b"\n')
    refused(inputs, capsys, inputs.words(config=config), 73, "null")
    config.unlink()


NUMBERS = {
    ("threads", "1000000"): "--threads: Input should be less than or equal to 1024",
    ("threads", "9" * 25): "--threads",
    ("seed", "9" * 25): "--seed",
    ("members", "9" * 25): "--members",
    ("evaluations", "9" * 25): "--evaluations",
    ("member", "0-99999999999"): "names more than 100000 members",
    ("window", "9999999999999999h"): "is longer than 3653 days",
    ("window", "99999999h"): "is longer than 3653 days",
    ("wait", "9" * 400 + "h"): "is longer than 3653 days",
    ("time", "9999-01-01"): "is not between the years 1679 and 2261",
}


@pytest.mark.parametrize(("option", "value"), NUMBERS)
def test_numbers_out_of_all_bounds(inputs, capsys, option, value):
    refused(inputs, capsys, inputs.words(**{option: value}), 2, NUMBERS[option, value])


@pytest.mark.parametrize("text", ["1e9", "now", "", "999999999999999", "-1.5"])
def test_a_wrong_epoch(inputs, capsys, monkeypatch, text):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    refused(inputs, capsys, inputs.words(), 78, "is no number of seconds since 1970; correct or unset it")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")  # the remedy
    assert main(["--version"]) == 0


@pytest.mark.parametrize("text", ["a = " + "[" * DEEP + "]" * DEEP, "a = " + "{a=" * DEEP + "1" + "}" * DEEP])
@pytest.mark.parametrize("option", ["config", "errors", "quality"])
def test_settings_that_are_nested_deeply(inputs, capsys, option, text):
    path = inputs.place / "deep.toml"
    path.write_text(text)
    refused(inputs, capsys, inputs.words(**{option: path}), 78, "deep.toml: is nested too deeply")
    words = ["train", "--store", str(inputs.place), "--out", str(inputs.place / "t"), "--config", str(path)]
    refused(inputs, capsys, words, 78, "deep.toml: is nested too deeply")
    path.unlink()


HEADERS = [
    "[]", "null", "1", '"x"', "NaN", "{}", "[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP,
    '{"format":[]}', '{"format":{}}', '{"format":"phyda-model-1"}', '{"format":"phyda-background-error-1"}',
    '{"format":"phyda-model-1","channels":[["t",null]],"grid":[]}',
    '{"format":"phyda-background-error-1","channels":5,"latitudes":1,"longitudes":2}',
    '{"format":"phyda-background-error-1","channels":[["t",null]],"latitudes":[],"longitudes":[]}',
]  # fmt: skip


def with_header(path: Path, header: str, good: Path) -> None:
    """The tensors of good weights with another header of phyda."""
    data = good.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    entries = json.loads(data[8 : 8 + size])
    entries["__metadata__"] = {"phyda": header}
    text = json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


@pytest.mark.parametrize("header", HEADERS, ids=range(len(HEADERS)))
def test_headers_of_weights(inputs, capsys, header):
    path = inputs.place / "w.safetensors"
    with_header(path, header, inputs.place / "b.safetensors")
    refused(inputs, capsys, inputs.words(weights=path), 65, "w.safetensors: ")
    refused(inputs, capsys, inputs.words(weights=path, method="phyda"), 65, "w.safetensors: ")
    refused(inputs, capsys, ["info", str(path)], 65, "w.safetensors: ")
    path.unlink()
