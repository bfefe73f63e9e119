"""Choosing the next token from logits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unweave.core.errors import InputError

Logits = Float[Tensor, "batch d_vocab"]


@dataclass(frozen=True)
class Sampler:
    """How a token is chosen; the arguments are those of `generate`."""

    do_sample: bool = True
    top_k: int | None = None
    top_p: int | float | None = None
    temperature: int | float = 1.0
    freq_penalty: int | float = 0.0
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        for name, fits, wanted in (
            ("temperature", 0 <= self.temperature < math.inf, "a finite number of at least 0"),
            ("freq_penalty", math.isfinite(self.freq_penalty), "a finite number"),
            ("top_k", self.top_k is None or self.top_k >= 1, "a whole number of at least 1, or None,"),
            ("top_p", self.top_p is None or 0 < self.top_p <= 1, "a number above 0 and up to 1, or None,"),
        ):
            if not fits:
                raise InputError(
                    wanted=f"{wanted} for {name}", got=repr(getattr(self, name)), remedy=f"set {name}"
                )
        drawn = (self.top_k, self.top_p, self.generator) != (None, None, None) or self.temperature != 1.0
        if not self.do_sample and drawn:
            raise InputError(
                wanted="do_sample=True with top_k, top_p, temperature or generator",
                got="do_sample=False",
                remedy="leave them out for the likeliest token",
            )

    def __call__(
        self, logits: Logits, tokens: Int[Tensor, "batch pos"], attended: Bool[Tensor, "batch pos"]
    ) -> Int[Tensor, " batch"]:
        """The next token of every sequence of `tokens`."""
        likeliest = not self.do_sample or self.temperature == 0
        logits = logits if likeliest else logits / self.temperature
        if self.freq_penalty:
            logits = logits - self.freq_penalty * _counts(tokens, attended, logits.shape[-1])
        if likeliest:
            return logits.argmax(-1)
        odds = self.distribution(logits)
        odds = odds if self.generator is None else odds.to(self.generator.device)
        return torch.multinomial(odds, 1, generator=self.generator)[:, 0].to(logits.device)

    def distribution(self, logits: Logits) -> Logits:
        """The probabilities that are drawn from, of logits at their temperature."""
        logits = logits.float()
        if self.top_k is not None:
            # Of tokens that are equally likely, all or none of those at the edge: here, all.
            least = logits.topk(min(self.top_k, logits.shape[-1]), -1).values[:, -1:]
            logits = logits.masked_fill(logits < least, -math.inf)
        if self.top_p is not None and self.top_p < 1:
            ordered, order = logits.softmax(-1).sort(-1, descending=True)
            # A token stays if those before it do not have enough yet: the likeliest always does.
            enough = ordered.cumsum(-1) - ordered >= self.top_p
            logits = logits.masked_fill(enough.gather(-1, order.argsort(-1)), -math.inf)
        return logits.softmax(-1)


def _counts(tokens: Tensor, attended: Tensor, d_vocab: int) -> Tensor:
    counts = torch.zeros(len(tokens), d_vocab, device=tokens.device)
    return counts.scatter_add_(1, tokens, attended.to(counts.dtype))
