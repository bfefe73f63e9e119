"""What shape a table of attention scores has: by key, by key with a gain, or by distance from a target.

An additive constant in a row of scores changes no attention, so every table is row-centred first.
The scores are taken without the causal mask, keys later than the query included: that is where a
query that looks for a position and one that looks for the latest key differ.

The families overlap: recency is a gain of one; linear recency is also a function of the offset; and
a broad function of the distance, |i - t - j| or its square, is about 80% rank one, with a gain that
changes sign. The explained shares therefore describe a table and decide nothing alone. They weigh
all entries alike, far ones that get no attention too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.sites import attn_site
from unweave.model.transformer import HookedTransformer

Table = Float[Tensor, "query key"]


@torch.no_grad()
def mean_scores(model: HookedTransformer, tokens: Int[Tensor, "batch pos"], layer: int) -> Table:
    """Scores of every query with every key, no mask, averaged over sequences, in float64.

    Row and column 0 are BOS, a token of its own: slice them off (`[1:, 1:]`) to look at positions.

    Raises:
        InputError: for a model with more than one head.
    """
    if model.cfg.n_heads != 1:
        raise InputError(
            wanted="a model with one head", got=f"{model.cfg.n_heads}", remedy="use a one-headed model"
        )
    sites = [attn_site(layer, site) for site in ("q", "k")]
    _, cache = model.run_with_cache(tokens, names_filter=sites, return_type=None)
    q, k = (cache[site].double() for site in sites)
    return torch.einsum("bqhe,bkhe->qk", q, k) / len(tokens) / model.cfg.attn_scale


def row_centred(scores: Table) -> Table:
    """Each row minus its mean, in float64."""
    scores = scores.double()
    return scores - scores.mean(1, keepdim=True)


@dataclass(frozen=True)
class Fit:
    """A family's best approximation of a row-centred table.

    `explained` is the share of the table's sum of squares, nan if that is 0.
    """

    name: str
    explained: float
    table: Table

    def at(self, query: int, keys: Int[Tensor, " k"]) -> Float[Tensor, " k"]:
        """The score of a query with the code of row `query` and keys with the codes of columns `keys`."""
        return self.table[query, keys]


def fit_column(scores: Table) -> Fit:
    """`b(j)`: a key's score depends on its own position alone, in whichever way."""
    centred = row_centred(scores)
    return _fit("recency", centred, centred.mean(0).expand_as(centred))


def fit_rank_one(scores: Table) -> Fit:
    """`g(i) b(j)`, the best in least squares (SVD).

    The gain may change its sign, and then queries do not order the keys alike: see `fit_gain`.
    """
    centred = row_centred(scores)
    u, s, vh = torch.linalg.svd(centred)
    return _fit("gain", centred, s[0] * u[:, :1] @ vh[:1])


def fit_gain(scores: Table, rounds: int = 200) -> Fit:
    """`g(i) b(j)` with `g(i) >= 0`: the same order of keys for every query, more or less sharply.

    By alternating least squares from both signs of the best rank one; no round lowers the fit, but
    it may end in a local optimum.
    """
    centred = row_centred(scores)
    start = torch.linalg.svd(centred).Vh[:1]
    fits: list[Fit] = []
    for b in (start, -start):
        for _ in range(rounds):
            b = torch.nn.functional.normalize((centred @ b.T).clamp_min(0.0).T @ centred)
        fits.append(_fit("positive gain", centred, (centred @ b.T).clamp_min(0.0) @ b))
    return max(fits, key=lambda fit: fit.explained)


def fit_distance(scores: Table, target: int = 1) -> Fit:
    """`f(|i - target - j|)`: what counts is how far a key is from `target` before the query, either side."""
    i, j = _grid(scores)
    return _indicator_fit("matching", scores, (i - target - j).abs())


def fit_offset(scores: Table) -> Fit:
    """`f(i - j)`: any function of the offset; linear recency is one of them too."""
    i, j = _grid(scores)
    return _indicator_fit("offset", scores, i - j + len(scores) - 1)


def beyond_rank_one(scores: Table, rounds: int = 10) -> float:
    """How much more of the table rank one and a function of the offset explain together than rank one alone.

    By alternating least squares from either part, so at least 0 and perhaps a little too small.
    """
    centred = row_centred(scores)
    alone = fit_rank_one(centred).explained
    together = [alone]
    for by_offset in (torch.zeros_like(centred), fit_offset(centred).table):
        for _ in range(rounds):
            rest = centred - fit_rank_one(centred - by_offset).table
            by_offset = fit_offset(rest).table
            together.append(1.0 - _share(rest - by_offset, centred))
    return max(together) - alone


def peak_slope(scores: Table) -> float:
    """By how many keys the largest unmasked score moves when the query moves by one (least squares).

    0 when all queries look for the same key; 1 when each looks for a position relative to its own
    (slightly less, where that lies outside of the table). A gain that changes sign gives neither:
    the peak jumps from one end to the other.
    """
    peak = scores.argmax(1).double()
    i = torch.arange(len(scores), dtype=torch.float64, device=scores.device)
    i = i - i.mean()
    return ((i * peak).sum() / (i * i).sum()).item()


def _grid(scores: Table) -> tuple[Int[Tensor, "n 1"], Int[Tensor, "1 n"]]:
    n = torch.arange(len(scores), device=scores.device)
    return n[:, None], n[None, :]


def _indicator_fit(name: str, scores: Table, groups: Int[Tensor, "query key"]) -> Fit:
    """The best table with one value a group, row-centred."""
    centred = row_centred(scores)
    design = torch.nn.functional.one_hot(groups, int(groups.max()) + 1).double()
    design = (design - design.mean(1, keepdim=True)).flatten(0, 1)
    # A constant is free in every family, so the system has no unique solution: the shortest one.
    values = torch.linalg.pinv(design.T @ design, hermitian=True) @ (design.T @ centred.flatten())
    return _fit(name, centred, (design @ values).view_as(centred))


def _fit(name: str, centred: Table, table: Table) -> Fit:
    return Fit(name, 1.0 - _share(centred - table, centred), table)


def _share(rest: Table, whole: Table) -> float:
    total = whole.pow(2).sum().item()
    return rest.pow(2).sum().item() / total if total else math.nan
