"""What attention and activations say about position, by hand and on planted tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.analysis.models import random_model, random_tokens
from unweave.analysis.positions import (
    bos_share,
    log_attention_spread,
    principal_components,
    r_squared,
    row_entropy,
    switching_neurons,
)


def uniform_but_for_bos(n: int, c: float) -> Tensor:
    """Rows in which key 0 weighs 1 and every other key up to the query `c`."""
    weights = torch.full((n, n), c, dtype=torch.float64).tril()
    weights[:, 0] = 1.0
    return weights / weights.sum(1, keepdim=True)


@pytest.mark.parametrize("c", [0.1242, 1.0, 3.0])
def test_bos_share_gives_c_back(c: float):
    found = bos_share(uniform_but_for_bos(20, c))
    assert found.c == pytest.approx(c)
    assert found.r2 == pytest.approx(1.0)
    assert found.share[7].item() == pytest.approx(1 / (1 + 7 * c))
    torch.testing.assert_close(found.fitted, found.share)


def test_bos_share_of_another_shape_by_hand():
    # Shares 1/2 and 1/4 at i = 1, 2: 1/a - 1 is 1 and 3, the slope through the origin (1·1 + 2·3)/(1 + 4).
    pattern = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.25, 0.5, 0.25]])
    found = bos_share(pattern)
    assert found.c == pytest.approx(1.4)
    assert found.fitted.tolist() == pytest.approx([1.0, 1 / 2.4, 1 / 3.8])
    left_over = (1 / 2 - 1 / 2.4) ** 2 + (1 / 4 - 1 / 3.8) ** 2
    assert found.r2 == pytest.approx(1 - left_over / (2 * 0.125**2))


def test_bos_share_at_the_edges():
    equal = uniform_but_for_bos(5, 1.0)
    equal[1:, 0] = 0.3
    assert math.isnan(bos_share(equal).r2)
    assert math.isfinite(bos_share(torch.eye(5)).c)  # no attention to BOS at all


def test_an_untrained_model_has_the_shape_too():
    """BOS and then one token again and again: every query after BOS sees two scores, and c is their ratio."""
    model = random_model(n_heads=1)
    tokens = torch.tensor([[0, 4, 4, 4, 4, 4]])
    _, cache = model.run_with_cache(tokens)
    q, k = cache["q", 0][0, 3, 0], cache["k", 0][0, :, 0]
    wanted = ((q @ k[3] - q @ k[0]) / model.cfg.attn_scale).exp().item()
    found = bos_share(cache["pattern", 0][0, 0])
    assert found.c == pytest.approx(wanted)
    assert found.r2 == pytest.approx(1.0)
    assert log_attention_spread(cache["pattern", 0]).abs().max() < 1e-6


def test_spread_of_log_attention_by_hand():
    a, b = 0.3, 0.7
    log_weights = torch.zeros(4, 4)
    log_weights[:, 0] = 5.0  # key 0 does not count
    log_weights[2, 2] = 2 * a  # over keys 1, 2: 0 and 2a, deviation a
    log_weights[3, 2] = 3 * b  # over keys 1, 2, 3: 0, 3b, 0, deviation b sqrt(2)
    pattern = log_weights.exp().tril()
    pattern = pattern / pattern.sum(1, keepdim=True)
    found = log_attention_spread(torch.stack([pattern, uniform_but_for_bos(4, 0.2).float()])[None])
    assert found.shape == (1, 2)
    assert found[0].tolist() == pytest.approx([(a + b * math.sqrt(2)) / 2, 0.0], abs=1e-6)
    assert log_attention_spread(torch.eye(4)).isfinite()


def test_row_entropy_by_hand():
    pattern = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.5, 0.25, 0.25]])
    row_2 = 1.5 * math.log(2) / math.log(3)
    assert row_entropy(pattern).item() == pytest.approx(row_2)
    assert row_entropy(pattern, first=1).item() == pytest.approx(row_2 / 2)
    uniform = uniform_but_for_bos(7, 1.0)
    assert row_entropy(uniform.expand(2, 3, 7, 7)).flatten().tolist() == pytest.approx([1.0] * 6)


def test_principal_components_of_a_planted_plane():
    """Position along one direction, its parity along another, and a constant that is no component."""
    n = 8
    basis = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(0)).double())[0]
    line = 3.0 * (torch.arange(n).double() - 3.5)  # squares: 9 · 42 = 378
    parity = torch.tensor([1.0, -1, -1, 1, 1, -1, -1, 1]).double()  # squares: 8, orthogonal to the line
    means = line[:, None] * basis[0] + parity[:, None] * basis[1] + 100.0 * basis[2]
    found = principal_components(means.float(), k=3)
    assert found.share.tolist() == pytest.approx([378 / 386, 8 / 386, 0.0], abs=1e-6)
    assert found.correlation == pytest.approx(1.0, abs=1e-6)
    assert (found.directions[0] @ basis[0]).abs().item() == pytest.approx(1.0, abs=1e-6)
    assert (found.directions[1] @ basis[1]).abs().item() == pytest.approx(1.0, abs=1e-6)
    sign = (found.directions[0] @ basis[0]).sign()
    torch.testing.assert_close(found.projection[:, 0] * sign, line, rtol=1e-5, atol=1e-5)


def test_principal_components_as_numpy_finds_them():
    draw = torch.Generator().manual_seed(1)
    for means in torch.randn(8, 10, 4, generator=draw):
        compare_with_numpy(means)


def compare_with_numpy(means: Tensor) -> None:
    found = principal_components(means)
    values, vectors = np.linalg.eigh(np.cov(means.double().numpy().T))
    assert found.share.tolist() == pytest.approx((values[::-1] / values.sum())[:2].tolist())
    for k in (0, 1):
        assert abs(found.directions[k].numpy() @ vectors[:, -1 - k]) == pytest.approx(1.0)
    first = (means.double() - means.double().mean(0)).numpy() @ vectors[:, -1]
    assert found.correlation == pytest.approx(abs(np.corrcoef(first, np.arange(10))[0, 1]))


def test_a_constant_table_has_no_components():
    found = principal_components(torch.ones(5, 3))
    assert found.share.tolist() == [0.0, 0.0]
    assert math.isnan(found.correlation)


def test_switching_neurons_by_hand():
    post = torch.zeros(2, 3, 5)  # neuron 0 never fires
    post[:, :, 1] = 1.0  # always
    post[:, 1:, 2] = 0.1  # at positions 1 and 2 in both sequences: rates 0, 1, 1
    post[0, 1, 3] = 5.0  # once: rates 0, 1/2, 0
    post[:, 0, 4] = 2.0  # at BOS alone: rates 1, 0, 0
    assert switching_neurons(post) == (2, 1)
    assert switching_neurons(post, swing=0.5) == (2, 1)
    assert switching_neurons(post, swing=0.4) == (3, 1)
    assert switching_neurons(post[:, 1:]) == (0, 2)


def test_r_squared_by_hand():
    target = torch.tensor([1.0, 2.0, 3.0])
    assert r_squared(target, torch.tensor([1.0, 2.0, 4.0])) == pytest.approx(0.5)
    assert r_squared(target, torch.full((3,), 2.0)) == 0.0
    assert r_squared(target, torch.full((3,), 5.0)) == pytest.approx(1 - 29 / 2)
    assert math.isnan(r_squared(torch.ones(3), target))


def test_a_real_pattern_row_sums_and_spread_agree_with_the_definition():
    _, cache = random_model().run_with_cache(random_tokens())
    pattern = cache["pattern", 0]
    found = log_attention_spread(pattern)
    for b in range(4):
        for h in range(2):
            rows = [np.std(np.log(pattern[b, h, i, 1 : i + 1].detach().numpy())) for i in range(2, 6)]
            assert found[b, h].item() == pytest.approx(np.mean(rows), rel=1e-5)
