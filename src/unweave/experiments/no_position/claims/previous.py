"""Claim 5: how layer 1 finds the previous token. Rivals predict attention under interventions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.analysis.intervals import estimate
from unweave.analysis.outcomes import copied_offsets
from unweave.analysis.positions import principal_components, row_entropy
from unweave.analysis.routes import Route, on_route, quiet_norm
from unweave.analysis.scores import (
    Fit,
    beyond_rank_one,
    fit_column,
    fit_distance,
    fit_offset,
    fit_rank_one,
    mean_scores,
    peak_slope,
)
from unweave.core.claims import Estimate, Finding, Verdict, claim
from unweave.experiments.no_position.study import Study
from unweave.model.attention import Attention as AttentionLayer

RESID, PATTERN = "blocks.1.hook_resid_pre", "blocks.1.attn.hook_pattern"
TOO_FAR = 0.25  # total variation at which a rival's prediction counts as wrong
FLAT = 0.9  # entropy, over that of a uniform row, from which there is no pattern to explain
GROWTH = 0.5  # correlation with position below which scores by key are no recency
GAIN_MARGIN = 0.02  # total variation that a gain must save to be preferred to plain recency

Rows = Float[Tensor, "query key"]


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


@claim(
    id="recency-finds-previous",
    title="How layer 1 finds the previous token",
    statement="Layer 1 finds the previous token by gain-modulated recency: a key's score grows with its own position, "
    "times a gain that depends on the query's; the causal mask does the rest.",
    rivals=(
        "Matching: the query at i looks for the code of position i-1, wherever it stands.",
        "Recency: a key's score grows with its own position, alike for every query.",
        "None of these: the scores have another form, or there is no positional pattern to explain.",
    ),
    prediction="Each rival is fitted to the clean scores (row-centred, no mask), and then predicts layer 1's attention when "
    "the query or one key is given another position's code (x + μ_j − μ_i on that route alone). Gain-modulated "
    "recency predicts it best where the rivals differ.",
    threshold="total variation between predicted and measured attention (keys 1..i) over the deciding shifts: the best "
    f"rival below {TOO_FAR}, and below the others with a paired 95% interval; a gain must save {GAIN_MARGIN} over plain "
    f"recency; recency's scores must correlate with the key's position (r > {GROWTH}); with an entropy of the mean pattern "
    f"above {FLAT} of a uniform row's there is nothing to explain",
    control="The sham i to i changes nothing; permuted position labels; a direction inside the positional subspace "
    "orthogonal to the shift, of equal norm.",
)
def recency_finds_previous(study: Study) -> Finding:
    table = mean_scores(study.model, study.batch.tokens, layer=1)[1:, 1:]
    fits = {"matching": fit_distance(table), "recency": fit_column(table), "gain": fit_rank_one(table)}
    codes, queries = study.means[RESID], _queries(study.task.n_ctx)
    attention = Attention(study, codes, queries)
    clean = attention.under(SHAM)
    measured = {shift.name: attention.under(shift) for shift in SHIFTS}
    errors = {
        name: {s.name: _distance(measured[s.name], _predicted(fit, s, queries)) for s in SHIFTS}
        for name, fit in fits.items()
    }
    decided = {
        name: torch.stack([by_shift[s.name] for s in SHIFTS if s.decides]).mean(0)
        for name, by_shift in errors.items()
    }
    flatness = row_entropy(study.cache["pattern", 1].mean((0, 1))).item()
    growth = {name: _growth(fits[name].table) for name in ("recency", "gain")}
    winner, reason = _winner(decided, flatness, growth)
    verdict = {"gain": Verdict.SUPPORTED, "unclear": Verdict.INCONCLUSIVE}.get(winner, Verdict.REFUTED)
    best = fits.get(winner, fits["gain"])
    return Finding(
        measured={
            **{f"misfit over deciding shifts: {name}": estimate(values) for name, values in decided.items()},
            **{f"scores explained: {name}": Estimate(fit.explained) for name, fit in fits.items()},
            "scores explained: any function of the offset": Estimate(fit_offset(table).explained),
            "scores explained by the offset beyond rank one": Estimate(beyond_rank_one(table)),
            "keys the unmasked peak moves, per query": Estimate(peak_slope(table)),
            **{
                f"correlation of a key's score with its position: {name}": Estimate(g)
                for name, g in growth.items()
            },
            "entropy of the mean pattern's rows": Estimate(flatness),
            **{
                f"misfit, {shift}: {name}": estimate(values)
                for name, by_shift in errors.items()
                for shift, values in by_shift.items()
            },
            **{f"attention moved, {s.name}": estimate(_distance(measured[s.name], clean)) for s in SHIFTS},
        },
        control={
            "attention moved, sham": Estimate(
                _distance(clean, _model_attention(study, queries)).max().item()
            ),
            **_label_controls(study, attention, best),
        },
        verdict=verdict,
        reason=reason,
        details={
            "winner": winner,
            "where_rivals_differ": {s.name: s.differs for s in SHIFTS},
            "copied_offsets": _copied(study, codes),
        },
    )


def _growth(table: Rows) -> float:
    """How a fitted key score goes with the key's position: the correlation, averaged over queries."""
    position = torch.arange(table.shape[1], dtype=table.dtype)
    position = (position - position.mean()) / position.std()
    rows = (table - table.mean(1, keepdim=True)) / table.std(1, keepdim=True).clamp_min(1e-12)
    return (rows * position).mean().item() * table.shape[1] / (table.shape[1] - 1)


def _winner(misfit: dict[str, Tensor], entropy: float, growth: dict[str, float]) -> tuple[str, str]:
    """The rival that the interventions leave, or "none" or "unclear", and why."""
    if entropy > FLAT:
        return "none", f"layer 1's mean pattern is almost uniform (entropy {entropy:.2f} of a uniform row's)"
    means = {name: values.mean().item() for name, values in misfit.items()}
    told = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
    best = min(means, key=means.__getitem__)
    if means[best] >= TOO_FAR:
        return "none", f"no rival predicts the attention: misfits {told}"
    if best == "gain" and (estimate(misfit["recency"] - misfit["gain"]).low or 0.0) < GAIN_MARGIN:
        best = "recency"
    for name, values in misfit.items():
        nested = {best, name} == {"gain", "recency"}
        if name != best and not nested and (estimate(values - misfit[best]).low or 0.0) <= 0.0:
            return "unclear", f"{best} and {name} predict the attention about equally well: misfits {told}"
    if best in growth and growth[best] < GROWTH:
        return (
            "none",
            f"scores by key fit best, but do not grow with the key's position (r {growth[best]:.2f}): {told}",
        )
    return best, f"{best} predicts the attention best where the rivals differ: misfits {told}"


def _queries(n_ctx: int) -> list[int]:
    """Query positions with room for every shift on both sides."""
    return list(range(max(10, n_ctx // 4), n_ctx - 4))


class Attention:
    """Layer 1's attention, computed from the clean residual stream with shifted codes on one route.

    The residual itself, the values and the other route are untouched; LayerNorm is recomputed.
    Rows are over keys 1 .. i and sum to one; they are averaged over sequences.
    """

    def __init__(self, study: Study, codes: Float[Tensor, "pos d_model"], queries: list[int]) -> None:
        self.study, self.codes, self.queries = study, codes, queries
        self.resid = study.cache[RESID]

    def under(self, shift: Shift, codes: Float[Tensor, "pos d_model"] | None = None) -> Rows:
        """The rows when `shift` is made with these codes (default: the model's own positional means)."""
        codes = self.codes if codes is None else codes
        delta = torch.zeros_like(codes)
        for i in self.queries:
            place = i if shift.key is None else shift.key(i)
            delta[place] = codes[shift.code(i)] - codes[place]
        return self.added(shift, delta)

    @torch.no_grad()
    def added(self, shift: Shift, delta: Float[Tensor, "pos d_model"]) -> Rows:
        """The rows when `delta` is added at the places that `shift` changes."""
        q, k = self._projected("Q", self.resid), self._projected("K", self.resid)
        changed = self._projected(shift.route.upper(), self.resid + delta)
        scale = self.study.model.cfg.attn_scale
        rows = torch.zeros(len(self.queries), self.study.task.n_ctx)
        for row, i in enumerate(self.queries):
            query = changed[:, i] if shift.route == "q" else q[:, i]
            keys = k[:, 1 : i + 1]
            if shift.key is not None:
                keys = keys.clone()
                keys[:, shift.key(i) - 1] = changed[:, shift.key(i)]
            scores = torch.einsum("be,bke->bk", query, keys) / scale
            rows[row, 1 : i + 1] = scores.softmax(-1).mean(0)
        return rows

    def _projected(self, route: str, resid: Tensor) -> Float[Tensor, "batch pos d_head"]:
        block = self.study.model.get_submodule("blocks.1")
        attention, norm = block.get_submodule("attn"), block.get_submodule("ln1")
        assert isinstance(attention, AttentionLayer)
        return attention.project(quiet_norm(norm, resid), route)[:, :, 0]


def _model_attention(study: Study, queries: list[int]) -> Rows:
    """The same rows, from the pattern that the model itself used."""
    pattern = study.cache[PATTERN][:, 0, queries].clone()
    pattern[..., 0] = 0.0
    return (pattern / pattern.sum(-1, keepdim=True)).mean(0)


def _predicted(fit: Fit, shift: Shift, queries: list[int]) -> Rows:
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


def _distance(a: Rows, b: Rows) -> Float[Tensor, " query"]:
    """Total variation between rows: the share of attention that would have to move."""
    return 0.5 * (a - b).abs().sum(-1)


def _label_controls(study: Study, attention: Attention, best: Fit) -> dict[str, Estimate]:
    """The same shift with permuted labels, and with a direction orthogonal to it in the positional subspace."""
    shift, queries, codes = SHIFTS[1], attention.queries, attention.codes
    draw = study.draw("labels")
    labels = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(len(codes) - 1, generator=draw)])
    permuted = attention.under(shift, codes[labels])
    predicted, clean = _predicted(best, shift, queries), attention.under(SHAM)
    basis = principal_components(codes[1:], k=min(5, len(codes) - 2)).directions.to(codes)
    delta = torch.zeros_like(codes)
    for i in queries:
        real = basis @ (codes[shift.code(i)] - codes[i])
        random = torch.randn(len(basis), generator=draw).to(real)
        random -= real * (random @ real) / (real @ real).clamp_min(1e-12)
        delta[i] = random / random.norm().clamp_min(1e-12) * (codes[shift.code(i)] - codes[i]).norm() @ basis
    orthogonal = attention.added(shift, delta)
    return {
        f"misfit of the best rival, {shift.name}, permuted labels": estimate(_distance(permuted, predicted)),
        f"attention moved, {shift.name}, permuted labels": estimate(_distance(permuted, clean)),
        f"attention moved, {shift.name}, orthogonal direction": estimate(_distance(orthogonal, clean)),
    }


def _copied(study: Study, codes: Float[Tensor, "pos d_model"]) -> dict[str, dict[str, float]]:
    """Which offset the model copies, clean and with every query from 9 on told that it is 8 earlier."""
    delta = torch.zeros_like(codes)
    delta[9:] = codes[1:-8] - codes[9:]
    told = study.outcome(on_route(study.model, 1, "q", lambda x: x + delta))
    first = min(9, study.task.n_ctx - 1)
    return {
        name: copied_offsets(result.logits, study.batch, study.task.scored, first, most=12)
        for name, result in {"clean": study.clean, "query told i-8": told}.items()
    }
