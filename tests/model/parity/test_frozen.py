"""Every activation of TransformerLens 3.9.0 that bench/parity/freeze.py kept, against ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench.parity.compare import Finding, compare, our_model
from bench.parity.freeze import FROZEN, LIMIT_BYTES, thaw
from unweave.core.hooks import HookPoint
from unweave.model.transformer import HookedTransformer

FOLDER = Path(__file__).parent

NAMES = [case.name for case in FROZEN]
WITH_MLP = [
    case.name for case in FROZEN if not case.fields.get("attn_only") and "num_experts" not in case.fields
]
WITH_NORMS = [case.name for case in FROZEN if case.config["normalization_type"] is not None]
WINDOWED = [case.name for case in FROZEN if case.fields.get("use_local_attn")]
PADDED = [case.name for case in FROZEN if case.padding]
CAUSAL = [name for name in NAMES if name != "bidirectional"]


def thawed(name: str, **mutated: object) -> tuple[HookedTransformer, Callable[[], list[Finding]]]:
    """Our model with the frozen weights, and the comparison of it with the frozen run."""
    config, given, theirs = thaw(FOLDER / f"{name}.safetensors")
    tokens, mask = given.pop("tokens"), given.pop("attention_mask", None)
    model = our_model({**config, **mutated})
    model.load_state_dict(given)
    return model, lambda: compare(model, config, tokens, mask, theirs)


def differing(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.verdict == "differs"]


@pytest.mark.parametrize("name", NAMES)
def test_every_frozen_activation_is_ours_too(name: str):
    findings = thawed(name)[1]()
    assert differing(findings) == []
    equal = {finding.name for finding in findings if finding.verdict == "equal"}
    wanted = {"logits, no hooks", "blocks.1.attn.hook_pattern", "blocks.1.attn.hook_result", "hook_embed"}
    assert wanted <= equal
    assert {finding.verdict for finding in findings} <= {"equal", "known difference"}


def test_the_frozen_files_are_those_of_the_table_and_small():
    files = sorted(FOLDER.glob("*.safetensors"))
    # The encoder's run is frozen by another script, and has a test of its own.
    assert [path.stem for path in files] == sorted([*NAMES, "encoder"])
    assert sum(path.stat().st_size for path in files) < LIMIT_BYTES


@pytest.mark.parametrize("name", WITH_MLP)
def test_one_sign_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch):
    model, findings = thawed(name)
    kind = type(model.blocks[0].mlp)
    forward = kind.forward
    monkeypatch.setattr(kind, "forward", lambda self, *args, **kwargs: -forward(self, *args, **kwargs))
    found = {finding.name for finding in differing(findings())}
    assert {"blocks.0.hook_mlp_out", "blocks.1.attn.hook_q", "logits, no hooks"} <= found
    assert not {"blocks.0.hook_resid_mid", "blocks.0.hook_attn_out"} & found


@pytest.mark.parametrize("name", CAUSAL)
def test_one_place_of_the_mask_is_noticed(name: str):
    def look_ahead(scores: Tensor, /, *, hook: HookPoint) -> None:
        scores[:, :, 0, 1] = 0.0

    model, findings = thawed(name)
    with model.hooks([("blocks.1.attn.hook_attn_scores", look_ahead)]):
        found = {finding.name for finding in differing(findings())}
    assert {f"blocks.1.attn.hook_{site}" for site in ("attn_scores", "pattern", "z")} <= found
    assert {"logits, no hooks", "logits, every hook read"} <= found
    assert "blocks.1.attn.hook_q" not in found


@pytest.mark.parametrize("name", WITH_NORMS)
def test_another_epsilon_is_noticed(name: str):
    eps = thaw(FOLDER / f"{name}.safetensors")[0]["eps"]
    found = {finding.name for finding in differing(thawed(name, eps=2 * eps)[1]())}
    assert {"blocks.0.ln1.hook_scale", "ln_final.hook_scale", "logits, no hooks"} <= found
    if name != "other_vocabulary_embedding_norm":
        assert "hook_embed" not in found


@pytest.mark.parametrize("name", WINDOWED)
def test_a_window_wider_by_one_is_noticed(name: str):
    found = {finding.name for finding in differing(thawed(name, window_size=3)[1]())}
    assert {"blocks.1.attn.hook_attn_scores", "blocks.1.attn.hook_pattern", "logits, no hooks"} <= found
    assert "blocks.0.attn.hook_attn_scores" not in found  # a layer that sees all


@pytest.mark.parametrize("name", PADDED)
def test_padding_that_is_forgotten_is_noticed(name: str):
    config, given, theirs = thaw(FOLDER / f"{name}.safetensors")
    tokens = given.pop("tokens")
    del given["attention_mask"]
    model = our_model(config)
    model.load_state_dict(given)
    found = {finding.name for finding in differing(compare(model, config, tokens, None, theirs))}
    assert {"blocks.0.attn.hook_attn_scores", "blocks.0.attn.hook_pattern"} <= found


@pytest.mark.parametrize(
    ("name", "mutated", "first"),
    [
        ("gpt_j", {"rotary_adjacent_pairs": False}, "blocks.0.attn.hook_rot_q"),
        ("stretched_rotary", {"NTK_by_parts_factor": 7.9}, "blocks.0.attn.hook_rot_k"),
        ("gemma_2", {"attn_scores_soft_cap": 1.51}, "blocks.0.attn.hook_attn_scores"),
        ("gemma_2", {"output_logits_soft_cap": 2.01}, "logits, no hooks"),
        ("scaled_by_layer", {"scale_attn_by_inverse_layer_idx": False}, "blocks.1.attn.hook_attn_scores"),
        ("squared_relu_final_rms", {"act_fn": "relu"}, "blocks.0.mlp.hook_post"),
        ("squared_relu_final_rms", {"final_rms": False}, "ln_final.hook_normalized"),
        ("plain", {"act_fn": "gelu_new"}, "blocks.0.mlp.hook_post"),
        ("bidirectional", {"attention_dir": "causal"}, "blocks.0.attn.hook_attn_scores"),
        ("experts", {"experts_per_token": 1}, "blocks.0.hook_mlp_out"),
        ("alibi_parallel", {"parallel_attn_mlp": False}, "blocks.0.ln2.hook_scale"),
    ],
)
def test_one_field_is_noticed(name: str, mutated: dict[str, object], first: str):
    config, given, theirs = thaw(FOLDER / f"{name}.safetensors")
    tokens = given.pop("tokens")
    model = our_model({**config, **mutated})
    # A norm of another kind has another set of weights: only what both have is loaded.
    model.load_state_dict(given, strict=False)
    found = {finding.name for finding in differing(compare(model, config, tokens, None, theirs))}
    assert first in found
    assert "hook_embed" not in found


def test_what_is_compared_can_fail():
    model, findings = thawed("plain")
    assert differing(findings()) == []
    with torch.no_grad():
        model.b_U[3] += 1e-3
    found = {finding.name for finding in differing(findings())}
    assert found - {"unembed.hook_out"} == {"logits, no hooks", "logits, every hook read"}
