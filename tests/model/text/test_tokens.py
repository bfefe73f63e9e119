"""Text to tokens and back, against transformers' own tokenizers."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch

from tests.model.text.builders import KINDS, byte_level, llama_style, words
from unweave.core.errors import InputError
from unweave.model.config import HookedTransformerConfig
from unweave.model.transformer import HookedTransformer

TEXTS = ["The cat sat", "Héllo 🙂, Mary", " Paris", "and\n\n  two"]


@pytest.mark.parametrize("kind", KINDS)
def test_without_bos_the_tokens_are_the_texts_own(kind: str, model: Any, tokenizer: Any):
    ours, theirs = model(kind), tokenizer(kind)
    for text in TEXTS:
        wanted = theirs(text, add_special_tokens=False)["input_ids"]
        assert ours.to_tokens(text, prepend_bos=False).tolist() == [wanted]


@pytest.mark.parametrize("kind", ["llama3", "llama", "bert"])
def test_with_bos_the_tokens_are_the_tokenizers_own(kind: str, model: Any, tokenizer: Any):
    ours, theirs = model(kind), tokenizer(kind)
    for text in ["", *TEXTS]:
        assert ours.to_tokens(text).tolist() == [theirs(text)["input_ids"]]


@pytest.mark.parametrize("kind", ["gpt2", "qwen"])
def test_bos_is_put_where_the_tokenizer_puts_none(kind: str, model: Any, tokenizer: Any):
    # Qwen's kind names no BOS: EOS stands in its place.
    wanted = [tokenizer(kind).eos_token_id, *tokenizer(kind)("The cat")["input_ids"]]
    assert model(kind).to_tokens("The cat").tolist() == [wanted]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("gpt2", "<|endoftext|>The cat"),
        ("llama3", "<|endoftext|>The cat"),
        ("llama", "<s>The cat"),
        ("bert", "[CLS] the cat [SEP]"),
    ],
)
def test_bos_is_never_doubled(kind: str, text: str, model: Any):
    ours = model(kind)
    assert ours.to_tokens(text).tolist() == ours.to_tokens("The cat").tolist()
    assert ours.to_tokens(text, prepend_bos=False)[0, 0] == ours.to_tokens("")[0, 0]


def test_a_default_of_the_config_holds_where_a_call_does_not_say(model: Any):
    ours = model("gpt2", default_prepend_bos=False)
    assert ours.to_str_tokens("The cat") == ["The", " cat"]
    assert ours.to_str_tokens("The cat", prepend_bos=True)[0] == "<|endoftext|>"
    ours.cfg.default_prepend_bos = True
    assert ours.to_str_tokens("The cat")[0] == "<|endoftext|>"


def test_neither_bos_nor_eos_says_so(model: Any):
    ours = model("words")
    with pytest.raises(InputError) as caught:
        ours.to_tokens("The cat")
    assert str(caught.value).startswith(
        "wanted a tokenizer with a BOS token, for prepend_bos=True; got one with neither BOS nor EOS; pass "
        "prepend_bos=False, set model.cfg.default_prepend_bos = False"
    )
    assert ours.to_tokens("The cat", prepend_bos=False).shape == (1, 2)
    with pytest.raises(
        InputError, match=r"no pad, EOS, BOS or UNK token; got 1 to 2 tokens; name its pad_token"
    ):
        ours.to_tokens(["The cat", "The"], prepend_bos=False)


@pytest.mark.parametrize("kind", KINDS)
def test_the_tokenizer_stays_as_it_was(kind: str, model: Any, tokenizer: Any):
    ours, untouched = model(kind, default_prepend_bos=kind != "words"), tokenizer(kind)
    ours.set_tokenizer(ours.tokenizer, default_padding_side="left")
    ours.to_tokens(["The cat"] if kind == "words" else ["The cat", "A cat gave a drink"] * 2)
    for name in ("bos_token", "eos_token", "pad_token", "unk_token", "padding_side", "truncation_side"):
        assert getattr(ours.tokenizer, name) == getattr(untouched, name), name
    assert ours.tokenizer.backend_tokenizer.to_str() == untouched.backend_tokenizer.to_str()


def test_texts_come_back(model: Any, tokenizer: Any):
    for kind in ("gpt2", "llama3", "qwen", "llama"):
        ours = model(kind)
        for text in TEXTS:
            tokens = ours.to_tokens(text, prepend_bos=False)
            assert ours.to_string(tokens) == [text]
            assert ours.to_string(tokens[0]) == text


def test_tokens_in_every_form(model: Any):
    ours = model("gpt2")
    tokens = ours.to_tokens("The cat sat")
    row = tokens[0].tolist()
    one = "<|endoftext|>The cat sat"
    for form in (tokens[0], row, tuple(row), np.array(row), tokens[0].int(), list(tokens[0]), np.int32(row)):
        assert ours.to_string(form) == one
        assert ours.to_str_tokens(form if not isinstance(form, list) else row) == [
            "<|endoftext|>",
            "The",
            " cat",
            " sat",
        ]
    for form in (tokens, [row], tokens.numpy(), [tokens[0]], [np.array(row)]):
        assert ours.to_string(form) == [one]
    assert ours.to_string([row, row[:2]]) == [one, "<|endoftext|>The"]
    assert ours.to_string(tokens[0, 1]) == ours.to_string(row[1]) == "The"
    assert ours.to_string([]) == ours.to_string(torch.tensor([])) == ""
    assert ours.to_str_tokens(tokens) == ours.to_str_tokens(row)
    assert ours.to_str_tokens(tokens[0, 1]) == ["The"]
    assert ours.to_str_tokens([tokens[0], row[:2]]) == [ours.to_str_tokens(row), ["<|endoftext|>", "The"]]
    assert ours.to_str_tokens(["The cat", "sat"], prepend_bos=False)[0] == ["The", " cat"]
    with pytest.raises(InputError, match=r"tokens of one sequence, \[pos\] or \[1, pos\]; got 2 sequences"):
        ours.to_str_tokens(tokens.repeat(2, 1))
    with pytest.raises(InputError, match=r"whole numbers, .* got float32 of shape"):
        ours.to_string(torch.rand(3))
    with pytest.raises(InputError, match=r"got int64 of shape \(1, 1, 4\)"):
        ours.to_string(tokens[None])


def test_pieces_show_bytes_and_spaces(model: Any):
    assert model("gpt2").to_pieces("The cat é", prepend_bos=False) == ["The", "Ġcat", "Ġ", "Ã", "©"]
    assert model("llama").to_pieces("The é") == ["<s>", "▁The", "▁", "<0xC3>", "<0xA9>"]
    assert model("llama").to_str_tokens("The é") == ["<s>", "The", "", "�", "�"]
    assert model("bert").to_pieces(model("bert").to_tokens("hello")) == [
        "[CLS]",
        "h",
        "##el",
        "##l",
        "##o",
        "[SEP]",
    ]


def test_an_empty_text(model: Any):
    ours = model("gpt2")
    assert ours.to_tokens("").tolist() == [[0]]
    empty = ours.to_tokens("", prepend_bos=False)
    assert empty.shape == (1, 0)
    assert empty.dtype == torch.int64
    assert ours.to_str_tokens("", prepend_bos=False) == []
    with pytest.raises(InputError, match=r"texts of at least one token; got an empty one, without BOS"):
        ours("", prepend_bos=False)
    with pytest.raises(InputError, match=r"texts of at least one token"):
        ours(["", "The cat"], prepend_bos=False)
    with pytest.raises(InputError, match=r"got an empty list"):
        ours.to_tokens([])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ["gpt2", "llama", "bert"])
def test_a_long_text_is_cut_and_said_to_be(kind: str, side: str, model: Any, caplog: Any):
    ours = model(kind, n_ctx=6)
    ours.tokenizer.truncation_side = side
    [whole] = ours.to_tokens("the cat sat on the mat, and Mary", truncate=False).tolist()
    around = (1, 1) if kind == "bert" else (1, 0)
    body, room = whole[1 : len(whole) - around[1]], 6 - sum(around)
    kept = body[:room] if side == "right" else body[-room:]
    with caplog.at_level(logging.WARNING, "unweave"):
        [cut] = ours.to_tokens("the cat sat on the mat, and Mary").tolist()
    assert cut == [whole[0], *kept, *whole[len(whole) - around[1] :]]
    assert caplog.messages == [
        f"cut 1 of 1 texts to 6 tokens (n_ctx), on the {side}; the longest lost {len(body) - room}"
    ]
    caplog.clear()
    ours.to_tokens("the cat")
    assert caplog.messages == []


def test_a_single_token_or_what_it_is_made_of(model: Any):
    ours = model("gpt2")
    assert ours.to_single_str_token(ours.to_single_token(" cat")) == " cat"
    with pytest.raises(InputError) as caught:
        ours.to_single_token("Mary")
    assert str(caught.value) == (
        "wanted a text that is a single token, not 'Mary'; got 2 tokens: ['Mar', 'y']; single tokens near it: ' Mary'"
    )
    with pytest.raises(InputError, match=r"not ''; got no token; to_tokens takes texts of any length"):
        ours.to_single_token("")
    assert model("bert").to_single_token("cat") == model("bert").to_tokens("cat")[0, 1]


def test_where_a_token_stands(model: Any):
    ours = model("gpt2")
    text = "The cat and the cat"
    assert ours.get_token_position(" cat", text) == 2
    assert ours.get_token_position(" cat", text, "last", prepend_bos=False) == 4
    assert ours.get_token_position(ours.to_single_token(" cat"), ours.to_tokens(text), mode="last") == 5
    assert ours.get_token_position(torch.tensor(ours.to_single_token(" the")), ours.to_tokens(text)[0]) == 4
    with pytest.raises(InputError) as caught:
        ours.get_token_position(" dog", text)
    assert str(caught.value).startswith("wanted a sequence that holds ' dog', token ")
    assert "got ['<|endoftext|>', 'The', ' cat'" in str(caught.value)
    with pytest.raises(InputError, match="mode 'first' or 'last'"):
        ours.get_token_position(" cat", text, "middle")


def test_a_direction_of_a_token_by_its_text(model: Any):
    ours = model("gpt2")
    token = ours.to_single_token(" cat")
    assert torch.equal(ours.tokens_to_residual_directions(" cat"), ours.W_U[:, token])


def test_no_tokenizer_says_so(model: Any):
    ours = model("gpt2", tokenizer_name="gpt2")
    ours.tokenizer = None
    for call in (
        lambda: ours.to_tokens("The"),
        lambda: ours.to_string([1]),
        lambda: ours("The"),
        lambda: ours.generate("The"),
    ):
        with pytest.raises(
            InputError, match=r"a model with a tokenizer, .* call model.set_tokenizer\('gpt2'\)"
        ):
            call()


def test_what_is_no_tokenizer_is_refused(model: Any):
    with pytest.raises(InputError, match=r"interface of Hugging Face's: .* got int"):
        model("gpt2").set_tokenizer(3)
    with pytest.raises(InputError, match=r"padding_side 'left' or 'right'; got 'top'"):
        model("gpt2").set_tokenizer(model("gpt2").tokenizer, default_padding_side="top")


@pytest.mark.parametrize(("made", "prepends"), [(llama_style, True), (lambda: byte_level(bos=True), True)])
def test_a_plain_tokenizer_does_too(made: Any, prepends: bool):
    plain = made()
    plain.enable_truncation(3)
    plain.enable_padding(direction="left", pad_id=0, pad_token=plain.id_to_token(0))
    cfg = HookedTransformerConfig(
        n_layers=1, d_model=8, n_ctx=24, d_head=8, d_vocab=plain.get_vocab_size(), attn_only=True, seed=0
    )
    ours = HookedTransformer(cfg, plain)
    state = plain.to_str()
    tokens = ours.to_tokens(["The cat", "The cat sat on the mat"])
    assert plain.to_str() == state
    plain.no_truncation()
    plain.no_padding()
    rows = [encoding.ids for encoding in plain.encode_batch(["The cat", "The cat sat on the mat"])]
    assert tokens.tolist() == [[0] * (len(rows[1]) - len(rows[0])) + rows[0], rows[1]]
    assert ours.to_str_tokens("The cat")[1] == "The"
    assert ours.to_pieces("The cat")[2][1:] == "cat"
    with pytest.raises(InputError, match=r"chat template, .*got a tokenizers.Tokenizer"):
        ours.to_tokens([{"role": "user", "content": "Hi"}])


def test_a_plain_tokenizer_without_names_says_how_to_name_them():
    cfg = HookedTransformerConfig(n_layers=1, d_model=8, n_ctx=24, d_head=8, d_vocab=40, attn_only=True)
    with pytest.raises(InputError, match=r"PreTrainedTokenizerFast\(tokenizer_object=tokenizer"):
        HookedTransformer(cfg, words()).to_tokens("The cat")
