"""Texts, chats and tokens, continued."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from unweave.core.errors import InputError
from unweave.model.generate import generate as generate_tokens
from unweave.model.text.inputs import is_chat, is_text
from unweave.model.transformer import HookedTransformer

RETURNED = ("input", "str", "tokens")


@dataclass(frozen=True)
class Reply:
    """What is continued, and how the answer is given; the fields are arguments of `model.generate`."""

    input: Any
    return_type: str
    prepend_bos: bool | None
    padding_side: str | None

    def __post_init__(self) -> None:
        if self.return_type not in RETURNED:
            raise InputError(
                wanted=f"return_type to be one of {', '.join(map(repr, RETURNED))}",
                got=repr(self.return_type),
                remedy="leave it out for what the input was",
            )
        if self.is_text and self.padding_side == "right":
            raise InputError(
                wanted="padding on the left, so that each text ends where it goes on",
                got="padding_side='right'",
                remedy="leave it out",
            )

    @property
    def is_text(self) -> bool:
        """Whether the input is text, and not tokens."""
        return is_text(self.input)

    def prepared(self, model: HookedTransformer) -> tuple[Tensor, Tensor | None]:
        """Tokens, and which of them are not padding; None: all."""
        if not self.is_text:
            return self.input, model.attended(self.input, self.prepend_bos, self.padding_side)
        found = model.encoded(
            self.input, self.prepend_bos, "left", add_generation_prompt=True, as_added=False
        )
        return found.tokens, found.attended

    def given(self, model: HookedTransformer, tokens: Tensor) -> Any:
        """The answer in the wanted form: tokens, a text, or a list of texts."""
        if self.return_type == "tokens" or (self.return_type == "input" and not self.is_text):
            return tokens
        rows = tokens.reshape(-1, tokens.shape[-1]).tolist()
        texts = [model.known_tokenizer().decode(row, skip_special=True) for row in rows]
        one = isinstance(self.input, str) or is_chat(self.input) if self.is_text else len(texts) == 1
        return texts[0] if one else texts


def generate(
    model: HookedTransformer,
    reply: Reply,
    max_new_tokens: int,
    stop_at_eos: bool,
    eos_token_id: int | Sequence[int] | None,
    *args: Any,
    attention_mask: Tensor | None = None,
    **kwargs: Any,
) -> Any:
    """`unweave.model.generate.generate` with text going in and coming out; see `TextMethods.generate`."""
    tokens, attended = reply.prepared(model)
    if stop_at_eos and eos_token_id is None and model.tokenizer is not None:
        eos_token_id = model.known_tokenizer().special("eos")
    kwargs["attention_mask"] = attended if attention_mask is None else attention_mask
    longer = generate_tokens(model, tokens, max_new_tokens, stop_at_eos, eos_token_id, *args, **kwargs)
    return reply.given(model, longer)
