"""Decompositions of every architecture: against sums over the weights, the stream and the logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.model.features import FEATURES
from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave.core.errors import InputError, MissingActivation
from unweave.model.cache import ActivationCache
from unweave.model.norm import Norm
from unweave.model.transformer import HookedTransformer

# A stream that is normed after every addition has no parts: test_cache_decompositions has what is refused.
ADDED = {name: fields for name, fields in FEATURES.items() if fields.get("norm_position") != "stream"}
ALL: dict[str, dict[str, Any]] = {
    **ADDED,
    "post norms, multipliers": {**FEATURES["multipliers"], "use_normalization_before_and_after": True},
    "post norms, experts": {**FEATURES["experts"], "use_normalization_before_and_after": True},
    "types, positions": {"n_token_types": 2, "positional_embedding_type": "standard"},
    "attention alone": {"attn_only": True, **FEATURES["multipliers"]},
}
# The others' streams are normed after every addition: tests/model/test_features.py.
ADDED_TO = {name: fields for name, fields in ALL.items() if fields.get("norm_position") != "stream"}
EVERY = pytest.mark.parametrize("fields", ADDED_TO.values(), ids=ADDED_TO)
TOKENS = small_tokens()


def run(fields: dict[str, Any], **how: Any) -> tuple[HookedTransformer, Tensor, ActivationCache]:
    model = small_model(**{**fields, "dtype": "float64"}).requires_grad_(False)
    types = (TOKENS > 4).long() if model.cfg.n_token_types else None
    logits, cache = model.run_with_cache(TOKENS, token_type_ids=types, **how)
    return model, logits, cache


@EVERY
def test_parts_sum_to_the_stream_and_through_the_norm_to_what_it_gives(fields: dict[str, Any]):
    model, _, cache = run(fields)
    for layer, stream in ((0, "blocks.0.hook_resid_pre"), (1, "blocks.1.hook_resid_pre"), (None, None)):
        wanted = cache[stream or "blocks.1.hook_resid_post"]
        for stack, labels in (
            cache.get_full_resid_decomposition(layer, return_labels=True),
            cache.get_full_resid_decomposition(layer, expand_neurons=False, return_labels=True),
            cache.decompose_resid(layer, return_labels=True),
            cache.stack_head_results(layer, incl_remainder=True, return_labels=True),
        ):
            assert len(stack) == len(labels) == len(set(labels))
            assert_equal_to(1e-10, stack.sum(0), wanted, labels[-1])
    if model.cfg.normalization_type is not None:
        normalized = cache["ln_final.hook_normalized"] * (
            1.0 if model.ln_final.w is None else model.ln_final.w
        )
        for stack in (
            cache.decompose_resid(apply_ln=True),
            cache.get_full_resid_decomposition(apply_ln=True),
        ):
            assert_equal_to(1e-10, stack.sum(0), normalized)


@EVERY
def test_shares_of_the_logits_sum_to_them(fields: dict[str, Any]):
    model, _, cache = run(fields)
    beside = model.b_U if model.ln_final.b is None else model.b_U + model.ln_final.b @ model.W_U
    wanted = cache["unembed.hook_out"][:, :, 3] * model.cfg.logit_multiplier
    shares = cache.logit_attrs(cache.get_full_resid_decomposition(), 3)
    assert_equal_to(1e-10, shares.sum(0) + model.cfg.logit_multiplier * beside[3], wanted)


@EVERY
def test_what_is_left_without_one_head_is_the_stream_without_it(fields: dict[str, Any]):
    """A head that is taken out at `hook_result`, its norm's scale as it was, takes what it wrote along."""
    model, _, cache = run(fields)
    label = "L1H1" if model.cfg.n_heads > 1 else "L1H0"
    stack, labels = cache.stack_head_results(return_labels=True)

    def without(x: Tensor, hook: object) -> None:
        x[:, :, int(label[-1])] = 0

    edits: list[tuple[str, Any]] = [("blocks.1.attn.hook_result", without)]
    if model.blocks[1].ln1_post is not None:
        edits.append(("blocks.1.ln1_post.hook_scale", lambda x, hook: cache[hook.name].clone()))
    with model.hooks(fwd_hooks=edits):
        types = (TOKENS > 4).long() if model.cfg.n_token_types else None
        _, ablated = model.run_with_cache(TOKENS, token_type_ids=types, names_filter="blocks.1.hook_attn_out")
    wrote = cache["attn_out", 1] - ablated["attn_out", 1]
    assert_equal_to(1e-9, stack[labels.index(label)], wrote)


@EVERY
def test_the_input_of_an_mlp(fields: dict[str, Any]):
    model, _, cache = run(fields)
    if model.cfg.attn_only:
        for ask in (cache.decompose_resid, cache.get_full_resid_decomposition, cache.accumulated_resid):
            with pytest.raises(
                InputError, match="wanted a layer whose MLP is meant by mlp_input; got a model of"
            ):
                ask(1, mlp_input=True)
        return
    wanted = cache["resid_pre" if model.cfg.parallel_attn_mlp else "resid_mid", 1]
    assert_equal_to(1e-10, cache.decompose_resid(1, mlp_input=True).sum(0), wanted)
    assert_equal_to(1e-10, cache.get_full_resid_decomposition(1, mlp_input=True).sum(0), wanted)
    assert torch.equal(cache.accumulated_resid(1, mlp_input=True)[-1], wanted)
    read = cache.decompose_resid(1, mlp_input=True, apply_ln=True).sum(0)
    norm = model.blocks[1].ln2
    if isinstance(norm, Norm):
        assert_equal_to(1e-10, read, cache["normalized", 1, "ln2"] * (1.0 if norm.w is None else norm.w))


@pytest.mark.parametrize("fields", [{"attn_only": True}, {"parallel_attn_mlp": True}])
def test_there_is_no_middle_where_nothing_reads_it(fields: dict[str, Any]):
    _, _, cache = run(fields)
    with pytest.raises(
        InputError, match=r"for incl_mid; got attention (alone|and MLPs that are parallel); leave"
    ):
        cache.accumulated_resid(incl_mid=True)


def test_the_lens_through_a_final_rms_norm():
    model, logits, cache = run(FEATURES["final rms"])
    assert_equal_to(1e-12, cache.accumulated_resid(apply_ln=True)[-1] @ model.W_U + model.b_U, logits)


def test_the_parts_have_the_names_of_what_writes_them():
    _, _, cache = run(ALL["types, positions"])
    stack, labels = cache.decompose_resid(0, return_labels=True)
    assert labels == ["embed", "pos_embed", "token_type_embed"]
    assert torch.equal(stack[2], cache["token_type_embed"])
    few = ActivationCache({name: cache[name] for name in cache if "type" not in name}, cache.model)
    with pytest.raises(MissingActivation, match="wanted token_type_embed, a part of the residual stream"):
        few.decompose_resid()


def expert_neurons(model: HookedTransformer, cache: ActivationCache, layer: int) -> Tensor:
    """`[expert, neuron, batch, pos, d_model]`, a token at a time."""
    mlp, norm = model.blocks[layer].mlp, model.blocks[layer].ln2
    x = cache["normalized", layer, "ln2"] * norm.w + norm.b
    out = torch.zeros(4, 6, 3, 7, 8, dtype=torch.float64)
    for b in range(3):
        for p in range(7):
            odds = (x[b, p] @ mlp.W_gate).softmax(-1)
            first, second = odds.argsort(descending=True)[:2].tolist()
            for number in (first, second):
                expert = mlp.experts[number]
                gate = x[b, p] @ expert.W_gate
                post = gate * gate.sigmoid() * (x[b, p] @ expert.W_in)
                weight = odds[number] / (odds[first] + odds[second] if mlp.normalise else 1.0)
                out[number, :, b, p] = weight * post[:, None] * expert.W_out
    return out


@pytest.mark.parametrize("normalised", [False, True])
def test_an_experts_neurons_write_what_the_router_lets_them(normalised: bool):
    model, _, cache = run({**FEATURES["experts"], "norm_topk_prob": normalised})
    wanted = torch.stack([expert_neurons(model, cache, layer) for layer in (0, 1)])
    stack, labels = cache.stack_neuron_results(None, return_labels=True)
    assert labels == [f"L{at}E{number}N{n}" for at in (0, 1) for number in range(4) for n in range(6)]
    assert_equal_to(1e-10, stack, wanted.flatten(0, 2))
    some, labels = cache.stack_neuron_results(1, neuron_slice=[5, 0], pos_slice=2, return_labels=True)
    assert labels == [f"L0E{number}N{n}" for number in range(4) for n in (5, 0)]
    assert_equal_to(1e-10, some, wanted[0][:, [5, 0], :, 2].flatten(0, 1))
    direction = torch.arange(8.0, dtype=torch.float64)
    projected = cache.get_neuron_results(1, project_output_onto=direction)
    assert_equal_to(1e-10, projected, (wanted[1].flatten(0, 1) @ direction).movedim(0, -1))


ROUTED = "blocks.1.mlp.experts.{}.hook_{}"


def routed(cache: ActivationCache) -> list[str]:
    return [name for name in cache if ".experts." in name]


def test_sequences_of_a_mixture_are_those_of_a_run_of_them_alone():
    model, _, cache = run(FEATURES["experts"])
    assert len(routed(cache)) == 2 * 4 * 3
    for some in ([2, 0], (1, 3), [1]):
        rows = list(range(*some)) if isinstance(some, tuple) else some
        _, wanted = model.run_with_cache(TOKENS[rows])
        part = cache.apply_slice_to_batch_dim(some)
        for name in wanted:
            assert_equal_to(1e-10, part[name].double(), wanted[name].double(), name)
        assert_equal_to(1e-10, part.get_full_resid_decomposition(), wanted.get_full_resid_decomposition())
    _, wanted = model.run_with_cache(TOKENS[1:2], remove_batch_dim=True)
    for part in (
        cache.apply_slice_to_batch_dim(1),
        model.run_with_cache(TOKENS[1:2])[1].remove_batch_dim(),
    ):
        assert not part.has_batch_dim
        for name in wanted:
            assert_equal_to(1e-10, part[name].double(), wanted[name].double(), name)
        assert_equal_to(
            1e-10, part.get_full_resid_decomposition(), cache.get_full_resid_decomposition()[:, 1]
        )
    few = ActivationCache({name: cache[name] for name in routed(cache)}, model)
    with pytest.raises(
        MissingActivation, match=r"wanted blocks.0.mlp.hook_expert_indices, which says of which"
    ):
        few.apply_slice_to_batch_dim(0)
    with pytest.raises(InputError, match="wanted a batch of one sequence for remove_batch_dim"):
        model.run_with_cache(TOKENS, names_filter=ROUTED.format(0, "post"), remove_batch_dim=True)


@pytest.mark.parametrize("positions", [[4], [5, 0], [1, 2, 3]])
@pytest.mark.parametrize("detach", [True, False])
def test_positions_of_a_mixture(positions: list[int], detach: bool):
    model, _, cache = run(FEATURES["experts"])
    model.requires_grad_(not detach)
    logits, part = model.run_with_cache(TOKENS, pos_slice=positions, detach=detach)
    assert_equal_to(1e-10, logits, model(TOKENS))
    whole, stack = cache.get_full_resid_decomposition(), part.get_full_resid_decomposition()
    assert_equal_to(1e-10, stack, whole[:, :, positions])
    for number in range(4):
        # A row for each token that chose it: first choices first, each in the order of batch and position.
        tokens = [
            (place, b, p)
            for place in (0, 1)
            for b in range(3)
            for p in range(7)
            if cache["expert_indices", 1][b, p, place] == number
        ]
        kept = [
            tokens.index((place, b, p))
            for place in (0, 1)
            for b in range(3)
            for p in positions
            if (place, b, p) in tokens
        ]
        for site in ("gate", "pre", "post"):
            name = ROUTED.format(number, site)
            assert_equal_to(1e-12, part[name], cache[name][kept], name) if kept else None
            assert len(part[name]) == len(kept)
    if not detach:
        posts = [part[ROUTED.format(number, "post")] for number in range(4)]
        for post, gradient in zip(posts, torch.autograd.grad(logits.sum(), posts), strict=True):
            assert gradient.shape == post.shape


def test_gradients_of_experts_are_cut_as_they_are():
    model, _, _ = run(FEATURES["experts"])
    model.requires_grad_(True)
    names = [ROUTED.format(number, "post") for number in range(4)]
    _, whole = model.run_with_cache(TOKENS, incl_bwd=True, return_type="loss")
    _, part = model.run_with_cache(TOKENS, incl_bwd=True, return_type="loss", pos_slice=(2, 5))
    for name in names:
        assert len(part[name]) == len(part[f"{name}_grad"])
        rows = [(whole[name] == row).all(-1).nonzero()[0].item() for row in part[name]]
        assert torch.equal(part[f"{name}_grad"], whole[f"{name}_grad"][rows])


QUERIES = ("attn_scores", "pattern", "rel_pos_hook")


@EVERY
def test_positions_of_one_sequence_at_every_site(fields: dict[str, Any]):
    model = small_model(**{**fields, "dtype": "float64"})
    names = list(model.hook_dict)
    _, whole = model.run_with_cache(TOKENS[:1], names_filter=names)
    _, part = model.run_with_cache(TOKENS[:1], names_filter=names, pos_slice=[5, 2], remove_batch_dim=True)
    assert list(part) == list(whole)
    for name in names:
        if ".experts." not in name:
            dim = 2 if name.endswith(QUERIES) else 1
            assert torch.equal(part[name], whole[name].index_select(dim, torch.tensor([5, 2]))[0]), name
    _, usual = model.run_with_cache(TOKENS[:1], pos_slice=-1, remove_batch_dim=True)
    assert set(usual) == {name for name in names if not model.hook_dict[name].on_demand}
