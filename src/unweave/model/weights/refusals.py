"""Which steps are not valid for which configs, as a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unweave.core.errors import InputError


@dataclass(frozen=True)
class Refusal:
    """`step` needs `wanted`, and a config whose `field` is `refused` does not have it."""

    step: str
    field: str
    refused: Callable[[Any], bool]
    wanted: str


REFUSALS = (
    Refusal("fold_ln", "normalization_type", lambda kind: kind not in ("LN", "RMS"), "norms with weights"),
    Refusal(
        "fold_ln",
        "positional_embedding_type",
        lambda kind: kind == "shortformer",
        "norms whose output goes to the weights with nothing added",
    ),
    Refusal(
        "center_writing_weights",
        "normalization_type",
        lambda kind: kind not in ("LN", "LNPre"),
        "LayerNorms, which take the mean away",
    ),
    *(
        Refusal(
            step, "norm_position", lambda place: place != "before", "norms that stand before what reads them"
        )
        for step in ("fold_ln", "center_writing_weights")
    ),
    Refusal("center_writing_weights", "final_rms", bool, "a final LayerNorm, which takes the mean away"),
    Refusal(
        "center_unembed",
        "output_logits_soft_cap",
        lambda cap: cap is not None and cap > 0,
        "logits that may be shifted together",
    ),
    Refusal("fold_value_biases", "use_attention_sinks", bool, "rows of attention that sum to one"),
    Refusal("fold_value_biases", "clip_qkv", lambda most: most is not None, "values that are not clipped"),
    Refusal(
        "refactor_factored_attn_matrices",
        "positional_embedding_type",
        lambda kind: kind == "rotary",
        "queries and keys that meet as they are",
    ),
    Refusal("refactor_factored_attn_matrices", "use_qk_norm", bool, "queries and keys that meet as they are"),
    Refusal(
        "refactor_factored_attn_matrices",
        "clip_qkv",
        lambda most: most is not None,
        "queries and keys that meet as they are",
    ),
    Refusal(
        "refactor_factored_attn_matrices",
        "n_key_value_heads",
        lambda heads: heads is not None,
        "heads with keys and values of their own",
    ),
    Refusal(
        "refactor_factored_attn_matrices", "use_attention_sinks", bool, "rows of attention that sum to one"
    ),
)


def require_valid(step: str, cfg: Any) -> None:
    """Raise InputError if `step` would change what a model of this config computes."""
    for refusal in REFUSALS:
        # A config without the field has nothing that could be refused.
        value = getattr(cfg, refusal.field, None)
        if refusal.step == step and hasattr(cfg, refusal.field) and refusal.refused(value):
            raise InputError(
                wanted=f"{refusal.wanted} for {step}",
                got=f"{refusal.field}={value!r}",
                remedy=f"leave {step} out",
            )
