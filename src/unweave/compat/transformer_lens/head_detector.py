"""Heads told by their attention patterns: each head's likeness to a pattern that one expects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.compat.transformer_lens.utilities.tensors import is_lower_triangular, is_square
from unweave.compat.warned import warn
from unweave.core.errors import InputError

HeadName = Literal["previous_token_head", "duplicate_token_head", "induction_head"]
HEAD_NAMES: list[HeadName] = list(get_args(HeadName))
ErrorMeasure = Literal["abs", "mul"]
LayerHeadTuple = tuple[int, int]
LayerToHead = dict[int, list[int]]
Pattern = Float[Tensor, "query key"]


def detect_head(
    model: Any,
    seq: str | list[str] | Tensor,
    detection_pattern: Tensor | str,
    heads: Sequence[LayerHeadTuple] | Mapping[int, Sequence[int]] | None = None,
    cache: Any = None,
    *,
    exclude_bos: bool = False,
    exclude_current_token: bool = False,
    error_measure: str = "mul",
) -> Float[Tensor, "layer head"]:
    """How like `detection_pattern` each head's attention is, on a text.

    With "mul": the share of the attention that falls where the pattern is 1. With "abs": 1 minus the
    mean over queries of the summed absolute differences, from -1 to 1, rounded to 3 digits.

    Args:
        seq: a text; a list of texts, over which scores are averaged (then the pattern is a name); or,
            unlike in 3.9, the tokens of one text.
        detection_pattern: `[query, key]`, zero above its diagonal, or a name of `HEAD_NAMES`.
        heads: pairs (layer, head), or lists of heads by layer; the others score -1. None is all.
        cache: of a run on this one text, instead of a new run.
        exclude_bos: leave out attention to the first position.
        exclude_current_token: leave out attention to the query's own position.
        error_measure: "mul" or "abs".

    Raises:
        InputError: for another name or measure, a text of one token or more than n_ctx, a pattern
            that is not lower triangular or of another size, or a cache with several texts.
    """
    if error_measure not in get_args(ErrorMeasure):
        raise InputError(
            wanted="error_measure 'mul' or 'abs'", got=repr(error_measure), remedy="leave it out for 'mul'"
        )
    if isinstance(seq, list):
        if cache is not None or not isinstance(detection_pattern, str):
            raise InputError(
                wanted="one text, with a cache or a pattern of its own",
                got=f"a list of {len(seq)} texts",
                remedy="call detect_head for each, or name one of the heads and pass no cache",
            )
        how: dict[str, Any] = {
            "heads": heads,
            "exclude_bos": exclude_bos,
            "exclude_current_token": exclude_current_token,
            "error_measure": error_measure,
        }
        return torch.stack([detect_head(model, text, detection_pattern, **how) for text in seq]).mean(0)
    tokens = seq.view(1, -1) if isinstance(seq, Tensor) else model.to_tokens(seq)
    wanted = _wanted(detection_pattern, tokens, model.cfg.n_ctx)
    if error_measure == "mul" and not ((wanted == 0) | (wanted == 1)).all():
        warn("detect_head: a pattern with other values than 0 and 1, with error_measure 'mul'")
    if cache is None:
        _, cache = model.run_with_cache(tokens, names_filter=lambda name: name.endswith("hook_pattern"))
    matches = -torch.ones(model.cfg.n_layers, model.cfg.n_heads, dtype=model.W_E.dtype)
    for layer, chosen in _by_layer(heads, model.cfg.n_layers, model.cfg.n_heads).items():
        patterns = cache["pattern", layer]
        patterns = patterns[0] if patterns.ndim == 4 else patterns
        for head in chosen:
            matches[layer, head] = compute_head_attention_similarity_score(
                patterns[head],
                wanted.to(patterns),
                exclude_bos=exclude_bos,
                exclude_current_token=exclude_current_token,
                error_measure=error_measure,
            )
    return matches


def get_previous_token_head_detection_pattern(tokens: Int[Tensor, "... pos"]) -> Pattern:
    """1 at the position before the query's."""
    return torch.eye(tokens.shape[-1]).roll(-1, 1).tril(-1)


def get_duplicate_token_head_detection_pattern(tokens: Int[Tensor, "... pos"]) -> Pattern:
    """1 at earlier positions that hold the query's token."""
    row = tokens.flatten().cpu()
    return (row[:, None] == row[None, :]).float().tril(-1)


def get_induction_head_detection_pattern(tokens: Int[Tensor, "... pos"]) -> Pattern:
    """1 at positions whose predecessor holds the query's token."""
    after = torch.zeros(tokens.shape[-1], tokens.shape[-1])
    after[:, 1:] = get_duplicate_token_head_detection_pattern(tokens)[:, :-1]
    return after


def get_supported_heads() -> None:
    """Print the names in `HEAD_NAMES`."""
    print(f"Supported heads: {HEAD_NAMES}")  # noqa: T201 - printing is what it is for


def compute_head_attention_similarity_score(
    attention_pattern: Pattern,
    detection_pattern: Pattern,
    *,
    exclude_bos: bool,
    exclude_current_token: bool,
    error_measure: str,
) -> float:
    """How like one head's attention is to a pattern; see `detect_head`.

    Raises:
        InputError: for attention that is not square, or, with "abs", looks ahead.
    """
    if not is_square(attention_pattern):
        raise InputError(
            wanted="attention of as many queries as keys",
            got=f"shape {tuple(attention_pattern.shape)}",
            remedy="pass one head's pattern of a whole run",
        )
    counted = torch.ones_like(attention_pattern)
    if exclude_bos:
        counted[:, 0] = 0
    if exclude_current_token:
        counted.fill_diagonal_(0)
    if error_measure == "mul":
        attended = attention_pattern * counted
        return ((attended * detection_pattern).sum() / attended.sum()).item()
    apart = (attention_pattern - detection_pattern).abs()
    if not is_lower_triangular(apart):
        raise InputError(
            wanted="attention to earlier positions alone, for 'abs'",
            got="to later ones too",
            remedy="use 'mul'",
        )
    return 1 - round(((apart * counted).sum() / len(apart)).item(), 3)


_PATTERNS: dict[str, Callable[[Tensor], Tensor]] = {
    "previous_token_head": get_previous_token_head_detection_pattern,
    "duplicate_token_head": get_duplicate_token_head_detection_pattern,
    "induction_head": get_induction_head_detection_pattern,
}


def _wanted(given: Tensor | str, tokens: Tensor, n_ctx: int) -> Pattern:
    """The pattern that is looked for, checked."""
    length = tokens.shape[-1]
    if not 1 < length <= n_ctx:
        raise InputError(
            wanted=f"a text of 2 to {n_ctx} tokens", got=str(length), remedy="pass a text that fits the model"
        )
    if isinstance(given, str):
        if given not in _PATTERNS:
            raise InputError(
                wanted=f"a pattern, or one of {', '.join(_PATTERNS)}",
                got=repr(given),
                remedy="check its name",
            )
        return _PATTERNS[given](tokens)
    if given.shape != (length, length) or not is_lower_triangular(given):
        raise InputError(
            wanted=f"a pattern of shape {(length, length)}, zero above its diagonal",
            got=f"shape {tuple(given.shape)}" + (", not lower triangular" if is_square(given) else ""),
            remedy="one row a query, one column a key",
        )
    return given


def _by_layer(heads: Any, n_layers: int, n_heads: int) -> dict[int, list[int]]:
    if heads is None:
        return {layer: list(range(n_heads)) for layer in range(n_layers)}
    if isinstance(heads, Mapping):
        return {layer: list(chosen) for layer, chosen in heads.items()}
    found: dict[int, list[int]] = {}
    for layer, head in heads:
        found.setdefault(layer, []).append(head)
    return found
