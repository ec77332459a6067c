"""The assembled model and its file."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from phyda_cli.errors import BadDataError, InputMissingError
from phyda_cli.fields.state import Channel
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.networks.checkpoint import read_checkpoint, to_bytes
from phyda_cli.networks.config import ModelConfig
from phyda_cli.networks.gridded import GriddedObservations
from phyda_cli.networks.phyda import Base, PhyDA, latent_loss, reconstruction_loss
from phyda_cli.networks.statistics import Statistics, error_maps
from phyda_cli.networks.vre import Reconstruction

GRID = LatLonGrid.equiangular(8, 16)
CHANNELS = (Channel("u", 50_000.0), Channel("t", 50_000.0), Channel("msl"))
CONFIG = ModelConfig(latent_channels=4, autoencoder_width=8, encoder_widths=(16, 16), score_widths=(16, 16), heads=2)


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def statistics() -> Statistics:
    rows = torch.arange(1.0, 9.0)
    sigma = torch.stack([rows, 0.5 * rows, 100 * rows])
    return Statistics(CHANNELS, GRID, sigma, 10 * sigma, 2 * sigma, 0.1 * draw(4, 8, 16, seed=0))


def model(seed: int = 1) -> PhyDA:
    made = PhyDA(3, GRID.shape, CONFIG)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(0.15 * torch.randn(parameter.shape, generator=generator))
    return made.eval()


def inputs() -> tuple[GriddedObservations, torch.Tensor, torch.Tensor, torch.Tensor]:
    seen = draw(1, 3, 8, 16, seed=2) > 0.5
    gridded = GriddedObservations(*(torch.where(seen, x, 0.0) for x in (draw(1, 3, 8, 16, seed=3), 0.2, 0.6)))
    static = statistics().static(np.array(["2001-07-01"], dtype="datetime64[s]"), dtype=torch.float32)
    return gridded, draw(1, 3, 8, 16, seed=4), draw(1, 3, 8, 16, seed=5), static


def base() -> Base:
    return Base(draw(1, 3, 8, 16, seed=6), 2.0 + draw(1, 3, 8, 1, seed=7).abs())


def draw_members(made: PhyDA, count: int, *, seed: int = 0, churn: float = 0.0) -> tuple[Reconstruction, torch.Tensor]:
    with torch.no_grad():
        reconstruction, mean, log_sigma = made.reconstruct(*inputs(), base())
        drawn = made.members(
            reconstruction, mean, log_sigma, base(), count=count, evaluations=4, seeds=[seed], churn=churn
        )
        return reconstruction, drawn[0]


def test_members_depend_on_the_seed_alone_and_a_larger_ensemble_begins_with_the_smaller() -> None:
    made = model()
    _, first = draw_members(made, 4)
    assert torch.equal(first, draw_members(made, 4)[1])
    assert not torch.allclose(first, draw_members(made, 4, seed=1)[1])
    assert torch.allclose(draw_members(made, 3)[1], first[:3], atol=1e-5)


def test_a_latent_without_width_makes_every_member_the_reconstruction() -> None:
    """log σ_z at its lower bound −7: δ_i − μ = D(μ_z + σ_z r) − D(μ_z) → 0, whatever the autoencoder's floor."""
    made = model()
    with torch.no_grad():
        made.latent_log_sigma.weight.zero_()
        assert made.latent_log_sigma.bias is not None
        made.latent_log_sigma.bias.fill_(-100.0)
    reconstruction, members = draw_members(made, 2)
    assert (members - reconstruction.mean).abs().max() < 0.02
    assert (draw_members(model(), 2)[1] - reconstruction.mean).abs().max() > 0.2


def test_members_are_independent_about_the_reconstruction() -> None:
    """An untrained score and a linear decoder: r = ε up to the sampler, so members differ as independent draws do."""
    made = model()
    with torch.no_grad():
        for module in (made.score.output, made.autoencoder.output):
            for parameter in module.parameters():
                parameter.zero_()
    reconstruction, members = draw_members(made, 64)
    anomaly = (members - reconstruction.mean[0]).flatten(1)
    correlation = torch.corrcoef(anomaly)[~torch.eye(64, dtype=torch.bool)]
    assert correlation.mean().abs() < 0.05
    assert correlation.min() > -0.97  # an opposite pair would have -1


def test_rotation_of_the_inputs_rotates_the_reconstruction_and_its_latent() -> None:
    made = model().double()
    gridded, *rest = inputs()
    straight = [GriddedObservations(*(x.double() for x in (gridded.signal, gridded.noise, gridded.density)))]
    turned = [GriddedObservations(*(x.double().roll(8, -1) for x in (gridded.signal, gridded.noise, gridded.density)))]
    with torch.no_grad():
        before = made.reconstruct(straight[0], *(x.double() for x in rest), Base(*(x.double() for x in base())))
        after = made.reconstruct(
            turned[0], *(x.double().roll(8, -1) for x in rest), Base(*(x.double().roll(8, -1) for x in base()))
        )
    assert torch.allclose(before[0].mean.roll(8, -1), after[0].mean, atol=1e-10)
    assert torch.allclose(before[1].roll(4, -1), after[1], atol=1e-10)


def test_members_of_state_latents_differ_from_the_reconstruction_by_the_scaled_decoder() -> None:
    """A decoder and encoder that are linear: δ_i − μ = ρ U σ_z r, the anomaly of the background cancels."""
    config = CONFIG.model_copy(update={"latent": "state"})
    made = PhyDA(3, GRID.shape, config)
    made.load_state_dict(model().state_dict())
    for part in (made.score.output, made.autoencoder.output, made.autoencoder.mean):
        for parameter in part.parameters():
            torch.nn.init.zeros_(parameter)
    doubled = Base(base().anomaly + 1.0, 2 * base().ratio)
    with torch.no_grad():
        parts = made.reconstruct(*inputs(), base())
        single = made.members(*parts, base(), count=2, evaluations=4, seeds=[0])[0]
        double = made.members(*parts, doubled, count=2, evaluations=4, seeds=[0])[0]
        other = made.reconstruct(*inputs(), doubled)[1]
    mean = parts[0].mean
    assert (single - mean).abs().max() > 0.1
    assert torch.allclose(double - mean, 2 * (single - mean), atol=1e-4)
    assert not torch.allclose(other, parts[1], atol=0.1)  # the latent describes the state


def test_an_unconditional_model_knows_nothing() -> None:
    made = PhyDA(3, GRID.shape, CONFIG.model_copy(update={"conditional": False})).eval()
    with torch.no_grad():
        reconstruction, mean, log_sigma = made.reconstruct(*inputs(), base())
    assert not any(bool(x.any()) for x in (*reconstruction, mean, log_sigma))
    assert reconstruction.features.shape == (1, made.encoder.feature_width, 4, 8)


def test_the_reconstruction_loss_by_hand() -> None:
    """Error 2 with σ = e: ½((2/e)² + 2) in one row of weight 2; error 0 with σ = 1 in one of weight 0; no pull on μ."""
    mean = torch.zeros(1, 1, 2, 1, requires_grad=True)
    log_sigma = torch.tensor([1.0, 0.0]).reshape(1, 1, 2, 1)
    truth = torch.tensor([2.0, 0.0]).reshape(1, 1, 2, 1)
    loss = reconstruction_loss(Reconstruction(mean, log_sigma, mean), truth, torch.tensor([[2.0], [0.0]]))
    assert loss.item() == pytest.approx(0.5 * (4 / 2.718281828**2 + 2))
    assert not loss.requires_grad


def test_the_latent_loss_is_least_at_the_true_spread_and_leaves_the_mean_alone() -> None:
    latent, mean = draw(2000, 1, seed=6) * 0.5, torch.zeros(2000, 1, requires_grad=True)
    log_sigma = torch.full((2000, 1), -0.2, requires_grad=True)
    losses = [float(latent_loss(latent, mean, torch.full((2000, 1), value))) for value in (-0.9, -0.693, -0.5)]
    assert losses[1] == min(losses)
    latent_loss(latent, mean, log_sigma).backward()
    assert mean.grad is None
    assert log_sigma.grad is not None
    assert log_sigma.grad.sum() > 0


def test_the_statistics_scale_and_place() -> None:
    made = statistics()
    sigma = made.sigma(torch.tensor([1.0, 3.0]))
    assert sigma[0, 1, 4, 7] == 2.5
    assert sigma[1, 2, 0, 0] == 300.0
    # anomaly (x − mean)/std with mean 10 σ and std 2 σ of x = 14 σ
    assert torch.allclose(made.anomaly(14 * made.sigma(torch.ones(1))), torch.tensor(2.0))
    assert made.area.mean().item() == pytest.approx(1.0)
    static = made.static(np.array(["2001-01-01", "2001-07-02T15"], dtype="datetime64[s]"), dtype=torch.float64)
    assert static[0, 2, 0, 0].item() == pytest.approx(1.0)
    assert static[1, 2, 0, 0].item() == pytest.approx(-1.0, abs=1e-6)  # half of 365.25 days later
    assert static[0, 0, -1, 3].item() == pytest.approx(np.sin(np.radians(GRID.latitudes[-1])))
    assert torch.allclose(static[0, 4:], made.error_maps.double())


def test_error_maps_are_relative_to_their_row() -> None:
    """Errors ±2 on one half of the circle and ±1 on the other, of u only: row mean square 2.5."""
    errors = torch.ones(2, 3, 8, 16)
    errors[:, 0, :, :8] = 2.0
    errors[1] *= -1
    maps = error_maps(errors, CHANNELS)
    assert maps[0, 3, 0].item() == pytest.approx(0.5 * np.log(4 / 2.5), abs=1e-5)
    assert maps[0, 3, 15].item() == pytest.approx(0.5 * np.log(1 / 2.5), abs=1e-5)
    assert torch.allclose(maps[1], torch.zeros(8, 16), atol=1e-5)
    assert not maps[2:].any()  # q and z are not among the channels


def test_statistics_that_cannot_be_are_refused() -> None:
    good = statistics()
    with pytest.raises(BadDataError, match=r"sigma_b has shape \(3, 7\)"):
        Statistics(CHANNELS, GRID, good.sigma_b[:, 1:], good.mean, good.std, good.error_maps)
    with pytest.raises(BadDataError, match="std must be positive"):
        Statistics(CHANNELS, GRID, good.sigma_b, good.mean, 0 * good.std, good.error_maps)
    with pytest.raises(BadDataError, match="error_maps has shape"):
        Statistics(CHANNELS, GRID, good.sigma_b, good.mean, good.std, good.error_maps[1:])


def test_a_checkpoint_comes_back_whole_and_its_bytes_are_the_model_s(tmp_path: Path) -> None:
    made, path = model(), tmp_path / "weights.safetensors"
    content = to_bytes(made, statistics(), about={"stage": "score", "commit": "abc"})
    assert content == to_bytes(made, statistics(), about={"commit": "abc", "stage": "score"})
    path.write_bytes(content)
    checkpoint = read_checkpoint(path)
    assert checkpoint.about == {"stage": "score", "commit": "abc"}
    assert checkpoint.model.config == CONFIG
    assert checkpoint.statistics.channels == CHANNELS
    assert checkpoint.statistics.grid == GRID
    assert torch.equal(checkpoint.statistics.error_maps, statistics().error_maps)
    assert torch.equal(draw_members(checkpoint.model, 2)[1], draw_members(made, 2)[1])


def test_half_precision_is_half_the_file_and_a_thousandth_of_the_values(tmp_path):
    made = model()
    whole, half = (to_bytes(made, statistics(), about={}, half=half) for half in (False, True))
    assert 0.5 < len(half) / len(whole) < 0.6
    (tmp_path / "half").write_bytes(half)
    read = read_checkpoint(tmp_path / "half").model.state_dict()
    for name, value in made.state_dict().items():
        assert read[name].dtype == torch.float32
        assert torch.allclose(read[name], value, rtol=2**-11, atol=2**-25), name


@pytest.mark.parametrize("fault", ["cut", "empty", "text", "format", "config", "missing", "input"])
def test_a_wrong_checkpoint_is_refused_in_one_line(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "weights.safetensors"
    content = to_bytes(model(), statistics(), about={})
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    entry = json.loads(header["__metadata__"]["phyda"])
    if fault == "format":
        entry["format"] = "phyda-model-0"
    elif fault == "config":
        entry["config"]["latent_channels"] = 5
    elif fault == "input":
        entry["config"] |= {"first_guess": True, "background": False}
    elif fault == "missing":
        del entry["grid"]
    header["__metadata__"]["phyda"] = json.dumps(entry)
    edited = json.dumps(header).encode()
    whole = struct.pack("<Q", len(edited)) + edited + content[8 + length :]
    path.write_bytes({"cut": content[:-100], "empty": b"", "text": b"time,latitude"}.get(fault, whole))
    with pytest.raises(BadDataError, match=r"weights\.safetensors") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_missing_weights_are_missing(tmp_path: Path) -> None:
    with pytest.raises(InputMissingError, match="no such weights"):
        read_checkpoint(tmp_path / "none")
