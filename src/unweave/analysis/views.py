"""A model's run as an inline viewer: attention patterns, logit lens, predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.sites import attn_site
from unweave.core.tokens import require_tokens
from unweave.engine.inputs import require_model
from unweave.model.transformer import HookedTransformer

if TYPE_CHECKING:
    from unweave.charts.viewers import Viewer

Vocabulary = Callable[[int], str] | Sequence[str] | None


@torch.no_grad()
def view_attention(
    model: HookedTransformer,
    tokens: Tensor | str,
    *,
    layers: Sequence[int] | None = None,
    vocabulary: Vocabulary = None,
    title: str = "Attention patterns",
) -> Viewer:
    """The attention patterns of every head of some layers on one prompt.

    Args:
        tokens: `[pos]` or `[1, pos]`, or a text where the model has a tokenizer.
        layers: all by default.
        vocabulary: token strings, by id: a list or a function; the tokenizer's by default, and the ids
            themselves where there is none.

    Raises:
        InputError: for more than one prompt, layers that aren't there, or too many numbers for a viewer.
    """
    from unweave.charts.viewers import attention_patterns

    model = require_model(model)
    row = _one_row(model, tokens)
    n_layers = model.cfg.n_layers
    chosen = list(range(n_layers)) if layers is None else list(layers)
    if not chosen or any(not 0 <= layer < n_layers for layer in chosen):
        raise InputError(
            wanted=f"layers from 0 to {n_layers - 1}",
            got=str(chosen),
            remedy="name some of them, or none for all",
        )
    sites = [attn_site(layer, "pattern") for layer in chosen]
    _, cache = model.run_with_cache(row, names_filter=lambda name: name in sites)
    patterns = torch.stack([cache[site][0] for site in sites])
    names = [f"L{layer}H{head}" for layer in chosen for head in range(patterns.shape[1])]
    return attention_patterns(_strings(model, row[0], vocabulary), patterns, head_names=names, title=title)


@torch.no_grad()
def view_logit_lens(
    model: HookedTransformer,
    tokens: Tensor | str,
    *,
    top_k: int = 5,
    incl_mid: bool = False,
    vocabulary: Vocabulary = None,
    title: str = "Logit lens",
) -> Viewer:
    """The logit lens of one prompt as a table: the likeliest next tokens at each stage and position.

    Stages are those of `lens_logits`; one stage's logits are held at a time. Arguments as of `view_attention`.

    Args:
        top_k: how many tokens each cell tells.
        incl_mid: with the stage between each layer's attention and its MLP.
    """
    from unweave.charts.viewers import logit_lens_table

    model = require_model(model)
    row = _one_row(model, tokens)
    _require_k(model, top_k)
    _, cache = model.run_with_cache(row)
    stack, stages = cache.accumulated_resid(incl_mid=incl_mid, apply_ln=True, return_labels=True)
    words, chances, spread = [], [], []
    for stage in stack:
        log_probs = model.logits(stage)[0].double().log_softmax(-1)
        top = log_probs.topk(top_k)
        words.append(_named(model, top.indices, vocabulary))
        chances.append(top.values.exp())
        spread.append(torch.special.entr(log_probs.exp()).sum(-1))
    return logit_lens_table(
        _strings(model, row[0], vocabulary),
        words,
        torch.stack(chances),
        stages=[str(stage) for stage in stages],
        entropy=torch.stack(spread),
        title=title,
    )


@torch.no_grad()
def view_predictions(
    model: HookedTransformer,
    tokens: Tensor | str,
    *,
    top_k: int = 10,
    vocabulary: Vocabulary = None,
    title: str = "Predictions",
) -> Viewer:
    """A prompt whose tokens tell how likely each was and what was likelier. Arguments as of `view_attention`.

    Raises:
        InputError: also for a prompt of one token, which predicts nothing that is known.
    """
    model = require_model(model)
    row = _one_row(model, tokens, least=2)
    _require_k(model, top_k)
    log_probs = model(row)[0].double().log_softmax(-1)
    return predictions_of(log_probs, row[0], lambda ids: _named(model, ids, vocabulary), top_k, title)


def predictions_of(
    log_probs: Tensor, row: Tensor, named: Callable[[Tensor], Any], top_k: int, title: str = "Predictions"
) -> Viewer:
    """The viewer of log-probabilities `[pos, d_vocab]` of the next token, on the tokens `[pos]` themselves."""
    from unweave.charts.viewers import token_predictions

    before, after = log_probs[:-1], row[1:, None]
    true = before.gather(-1, after)
    top = before.topk(top_k)
    return token_predictions(
        named(row),
        true[:, 0],
        (before > true).sum(-1).tolist(),
        named(top.indices),
        top.values,
        title=title,
    )


def _one_row(model: HookedTransformer, tokens: Tensor | str, least: int = 1) -> Int[Tensor, "1 pos"]:
    given = model.to_tokens(tokens) if isinstance(tokens, str) else tokens
    rows = given[None] if isinstance(given, Tensor) and given.ndim == 1 else given
    rows = require_tokens(rows, model.cfg.d_vocab, least)
    if len(rows) != 1:
        raise InputError(
            wanted="the tokens of one prompt, [pos] or [1, pos]",
            got=f"{len(rows)} prompts",
            remedy="pass tokens[0], or a viewer for each",
        )
    return rows


def _require_k(model: HookedTransformer, top_k: int) -> None:
    if not 1 <= top_k <= model.cfg.d_vocab_out:
        raise InputError(
            wanted=f"top_k from 1 to d_vocab_out={model.cfg.d_vocab_out}", got=str(top_k), remedy="pass fewer"
        )


def _strings(model: HookedTransformer, row: Tensor, vocabulary: Vocabulary) -> list[str]:
    """Each token's string."""
    ids: list[int] = row.tolist()
    if vocabulary is None:
        vocabulary = str if model.tokenizer is None else model.to_single_str_token
    if callable(vocabulary):
        return [vocabulary(token) for token in ids]
    return [vocabulary[token] for token in ids]


def _named(model: HookedTransformer, ids: Tensor, vocabulary: Vocabulary) -> Any:
    """Nested lists of strings, in the shape of `ids`."""
    if ids.ndim == 1:
        return _strings(model, ids, vocabulary)
    return [_named(model, part, vocabulary) for part in ids]
