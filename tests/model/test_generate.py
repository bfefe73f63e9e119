"""Continued sequences: with a cache and without, greedy and drawn, padded and edited."""

from __future__ import annotations

import pytest
import torch

from tests.core.unchecked import as_users_run
from tests.model.features import FEATURES
from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave.core.errors import HookError, InputError
from unweave.model.generate import at_position, generate
from unweave.model.sampling import Sampler

LEFT = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]])
POSITIONS = [
    "none",
    "standard",
    "sinusoidal",
    "shortformer",
    "rotary",
    "alibi",
    "t5",
    "window",
    "grouped",
    "qk norm",
]
GREEDY = {"do_sample": False, "stop_at_eos": False}


def fields_for(name: str) -> dict:
    return {**FEATURES.get(name, {"positional_embedding_type": name}), "n_ctx": 12, "dtype": "float64"}


def by_hand(model, tokens: torch.Tensor, n: int, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Each sequence alone, without its padding, by full runs."""
    rows = []
    for b, row in enumerate(tokens):
        real = row if mask is None else row[mask[b].bool()]
        for _ in range(n):
            real = torch.cat([real, model(real)[0, -1].argmax()[None]])
        rows.append(torch.cat([row, real[len(real) - n :]]))
    return torch.stack(rows)


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("mask", [None, LEFT], ids=["whole", "padded"])
@pytest.mark.parametrize("kind", POSITIONS)
def test_the_likeliest_tokens(kind: str, mask: torch.Tensor | None, use_cache: bool):
    model, tokens = small_model(**fields_for(kind)), small_tokens(pos=4)
    got = model.generate(tokens, 8, **GREEDY, attention_mask=mask, use_past_kv_cache=use_cache)
    assert torch.equal(got, by_hand(model, tokens, 8, mask))


def test_with_a_cache_one_position_is_run_a_step():
    model, seen = small_model(n_ctx=12), []
    model.hook_dict["hook_embed"].add_hook(lambda x, hook: seen.append(x.shape[1]))
    model.generate(small_tokens(pos=4), 5, **GREEDY)
    assert seen == [4, 1, 1, 1, 1]
    seen.clear()
    model.generate(small_tokens(pos=4), 5, **GREEDY, use_past_kv_cache=False)
    assert seen == [4, 5, 6, 7, 8]


@pytest.mark.parametrize("mask", [None, LEFT], ids=["whole", "padded"])
@pytest.mark.parametrize("position", [1, 3, 4, 6])
@pytest.mark.parametrize(
    "site",
    [
        "hook_embed",
        "blocks.0.attn.hook_k",
        "blocks.0.attn.hook_v",
        "blocks.1.hook_resid_pre",
        "blocks.0.mlp.hook_post",
    ],
)
@pytest.mark.parametrize("kind", ["standard", "rotary", "alibi"])
def test_an_edit_at_one_position_means_the_same_with_a_cache(
    kind: str, site: str, position: int, mask: torch.Tensor | None
):
    model, tokens = small_model(**fields_for(kind)), small_tokens(pos=4)
    runs = {}
    for use_cache in (True, False):
        with model.hooks(fwd_hooks=[(site, at_position(model, position, lambda x: 20 * x.flip(-1) + 3))]):
            runs[use_cache] = model.generate(
                tokens, 8, **GREEDY, attention_mask=mask, use_past_kv_cache=use_cache
            )
    assert torch.equal(runs[True], runs[False])


@pytest.mark.parametrize("mask", [None, LEFT], ids=["whole", "padded"])
@pytest.mark.parametrize("position", [0, 3, 5])
@pytest.mark.parametrize(
    "site", ["ln_final.hook_scale", "ln_final.hook_normalized", "unembed.hook_in", "unembed.hook_out"]
)
def test_an_edit_at_the_end_of_the_model_is_of_that_position_alone(
    site: str, position: int, mask: torch.Tensor | None
):
    model, tokens = small_model(**fields_for("standard")), small_tokens(pos=4)
    plain = model.generate(tokens, 8, **GREEDY, attention_mask=mask)
    # With b_U in play, a scale of any size can change which token is the likeliest.
    edit = at_position(model, position, lambda x: 50 * x.flip(-1) + 3)
    runs = []
    for use_cache in (True, False):
        with model.hooks(fwd_hooks=[(site, edit)]):
            runs.append(model.generate(tokens, 8, **GREEDY, attention_mask=mask, use_past_kv_cache=use_cache))
    assert torch.equal(*runs)
    # Only what position `position` says of the next token may change, and what follows from that.
    assert torch.equal(runs[0][:, : max(position, 3) + 1], plain[:, : max(position, 3) + 1])
    if position == 0:
        assert torch.equal(runs[0], plain)


def test_a_position_is_found_in_every_kind_of_site_or_refused():
    fields = {**FEATURES["qk norm"], **FEATURES["experts"], "dtype": "float64"}
    model, tokens = small_model(**fields), small_tokens()
    names = [name for name in model.hook_dict if ".experts." not in name]
    edit = at_position(model, 2, lambda x: torch.zeros_like(x))
    dims = {"hook_attn_scores": 2, "hook_pattern": 2}
    for name in names:
        with model.recording(names) as clean:
            model(tokens)
        with model.hooks(fwd_hooks=[(name, edit)]), model.recording(name) as kept:
            model(tokens)
        wanted = clean[name].clone()
        wanted.select(dims.get(name.rpartition(".")[2], 1), 2).zero_()
        assert_equal_to(1e-12, kept[name], wanted, name)
    with pytest.raises(
        HookError, match=r"wanted positions at blocks\.0\.mlp\.experts\.0\.hook_pre; got a tensor"
    ):
        model.run_with_hooks(tokens, fwd_hooks=[("blocks.0.mlp.experts.0.hook_pre", edit)])


def test_that_edit_changes_something():
    model, tokens = small_model(**fields_for("standard")), small_tokens(pos=4)
    with model.hooks(
        fwd_hooks=[("blocks.1.hook_resid_pre", at_position(model, 3, lambda x: 20 * x.flip(-1)))]
    ):
        edited = model.generate(tokens, 8, **GREEDY)
    assert not torch.equal(edited, model.generate(tokens, 8, **GREEDY))


def test_an_edit_of_one_querys_pattern():
    model, tokens = small_model(**fields_for("standard")), small_tokens(pos=4)

    def to_itself(row: torch.Tensor) -> torch.Tensor:  # [batch, head, key], the query's own last
        return torch.zeros_like(row).index_fill(-1, torch.tensor([4]), 1.0)

    runs = []
    for use_cache in (True, False):
        hook = at_position(model, 4, to_itself, dim=None if use_cache else 2)
        with model.hooks(fwd_hooks=[("blocks.0.attn.hook_pattern", hook)]):
            runs.append(model.generate(tokens, 6, **GREEDY, use_past_kv_cache=use_cache))
    assert torch.equal(*runs)


def test_sequences_stop_at_a_stop_token_and_are_filled_up():
    model, tokens = small_model(n_ctx=12), small_tokens(pos=4)
    free = model.generate(tokens, 8, **GREEDY)
    stop = free[0, 6].item()
    got = model.generate(tokens, 8, do_sample=False, eos_token_id=[stop, 99 % 11])
    for b in range(3):
        new, kept = free[b, 4:].tolist(), got[b, 4:].tolist()
        ends = [i for i, token in enumerate(new) if token in (stop, 0)]
        until = ends[0] + 1 if ends else len(new)
        assert kept[:until] == new[:until][: len(kept)]
        assert all(token == stop for token in kept[until:])


def test_it_ends_when_all_have_stopped():
    model, seen = small_model(n_ctx=12), []
    with torch.no_grad():
        model.unembed.b_U[5] = 1000.0
    model.hook_dict["hook_embed"].add_hook(lambda x, hook: seen.append(1))
    got = model.generate(small_tokens(pos=4), 8, eos_token_id=5)
    assert got.shape == (3, 5)
    assert len(seen) == 1


def test_caching_works_while_it_runs():
    model, kept = small_model(n_ctx=12), []
    model.hook_dict["blocks.1.attn.hook_pattern"].add_hook(lambda x, hook: kept.append(x.clone()))
    tokens = model.generate(small_tokens(pos=4), 5, **GREEDY)
    kept, steps = [], kept
    _, cache = model.run_with_cache(tokens[:, :-1])
    for step, pattern in enumerate(steps[1:], start=4):
        torch.testing.assert_close(pattern[:, :, 0], cache["pattern", 1][:, :, step, : step + 1])


def test_draws_follow_the_distribution_and_the_generator():
    model, tokens = small_model(n_ctx=12), small_tokens(batch=1, pos=4)
    wanted = model(tokens)[0, -1].softmax(-1)
    many = tokens.expand(20_000, 4)
    got = model.generate(many, 1, stop_at_eos=False, generator=torch.Generator().manual_seed(0))[:, -1]
    share = torch.bincount(got, minlength=11) / 20_000
    # Four standard errors.
    assert ((share - wanted).abs() < 4 * (wanted * (1 - wanted) / 20_000).sqrt() + 1e-9).all()
    state = torch.random.get_rng_state()
    runs = [
        model.generate(tokens, 6, stop_at_eos=False, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    ]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert torch.equal(torch.random.get_rng_state(), state)


ODDS = torch.tensor([[0.1, 0.4, 0.2, 0.3]])


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, [0.1, 0.4, 0.2, 0.3]),
        ({"top_k": 2}, [0, 4 / 7, 0, 3 / 7]),
        ({"top_k": 9}, [0.1, 0.4, 0.2, 0.3]),
        ({"top_p": 0.4}, [0, 1, 0, 0]),
        ({"top_p": 0.5}, [0, 4 / 7, 0, 3 / 7]),
        ({"top_p": 0.75}, [0, 4 / 9, 2 / 9, 3 / 9]),
        ({"top_p": 1.0}, [0.1, 0.4, 0.2, 0.3]),
        ({"top_p": 1e-9}, [0, 1, 0, 0]),
        # 4/9, 3/9, 2/9 of the three likeliest: two have 7/9.
        ({"top_k": 3, "top_p": 0.7}, [0, 4 / 7, 0, 3 / 7]),
    ],
)
def test_what_is_drawn_from(given: dict, wanted: list[float]):
    torch.testing.assert_close(Sampler(**given).distribution(ODDS.log()), torch.tensor([wanted]).float())


def drawn(
    tokens: torch.Tensor, attended: torch.Tensor | None = None, n: int = 4000, **given: object
) -> torch.Tensor:
    sampler = Sampler(generator=torch.Generator().manual_seed(0), **given)
    attended = torch.ones_like(tokens).bool() if attended is None else attended
    got = sampler(ODDS.log().expand(n, 4), tokens.expand(n, -1), attended.expand(n, -1))
    return torch.bincount(got, minlength=4) / n


def test_temperature_and_frequency_penalty():
    none = torch.tensor([[0]])
    squared = ODDS[0] ** 2 / (ODDS[0] ** 2).sum()
    assert (drawn(none, ~none.bool(), temperature=0.5) - squared).abs().max() < 0.04
    assert drawn(none, temperature=0.0).tolist() == [0, 1, 0, 0]
    # Token 1 twice, token 3 once, each time e^-2; padding does not count.
    less = ODDS[0] * torch.tensor([1, -4.0, 0, -2]).clamp(max=0).exp()
    tokens = torch.tensor([[1, 1, 3, 2]])
    got = drawn(tokens, torch.tensor([[True, True, True, False]]), freq_penalty=2.0)
    assert (got - less / less.sum()).abs().max() < 0.04
    greedy = Sampler(do_sample=False, freq_penalty=2.0)
    # Of 0.1, 0.4, 0.2, 0.3, all but the first are made smaller by e^2 or more.
    assert greedy(ODDS.log(), tokens, torch.ones_like(tokens).bool()).item() == 0


REFUSED = [
    (
        {},
        "wanted eos_token_id, one or more tokens from 0 to 10, to stop at; got None; pass one, or stop_at_eos=False",
    ),
    ({"eos_token_id": 11}, "wanted eos_token_id, one or more tokens from 0 to 10, to stop at; got 11;"),
    (
        {"eos_token_id": 1, "stop_at_eos": False},
        "wanted stop_at_eos=True with eos_token_id; got stop_at_eos=False;",
    ),
    (
        {"eos_token_id": 1, "temperature": -1.0},
        "wanted a finite number of at least 0 for temperature; got -1.0; set",
    ),
    (
        {"eos_token_id": 1, "top_k": 0},
        "wanted a whole number of at least 1, or None, for top_k; got 0; set top_k",
    ),
    (
        {"eos_token_id": 1, "top_p": 1.5},
        "wanted a number above 0 and up to 1, or None, for top_p; got 1.5; set",
    ),
    (
        {"eos_token_id": 1, "do_sample": False, "top_k": 3},
        "wanted do_sample=True with top_k, top_p, temperature or",
    ),
    (
        {"eos_token_id": 1, "max_new_tokens": 6},
        "wanted from 0 to 4 new tokens after 4, with n_ctx=7; got max_new_t",
    ),
    (
        {"eos_token_id": 1, "attention_mask": LEFT.flip(1)},
        "wanted padding on the left, so that each sequence's last",
    ),
]


@pytest.mark.parametrize(("given", "sentence"), REFUSED)
def test_what_cannot_be_honoured_is_refused(given: dict, sentence: str):
    with as_users_run(), pytest.raises(InputError) as raised:
        generate(small_model(), small_tokens(pos=4), **{"max_new_tokens": 2, **given})
    assert str(raised.value).startswith(sentence)


def test_what_does_not_see_the_future_only_can_be_continued_without_a_cache():
    model, tokens = small_model(attention_dir="bidirectional", dtype="float64"), small_tokens(pos=4)
    assert torch.equal(
        model.generate(tokens, 3, **GREEDY, use_past_kv_cache=False), by_hand(model, tokens, 3)
    )
    with pytest.raises(InputError, match=r"^wanted causal attention with past_kv_cache; got bidirectional"):
        model.generate(tokens, 3, **GREEDY)


def test_a_stream_is_the_whole_in_batches():
    model, tokens = small_model(n_ctx=12), small_tokens(pos=4)
    whole = model.generate(tokens, 8, **GREEDY)
    for most, lengths in ((1, [5, 1, 1, 1, 1, 1, 1, 1]), (6, [6, 6]), (5, [5, 5, 2]), (25, [12])):
        batches = list(model.generate_stream(tokens, 8, most, do_sample=False, stop_at_eos=False))
        assert [batch.shape[1] for batch in batches] == lengths
        assert torch.equal(torch.cat(batches, 1), whole)
    left = model.generate(tokens, 5, **GREEDY, attention_mask=LEFT)
    streamed = model.generate_stream(
        tokens, 5, 3, do_sample=False, stop_at_eos=False, attention_mask=LEFT, use_past_kv_cache=False
    )
    assert torch.equal(torch.cat(list(streamed), 1), left)


def test_a_stream_stops_and_draws_as_generate_does():
    model, tokens = small_model(n_ctx=12), small_tokens(pos=4)
    drawn = model.generate(tokens, 8, stop_at_eos=False, top_k=3, generator=torch.Generator().manual_seed(0))
    stops = [int(drawn[0, 5]), int(drawn[1, 6])]
    wanted = model.generate(
        tokens, 8, eos_token_id=stops, top_k=3, generator=torch.Generator().manual_seed(0)
    )
    got = model.generate_stream(
        tokens, 8, 1, eos_token_id=stops, top_k=3, generator=torch.Generator().manual_seed(0)
    )
    assert torch.equal(torch.cat(list(got), 1), wanted)
    assert next(model.generate_stream(tokens, 0, do_sample=False, stop_at_eos=False)).equal(tokens)


def test_a_stream_leaves_gradients_to_its_caller_and_refuses_at_once():
    model, tokens = small_model(n_ctx=12), small_tokens(pos=4)
    for batch in model.generate_stream(tokens, 3, 1, do_sample=False, stop_at_eos=False, verbose=True):
        assert torch.is_grad_enabled()
        assert not batch.is_floating_point()
    with pytest.raises(InputError, match="max_tokens_per_yield of at least 1; got 0"):
        model.generate_stream(tokens, 3, 0, stop_at_eos=False)
    with pytest.raises(InputError, match=r"return_type='tokens': .* got 'str'"):
        model.generate_stream(tokens, 3, stop_at_eos=False, return_type="str")
    with pytest.raises(InputError, match="max_new_tokens=90"):
        model.generate_stream(tokens, 90, stop_at_eos=False)
    with pytest.raises(InputError, match="eos_token_id, one or more"):
        model.generate_stream(tokens, 3)
