"""Calls that the two libraries are known to answer differently, and why. One that no longer holds is an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from bench.parity.differences import Tensors, in_our_order

Kind = Literal["another value", "we refuse", "the peer raises"]
# From theirs, ours, the weights and the tensor's name.
Derive = Callable[[Tensor, Tensor, Tensors, str], Tensor]


@dataclass(frozen=True)
class CallDifference:
    """Calls or tensors that differ.

    Args:
        name: a regular expression for the start of a call's name, or of one of its tensors'.
        kind: what differs: a value, or who has none.
        where: the configs that it holds for.
        ours: from TransformerLens' tensor, ours and the weights, what ours must be, if that can be said.
        always: False if the two may also happen to agree.
        tolerance: what the derived value must agree to.
    """

    name: str
    kind: Kind
    reason: str
    where: Callable[[dict[str, Any]], bool]
    ours: Derive | None = None
    always: bool = True
    tolerance: float = 1e-5

    def covers(self, name: str, config: dict[str, Any]) -> bool:
        """Whether this entry speaks of `name` for a model of this config."""
        return re.match(rf"(?:{self.name})(?: \||$)", name) is not None and self.where(config)


def find(name: str, kind: Kind, config: dict[str, Any]) -> CallDifference | None:
    """The entry for this, if there is one."""
    return next((entry for entry in KNOWN if entry.kind == kind and entry.covers(name, config)), None)


def _with(**fields: Any) -> Callable[[dict[str, Any]], bool]:
    return lambda config: all(config.get(name, False) == value for name, value in fields.items())


def _weighted(config: dict[str, Any]) -> bool:
    return config["normalization_type"] in ("LN", "RMS")


def _times(weight: str) -> Derive:
    return lambda theirs, ours, weights, name: theirs * weights[weight]


def _experts(config: dict[str, Any]) -> bool:
    return bool(config.get("num_experts"))


def _norms_without_weights(config: dict[str, Any]) -> bool:
    return config["normalization_type"] is None


def _without_mlp_input(config: dict[str, Any]) -> bool:
    return bool(config.get("attn_only") or config.get("parallel_attn_mlp"))


def _shortformer(config: dict[str, Any]) -> bool:
    return config["positional_embedding_type"] == "shortformer"


def _in_our_shape(theirs: Tensor, ours: Tensor, weights: Tensors, name: str) -> Tensor:
    return theirs.reshape(ours.shape) if theirs.numel() == ours.numel() else theirs


def _centred_experts(theirs: Tensor, ours: Tensor, weights: Tensors, name: str) -> Tensor:
    weight = weights[name.partition(" | ")[2]]
    return weight - weight.mean(-1, keepdim=True)


def _signs_at_will(theirs: Tensor, ours: Tensor, weights: Tensors, name: str) -> Tensor:
    return theirs.abs() * ours.sign()


def _one_of(names: Iterable[str], processed: bool = True) -> str:
    return ("(?:processed: )?" if processed else "") + "(?:" + "|".join(map(re.escape, names)) + ")"


_FOLDED_AWAY = (
    "TransformerLens leaves the norm's weight out, taking it to be folded; after folding both agree"
)
_TWICE = (
    "without a tokenizer TransformerLens counts cached positions twice: wrong tokens, then an error; "
    "without a cache both agree"
)
_SHORTFORMER = "shortformer's positions are read by queries and keys alone: they are no part of the stream"
_NO_MLP_INPUT = "no MLP reads what attention has written to this stream"
_POST_NORMS = (
    "ours are what heads and neurons add to the stream, through the norm that stands in between, and sum to it; "
    "TransformerLens leaves that norm out"
)
_UNUSED_TABLE = "TransformerLens keeps a positional table that ALiBi never reads"

_LOOKED_UP = ("standard", "shortformer")


_THROUGH_THE_FINAL_NORM = (
    "decompose_resid, norm",
    "stack_head_results, norm",
    "get_full_resid_decomposition, norm",
    "apply_ln_to_stack",
    "stack_neuron_results, norm, projected",
    "get_full_resid_decomposition, norm, projected",
    "logit_attrs",
    "logit_attrs, tokens",
    "logit_attrs, difference",
)
_THROUGH_NORMS: dict[str, tuple[str, ...]] = {
    "ln_final.w": _THROUGH_THE_FINAL_NORM[:4],
    "blocks.1.ln1.w": (
        "accumulated_resid to 1, norm",
        "stack_head_results to 1, norm",
        "stack_neuron_results, norm",
        "apply_ln_to_stack, sequences",
    ),
    "blocks.1.ln2.w": ("accumulated_resid to 1, MLP's norm", "decompose_resid, MLP's norm"),
}


def _not_folded(config: dict[str, Any]) -> bool:
    """Whether the norms keep their weights through what is done together."""
    return _weighted(config) and bool(config.get("final_rms") or config.get("num_experts"))


KNOWN: list[CallDifference] = [
    # The first entry that covers a call speaks for it.
    CallDifference(
        _one_of(
            (
                "decompose_resid, MLP's input",
                "decompose_resid, MLP's norm",
                "get_full_resid_decomposition, MLP's input",
            )
        ),
        "another value",
        "a parallel layer's MLP reads the stream before its attention; TransformerLens counts that in",
        _with(parallel_attn_mlp=True),
    ),
    CallDifference(
        r"(?:processed: )?(?:get_full_resid_decomposition|stack_head_results|stack_neuron_results"
        r"|get_neuron_results|logit_attrs).*",
        "another value",
        _POST_NORMS,
        _with(use_normalization_before_and_after=True),
        always=False,
    ),
    CallDifference(
        _one_of(_THROUGH_THE_FINAL_NORM),
        "another value",
        "TransformerLens takes a mean away that the final RMS norm leaves; and see the norm's weight",
        _with(final_rms=True),
    ),
    *(
        CallDifference(_one_of(names, processed), "another value", _FOLDED_AWAY, where, _times(weight))
        for weight, names in _THROUGH_NORMS.items()
        for processed, where in ((False, _weighted), (True, _not_folded))
    ),
    *(
        CallDifference(_one_of(_THROUGH_THE_FINAL_NORM[4:], processed), "another value", _FOLDED_AWAY, where)
        for processed, where in ((False, _weighted), (True, _not_folded))
    ),
    CallDifference(
        r"(?:processed: )?gradients \| blocks\.\d\.ln1\.hook_\w+_grad",
        "another value",
        "TransformerLens runs ln1 for queries, keys and values each, and keeps the gradient of one of the three; "
        "ours is the sum, as is theirs under hooks that add up",
        lambda config: config["normalization_type"] is not None,
    ),
    CallDifference(
        r"processed, refactor_factored_attn_matrices \| blocks\.\d\.attn\.(?:[Wb]_[QK]|W_[VO])",
        "another value",
        "singular vectors have a sign at will",
        lambda _: True,
        _signs_at_will,
        always=False,
        # Vectors of nearby singular values turn into each other; theirs are computed in float32.
        tolerance=1e-3,
    ),
    CallDifference(
        _one_of(("generate", "generate until a token", "generate until one of several")),
        "the peer raises",
        _TWICE,
        lambda config: config["positional_embedding_type"] in _LOOKED_UP,
        always=False,
    ),
    CallDifference(
        _one_of(("generate until a token", "generate until one of several")),
        "another value",
        _TWICE,
        lambda config: config["positional_embedding_type"] in _LOOKED_UP,
        always=False,
    ),
    CallDifference(
        r"(?:processed: )?gradients(?:, summed)? \| blocks\.\d\.attn\.hook_attn_scores(?:_grad)?",
        "another value",
        "the gradient of a query that sees nothing is NaN in TransformerLens, zero with us",
        lambda config: True,
        lambda theirs, ours, weights, name: theirs.nan_to_num(nan=0.0),
        always=False,
    ),
    CallDifference(
        r"(?:processed: )?gradients(?:, summed)? \| blocks\.\d\.attn\.[qk]_norm\.hook_\w+",
        "another value",
        "ours are [batch, pos, head, ...]; theirs have all three in one dimension",
        _with(use_qk_norm=True),
        _in_our_shape,
    ),
    CallDifference(
        r"(?:processed: )?gradients(?:, summed)? \| blocks\.\d\.mlp\.hook_expert_weights(?:_grad)?",
        "another value",
        "ours are [batch, pos, ...]; theirs have batch and position in one dimension",
        _experts,
        _in_our_shape,
    ),
    CallDifference(
        r"(?:processed: )?gradients(?:, summed)? \| blocks\.\d\.mlp\.experts\..*",
        "another value",
        "rows of an expert: ours by batch and position, theirs first by the place in a token's choice",
        _experts,
        in_our_order,
        always=False,
    ),
    CallDifference(
        r"(?:processed: )?pos_slice \| blocks\.\d\.attn\.(?:hook_rot_[qk]|[qk]_norm\.hook_\w+)",
        "another value",
        "TransformerLens slices heads, or rows of all sequences, where positions are meant",
        lambda config: True,
    ),
    CallDifference(
        _one_of(("remove_batch_dim", "remove_batch_dim, decomposed")),
        "the peer raises",
        "its QK norms have batch, position and head in one dimension",
        _with(use_qk_norm=True),
    ),
    CallDifference(
        r"(?:processed: )?accumulated_bias.*",
        "another value",
        "TransformerLens adds the biases up in float32, whatever the model's dtype",
        _with(dtype="float64"),
        lambda theirs, ours, weights, name: theirs.to(ours.dtype),
    ),
    CallDifference(
        _one_of(("get_full_resid_decomposition, projected",)),
        "the peer raises",
        "its biases are added up in float32",
        _with(dtype="float64"),
    ),
    CallDifference(
        r"processed, fold_ln \| unembed\.W_U",
        "another value",
        "TransformerLens centres the weights that it folds into W_U, and puts a final LayerNorm in the place of "
        "the RMS norm, which changes the model; our log-probabilities stay",
        _with(final_rms=True),
        lambda theirs, ours, weights, name: weights["ln_final.w"][:, None] * weights["unembed.W_U"],
    ),
    CallDifference(
        r"processed, center_writing_weights \| pos_embed\.W_pos",
        "another value",
        "no norm stands between shortformer's positions and the queries and keys: centring them changes the model",
        _shortformer,
        lambda theirs, ours, weights, name: weights["pos_embed.W_pos"],
    ),
    CallDifference(
        r"processed, center_writing_weights \| blocks\.\d\.mlp\.experts\.\d\.W_out",
        "another value",
        "TransformerLens centres what experts write over neurons, not over d_model, which changes the model",
        _experts,
        _centred_experts,
    ),
    CallDifference(
        r"(?:processed: )?(?:decompose_resid|get_full_resid|remove_batch_dim, decomposed|logit_attrs, ).*",
        "another value",
        _SHORTFORMER,
        _shortformer,
        always=False,
    ),
    CallDifference(
        _one_of(("from layer 1 on",)),
        "another value",
        "TransformerLens leaves shortformer's positions out unless they are passed; we take the model's own",
        _shortformer,
    ),
    CallDifference(
        _one_of(("apply_ln_to_stack, sequences",)),
        "another value",
        "without norms TransformerLens ignores batch_slice",
        _norms_without_weights,
        lambda theirs, ours, weights, name: theirs[:, :2],
    ),
    CallDifference(
        _one_of(("stack_neuron_results, norm, projected", "get_full_resid_decomposition, norm, projected")),
        "the peer raises",
        "it looks for the scale of a norm that is not there",
        _norms_without_weights,
    ),
    CallDifference(
        _one_of(("accumulated_bias, MLP's input", "accumulated_bias, MLP's input, no MLPs")),
        "we refuse",
        _NO_MLP_INPUT,
        _without_mlp_input,
    ),
    CallDifference(
        _one_of(
            (
                "decompose_resid, MLP's input",
                "decompose_resid, MLP's norm",
                "get_full_resid_decomposition, MLP's input",
            )
        ),
        "we refuse",
        _NO_MLP_INPUT,
        _with(attn_only=True),
    ),
    CallDifference(
        _one_of(
            (
                "accumulated_resid to 1, MLP's input",
                "accumulated_resid to 1, MLP's norm",
                "accumulated_resid to 1, mid, MLP's input",
            )
        ),
        "the peer raises",
        "it looks for a resid_mid that a parallel layer does not have",
        _with(parallel_attn_mlp=True),
    ),
    CallDifference(
        r"(?:processed: )?accumulated_bias.*",
        "we refuse",
        "a norm acts on the biases, with a scale of its own at each position",
        _with(use_normalization_before_and_after=True),
    ),
    CallDifference(
        r"(?:processed: )?pos_slice \| blocks\.\d\.mlp\.(?:hook_expert_|experts\.).*",
        "another value",
        "TransformerLens slices rows of all sequences where positions are meant",
        _experts,
    ),
    CallDifference(
        r"(?:processed: )?(?:remove_batch_dim|get_neuron_results|stack_neuron_results).*",
        "the peer raises",
        "experts are rows of all sequences there, and no neurons of its",
        _experts,
    ),
    CallDifference(
        _one_of(("W_pos", "W_E_pos")),
        "we refuse",
        _UNUSED_TABLE,
        _with(positional_embedding_type="alibi"),
    ),
    CallDifference(
        r"processed, \w+ \| pos_embed\.W_pos",
        "we refuse",
        _UNUSED_TABLE,
        _with(positional_embedding_type="alibi"),
    ),
    CallDifference(
        r"(?:processed: )?(?:accumulated_bias|get_full_resid_decomposition).*",
        "the peer raises",
        "it reads the bias of an MLP that is not there, or of experts, which have none",
        lambda config: bool(config.get("attn_only") or config.get("num_experts")),
    ),
    CallDifference(
        _one_of(("W_gate",)),
        "the peer raises",
        "its experts' router is a torch Linear",
        _experts,
    ),
]

# Steps that the two do differently, so that the models after them can't be compared further.
APART: list[tuple[str, Callable[[dict[str, Any]], bool]]] = [
    ("fold_ln", _with(final_rms=True)),
    ("center_writing_weights", _shortformer),
    ("center_writing_weights", _experts),
]
