"""Composition scores, by hand, by random products formed in full, and between the heads of a model."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.core.unchecked import as_users_run
from tests.model.small import assert_equal_to, small_model
from unweave.core.errors import InputError
from unweave.core.factored_matrix import FactoredMatrix
from unweave.model.composition import composition_scores


def one(row: list[float], column: list[float]) -> FactoredMatrix:
    """The matrix of rank one that reads along `row` and writes along `column`."""
    return FactoredMatrix(torch.tensor(row)[:, None], torch.tensor(column)[None])


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_by_hand():
    writes = one([7.0, 0.0], [3.0, 4.0])
    # What is written along (3, 4) is read in full along (3, 4), not at all along (-4, 3), and by
    # 3/5 along (1, 0); sizes do not count.
    assert composition_scores(writes, one([3.0, 4.0], [0.0, 9.0])).item() == pytest.approx(1.0)
    assert composition_scores(writes, one([-4.0, 3.0], [1.0, 1.0])).item() == pytest.approx(0.0, abs=1e-6)
    assert composition_scores(writes, one([0.1, 0.0], [1.0, 1.0])).item() == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("left", "right"), [((), ()), ((2, 3), (2, 3)), ((2,), ()), ((), (4, 2)), ((3,), (2, 5))], ids=str
)
def test_all_pairs_are_those_of_the_products(left: tuple[int, ...], right: tuple[int, ...]):
    A = FactoredMatrix(random(*left, 6, 2, seed=0), random(*left, 2, 7, seed=1))
    B = FactoredMatrix(random(*right, 7, 3, seed=2), random(*right, 3, 5, seed=3))
    scores = composition_scores(A, B)
    assert scores.shape == (*left, *right)
    full = [
        (a @ b).square().sum().sqrt() / (a.square().sum().sqrt() * b.square().sum().sqrt())
        for a in A.AB.reshape(-1, 6, 7)
        for b in B.AB.reshape(-1, 7, 5)
    ]
    assert_equal_to(1e-12, scores.flatten(), torch.stack(full))
    if left == right:
        paired = composition_scores(A, B, broadcast_dims=False)
        n = paired.numel()
        assert_equal_to(1e-12, paired.flatten(), torch.stack(full).reshape(n, n).diagonal())


def test_a_matrix_of_zeros_has_no_score():
    assert composition_scores(one([0.0, 0.0], [1.0, 0.0]), one([1.0, 0.0], [1.0, 0.0])).isnan()


def test_what_does_not_fit_is_refused():
    with pytest.raises(
        InputError, match=r"^wanted as many columns on the left as rows on the right; got 2 and"
    ):
        composition_scores(one([1.0, 0.0], [1.0, 0.0]), one([1.0, 0.0, 0.0], [1.0, 0.0]))
    stack = FactoredMatrix(torch.ones(3, 2, 2, 1), torch.ones(3, 2, 1, 2))
    with pytest.raises(InputError, match="wanted leading dimensions that agree"):
        composition_scores(stack, stack[0], broadcast_dims=False)


@pytest.mark.parametrize("mode", ["Q", "K", "V"])
def test_between_heads(mode: str):
    model = small_model(n_layers=3, n_heads=2, dtype="float64")
    model.requires_grad_(False)
    scores = model.all_composition_scores(mode)
    assert scores.shape == (3, 2, 3, 2)
    for layer, head, later, reader in torch.cartesian_prod(*map(torch.arange, (3, 2, 3, 2))).tolist():
        earlier, attn = model.blocks[layer].attn, model.blocks[later].attn
        # x @ OV is what the head writes; queries read it by W_Q, and so on.
        OV = earlier.W_V[head] @ earlier.W_O[head]
        reads = {
            "Q": attn.W_Q[reader] @ attn.W_K[reader].T,
            "K": attn.W_K[reader] @ attn.W_Q[reader].T,
            "V": attn.W_V[reader] @ attn.W_O[reader],
        }[mode]
        wanted = torch.linalg.matrix_norm(OV @ reads) / (OV.norm() * reads.norm()) if layer < later else 0.0
        assert scores[layer, head, later, reader].item() == pytest.approx(float(wanted), rel=1e-10)


def test_a_planted_composition_stands_out():
    model = small_model(n_heads=2, d_model=16, d_head=2, attn_only=True, dtype="float64")
    with torch.no_grad():
        # Head 1.1's keys read exactly what head 0.0 writes.
        model.blocks[1].attn.W_K[1] = model.blocks[0].attn.W_O[0].T
    scores = model.all_composition_scores("K")[0, :, 1]
    assert scores.flatten().argmax() == 1
    assert scores[0, 1] > 0.6 > scores[1, 0]
    assert model.all_composition_scores("Q")[0, 0, 1, 1] < 0.6


def test_another_mode_is_refused():
    with as_users_run(), pytest.raises(InputError) as raised:
        small_model().all_composition_scores("O")
    assert str(raised.value) == "wanted a mode of composition; got 'O'; write 'Q', 'K' or 'V'"
