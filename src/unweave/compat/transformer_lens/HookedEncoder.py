"""BERT, with text."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from unweave.compat.transformer_lens.HookedRootModule import HookedRootModule
from unweave.core.errors import InputError
from unweave.core.registry import reach
from unweave.model.config import HookedTransformerConfig
from unweave.model.encoder import HookedEncoder as StrictEncoder


class HookedEncoder(HookedRootModule, StrictEncoder):
    """`unweave.HookedEncoder`, which here reads text too, and fills in masked words.

    Args:
        cfg: as there.
        tokenizer: one of transformers; None loads the one that `cfg.tokenizer_name` names, if any.
        move_to_device: False leaves the model on the CPU.
    """

    def __init__(
        self,
        cfg: HookedTransformerConfig | dict[str, Any],
        tokenizer: Any = None,
        move_to_device: bool = True,
    ) -> None:
        cfg = HookedTransformerConfig.from_dict(cfg) if isinstance(cfg, dict) else cfg
        if not move_to_device:
            cfg = HookedTransformerConfig.from_dict({**cfg.to_dict(), "device": "cpu"})
        super().__init__(cfg)
        if tokenizer is None and cfg.tokenizer_name is not None:
            tokenizer = reach("load_tokenizer")(cfg.tokenizer_name)
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> HookedEncoder:
        """Open a BERT of Hugging Face's; see `unweave.HookedEncoder.from_pretrained`."""
        model = super().from_pretrained(*args, **kwargs)
        # It differs in what it takes, and in nothing that it holds.
        model.__class__ = cls
        assert isinstance(model, cls)
        return model

    def to_tokens(
        self, input: str | list[str], move_to_device: bool = True, truncate: bool = True
    ) -> tuple[Int[Tensor, "batch pos"], Int[Tensor, "batch pos"], Int[Tensor, "batch pos"]]:
        """Tokens, token types and attention mask of a text or several, padded to one length.

        Raises:
            InputError: if there is no tokenizer.
        """
        tokenizer = self._known_tokenizer()
        most = self.cfg.n_ctx if truncate else None
        found = tokenizer(
            input,
            return_tensors="pt",
            return_token_type_ids=True,
            padding=True,
            truncation=truncate,
            max_length=most,
        )
        device = self.W_E.device if move_to_device else torch.device("cpu")
        tokens, types, mask = (
            found[name].to(device) for name in ("input_ids", "token_type_ids", "attention_mask")
        )
        return tokens, types, mask

    def forward(
        self,
        input: Any,
        return_type: str | None = "logits",
        token_type_ids: Tensor | None = None,
        one_zero_attention_mask: Tensor | None = None,
    ) -> Any:
        """Run the encoder on text or tokens.

        Args:
            input: a text, a list of texts, or tokens.
            return_type: "logits", "predictions" (what belongs in the place of each mask token: a text,
                or of several a list of them, "Prediction 0: ..." first), "next_sentence", or None.
            token_type_ids, one_zero_attention_mask: the tokenizer's, for text, unless they are given.

        Raises:
            InputError: as `unweave.HookedEncoder`, and for text without a tokenizer.
        """
        tokens = input
        if isinstance(input, str | list):
            tokens, types, mask = self.to_tokens(input)
            token_type_ids = types if token_type_ids is None else token_type_ids
            one_zero_attention_mask = mask if one_zero_attention_mask is None else one_zero_attention_mask
        asked = "logits" if return_type == "predictions" else return_type
        out = super().forward(tokens, asked, token_type_ids, one_zero_attention_mask)
        if return_type != "predictions":
            return out
        assert out is not None
        tokenizer = self._known_tokenizer()
        predicted = tokenizer.decode(out[tokens == tokenizer.mask_token_id].argmax(-1))
        words = predicted.split(" ")
        return predicted if len(words) == 1 else [f"Prediction {i}: {word}" for i, word in enumerate(words)]

    def _known_tokenizer(self) -> Any:
        if self.tokenizer is None:
            raise InputError(
                wanted="a model with a tokenizer, to read or write text",
                got="one without",
                remedy="set model.tokenizer, or pass tokens",
            )
        return self.tokenizer
