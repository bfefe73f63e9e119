"""Singular vectors of a model's weights, read as tokens (Millidge and Black, 2022)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.factored_matrix import FactoredMatrix

OUTPUT_EMBEDDING = "unembed.W_U"
VECTOR_TYPES = ["OV", "w_in", "w_out"]


class SVDInterpreter:
    """What the right singular vectors of OV circuits and MLP weights say of tokens.

    A singular vector's sign is arbitrary, and so is the order of two with equal values; folding and
    centring the weights changes them.
    """

    def __init__(self, model: Any) -> None:
        self.model, self.cfg = model, model.cfg
        self.params: dict[str, Tensor] = dict(model.named_parameters())

    @torch.no_grad()
    def get_singular_vectors(
        self,
        vector_type: str,
        layer_index: int,
        num_vectors: int = 10,
        head_index: int | None = None,
    ) -> Float[Tensor, "d_vocab 1 vector"]:
        """The logits that the first right singular vectors give through the unembedding.

        Args:
            vector_type: "OV", of a head; "w_in", times the weight of the norm before it if there is
                one; or "w_out".

        Raises:
            InputError: for another type, a layer or head that isn't there, a missing head, or more
                vectors than there are.
        """
        if vector_type not in VECTOR_TYPES:
            raise InputError(
                wanted=f"one of {', '.join(VECTOR_TYPES)}", got=repr(vector_type), remedy="check vector_type"
            )
        _require_below("layer_index", layer_index, self.cfg.n_layers)
        if vector_type == "OV":
            _require_below("head_index", head_index, self.cfg.n_heads)
        vectors = self._right_vectors(vector_type, layer_index, head_index)
        if not 1 <= num_vectors <= len(vectors):
            raise InputError(
                wanted=f"num_vectors from 1 to {len(vectors)}", got=str(num_vectors), remedy="ask for fewer"
            )
        return (vectors[:num_vectors].float() @ self.model.W_U.float()).mT[:, None]

    def _right_vectors(
        self, vector_type: str, layer: int, head: int | None
    ) -> Float[Tensor, "vector d_model"]:
        block = self.model.blocks[layer]
        if vector_type == "OV":
            return FactoredMatrix(block.attn.W_V[head], block.attn.W_O[head]).V.mT
        matrix = block.mlp.W_out
        if vector_type == "w_in":
            norm = getattr(block.ln2, "w", None)
            matrix = block.mlp.W_in.mT if norm is None else block.mlp.W_in.mT * norm
        return torch.linalg.svd(matrix.float(), full_matrices=False).Vh


def _require_below(name: str, index: int | None, size: int) -> None:
    if index is None or not 0 <= index < size:
        raise InputError(
            wanted=f"{name} from 0 to {size - 1}", got=str(index), remedy=f"pass {name}=, counted from 0"
        )
