"""Runs on text: the padding of a batch changes nothing, and nobody need speak of masks."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.model.small import assert_equal_to
from unweave.core.errors import InputError
from unweave.model.kv_cache import KeyValueCache

BATCH = ["The cat", "A cat and a dog went to Paris", "the dog gave a drink"]
POSITIONS = {
    "standard": {},
    "rotary": {"positional_embedding_type": "rotary"},
    "alibi": {"positional_embedding_type": "alibi"},
}


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bert", "t5"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("positions", POSITIONS)
def test_in_a_batch_as_alone(kind: str, side: str, positions: str, model: Any):
    fields = {"attention_dir": "bidirectional"} if kind == "bert" else {}
    ours = model(kind, default_padding_side=side, n_ctx=40, **POSITIONS[positions], **fields)
    logits, cache = ours.run_with_cache(BATCH)
    for row, text in enumerate(BATCH):
        alone = ours(text)[0]
        place = slice(-len(alone), None) if side == "left" else slice(len(alone))
        assert_equal_to(1e-5, logits[row, place], alone)
        assert_equal_to(
            1e-5, cache["resid_post", 0][row, place], ours.run_with_cache(text)[1]["resid_post", 0][0]
        )


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bert"])
def test_padded_tokens_run_as_the_texts_do(kind: str, model: Any):
    fields = {"attention_dir": "bidirectional"} if kind == "bert" else {}
    for side in ("left", "right") if kind == "bert" else ("left",):
        ours = model(kind, default_padding_side=side, **fields)
        assert torch.equal(ours(ours.to_tokens(BATCH)), ours(BATCH))


def test_the_tokenizers_own_side_holds_until_another_is_said(model: Any, tokenizer: Any):
    ours = model("gpt2")
    ours.tokenizer.padding_side = "left"
    assert ours.to_tokens(BATCH)[0, -1] == ours.to_single_token(" cat")
    assert ours.to_tokens(BATCH, padding_side="right")[0, -1] == 0
    ours.set_tokenizer(ours.tokenizer, default_padding_side="right")
    assert ours.to_tokens(BATCH)[0, -1] == 0
    assert ours.tokenizer.padding_side == "left"


def test_the_loss_leaves_padding_out(model: Any):
    ours = model("gpt2")
    alone = [ours(text, "loss", loss_per_token=True)[0] for text in BATCH]
    for side in ("left", "right"):
        assert_equal_to(1e-5, ours(BATCH, "loss", padding_side=side), torch.cat(alone).mean())
    assert_equal_to(1e-5, ours(BATCH[0], "both").loss, alone[0].mean())


def test_hooks_run_on_text(model: Any):
    ours = model("gpt2")
    seen: list[tuple[int, ...]] = []
    got = ours.run_with_hooks(
        "The cat", fwd_hooks=[("hook_embed", lambda tensor, hook: seen.append(tuple(tensor.shape)))]
    )
    assert seen == [(1, 3, 16)]
    assert torch.equal(got, ours(ours.to_tokens("The cat")))
    embedded, tokens, _, attended = ours.input_to_embed(BATCH, padding_side="left")
    assert embedded.shape[:2] == tokens.shape == attended.shape


def test_a_given_mask_is_taken(model: Any):
    ours = model("gpt2")
    mask = torch.ones(3, 9, dtype=torch.long)
    assert torch.equal(
        ours(BATCH, attention_mask=mask, padding_side="left"),
        ours(ours.to_tokens(BATCH, padding_side="left"), attention_mask=mask),
    )


def test_what_follows_a_cache_gets_no_bos_unless_asked(model: Any):
    ours = model("gpt2")
    cache = KeyValueCache.init_cache(ours.cfg)
    ours("The cat", past_kv_cache=cache)
    assert cache.length == 3
    assert_equal_to(1e-5, ours(" sat", past_kv_cache=cache), ours("The cat sat")[:, -1:])
    ours(" sat", prepend_bos=True, past_kv_cache=cache)
    assert cache.length == 6


def test_tokens_with_pad_tokens_inside_are_text(model: Any):
    # EOS pads in GPT-2, and ends texts: on the right it is taken as text.
    ours = model("gpt2", default_padding_side="right")
    tokens = torch.tensor([[0, 263, 0, 272, 0]])
    assert ours.read(tokens)[1] is None
    assert ours.read(tokens, padding_side="left")[1].all()
    assert ours.read(torch.tensor([[0, 0, 263, 0]]), padding_side="left")[1].tolist() == [
        [False, True, True, True]
    ]
    assert ours.read(torch.tensor([[0, 0, 263, 0]]), None, False, "left")[1].tolist() == [
        [False, False, True, True]
    ]


def test_a_pad_token_of_its_own_is_padding_at_either_edge(model: Any):
    ours = model("bert")
    pad, row = ours.tokenizer.pad_token_id, ours.to_tokens("the cat")[0].tolist()
    assert ours.read(torch.tensor([[*row, pad, pad]]))[1].tolist() == [[True] * len(row) + [False] * 2]
    assert ours.read(torch.tensor([[pad, *row]]), padding_side="left")[1].tolist() == [
        [False] + [True] * len(row)
    ]
    assert ours.read(torch.tensor([row]))[1] is None


def test_greedy_texts_are_those_of_each_alone(model: Any):
    ours = model("gpt2")
    alone = [ours.generate(text, 5, do_sample=False) for text in BATCH]
    assert all(
        isinstance(text, str) and text.startswith(start) for text, start in zip(alone, BATCH, strict=True)
    )
    assert ours.generate(BATCH, 5, do_sample=False) == alone
    assert ours.generate(BATCH[:1], 5, do_sample=False) == alone[:1]
    tokens = ours.generate(BATCH, 5, do_sample=False, return_type="tokens")
    assert tokens.shape == (3, ours.to_tokens(BATCH).shape[1] + 5)
    row = ours.to_tokens(BATCH[0])
    assert torch.equal(ours.generate(row, 5, do_sample=False)[0], tokens[0, -row.shape[1] - 5 :])
    assert ours.generate(row, 5, do_sample=False, return_type="str") == alone[0]
    padded = ours.to_tokens(BATCH, padding_side="left")
    given = ours.generate(padded, 5, do_sample=False, padding_side="left", return_type="str")
    assert given == alone


def test_generation_stops_at_the_tokenizers_eos(model: Any):
    ours = model("llama3")
    with torch.no_grad():
        ours.unembed.b_U[ours.tokenizer.eos_token_id] = 1e4
    tokens = ours.generate("The cat", 5, do_sample=False, return_type="tokens")
    assert tokens[0, 3:].tolist() == [ours.tokenizer.eos_token_id]
    assert ours.generate("The cat", 5, do_sample=False) == "The cat"
    assert ours.generate("The cat", 5, stop_at_eos=False, do_sample=False, return_type="tokens").shape == (
        1,
        8,
    )


def test_a_stream_of_texts_is_their_tokens(model: Any):
    ours = model("gpt2")
    whole = ours.generate(BATCH, 5, do_sample=False, return_type="tokens")
    assert torch.equal(torch.cat(list(ours.generate_stream(BATCH, 5, 4, do_sample=False)), 1), whole)


def test_generation_from_nothing_begins_with_bos(model: Any):
    ours = model("gpt2")
    assert ours.generate(max_new_tokens=2, do_sample=False, return_type="tokens").shape == (1, 3)


def test_what_is_added_behind_a_text_is_not_gone_on_from(model: Any):
    ours = model("t5")
    tokens = ours.generate("The cat", 1, do_sample=False, return_type="tokens")
    assert tokens[0, :-1].tolist() == ours.to_tokens("The cat")[0, :-1].tolist()


def test_arguments_of_generate_that_cannot_be_honoured(model: Any):
    ours = model("gpt2")
    with pytest.raises(InputError, match=r"return_type to be one of 'input', 'str', 'tokens'; got 'embeds'"):
        ours.generate("The", return_type="embeds")
    with pytest.raises(InputError, match=r"padding on the left, .* got padding_side='right'"):
        ours.generate(BATCH, padding_side="right")
    with pytest.raises(InputError, match=r"1 to n_ctx=24 positions; got shape \(1, 62\)"):
        ours.generate("The cat " * 30)
    with pytest.raises(InputError, match="eos_token_id, one or more"):
        model("words").generate("The cat", prepend_bos=False)


class TestChats:
    MESSAGES = ({"role": "user", "content": "The cat"}, {"role": "assistant", "content": " sat"})

    @pytest.mark.parametrize("kind", ["llama3", "llama"])
    def test_tokens_are_the_templates(self, kind: str, model: Any, tokenizer: Any):
        ours, chat = model(kind, n_ctx=60), list(self.MESSAGES)
        for prompt in (True, False):
            wanted = tokenizer(kind).apply_chat_template(
                chat, tokenize=True, add_generation_prompt=prompt, return_dict=False
            )
            got = ours.to_tokens(chat, add_generation_prompt=prompt)
            assert got.tolist() == [wanted]
            # Once, though the template writes BOS and the tokenizer would.
            assert got[0].tolist().count(got[0, 0].item()) == 1
            text = ours.chat_to_string(chat, add_generation_prompt=prompt)
            for bos in (None, True, False):
                assert ours.to_tokens(text, bos).tolist() == [wanted]
            assert ours.to_tokens(chat, True, add_generation_prompt=prompt).tolist() == [wanted]

    def test_several_chats_and_their_runs(self, model: Any):
        ours = model("llama3", n_ctx=60)
        chats = [list(self.MESSAGES), list(self.MESSAGES[:1])]
        logits = ours(chats, padding_side="left")
        assert_equal_to(1e-5, logits[1, -ours.to_tokens(chats[1]).shape[1] :], ours(chats[1])[0])
        one = ours.generate(chats[1], 3, do_sample=False)
        assert "<|assistant|>" in one
        assert ours.generate(chats[::-1], 3, do_sample=False)[0] == one

    def test_without_a_template(self, model: Any):
        with pytest.raises(
            InputError, match=r"a tokenizer with a chat template, for messages; got one without"
        ):
            model("gpt2").to_tokens(list(self.MESSAGES))
