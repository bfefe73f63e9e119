"""How well a model expects the answers to a prompt."""

# ruff: noqa: PT028 - the function has TransformerLens' name, and is no test.

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.core.errors import InputError
from unweave.model.text.inputs import as_texts, is_chat
from unweave.model.text.prompt_result import AnswerTest, Guess, PromptTest, Step


@torch.no_grad()
def test_prompt(
    prompt: Any,
    answer: str | list[str],
    model: Any,
    prepend_space_to_answer: bool = True,
    print_details: bool = True,
    prepend_bos: bool | None = None,
    top_k: int = 10,
) -> PromptTest:
    """The rank and probability of each token of an answer to a prompt, and the tokens that were likelier.

    TransformerLens' function of this name prints that. This one returns it: a notebook shows it as a table
    when it is a cell's last line, and `print(test_prompt(...))` writes it out anywhere.

    Args:
        prompt: a text, or a chat, which ends where the answer begins.
        answer: a text, or several to compare. Each is read with the true tokens before it; of several,
            TransformerLens reads the first tokens alone.
        prepend_space_to_answer: put a space in front of an answer that begins with none.
        print_details: False shows the answers alone, and not the likeliest tokens; they are in the result.
        prepend_bos: for the prompt; None is the model's default.
        top_k: how many of the likeliest tokens there shall be; 0 for none.

    An answer's tokens are those it has behind the prompt, where it leaves the prompt's as they are;
    else those it has alone.

    Raises:
        InputError: if there is no tokenizer, no answer, an empty one, or more tokens than n_ctx; for a model
            that reads in both directions, which would see the answer.
    """
    answers = [answer] if isinstance(answer, str) else list(answer)
    _check(model, prompt, answers, top_k)
    texts = [" " + text if prepend_space_to_answer and not text.startswith(" ") else text for text in answers]
    before, ids = _tokens(model, prompt, texts, prepend_bos)
    # The last token of an answer is looked for, and never read. What fills up shorter ones comes after
    # all that is looked at.
    longest = max(map(len, ids)) - 1
    rows = [[*before, *row[:-1], *[before[0]] * (longest - len(row) + 1)] for row in ids]
    tokens = torch.tensor(rows, device=model.W_E.device)
    logits = model(tokens, attention_mask=torch.ones_like(tokens))
    start = len(before) - 1
    found = (
        AnswerTest(text, _steps(model, logits[row, start : start + len(of)], of, top_k))
        for row, (text, of) in enumerate(zip(texts, ids, strict=True))
    )
    return PromptTest(tuple(_shown(model, token) for token in before), tuple(found), print_details)


# pytest would take it for a test wherever it is imported.
test_prompt.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]


def _steps(
    model: Any, logits: Float[Tensor, "pos d_vocab_out"], tokens: list[int], top_k: int
) -> tuple[Step, ...]:
    logits = logits.double().cpu()
    probabilities = logits.softmax(-1)

    def guess(place: int, token: int) -> Guess:
        rank = int((logits[place] > logits[place, token]).sum())
        return Guess(
            token, _shown(model, token), rank, probabilities[place, token].item(), logits[place, token].item()
        )

    # Stable: of equal logits the earlier token comes first.
    likeliest = logits.sort(dim=-1, descending=True, stable=True).indices[:, :top_k].tolist()
    return tuple(
        Step(guess(place, token), tuple(guess(place, other) for other in likeliest[place]))
        for place, token in enumerate(tokens)
    )


def _shown(model: Any, token: int) -> str:
    """A token's text, with the space in front that some decoders take away; a part of a character by its name."""
    tokenizer = model.known_tokenizer()
    text, [piece] = tokenizer.decode([token]), tokenizer.pieces([token])
    if piece.startswith("▁") and not text.startswith(" "):
        text = " " + text
    return piece if not text or "�" in text else text


def _tokens(
    model: Any, prompt: Any, answers: list[str], prepend_bos: bool | None
) -> tuple[list[int], list[list[int]]]:
    """The prompt's tokens, and those of each answer."""
    [text] = as_texts(prompt, lambda messages: model.chat_to_string(messages, add_generation_prompt=True))
    if is_chat(prompt) and prepend_bos is None:
        prepend_bos = False  # as the template wrote it

    def of(text: str) -> list[int]:
        return model.encoded(text, prepend_bos, "right", as_added=False).tokens[0].tolist()

    before = of(text)
    if not before:
        raise InputError(
            wanted="a prompt of at least one token",
            got="an empty one, without BOS",
            remedy="pass prepend_bos=True",
        )
    return before, [_behind(model, before, of(text + answer), answer) for answer in answers]


def _behind(model: Any, before: list[int], whole: list[int], answer: str) -> list[int]:
    if len(whole) > len(before) and whole[: len(before)] == before:
        found = whole[len(before) :]
    else:
        [found] = model.known_tokenizer().encode([answer], added=False)
    most = model.cfg.d_vocab_out
    if not found or max(found) >= most:
        raise InputError(
            wanted=f"an answer of tokens from 0 to {most - 1}, at least one",
            got=f"{answer!r}, whose tokens are {found}",
            remedy="write another answer",
        )
    return found


def _check(model: Any, prompt: Any, answers: list[str], top_k: int) -> None:
    if not answers or not all(isinstance(text, str) for text in answers):
        raise InputError(
            wanted="an answer, or a list of at least one", got=repr(answers), remedy="pass texts"
        )
    if isinstance(prompt, list | tuple) and not is_chat(prompt):
        raise InputError(
            wanted="one prompt: a text, or a chat",
            got=f"a list of {len(prompt)}",
            remedy="call test_prompt for each of them",
        )
    if top_k < 0:
        raise InputError(wanted="top_k of at least 0", got=str(top_k), remedy="leave it out for 10")
    if model.cfg.attention_dir != "causal":
        raise InputError(
            wanted="a model that reads from left to right, for test_prompt",
            got=f"attention_dir={model.cfg.attention_dir!r}, which would see the answer",
            remedy="mask the answer in the tokens, and read the logits there",
        )
