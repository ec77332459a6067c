"""Derivatives on uneven nodes and integrals over a column: exact for the polynomials they promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phyda_cli.errors import BadDataError
from phyda_cli.physics.finite_differences import derivative_matrix
from phyda_cli.physics.pressure_column import PressureColumn

LEVELS = (10_000.0, 20_000.0, 25_000.0, 30_000.0, 50_000.0, 70_000.0, 85_000.0, 92_500.0)
P = torch.tensor(LEVELS, dtype=torch.float64)[:, None, None]


@pytest.fixture
def column() -> PressureColumn:
    return PressureColumn(LEVELS, dtype=torch.float64, device="cpu")


def test_three_uneven_nodes_by_hand() -> None:
    # parabola through s = 0, 1, 3: the slope at 1 is (-4 x0 + 3 x1 + x2) / 6
    expected = np.array([[-1, 1, 0], [-2 / 3, 1 / 2, 1 / 6], [0, -1 / 2, 1 / 2]])
    np.testing.assert_allclose(derivative_matrix([0.0, 1.0, 3.0], reach=1), expected, atol=1e-15)


def test_even_nodes_give_the_stencil_of_fourth_order() -> None:
    middle = derivative_matrix(np.arange(7.0), reach=2)[3]
    np.testing.assert_allclose(12 * middle, [0, 1, -8, 0, 8, -1, 0], atol=1e-13)


def test_degree_four_is_exact_where_two_neighbours_are_on_either_side() -> None:
    s = np.array([-1.0, -0.7, 0.1, 0.3, 0.9, 1.4])
    slope = derivative_matrix(s, reach=2) @ (s**4 - 2 * s**3 + s)
    exact = 4 * s**3 - 6 * s**2 + 1
    np.testing.assert_allclose(slope[2:4], exact[2:4], rtol=1e-12)
    assert abs(slope[0] - exact[0]) > 0.1  # at the end: the slope to the neighbour


@pytest.mark.parametrize("nodes", [[1.0], [0.0, 2.0, 1.0], [0.0, 0.0]])
def test_nodes_that_carry_no_derivative_are_refused(nodes: list[float]) -> None:
    with pytest.raises(BadDataError, match="increasing nodes"):
        derivative_matrix(nodes, reach=1)


def test_a_profile_linear_in_log_pressure_is_differentiated_exactly(column: PressureColumn) -> None:
    torch.testing.assert_close(column.derivative(3.0 * P.log() + 5.0), 3.0 / P, rtol=1e-12, atol=0)


def test_an_isothermal_column_has_no_gradient(column: PressureColumn) -> None:
    assert column.derivative(torch.full_like(P, 250.0)).abs().max() < 1e-16


def test_omega_of_two_levels_by_hand() -> None:
    """D = (4, 1) at 200 and 600 hPa: ∫ D dp = ½ 4 · 200 = 400, + ½ (4 + 1) 400 = 1400, + 1 · 400 = 1800 [hPa].

    The correction is 1800 · 0.04 = 72 and 1800 · 0.36 = 648.
    """
    two = PressureColumn((20_000.0, 60_000.0), dtype=torch.float64, device="cpu")
    omega = two.omega(torch.tensor([4.0, 1.0], dtype=torch.float64)[:, None, None])
    assert omega.flatten().tolist() == pytest.approx([-32_800.0, -75_200.0])


def test_omega_of_a_constant_divergence(column: PressureColumn) -> None:
    """D = 3: −3 (p − p_1/2) + (p/p_0)² 3 (p_0 − p_1/2)."""
    expected = -3 * (P - 5_000) + (P / 1e5) ** 2 * 3 * 95_000
    torch.testing.assert_close(column.omega(torch.full_like(P, 3.0)), expected, rtol=1e-13, atol=0)


def test_omega_vanishes_on_a_level_at_the_ground() -> None:
    deep = PressureColumn((30_000.0, 70_000.0, 101_000.0), dtype=torch.float64, device="cpu")
    omega = deep.omega(torch.tensor([1.0, -2.0, 5.0], dtype=torch.float64)[:, None, None])
    assert omega[-1].item() == pytest.approx(0.0, abs=1e-9)
    assert omega[0].item() != 0.0


def test_the_thickness_of_a_profile_linear_in_log_pressure(column: PressureColumn) -> None:
    """∫_p^{p_m} ln p′ d ln p′ = (ln² p_m − ln² p)/2, here with 925 and 500 hPa as p_m."""
    log = P.log()
    for level in (7, 4):
        expected = 0.5 * (log[level] ** 2 - log**2)
        torch.testing.assert_close(column.from_level(level, log), expected, rtol=1e-12, atol=0)
        assert column.from_level(level, log)[level].item() == 0.0
