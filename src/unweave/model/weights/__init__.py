"""Other weights for the same function: folded, centred, refactored; each step returns a new model."""

from unweave.model.weights.processing import (
    center_unembed,
    center_writing_weights,
    fold_layer_norm,
    fold_value_biases,
    process_weights,
    refactor_factored_attn_matrices,
)

__all__ = [
    "center_unembed",
    "center_writing_weights",
    "fold_layer_norm",
    "fold_value_biases",
    "process_weights",
    "refactor_factored_attn_matrices",
]
