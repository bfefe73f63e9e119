"""Probes on planted codes, and on features that only a leak could read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from unweave.analysis.probes import fit_ridge, probe_r2, probe_token
from unweave.core.errors import InputError


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("penalty", [0.0, 1e-4, 10.0])
def test_ridge_is_least_squares_on_padded_rows(penalty: float):
    """A penalty is a row sqrt(penalty) for each input whose target is 0; the bias has none."""
    x, y = normal(30, 4) * torch.tensor([1.0, 5, 0.2, 2]) + 7.0, normal(30, 2, seed=1) + 3.0
    pull = penalty * 30 * x.var(0, correction=0).mean()
    rows = np.block([[x.numpy(), np.ones((30, 1))], [pull.sqrt().item() * np.eye(4), np.zeros((4, 1))]])
    wanted = np.linalg.lstsq(rows, np.vstack([y.numpy(), np.zeros((4, 2))]), rcond=None)[0]
    probe = fit_ridge(x, y, penalty)
    np.testing.assert_allclose(probe.weight.numpy(), wanted[:4], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(probe.bias.numpy(), wanted[4], rtol=1e-8)
    np.testing.assert_allclose(probe(x).numpy(), x.numpy() @ wanted[:4] + wanted[4], rtol=1e-8)


def test_ridge_on_inputs_that_never_vary_predicts_the_mean():
    y = normal(6, 1)
    probe = fit_ridge(torch.ones(6, 3), y)
    assert probe(torch.ones(2, 3)).flatten().tolist() == pytest.approx([y.mean().item()] * 2)


def test_a_planted_linear_code_is_read():
    position = torch.arange(12, dtype=torch.float64)
    code, noise = normal(40), normal(20, 12, 40, seed=1)
    noise -= (noise @ code)[..., None] * code / code.dot(code)
    x = position[:, None] * code + 3.0 * noise
    assert probe_r2(x.float(), position) > 0.999
    assert probe_r2(x, position.square()) < 0.99  # the probe is linear in what is planted


def test_noise_is_not_read_though_the_fitted_half_could_be():
    """60 rows of 40 inputs: fitted, noise explains most; held out, nothing."""
    x, position = normal(10, 12, 40), torch.arange(12, dtype=torch.float64)
    seen, target = x[:5].flatten(0, 1), position.repeat(5)[:, None]
    left_over = target - fit_ridge(seen, target)(seen)
    assert 1 - left_over.square().sum() / (target - 5.5).square().sum() > 0.4
    assert probe_r2(x, position) < 0.0


def test_a_code_that_differs_between_sequences_is_not_read():
    """Position times a direction of the sequence's own: a split by token would read it perfectly."""
    position = torch.arange(12, dtype=torch.float64)
    x = position[:, None] * normal(16, 1, 40)
    by_token = fit_ridge(x[:, ::2].flatten(0, 1), position[::2].repeat(16)[:, None], penalty=1e-8)
    leaked = by_token(x[:, 1::2].flatten(0, 1)).flatten()
    assert (leaked - position[1::2].repeat(16)).abs().max() < 0.01
    assert probe_r2(x, position) < 0.2


def test_fitted_on_the_first_half_and_judged_on_the_second():
    # The second half reads one too high: errors of 1 against a variance of 2 (positions 0 .. 4).
    position = torch.arange(5, dtype=torch.float64)
    x = position.expand(4, 5).clone()[..., None]
    x[2:] += 1.0
    assert probe_r2(x, position) == pytest.approx(1 - 1 / 2, abs=1e-3)


def test_tokens_are_named_from_one_hot_residuals_alone():
    tokens = torch.randint(0, 7, (20, 10), generator=torch.Generator().manual_seed(0))
    one_hot = torch.nn.functional.one_hot(tokens, 7).float()
    assert probe_token(one_hot @ normal(7, 16).float(), tokens, 7) == 1.0
    assert probe_token(normal(20, 10, 16), tokens, 7) < 0.3
    assert probe_token(one_hot.roll(1, 1), tokens, 7) < 0.3  # the token before is another one


def test_a_token_is_not_named_by_its_sequence():
    """Each sequence repeats one token, and its features say only which sequence it is."""
    tokens = torch.arange(8)[:, None].expand(8, 5)
    x = torch.eye(8)[:, None].expand(8, 5, 8)
    assert probe_token(x, tokens, 8) == 0.0


def test_too_few_sequences():
    with pytest.raises(InputError, match="wanted at least 4 sequences to probe; got 3; pass more sequences"):
        probe_r2(normal(3, 5, 2), torch.arange(5.0))
    with pytest.raises(InputError, match="at least 4 sequences"):
        probe_token(normal(3, 5, 2), torch.zeros(3, 5, dtype=torch.long), 4)
