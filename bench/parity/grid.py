"""The configs that both libraries are given, as data, under TransformerLens' field names."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

SIZES: dict[str, Any] = {
    "n_layers": 2,
    "d_model": 16,
    "n_heads": 4,
    "d_head": 6,  # not d_model / n_heads, so that no two sizes can be confused
    "d_mlp": 20,
    "n_ctx": 10,
    "d_vocab": 13,
    "act_fn": "gelu",
    "normalization_type": "LN",
    "positional_embedding_type": "standard",
    "eps": 1e-5,
    "seed": 0,
}
BATCH, POSITIONS = 3, 9


@dataclass(frozen=True)
class Case:
    """One config, by its difference from SIZES, and what is fed to it.

    Args:
        padding: the side on which the sequences are padded, told to the model by `attention_mask`.
    """

    name: str
    fields: dict[str, Any] = field(default_factory=dict)
    padding: str | None = None

    @property
    def config(self) -> dict[str, Any]:
        return {**SIZES, **self.fields}


NORMS: dict[str, dict[str, Any]] = {
    "LN": {"normalization_type": "LN"},
    "LNPre": {"normalization_type": "LNPre"},
    "RMS": {"normalization_type": "RMS"},
    "RMSPre": {"normalization_type": "RMSPre"},
    "no norm": {"normalization_type": None},
}
POSITION_KINDS: dict[str, dict[str, Any]] = {
    "none": {"positional_embedding_type": "none"},
    "standard": {"positional_embedding_type": "standard"},
    "sinusoidal": {"positional_embedding_type": "sinusoidal"},
    "shortformer": {"positional_embedding_type": "shortformer"},
    "rotary": {"positional_embedding_type": "rotary"},
    "alibi": {"positional_embedding_type": "alibi"},
}
ROTARY: dict[str, dict[str, Any]] = {
    "rotary, 4 of 6": {"rotary_dim": 4},
    "rotary, adjacent pairs": {"rotary_adjacent_pairs": True},
    "rotary, base": {"rotary_base": 500.0},
    "rotary, linear scaling": {"rotary_scaling_factor": 4.0},
    "rotary, NTK by parts": {
        "use_NTK_by_parts_rope": True,
        "NTK_by_parts_low_freq_factor": 1.0,
        "NTK_by_parts_high_freq_factor": 4.0,
        "NTK_by_parts_factor": 8.0,
        # Between the wavelengths of six dimensions, so that each of the three regimes occurs.
        "NTK_original_ctx_len": 200,
    },
    "rotary, other base in windows": {
        "rotary_base": 500.0,
        "rotary_base_local": 20.0,
        "use_local_attn": True,
        "window_size": 3,
        "attn_types": ["local", "global"],
    },
}
WINDOWS: dict[str, Any] = {"use_local_attn": True, "window_size": 3, "attn_types": ["global", "local"]}
GROUPED: dict[str, dict[str, Any]] = {
    "2 key-value heads": {"n_key_value_heads": 2},
    "1 key-value head": {"n_key_value_heads": 1},
}
SHAPES: dict[str, dict[str, Any]] = {
    "attention only": {"attn_only": True},
    "parallel": {"parallel_attn_mlp": True},
    "gated": {"gated_mlp": True, "act_fn": "silu"},
}
ACTIVATIONS = (
    "relu",
    "gelu",
    "gelu_new",
    "gelu_fast",
    "gelu_pytorch_tanh",
    "silu",
    "solu",
    "solu_ln",
    "relu2",
)
SOFT_CAPS: dict[str, dict[str, Any]] = {
    "capped scores": {"attn_scores_soft_cap": 1.5},
    "capped logits": {"output_logits_soft_cap": 2.0},
    "both capped": {"attn_scores_soft_cap": 1.5, "output_logits_soft_cap": 2.0},
}
SINGLE: dict[str, dict[str, Any]] = {
    "bidirectional": {"attention_dir": "bidirectional"},
    "unscaled scores": {"use_attn_scale": False},
    "chosen scale": {"attn_scale": 1.7},
    "scale by layer": {"scale_attn_by_inverse_layer_idx": True},
    "other output vocabulary": {"d_vocab_out": 7},
    "no layers": {"n_layers": 0},
    "large epsilon": {"eps": 0.3},
    "float64": {"dtype": "float64"},
    "final RMS": {"final_rms": True},
    "embedding norm": {"post_embedding_ln": True},
    "QK norm": {"use_qk_norm": True, "normalization_type": "RMS"},
    "post norms, RMS": {"use_normalization_before_and_after": True, "normalization_type": "RMS"},
    "post norms, LN": {"use_normalization_before_and_after": True},
    "experts": {"num_experts": 3, "experts_per_token": 2, "gated_mlp": True, "act_fn": "silu"},
    "experts, renormalised": {
        "num_experts": 3,
        "experts_per_token": 2,
        "gated_mlp": True,
        "act_fn": "silu",
        "norm_topk_prob": True,
    },
    "solu_ln under LNPre": {"act_fn": "solu_ln", "normalization_type": "LNPre"},
    "a Llama's": {
        "normalization_type": "RMS",
        "positional_embedding_type": "rotary",
        "gated_mlp": True,
        "act_fn": "silu",
        "n_key_value_heads": 2,
    },
    "a Gemma 2's": {
        "normalization_type": "RMS",
        "positional_embedding_type": "rotary",
        "gated_mlp": True,
        "act_fn": "gelu_pytorch_tanh",
        "n_key_value_heads": 2,
        "use_normalization_before_and_after": True,
        "attn_scores_soft_cap": 1.5,
        "output_logits_soft_cap": 2.0,
        **WINDOWS,
    },
    "a GPT-J's": {
        "positional_embedding_type": "rotary",
        "rotary_dim": 4,
        "rotary_adjacent_pairs": True,
        "parallel_attn_mlp": True,
        "act_fn": "gelu_new",
    },
    "a Bloom's": {"positional_embedding_type": "alibi", "post_embedding_ln": True, "act_fn": "gelu_fast"},
}


def crossed(*axes: dict[str, dict[str, Any]]) -> list[Case]:
    """Every combination of one choice from each axis."""
    return [
        Case(", ".join(name for name, _ in choice), {k: v for _, fields in choice for k, v in fields.items()})
        for choice in itertools.product(*(axis.items() for axis in axes))
    ]


def unique(cases: list[Case]) -> list[Case]:
    """The cases with the first of each name."""
    return list({case.name: case for case in cases}.values())


_STANDARD_ROTARY_ALIBI = {name: POSITION_KINDS[name] for name in ("standard", "rotary", "alibi")}
_ROTATED = {name: {"positional_embedding_type": "rotary", **fields} for name, fields in ROTARY.items()}

CASES: list[Case] = unique(
    [
        *crossed(NORMS, POSITION_KINDS),
        *crossed({"LN": {}, "attention only": {"attn_only": True}}, _ROTATED),
        *crossed({f"act {name}": {"act_fn": name} for name in ACTIVATIONS}),
        *crossed(
            {f"gated {name}": {"act_fn": name, "gated_mlp": True} for name in ("relu", "gelu", "gelu_new")}
        ),
        *crossed(SHAPES, NORMS),
        *crossed(SHAPES, {name: POSITION_KINDS[name] for name in ("none", "rotary", "shortformer")}),
        *crossed(GROUPED, _STANDARD_ROTARY_ALIBI),
        *crossed(GROUPED, SHAPES),
        *crossed({"windows": WINDOWS}, _STANDARD_ROTARY_ALIBI),
        *crossed({"windows": WINDOWS}, GROUPED),
        *crossed(SOFT_CAPS, {"standard": {}, "rotary": POSITION_KINDS["rotary"], **GROUPED}),
        *crossed(SINGLE),
        *(
            Case(f"padded on the {side}, {name}", fields, padding=side)
            for side in ("left", "right")
            for name, fields in _STANDARD_ROTARY_ALIBI.items()
        ),
    ]
)

# Those in which every call of calls.py is compared too. None with a stand-in for what the peer lacks.
CALLED: list[Case] = [
    case
    for case in CASES
    if case.name
    in {
        "LN, standard",
        "LNPre, shortformer",
        "RMS, rotary",
        "RMSPre, alibi",
        "no norm, standard",
        "act solu_ln",
        "attention only, LN",
        "parallel, LN",
        "gated, RMS",
        "2 key-value heads, standard",
        "2 key-value heads, parallel",
        "1 key-value head, rotary",
        "windows, alibi",
        "both capped, standard",
        "bidirectional",
        "scale by layer",
        "other output vocabulary",
        "float64",
        "final RMS",
        "embedding norm",
        "QK norm",
        "post norms, RMS",
        "experts",
        "a Llama's",
        "a Gemma 2's",
        "a GPT-J's",
        "a Bloom's",
        "padded on the left, rotary",
        "padded on the right, standard",
    }
]
