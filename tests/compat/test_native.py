"""Models in TransformerLens' own format: files that 3.9.0 wrote (`bench/parity/freeze_native.py`), opened here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import unweave
from tests.repository import ROOT
from unweave.compat.native import (
    checkpoints_of,
    is_native,
    native_config,
    native_from_pretrained,
)
from unweave.compat.native_names import NATIVE
from unweave.compat.state import as_ours, min_gpt, old_solu
from unweave.compat.transformer_lens import loading_from_pretrained as loading
from unweave.compat.warned import CompatWarning
from unweave.core.errors import InputError
from unweave.pretrained.hub import Hub

FOLDER = ROOT / "tests/compat/native"
ANSWERS = load_file(FOLDER / "answers.safetensors")
NAMES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())
TOKENS = torch.tensor([[0, 3, 6, 1, 2], [5, 5, 4, 0, 1]])
DEFAULT = {"fold_ln": True, "center_writing_weights": True, "center_unembed": True, "fold_value_biases": True}


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= 1e-5 * b.abs().max())


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_gives_the_logits_that_it_gives_there(name: str):
    assert is_native(FOLDER / name)
    model = native_from_pretrained(FOLDER / name)
    assert close(model(TOKENS), ANSWERS[f"{name} logits"])
    assert model.cfg.model_name == name


@pytest.mark.parametrize("name", ["gelu", "solu"])
def test_default_processing_is_theirs(name: str):
    model = native_from_pretrained(FOLDER / name, **DEFAULT)
    assert close(model(TOKENS), ANSWERS[f"{name} processed"])
    assert close(model.W_E, ANSWERS[f"{name} processed W_E"])
    # Centring changes both: what was not processed is not equal.
    assert not close(native_from_pretrained(FOLDER / name)(TOKENS), ANSWERS[f"{name} processed"])


def test_a_step_that_would_change_the_model_is_left_out_with_a_warning():
    with pytest.warns(CompatWarning) as warned:
        model = native_from_pretrained(FOLDER / "final-rms", **DEFAULT)
    assert [str(one.message).partition(" is left")[0] for one in warned] == ["center_writing_weights"]
    wanted, found = ANSWERS["final-rms logits"].log_softmax(-1), model(TOKENS).log_softmax(-1)
    assert close(found, wanted)
    with pytest.warns(CompatWarning, match=r"fold_ln is left out, .*positional_embedding_type='shortformer'"):
        native_from_pretrained(FOLDER / "attn-only", fold_ln=True)


def test_a_training_checkpoint_is_another_model():
    assert checkpoints_of(FOLDER / "gelu") == [500]
    for which in ({"checkpoint_value": 500}, {"checkpoint_index": 0}):
        model = native_from_pretrained(FOLDER / "gelu", **which)
        assert close(model(TOKENS), ANSWERS["gelu checkpoint"])
    with pytest.raises(
        InputError, match=r"wanted one of 1 checkpoints in .*checkpoint_value=7; values are 500"
    ):
        native_from_pretrained(FOLDER / "gelu", checkpoint_value=7)
    assert loading.get_checkpoint_labels(str(FOLDER / "gelu")) == ([500], "step")


@pytest.mark.parametrize("layers", [2, 8, 10])
def test_the_first_solu_models_weights_are_turned(layers: int):
    given = of(f"old {layers} given ")
    assert equal(old_solu(given, layers), of(f"old {layers} made "))
    # Small ones have every matrix the other way round, the next ones the positions alone.
    assert not equal(old_solu(given, 8 if layers != 8 else 2), of(f"old {layers} made "))


def test_the_weights_of_a_min_gpt_are_renamed():
    assert equal(min_gpt(of("mini given "), 2), of("mini made "))


def of(prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in ANSWERS.items() if name.startswith(prefix)}


def equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_state_dict_of_a_hooked_transformer_holds_more_than_weights():
    theirs = torch.load(FOLDER / "llama/model_final.pth", weights_only=True)
    model = native_from_pretrained(FOLDER / "llama")
    beside = {name.rpartition(".")[2] for name in theirs.keys() - model.state_dict().keys()}
    assert beside == {"mask", "IGNORE", "rotary_sin", "rotary_cos"}
    assert as_ours(theirs, model).keys() == model.state_dict().keys()
    # What nobody knows stays, for load_state_dict to refuse.
    assert "blocks.0.attn.W_X" in as_ours({**theirs, "blocks.0.attn.W_X": theirs["embed.W_E"]}, model)


def test_what_a_config_fixes_must_be_the_same_there():
    cfg = unweave.HookedTransformerConfig(
        n_layers=1, d_model=4, d_head=2, n_ctx=4, d_vocab=5, attn_only=True, without_biases=("b_O",), seed=0
    )
    model = unweave.HookedTransformer(cfg)
    theirs = {**model.state_dict(), "blocks.0.attn.b_O": torch.zeros(4)}
    assert as_ours(theirs, model).keys() == model.state_dict().keys()
    with pytest.raises(
        InputError, match=r"wanted blocks.0.attn.b_O as this model's config fixes it; got another"
    ):
        as_ours({**theirs, "blocks.0.attn.b_O": torch.ones(4)}, model)
    tied = unweave.HookedTransformer(
        unweave.HookedTransformerConfig(
            n_layers=1,
            d_model=4,
            d_head=2,
            n_ctx=4,
            d_vocab=5,
            attn_only=True,
            tie_word_embeddings=True,
            seed=0,
        )
    )
    repeated = {**tied.state_dict(), "unembed.W_U": tied.W_E.detach().t()}
    assert "unembed.W_U" not in as_ours(repeated, tied)
    with pytest.raises(InputError, match=r"wanted unembed.W_U as this model's config fixes it"):
        as_ours({**repeated, "unembed.W_U": torch.zeros(4, 5)}, tied)


def test_missing_biases_are_zero_and_missing_matrices_an_error(tmp_path: Path):
    folder = shutil.copytree(FOLDER / "gelu", tmp_path / "gelu")
    weights = torch.load(folder / "model_final.pth", weights_only=True)
    without = {name: w for name, w in weights.items() if not name.endswith(("b_in", "b_U"))}
    torch.save(without, folder / "model_final.pth")
    model = native_from_pretrained(folder)
    assert not model.b_U.any() and not model.blocks[0].mlp.b_in.any()
    assert torch.equal(model.b_O[0], weights["blocks.0.attn.b_O"])
    torch.save({n: w for n, w in weights.items() if not n.endswith("W_in")}, folder / "model_final.pth")
    with pytest.raises(InputError, match=r"blocks.0.mlp.W_in among them; got none of that name"):
        native_from_pretrained(folder)
    torch.save({**weights, "embed.W_E": torch.zeros(7, 7)}, folder / "model_final.pth")
    with pytest.raises(
        InputError, match=r"wanted shape \(7, 6\) for embed.W_E, as the config has it; got shape \(7, 7\)"
    ):
        native_from_pretrained(folder)
    filled = loading.fill_missing_keys(model, {n: w for n, w in model.state_dict().items() if "b_U" not in n})
    assert not filled["unembed.b_U"].any()


def test_broken_folders_are_told(tmp_path: Path):
    folder = shutil.copytree(FOLDER / "gelu", tmp_path / "gelu")
    shutil.copy(folder / "model_final.pth", folder / "other_final.pth")
    with pytest.raises(
        InputError, match=r"wanted one file of weights .*; got model_final.pth, other_final.pth"
    ):
        native_from_pretrained(folder)
    (folder / "other_final.pth").unlink()
    (folder / "model_final.pth").write_bytes(b"not a pickle")
    with pytest.raises(InputError, match=r"wanted a state dict that torch.save wrote"):
        native_from_pretrained(folder)
    torch.save({"step": 3}, folder / "model_final.pth")
    with pytest.raises(InputError, match="wanted a table of tensors"):
        native_from_pretrained(folder)


def test_other_folders_are_not_of_this_format(tmp_path: Path):
    assert not is_native(tmp_path) and not is_native("gpt2") and is_native("solu-1l") and is_native("GELU-2L")
    for values in ({"model_type": "gpt2", "d_model": 1}, {"format": "unweave-model", "config": {}}):
        (tmp_path / "config.json").write_text(json.dumps(values))
        assert not is_native(tmp_path)


def test_first_layers_alone():
    model = native_from_pretrained(FOLDER / "solu", first_n_layers=1)
    whole = native_from_pretrained(FOLDER / "solu")
    assert len(model.blocks) == 1
    assert close(model(TOKENS, stop_at_layer=1), whole(TOKENS, stop_at_layer=1))


def test_the_hub_is_asked_for_the_files(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Hub, "find", lambda self, name: FOLDER / "gelu" / name)
    monkeypatch.setattr(
        "huggingface_hub.HfApi.list_repo_files",
        lambda self, repo, revision: ["config.json", "checkpoints/GELU_2L_000000500.pth", "model_final.pth"],
    )
    model = native_from_pretrained("gelu-2l")
    assert close(model(TOKENS), ANSWERS["gelu logits"]) and model.cfg.model_name == "GELU_2L512W_C4_Code"
    assert checkpoints_of("gelu-2l") == [500]
    state = loading.get_pretrained_state_dict("gelu-2l", dtype=torch.float64)
    assert state["embed.W_E"].dtype == torch.float64
    assert loading.convert_neel_model_config("gelu-2l")["act_fn"] == "gelu"


def test_names_are_theirs(ours_and_theirs: tuple[dict[str, str], dict[str, str]]):
    ours, theirs = ours_and_theirs
    both = ours.keys() & theirs.keys()
    assert {name: ours[name] for name in both} == {name: theirs[name] for name in both}
    # All the toy models are here but one, whose weights need a step of their own.
    assert {n for n in theirs.values() if n.startswith(("NeelNanda/", "Baidicoot/"))} == NATIVE.keys()
    assert len(both) >= 380


@pytest.fixture
def ours_and_theirs() -> tuple[dict[str, str], dict[str, str]]:
    frozen = json.loads((ROOT / "tests/compat/transformer_lens.json").read_text(encoding="utf-8"))
    return loading.make_model_alias_map(), frozen["make_model_alias_map"]


def test_configs_by_name():
    cfg = loading.get_pretrained_model_config(
        str(FOLDER / "gelu"), fold_ln=True, n_ctx=3, default_prepend_bos=False
    )
    assert (cfg.normalization_type, cfg.n_ctx, cfg.default_prepend_bos) == ("LNPre", 3, False)
    assert loading.get_num_params_of_pretrained(str(FOLDER / "gelu")) == 4 * 6 * 3 * 2 + 2 * 6 * 8
    assert loading.get_num_params_of_pretrained(str(FOLDER / "attn-only")) == 4 * 6 * 3 * 2
    assert loading.get_basic_config(str(FOLDER / "gelu")).d_vocab == 7
    assert loading.get_official_model_name("SOLU-1L") == "NeelNanda/SoLU_1L512W_C4_Code"
    with pytest.raises(InputError, match=r"got 'gpt-small'; nearest: gpt2-small"):
        loading.get_official_model_name("gpt-small")
    assert loading.get_checkpoint_labels("pythia-70m") == (loading.PYTHIA_CHECKPOINTS, "step")
    with pytest.raises(InputError, match="wanted training checkpoints; got none"):
        loading.get_checkpoint_labels(str(FOLDER / "solu"))
    with pytest.warns(CompatWarning, match="n_ctx=9 is more than the model's own 5"):
        loading.get_pretrained_model_config(str(FOLDER / "gelu"), n_ctx=9)


def test_a_config_of_transformers_is_converted(tmp_path: Path):
    values = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "n_layer": 2,
        "n_embd": 8,
        "n_head": 2,
    }
    values |= {"vocab_size": 11, "n_positions": 16, "n_ctx": 16, "activation_function": "gelu_new"}
    values |= {"layer_norm_epsilon": 1e-5}
    (tmp_path / "config.json").write_text(json.dumps(values))
    found = loading.convert_hf_model_config(str(tmp_path))
    assert {name: found[name] for name in ("n_layers", "d_model", "d_head", "d_vocab", "act_fn")} == {
        "n_layers": 2,
        "d_model": 8,
        "d_head": 4,
        "d_vocab": 11,
        "act_fn": "gelu_new",
    }
    assert loading.get_pretrained_model_config("gpt2", hf_cfg=values).d_vocab == 11


def test_a_tokenizer_is_given_or_named(monkeypatch: pytest.MonkeyPatch):
    class Tokenizer:
        bos_token_id, padding_side, name_or_path = 0, "right", "named"

        def __call__(self, texts: list[str], add_special_tokens: bool) -> dict[str, Any]:
            return {"input_ids": [[1] * len(text) for text in texts]}

        def decode(self, tokens: list[int], skip_special_tokens: bool = False) -> str:
            return "a" * len(tokens)

    model = native_from_pretrained(FOLDER / "gelu", tokenizer=Tokenizer(), default_prepend_bos=False)
    assert model.to_tokens("aa").tolist() == [[1, 1]]
    loaded: list[str] = []
    monkeypatch.setattr(
        "unweave.compat.native.load_tokenizer", lambda name: loaded.append(name) or Tokenizer()
    )
    named = {**json.loads((FOLDER / "gelu/config.json").read_text()), "tokenizer_name": "NeelNanda/tok"}
    monkeypatch.setattr("unweave.pretrained.files.Folder.config", lambda self: named)
    assert native_from_pretrained(FOLDER / "gelu").to_tokens("aa").tolist() == [[0, 1, 1]]
    assert loaded == ["NeelNanda/tok"]
    assert native_from_pretrained(FOLDER / "gelu", tokenizer=False).tokenizer is None


def test_fields_of_a_training_run_are_left_out():
    values = json.loads((FOLDER / "solu/config.json").read_text())
    assert values["seed"] == 98742 and native_config(values).seed is None
    assert SimpleNamespace(**native_config(values).to_dict()).normalization_type == "LNPre"
