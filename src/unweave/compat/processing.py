"""Weights made easier to read, as TransformerLens does it by default: a step that is not valid is left out."""

from __future__ import annotations

from collections.abc import Mapping

from unweave.compat.warned import warn
from unweave.core.errors import InputError
from unweave.model.config import HookedTransformerConfig
from unweave.model.transformer import HookedTransformer
from unweave.model.weights import process_weights
from unweave.model.weights.processing import STEPS
from unweave.model.weights.refusals import require_valid


def processed(model: HookedTransformer, **wanted: bool) -> HookedTransformer:
    """`process_weights` with these steps; one that would change the model is left out, with a warning.

    Of norms that have no weights, or none at all, nothing is folded, and nothing said. The new model
    has the tokenizer of the old.
    """
    tokenizer, side = model.tokenizer, model.default_padding_side
    for step in valid_steps(model.cfg, wanted):
        try:
            model = process_weights(model, **{other: other == step for other in STEPS})
        except InputError as error:
            _left_out(step, error)
    model.tokenizer, model.default_padding_side = tokenizer, side
    return model


def valid_steps(cfg: HookedTransformerConfig, wanted: Mapping[str, bool]) -> list[str]:
    """The steps that are wanted and valid for models of this config, in order; of others it is warned."""
    found: list[str] = []
    for step in (name for name in STEPS if wanted.get(name, False)):
        if step == "fold_ln" and cfg.normalization_type not in ("LN", "RMS"):
            continue
        try:
            require_valid(step, cfg)
            found.append(step)
        except InputError as error:
            _left_out(step, error)
    return found


def _left_out(step: str, error: InputError) -> None:
    warn(f"{step} is left out, since it would change the model: {error}")
