"""What both libraries' patching functions are asked, on which models. Imports nothing of Unweave."""

from __future__ import annotations

from torch import Tensor

FUNCTIONS = (
    *(f"get_act_patch_{part}" for part in ("resid_pre", "resid_mid", "attn_out", "mlp_out", "block_every")),
    *(f"get_act_patch_attn_head_{part}_by_pos" for part in ("out", "q", "k", "v", "pattern")),
    *(f"get_act_patch_attn_head_{part}_all_pos" for part in ("out", "q", "k", "v", "pattern")),
    "get_act_patch_attn_head_pattern_dest_src_pos",
    "get_act_patch_attn_head_all_pos_every",
    "get_act_patch_attn_head_by_pos_every",
)


# These go over all others but those of resid_mid and of single entries of patterns.
TOGETHER = ("get_act_patch_attn_head_all_pos_every", "get_act_patch_attn_head_by_pos_every")
IN_BLOCKS = ("get_act_patch_block_every", "get_act_patch_resid_mid")

# Frozen cases (bench/parity/freeze.py), and what is asked there.
CASES: dict[str, tuple[str, ...]] = {
    "plain": FUNCTIONS,
    "attention_only": ("get_act_patch_resid_pre", "get_act_patch_attn_out", *TOGETHER),
    "llama": (*TOGETHER, *IN_BLOCKS),
    "grouped_windows": (*TOGETHER, *IN_BLOCKS),
    "gpt_j": (*TOGETHER, "get_act_patch_block_every"),
    "gemma_2": (*TOGETHER, *IN_BLOCKS),
    "bidirectional": ("get_act_patch_block_every", "get_act_patch_attn_head_by_pos_every"),
    "float64": ("get_act_patch_block_every", "get_act_patch_attn_head_all_pos_every"),
}


def other_tokens(tokens: Tensor, d_vocab: int) -> Tensor:
    """The corrupted tokens: other ones everywhere."""
    return (tokens + 1 + tokens.flip(1) % 2) % d_vocab


def measured(logits: Tensor) -> Tensor:
    """A metric that reads logits at every position, nonlinearly."""
    return logits.log_softmax(-1)[..., 3].mean() + (logits[:, -1, 1] - logits[:, -1, 2]).mean()
