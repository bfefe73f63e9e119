"""How well a model does a task, also while hooks change it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.hooks import HookFunction, NameFilter
from unweave.model.transformer import HookedTransformer
from unweave.tasks import Batch, PreviousToken

Hooks = Iterable[tuple[NameFilter, HookFunction]]


@dataclass(frozen=True)
class Outcome:
    """Logits at the scored positions, with the loss (nats) and hit (0 or 1) of each."""

    logits: Float[Tensor, "batch scored d_vocab"]
    loss: Float[Tensor, "batch scored"]
    hits: Float[Tensor, "batch scored"]


@torch.no_grad()
def outcome(model: HookedTransformer, task: PreviousToken, batch: Batch, hooks: Hooks = ()) -> Outcome:
    """Run the batch with `hooks` on, and score it."""
    logits = model.run_with_hooks(batch.tokens, fwd_hooks=hooks, unembed_at=task.scored)
    return Outcome(
        logits, task.loss(logits, batch, per_token=True), task.accuracy(logits, batch, per_token=True)
    )


def copied_offsets(
    logits: Float[Tensor, "batch scored d_vocab"], batch: Batch, scored: slice, first: int = 2, most: int = 10
) -> dict[str, float]:
    """Which earlier position the predicted token stands at, as shares of all predictions.

    Args:
        logits: at the positions that `scored` picks, as in `Outcome.logits`.
        first: positions before this one are left out.
        most: the largest offset that has a key of its own.

    Returns:
        A share for each offset "0" (the current token), "1", ... `most`, then ">most" and "absent"
        (the token is not in the sequence so far). A token that occurs more than once counts at its
        nearest occurrence.

    Raises:
        InputError: if the logits are not those of the scored positions, or none is left.
    """
    positions = range(batch.tokens.shape[1])[scored]
    if logits.shape[:2] != (len(batch.tokens), len(positions)):
        raise InputError(
            wanted=f"logits of {len(batch.tokens)} sequences at {len(positions)} scored positions",
            got=f"shape {tuple(logits.shape)}",
            remedy="pass the logits of `outcome`, or slice them with `scored`",
        )
    predicted = logits.argmax(-1)
    offsets: list[Tensor] = []
    for column, position in enumerate(positions):
        if position < first:
            continue
        same = batch.tokens[:, : position + 1].flip(1) == predicted[:, column, None]
        nearest = same.int().argmax(1)
        offsets.append(torch.where(same.any(1), nearest.clamp(max=most + 1), most + 2))
    if not offsets:
        raise InputError(
            wanted="a first position that is scored", got=str(first), remedy=f"pass at most {positions[-1]}"
        )
    counts = torch.bincount(torch.cat(offsets), minlength=most + 3).double()
    names = [*map(str, range(most + 1)), f">{most}", "absent"]
    return dict(zip(names, (counts / counts.sum()).tolist(), strict=True))
