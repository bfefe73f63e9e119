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


def test_a_named_hook_beyond_the_stop_is_told():
    with pytest.raises(HookError) as raised:
        small_model().run_with_cache(
            small_tokens(), names_filter=["hook_embed", "blocks.1.hook_resid_pre"], stop_at_layer=1
        )
    assert str(raised.value) == (
        "wanted a run that reaches blocks.1.hook_resid_pre; got one that stopped before it; "
        "raise stop_at_layer, ask for logits, or leave the name out"
    )


def test_a_filter_that_picks_nothing_the_run_reaches_is_told():
    with pytest.raises(HookError, match=r"^wanted a run that reaches blocks\.1\.hook_resid_pre;"):
        small_model().run_with_cache(
            small_tokens(), names_filter=lambda name: name.startswith("blocks.1"), stop_at_layer=1
        )


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
