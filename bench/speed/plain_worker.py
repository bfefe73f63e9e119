"""The floor: the same transformer in plain PyTorch, with nothing to hook."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.peers.channel import serve
from bench.speed.shapes import Shape
from bench.speed.stopwatch import Library


class Block(nn.Module):
    """Attention and MLP, each after a norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.ln1, self.ln2 = nn.LayerNorm(shape.d_model), nn.LayerNorm(shape.d_model)
        self.qkv = nn.Linear(shape.d_model, 3 * shape.d_model)
        self.out = nn.Linear(shape.d_model, shape.d_model)
        self.up = nn.Linear(shape.d_model, shape.d_mlp)
        self.down = nn.Linear(shape.d_mlp, shape.d_model)
        self.act = {"relu": F.relu, "gelu": F.gelu}[shape.act_fn]

    def forward(self, x: Tensor, past: tuple[Tensor, Tensor, int] | None = None) -> Tensor:
        parts = self.qkv(self.ln1(x)).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (self.shape.n_heads, -1)).transpose(1, 2) for part in parts)
        if past is not None:
            keys, values, offset = past
            end = offset + q.shape[2]
            keys[:, :, offset:end], values[:, :, offset:end] = k, v
            k, v = keys[:, :, :end], values[:, :, :end]
        z = F.scaled_dot_product_attention(q, k, v, is_causal=q.shape[2] > 1)
        x = x + self.out(z.transpose(1, 2).flatten(2))
        return x + self.down(self.act(self.up(self.ln2(x))))


class Plain(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(shape.d_vocab, shape.d_model)
        self.positions = nn.Embedding(shape.n_ctx, shape.d_model) if shape.positional else None
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.n_layers))
        self.final = nn.LayerNorm(shape.d_model)
        self.unembed = nn.Linear(shape.d_model, shape.d_vocab)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedded(tokens, 0)
        for block in self.blocks:
            x = block(x)
        return self.unembed(self.final(x))

    def embedded(self, tokens: Tensor, offset: int) -> Tensor:
        x = self.embed(tokens)
        if self.positions is not None:
            x = x + self.positions(torch.arange(offset, offset + tokens.shape[1]))
        return x

    def generate(self, tokens: Tensor, max_new_tokens: int, **_: object) -> Tensor:
        """The likeliest token each time; keys and values lie in tensors made beforehand."""
        longest = tokens.shape[1] + max_new_tokens
        sizes = (tokens.shape[0], self.shape.n_heads, longest, self.shape.d_head)
        kept = [(torch.empty(sizes), torch.empty(sizes)) for _ in self.blocks]
        new, offset = tokens, 0
        for _step in range(max_new_tokens):
            x = self.embedded(new, offset)
            for block, (keys, values) in zip(self.blocks, kept, strict=True):
                x = block(x, (keys, values, offset))
            offset += new.shape[1]
            new = self.unembed(self.final(x[:, -1:])).argmax(-1)
            tokens = torch.cat([tokens, new], 1)
        return tokens


class PlainLibrary(Library):
    fused = True

    def build(self) -> nn.Module:
        return Plain(self.shape)

    # It has no cache: what one costs is told against its forward run.
    cache = cache_filtered = Library.forward_small


if __name__ == "__main__":
    serve(PlainLibrary().answer)
