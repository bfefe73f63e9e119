"""Layer 1's attention when a query or a key is given another position's code, and what rivals predict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.analysis.norms import quiet_norm
from unweave.analysis.routes import Route
from unweave.analysis.scores import Fit
from unweave.experiments.no_position.study import Study
from unweave.model.attention import Attention as AttentionLayer

RESID, PATTERN = "blocks.1.hook_resid_pre", "blocks.1.attn.hook_pattern"
GROUPS = 8  # of sequences: independent samples of a mean pattern

Codes = Float[Tensor, "pos d_model"]
Rows = Float[Tensor, "group query key"]


@dataclass(frozen=True)
class Shift:
    """Give a query, or one key of every query, the positional code of another position.

    `code(i)` is the position whose code is put in at query i; `key(i)` is the key that is changed,
    or None when the query is.
    """

    name: str
    route: Route
    code: Callable[[int], int]
    key: Callable[[int], int] | None
    differs: str
    decides: bool = True


SHIFTS = (
    Shift("query told i-4", "q", lambda i: i - 4, None, "matching: attention moves 4 back; recency: none"),
    Shift(
        "query told i-8",
        "q",
        lambda i: i - 8,
        None,
        "matching: attention moves 8 back; gain: only sharper or flatter",
    ),
    Shift(
        "key i-8 told i+4",
        "k",
        lambda i: i + 4,
        lambda i: i - 8,
        "recency: that key wins; matching: it is too late",
    ),
    Shift(
        "key i-8 told i-1",
        "k",
        lambda i: i - 1,
        lambda i: i - 8,
        "none: every rival gives it more",
        decides=False,
    ),
    Shift(
        "query told i+4",
        "q",
        lambda i: i + 4,
        None,
        "little: no key lies later than the query",
        decides=False,
    ),
)
SHAM = Shift("sham: query told i", "q", lambda i: i, None, "none", decides=False)


class Attention:
    """Layer 1's attention, computed from the clean residual stream with shifted codes on one route.

    The residual itself, the values and the other route are untouched; LayerNorm is recomputed.
    Rows are over keys 1 .. i and sum to one. They are averaged over each of several groups of
    sequences, `[group, query, key]`.
    """

    def __init__(self, study: Study, codes: Codes, queries: list[int]) -> None:
        self.study, self.codes, self.queries = study, codes, queries
        self.resid = study.cache[RESID]

    def under(self, shift: Shift, codes: Codes | None = None) -> Rows:
        """The rows when `shift` is made with these codes (default: the model's own positional means)."""
        codes = self.codes if codes is None else codes
        delta = torch.zeros_like(codes)
        for i in self.queries:
            place = i if shift.key is None else shift.key(i)
            delta[place] = codes[shift.code(i)] - codes[place]
        return self.added(shift, delta)

    @torch.no_grad()
    def added(self, shift: Shift, delta: Codes) -> Rows:
        """The rows when `delta` is added at the places that `shift` changes."""
        q, k = self._projected("Q", self.resid), self._projected("K", self.resid)
        changed = self._projected(shift.route.upper(), self.resid + delta)
        scale = self.study.model.cfg.attn_scale
        rows = torch.zeros(len(self.resid), len(self.queries), self.study.task.n_ctx)
        for row, i in enumerate(self.queries):
            query = changed[:, i] if shift.route == "q" else q[:, i]
            keys = k[:, 1 : i + 1]
            if shift.key is not None:
                keys = keys.clone()
                keys[:, shift.key(i) - 1] = changed[:, shift.key(i)]
            scores = torch.einsum("be,bke->bk", query, keys) / scale
            rows[:, row, 1 : i + 1] = scores.softmax(-1)
        return grouped(rows)

    def _projected(self, route: str, resid: Tensor) -> Float[Tensor, "batch pos d_head"]:
        block = self.study.model.get_submodule("blocks.1")
        attention, norm = block.get_submodule("attn"), block.get_submodule("ln1")
        assert isinstance(attention, AttentionLayer)
        return attention.project(quiet_norm(norm, resid), route)[:, :, 0]


def model_attention(study: Study, queries: list[int]) -> Rows:
    """The same rows, from the pattern that the model itself used."""
    pattern = study.cache[PATTERN][:, 0, queries].clone()
    pattern[..., 0] = 0.0
    return grouped(pattern / pattern.sum(-1, keepdim=True))


def grouped(rows: Float[Tensor, "batch query key"]) -> Rows:
    """The mean over each of GROUPS parts of the batch."""
    return torch.stack([part.mean(0) for part in rows.tensor_split(min(GROUPS, len(rows)))])


def predicted(fit: Fit, shift: Shift, queries: list[int]) -> Float[Tensor, "query key"]:
    """The rows that a rival predicts: its own scores for the codes that the shift puts in."""
    rows = torch.zeros(len(queries), len(fit.table) + 1)
    for row, i in enumerate(queries):
        keys = torch.arange(1, i + 1)
        if shift.key is not None:
            keys[shift.key(i) - 1] = shift.code(i)
        query = shift.code(i) if shift.key is None else i
        # The fitted tables begin at position 1: BOS is a key of its own kind.
        rows[row, 1 : i + 1] = fit.at(query - 1, keys - 1).softmax(-1).float()
    return rows


def distance(a: Rows, b: Rows | Float[Tensor, "query key"]) -> Float[Tensor, " group"]:
    """Total variation between rows, averaged over queries: the share of attention that would have to move."""
    return 0.5 * (a - b).abs().sum(-1).mean(-1)
