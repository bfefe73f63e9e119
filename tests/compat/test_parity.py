"""The frozen runs of TransformerLens 3.9.0, compared with what the door's model gives."""

from __future__ import annotations

import pytest
import torch

from bench.parity.compare import compare
from bench.parity.freeze import FROZEN, thaw
from bench.parity.patched import CASES, measured, other_tokens
from tests.analysis.test_patching import THEIRS
from tests.model.small import assert_equal_to
from tests.repository import ROOT
from unweave.compat.transformer_lens import HookedTransformer, HookedTransformerConfig, patching

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


@pytest.mark.filterwarnings(IGNORED)
@pytest.mark.parametrize("case", CASES)
def test_patching_gives_transformerlens_numbers_through_the_door(case: str):
    config, given, _ = thaw(FOLDER / f"{case}.safetensors")
    tokens = given.pop("tokens")
    given.pop("attention_mask", None)
    model = HookedTransformer(HookedTransformerConfig(**{"device": "cpu", **config}))
    model.load_state_dict(given)
    _, clean_cache = model.run_with_cache(tokens)
    corrupted = other_tokens(tokens, model.cfg.d_vocab)
    for name in CASES[case]:
        ours = getattr(patching, name)(model, corrupted, clean_cache, measured)
        assert_equal_to(1e-5, ours, THEIRS[f"{case} {name}"], name)
