"""Tokenizers loaded by name, and what is said where that fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.model.text.builders import byte_level, write_folder
from unweave.core.errors import InputError
from unweave.model.config import HookedTransformerConfig
from unweave.model.transformer import HookedTransformer
from unweave.pretrained.tokenizers import attach_tokenizer, load_tokenizer

transformers = pytest.importorskip("transformers")


def bare_model(**fields: Any) -> HookedTransformer:
    sizes = {"n_layers": 1, "d_model": 8, "n_ctx": 8, "d_head": 8, "d_vocab": 400, "attn_only": True}
    return HookedTransformer(HookedTransformerConfig(**{**sizes, **fields}))


def test_a_folder_is_loaded_as_transformers_does(tmp_path: Path):
    folder = write_folder("gpt2", tmp_path)
    wanted = transformers.AutoTokenizer.from_pretrained(folder)
    model = bare_model()
    for named in (folder, str(folder)):
        model.set_tokenizer(named, default_padding_side="left")
        assert type(model.tokenizer) is type(wanted)
        assert model.to_tokens("The cat", prepend_bos=False).tolist() == [wanted("The cat")["input_ids"]]
        assert model.default_padding_side == "left"


def test_what_the_tokenizers_library_saves_is_loaded_too(tmp_path: Path):
    byte_level().save(str(tmp_path / "tokenizer.json"))
    assert load_tokenizer(tmp_path)("The cat")["input_ids"] == byte_level().encode("The cat").ids


def test_what_cannot_be_loaded_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(
        InputError, match=r"a tokenizer in .*; got none of tokenizer_config.json, tokenizer.json"
    ):
        load_tokenizer(tmp_path)
    with pytest.raises(InputError, match=r"a folder that exists, or a hub id; got /no/such/folder"):
        load_tokenizer("/no/such/folder")
    with pytest.raises(InputError, match=r"a hub id with revision=; got .*, a folder"):
        load_tokenizer(tmp_path, revision="main")
    (write_folder("gpt2", tmp_path) / "tokenizer.json").write_text("{")
    with pytest.raises(
        InputError, match=r"a tokenizer that transformers can read in .*; got .*; download or copy"
    ):
        load_tokenizer(tmp_path)
    with pytest.raises(InputError, match=r"the files of gpt2, from the hub or its cache; got offline mode"):
        load_tokenizer("gpt2", local_files_only=True, cache_dir=tmp_path / "cache")


def test_defaults_are_attached_with_it(tmp_path: Path):
    tokenizer, model = load_tokenizer(write_folder("gpt2", tmp_path)), bare_model()
    attach_tokenizer(model, tokenizer, False, "left")
    assert (model.cfg.default_prepend_bos, model.default_padding_side) == (False, "left")
    assert (model.cfg.tokenizer_name, model.cfg.tokenizer_prepends_bos) == (str(tmp_path), False)
    with pytest.raises(InputError, match="a model with a tokenizer, for default_padding_side"):
        attach_tokenizer(bare_model(), None, None, "left")
