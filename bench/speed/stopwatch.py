"""One repetition on demand: what every worker does with its own library."""

from __future__ import annotations

import platform
import time
from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.speed.shapes import LEARNING_RATE, SHAPES, Shape

# Seconds: a repetition of a millisecond would measure the pipe.
LEAST = 0.05


class Library(ABC):
    """How one library builds a shape, and runs what is timed."""

    shape: Shape
    model: nn.Module
    # TransformerLens trains with AdamW as PyTorch sets it; one fused pass is faster.
    fused: bool | None = None

    def answer(self, ask: str, name: str) -> dict[str, Any]:
        """`ask="build"` builds the shape called `name`; `ask="time"` runs that measure once; "about" says versions."""
        if ask == "about":
            return {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
            }
        if ask == "build":
            self.shape = SHAPES[name]
            torch.manual_seed(0)
            self.model = self.build()
            self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=LEARNING_RATE, fused=self.fused)
            return {}
        return {"ms": 1000 * getattr(self, name)()}

    @abstractmethod
    def build(self) -> nn.Module:
        """The model of `self.shape`."""

    def step_fp32(self) -> float:
        return self.step("fp32")

    def step_bf16(self) -> float:
        return self.step("bf16")

    def step(self, precision: str) -> float:
        """Seconds of one training step: fresh batch, loss, backward, clipped AdamW."""
        begun = time.perf_counter()
        tokens = self.tokens(self.shape.training)
        # The task is to say the previous token.
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = self.model(tokens)[:, 1:]
            loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, :-1].flatten())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        loss.item()
        return time.perf_counter() - begun

    def forward_small(self) -> float:
        return self.timed(lambda tokens: self.model(tokens), self.shape.small)

    def forward_large(self) -> float:
        return self.timed(lambda tokens: self.model(tokens), self.shape.large)

    def cache(self) -> float:
        return self.timed(lambda tokens: self.model.run_with_cache(tokens), self.shape.small)

    def cache_filtered(self) -> float:
        names = [f"blocks.{layer}.hook_resid_post" for layer in range(self.shape.n_layers)]
        return self.timed(
            lambda tokens: self.model.run_with_cache(tokens, names_filter=names), self.shape.small
        )

    def generate(self) -> float:
        """`new_tokens` after a short prompt, the likeliest each time, with keys and values cached."""
        return self.timed(self.continued, self.shape.prompt)

    def continued(self, tokens: Tensor) -> Tensor:
        return self.model.generate(
            tokens, max_new_tokens=self.shape.new_tokens, do_sample=False, stop_at_eos=False, verbose=False
        )

    @torch.no_grad()
    def timed(self, run: Any, batch: tuple[int, int]) -> float:
        """Seconds that `run` takes on a batch made beforehand: the mean of as many calls as fill LEAST."""
        tokens, calls = self.tokens(batch), 0
        begun = time.perf_counter()
        while (elapsed := time.perf_counter() - begun) < LEAST or not calls:
            run(tokens)
            calls += 1
        return elapsed / calls

    def tokens(self, batch: tuple[int, int]) -> Tensor:
        return torch.randint(0, self.shape.d_vocab, batch)
