"""Every activation of TransformerLens 3.9.0 that bench/parity/freeze.py kept, against ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench.parity.compare import Finding, NotYet, compare, our_model
from bench.parity.freeze import FROZEN, LIMIT_BYTES, thaw
from unweave.core.hooks import HookPoint
from unweave.model.mlp import MLP
from unweave.model.transformer import HookedTransformer

FOLDER = Path(__file__).parent

# What our model already runs may not be refused again; the others are skipped with the model's own words.
RUNS = {"plain", "no_position", "no_norm", "attention_only"}


def thawed(name: str, **mutated: object) -> tuple[HookedTransformer, Callable[[], list[Finding]]]:
    """Our model with the frozen weights, and the comparison of it with the frozen run."""
    config, given, theirs = thaw(FOLDER / f"{name}.safetensors")
    tokens, mask = given.pop("tokens"), given.pop("attention_mask", None)
    model = our_model({**config, **mutated})
    model.load_state_dict(given)
    return model, lambda: compare(model, config, tokens, mask, theirs)


def differing(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.verdict == "differs"]


@pytest.mark.parametrize("name", [case.name for case in FROZEN])
def test_every_frozen_activation_is_ours_too(name: str):
    try:
        findings = thawed(name)[1]()
    except NotYet as refused:
        if name in RUNS:
            raise
        pytest.skip(f"not ours yet: {refused}")
    assert differing(findings) == []
    equal = {finding.name for finding in findings if finding.verdict == "equal"}
    wanted = {"logits, no hooks", "blocks.1.attn.hook_pattern", "blocks.1.attn.hook_result", "hook_embed"}
    assert wanted <= equal


def test_the_frozen_files_are_those_of_the_table_and_small():
    files = sorted(FOLDER.glob("*.safetensors"))
    assert [path.stem for path in files] == sorted(case.name for case in FROZEN)
    assert sum(path.stat().st_size for path in files) < LIMIT_BYTES


@pytest.mark.parametrize("name", sorted(RUNS - {"attention_only"}))
def test_one_sign_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch):
    forward = MLP.forward
    monkeypatch.setattr(MLP, "forward", lambda self, *args, **kwargs: -forward(self, *args, **kwargs))
    found = {finding.name for finding in differing(thawed(name)[1]())}
    assert {"blocks.0.hook_mlp_out", "blocks.1.attn.hook_q", "logits, no hooks"} <= found
    assert "blocks.0.hook_resid_mid" not in found


@pytest.mark.parametrize("name", sorted(RUNS))
def test_one_place_of_the_mask_is_noticed(name: str):
    def look_ahead(scores: Tensor, /, *, hook: HookPoint) -> None:
        scores[:, :, 0, 1] = 0.0

    model, findings = thawed(name)
    with model.hooks([("blocks.1.attn.hook_attn_scores", look_ahead)]):
        found = {finding.name for finding in differing(findings())}
    assert {f"blocks.1.attn.hook_{site}" for site in ("attn_scores", "pattern", "z")} <= found
    assert {"logits, no hooks", "logits, every hook read"} <= found
    assert "blocks.1.attn.hook_q" not in found


@pytest.mark.parametrize("name", ["plain", "no_position", "attention_only"])
def test_another_epsilon_is_noticed(name: str):
    eps = thaw(FOLDER / f"{name}.safetensors")[0]["eps"]
    found = {finding.name for finding in differing(thawed(name, eps=2 * eps)[1]())}
    assert {"blocks.0.ln1.hook_scale", "ln_final.hook_scale", "logits, no hooks"} <= found
    assert "hook_embed" not in found


def test_what_is_compared_can_fail():
    model, findings = thawed("plain")
    assert differing(findings()) == []
    with torch.no_grad():
        model.b_U[3] += 1e-3
    found = {finding.name for finding in differing(findings())}
    assert found - {"unembed.hook_out"} == {"logits, no hooks", "logits, every hook read"}
