"""What a run is given: tokens and what goes with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from unweave.core.errors import InputError
from unweave.model.transformer import HookedTransformer


@dataclass(frozen=True, eq=False)
class Inputs:
    """Tokens `[sample, pos]`, with the mask and types that the model's forward takes.

    Args:
        attention_mask: 1 for tokens, 0 for padding; None: nothing is padded.
        token_type_ids: each token's type, where the config has any.
    """

    tokens: Int[Tensor, "sample pos"]
    attention_mask: Tensor | None = None
    token_type_ids: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """How many samples, and how many positions."""
        return self.tokens.shape[0], self.tokens.shape[1]

    @property
    def others(self) -> dict[str, Any]:
        """The arguments that go with the tokens."""
        return {"attention_mask": self.attention_mask, "token_type_ids": self.token_type_ids}

    def of(self, samples: slice) -> Inputs:
        """Those of some samples."""
        mask, types = self.attention_mask, self.token_type_ids
        return Inputs(
            self.tokens[samples],
            None if mask is None else mask[samples],
            None if types is None else types[samples],
        )


# Another run, or the activations of one.
Source = Inputs | Mapping[str, Tensor]


def as_inputs(tokens: Inputs | Tensor, **others: Tensor | None) -> Inputs:
    """`tokens`, one sequence or a batch, with what goes with them.

    Raises:
        InputError: if both an Inputs and something to go with it are given.
    """
    given = [name for name, value in others.items() if value is not None]
    if isinstance(tokens, Inputs):
        if given:
            raise InputError(
                wanted="the mask and types in Inputs(tokens, attention_mask, token_type_ids)",
                got=f"Inputs, and {given[0]} beside them",
                remedy=f"put {given[0]} into Inputs",
            )
        return tokens
    if not isinstance(tokens, Tensor) or tokens.ndim not in (1, 2) or tokens.is_floating_point():
        raise InputError(
            wanted="tokens [sample, pos]",
            got=f"shape {tuple(tokens.shape)}, {tokens.dtype}"
            if isinstance(tokens, Tensor)
            else type(tokens).__name__,
            remedy="pass whole numbers, a row a sequence",
        )
    return Inputs(tokens[None] if tokens.ndim == 1 else tokens, **others)


def as_source(source: Inputs | Tensor | Mapping[str, Tensor], base: Inputs) -> Source:
    """`source` as another run, or as activations of one.

    Raises:
        InputError: for plain tokens beside a run that has a mask or types.
    """
    if isinstance(source, Inputs) or not isinstance(source, Tensor):
        return source
    if base.attention_mask is not None or base.token_type_ids is not None:
        raise InputError(
            wanted="a source that says what is padded and of which type, as the tokens do",
            got="plain tokens",
            remedy="pass source=unweave.Inputs(tokens, attention_mask, token_type_ids)",
        )
    return as_inputs(source)


def require_model(model: object) -> HookedTransformer:
    """`model`, if it is one that the engine can plan for."""
    if not isinstance(model, HookedTransformer):
        raise InputError(
            wanted="a HookedTransformer",
            got=type(model).__name__,
            remedy="for another module, unweave.wrap it and use its run_with_hooks",
        )
    return model


def as_tensor(value: Any, like: Tensor) -> Tensor:
    """A number or tensor in the dtype and on the device of `like`."""
    return torch.as_tensor(value).to(device=like.device, dtype=like.dtype)
