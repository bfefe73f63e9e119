"""BERT's judgement of whether one sentence follows another."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.core.errors import InputError

PREDICTIONS = ("The sentences are sequential", "The sentences are NOT sequential")


class BertNextSentencePrediction:
    """A HookedEncoder, called on two sentences.

    Args:
        model: with the heads `pooler` and `nsp_head`; with a tokenizer, for text.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    def to_tokens(
        self, input: list[str], move_to_device: bool = True, truncate: bool = True
    ) -> tuple[Int[Tensor, "1 pos"], Int[Tensor, "1 pos"], Int[Tensor, "1 pos"]]:
        """Tokens of two sentences, each one's type (0 or 1), and the attention mask.

        Raises:
            InputError: for another number of sentences, or without a tokenizer.
        """
        if isinstance(input, str) or len(input) != 2:
            raise InputError(
                wanted="a list of two sentences", got=f"{input!r}"[:60], remedy="pass [first, second]"
            )
        if self.model.tokenizer is None:
            raise InputError(
                wanted="a model with a tokenizer, for text", got="one without", remedy="pass tokens"
            )
        most = self.model.cfg.n_ctx if truncate else None
        found = self.model.tokenizer(
            *input,
            return_tensors="pt",
            return_token_type_ids=True,
            padding=True,
            truncation=truncate,
            max_length=most,
        )
        device = self.model.W_E.device if move_to_device else torch.device("cpu")
        tokens, types, mask = (
            found[name].to(device) for name in ("input_ids", "token_type_ids", "attention_mask")
        )
        return tokens, types, mask

    def forward(
        self,
        input: list[str] | Int[Tensor, "batch pos"],
        return_type: str | None = "logits",
        token_type_ids: Int[Tensor, "batch pos"] | None = None,
        one_zero_attention_mask: Tensor | None = None,
    ) -> Float[Tensor, "batch 2"] | str | None:
        """Two logits, "sequential" first.

        Args:
            input: two sentences, or the tokens of a pair, with `token_type_ids`.
            return_type: "logits", "predictions" (a sentence), or None.

        Raises:
            InputError: for tokens without their types, or several pairs with "predictions".
        """
        given = self._given(input, token_type_ids, one_zero_attention_mask)
        return _answer(self.model(**given), return_type)

    __call__ = forward

    def run_with_cache(
        self,
        input: list[str] | Int[Tensor, "batch pos"],
        return_type: str | None = "logits",
        token_type_ids: Int[Tensor, "batch pos"] | None = None,
        one_zero_attention_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[Any, Any]:
        """What `forward` gives, and the cache of that run.

        Args:
            kwargs: of `HookedEncoder.run_with_cache`.
        """
        given = self._given(input, token_type_ids, one_zero_attention_mask)
        logits, cache = self.model.run_with_cache(**given, **kwargs)
        return _answer(logits, return_type), cache

    def _given(self, input: Any, types: Tensor | None, mask: Tensor | None) -> dict[str, Any]:
        """The arguments of the encoder's run."""
        tokens = input
        if not isinstance(input, Tensor):
            tokens, *found = self.to_tokens(input)
            types, mask = (
                own if given is None else given for own, given in zip(found, (types, mask), strict=True)
            )
        if types is None:
            raise InputError(
                wanted="token_type_ids beside tokens: which sentence each is of",
                got="none",
                remedy="pass them, or two sentences as text",
            )
        return {
            "input": tokens,
            "return_type": "next_sentence",
            "token_type_ids": types,
            "one_zero_attention_mask": mask,
        }


def _answer(logits: Float[Tensor, "batch 2"], return_type: str | None) -> Any:
    match return_type:
        case "logits":
            return logits
        case None:
            return None
        case "predictions" if len(logits) == 1:
            return PREDICTIONS[int(logits[0].argmax())]
        case _:
            raise InputError(
                wanted="return_type 'logits', None, or, for one pair, 'predictions'",
                got=f"{return_type!r} and {len(logits)} pairs",
                remedy="leave it out for logits",
            )
