"""A saved model's tokenizer, and the tokenizer that a new model is given."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.model.small import small_model
from tests.model.text.builders import KINDS, byte_level, llama_style, words
from unweave.core.errors import InputError
from unweave.core.registry import DOORS
from unweave.model.config import HookedTransformerConfig
from unweave.model.saved import load
from unweave.model.transformer import HookedTransformer

SIZES: dict[str, Any] = {"n_layers": 1, "d_model": 8, "n_ctx": 24, "d_head": 8, "attn_only": True, "seed": 0}
TEXTS = ["The cat sat", "Héllo 🙂, Mary", " Paris"]


@pytest.mark.parametrize("kind", KINDS)
def test_it_comes_back_as_it_was(kind: str, model: Any, tmp_path: Path):
    ours = model(kind, default_padding_side="left")
    ours.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.cfg == ours.cfg
    assert again.default_padding_side == "left"
    assert type(again.tokenizer) is type(ours.tokenizer)
    bos = kind != "words"
    assert torch.equal(again.to_tokens(TEXTS[:2], bos), ours.to_tokens(TEXTS[:2], bos)) or kind == "words"
    for text in TEXTS:
        tokens = ours.to_tokens(text, bos)
        assert torch.equal(again.to_tokens(text, bos), tokens)
        assert again.to_string(tokens) == ours.to_string(tokens)
        assert torch.equal(again(text, prepend_bos=bos), ours(text, prepend_bos=bos))
    if ours.tokenizer.chat_template:
        chat = [{"role": "user", "content": "The cat"}]
        assert again.chat_to_string(chat) == ours.chat_to_string(chat)


@pytest.mark.parametrize("made", [llama_style, words])
def test_a_plain_one_does_too(made: Callable[[], Any], tmp_path: Path):
    ours = HookedTransformer(HookedTransformerConfig(**SIZES), made())
    ours.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert type(again.tokenizer) is type(ours.tokenizer)
    assert again.tokenizer.to_str() == ours.tokenizer.to_str()


def test_a_model_with_one_is_replaced_whole(model: Any, tmp_path: Path):
    model("gpt2").save(tmp_path / "model")
    model("llama").save(tmp_path / "model")
    assert load(tmp_path / "model").to_str_tokens("The cat")[0] == "<s>"
    small_model().save(tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    assert load(tmp_path / "model").tokenizer is None
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_failure_leaves_the_older_model(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ours = model("gpt2")
    ours.save(tmp_path / "model")

    def broken(folder: str) -> None:
        (Path(folder) / "tokenizer.json").write_text("half")
        raise OSError("no space left")

    monkeypatch.setattr(ours.tokenizer, "save_pretrained", broken)
    with pytest.raises(OSError, match="no space"):
        ours.save(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert load(tmp_path / "model").to_str_tokens("The cat")[1] == "The"


def test_a_users_own_file_beside_it_is_not_deleted(model: Any, tmp_path: Path):
    model("gpt2").save(tmp_path / "model")
    (tmp_path / "model" / "tokenizer" / "notes.md").write_text("mine")
    with pytest.raises(InputError, match="which holds other files"):
        model("gpt2").save(tmp_path / "model")
    assert (tmp_path / "model" / "tokenizer" / "notes.md").read_text() == "mine"


def test_files_that_are_gone_or_broken_are_told(model: Any, tmp_path: Path):
    model("gpt2").save(tmp_path / "model")
    held = tmp_path / "model" / "tokenizer" / "tokenizer.json"
    held.write_text("{")
    with pytest.raises(InputError, match=r"a tokenizer that transformers can read in .*tokenizer"):
        load(tmp_path / "model")
    held.unlink()
    with pytest.raises(InputError, match=r"the tokenizer's files in .*; got no tokenizer.json; copy"):
        load(tmp_path / "model")
    HookedTransformer(HookedTransformerConfig(**SIZES), words()).save(tmp_path / "plain")
    (tmp_path / "plain" / "tokenizer" / "tokenizer.json").write_text("{")
    with pytest.raises(InputError, match=r"a tokenizer that tokenizers can read in .*; copy"):
        load(tmp_path / "plain")


def test_without_its_package_the_model_opens_and_says_so(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    model("gpt2").save(tmp_path / "model")
    monkeypatch.setattr("unweave.model.text.saved.find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING, "unweave"):
        assert load(tmp_path / "model").tokenizer is None
    assert caplog.messages == ["transformers isn't installed: the model has no tokenizer"]


def test_one_that_cannot_be_saved_is_refused(model: Any, tmp_path: Path):
    ours = model("gpt2")

    class Own:
        def __call__(self, texts: Any, **options: Any) -> dict[str, Any]:
            return {"input_ids": [[1, 2] for _ in texts]}

        def decode(self, tokens: Any, **options: Any) -> str:
            return ""

    ours.set_tokenizer(Own())
    with pytest.raises(InputError, match=r"with save_pretrained, .* got Own; set model.tokenizer = None"):
        ours.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


class TestNewModels:
    def test_the_vocabulary_may_be_left_to_the_tokenizer(self, tokenizer: Any):
        known = tokenizer("gpt2")
        ours = HookedTransformer(HookedTransformerConfig(**SIZES), known, False, "left")
        assert ours.cfg.d_vocab == ours.cfg.d_vocab_out == max(known.get_vocab().values()) + 1
        assert (ours.default_padding_side, ours.W_E.device.type) == ("left", "cpu")
        assert HookedTransformer({**SIZES, "d_vocab_out": 7}, known).W_U.shape == (8, 7)
        plain = byte_level()
        assert HookedTransformer(SIZES, plain).W_E.shape[0] == plain.get_vocab_size()

    def test_without_either_it_is_told(self):
        with pytest.raises(InputError) as raised:
            HookedTransformer(HookedTransformerConfig(**SIZES))
        assert str(raised.value) == (
            "wanted d_vocab, or a tokenizer with get_vocab to take it from; got neither; "
            "set d_vocab in HookedTransformerConfig"
        )
        with pytest.raises(InputError, match=r"wanted d_vocab, or a tokenizer"):
            HookedTransformer.without_weights(HookedTransformerConfig(**SIZES))

    def test_a_tokenizer_beyond_the_vocabulary_is_refused(self, tokenizer: Any):
        known = tokenizer("gpt2")
        for given in (known, byte_level()):
            with pytest.raises(InputError) as raised:
                HookedTransformer({**SIZES, "d_vocab": 100}, given)
            assert str(raised.value) == (
                f"wanted a tokenizer with tokens below d_vocab=100; got one with tokens up to {len(known) - 1}; "
                f"pass the tokenizer that belongs to the model, or set d_vocab={len(known)} in its config"
            )

    def test_an_added_token_beyond_it_is_only_told(self, tokenizer: Any, caplog: pytest.LogCaptureFixture):
        known = tokenizer("gpt2")
        size = len(known)
        known.add_special_tokens({"pad_token": "[PAD]"})
        with caplog.at_level(logging.WARNING, "unweave"):
            ours = HookedTransformer({**SIZES, "d_vocab": size}, known)
        assert caplog.messages == [
            f"the tokenizer has added tokens up to {size}, and d_vocab is {size}: a text that needs them is refused"
        ]
        assert ours("The cat").shape == (1, 3, size)
        with pytest.raises(InputError, match=f"got .*{size}"):
            ours("The [PAD]")

    def test_the_one_that_the_config_names_is_loaded(self, folder: Any, tokenizer: Any):
        named = str(folder("gpt2"))
        ours = HookedTransformer({**SIZES, "tokenizer_name": named})
        assert ours.to_tokens("The cat").tolist() == [[0, *tokenizer("gpt2")("The cat")["input_ids"]]]
        assert HookedTransformer({**SIZES, "d_vocab": 400, "tokenizer_name": named}, False).tokenizer is None
        given = tokenizer("llama")
        assert HookedTransformer({**SIZES, "tokenizer_name": named}, given).tokenizer is given
        assert HookedTransformer(SIZES, named).tokenizer is not None

    def test_a_name_that_cannot_be_loaded_is_told(self):
        with pytest.raises(InputError) as raised:
            HookedTransformer({**SIZES, "d_vocab": 5, "tokenizer_name": "/no/such/folder"})
        assert str(raised.value) == (
            "wanted a folder that exists, or a hub id, for tokenizer_name='/no/such/folder' in the config; "
            "got /no/such/folder; check its name; or pass tokenizer=, which may be False for none"
        )

    def test_a_padding_side_needs_one(self):
        with pytest.raises(InputError, match="wanted a tokenizer, for default_padding_side; got none"):
            HookedTransformer({**SIZES, "d_vocab": 5}, default_padding_side="left")

    def test_a_device_that_is_not_moved_to_need_not_be_there(self):
        cfg = HookedTransformerConfig(**SIZES, d_vocab=5, device="cuda")
        ours = HookedTransformer(cfg, move_to_device=False)
        assert (ours.W_E.device.type, ours.cfg.device, cfg.device) == ("cpu", "cpu", "cuda")

    def test_new_weights_of_the_same_model_load_no_tokenizer(
        self, model: Any, monkeypatch: pytest.MonkeyPatch
    ):
        from unweave.model.weights import process_weights

        ours = model("gpt2", normalization_type="LN", tokenizer_name="no-such-model-anywhere")
        monkeypatch.setitem(DOORS, "load_tokenizer", "unweave.no_such_module:nothing")
        assert process_weights(ours, fold_ln=True).cfg.normalization_type == "LNPre"
