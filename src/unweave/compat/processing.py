"""Weights made easier to read, as TransformerLens does it by default: a step that is not valid is left out."""

from __future__ import annotations

from typing import Any

from unweave.compat.warned import warn
from unweave.core.errors import InputError
from unweave.model.transformer import HookedTransformer
from unweave.model.weights import process_weights
from unweave.model.weights.processing import STEPS


def processed(model: HookedTransformer, **wanted: bool) -> HookedTransformer:
    """`process_weights` with these steps; one that would change the model is left out, with a warning.

    Of norms that have no weights, or none at all, nothing is folded, and nothing said.
    """
    for step in STEPS:
        if not wanted.get(step, False):
            continue
        if step == "fold_ln" and model.cfg.normalization_type not in ("LN", "RMS"):
            continue
        try:
            model = process_weights(model, **_only(step))
        except InputError as error:
            warn(f"{step} is left out, since it would change the model: {error}")
    return model


def _only(step: str) -> dict[str, Any]:
    return {other: other == step for other in STEPS}
