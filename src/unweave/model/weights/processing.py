"""The steps by which a model's weights are made easier to read, and a new model from them.

Each leaves the model's log-probabilities as they were, up to rounding (in 16 bits, that of the
weights), or is refused: see `unweave.model.weights.refusals`. Centring the unembedding shifts the
logits of a position together. The model given is left alone; the new one has no hooks.
(Elhage et al., 2021, "A Mathematical Framework for Transformer Circuits"; TransformerLens'
`further_comments.md`.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unweave.model.config import HookedTransformerConfig
from unweave.model.transformer import HookedTransformer
from unweave.model.weights import centring, folding, refactoring
from unweave.model.weights.refusals import require_valid
from unweave.model.weights.table import WeightTable

# Takes the weights, changes them, and returns the fields of the config that change with them.
Step = Callable[[WeightTable, HookedTransformerConfig], dict[str, Any]]

# In the order in which they are applied.
STEPS: dict[str, Step] = {
    "fold_ln": folding.fold_norms,
    "center_writing_weights": centring.center_writing_weights,
    "center_unembed": centring.center_unembed,
    "fold_value_biases": folding.fold_value_biases,
    "refactor_factored_attn_matrices": refactoring.refactor_attention,
}


def process_weights(
    model: HookedTransformer,
    *,
    fold_ln: bool = True,
    center_writing_weights: bool = True,
    center_unembed: bool = True,
    fold_value_biases: bool = True,
    refactor_factored_attn_matrices: bool = False,
) -> HookedTransformer:
    """A new model after the steps that are switched on, in this order.

    Args:
        fold_ln: see `fold_layer_norm`; and so on, each under its own name.

    Raises:
        InputError: for a step that would change what the model computes; it names the step to leave out.
    """
    wanted = {
        "fold_ln": fold_ln,
        "center_writing_weights": center_writing_weights,
        "center_unembed": center_unembed,
        "fold_value_biases": fold_value_biases,
        "refactor_factored_attn_matrices": refactor_factored_attn_matrices,
    }
    return _after(model, *(name for name in STEPS if wanted[name]))


def fold_layer_norm(model: HookedTransformer) -> HookedTransformer:
    """Every norm's weights multiplied into the layers that read it: "LN" becomes "LNPre", "RMS" "RMSPre".

    Under "LN" what reads a norm is also centred over its inputs, which are centred themselves.
    Norms that write to the residual stream, or stand inside attention, keep their weights.

    Raises:
        InputError: if the norms have no weights, or something else is added to what they give, or a
            LayerNorm's bias has no bias to go to (a gated MLP multiplies what it would be added to).
    """
    return _after(model, "fold_ln")


def center_writing_weights(model: HookedTransformer) -> HookedTransformer:
    """What embeddings, attention and MLPs write has mean zero over d_model: LayerNorms remove it anyhow.

    Only what a weight or a bias writes: a sinusoidal table, or a norm after a layer, keeps its mean.

    Raises:
        InputError: unless every norm that reads the residual stream is a LayerNorm.
    """
    return _after(model, "center_writing_weights")


def center_unembed(model: HookedTransformer) -> HookedTransformer:
    """Logits that sum to zero over the vocabulary, at every position.

    Raises:
        InputError: under a soft cap on the logits, which a shift would change.
    """
    return _after(model, "center_unembed")


def fold_value_biases(model: HookedTransformer) -> HookedTransformer:
    """`b_V` zero, and what it adds in `b_O`: rows of attention sum to one, so that it is a constant.

    A query of which every key is padding has a row of zeros, and its output, which nothing should
    read, does change.

    Raises:
        InputError: if rows of attention need not sum to one.
    """
    return _after(model, "fold_value_biases")


def refactor_factored_attn_matrices(model: HookedTransformer) -> HookedTransformer:
    """Each head's factors from the SVD of their product: `W_Q W_K.T` evenly, and `W_O` a rotation.

    The columns of `W_Q` and `W_K`, a row of biases below, are orthogonal, of the same norms, the
    largest first; `W_V` is `U S` and `W_O` `V.T` of `W_V W_O`; `b_V` goes to `b_O`.

    Raises:
        InputError: where something acts between the factors, as rotary positions do, or heads
            share a factor.
    """
    return _after(model, "refactor_factored_attn_matrices")


def _after(model: HookedTransformer, *steps: str) -> HookedTransformer:
    table, cfg = WeightTable(model), model.cfg
    for name in steps:
        require_valid(name, cfg)
        cfg = cfg.replaced(**STEPS[name](table, cfg))
    return table.model_of(cfg)
