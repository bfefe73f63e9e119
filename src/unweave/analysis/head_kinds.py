"""Which heads are of a known kind: previous, self, first, induction, duplicate, copy suppression."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.analysis.norms import quiet_norm
from unweave.analysis.requirements import require_whole
from unweave.core import seeds
from unweave.core.errors import InputError
from unweave.core.results import Result
from unweave.core.sites import attn_site, block_site
from unweave.engine.inputs import Inputs, require_model
from unweave.engine.provenance import data_hash, weights_hash
from unweave.model.transformer import HookedTransformer

KINDS = ("previous", "self", "first", "induction", "duplicate", "copy suppression")
# Attention beyond the control's from which on a head is named.
THRESHOLD = 0.4
# Attention to the first position from which on the rest is looked at by itself.
RESTING = 0.5
CHUNK = 16


@torch.no_grad()
def head_kinds(
    model: HookedTransformer,
    *,
    block: int | None = None,
    samples: int = 32,
    bos: int | None = 0,
    vocabulary: Sequence[int] | None = None,
    threshold: float = THRESHOLD,
    seed: int = 0,
) -> Result:
    """How much each head attends as heads of known kinds do, on random tokens that occur twice.

    A sequence is BOS, a block of distinct random tokens, and the block again. Scores are mean attention
    from the queries of the second block:

    - previous: to the position before. self: to the query itself. first: to the first position.
    - induction: to what followed the token's earlier occurrence (Olsson et al., 2022, arXiv:2209.11895).
    - duplicate: to the token's earlier occurrence (Wang et al., 2022, arXiv:2211.00593).
    - copy suppression: to tokens that the stream before the layer already predicts (its logit lens ranks
      them first), where what the head writes from there lowers their logit below the mean one
      (McDougall et al., 2023, arXiv:2310.04625).

    The control is the same measure where the kind could not act: for induction and duplicate, the same
    offsets on random tokens that do not repeat, which a head that looks at a fixed distance passes
    just as well; for copy suppression, another token of the block in place of the predicted one; for the
    first three, attention spread evenly.

    Args:
        block: tokens in a block; None is as many as fit and are distinct, at most 24.
        bos: the token put first; None puts none: the first position is then a token like others.
        vocabulary: the tokens to draw from; None is all but `bos`.
        threshold: how far above its control a score must be for the head to be named.

    Returns:
        Dimensions "measure" ("score", "control"), "kind" and "head". `provenance["named"]` has the
        heads of each kind; `warnings` name those that rest on the first position, where the little
        that is left looks like a kind. Attention says where a head looks, not what it does there.

    Raises:
        InputError: for a model that looks both ways, or too few tokens or positions for two blocks.
    """
    model = require_model(model)
    require_whole("samples", samples, 1)
    cfg = model.cfg
    if cfg.attention_dir != "causal":
        raise InputError(
            wanted="a model that looks back only",
            got=f"attention_dir={cfg.attention_dir!r}",
            remedy="these kinds are defined for causal attention",
        )
    words = torch.tensor([t for t in (range(cfg.d_vocab) if vocabulary is None else vocabulary) if t != bos])
    start = int(bos is not None)
    most = min((cfg.n_ctx - start) // 2, len(words), 24)
    length = most if block is None else block
    if not 3 <= length <= min((cfg.n_ctx - start) // 2, len(words)):
        raise InputError(
            wanted=f"blocks of 3 to {min((cfg.n_ctx - start) // 2, len(words))} distinct tokens that fit twice",
            got=str(length),
            remedy="give another block, or more tokens to draw from",
        )
    tokens, control = _sequences(words, length, samples, bos, seed)
    found = torch.cat([_measured(model, rows, length, start) for rows in tokens.split(CHUNK)], -1)
    apart = torch.cat([_measured(model, rows, length, start) for rows in control.split(CHUNK)], -1)
    score, chance = found[:6], found[6:].clone()
    at = [KINDS.index("induction"), KINDS.index("duplicate")]
    chance[at] = apart[:6][at]
    per_sample = torch.stack([score, chance])
    values = per_sample.mean(-1)
    labels = tuple(model.all_head_labels())
    excess = values[0] - values[1]
    named = {
        kind: [labels[n] for n in range(len(labels)) if excess[row, n] >= threshold]
        for row, kind in enumerate(KINDS)
    }
    return Result(
        values,
        ("measure", "kind", "head"),
        {"measure": ("score", "control"), "kind": KINDS, "head": labels},
        "attention",
        per_sample,
        provenance={
            "metric": "attention",
            "values": "scores",
            "operation": "head kinds",
            "method": f"random blocks of {length} tokens, twice",
            "weights": weights_hash(model),
            "data": data_hash(Inputs(tokens)),
            "dtype": str(model.W_E.dtype).removeprefix("torch."),
            "samples": samples,
            "bos": bos,
            "threshold": threshold,
            "named": named,
            "seed": seed,
        },
        warnings=tuple(_said(values, labels, threshold)),
    )


def _sequences(
    words: Int[Tensor, " words"], length: int, samples: int, bos: int | None, seed: int
) -> tuple[Int[Tensor, "sample pos"], Int[Tensor, "sample pos"]]:
    """Blocks that occur twice, and sequences of the same length in which the second block is another one."""
    draw = seeds.generator(seed, "head kinds")
    first = torch.stack([words[torch.randperm(len(words), generator=draw)[:length]] for _ in range(samples)])
    second = torch.stack([_another(row, words, draw) for row in first])
    start = [] if bos is None else [torch.full((samples, 1), bos)]
    return torch.cat([*start, first, first], 1), torch.cat([*start, first, second], 1)


def _another(block: Tensor, words: Tensor, draw: torch.Generator) -> Tensor:
    """Tokens that aren't in the block; or, where there are too few, the block in an order that moves each."""
    others = words[~torch.isin(words, block)]
    if len(others) >= len(block):
        return others[torch.randperm(len(others), generator=draw)[: len(block)]]
    # A cycle in random order: no token has its own place again.
    order = torch.randperm(len(block), generator=draw)
    moved = torch.empty_like(block)
    moved[order] = block[order.roll(1)]
    return moved


def _measured(
    model: HookedTransformer, tokens: Int[Tensor, "sample pos"], length: int, start: int
) -> Float[Tensor, "measure head sample"]:
    """The six scores, and then what each would be by chance."""
    layers = range(model.cfg.n_layers)
    names = [attn_site(n, site) for n in layers for site in ("pattern", "v")]
    names += [block_site(n, "resid_pre") for n in layers]
    _, cache = model.run_with_cache(tokens, names_filter=names, return_type=None, return_cache_object=False)
    query = torch.arange(start + length, tokens.shape[1], device=tokens.device)
    keys = {
        "previous": query - 1,
        "self": query,
        "first": torch.zeros_like(query),
        "induction": query - length + 1,
        "duplicate": query - length,
    }
    rows: list[Tensor] = []
    for layer in layers:
        pattern = cache[attn_site(layer, "pattern")].double()[:, :, query]
        scores = [
            pattern.gather(-1, key.view(1, 1, -1, 1).expand(*pattern.shape[:3], 1)).squeeze(-1).mean(-1)
            for key in keys.values()
        ]
        even = (1.0 / (query + 1).double()).mean().expand_as(scores[0])
        suppressed = _suppressed(model, tokens, cache, layer, pattern, query)
        # What evenly spread attention gives stands for the controls that need other tokens.
        rows.append(torch.stack([*scores, suppressed[0], *[even] * 5, suppressed[1]]))
    return torch.cat(rows, 2).movedim(1, -1)


def _suppressed(
    model: HookedTransformer,
    tokens: Int[Tensor, "sample pos"],
    cache: dict[str, Tensor],
    layer: int,
    pattern: Float[Tensor, "sample head query key"],
    query: Int[Tensor, " query"],
) -> tuple[Float[Tensor, "sample head"], Float[Tensor, "sample head"]]:
    """Attention to the predicted token where its logit is lowered, and the same for another token's place."""
    predicted = model.logits(
        quiet_norm(model.ln_final, cache[block_site(layer, "resid_pre")][:, query])
    ).argmax(-1)
    v, W_O = cache[attn_site(layer, "v")].double(), model.W_O[layer].double()
    v = v.repeat_interleave(W_O.shape[0] // v.shape[2], 2)
    unembed = model.W_U.double()
    weight = getattr(model.ln_final, "w", None)
    unembed = unembed if weight is None else unembed * weight.double()[:, None]
    unembed = unembed - unembed.mean(1, keepdim=True)
    if getattr(model.ln_final, "centres", False):
        unembed = unembed - unembed.mean(0)
    # The direct effect of each key on its own token's logit: [sample, key, head].
    effect = torch.einsum("skhe,hed,dsk->skh", v, W_O, unembed[:, tokens.clamp_max(unembed.shape[1] - 1)])
    lowered = (effect < 0).movedim(-1, 1)[:, :, None]
    is_predicted = (tokens[:, None, :] == predicted[:, :, None])[:, None]
    # Places of the block's tokens, moved by one within the sequence: another token each.
    other = (tokens.roll(1, 1)[:, None, :] == predicted[:, :, None])[:, None]
    return tuple((pattern * lowered * where).sum(-1).mean(-1) for where in (is_predicted, other))  # pyright: ignore[reportReturnType]


def _said(values: Float[Tensor, "2 kind head"], labels: Sequence[str], threshold: float) -> Iterable[str]:
    first = KINDS.index("first")
    for number, label in enumerate(labels):
        resting = values[0, first, number].item()
        if resting < RESTING or resting > 1.0 - 1e-6:
            continue
        for row, kind in enumerate(KINDS):
            share = ((values[0, row, number] - values[1, row, number]) / (1.0 - resting)).item()
            if (
                row != first
                and share >= threshold
                and values[0, row, number] - values[1, row, number] < threshold
            ):
                yield (
                    f"{label} rests on the first position ({resting:.0%}); of the attention that is left, {share:.0%} "
                    f"beyond the control is {kind}"
                )
