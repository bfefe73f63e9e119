"""What `bench/parity/freeze_text.py` froze of TransformerLens 3.9.0, on the same tokenizers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.repository import ROOT

FROZEN: dict[str, dict[str, Any]] = json.loads(
    (ROOT / "tests/model/text/transformer_lens.json").read_text(encoding="utf-8")
)
TEXTS = ("", "The cat sat", " Paris", "Héllo 🙂", "The dog gave a drink to Mary. " * 9)
BATCH = ["The cat", "A cat and a dog went to Paris", "Mary"]
KINDS = ("gpt2", "llama3", "llama", "qwen")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bos", [True, False])
def test_tokens_and_texts_are_theirs(kind: str, bos: bool, model: Any):
    ours, theirs = model(kind), FROZEN[kind]
    for text in TEXTS:
        tokens, wanted = ours.to_tokens(text, prepend_bos=bos).tolist(), theirs[f"to_tokens({text!r}, {bos})"]
        pieces = ours.to_str_tokens(text, bos)
        if text is TEXTS[-1] and not bos and theirs["tokenizer_prepends_bos"]:
            # They cut first and take BOS away then: one token of the text more is lost.
            assert len(tokens[0]) == 24 and len(wanted[0]) == 23
            tokens, pieces = [tokens[0][:23]], pieces[:23]
        assert tokens == wanted
        assert pieces == theirs[f"to_str_tokens({text!r}, {bos})"]
        assert ours.to_string(tokens) == theirs[f"to_string({text!r}, {bos})"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bos", [True, False])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_batches_are_theirs(kind: str, bos: bool, side: str, model: Any):
    ours, theirs = model(kind), FROZEN[kind]
    tokens = ours.to_tokens(BATCH, prepend_bos=bos, padding_side=side)
    assert tokens.tolist() == theirs[f"to_tokens(BATCH, {bos}, {side})"]
    if side == "left":
        wanted = theirs[f"attention_mask(BATCH, {bos}, {side})"]
        assert ours.read(BATCH, None, bos, side)[1].long().tolist() == wanted
        # The same, from tokens alone.
        assert ours.read(tokens, None, bos, side)[1].long().tolist() == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_single_tokens_and_their_places_are_theirs(kind: str, model: Any):
    ours, theirs = model(kind), FROZEN[kind]
    word = "Paris" if kind == "llama" else " Paris"
    assert ours.to_single_token(word) == theirs[f"to_single_token({word!r})"]
    text = "The cat and the cat in Paris and in Paris"
    for mode in ("first", "last"):
        assert ours.get_token_position(word, text, mode) == theirs[f"get_token_position({word!r}, {mode})"]
