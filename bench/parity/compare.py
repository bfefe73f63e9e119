"""Two libraries' tensors, hook by hook: equal means max|ours - theirs| <= 1e-5 * max|theirs|."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

import unweave.compat.transformer_lens as compat
from bench.parity.differences import KNOWN, Difference, Tensors, known_difference, pending
from unweave.core.errors import InputError
from unweave.model.config import HookedTransformerConfig
from unweave.model.transformer import HookedTransformer

TOLERANCE = 1e-5
Verdict = Literal["equal", "known difference", "refused", "not yet", "differs"]


@dataclass(frozen=True)
class Finding:
    """What came of one tensor. `error` is max|ours - theirs| / max|theirs|."""

    name: str
    verdict: Verdict
    error: float = 0.0
    reason: str = ""


class NotYet(Exception):
    """Our library refuses this config or argument, in words of its own."""


def our_model(config: dict[str, Any], door: bool = False) -> HookedTransformer:
    """Our model of this config, or that of `unweave.compat.transformer_lens`.

    Raises:
        NotYet: if our config refuses it.
    """
    try:
        if door:
            return compat.HookedTransformer(compat.HookedTransformerConfig(**{"device": "cpu", **config}))
        return HookedTransformer(HookedTransformerConfig.from_dict(config))
    except InputError as error:
        raise NotYet(f"wanted {error.wanted}; got {error.got}") from error


@torch.no_grad()
def our_run(
    model: HookedTransformer, tokens: Tensor, attention_mask: Tensor | None, names: list[str]
) -> tuple[Tensor, Tensor, Tensors]:
    """Logits of a plain run, logits of a run in which these hooks are read, and what they hold.

    Raises:
        NotYet: if our model takes no attention mask.
    """
    arguments = {} if attention_mask is None else {"attention_mask": attention_mask}
    try:
        plain = model(tokens, **arguments)
    except TypeError as error:
        if "attention_mask" not in str(error):
            raise
        raise NotYet("forward takes no attention_mask") from error
    logits, cache = model.run_with_cache(tokens, names_filter=names, **arguments)
    return plain, logits, dict(cache)


def compare(
    model: HookedTransformer, config: dict[str, Any], tokens: Tensor, mask: Tensor | None, theirs: Tensors
) -> list[Finding]:
    """One finding for each of their hooks, and for the logits, with hooks and without.

    Args:
        theirs: "logits", and each hook that fired under "hook " and its name.
    """
    hooks = {name.removeprefix("hook "): v for name, v in theirs.items() if name.startswith("hook ")}
    shared = [name for name in hooks if name in model.hook_dict]
    plain, logits, ours = our_run(model, tokens, mask, shared)
    weights = model.state_dict()
    return [
        finding("logits, no hooks", plain, theirs["logits"]),
        finding("logits, every hook read", logits, theirs["logits"]),
        *(_hook_finding(name, ours.get(name), hooks[name], weights, config) for name in sorted(hooks)),
    ]


def finding(name: str, ours: Tensor, theirs: Tensor) -> Finding:
    """Whether two tensors are equal, infinities in the same places included."""
    error = relative_error(ours, theirs)
    return Finding(name, "equal" if error <= TOLERANCE else "differs", error)


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """max|ours - theirs| / max|theirs|; infinite if shapes, dtypes, infinities or NaNs do not agree."""
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return float("inf")
    ours, theirs = ours.detach().double(), theirs.detach().double()
    finite = theirs.isfinite()
    if not torch.equal(ours.isfinite(), finite) or not torch.equal(
        ours[~finite].nan_to_num(nan=1), theirs[~finite].nan_to_num(nan=1)
    ):
        return float("inf")
    if not finite.any():
        return 0.0
    worst, largest = (ours - theirs)[finite].abs().max().item(), theirs[finite].abs().max().item()
    if largest == 0:
        return 0.0 if worst == 0 else float("inf")
    return worst / largest


def _hook_finding(
    name: str, ours: Tensor | None, theirs: Tensor, weights: Tensors, config: dict[str, Any]
) -> Finding:
    difference = known_difference(name, config)
    if difference is not None:
        return _expected_difference(name, ours, theirs, weights, difference)
    if ours is not None:
        return finding(name, ours, theirs)
    reason = pending(name)
    return (
        Finding(name, "not yet", reason=reason) if reason else Finding(name, "differs", reason="no such hook")
    )


def _expected_difference(
    name: str, ours: Tensor | None, theirs: Tensor, weights: Tensors, difference: Difference
) -> Finding:
    if not difference.theirs(theirs):
        return Finding(name, "differs", reason=f"theirs is not as entry {KNOWN.index(difference)} says")
    if difference.ours is None or ours is None:
        if difference.ours is None and ours is None:
            return Finding(name, "known difference", reason=difference.reason)
        return Finding(name, "differs", reason="the table of differences is wrong about which of us has it")
    if relative_error(ours, theirs) <= TOLERANCE:
        if not difference.always:
            return finding(name, ours, theirs)
        return Finding(name, "differs", reason="now equal: take it from the table of known differences")
    expected = finding(name, ours, difference.ours(theirs, ours, weights, name))
    if expected.verdict == "differs":
        return expected
    return Finding(name, "known difference", expected.error, difference.reason)
