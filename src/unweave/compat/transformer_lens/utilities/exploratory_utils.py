"""A first look at what a model knows."""

# ruff: noqa: PT028, T201 - the function has TransformerLens' name, is no test, and prints.

from __future__ import annotations

from typing import Any

import torch
from rich import print as rich_print
from rich.markup import escape


@torch.no_grad()
def test_prompt(
    prompt: str,
    answer: str | list[str],
    model: Any,
    prepend_space_to_answer: bool = True,
    print_details: bool = True,
    prepend_bos: bool | None = None,
    top_k: int = 10,
) -> None:
    """Print the rank, logit and probability of each token of an answer, and the likeliest tokens in its place.

    `unweave.test_prompt` returns the same, and more of it: every token of several answers, each as it
    stands behind the prompt. Here an answer's tokens are those that it has alone.

    Args:
        prompt: a text.
        answer: a text, or several to compare: of these the first tokens alone.
        prepend_space_to_answer: put a space in front of an answer that begins with none.
        print_details: False prints the ranks alone.
        prepend_bos: for the prompt; None is the model's default.
        top_k: how many of the likeliest tokens to print.
    """
    answers = [answer] if isinstance(answer, str) else list(answer)
    if prepend_space_to_answer:
        answers = [text if text.startswith(" ") else f" {text}" for text in answers]
    before = model.to_tokens(prompt, prepend_bos=prepend_bos)[0].tolist()
    rows = [model.to_tokens(text, prepend_bos=False)[0].tolist() for text in answers]
    rows = rows if len(rows) == 1 else [row[:1] for row in rows]
    texts = [[model.to_string([token]) for token in row] for row in rows]
    if print_details:
        print("Tokenized prompt:", model.to_str_tokens(prompt, prepend_bos=prepend_bos))
        shown = [model.to_str_tokens(text, prepend_bos=False) for text in answers]
        print(
            "Tokenized answers:" if len(rows) > 1 else "Tokenized answer:",
            shown if len(rows) > 1 else shown[0],
        )
    logits = model(torch.tensor([[*before, *row] for row in rows], device=model.W_E.device)).float()
    ranks: list[list[tuple[str, int]]] = []
    for step in range(len(rows[0])):
        ranks.append(
            _looked_at(model, logits[:, len(before) + step - 1], step, rows, texts, print_details, top_k)
        )
    found: Any = ranks if len(rows) > 1 else [rank for [rank] in ranks]
    rich_print(f"[b]Ranks of the answer tokens:[/b] {escape(str(found))}")


# pytest would take it for a test wherever it is imported.
test_prompt.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]


def _looked_at(
    model: Any,
    logits: torch.Tensor,
    step: int,
    rows: list[list[int]],
    texts: list[list[str]],
    print_details: bool,
    top_k: int,
) -> list[tuple[str, int]]:
    """The rank of each answer's token at one place, from the logits `[answer, d_vocab]` there."""
    probs = logits.softmax(-1)
    ordered = probs.sort(-1, descending=True)
    tokens = [row[step] for row in rows]
    ranks = [ordered.indices[i].tolist().index(token) for i, token in enumerate(tokens)]
    if print_details:
        lines = [
            f"[b]Rank: {rank: <8} Logit: {logits[i, token]:5.2f} Prob: {probs[i, token]:6.2%} "
            f"Token: |{escape(texts[i][step])}|[/b]"
            for i, (token, rank) in enumerate(zip(tokens, ranks, strict=True))
        ]
        rich_print("\n".join([f"Performance on answer token{'s' if len(rows) > 1 else ''}:", *lines]))
        for i, token in enumerate(ordered.indices[0, :top_k].tolist()):
            print(
                f"Top {i}th token. Logit: {logits[0, token]:5.2f} Prob: {ordered.values[0, i]:6.2%} "
                f"Token: |{model.to_string([token])}|"
            )
    return [(text[step], rank) for text, rank in zip(texts, ranks, strict=True)]
