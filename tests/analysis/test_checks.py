"""Self-checks pass on sound models, and each of them fails on a model or hook that is broken for it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.model.features import FEATURES
from tests.model.small import small_model
from tests.planted.loaded import exact
from unweave import HookedTransformer, planted
from unweave.analysis import check, invariants
from unweave.analysis.invariants import CHECKS
from unweave.cli.main import main

IDENTITY, EVERYTHING, SUM, PREFIX, LINEAR, COMPLETE = CHECKS
SOME = (
    "grouped",
    "alibi",
    "both ways",
    "parallel",
    "experts",
    "gated",
    "post norms",
    "norms of the stream",
    "soft caps",
)


def model_of(**fields: Any) -> HookedTransformer:
    return small_model(**{"positional_embedding_type": "standard", "act_fn": "gelu", **fields})


def statuses(model: HookedTransformer) -> dict[str, str]:
    return {one.name: one.status for one in check(model).checks}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sound_model_passes_all(dtype: str):
    assert statuses(model_of(dtype=dtype)) == dict.fromkeys(CHECKS, "passed")


@pytest.mark.parametrize("feature", SOME)
def test_sound_models_of_other_shapes_pass_or_say_why_not(feature: str):
    fields = {"positional_embedding_type": "none", **FEATURES[feature], "dtype": "float64"}
    found = check(small_model(**fields))
    assert found.passed, found
    skipped = {one.name for one in found.checks if one.status == "skipped"}
    wanted = {"norms of the stream": {SUM}, "soft caps": {SUM, LINEAR}}.get(feature, set())
    assert skipped == wanted


@pytest.mark.parametrize("name", ["or", "cancel"])
def test_planted_models_pass(name: str):
    loaded = exact(name)
    found = check(loaded.model, loaded.inputs(3)[::13])
    assert found.passed, found


def test_steps_of_saturated_attention_are_followed():
    """One rule over the whole way is off there: the way must be cut where attention switches."""
    model = exact("induction").model
    assert statuses(model)[COMPLETE] == "passed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(invariants, "PIECES", 1)
        assert statuses(model)[COMPLETE] == "failed"


@pytest.mark.slow
@pytest.mark.parametrize("name", planted.names())
def test_every_planted_model_passes_or_is_said_to_jump(name: str):
    found = check(exact(name).model)
    assert found.passed, found
    told = {one.note for one in found.checks if one.name == COMPLETE and one.status == "skipped"}
    assert not told or name in ("cancel", "fraction-of-previous", "histogram", "sort-by-frequency")
    assert all("the metric jumps" in note or "one logit" in note for note in told)


@pytest.mark.slow
def test_a_jump_is_no_failure_and_is_told():
    """The sign of a number has no gradient anywhere: no rule can follow it."""
    model = model_of()

    def step(tensor: Tensor, hook: Any) -> Tensor:
        tensor = tensor.clone()
        tensor[:, -1, :4] += 2.0 * tensor[:, -1, :4].detach().sign()
        return tensor

    model.add_hook("blocks.1.hook_resid_mid", step)
    found = {one.name: one for one in check(model).checks}[COMPLETE]
    assert found.status == "skipped", found
    assert re.search("the metric jumps, by .* no quadrature follows that", found.note)


def test_a_hook_that_edits_later_runs_fails():
    """As a hook that was left behind and counts its calls."""
    model, calls = model_of(), [0]

    def drift(tensor: Tensor, hook: Any) -> Tensor:
        calls[0] += 1
        return tensor + 0.1 * calls[0] * torch.arange(8)

    model.add_hook("blocks.0.hook_resid_post", drift)
    found = statuses(model)
    assert found[IDENTITY] == found[EVERYTHING] == found[PREFIX] == "failed"


def test_an_output_that_bypasses_its_hook_fails():
    """The logits get something that no patched site carries: patching everything leaves it."""
    model = model_of()
    embed = model.embed.forward
    kept: list[Tensor] = []

    def remember(tokens: Tensor) -> Tensor:
        kept[:] = [embed(tokens)]
        return kept[0]

    model.embed.forward = remember  # type: ignore[method-assign]
    unembed = model.unembed.forward
    model.unembed.forward = lambda x: unembed(x + kept[0][:, -x.shape[1] :].mean(1, keepdim=True))  # type: ignore[method-assign]
    found = statuses(model)
    assert found[EVERYTHING] == found[SUM] == "failed"


def test_a_hook_that_writes_to_the_stream_fails_the_sum():
    model = model_of()
    model.add_hook("blocks.1.hook_resid_post", lambda tensor, hook: tensor + 1.0 * torch.arange(8))
    assert statuses(model)[SUM] == "failed"


def test_a_gradient_that_is_cut_fails_attribution():
    model = model_of()
    forward = model.blocks[1].attn.forward
    model.blocks[1].attn.forward = lambda *args, **kwargs: forward(*args, **kwargs).detach()  # type: ignore[method-assign]
    found = statuses(model)
    assert found[LINEAR] == found[COMPLETE] == "failed"
    assert found[IDENTITY] == found[EVERYTHING] == "passed"


def test_a_model_that_looks_ahead_fails_prefix_reuse():
    model = model_of()
    forward = model.blocks[0].forward
    model.blocks[0].forward = lambda x, *a, **k: forward(x - 0.1 * x.mean(1, keepdim=True), *a, **k)  # type: ignore[method-assign]
    assert statuses(model)[PREFIX] == "failed"


def test_what_raises_is_a_failure_with_its_message():
    model = model_of()

    def broken(tensor: Tensor, hook: Any) -> Tensor:
        raise RuntimeError("the disk is on fire")

    model.add_hook("blocks.0.hook_mlp_out", broken)
    found = check(model)
    assert not found.passed
    assert all("the disk is on fire" in one.note for one in found.checks if one.status == "failed")


def test_the_command_on_a_folder_of_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model_of().save(tmp_path / "sound")
    assert main(["check", str(tmp_path / "sound"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["passed"] is True
    assert [one["name"] for one in told["checks"]] == list(CHECKS)
    broken = model_of()
    with torch.no_grad():
        broken.blocks[0].attn.W_V[:] = float("nan")
    broken.save(tmp_path / "broken")
    assert main(["check", str(tmp_path / "broken")]) == 1
    assert "failed" in capsys.readouterr().out
    assert main(["check", str(tmp_path / "broken"), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["passed"] is False
    assert main(["check", str(tmp_path / "nowhere")]) == 2
    assert "wanted the folder of a model" in capsys.readouterr().err


def test_the_command_on_a_folder_of_transformers(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(n_layer=2, n_head=2, n_embd=8, n_positions=8, vocab_size=11)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    capsys.readouterr()
    assert main(["check", str(tmp_path / "gpt2")]) == 0
    out = capsys.readouterr().out
    assert all(name in " ".join(out.split()) for name in CHECKS)
