"""Heads and MLPs, written into the weights of a HookedTransformer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from unweave.core.errors import InputError
from unweave.model.config import HookedTransformerConfig
from unweave.model.transformer import HookedTransformer
from unweave.planted.basis import Basis, Row
from unweave.planted.heads import Head
from unweave.planted.language import Op, indices, tokens
from unweave.planted.mlps import Neuron
from unweave.planted.values import Values

# The logit of the right category, where all others have 0 and "None" has half of it.
LOGIT = 10.0

# A model's parameters by name.
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Parts:
    """Everything that is to be written: heads by layer and number, neurons by layer."""

    heads: Mapping[tuple[int, int], Head]
    neurons: Mapping[int, list[Neuron]]
    basis: Basis
    values: Values
    program: Op
    causal: bool
    name: str


def assemble(parts: Parts) -> HookedTransformer:
    """The model, in float64 on the CPU."""
    model = HookedTransformer(_config(parts))
    weights: Weights = dict(model.named_parameters())
    with torch.no_grad():
        for weight in weights.values():
            weight.zero_()
        _write_embeddings(weights, parts.basis)
        for (layer, number), head in parts.heads.items():
            _write_head(weights, f"blocks.{layer}.attn", number, head)
        for layer, neurons in parts.neurons.items():
            _write_neurons(weights, f"blocks.{layer}.mlp", neurons)
        _write_unembedding(weights, parts)
    return model


def output_values(program: Op, values: Values) -> tuple[int, ...]:
    """The categories that a program gives out, which are its classes.

    Raises:
        InputError: unless they are whole numbers above 0.
    """
    found = values.of(program)
    for value in found:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InputError(
                wanted="whole numbers above 0 as a program's output (class 0 is None)",
                got=repr(value),
                remedy="end the program with relabel(f, ...)",
            )
    return found


def _config(parts: Parts) -> HookedTransformerConfig:
    dims = [max(len(head.matches), len(head.moves)) for head in parts.heads.values()]
    neurons = [len(layer) for layer in parts.neurons.values()]
    n_layers = 1 + max((*(layer for layer, _ in parts.heads), *parts.neurons), default=-1)
    outputs = 1 if parts.program.numerical else 1 + max(output_values(parts.program, parts.values), default=0)
    return HookedTransformerConfig(
        model_name=f"planted-{parts.name}",
        n_layers=n_layers,
        d_model=len(parts.basis),
        n_ctx=parts.values.max_length + 1,
        d_head=max(dims, default=1),
        n_heads=1 + max((number for _, number in parts.heads), default=0),
        # A step may have nothing to say, and no neuron.
        d_mlp=max(1, *neurons) if neurons else None,
        attn_only=not neurons,
        act_fn="relu" if neurons else None,
        d_vocab=parts.values.n_tokens + 1,
        d_vocab_out=outputs,
        use_attn_scale=False,
        attention_dir="causal" if parts.causal else "bidirectional",
        positional_embedding_type="standard" if indices in parts.basis.written else "none",
        normalization_type=None,
        dtype="float64",
        # Nothing of what is drawn remains, but the global random state must be left alone.
        seed=0,
    )


def _write_embeddings(weights: Weights, basis: Basis) -> None:
    for op, table in ((tokens, "embed.W_E"), (indices, "pos_embed.W_pos")):
        if op in basis.bos:
            weights[table][0, basis.bos[op]] = 1.0
            for row, at in enumerate(basis.written.get(op, {}).values(), start=1):
                weights[table][row, at] = 1.0


def _write_head(weights: Weights, attn: str, number: int, head: Head) -> None:
    w_q, b_q, w_k, w_v, w_o = (
        weights[f"{attn}.{name}"][number] for name in ("W_Q", "b_Q", "W_K", "W_V", "W_O")
    )
    for dim, match in enumerate(head.matches):
        _put(w_q[:, dim], match.query)
        b_q[dim] = match.constant
        _put(w_k[:, dim], match.key)
    for dim, move in enumerate(head.moves):
        _put(w_v[:, dim], move.read)
        _put(w_o[dim], move.write)


def _write_neurons(weights: Weights, mlp: str, neurons: list[Neuron]) -> None:
    for at, neuron in enumerate(neurons):
        _put(weights[f"{mlp}.W_in"][:, at], neuron.read)
        weights[f"{mlp}.b_in"][at] = neuron.bias
        _put(weights[f"{mlp}.W_out"][at], neuron.write)


def _write_unembedding(weights: Weights, parts: Parts) -> None:
    program, basis, w_u = parts.program, parts.basis, weights["unembed.W_U"]
    if program.numerical:
        _put(w_u[:, 0], basis.number(program))
        return
    for value, row in basis.rows(program).items():
        assert isinstance(value, int)
        _put(w_u[:, value], {at: LOGIT * coefficient for at, coefficient in row.items()})
    weights["unembed.b_U"][0] = LOGIT / 2


def _put(vector: Tensor, row: Row) -> None:
    for at, coefficient in row.items():
        vector[at] = coefficient
