"""The Virtual Reconstruction Encoder and the score network."""

import pytest
import torch
from pydantic import ValidationError

from phyda_cli.networks.config import ModelConfig
from phyda_cli.networks.gridded import GriddedObservations
from phyda_cli.networks.score import ScoreNetwork
from phyda_cli.networks.vre import (
    LEAST_VARIANCE,
    SHRINKAGE,
    STATIC_CHANNELS,
    Reconstruction,
    VirtualReconstructionEncoder,
    instance_normalisation,
)

SMALL = {"encoder_widths": (16, 24), "heads": 2}
SHAPE = (8, 16)
CHANNELS = 3


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def observations(seed: int = 0, batch: int = 2) -> GriddedObservations:
    seen = draw(batch, CHANNELS, *SHAPE, seed=seed) > 0.8
    signal = torch.where(seen, 2 * draw(batch, CHANNELS, *SHAPE, seed=seed + 1), 0.0)
    return GriddedObservations(signal, torch.where(seen, 0.3, 0.0).double(), torch.where(seen, 0.5, 0.0).double())


def encoder(**choices: object) -> VirtualReconstructionEncoder:
    made = VirtualReconstructionEncoder(CHANNELS, SHAPE, ModelConfig.model_validate({**SMALL, **choices})).double()
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return made


def run(
    made: VirtualReconstructionEncoder,
    gridded: GriddedObservations,
    *,
    roll: int = 0,
    background: float = 1.0,
    guess: float = 1.0,
) -> Reconstruction:
    inputs = [
        guess * draw(2, CHANNELS, *SHAPE, seed=3),
        background * draw(2, CHANNELS, *SHAPE, seed=4),
        draw(2, STATIC_CHANNELS, *SHAPE, seed=5),
    ]
    rolled = GriddedObservations(*(x.roll(roll, -1) for x in (gridded.signal, gridded.noise, gridded.density)))
    return made(rolled, *(x.roll(roll, -1) for x in inputs))


def test_instance_normalisation_by_hand() -> None:
    """Two observed points with n = ln 2 each and d′ = 1, 3."""
    signal = torch.tensor([1.0, 3.0, 0.0, 0.0], dtype=torch.float64).reshape(1, 1, 1, 4)
    density = torch.tensor([0.5, 0.5, 0.0, 0.0], dtype=torch.float64).reshape(1, 1, 1, 4)
    norm = instance_normalisation(GriddedObservations(signal, torch.zeros_like(signal), density))
    n = 0.6931471805599453
    mean = 4 * n / (2 * n + SHRINKAGE)
    square = n * ((1 - mean) ** 2 + (3 - mean) ** 2)
    assert norm.mean.item() == pytest.approx(mean)
    assert norm.scale.item() == pytest.approx(((square + SHRINKAGE) / (2 * n + SHRINKAGE)) ** 0.5)


def test_the_noise_of_observations_is_taken_off_and_makes_them_count_less() -> None:
    """The same two points with σ_o/σ_b = 1, so v = ½; then so noisy that the variance would be negative."""
    signal = torch.tensor([1.0, 3.0], dtype=torch.float64).reshape(1, 1, 1, 2)
    density = torch.full_like(signal, 1 - 1e-6)
    n = 13.815510557964274  # −ln 1e-6
    norm = instance_normalisation(GriddedObservations(signal, torch.ones_like(signal), density))
    mean = 0.5 * n * 4 / (0.5 * 2 * n + SHRINKAGE)
    square = 0.25 * n * ((1 - mean) ** 2 + (3 - mean) ** 2 - 2)
    assert norm.mean.item() == pytest.approx(mean)
    assert norm.scale.item() == pytest.approx(((square + SHRINKAGE) / (0.25 * 2 * n + SHRINKAGE)) ** 0.5)
    shape = (1, 1, 40, 2)
    quiet = GriddedObservations(0 * signal.expand(shape), torch.ones(shape).double(), density.expand(shape))
    assert instance_normalisation(quiet).scale.item() == pytest.approx(LEAST_VARIANCE**0.5)


def test_departures_of_pure_noise_do_not_widen_the_scale() -> None:
    """d′ ~ N(0, 1 + 9) with σ_o/σ_b = 3: the error itself has the size of the climatology, s = 1."""
    signal = 10**0.5 * draw(1, 1, 300, 300, seed=8)
    norm = instance_normalisation(
        GriddedObservations(signal, torch.full_like(signal, 3.0), torch.full_like(signal, 1 - 1e-6))
    )
    assert norm.scale.item() == pytest.approx(1.0, abs=0.06)


def test_without_observations_the_normalisation_is_the_climatology_and_the_mean_is_zero() -> None:
    none = GriddedObservations(*(torch.zeros(2, CHANNELS, *SHAPE, dtype=torch.float64) for _ in range(3)))
    norm = instance_normalisation(none)
    assert not norm.mean.any()
    assert torch.equal(norm.scale, torch.ones_like(norm.scale))
    result = run(encoder(), none)
    assert not result.mean.any()
    assert result.log_sigma.std() > 0  # the spread still depends on the background


def test_one_case_without_observations_does_not_silence_the_other() -> None:
    gridded = observations()
    keep = torch.tensor([1.0, 0.0], dtype=torch.float64)[:, None, None, None]
    result = run(encoder(), GriddedObservations(gridded.signal * keep, gridded.noise * keep, gridded.density * keep))
    assert result.mean[0].any()
    assert not result.mean[1].any()


@pytest.mark.parametrize("roll", [4, 8, 12])
def test_rotation_by_coarse_columns_commutes(roll: int) -> None:
    made, gridded = encoder(), observations()
    straight, rotated = run(made, gridded), run(made, gridded, roll=roll)
    for before, after in zip(straight, rotated, strict=True):
        assert torch.allclose(before.roll(roll * before.shape[-1] // SHAPE[1], -1), after, atol=1e-10)


def test_the_untrained_encoder_gives_back_the_first_guess() -> None:
    made = VirtualReconstructionEncoder(CHANNELS, SHAPE, ModelConfig.model_validate(SMALL)).double()
    assert torch.equal(run(made, observations()).mean, draw(2, CHANNELS, *SHAPE, seed=3))


def test_revin_makes_the_reconstruction_follow_the_scale_of_the_observations() -> None:
    """Exact observations and a first guess k times as large (n ≫ n₀): the mean k times as large."""
    made, plain, gridded = encoder(), encoder(revin=False), observations()
    dense, exact = torch.where(gridded.density > 0, 1 - 1e-6, 0.0).double(), torch.zeros_like(gridded.noise)

    def mean(model: VirtualReconstructionEncoder, k: float) -> torch.Tensor:
        return run(model, GriddedObservations(k * gridded.signal, exact, dense), guess=k).mean

    ratio = mean(made, 1e4) / mean(made, 1e3)
    assert torch.allclose(ratio, torch.full_like(ratio, 10.0), rtol=1e-2)
    assert not torch.allclose(mean(plain, 1e4) / mean(plain, 1e3), ratio, rtol=1e-2)
    assert not torch.allclose(mean(made, 1.0), mean(plain, 1.0))


@pytest.mark.parametrize("switch", ["attention", "revin"])
def test_every_switch_changes_the_result(switch: str) -> None:
    assert not torch.allclose(run(encoder(), observations()).mean, run(encoder(**{switch: False}), observations()).mean)


def test_the_spread_does_not_shape_the_features() -> None:
    """The likelihood's gradient stays in the head of log σ."""
    made = encoder()
    run(made, observations()).log_sigma.sum().backward()
    touched = {name for name, parameter in made.named_parameters() if parameter.grad is not None}
    assert touched == {"log_sigma.weight", "log_sigma.bias"}


def test_features_are_at_the_latent_resolution() -> None:
    made = encoder()
    assert run(made, observations()).features.shape == (2, made.feature_width, SHAPE[0] // 2, SHAPE[1] // 2)


def test_heads_must_divide_the_coarsest_width() -> None:
    with pytest.raises(ValidationError, match="heads 7 must divide"):
        ModelConfig(heads=7)


def test_the_score_network_starts_as_zero_and_uses_all_that_it_is_given() -> None:
    network = ScoreNetwork(4, 6, (16, 16)).double()
    inputs = [draw(2, 4, 4, 8, seed=1), draw(2, seed=2), *(draw(2, c, 4, 8, seed=c) for c in (4, 4, 6))]

    def run(r: torch.Tensor, noise: torch.Tensor, *known: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = network(r, noise, network.condition(*known))
        return result

    assert not run(*inputs).any()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    reference = run(*inputs)
    for i in range(5):
        changed = [x + 0.5 if i == j else x for j, x in enumerate(inputs)]
        assert not torch.allclose(run(*changed), reference, atol=1e-6)
