"""Families of score tables, on tables planted so that every share is known by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.analysis.models import no_hooks_left, random_model, random_tokens
from unweave.analysis.scores import (
    beyond_rank_one,
    fit_column,
    fit_distance,
    fit_gain,
    fit_offset,
    fit_rank_one,
    mean_scores,
    peak_slope,
    row_centred,
)
from unweave.core.errors import InputError

FITS = (fit_column, fit_rank_one, fit_gain, fit_distance, fit_offset)


def explained(table: Tensor) -> dict[str, float]:
    return {fit.__name__: fit(table).explained for fit in FITS}


def table(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def by_offset(n: int, f: dict[int, float]) -> Tensor:
    """`f(i - j)`, 0 where it is not given."""
    return table(*[[f.get(i - j, 0.0) for j in range(n)] for i in range(n)])


B = torch.tensor([3.0, -1.0, 5.0, 2.0], dtype=torch.float64)  # not monotone, not centred
ANY_ROW = torch.tensor([[9.0], [-4.0], [0.5], [100.0]], dtype=torch.float64)


def test_mean_scores_by_a_loop_without_the_mask():
    model, tokens = random_model(n_heads=1), random_tokens()
    model.cfg.attn_scale = 2.5
    _, cache = model.run_with_cache(tokens)
    found = mean_scores(model, tokens, layer=1)
    for i in range(6):
        for j in range(6):
            products = [cache["q", 1][b, i, 0] @ cache["k", 1][b, j, 0] for b in range(4)]
            assert found[i, j].item() == pytest.approx(sum(products).item() / 4 / 2.5)
    assert found.dtype == torch.float64
    assert no_hooks_left(model)


def test_below_the_diagonal_mean_scores_are_the_models_own():
    model, tokens = random_model(n_heads=1), random_tokens()
    _, cache = model.run_with_cache(tokens)
    wanted = cache["attn_scores", 0].mean((0, 1))
    seen = torch.ones(6, 6, dtype=torch.bool).tril()
    torch.testing.assert_close(mean_scores(model, tokens, layer=0)[seen], wanted[seen])


def test_mean_scores_of_two_heads_are_refused():
    with pytest.raises(InputError, match="wanted a model with one head; got 2"):
        mean_scores(random_model(), random_tokens(), layer=0)


def test_row_centred_by_hand():
    found = row_centred(table([1, 2, 6], [0, 0, 3]).float())
    assert found.tolist() == [[-2, -1, 3], [-1, -1, 2]]
    assert found.dtype == torch.float64


def test_recency_is_a_column():
    """b(j) in any order: rank one and a positive gain hold it; functions of the offset don't."""
    found = explained(B.expand(4, 4) + ANY_ROW)
    for name in ("fit_column", "fit_rank_one", "fit_gain"):
        assert found[name] == pytest.approx(1.0)
    assert found["fit_offset"] < 0.5
    assert found["fit_distance"] < 0.5
    assert beyond_rank_one(B.expand(4, 4) + ANY_ROW) == pytest.approx(0.0, abs=1e-9)
    assert peak_slope(B.expand(4, 4) + ANY_ROW) == 0.0


def test_linear_recency_is_a_column_and_a_function_of_the_offset():
    """By distance, with f(0) = 0, rows are (f(1), f(2), f(3)), (0, f(1), f(2)) and (f(1), 0, f(1)).

    f(3) fits its one entry. With a = f(1) and b = f(2), what is left of (-1, 0, 1) in each row has
    squares (a - b + 1)²/2, 1 + a² + (b - 1)² - (a + b)²/3 and 2 + 2a²/3, least at a = 6/13 and
    b = 21/13: 30/13 of 6.
    """
    three = torch.arange(3.0).expand(3, 3)
    found = explained(three)
    for name in ("fit_column", "fit_rank_one", "fit_gain", "fit_offset"):
        assert found[name] == pytest.approx(1.0)
    assert found["fit_distance"] == pytest.approx(1 - 30 / 13 / 6)
    assert beyond_rank_one(three) == pytest.approx(0.0, abs=1e-9)
    # With more positions there are more queries that would have to prefer both sides at once.
    assert fit_distance(torch.arange(50.0).expand(50, 50)).explained < 0.05


def test_gain_modulated_recency():
    """g = 1, 2, 3, 4: the column is mean(g) b, its share 4 · 2.5² / (1 + 4 + 9 + 16) = 5/6."""
    g = torch.arange(1.0, 5.0, dtype=torch.float64)[:, None]
    found = explained(g * B + ANY_ROW)
    assert found["fit_column"] == pytest.approx(5 / 6)
    assert found["fit_rank_one"] == pytest.approx(1.0)
    assert found["fit_gain"] == pytest.approx(1.0)
    assert beyond_rank_one(g * B + ANY_ROW) == pytest.approx(0.0, abs=1e-9)
    assert peak_slope(g * B + ANY_ROW) == 0.0


def test_a_gain_that_changes_sign_is_rank_one_but_no_recency():
    """g = -1, 0, 0, 3: rank one holds it all, a positive gain 9/10, the column 4 · 0.5² / 10."""
    g = table([-1], [0], [0], [3])
    found = explained(g * B + ANY_ROW)
    assert found["fit_rank_one"] == pytest.approx(1.0)
    assert found["fit_gain"] == pytest.approx(0.9)
    assert found["fit_column"] == pytest.approx(0.1)
    assert (fit_gain(g * B).table[0] == 0).all()
    # Here peaks are at keys 0, 0, 3, 3 for queries -1.5, -0.5, 0.5, 1.5: slope 6 / 5.
    assert peak_slope(table([-2], [-1], [1], [2]) * torch.arange(4.0)) == pytest.approx(1.2)


def test_matching_one_key():
    """Query i wants key i - 1 and no other. Centred rows: 0, (2, -1, -1)/3, (-1, 2, -1)/3; squares 4/3.

    Column means (1, 1, -2)/9 hold 2/9, a share of 1/6. The two rows' products are 2/3 and -1/3, so
    the best rank one holds 1 (share 3/4) with a gain of both signs; a positive one holds a row: 1/2.
    """
    planted = by_offset(3, {1: 1.0})
    found = explained(planted)
    assert found["fit_distance"] == pytest.approx(1.0)
    assert found["fit_offset"] == pytest.approx(1.0)
    assert found["fit_column"] == pytest.approx(1 / 6)
    assert found["fit_rank_one"] == pytest.approx(3 / 4)
    assert found["fit_gain"] == pytest.approx(1 / 2)
    assert beyond_rank_one(planted) == pytest.approx(1 / 4)


def test_matching_is_symmetric_about_its_target_and_no_other():
    planted = by_offset(6, {2: 4.0, 1: 7.0, 3: 7.0, 0: -2.0, 4: -2.0, -1: 0.5, 5: 0.5}) + torch.rand(6, 1)
    assert fit_distance(planted, target=2).explained == pytest.approx(1.0)
    assert fit_distance(planted).explained < 0.9
    assert fit_offset(planted).explained == pytest.approx(1.0)
    lopsided = by_offset(6, {0: 3.0, 1: 2.0, 2: 1.0})
    assert fit_offset(lopsided).explained == pytest.approx(1.0)
    assert fit_distance(lopsided).explained < 0.9


def test_broad_matching_is_mostly_rank_one_and_what_is_left_over_tells():
    """-(i - 1 - j)²/2 for 5 positions: row i is (i - 3)(j - 2) less ((j - 2)² - 2)/2, up to a constant.

    The two terms are orthogonal in j, with squares 10 and 3.5; in i the first runs over -3 .. 1.
    So the squares of the table are those of a 2 x 2 matrix with 150 and 17.5 on its diagonal and
    5 sqrt(35) beside it. The best gain of one sign leaves out the last row: 140, 14 and 6 sqrt(35).
    """
    i = torch.arange(5.0)
    planted = -((i[:, None] - 1 - i) ** 2) / 2
    largest = (167.5 + math.sqrt(132.5**2 + 4 * 25 * 35)) / 2
    of_one_sign = (154 + math.sqrt(126**2 + 4 * 36 * 35)) / 2
    assert fit_rank_one(planted).explained == pytest.approx(largest / 167.5)
    assert largest / 167.5 > 0.93
    assert fit_distance(planted).explained == pytest.approx(1.0)
    assert fit_gain(planted).explained == pytest.approx(of_one_sign / 167.5)
    assert beyond_rank_one(planted) == pytest.approx(1 - largest / 167.5)


def test_a_mixture_of_rank_one_and_offset_is_taken_apart():
    g, matching = table([1], [4], [2], [3]), by_offset(4, {1: 6.0})
    mixed = g * B + matching
    assert beyond_rank_one(mixed, rounds=200) == pytest.approx(1 - fit_rank_one(mixed).explained, rel=1e-3)


def test_peak_slope_of_matching_by_hand():
    n, i = 50, torch.arange(50.0)
    assert peak_slope(by_offset(n, {0: 1.0})) == pytest.approx(1.0)
    # Looking one back, queries 0 and 1 both find key 0: peaks 0, 0, 1, 2, 3 give 8 / 10.
    assert peak_slope(-((i[:5, None] - 1 - i[:5]).abs())) == pytest.approx(0.8)
    assert peak_slope(-((i[:, None] - 1 - i).abs())) == pytest.approx(1.0, abs=0.003)


@pytest.mark.parametrize("fit", FITS)
def test_fits_are_projections(fit):
    """A fit is row-centred, explains what it says, and is blind to constants in rows."""
    noise = torch.randn(4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found, centred = fit(noise), row_centred(noise)
    assert found.table.sum(1).abs().max() < 1e-9
    assert found.explained == pytest.approx(
        1 - ((centred - found.table) ** 2).sum().item() / (centred**2).sum().item()
    )
    assert 0.0 < found.explained <= 1.0
    assert fit(noise + ANY_ROW).explained == pytest.approx(found.explained)
    assert fit(found.table).explained == pytest.approx(1.0)
    torch.testing.assert_close(found.at(2, torch.tensor([3, 0])), found.table[2][[3, 0]])
    # float32 tables are fitted in float64 as well.
    assert fit(noise.float()).explained == pytest.approx(found.explained, abs=1e-5)


def test_a_table_without_any_shape_has_no_shares():
    flat = torch.full((4, 4), 2.0) + torch.arange(4.0)[:, None]
    assert all(math.isnan(share) for share in explained(flat).values())
    assert math.isnan(beyond_rank_one(flat))
