"""What shape a table of attention scores has: by key, by key with a gain, or by distance from a target.

An additive constant in a row of scores changes no attention, so every table is row-centred first.
The scores are taken without the causal mask, keys later than the query included: that is where a
query that looks for a position and one that looks for the latest key differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.model.transformer import HookedTransformer

Table = Float[Tensor, "query key"]


@torch.no_grad()
def mean_scores(model: HookedTransformer, tokens: Int[Tensor, "batch pos"], layer: int) -> Table:
    """Scores of every query with every key, no mask, averaged over sequences (one head)."""
    _, cache = model.run_with_cache(tokens, names_filter=[f"blocks.{layer}.attn.hook_{s}" for s in "qk"])
    q, k = cache["q", layer], cache["k", layer]
    assert q.shape[2] == 1, "one head"
    return torch.einsum("bqhe,bkhe->qk", q, k).double() / len(tokens) / model.cfg.attn_scale


def row_centred(scores: Table) -> Table:
    """Each row minus its mean."""
    return scores - scores.mean(1, keepdim=True)


@dataclass(frozen=True)
class Fit:
    """A family's best approximation of a row-centred table.

    `explained` is the share of the table's sum of squares. `at(i, j)` is the family's score for a
    query with code i and a key with code j.
    """

    name: str
    explained: float
    table: Table

    def at(self, query: int, keys: Int[Tensor, " k"]) -> Float[Tensor, " k"]:
        return self.table[query, keys]


def fit_column(scores: Table) -> Fit:
    """`b(j)`: a key's score depends on its own position alone."""
    centred = row_centred(scores)
    return _fit("recency", centred, centred.mean(0).expand_as(centred))


def fit_rank_one(scores: Table) -> Fit:
    """`g(i) b(j)`: the same order of keys for every query, with a gain. Best in least squares (SVD)."""
    centred = row_centred(scores)
    u, s, vh = torch.linalg.svd(centred)
    return _fit("gain", centred, s[0] * u[:, :1] @ vh[:1])


def fit_distance(scores: Table, target: int = 1) -> Fit:
    """`f(|i - target - j|)`: the closer a key is to `target` positions before the query, on either side."""
    i, j = _grid(scores)
    return _indicator_fit("matching", scores, (i - target - j).abs())


def fit_offset(scores: Table) -> Fit:
    """`f(i - j)`: any function of the offset; linear recency is one of them too."""
    i, j = _grid(scores)
    return _indicator_fit("offset", scores, i - j + len(scores) - 1)


def beyond_rank_one(scores: Table) -> float:
    """The share of the table that a function of the offset explains in what rank one leaves over."""
    centred = row_centred(scores)
    rest = centred - fit_rank_one(scores).table
    fitted = fit_offset(rest).table
    return 1.0 - _share(rest - fitted, centred) - (1.0 - _share(rest, centred))


def peak_slope(scores: Table) -> float:
    """By how many keys the largest unmasked score moves when the query moves by one (least squares).

    1 when every query looks for a position relative to its own, 0 when all look for the same.
    """
    peak = scores.argmax(1).double()
    i = torch.arange(len(scores), dtype=torch.float64)
    i = i - i.mean()
    return ((i * peak).sum() / (i * i).sum()).item()


def _grid(scores: Table) -> tuple[Tensor, Tensor]:
    n = torch.arange(len(scores))
    return n[:, None], n[None, :]


def _indicator_fit(name: str, scores: Table, groups: Int[Tensor, "query key"]) -> Fit:
    centred = row_centred(scores)
    design = torch.nn.functional.one_hot(groups, int(groups.max()) + 1).double()
    design = design - design.mean(1, keepdim=True)
    flat = design.flatten(0, 1)
    # The families have a free constant, so the system is rank-deficient: gelsd.
    values = torch.linalg.lstsq(flat, centred.flatten()[:, None], driver="gelsd").solution
    return _fit(name, centred, (design @ values).squeeze(-1))


def _fit(name: str, centred: Table, table: Table) -> Fit:
    return Fit(name, 1.0 - _share(centred - table, centred), table)


def _share(rest: Table, whole: Table) -> float:
    return (rest.pow(2).sum() / whole.pow(2).sum().clamp_min(1e-300)).item()
