"""Unweave, as its users run it."""

from __future__ import annotations

import time

from torch import nn

import unweave
from bench.peers.channel import serve
from bench.speed.shapes import LEARNING_RATE
from bench.speed.stopwatch import Library
from unweave.tasks import PreviousToken
from unweave.training import TrainConfig, train


class Unweave(Library):
    def build(self) -> nn.Module:
        shape = self.shape
        return unweave.HookedTransformer(
            unweave.HookedTransformerConfig(
                n_layers=shape.n_layers,
                d_model=shape.d_model,
                d_head=shape.d_head,
                d_mlp=shape.d_mlp,
                d_vocab=shape.d_vocab,
                n_ctx=shape.n_ctx,
                act_fn=shape.act_fn,
                positional_embedding_type="standard" if shape.positional else "none",
            )
        )

    def step(self, precision: str) -> float:
        """The last of some steps of `train`: the first ones take the optimiser's memory, too."""
        begun: list[float] = []

        def schedule(step: int) -> float:
            begun.append(time.perf_counter())
            return 1.0

        batch_size, positions = self.shape.training
        task = PreviousToken(d_vocab=self.shape.d_vocab, n_ctx=positions)
        config = TrainConfig(
            steps=self.shape.steps + 1,
            batch_size=batch_size,
            lr=LEARNING_RATE,
            schedule=schedule,
            precision=precision,
        )
        train(self.model, task, config)
        return begun[-1] - begun[-2]


if __name__ == "__main__":
    serve(Unweave().answer)
