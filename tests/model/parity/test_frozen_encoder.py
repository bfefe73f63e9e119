"""Every hook of a small encoder, as TransformerLens 3.9.0 computed it from the same weights, padding included."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file

from tests.model.small import SIZES, assert_equal_to
from unweave.model.encoder import HookedEncoder

FROZEN = Path(__file__).parent / "encoder.safetensors"


def part(tensors: dict, kind: str) -> dict:
    return {name.removeprefix(kind): tensor for name, tensor in tensors.items() if name.startswith(kind)}


def test_every_hook_is_transformer_lens_and_so_are_logits():
    frozen = load_file(FROZEN)
    fields = {"act_fn": "gelu", "attention_dir": "bidirectional", "positional_embedding_type": "standard"}
    model = HookedEncoder({**SIZES, **fields})
    model.load_state_dict(part(frozen, "weight "))
    given = {"token_type_ids": frozen["types"], "one_zero_attention_mask": frozen["mask"]}
    hooks = part(frozen, "hook ")
    assert len(hooks) == 56
    logits, cache = model.run_with_cache(frozen["tokens"], names_filter=list(hooks), **given)
    for name, tensor in hooks.items():
        assert_equal_to(1e-5, cache[name], tensor, name)
    assert_equal_to(1e-5, logits, frozen["logits"])
    assert_equal_to(1e-5, model(frozen["tokens"], **given), frozen["logits"])
    assert_equal_to(1e-5, model(frozen["tokens"], "next_sentence", **given), frozen["nsp"])
