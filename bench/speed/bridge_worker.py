"""TransformerLens 4.3.0's native bridge, in its own environment. Imports nothing of Unweave."""

from __future__ import annotations

import torch
from torch import nn
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge.sources.native import boot

from bench.peers.channel import serve
from bench.speed.stopwatch import Library


class NativeBridge(Library):
    def build(self) -> nn.Module:
        shape = self.shape
        bridge = boot(
            TransformerBridgeConfig(
                n_layers=shape.n_layers,
                d_model=shape.d_model,
                d_head=shape.d_head,
                n_heads=shape.n_heads,
                d_mlp=shape.d_mlp,
                d_vocab=shape.d_vocab,
                n_ctx=shape.n_ctx,
                act_fn=shape.act_fn,
                architecture="TransformerLensNative",
            )
        )
        if not shape.positional:
            # Its table of positions, as in 3.9: set to zero and kept there.
            weight = bridge.pos_embed.weight
            with torch.no_grad():
                weight.zero_()
            weight.requires_grad_(False)
        return bridge


if __name__ == "__main__":
    serve(NativeBridge().answer)
