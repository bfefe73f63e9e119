"""TransformerLens 3.9.0, in its own environment. Imports nothing of Unweave."""

from __future__ import annotations

import torch
from torch import nn
from transformer_lens import HookedTransformer, HookedTransformerConfig

from bench.peers.channel import serve
from bench.speed.stopwatch import Library


class TransformerLens(Library):
    def build(self) -> nn.Module:
        shape = self.shape
        model = HookedTransformer(
            HookedTransformerConfig(
                n_layers=shape.n_layers,
                d_model=shape.d_model,
                d_head=shape.d_head,
                d_mlp=shape.d_mlp,
                d_vocab=shape.d_vocab,
                n_ctx=shape.n_ctx,
                act_fn=shape.act_fn,
                device="cpu",
            )
        )
        if not shape.positional:
            # It always has the table; without positions one sets it to zero and keeps it there.
            with torch.no_grad():
                model.pos_embed.W_pos.zero_()
            model.pos_embed.W_pos.requires_grad_(False)
        return model


if __name__ == "__main__":
    serve(TransformerLens().answer)
