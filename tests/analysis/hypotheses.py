"""What is true of each planted model, as hypotheses for scrubbing; and what isn't, though it might be thought."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unweave import planted
from unweave.analysis.scrub import Feature, nothing, token

Hypothesis = dict[str, Feature]


def before(tokens: Tensor) -> Tensor:
    """The token one before; 0 where there is none."""
    return torch.nn.functional.pad(tokens, (1, 0))[:, :-1]


def answer(it: planted.PlantedModel) -> Feature:
    """What must come out, at each position; numbers as parts of 1/840, which all shares of up to 8 are."""

    def answered(tokens: Tensor) -> Tensor:
        found = it.algorithm(tokens)
        return (found * 840).round().long() if it.numerical else found

    return answered


def seen(number: int) -> Feature:
    def seen_before(tokens: Tensor) -> Tensor:
        return (tokens == number).cumsum(1) > 0

    return seen_before


def holds(number: int) -> Feature:
    def is_there(tokens: Tensor) -> Tensor:
        return tokens == number

    return is_there


def count(tokens: Tensor) -> Tensor:
    """How often the token at each position occurs in the sequence."""
    return (tokens[:, :, None] == tokens[:, None]).sum(2)


def rank(tokens: Tensor) -> Tensor:
    """The place of each position's token by frequency, then order; 0 at BOS."""
    n = count(tokens)
    at = torch.arange(tokens.shape[1])
    more = n[:, None] > n[:, :, None]
    tied = (n[:, None] == n[:, :, None]) & (at <= at[:, None])
    return ((more | tied)[:, :, 1:].sum(2)) * (at > 0)


def occurrences(tokens: Tensor) -> Tensor:
    return count(tokens) * (torch.arange(tokens.shape[1]) > 0)


def parity(tokens: Tensor) -> Tensor:
    return tokens % 2


def truths(it: planted.PlantedModel) -> Hypothesis:
    """The true hypothesis, with every edge that carries tokens."""
    out = answer(it)
    found: dict[str, Callable[[], Hypothesis]] = {
        "previous-token": lambda: {"a0.h0->logits": before, "embed->a0.h0<v>": token},
        "induction": lambda: {
            "a1.h0->logits": out,
            "embed->a1.h0<q>": token,
            "embed->a1.h0<v>": token,
            "a0.h0->a1.h0<k>": before,
            "embed->a0.h0<v>": token,
        },
        "reverse": lambda: {"a2.h0->logits": out, "embed->a2.h0<v>": token},
        "histogram": lambda: {
            "m0->logits": out,
            "a0.h0->m0": occurrences,
            "embed->a0.h0<q>": token,
            "embed->a0.h0<k>": token,
        },
        "fraction-of-previous": lambda: {
            "a1.h0->logits": out,
            "m0->a1.h0<v>": holds(1),
            "embed->m0": holds(1),
        },
        "sort-by-frequency": lambda: {
            "a3.h0->logits": out,
            "embed->a3.h0<v>": token,
            "m2->a3.h0<k>": rank,
            "a2.h0->m2": rank,
            "m1->a2.h0<q>": occurrences,
            "m1->a2.h0<k>": occurrences,
            "m0->m1": occurrences,
            "a0.h0->m0": occurrences,
            "embed->a0.h0<q>": token,
            "embed->a0.h0<k>": token,
        },
        "and": lambda: _two_heads(out),
        "or": lambda: _two_heads(out),
        "backup": lambda: {"a0.h0->logits": before, "embed->a0.h0<v>": token},
        "cancel": lambda: {
            "a0.h0->logits": out,
            "embed->a0.h0<v>": holds(1),
            **{f"a0.h{n}->logits": _share_of_second for n in (1, 2)},
            **{f"embed->a0.h{n}<v>": holds(2) for n in (1, 2)},
        },
    }
    return found[it.name]()


def _share_of_second(tokens: Tensor) -> Tensor:
    at = torch.arange(tokens.shape[1]).clamp_min(1)
    return ((tokens == 2).cumsum(1) * 840 / at).round().long()


def _two_heads(out: Feature) -> Hypothesis:
    heads = {f"a0.h{n}->m0": seen(n + 1) for n in (0, 1)}
    inputs = {f"embed->a0.h{n}<{which}>": holds(n + 1) for n in (0, 1) for which in "kv"}
    return {"m0->logits": out, **heads, **inputs}


def untruths(it: planted.PlantedModel) -> dict[str, Hypothesis]:
    """Wrong ones, by what is wrong with them. Each differs from the truth in one thing."""
    true = truths(it)
    last = next(iter(true))
    changes: dict[str, dict[str, tuple[str, Feature]]] = {
        "previous-token": {
            "the token itself is sent on": (last, token),
            "nothing of the tokens is read": ("embed->a0.h0<v>", nothing),
            "only whether it is odd is read": ("embed->a0.h0<v>", parity),
            "the head is not needed": (last, nothing),
        },
        "induction": {
            "the token before is sent on": (last, before),
            "the token itself is in the keys": ("a0.h0->a1.h0<k>", token),
            "the keys don't matter": ("a0.h0->a1.h0<k>", nothing),
            "the queries don't matter": ("embed->a1.h0<q>", nothing),
        },
        "reverse": {
            "the token before is sent on": (last, before),
            "the token itself is sent on": (last, token),
            "only whether it is odd is read": ("embed->a2.h0<v>", parity),
        },
        "histogram": {
            "the token is sent on": (last, token),
            "the MLP reads the token": ("a0.h0->m0", token),
            "the queries don't matter": ("embed->a0.h0<q>", nothing),
            "only whether it is odd is in the keys": ("embed->a0.h0<k>", parity),
        },
        "fraction-of-previous": {
            "the token is sent on": (last, token),
            "another token is counted": ("embed->m0", holds(2)),
            "the values are of the token before": ("m0->a1.h0<v>", before),
            "the MLP is not needed": ("m0->a1.h0<v>", nothing),
        },
        "sort-by-frequency": {
            "the token itself is sent on": (last, token),
            "counts and not ranks are in the keys": ("m2->a3.h0<k>", occurrences),
            "ranks don't need the keys' counts": ("m1->a2.h0<k>", nothing),
            "tokens are counted by whether they are odd": ("embed->a0.h0<k>", parity),
        },
    }
    return {what: {**true, edge: feature} for what, (edge, feature) in changes[it.name].items()}
