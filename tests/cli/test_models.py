"""`unweave models` and `unweave inspect`, against models that were really built and run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from unweave.cli.main import main
from unweave.model.config import HookedTransformerConfig
from unweave.model.kv_cache import KeyValueCache
from unweave.model.transformer import HookedTransformer

SIZES = {"n_layers": 3, "d_model": 16, "n_ctx": 10, "d_head": 4, "d_vocab": 29, "act_fn": "gelu_new"}
GATED = {"gated_mlp": True, "act_fn": "silu", "normalization_type": "RMS"}
CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "attention only": {"attn_only": True, "positional_embedding_type": "shortformer"},
    "grouped": {**GATED, "n_key_value_heads": 2, "positional_embedding_type": "rotary"},
    "experts": {**GATED, "num_experts": 4, "experts_per_token": 2, "positional_embedding_type": "rotary"},
    "types": {"attention_dir": "bidirectional", "n_token_types": 2, "dtype": "bfloat16"},
}


def inspected(capsys: Any, *arguments: object) -> dict[str, Any]:
    assert main(["inspect", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("fields", CONFIGS.values(), ids=CONFIGS)
def test_what_is_said_is_what_a_run_takes(fields: dict[str, Any], tmp_path: Path, capsys: Any):
    model = HookedTransformer(HookedTransformerConfig(**{**SIZES, **fields}, seed=0))
    model.save(tmp_path / "model")
    dtype = str(model.cfg.dtype)
    told = inspected(capsys, tmp_path / "model", "--dtype", dtype, "--batch", 2, "--seq", 7)
    tokens = torch.zeros(2, 7, dtype=torch.long)
    _, cache = model.run_with_cache(tokens, return_cache_object=False)
    assert told["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    size = torch.empty(0, dtype=model.cfg.torch_dtype).itemsize
    assert told["memory_bytes"]["weights"] == told["parameters"] * size
    hooks = {hook["name"]: hook for hook in told["hooks"]}
    assert list(hooks) == list(model.hook_dict)
    for name, tensor in cache.items():
        shape = ["routed", *tensor.shape[1:]] if ".experts." in name else list(tensor.shape)
        assert hooks[name]["shape"] == shape, name
    for name in (name for name in hooks if hooks[name]["on_demand"]):
        _, named = model.run_with_cache(tokens, names_filter=name)
        assert hooks[name]["shape"] == list(named[name].shape), name
    assert {name for name in hooks if hooks[name]["on_demand"]} == set(hooks) - set(cache)
    # resid_post of a layer is resid_pre of the next.
    kept = sum(tensor.numel() * tensor.itemsize for tensor in cache.values()) - 2 * (2 * 7 * 16 * size)
    assert told["memory_bytes"]["activation_cache"] == kept
    if model.cfg.attention_dir == "causal":
        past = KeyValueCache.init_cache(model.cfg, batch_size=2)
        model(tokens, past_kv_cache=past)
        held = sum(t.numel() * t.itemsize for e in past.entries for t in (e.past_keys, e.past_values))
        assert told["memory_bytes"]["kv_cache"] == held


def test_a_checkpoint_of_transformers_without_its_weights(tmp_path: Path, capsys: Any):
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        n_layer=2, n_embd=16, n_head=2, n_positions=12, vocab_size=31, bos_token_id=0, eos_token_id=0
    )
    config.architectures = ["GPT2LMHeadModel"]
    config.save_pretrained(tmp_path)
    told = inspected(capsys, tmp_path, "--dtype", "bfloat16")
    theirs = transformers.GPT2LMHeadModel(config)
    # Ties are counted once, as there; and b_U, which is zero and no parameter, is not counted.
    assert told["parameters"] == sum(parameter.numel() for parameter in theirs.parameters())
    assert (told["dtype"], told["batch"], told["seq"]) == ("bfloat16", 1, 12)
    assert told["memory_bytes"]["weights"] == 2 * told["parameters"]
    assert main(["inspect", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "blocks.{0…1}.attn.hook_q " in printed
    assert "1 × 12 × 2 × 8" in printed
    assert "key-value cache" in printed
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["/no/such/folder"],
            "error: wanted a folder that exists, or a hub id; got /no/such/folder; check its name",
        ),
        (["."], "error: wanted a config.json in .; got none"),
        (["MODEL", "--seq", "11"], "of sequences of 1 to n_ctx=10 positions; got batch=1, seq=11"),
        (["MODEL", "--dtype", "int4"], "error: wanted dtype to be one of float32, float64, bfloat16"),
        (["MODEL", "--revision", "main"], "error: wanted a hub id with revision=; got"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], said: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
):
    HookedTransformer(HookedTransformerConfig(**SIZES)).save(tmp_path / "MODEL")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty" if arguments == ["."] else tmp_path)
    assert main(["inspect", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert len(err.strip().splitlines()) == 1


def test_a_hub_id_offline_is_told(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert main(["inspect", "someone/some-model"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(
        "error: wanted the files of someone/some-model, from the hub or its cache; got offline"
    )
    assert len(err.splitlines()) == 1


def test_every_family_is_listed(capsys: Any):
    from unweave.pretrained.families import families

    assert main(["models", "--json"]) == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(listed) == set(families())
    for name, family in families().items():
        assert listed[name]["architectures"] == list(family.architectures)
        assert listed[name]["supports"], f"{name} does not say what it supports"
    assert main(["models"]) == 0
    printed = capsys.readouterr().out
    assert "GPT2LMHeadModel" in printed
    assert max(map(len, printed.splitlines())) <= 80
