"""What a user asks of a model and of its cache, in calls that both libraries understand.

Imports neither: each call is made on whichever model it is given, and gives tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Value = Tensor | list[str] | tuple[Any, ...] | dict[str, Any]


@dataclass(frozen=True)
class Given:
    """A model of either library, and what it is run on."""

    model: Any
    tokens: Tensor
    arguments: dict[str, Tensor] = field(default_factory=dict)

    @property
    def cache(self) -> Any:
        """A cache of a plain run; anew each time, since some calls add to it."""
        with torch.no_grad():
            return self.model.run_with_cache(self.tokens, **self.arguments)[1]

    @property
    def size(self) -> Any:
        return self.model.cfg

    @property
    def direction(self) -> Tensor:
        """A direction in the residual stream, the same for both libraries."""
        d_model = self.model.cfg.d_model
        return torch.linspace(-1, 1, d_model, dtype=self.model.W_E.dtype).sin()


Call = Callable[[Given], Value]

STACKS = ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O", "W_in", "W_out", "b_in", "b_out")


def _stack(name: str) -> Call:
    return lambda given: getattr(given.model, name)


WEIGHTS: dict[str, Call] = {
    **{name: _stack(name) for name in STACKS},
    **{name: _stack(name) for name in ("W_E", "W_U", "b_U", "W_pos", "W_E_pos", "W_gate")},
    "QK": lambda given: given.model.QK.AB,
    "OV": lambda given: given.model.OV.AB,
    "OV eigenvalues": lambda given: power_sums(given.model.OV.eigenvalues),
    "accumulated_bias": lambda given: torch.stack(
        [given.model.accumulated_bias(layer) for layer in range(given.size.n_layers + 1)]
    ),
    "accumulated_bias, MLP's input": lambda given: given.model.accumulated_bias(1, mlp_input=True),
    "accumulated_bias, no MLPs": lambda given: given.model.accumulated_bias(2, include_mlp_biases=False),
    "accumulated_bias, MLP's input, no MLPs": lambda given: given.model.accumulated_bias(
        1, mlp_input=True, include_mlp_biases=False
    ),
    "composition, Q": lambda given: given.model.all_composition_scores("Q"),
    "composition, K": lambda given: given.model.all_composition_scores("K"),
    "composition, V": lambda given: given.model.all_composition_scores("V"),
    "a token's direction": lambda given: given.model.tokens_to_residual_directions(3),
    "a token's direction, from a tensor": lambda given: given.model.tokens_to_residual_directions(
        torch.tensor([[3]])
    ),
    "tokens' directions": lambda given: given.model.tokens_to_residual_directions(
        given.tokens % given.size.d_vocab_out
    ),
    "head labels": lambda given: given.model.all_head_labels(),
}

LOSSES: dict[str, Call] = {
    "loss": lambda given: given.model(given.tokens, return_type="loss", **given.arguments),
    "loss per token": lambda given: given.model(
        given.tokens, return_type="loss", loss_per_token=True, **given.arguments
    ),
    "both": lambda given: tuple(given.model(given.tokens, return_type="both", **given.arguments)),
    "residual before layer 1": lambda given: given.model(given.tokens, stop_at_layer=1, **given.arguments),
    "residual before the last layer": lambda given: given.model(
        given.tokens, stop_at_layer=-1, **given.arguments
    ),
    "from layer 1 on": lambda given: given.model(
        given.model(given.tokens, stop_at_layer=1, **given.arguments),
        start_at_layer=1,
        **given.arguments,
    ),
}

EMBEDDED: dict[str, Call] = {
    "input_to_embed": lambda given: given.model.input_to_embed(given.tokens, **given.arguments)[0],
}


def generated(given: Given, **how: Any) -> Tensor:
    """Seven tokens more, the likeliest each time."""
    return given.model.generate(
        given.tokens[:, :3], max_new_tokens=7, do_sample=False, verbose=False, **how
    ).long()


GENERATION: dict[str, Call] = {
    "generate": lambda given: generated(given, stop_at_eos=False),
    "generate without a cache": lambda given: generated(given, stop_at_eos=False, use_past_kv_cache=False),
    "generate until a token": lambda given: generated(given, eos_token_id=2),
    "generate until one of several": lambda given: generated(given, eos_token_id=[5, 2, 7]),
}

# Of the cache; `layer` is what they are the input to.
STREAM: dict[str, Call] = {
    "accumulated_resid": lambda given: given.cache.accumulated_resid(return_labels=True),
    "accumulated_resid to 1": lambda given: given.cache.accumulated_resid(1, return_labels=True),
    "accumulated_resid, mid": lambda given: given.cache.accumulated_resid(
        incl_mid=True, pos_slice=-1, return_labels=True
    ),
    "accumulated_resid to 1, MLP's input": lambda given: given.cache.accumulated_resid(
        1, mlp_input=True, return_labels=True
    ),
    "accumulated_resid to 1, mid, MLP's input": lambda given: given.cache.accumulated_resid(
        1, incl_mid=True, mlp_input=True, pos_slice=(1, 4), return_labels=True
    ),
    "decompose_resid": lambda given: given.cache.decompose_resid(return_labels=True),
    "decompose_resid to 1": lambda given: given.cache.decompose_resid(1, return_labels=True),
    "decompose_resid, MLP's input": lambda given: given.cache.decompose_resid(
        1, mlp_input=True, return_labels=True
    ),
    "decompose_resid, attention": lambda given: given.cache.decompose_resid(mode="attn", return_labels=True),
    "decompose_resid, MLPs": lambda given: given.cache.decompose_resid(
        mode="mlp", incl_embeds=False, pos_slice=[0, 2], return_labels=True
    ),
    "stack_head_results": lambda given: given.cache.stack_head_results(return_labels=True),
    "stack_head_results to 1": lambda given: given.cache.stack_head_results(
        1, incl_remainder=True, pos_slice=-1, return_labels=True
    ),
    "stack_neuron_results": lambda given: given.cache.stack_neuron_results(-1, return_labels=True),
    "stack_neuron_results, some": lambda given: given.cache.stack_neuron_results(
        2, pos_slice=-1, neuron_slice=(1, 4), incl_remainder=True, return_labels=True
    ),
    "stack_neuron_results, projected": lambda given: given.cache.stack_neuron_results(
        2, project_output_onto=given.direction, incl_remainder=True
    ),
    "get_neuron_results": lambda given: given.cache.get_neuron_results(1),
    "get_neuron_results, some": lambda given: given.cache.get_neuron_results(
        0, neuron_slice=[1, 3], pos_slice=-1
    ),
    "get_neuron_results, projected": lambda given: given.cache.get_neuron_results(
        0, project_output_onto=torch.stack([given.direction, given.direction**2], 1)
    ),
    "get_full_resid_decomposition": lambda given: given.cache.get_full_resid_decomposition(
        return_labels=True
    ),
    "get_full_resid_decomposition, whole MLPs": lambda given: given.cache.get_full_resid_decomposition(
        expand_neurons=False, pos_slice=-1, return_labels=True
    ),
    "get_full_resid_decomposition, MLP's input": lambda given: given.cache.get_full_resid_decomposition(
        1, mlp_input=True, return_labels=True
    ),
    "get_full_resid_decomposition, projected": lambda given: given.cache.get_full_resid_decomposition(
        project_output_onto=given.direction
    ),
    "stack_activation": lambda given: given.cache.stack_activation("z"),
    "stack_activation, norms": lambda given: given.cache.stack_activation("scale", 2, "ln1"),
    "compute_head_results": lambda given: _with_head_results(given)["result", 1],
}

# Those that go through a norm: the same numbers where it has no weights.
NORMALISED: dict[str, Call] = {
    "accumulated_resid to 1, norm": lambda given: given.cache.accumulated_resid(1, apply_ln=True),
    "accumulated_resid to 1, MLP's norm": lambda given: given.cache.accumulated_resid(
        1, mlp_input=True, apply_ln=True
    ),
    "decompose_resid, norm": lambda given: given.cache.decompose_resid(apply_ln=True, pos_slice=-1),
    "decompose_resid, MLP's norm": lambda given: given.cache.decompose_resid(
        1, mlp_input=True, apply_ln=True
    ),
    "stack_head_results, norm": lambda given: given.cache.stack_head_results(apply_ln=True),
    "stack_head_results to 1, norm": lambda given: given.cache.stack_head_results(
        1, apply_ln=True, pos_slice=(2, 5)
    ),
    "stack_neuron_results, norm": lambda given: given.cache.stack_neuron_results(1, apply_ln=True),
    "stack_neuron_results, norm, projected": lambda given: given.cache.stack_neuron_results(
        2, apply_ln=True, project_output_onto=given.direction, incl_remainder=True
    ),
    "get_full_resid_decomposition, norm": lambda given: given.cache.get_full_resid_decomposition(
        apply_ln=True, expand_neurons=False
    ),
    "get_full_resid_decomposition, norm, projected": lambda given: given.cache.get_full_resid_decomposition(
        apply_ln=True, project_output_onto=given.direction
    ),
    "apply_ln_to_stack": lambda given: given.cache.apply_ln_to_stack(
        given.cache.accumulated_resid(pos_slice=-1), pos_slice=-1
    ),
    "apply_ln_to_stack, sequences": lambda given: given.cache.apply_ln_to_stack(
        given.cache.accumulated_resid(), 1, batch_slice=(0, 2)
    ),
    "logit_attrs": lambda given: given.cache.logit_attrs(given.cache.accumulated_resid(), 3),
    "logit_attrs, tokens": lambda given: given.cache.logit_attrs(
        given.cache.decompose_resid(), given.tokens % given.size.d_vocab_out
    ),
    "logit_attrs, difference": lambda given: given.cache.logit_attrs(
        given.cache.decompose_resid(pos_slice=-1), 3, incorrect_tokens=1, pos_slice=-1
    ),
}

# The final norm anew on each stage, its weights with it.
RECOMPUTED: dict[str, Call] = {
    "accumulated_resid, norm": lambda given: given.cache.accumulated_resid(apply_ln=True),
    "accumulated_resid, mid, norm": lambda given: given.cache.accumulated_resid(
        incl_mid=True, apply_ln=True, pos_slice=-1
    ),
}

SLICED: dict[str, Call] = {
    "apply_slice_to_batch_dim": lambda given: given.cache.apply_slice_to_batch_dim(1)["resid_post", -1],
    "apply_slice_to_batch_dim, two": lambda given: given.cache.apply_slice_to_batch_dim((0, 2))["pattern", 0],
    "remove_batch_dim": lambda given: _single(given)["resid_post", 0],
    "remove_batch_dim, decomposed": lambda given: _single(given).decompose_resid(),
    "pos_slice": lambda given: dict(
        given.model.run_with_cache(given.tokens, pos_slice=(2, 4), **given.arguments)[1]
    ),
    "keys": lambda given: sorted(given.cache.keys()),
}


def gradients(given: Given) -> Value:
    """Gradients of the loss at every hook, by incl_bwd."""
    _, cache = given.model.run_with_cache(given.tokens, return_type="loss", incl_bwd=True, **given.arguments)
    return {name: value for name, value in cache.items() if name.endswith("_grad")}


def summed_gradients(given: Given) -> Value:
    """The same by backward hooks, those of a point that is passed several times added up."""
    found: dict[str, Tensor] = {}

    def add(gradient: Tensor, /, *, hook: Any) -> None:
        found[hook.name] = found[hook.name] + gradient if hook.name in found else gradient.clone()

    with given.model.hooks(bwd_hooks=[(lambda name: True, add)]):
        given.model(given.tokens, return_type="loss", **given.arguments).backward()
    return found


def weight_gradients(given: Given) -> Value:
    """Gradients of the loss with respect to every weight.

    But for keys' biases: they shift all scores of a query alike, so that theirs is zero and rounding.
    """
    given.model.zero_grad()
    given.model(given.tokens, return_type="loss", **given.arguments).backward()
    found = {name: w.grad for name, w in given.model.named_parameters() if not name.endswith("b_K")}
    # TransformerLens' experts are torch's Linears, [out, in].
    return {
        name.removesuffix(".weight"): grad.t() if name.endswith(".weight") else grad
        for name, grad in found.items()
    }


GRADIENTS: dict[str, Call] = {
    "gradients": gradients,
    "gradients, summed": summed_gradients,
    "gradients of weights": weight_gradients,
}

CALLS: dict[str, Call] = {
    **WEIGHTS,
    **LOSSES,
    **EMBEDDED,
    **GENERATION,
    **STREAM,
    **NORMALISED,
    **RECOMPUTED,
    **SLICED,
    **GRADIENTS,
}


def _with_head_results(given: Given) -> Any:
    cache = given.cache
    cache.compute_head_results()
    return cache


def _single(given: Given) -> Any:
    arguments = {name: value[:1] for name, value in given.arguments.items()}
    return given.model.run_with_cache(given.tokens[:1], remove_batch_dim=True, **arguments)[1]


def power_sums(eigenvalues: Tensor) -> Tensor:
    """Sums of their first four powers, `[..., 4, 2]`: the same in whichever order they come."""
    return torch.view_as_real(torch.stack([(eigenvalues**k).sum(-1) for k in range(1, 5)], -1))


def answers(calls: dict[str, Callable[[], Value]]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What each call gives, as tensors by name, and the words of those that raised."""
    found: dict[str, Tensor] = {}
    raised: dict[str, str] = {}
    for name, call in calls.items():
        try:
            value = call()
        except Exception as error:
            raised[name] = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        else:
            found |= _flat(name, value)
    return {name: v.detach().clone().contiguous() for name, v in found.items()}, raised


def on_model(given: Given, calls: dict[str, Call]) -> dict[str, Callable[[], Value]]:
    """The calls with the model and its input filled in."""
    return {name: (lambda call=call: call(given)) for name, call in calls.items()}


def _flat(name: str, value: Any) -> dict[str, Tensor]:
    if isinstance(value, Tensor):
        return {name: value}
    if isinstance(value, dict):
        return {k: v for key, part in value.items() for k, v in _flat(f"{name} | {key}", part).items()}
    if isinstance(value, tuple):
        return {k: v for i, part in enumerate(value) for k, v in _flat(f"{name} | {i}", part).items()}
    if value is None:
        return {}
    return {f"{name} | labels": torch.tensor(list("\n".join(value).encode()), dtype=torch.int64)}
