"""`test_prompt` against hand-made logits, and transformers' model on the same tokens."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import unweave
from tests.model.text.builders import words
from unweave.core.errors import InputError
from unweave.model.config import HookedTransformerConfig
from unweave.model.transformer import HookedTransformer


def handmade() -> HookedTransformer:
    """A model of words whose next-token logits are the same wherever it is: "dog" 3, "cat" 2, "mat." 2, else 0."""
    tokenizer = words()
    cfg = HookedTransformerConfig(
        n_layers=0, d_model=4, n_ctx=8, d_head=4, d_vocab=tokenizer.get_vocab_size(), attn_only=True, seed=0
    )
    model = HookedTransformer(cfg, tokenizer)
    model.cfg.default_prepend_bos = False
    with torch.no_grad():
        model.unembed.W_U.zero_()
        for word, logit in (("dog", 3.0), ("cat", 2.0), ("mat.", 2.0)):
            model.unembed.b_U[tokenizer.token_to_id(word)] = logit
    return model


def test_ranks_and_probabilities_of_logits_made_by_hand():
    model = handmade()
    total = math.exp(3) + 2 * math.exp(2) + (model.cfg.d_vocab - 3)
    found = model.test_prompt("The", "cat dog sat", top_k=1)
    [answer] = found.answers
    # Both "cat" and "mat." have one above them.
    assert answer.ranks == (1, 0, 3)
    for step, logit in zip(answer.steps, (2.0, 3.0, 0.0), strict=True):
        assert step.answer.logit == pytest.approx(logit)
        assert step.answer.probability == pytest.approx(math.exp(logit) / total, rel=1e-6)
        assert [(guess.text, guess.rank) for guess in step.top] == [("dog", 0)]
    assert answer.probability == pytest.approx(math.exp(5) / total**3, rel=1e-6)
    assert found.ranks == [[("cat", 1), ("dog", 0), ("sat", 3)]]
    assert model.test_prompt("The", "mat.").ranks == [[("mat.", 1)]]


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_numbers_are_those_of_transformers(kind: str, model: Any, tokenizer: Any):
    transformers = pytest.importorskip("transformers")
    known = tokenizer(kind)
    config = transformers.GPT2Config(
        vocab_size=len(known), n_embd=16, n_layer=2, n_head=2, n_positions=40, initializer_range=0.5
    )
    torch.manual_seed(0)
    theirs = transformers.GPT2LMHeadModel(config).eval()
    ours = HookedTransformer.from_pretrained(hf_model=theirs, tokenizer=known, device="cpu")
    prompt, answers = "The Eiffel Tower is in", ["Paris, and Mary", " Rome", "the dog"]
    found = unweave.test_prompt(prompt, answers, ours, top_k=4)
    before = known(prompt)["input_ids"] if kind == "llama" else [0, *known(prompt)["input_ids"]]
    for text, answer in zip(answers, found.answers, strict=True):
        whole = known(f"{prompt} {text.strip()}")["input_ids"]
        whole = whole if kind == "llama" else [0, *whole]
        assert list(answer.tokens) == whole[len(before) :]
        with torch.no_grad():
            logits = theirs(torch.tensor([whole])).logits[0]
        for place, step in enumerate(answer.steps, len(before)):
            odds = logits[place - 1].softmax(-1)
            order = odds.argsort(descending=True).tolist()
            assert step.answer.rank == order.index(whole[place])
            assert step.answer.probability == pytest.approx(odds[whole[place]].item(), rel=1e-4)
            assert [guess.token for guess in step.top] == order[:4]
            assert [guess.rank for guess in step.top] == [0, 1, 2, 3]


def test_it_is_written_out_at_80_columns():
    found = handmade().test_prompt("The", ["cat", "dog sat"], top_k=2)
    # There are 29 words: dog has exp(3) / (exp(3) + 2 exp(2) + 26).
    assert handmade().cfg.d_vocab == 29
    assert str(found) == repr(found)
    assert str(found).splitlines() == [
        "Prompt: |The|",
        "",
        "Answers, their first tokens",
        "  Rank      Prob    Logit  Token",
        "     1    12.14%     2.00  |cat|",
        "     0    33.00%     3.00  |dog|",
        "",
        "Answer | dog sat|, 0.54% in all",
        "  Rank      Prob    Logit  Token",
        "     0    33.00%     3.00  |dog|",
        "     3     1.64%     0.00  |sat|",
        "",
        "Likeliest next tokens",
        "  Rank      Prob    Logit  Token",
        "     0    33.00%     3.00  |dog|",
        "     1    12.14%     2.00  |cat|",
    ]
    short = str(handmade().test_prompt("The", "cat", print_details=False))
    assert "Likeliest" not in short
    assert short.startswith("Prompt: |The|\n\nAnswer | cat|\n")


def test_every_token_of_one_answer_has_its_table(model: Any):
    found = str(model("gpt2", n_ctx=40).test_prompt("The", "dog sat on", top_k=3))
    assert "Likeliest next tokens" in found
    assert "Likeliest after | dog|" in found
    assert "Likeliest after | dog sat|" in found


def test_a_notebook_shows_a_table(model: Any):
    ours = model("gpt2")
    shown = ours.test_prompt("The <b>", "\n", prepend_space_to_answer=False, top_k=2)._repr_html_()
    assert shown.count("<table") == shown.count("</table>") == 2
    assert "&lt;" in shown
    assert "<b>The" not in shown.replace("<b>Answer", "")
    assert "\\n" in shown


def test_tokens_that_look_alike_are_told_apart(model: Any):
    ours = model("llama", n_ctx=40)
    assert ours.test_prompt("The cat", "sat").prompt == ("<s>", " The", " cat")
    parts = [step.answer.text for step in ours.test_prompt("The", "é").answers[0].steps]
    assert parts == [" ", "<0xC3>", "<0xA9>"]


def test_the_space_in_front_of_an_answer(model: Any):
    ours = model("gpt2")
    with_space = ours.test_prompt("The", "cat")
    assert with_space.ranks == ours.test_prompt("The", " cat").ranks
    assert with_space.answers[0].text == " cat"
    bare = ours.test_prompt("The", "cat", prepend_space_to_answer=False)
    assert bare.answers[0].tokens != with_space.answers[0].tokens
    # Behind a space of the prompt's the answer would change the prompt's tokens: it keeps its own.
    apart = ours.test_prompt("The ", "cat", prepend_space_to_answer=False)
    assert apart.answers[0].tokens == bare.answers[0].tokens


def test_what_is_added_behind_a_text_is_no_part_of_the_prompt(model: Any):
    found = model("t5").test_prompt("The cat", "sat", prepend_bos=False)
    assert "</s>" not in found.prompt


def test_a_chat_ends_where_the_answer_begins(model: Any):
    ours = model("llama3", n_ctx=60)
    chat = [{"role": "user", "content": "The cat"}]
    found = ours.test_prompt(chat, "sat")
    assert "".join(found.prompt) == "<|endoftext|><|user|>The cat<|assistant|>"
    assert found.prompt.count("<|endoftext|>") == 1


def test_what_cannot_be_honoured(model: Any):
    ours = model("gpt2")
    for call, said in (
        (lambda: ours.test_prompt("The", []), r"an answer, or a list of at least one; got \[\]"),
        (lambda: ours.test_prompt(["The", "A"], "cat"), "one prompt: a text, or a chat; got a list of 2"),
        (
            lambda: ours.test_prompt("The", "", prepend_space_to_answer=False),
            r"an answer of tokens .*; got ''",
        ),
        (lambda: ours.test_prompt("", "cat", prepend_bos=False), "a prompt of at least one token"),
        (lambda: ours.test_prompt("The", "cat", top_k=-1), "top_k of at least 0; got -1"),
        (lambda: ours.test_prompt("The cat " * 30, "cat"), "1 to n_ctx=24 positions"),
        (
            lambda: model("bert", attention_dir="bidirectional").test_prompt("the", "cat"),
            "reads from left to right, for test_prompt; got attention_dir='bidirectional'",
        ),
    ):
        with pytest.raises(InputError, match=said):
            call()
