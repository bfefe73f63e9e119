"""The frozen runs of TransformerLens 3.9.0, compared with what the door's model gives."""

from __future__ import annotations

import pytest
import torch

from bench.parity.compare import compare
from bench.parity.freeze import FROZEN, thaw
from tests.repository import ROOT
from unweave.compat.transformer_lens import HookedTransformer, HookedTransformerConfig

FOLDER = ROOT / "tests/model/parity"
IGNORED = "ignore:.*it has no effect:unweave.compat.warned.CompatWarning"


def thawed(name: str):
    config, given, theirs = thaw(FOLDER / f"{name}.safetensors")
    tokens, mask = given.pop("tokens"), given.pop("attention_mask", None)
    model = HookedTransformer(HookedTransformerConfig(**{"device": "cpu", **config}))
    model.load_state_dict(given)
    return model, lambda: compare(model, config, tokens, mask, theirs)


@pytest.mark.filterwarnings(IGNORED)
@pytest.mark.parametrize("name", [case.name for case in FROZEN])
def test_every_frozen_activation_is_the_doors_too(name: str):
    findings = thawed(name)[1]()
    assert [finding for finding in findings if finding.verdict == "differs"] == []
    equal = {finding.name for finding in findings if finding.verdict == "equal"}
    assert {"logits, no hooks", "blocks.1.attn.hook_pattern", "hook_embed"} <= equal


def test_a_changed_bias_is_noticed():
    model, findings = thawed("plain")
    with torch.no_grad():
        model.b_U[3] += 1e-3
    assert "logits, no hooks" in {f.name for f in findings() if f.verdict == "differs"}
