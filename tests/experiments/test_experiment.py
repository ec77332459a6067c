from __future__ import annotations

import contextlib
import csv
import json
import re

import pytest
import torch

from phyda_cli.cli.app import main
from phyda_cli.cli.experiment import named_weights
from phyda_cli.errors import UsageError
from phyda_cli.experiments.bench import done
from phyda_cli.experiments.journal import FILE, Journal
from phyda_cli.preparation.workers import OnDask

MSE = tuple(f"{place}{name}" for place in ("", "withheld_") for name in ("mse", "nmse"))


def table(path) -> list[list[str]]:
    """The rows of scores.csv without the times that the computation took."""
    with path.open(newline="") as file:
        return [row for row in csv.reader(file) if row[3] != "seconds"]


@pytest.fixture(scope="module")
def finished(ground, tmp_path_factory):
    output = tmp_path_factory.mktemp("finished") / "out"
    assert main([*ground.words(output), "--quiet"]) == 0
    return output


def test_the_tables_of_a_run(finished):
    rows = table(finished / "scores.csv")
    assert rows[0][:5] == ["method", "density_percent", "channel", "score", "value"]
    held = {tuple(row[:4]): row[4:] for row in rows[1:]}
    assert len(held) == len(rows) - 1
    assert {key[0] for key in held} == {"background", "3dvar", "phyda", "unet"}
    assert {key[1] for key in held} == {"5", "0"}
    assert {"u250", "msl", "t", "all"} <= {key[2] for key in held}
    value = {key: float(cells[0]) for key, cells in held.items() if cells[0]}
    assert value["3dvar", "5", "all", "nrmse"] < value["background", "5", "all", "nrmse"]
    ratio = value["3dvar", "5", "all", "nrmse"] / value["background", "5", "all", "nrmse"]
    assert float(held["3dvar", "5", "all", "nrmse"][4]) == pytest.approx(ratio, rel=1e-4)
    # nothing observed: every analysis without members is the background
    for method in ("3dvar", "unet"):
        assert value[method, "0", "all", "nrmse"] == value["background", "0", "all", "nrmse"]
    assert ("phyda", "5", "t", "spread_skill") in held
    assert ("unet", "5", "t", "spread_skill") not in held
    assert ("3dvar", "5", "all", "desroziers_o") in held


def test_the_document_says_what_was_done(finished):
    document = json.loads((finished / "scores.json").read_text())
    assert document["settings"]["densities"] == [5.0, 0.0]
    assert document["dates"] == 6
    assert set(document["digests"]["weights"]) == {"phyda", "unet"}
    lost = {(c["other"], c["score"], c["channel"], c["density"]) for c in document["losing_cells"]}
    rows = table(finished / "scores.csv")
    expected = {
        ("3dvar", row[3], row[2], float(row[1]))
        for row in rows[1:]
        if row[0] == "phyda" and row[5] and float(row[5]) > 1.0 + 1e-5 and row[3] not in MSE
    }
    assert expected
    assert expected <= lost


def test_the_report_is_markdown_with_its_pictures_and_one_file_of_html(finished):
    text = (finished / "report.md").read_text()
    pictures = re.findall(r"^!\[.*\]\((.*)\)$", text, re.MULTILINE)
    assert len(pictures) >= 5
    assert all((finished / name).read_bytes().startswith(b"\x89PNG") for name in pictures)
    page = (finished / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(pictures)
    assert "http" not in re.sub('base64,[^"]*"', "", page)
    assert page.count("<table>") == len(re.findall(r"^\| (?:--- \| )*---", text, re.MULTILINE))
    for word in ("Losing cells", "Spectra", "Balance", "Spread and ranks", "Single fields at 5 %", "Origin"):
        assert f"## {word}" in text
        assert f"<h2>{word}" in page


def test_losing_cells_are_in_a_file_of_their_own(finished):
    document = json.loads((finished / "scores.json").read_text())
    with (finished / "losing-cells.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert len(cells) == len(document["losing_cells"])
    ratios = [float(cell["ratio"]) for cell in cells]
    assert ratios == sorted(ratios, reverse=True)
    assert {(c["other"], c["score"], c["channel"]) for c in cells} == {
        (c["other"], c["score"], c["channel"]) for c in document["losing_cells"]
    }


def test_a_run_that_was_killed_goes_on_to_the_same_tables(ground, finished, tmp_path, monkeypatch):
    output, added = tmp_path / "out", []
    plain = Journal.add

    def dying(self, method, density, records):
        if len(added) == 4:
            self.path.write_bytes(self.path.read_bytes() + b'{"method":"unet","dens')
            raise KeyboardInterrupt
        added.append(method)
        plain(self, method, density, records)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", dying)
        assert main([*ground.words(output), "--quiet"]) == 130
    assert not (output / "scores.csv").exists()
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", lambda self, *rest: (added.append(rest[0]), plain(self, *rest)))
        assert main([*ground.words(output), "--quiet"]) == 0
    assert len(added) == 8
    assert table(output / "scores.csv") == table(finished / "scores.csv")


def test_workers_of_a_cluster_make_the_same_tables(ground, finished, tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        asked = []
        submit = client.submit
        monkeypatch.setattr(client, "submit", lambda *task, **rest: (asked.append(task[0]), submit(*task, **rest))[1])

        @contextlib.contextmanager
        def those(dask):
            assert dask == "tcp://somewhere:8786"
            yield OnDask(client)

        monkeypatch.setattr("phyda_cli.preparation.workers.workers", those)
        output = tmp_path / "out"
        assert main([*ground.words(output), "--dask", "tcp://somewhere:8786", "--quiet"]) == 0
    assert asked.count(done) == 2
    assert table(output / "scores.csv") == table(finished / "scores.csv")


def test_threads_and_the_order_of_the_methods_do_not_matter(ground, finished, tmp_path):
    before = torch.get_num_threads()
    output = tmp_path / "out"
    try:
        words = ground.words(output, "--threads", "2", "--methods", "3dvar,background")
        assert main([*words, "--quiet"]) == 0
    finally:
        torch.set_num_threads(before)
    other = {tuple(row[:4]): row[4] for row in table(output / "scores.csv")[1:]}
    own = {tuple(row[:4]): row[4] for row in table(finished / "scores.csv")[1:]}
    for key, value in other.items():
        if value:
            # a bias is what is left of errors of this size, which the minimisation knows to a part in a thousand
            size = float(own[*key[:3], "rmse"]) if key[3] == "bias" else 0.0
            assert float(value) == pytest.approx(float(own[key]), rel=1e-3, abs=1e-5 + 1e-4 * size), key


def test_another_method_uses_what_is_there(ground, finished, monkeypatch, capsys):
    added = []
    monkeypatch.setattr(Journal, "add", lambda self, *rest: added.append(rest[0]))
    assert main([*ground.words(finished, "--methods", "background,3dvar"), "--json"]) == 0
    assert added == []
    document = json.loads(capsys.readouterr().out)
    assert document["status"] == "ok"
    assert [row["method"] for row in document["summary"]] == ["background", "3dvar"] * 2
    assert document["losing_cells"] == []
    assert (finished / FILE).exists()


def test_refusals_are_one_line(ground, finished, tmp_path, capsys):
    def refused(words: list[str], code: int, text: str) -> None:
        assert main(words) == code
        message = capsys.readouterr().err
        assert text in message
        assert message.count("phyda: error:") == 1

    words = ground.words(finished)
    refused([*words, "--store", "s"], 2, "name one store")
    refused(["experiment", "--out", "x"], 2, "name one store, phyda experiment STORE")
    refused([*words, "--methods", "letkf"], 2, "no such method; there are background, 3dvar, oi, surface, phyda, unet")
    refused([*words, "--densities", "five"], 2, "give numbers with commas")
    refused([*words, "--densities", "200"], 78, "--densities")
    refused([*words, "--leads", "7"], 65, "no backgrounds at lead 7 h")
    refused([*words, "--noise", "0.5"], 65, "other settings")
    refused([w for w in words if w not in ("--out", str(finished))], 2, "give --out DIRECTORY")
    refused([*words[:3], "none.safetensors", *words[4:]], 66, "no such file")


def test_names_of_weights(tmp_path):
    odd = tmp_path / "a=b"
    odd.write_text("")
    found = named_weights(["x.safetensors", "unet=y=z.safetensors", "v-1=w"])
    assert {name: str(path) for name, path in found.items()} == {
        "phyda": "x.safetensors",
        "unet": "y=z.safetensors",
        "v-1": "w",
    }
    assert named_weights([str(odd)]) == {"phyda": odd}
    with pytest.raises(UsageError, match="name phyda already"):
        named_weights(["a", "phyda=b"])
