"""Queries, keys and values that are computed only where a layer's input has changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from jaxtyping import Bool, Float
from torch import Tensor

from unweave.engine.base import Base
from unweave.model.attention import Attention
from unweave.model.block import TransformerBlock
from unweave.model.run import Run
from unweave.model.transformer import HookedTransformer

Stream = Float[Tensor, "row pos d_model"]

# What a layer makes before its heads mix values. Where hooks stand there, all of it must be made.
BEFORE_MIXING = (
    *("hook_resid_pre", "hook_attn_in", "hook_q_input", "hook_k_input", "hook_v_input"),
    *("ln1.", "attn.hook_q", "attn.hook_k", "attn.hook_v", "attn.q_norm.", "attn.k_norm."),
)


@dataclass(frozen=True, eq=False)
class Projections:
    """Layers run one by one, over queries, keys and values of the run without patches where these still hold.

    Args:
        queries: of the run without patches, by layer, as they come to be needed.
    """

    model: HookedTransformer
    base: Base
    queries: dict[int, Float[Tensor, "sample pos head d_head"]] = field(default_factory=dict)

    def can_run(self, layer: int) -> bool:
        """Whether a layer's queries, keys and values are what its own weights make of the stream."""
        attention = self.block(layer).attn
        return (
            self.base.keys_values is not None
            and self.model.cfg.positional_embedding_type != "shortformer"
            and self.model.placement is None
            and isinstance(attention, Attention)
            and type(attention).forward is Attention.forward
        )

    def run(
        self,
        layer: int,
        stream: Stream,
        changed: Bool[Tensor, "row key"],
        samples: slice,
        offset: int,
        read: int,
    ) -> Float[Tensor, "row read d_model"]:
        """The stream after a layer, from position `read` on.

        Args:
            stream: what goes into the layer, from position `offset` on; rows are all samples of one
                patch after the other.
            changed: where it may differ from the run without patches, at all positions.
        """
        projected = self._projected(layer, stream, changed, samples, offset, read)
        late = stream[:, read - offset :]
        run = Run(late.shape[1], late.device, read, self._attended(len(stream), samples), projected=projected)
        self.model.add_position_bias(run)
        return self.block(layer)(late, run)

    def block(self, layer: int) -> TransformerBlock:
        """The layer itself."""
        return cast(TransformerBlock, self.model.blocks[layer])

    def _projected(
        self,
        layer: int,
        stream: Stream,
        changed: Bool[Tensor, "row key"],
        samples: slice,
        offset: int,
        read: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries from `read` on, and keys and values of all positions."""
        block = self.block(layer)
        assert self.base.keys_values is not None
        held = self.base.keys_values[layer]
        q = self._repeated(self._queries(layer)[:, read:], samples, len(stream))
        k, v = (self._repeated(part, samples, len(stream)) for part in (held.past_keys, held.past_values))
        rows, positions = changed.nonzero(as_tuple=True)
        if len(rows):
            normed = block.attention_norm(stream[rows, positions - offset][:, None])
            keys, values = block.attn.keys_values(normed, normed)
            k[rows, positions], v[rows, positions] = keys[:, 0], values[:, 0]
            late = positions >= read
            if read > offset:
                rows, positions, normed = rows[late], positions[late], normed[late]
            q[rows, positions - read] = block.attn.queries(normed)[:, 0]
        return q, k, v

    def _queries(self, layer: int) -> Tensor:
        if layer not in self.queries:
            block = self.block(layer)
            self.queries[layer] = block.attn.queries(block.attention_norm(self.base.streams[layer]))
        return self.queries[layer]

    def _repeated(self, part: Tensor, samples: slice, rows: int) -> Tensor:
        own = part[samples]
        return own.repeat(rows // len(own), 1, 1, 1)

    def _attended(self, rows: int, samples: slice) -> Bool[Tensor, "row pos"] | None:
        mask = self.base.attended
        return None if mask is None else mask[samples].repeat(rows // len(mask[samples]), 1)
