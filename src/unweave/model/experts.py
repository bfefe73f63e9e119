"""A mixture of experts: every token goes through the few gated MLPs that a router picks for it."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unweave.core.hooks import HookPoint
from unweave.core.routed import Routed
from unweave.model.activations import activation
from unweave.model.config import HookedTransformerConfig
from unweave.model.linear import linear


class Expert(nn.Module):
    """`(act(x @ W_gate) * (x @ W_in)) @ W_out`, for the tokens that were routed here.

    `hook_gate`, `hook_pre` and `hook_post` are `[routed, d_mlp]`: what goes into the activation,
    what it is multiplied with, and the product. First come the tokens whose first choice this
    expert is, then those whose second it is, each in the order of batch and position.
    """

    def __init__(self, cfg: HookedTransformerConfig) -> None:
        super().__init__()
        assert cfg.d_mlp is not None and cfg.act_fn is not None
        self.W_in = nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp))
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.W_gate = nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp))
        self.act_fn = activation(cfg.act_fn)
        self.hook_gate, self.hook_pre, self.hook_post = HookPoint(), HookPoint(), HookPoint()

    def tell(self, routed: Routed) -> None:
        """Say, to whoever reads here, of which tokens the rows are."""
        for point in (self.hook_gate, self.hook_pre, self.hook_post):
            if point.active:
                point.routed = routed

    def forward(self, x: Float[Tensor, "routed d_model"]) -> Float[Tensor, "routed d_model"]:
        """This expert's output, before the router's weight."""
        gate = self.act_fn(self.hook_gate(linear(x, self.W_gate, None)))
        post = self.hook_post(gate * self.hook_pre(linear(x, self.W_in, None)))
        return linear(post, self.W_out, None)


class MoE(nn.Module):
    """Softmax over `x @ W_gate`, the largest few, and the sum of those experts, so weighted
    (Shazeer et al., 2017, arXiv:1701.06538; as in Mixtral, arXiv:2401.04088).

    `hook_expert_weights` `[batch, pos, expert]` is the softmax, in float32, before the choice;
    `hook_expert_indices` `[batch, pos, chosen]` the choice, the largest first. An edit of either
    changes where tokens go. An expert to which none goes is run on no rows.
    """

    def __init__(self, cfg: HookedTransformerConfig) -> None:
        super().__init__()
        assert cfg.num_experts is not None and cfg.experts_per_token is not None
        self.chosen, self.normalise = cfg.experts_per_token, cfg.norm_topk_prob
        self.experts = nn.ModuleList(Expert(cfg) for _ in range(cfg.num_experts))
        self.W_gate = nn.Parameter(torch.empty(cfg.d_model, cfg.num_experts))
        self.hook_expert_weights, self.hook_expert_indices = HookPoint(), HookPoint()

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """What this layer's experts add to the residual stream."""
        # Routing is a choice: bf16's ties would make it depend on the order of experts.
        exact = x.dtype if x.dtype == torch.float64 else torch.float32
        odds = self.hook_expert_weights(linear(x, self.W_gate, None).to(exact).softmax(-1))
        weights, indices = self.weights_of(odds)
        chosen = self.hook_expert_indices(indices)
        indices, weights = chosen.flatten(0, 1), weights.to(x.dtype).flatten(0, 1)
        rows, out = x.flatten(0, 1), torch.zeros_like(x).flatten(0, 1)
        for number, expert in enumerate(self.experts):
            assert isinstance(expert, Expert)
            expert.tell(Routed(chosen, number))
            place, row = torch.where(indices.t() == number)
            out = out.index_add(0, row, expert(rows[row]) * weights[row, place, None])
        return out.view_as(x)

    def weights_of(
        self, odds: Float[Tensor, "*batch_and_pos expert"]
    ) -> tuple[Float[Tensor, "*batch_and_pos chosen"], Int[Tensor, "*batch_and_pos chosen"]]:
        """The largest few of the router's softmax, as experts are weighted by them, and whose they are."""
        weights, indices = odds.topk(self.chosen, -1)
        return weights / weights.sum(-1, keepdim=True) if self.normalise else weights, indices
