from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.model.text.builders import write_folder
from unweave.model.config import HookedTransformerConfig
from unweave.model.transformer import HookedTransformer

pytest.importorskip("transformers")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a kind of tokenizer, written once."""
    root, written = tmp_path_factory.mktemp("tokenizers"), dict[str, Path]()

    def find(kind: str) -> Path:
        if kind not in written:
            written[kind] = write_folder(kind, root / kind)
        return written[kind]

    return find


@pytest.fixture
def tokenizer(folder: Callable[[str], Path]) -> Callable[[str], Any]:
    """A new tokenizer of a kind, as transformers loads it."""
    from transformers import AutoTokenizer

    return lambda kind: AutoTokenizer.from_pretrained(folder(kind))


@pytest.fixture
def model(tokenizer: Callable[[str], Any]) -> Callable[..., HookedTransformer]:
    """A small model with a tokenizer of a kind; keywords are fields of its config."""

    def make(kind: str, default_padding_side: str | None = None, **fields: Any) -> HookedTransformer:
        known = tokenizer(kind)
        sizes = {"n_layers": 2, "d_model": 16, "n_ctx": 24, "d_head": 8, "act_fn": "gelu_new", "seed": 0}
        cfg = HookedTransformerConfig(**{**sizes, "d_vocab": len(known), **fields})
        return HookedTransformer(cfg, known, default_padding_side=default_padding_side)

    return make
