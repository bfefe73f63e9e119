"""Texts, chats and tokens, continued."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from tqdm import tqdm

from unweave.core.errors import InputError
from unweave.model.generate import generate as generate_tokens
from unweave.model.generate import generate_steps
from unweave.model.sampling import Sampler
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
    eos_token_id = _eos(model, stop_at_eos, eos_token_id)
    kwargs["attention_mask"] = attended if attention_mask is None else attention_mask
    longer = generate_tokens(model, tokens, max_new_tokens, stop_at_eos, eos_token_id, *args, **kwargs)
    return reply.given(model, longer)


def generate_stream(
    model: HookedTransformer,
    reply: Reply,
    max_new_tokens: int,
    max_tokens_per_yield: int,
    stop_at_eos: bool,
    eos_token_id: int | Sequence[int] | None,
    sampler: Sampler,
    use_past_kv_cache: bool,
    attention_mask: Tensor | None,
    verbose: bool,
) -> Iterator[Tensor]:
    """What `generate` gives, in batches of tokens as it grows; see `TextMethods.generate_stream`."""
    if reply.return_type != "tokens":
        raise InputError(
            wanted="return_type='tokens': a batch of tokens may end inside a character",
            got=repr(reply.return_type),
            remedy="leave it out, and pass what was streamed so far to model.to_string",
        )
    if max_tokens_per_yield < 1:
        raise InputError(
            wanted="max_tokens_per_yield of at least 1",
            got=str(max_tokens_per_yield),
            remedy="leave it out for 25",
        )
    tokens, attended = reply.prepared(model)
    steps = generate_steps(
        model,
        tokens,
        max_new_tokens,
        stop_at_eos,
        _eos(model, stop_at_eos, eos_token_id),
        sampler,
        use_past_kv_cache,
        attended if attention_mask is None else attention_mask,
    )
    shown = tqdm(steps, total=max_new_tokens, initial=-1, disable=None if verbose else True)
    return _batches(iter(shown), max_tokens_per_yield)


def _batches(steps: Iterator[Tensor], most: int) -> Iterator[Tensor]:
    """What is new since the last batch, the input in front of the first, whenever `most` tokens are there."""
    tokens, given = next(steps), 0
    for tokens in steps:
        if tokens.shape[1] - given >= most:
            yield tokens[:, given:]
            given = tokens.shape[1]
    if tokens.shape[1] > given:
        yield tokens[:, given:]


def _eos(
    model: HookedTransformer, stop_at_eos: bool, eos_token_id: int | Sequence[int] | None
) -> int | Sequence[int] | None:
    if stop_at_eos and eos_token_id is None and model.tokenizer is not None:
        return model.known_tokenizer().special("eos")
    return eos_token_id
