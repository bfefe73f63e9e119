"""Models with other weights that compute the same function: what a technique says must not depend on such a choice.

    for name, equivalent in equivalents(model).items():
        found = technique(equivalent.model)
        # what `found` says of equivalent.node("a0.h1") must be what was said of "a0.h1" in `model`

Each function gives a new model, and how its parts are called there: `residual`, `heads` and `neurons` say for
each place of the new model which place of the old one it holds (`new[i]` is `old[order[i]]`), and `scales` by
what each neuron's activation was multiplied.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from unweave.core.edges import Edge, Node
from unweave.model.transformer import HookedTransformer

Weights = dict[str, Tensor]


class NotEquivalent(Exception):
    """This change of weights changes the function of this model."""


@dataclass(frozen=True)
class Equivalent:
    """A model of the same function, and where it has what. Layers that aren't named are as they were."""

    model: HookedTransformer
    residual: Tensor | None = None
    heads: Mapping[int, Tensor] = field(default_factory=dict)
    groups: Mapping[int, Tensor] = field(default_factory=dict)
    neurons: Mapping[int, Tensor] = field(default_factory=dict)
    scales: Mapping[int, Tensor] = field(default_factory=dict)

    def node(self, name: str) -> str:
        """What the component of the old model that is called so is called in the new one."""
        node = Node.parse(name)
        if node.kind != "head" or node.layer not in self.heads:
            return name
        return str(Node("head", node.layer, self.heads[node.layer].tolist().index(node.head)))

    def edge(self, name: str) -> str:
        """The same for an edge."""
        edge = Edge.parse(name)
        ends = (Node.parse(self.node(str(node))) for node in (edge.sender, edge.receiver))
        return str(Edge(*ends, edge.input))

    def head(self, layer: int, head: int) -> int:
        """The new number of a head."""
        return self.heads[layer].tolist().index(head) if layer in self.heads else head

    def group(self, layer: int, group: int) -> int:
        """The new number of a group of heads that share keys and values."""
        return self.groups[layer].tolist().index(group) if layer in self.groups else group

    def neuron(self, layer: int, neuron: int) -> int:
        """The new number of a neuron."""
        return self.neurons[layer].tolist().index(neuron) if layer in self.neurons else neuron

    def stream(self, vectors: Tensor) -> Tensor:
        """Vectors of the residual stream, `[..., d_model]`, as the new model would have them."""
        return vectors if self.residual is None else vectors[..., self.residual]


def permute_residual(model: HookedTransformer, seed: int = 0) -> Equivalent:
    """The dimensions of the residual stream in another order; norms, which treat all alike, don't mind."""
    if model.cfg.positional_embedding_type == "sinusoidal":
        raise NotEquivalent("sinusoidal positions are no weights")
    order = torch.randperm(model.cfg.d_model, generator=_drawn(seed))
    weights = _weights(model)
    for name in weights:
        dim = _residual_dim(name)
        if dim is not None:
            weights[name] = weights[name].index_select(dim, order)
    return Equivalent(_with(model, weights), residual=order)


def permute_heads(model: HookedTransformer, seed: int = 0) -> Equivalent:
    """Heads in another order: anywhere in their layer, or, where groups share keys and values, groups as wholes
    and heads within their group."""
    cfg = model.cfg
    if cfg.positional_embedding_type in ("alibi", "relative_positional_bias"):
        raise NotEquivalent("positions treat heads by their numbers")
    if cfg.use_qk_norm and cfg.qk_norm_scope != "head":
        raise NotEquivalent("norms of queries and keys treat heads by their numbers")
    n_groups = cfg.n_key_value_heads or cfg.n_heads
    if cfg.n_heads == 1:
        raise NotEquivalent("there is one head")
    draw, weights = _drawn(seed), _weights(model)
    heads: dict[int, Tensor] = {}
    groups: dict[int, Tensor] = {}
    for layer in range(cfg.n_layers):
        groups[layer] = _moved(n_groups, draw)
        size = cfg.n_heads // n_groups
        members = [group * size + _moved(size, draw) for group in groups[layer].tolist()]
        heads[layer] = torch.cat(members)
        at = f"blocks.{layer}.attn"
        for name in ("W_Q", "b_Q", "W_O"):
            _reorder(weights, f"{at}.{name}", heads[layer])
        for name in ("W_K", "b_K", "W_V", "b_V"):
            _reorder(weights, f"{at}.{name}", heads[layer])
            _reorder(weights, f"{at}._{name}", groups[layer])
    return Equivalent(_with(model, weights), heads=heads, groups=groups)


def permute_neurons(model: HookedTransformer, seed: int = 0) -> Equivalent:
    """Each MLP's neurons in another order."""
    _require_plain_mlp(model)
    draw, weights = _drawn(seed), _weights(model)
    orders: dict[int, Tensor] = {}
    for layer in range(model.cfg.n_layers):
        at = f"blocks.{layer}.mlp"
        orders[layer] = torch.randperm(len(weights[f"{at}.W_out"]), generator=draw)
        for name, dim in (("W_in", 1), ("W_gate", 1), ("b_in", 0), ("b_gate", 0), ("W_out", 0)):
            _reorder(weights, f"{at}.{name}", orders[layer], dim)
        for name in ("ln.w", "ln.b"):
            _reorder(weights, f"{at}.{name}", orders[layer])
    return Equivalent(_with(model, weights), neurons=orders)


def rotate_queries_and_keys(model: HookedTransformer, seed: int = 0) -> Equivalent:
    """Another basis for each head's (or group's) queries and keys; with rotary positions, each pair of dimensions
    that turns together is turned by an angle of its own, which is what commutes with that."""
    cfg = model.cfg
    if cfg.use_qk_norm or cfg.clip_qkv is not None:
        raise NotEquivalent("queries and keys are normed or clipped in their own basis")
    draw, weights = _drawn(seed), _weights(model)
    n_groups = cfg.n_key_value_heads or cfg.n_heads
    for layer in range(cfg.n_layers):
        for group in range(n_groups):
            rotation = (
                _rotation_of_pairs(model, draw)
                if cfg.layer_is_rotated(layer)
                else _rotation(cfg.d_head, draw)
            )
            size, at = cfg.n_heads // n_groups, f"blocks.{layer}.attn"
            for head in range(group * size, (group + 1) * size):
                _turn(weights, f"{at}.W_Q", f"{at}.b_Q", head, rotation)
            _turn(weights, *_shared(weights, at, "K"), group, rotation)
    return Equivalent(_with(model, weights))


def rotate_values_and_outputs(model: HookedTransformer, seed: int = 0) -> Equivalent:
    """Another basis for each head's (or group's) values, undone by its output."""
    cfg = model.cfg
    if cfg.clip_qkv is not None:
        raise NotEquivalent("values are clipped in their own basis")
    draw, weights = _drawn(seed), _weights(model)
    n_groups = cfg.n_key_value_heads or cfg.n_heads
    for layer in range(cfg.n_layers):
        for group in range(n_groups):
            rotation = _rotation(cfg.d_head, draw)
            size, at = cfg.n_heads // n_groups, f"blocks.{layer}.attn"
            _turn(weights, *_shared(weights, at, "V"), group, rotation)
            for head in range(group * size, (group + 1) * size):
                weights[f"{at}.W_O"][head] = rotation.T @ weights[f"{at}.W_O"][head]
    return Equivalent(_with(model, weights))


def rescale_neurons(model: HookedTransformer, seed: int = 0) -> Equivalent:
    """Each neuron multiplied by a positive factor, undone by its output: a ReLU, or one that is gated."""
    _require_plain_mlp(model)
    cfg = model.cfg
    if not cfg.gated_mlp and cfg.act_fn != "relu":
        raise NotEquivalent(f"{cfg.act_fn} of a multiple is no multiple")
    draw, weights = _drawn(seed), _weights(model)
    scales: dict[int, Tensor] = {}
    for layer in range(cfg.n_layers):
        at = f"blocks.{layer}.mlp"
        scale = 0.25 + 3.75 * torch.rand(len(weights[f"{at}.W_out"]), generator=draw, dtype=torch.float64)
        scales[layer] = scale.to(weights[f"{at}.W_out"])
        for name in ("W_in", "b_in"):
            if f"{at}.{name}" in weights:
                weights[f"{at}.{name}"] *= scales[layer]
        weights[f"{at}.W_out"] /= scales[layer][:, None]
    return Equivalent(_with(model, weights), scales=scales)


TRANSFORMATIONS: dict[str, Callable[[HookedTransformer, int], Equivalent]] = {
    "residual permuted": permute_residual,
    "heads permuted": permute_heads,
    "neurons permuted": permute_neurons,
    "QK rotated": rotate_queries_and_keys,
    "OV rotated": rotate_values_and_outputs,
    "neurons rescaled": rescale_neurons,
}


def equivalents(model: HookedTransformer, seed: int = 0) -> dict[str, Equivalent]:
    """Every one of these that leaves the function of this model as it is."""
    found: dict[str, Equivalent] = {}
    for name, transform in TRANSFORMATIONS.items():
        try:
            found[name] = transform(model, seed)
        except NotEquivalent:
            continue
    return found


def _residual_dim(name: str) -> int | None:
    """The dimension of a weight that is the residual stream's."""
    if any(part in name for part in (".q_norm.", ".k_norm.", ".mlp.ln.", "rel_pos_bias")):
        return None
    last = name.rpartition(".")[2].removeprefix("_")
    dims = {
        "W_E": 1,
        "W_pos": 1,
        "W_token_type": 1,
        "W_U": 0,
        "W_Q": 1,
        "W_K": 1,
        "W_V": 1,
        "W_O": 2,
        "b_O": 0,
    }
    dims |= {"W_in": 0, "W_gate": 0, "W_out": 1, "b_out": 0, "w": 0, "b": 0}
    return dims.get(last)


def _require_plain_mlp(model: HookedTransformer) -> None:
    if model.cfg.attn_only or model.cfg.num_experts is not None:
        raise NotEquivalent("there is no one MLP a layer")


def _reorder(weights: Weights, name: str, order: Tensor, dim: int = 0) -> None:
    if name in weights:
        weights[name] = weights[name].index_select(dim, order)


def _shared(weights: Weights, at: str, which: str) -> tuple[str, str]:
    """Keys' or values' weight and bias, of a head or of a group."""
    prefix = f"{at}._" if f"{at}._W_{which}" in weights else f"{at}."
    return f"{prefix}W_{which}", f"{prefix}b_{which}"


def _turn(weights: Weights, weight: str, bias: str, head: int, rotation: Tensor) -> None:
    weights[weight][head] = weights[weight][head] @ rotation
    if bias in weights:
        weights[bias][head] = weights[bias][head] @ rotation


def _moved(n: int, draw: torch.Generator) -> Tensor:
    """A permutation that isn't the identity, where there is one."""
    order = torch.randperm(n, generator=draw)
    return order.roll(1) if n > 1 and torch.equal(order, torch.arange(n)) else order


def _rotation(size: int, draw: torch.Generator) -> Tensor:
    q, r = torch.linalg.qr(torch.randn(size, size, generator=draw, dtype=torch.float64))
    return q * r.diagonal().sign()


def _rotation_of_pairs(model: HookedTransformer, draw: torch.Generator) -> Tensor:
    cfg = model.cfg
    turned = cfg.rotary_dim
    assert turned is not None
    rotation = torch.eye(cfg.d_head, dtype=torch.float64)
    for pair in range(turned // 2):
        first, second = (2 * pair, 2 * pair + 1) if cfg.rotary_adjacent_pairs else (pair, pair + turned // 2)
        angle = 6.28 * torch.rand((), generator=draw, dtype=torch.float64)
        rotation[first, first] = rotation[second, second] = angle.cos()
        rotation[first, second], rotation[second, first] = angle.sin(), -angle.sin()
    return rotation


def _drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _weights(model: HookedTransformer) -> Weights:
    """Copies in float64: the change of basis itself must not round."""
    return {name: weight.detach().double().clone() for name, weight in model.state_dict().items()}


def _with(model: HookedTransformer, weights: Weights) -> HookedTransformer:
    new = copy.deepcopy(model)
    new.load_state_dict(weights)
    return new
