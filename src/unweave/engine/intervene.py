"""One run with interventions, and a receipt of what they did."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.hooks import HookFunction, HookPoint, NameFilter
from unweave.engine.base import undisturbed
from unweave.engine.edits import Binder, Edit, HookEdit, Patch, Watch, applied, require_changed
from unweave.engine.inputs import Inputs, as_inputs, require_model
from unweave.engine.site import Change, Intervention
from unweave.model.cache import ActivationCache
from unweave.model.transformer import HookedTransformer


@dataclass(frozen=True)
class Hit:
    """What one operation did at one hook.

    Args:
        hook: its name.
        operation: what was done, in words.
        entries: how many numbers were selected; None for a hook function.
        changed: how many of them are now others.
        norm_before, norm_after: of the selected numbers, together.
        norm_change: of the difference.
    """

    hook: str
    operation: str
    entries: int | None = None
    changed: int | None = None
    norm_before: float | None = None
    norm_after: float | None = None
    norm_change: float | None = None


@dataclass(frozen=True, eq=False)
class Intervened:
    """A run with interventions.

    Args:
        output: what `return_type` asked for.
        cache: the activations that were asked for, as the interventions left them.
        receipt: what each operation did at each hook, in the order in which it happened.
    """

    output: Any
    cache: ActivationCache | None
    receipt: tuple[Hit, ...]

    @property
    def logits(self) -> Tensor:
        """`[sample, pos, d_vocab_out]`.

        Raises:
            InputError: if they weren't asked for.
        """
        logits = getattr(self.output, "logits", self.output)
        if not isinstance(logits, Tensor) or logits.ndim != 3:
            raise InputError(
                wanted="logits", got="another return_type", remedy='write return_type="logits" or "both"'
            )
        return logits


def intervene(
    model: HookedTransformer,
    tokens: Inputs | Tensor,
    interventions: Change | Sequence[Change],
    *,
    cache: NameFilter | bool = False,
    return_type: Literal["logits", "loss", "both"] | None = "logits",
    attention_mask: Tensor | None = None,
    token_type_ids: Tensor | None = None,
    allow_equal: bool = False,
) -> Intervened:
    """Run the model on `tokens` with these interventions on; nothing of them stays.

    Several at one site act in the given order. Values from other runs are taken before the run, so
    that none of them sees what another one does. Hooks that are on the model act too, before these.
    The weights are read anew in every call.

    Args:
        interventions: as `Site("z", layer=0, head=3).zero()`, or pairs (hook name, function).
        cache: True for every ordinary hook, or the names to cache; False for no cache.
        allow_equal: whether it is fine that nothing is changed.

    Raises:
        HookError: for a site that the model doesn't have.
        InputError: for values that don't fit their site, or, unless `allow_equal`, if all that was
            put in from runs and caches is equal everywhere to what was there.
    """
    model = require_model(model)
    inputs = as_inputs(tokens, attention_mask=attention_mask, token_type_ids=token_type_ids)
    changes = _listed(interventions)
    with undisturbed(model):
        [patch] = Binder(model, inputs).bind([changes])
        watch = Receipt()
        hooks = [(name, _hook(patch, name, watch)) for name in patch.names]
        kept: dict[str, Tensor] | None = None
        with ExitStack() as stack:
            stack.enter_context(model.hooks(hooks))
            if cache is not False:
                kept = stack.enter_context(model.recording(None if cache is True else cache))
            output = model(inputs.tokens, return_type, **inputs.others)
    if not allow_equal:
        require_changed(watch.changed)
    return Intervened(output, None if kept is None else ActivationCache(kept, model), tuple(watch.hits))


class Receipt(Watch):
    """Keeps what every edit did."""

    def __init__(self) -> None:
        super().__init__()
        self.hits: list[Hit] = []

    def see(self, edit: Edit, old: Tensor, new: Tensor) -> None:
        """Keep what was there, and what takes its place, by their norms."""
        super().see(edit, old, new)
        with torch.no_grad():
            before, after = old.detach(), new.detach()
            same = before == after
            # Masked scores are infinite before and after.
            change = (after - before).masked_fill(same, 0.0)
            norms = [torch.linalg.vector_norm(part.double()).item() for part in (before, after, change)]
            self.hits.append(
                Hit(edit.name, edit.operation.described(), old.numel(), int((~same).sum()), *norms)
            )

    def note(self, edit: HookEdit) -> None:
        """Keep that a hook function ran."""
        super().note(edit)
        self.hits.append(Hit(edit.name, f"hook {getattr(edit.function, '__name__', 'function')}"))


def _hook(patch: Patch, name: str, watch: Receipt) -> HookFunction:
    def apply(tensor: Tensor, /, *, hook: HookPoint) -> Tensor:
        return applied(tensor, patch.at(name), hook, watch=watch)

    return apply


def _listed(interventions: Change | Sequence[Change]) -> list[Change]:
    alone = isinstance(interventions, Intervention) or (
        isinstance(interventions, tuple) and len(interventions) == 2 and isinstance(interventions[0], str)
    )
    changes = [cast(Change, interventions)] if alone else list(cast(Sequence[Change], interventions))
    if not changes:
        raise InputError(
            wanted="at least one intervention", got="none", remedy="write Site('z', layer=0).zero(), say"
        )
    return changes
