"""Fourier shares on tables whose frequencies were put there."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.model.small import assert_equal_to
from unweave.analysis.fourier import fourier_basis, fourier_logits, fourier_norms, fourier_pairs
from unweave.core.errors import InputError


def cos(k: int, x: Tensor, p: int) -> Tensor:
    return (2 * math.pi * k * x.double() / p).cos()


def pairs(p: int) -> tuple[Tensor, Tensor]:
    n = torch.arange(p)
    return n[:, None].expand(p, p), n[None].expand(p, p)


@pytest.mark.parametrize("p", [2, 7, 12])
def test_the_basis_is_orthonormal_and_whole(p: int):
    basis, frequencies, names = fourier_basis(p)
    assert_equal_to(1e-12, basis @ basis.T, torch.eye(p))
    assert len(names) == len(frequencies) == p
    # Scaling the cosine of p/2 like the others, the usual mistake for an even p, would make its row too long.
    if p % 2 == 0:
        wrong = cos(p // 2, torch.arange(p), p) * math.sqrt(2 / p)
        assert wrong.norm().item() == pytest.approx(math.sqrt(2))


@pytest.mark.parametrize("p", [13, 12])
def test_embeddings_by_frequency(p: int):
    """Columns: 2 cos 3x, sin 5x, and a large constant, which must not count."""
    x = torch.arange(p)
    table = torch.stack(
        [2 * cos(3, x, p), (2 * math.pi * 5 * x.double() / p).sin(), torch.full((p,), 50.0)], 1
    )
    found = fourier_norms(table)
    wanted = torch.zeros(p // 2, dtype=torch.float64)
    wanted[2], wanted[4] = 0.8, 0.2
    assert_equal_to(1e-12, found.values, wanted)
    assert found.warnings == ()
    # With the constant in the sum nearly nothing would be left for the frequencies.
    assert (table.square().sum() - table[:, 2].square().sum()) / table.square().sum() < 0.01
    # A turn of the embedding's space changes nothing; another order of the numbers does.
    turn = torch.linalg.qr(
        torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ).Q
    assert_equal_to(1e-10, fourier_norms(table @ turn).values, wanted)
    noise = torch.randn(p, 40, generator=torch.Generator().manual_seed(1))
    assert any("no periodic structure" in text for text in fourier_norms(noise).warnings)


@pytest.mark.parametrize("p", [11, 10])
def test_pairs_by_frequency_and_term(p: int):
    a, b = pairs(p)
    table = torch.stack(
        [
            3.0 + cos(2, a, p),
            cos(3, a + b, p),
            cos(2, a, p) * cos(2, b, p),  # half of a+b, half of a-b
            cos(1, a, p) * cos(4, b, p),  # of no single frequency
            torch.full((p, p), 7.0, dtype=torch.float64),
        ],
        -1,
    )
    found = fourier_pairs(table, ["a", "sum", "product", "mixed", "dead"])
    one = {(2, "a", "a"): 1.0, (3, "a+b", "sum"): 1.0, (2, "a+b", "product"): 0.5, (2, "a-b", "product"): 0.5}
    for frequency in found.coords["frequency"]:
        for term in found.coords["term"]:
            for unit in ("a", "sum", "product", "mixed"):
                value = found.sel(frequency=frequency, term=term, unit=unit).values.item()
                assert value == pytest.approx(one.get((int(frequency), str(term), unit), 0.0), abs=1e-12)
    assert found.sel(unit="dead").values.isnan().all()
    assert found.warnings == (
        "1 of 5 units are less than half of any single frequency's",
        "1 of 5 units are the same for all pairs",
    )


def test_half_the_modulus_is_counted_once():
    a, b = pairs(6)
    found = fourier_pairs(cos(3, a + b, 6)[..., None])
    assert found.values.sum().item() == pytest.approx(1.0)
    assert found.sel(frequency=3, term="a+b").values.item() == pytest.approx(1.0)


@pytest.mark.parametrize("p", [11, 10])
def test_analytic_modular_addition(p: int):
    """Logits 3 cos 3(a+b-c) + 4 cos 4(a+b-c), with a constant a pair: shares 9/25 and 16/25."""
    n = torch.arange(p)
    gap = n[:, None, None] + n[None, :, None] - n[None, None]
    clean = 3 * cos(3, gap, p) + 4 * cos(4, gap, p)
    assert (clean.argmax(-1) == (n[:, None] + n[None]) % p).all()
    found = fourier_logits(clean + 100.0 * torch.rand(p, p, 1, generator=torch.Generator().manual_seed(0)))
    wanted = torch.zeros(p // 2, dtype=torch.float64)
    wanted[2], wanted[3] = 9 / 25, 16 / 25
    assert_equal_to(1e-9, found.values, wanted)
    assert found.warnings == ()
    # Subtraction has the same frequencies in each number, but nothing along cos k(a+b-c): looking at one is not enough.
    other = fourier_logits(3 * cos(2, n[:, None, None] - n[None, :, None] - n[None, None], p))
    assert other.provenance["explained"] < 1e-9
    assert any("no function" in text for text in other.warnings)


def test_what_is_refused():
    with pytest.raises(InputError, match="wanted logits \\[p, p, p\\]"):
        fourier_logits(torch.zeros(3, 3, 4))
    with pytest.raises(InputError, match="wanted a square table"):
        fourier_pairs(torch.zeros(3, 4, 2))
    with pytest.raises(InputError, match="whole number of at least 2 for p"):
        fourier_basis(1)
