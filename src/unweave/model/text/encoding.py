"""Texts to tokens: what stands before and behind each, where it is cut, and how a batch is padded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.log import log
from unweave.model.text.tokenizer import WRAP_IT, AnyTokenizer, Side


@dataclass(frozen=True)
class Encoded:
    """A batch of texts: its tokens, and which of them are not padding."""

    tokens: Int[Tensor, "batch pos"]
    attended: Bool[Tensor, "batch pos"]


def encode(
    tokenizer: AnyTokenizer,
    texts: Sequence[str],
    prepend_bos: bool,
    padding_side: Side,
    most: int | None = None,
    as_added: bool = True,
) -> Encoded:
    """The tokens of `texts`, padded to one length.

    Args:
        prepend_bos: put around each text what the tokenizer by itself would, and at least BOS in front;
            False: nothing. What a text begins or ends with already is not put there again.
        most: no more tokens than this; a longer text is cut on the tokenizer's truncation side, which
            is logged. BOS and the like stay.
        as_added: False leaves out what the tokenizer adds behind a text, so that it can be continued.

    Raises:
        InputError: if BOS or padding is needed and the tokenizer has no token for it.
    """
    before, behind = around(tokenizer) if prepend_bos else ([], [])
    behind = behind if as_added else []
    rows = [_bare(row, before, behind) for row in tokenizer.encode(texts, added=False)]
    if most is not None:
        rows = _cut(rows, max(0, most - len(before) - len(behind)), tokenizer.side("truncation"), most)
    return pad([[*before, *row, *behind] for row in rows], tokenizer, padding_side)


def around(tokenizer: AnyTokenizer) -> tuple[list[int], list[int]]:
    """What stands before and behind a text with `prepend_bos=True`.

    A tokenizer that puts nothing in front gets its BOS there; one that has none its EOS, as in TransformerLens.

    Raises:
        InputError: if it has neither.
    """
    before, behind = tokenizer.surroundings()
    if before:
        return before, behind
    bos = bos_token(tokenizer)
    if bos is None:
        raise InputError(
            wanted="a tokenizer with a BOS token, for prepend_bos=True",
            got="one with neither BOS nor EOS",
            remedy="pass prepend_bos=False, set model.cfg.default_prepend_bos = False, or name its bos_token"
            f" (a tokenizers.Tokenizer has no names: {WRAP_IT})",
        )
    return [bos], behind


def bos_token(tokenizer: AnyTokenizer) -> int | None:
    """BOS, or EOS where there is no BOS."""
    bos = tokenizer.special("bos")
    return tokenizer.special("eos") if bos is None else bos


def pad_token(tokenizer: AnyTokenizer) -> int | None:
    """What fills up shorter sequences: the pad token, or else EOS, BOS or UNK; no model attends to it."""
    found = (tokenizer.special(name) for name in ("pad", "eos", "bos", "unk"))
    return next((token for token in found if token is not None), None)


def pad(rows: Sequence[Sequence[int]], tokenizer: AnyTokenizer, side: Side) -> Encoded:
    """`rows` as one tensor, the shorter ones filled up on `side`.

    Raises:
        InputError: if their lengths differ and the tokenizer has no token to fill up with.
    """
    longest = max(map(len, rows))
    if any(len(row) < longest for row in rows) and pad_token(tokenizer) is None:
        raise InputError(
            wanted="texts of one length in tokens, as the tokenizer has no pad, EOS, BOS or UNK token",
            got=f"{min(map(len, rows))} to {longest} tokens",
            remedy=f"name its pad_token, or run the texts one by one (a tokenizers.Tokenizer: {WRAP_IT})",
        )
    tokens = torch.full((len(rows), longest), pad_token(tokenizer) or 0)
    attended = torch.zeros(len(rows), longest, dtype=torch.bool)
    for number, row in enumerate(rows):
        place = slice(longest - len(row), None) if side == "left" else slice(len(row))
        tokens[number, place] = torch.tensor(row, dtype=torch.int64)
        attended[number, place] = True
    return Encoded(tokens, attended)


def _bare(row: list[int], before: list[int], behind: list[int]) -> list[int]:
    """`row` without what would stand there twice."""
    row = row[len(before) :] if before and row[: len(before)] == before else row
    return row[: -len(behind)] if behind and row[-len(behind) :] == behind else row


def _cut(rows: list[list[int]], most: int, side: Side, n_ctx: int) -> list[list[int]]:
    lost = [len(row) - most for row in rows if len(row) > most]
    if lost:
        log.warning(
            "cut %d of %d texts to %d tokens (n_ctx), on the %s; the longest lost %d",
            len(lost),
            len(rows),
            n_ctx,
            side,
            max(lost),
        )
    return [row[len(row) - most :] if side == "left" and len(row) > most else row[:most] for row in rows]
