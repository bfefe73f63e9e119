"""What a run may be asked for, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from tests.core.unchecked import as_users_run
from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave.core.errors import HookError, InputError


@pytest.mark.parametrize("positions", [slice(1, None), slice(-1, None), slice(2, 5), slice(None, None, 2)])
def test_logits_at_some_positions_are_those_of_the_full_run(positions: slice):
    model, tokens = small_model(), small_tokens()
    assert_equal_to(1e-6, model(tokens, unembed_at=positions), model(tokens)[:, positions])


def test_the_final_norm_too_runs_only_there():
    _, cache = small_model().run_with_cache(small_tokens(), unembed_at=slice(-2, None))
    assert cache["normalized"].shape == (3, 2, 8)
    assert cache["resid_post", 1].shape == (3, 7, 8)


@pytest.mark.parametrize(
    ("layer", "site"),
    [
        (0, "blocks.0.hook_resid_pre"),
        (1, "blocks.1.hook_resid_pre"),
        (2, "blocks.1.hook_resid_post"),
        (-1, "blocks.1.hook_resid_pre"),
        (-2, "blocks.0.hook_resid_pre"),
    ],
)
def test_stopping_gives_the_residual_stream_before_that_layer(layer: int, site: str):
    model, tokens = small_model(), small_tokens()
    _, cache = model.run_with_cache(tokens)
    stopped, early = model.run_with_cache(tokens, stop_at_layer=layer)
    assert torch.equal(stopped, cache[site])
    reached = [name for name in early if name.startswith("blocks.")]
    ran = layer % 2 if layer != 2 else 2
    assert {int(name.split(".")[1]) for name in reached} == set(range(ran))


@pytest.mark.parametrize("layer", [3, -3])
def test_a_layer_that_is_not_there_is_refused(layer: int):
    with pytest.raises(InputError) as raised:
        small_model()(small_tokens(), stop_at_layer=layer)
    assert str(raised.value) == (
        f"wanted stop_at_layer between -2 and 2; got {layer}; leave it out to run every layer"
    )


def test_without_a_return_type_there_are_no_logits():
    model, tokens = small_model(), small_tokens()
    output, cache = model.run_with_cache(tokens, return_type=None)
    assert output is None
    assert "ln_final.hook_normalized" in cache
    assert model(tokens, return_type=None) is None


@pytest.mark.parametrize("stop", [None, 1])
def test_another_return_type_is_refused_whether_or_not_it_would_be_reached(stop: int | None):
    with pytest.raises(InputError) as raised:
        small_model()(small_tokens(), return_type="losses", stop_at_layer=stop)
    assert str(raised.value) == (
        "wanted return_type 'logits', 'loss', 'both' or None; got 'losses'; leave it out for logits"
    )


def test_an_index_where_a_slice_is_wanted_is_refused():
    with as_users_run(), pytest.raises(InputError) as raised:
        small_model()(small_tokens(), unembed_at=-1)
    assert str(raised.value) == (
        "wanted a slice of positions for unembed_at; got -1; write slice(-1, None) for the last one"
    )


OUTSIDE = {
    "stop": (
        {"stop_at_layer": 1},
        ["blocks.0.hook_resid_post"],
        ["blocks.1.hook_resid_pre", "blocks.1.attn.hook_result", "ln_final.hook_scale", "unembed.hook_in"],
    ),
    "stop after the last layer": (
        {"stop_at_layer": 2},
        ["blocks.1.hook_resid_post"],
        ["ln_final.hook_normalized", "unembed.hook_out"],
    ),
    "start": (
        {"start_at_layer": 1},
        ["blocks.1.hook_resid_pre", "unembed.hook_out"],
        [
            "hook_embed",
            "hook_pos_embed",
            "hook_token_type_embed",
            "embed.ln.hook_scale",
            "blocks.0.hook_mlp_out",
        ],
    ),
    "both": ({"start_at_layer": 1, "stop_at_layer": 1}, [], ["hook_embed", "blocks.1.hook_resid_pre"]),
}


@pytest.mark.parametrize(("layers", "inside", "outside"), OUTSIDE.values(), ids=OUTSIDE)
def test_a_named_hook_outside_the_layers_asked_for_need_not_fire(
    layers: dict, inside: list[str], outside: list[str]
):
    model = small_model(positional_embedding_type="standard", n_token_types=2, post_embedding_ln=True)
    given = torch.randn(3, 7, 8) if "start_at_layer" in layers else small_tokens()
    names, fired = [*inside, *outside], []
    _, cache = model.run_with_cache(given, names_filter=names, **layers)
    assert list(cache) == inside
    _, cache = model.run_with_cache(given, names_filter=lambda name: name in outside, **layers)
    assert len(cache) == 0
    hooks = [(name, lambda x, hook: fired.append(hook.name)) for name in names]
    model.run_with_hooks(given, fwd_hooks=hooks, **layers)
    assert fired == inside
    with model.hooks(fwd_hooks=hooks, bwd_hooks=hooks):
        out = model(given.clone().requires_grad_() if given.is_floating_point() else given, **layers)
        out.sum().backward()


def test_gradients_of_a_run_that_starts_late():
    model = small_model()
    names = ["hook_embed", "blocks.1.hook_resid_pre"]
    _, cache = model.run_with_cache(
        torch.randn(3, 7, 8, requires_grad=True),
        names_filter=names,
        incl_bwd=True,
        start_at_layer=1,
        tokens=small_tokens(),
        return_type="loss",
    )
    assert list(cache) == ["blocks.1.hook_resid_pre", "blocks.1.hook_resid_pre_grad"]


def test_a_run_without_logits_runs_the_final_norm_for_whoever_reads_it_and_tells_who_names_the_unembedding():
    model = small_model()
    out, cache = model.run_with_cache(small_tokens(), names_filter="ln_final.hook_scale", return_type=None)
    assert out is None
    assert list(cache) == ["ln_final.hook_scale"]
    assert "unembed.hook_in" not in model.run_with_cache(small_tokens(), return_type=None)[1]
    with pytest.raises(HookError) as raised:
        model.run_with_cache(small_tokens(), names_filter="unembed.hook_in", return_type=None)
    assert str(raised.value) == (
        "wanted a run that reaches unembed.hook_in; got one that did not; ask for logits, or leave the name out"
    )


def test_a_hook_inside_the_layers_asked_for_must_fire():
    model = small_model(positional_embedding_type="shortformer")
    given = {"start_at_layer": 1, "stop_at_layer": 2, "shortformer_pos_embed": torch.randn(3, 7, 8)}
    with model.hooks(fwd_hooks=[("blocks.1.hook_resid_pre", lambda x, hook: None)]):
        model(torch.randn(3, 7, 8), **given)
    with (
        pytest.raises(HookError, match=r"got no run that reached blocks\.1\.hook_resid_pre"),
        model.hooks(fwd_hooks=[("blocks.1.hook_resid_pre", lambda x, hook: None)]),
    ):
        model.blocks[0](torch.randn(3, 7, 8))


def test_an_expert_to_which_no_token_goes_need_not_be_reached():
    model = small_model(num_experts=4, experts_per_token=1, gated_mlp=True, act_fn="silu", d_mlp=6)
    names = [f"blocks.0.mlp.experts.{number}.hook_post" for number in range(4)]
    _, cache = model.run_with_cache(small_tokens(1, 2), names_filter=names)
    rows = [len(cache[name]) for name in names]
    assert sum(rows) == 2
    assert rows.count(0) >= 2
    _, cache = model.run_with_cache(small_tokens(1, 2), names_filter=names, incl_bwd=True, return_type="loss")
    assert {len(cache[f"{name}_grad"]) for name in names} <= {0, 1, 2}


@pytest.mark.parametrize(
    ("tokens", "sentence"),
    [
        (
            torch.tensor([[0, 11]]),
            "wanted tokens from 0 to 10; got values from 0 to 11; check the vocabulary",
        ),
        (
            torch.tensor([[-1, 3]]),
            "wanted tokens from 0 to 10; got values from -1 to 3; check the vocabulary",
        ),
        (
            torch.zeros(1, 8, dtype=int),
            "wanted tokens [batch, pos] with 1 to n_ctx=7 positions; got shape (1, 8)",
        ),
        (
            torch.zeros(0, 3, dtype=int),
            "wanted tokens [batch, pos] with 1 to n_ctx=7 positions; got shape (0, 3)",
        ),
        (
            torch.zeros(0, dtype=int),
            "wanted tokens [batch, pos] with 1 to n_ctx=7 positions; got shape (1, 0)",
        ),
        (
            torch.zeros(1, 1, 1, dtype=int),
            "wanted tokens [batch, pos] with 1 to n_ctx=7 positions; got shape",
        ),
        (torch.zeros(1, 3), "wanted tokens as a tensor of dtype int64; got torch.float32; write"),
        ([1, 2], "wanted tokens as a tensor of dtype int64; got list; write torch.as_tensor(tokens).long()"),
    ],
)
def test_tokens_that_cannot_be_read_are_refused(tokens: object, sentence: str):
    with as_users_run(), pytest.raises(InputError) as raised:
        small_model()(tokens)
    assert str(raised.value).startswith(sentence)


def test_int32_tokens_are_read():
    model, tokens = small_model(), small_tokens()
    assert torch.equal(model(tokens.int()), model(tokens))


def test_what_was_detached_has_no_graph_and_what_was_not_has():
    model, tokens = small_model(), small_tokens()
    assert not model.run_with_cache(tokens)[1]["resid_post", 1].requires_grad
    logits, cache = model.run_with_cache(tokens, detach=False)
    gradient = torch.autograd.grad(logits.sum(), cache["normalized"])[0]
    assert_equal_to(1e-6, gradient, (model.ln_final.w * model.W_U.sum(1)).expand(3, 7, 8))


def test_the_batch_dimension_can_be_dropped_when_it_is_one():
    model, tokens = small_model(), small_tokens()
    _, whole = model.run_with_cache(tokens[:1])
    _, cache = model.run_with_cache(tokens[:1], remove_batch_dim=True)
    assert all(torch.equal(cache[name], whole[name][0]) for name in whole)
    with pytest.raises(InputError, match=r"^wanted a batch of one sequence for remove_batch_dim; got more"):
        model.run_with_cache(tokens, remove_batch_dim=True)


def test_a_config_that_is_edited_later_does_not_change_the_model():
    model = small_model()
    tokens, before = small_tokens(), small_model()(small_tokens())
    config = model.cfg
    other = type(model)(config)
    config.n_layers = 1
    assert other.cfg.n_layers == 2
    assert torch.equal(model(tokens), before), "both layers must still run"
