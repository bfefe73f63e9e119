"""What must hold for any config: hypothesis draws configs, and shrinks those that fail."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.model.features import check_against_reference
from tests.model.small import assert_equal_to, small_model
from unweave.model.config import NORMS
from unweave.model.generate import at_position
from unweave.model.kv_cache import KeyValueCache
from unweave.model.transformer import HookedTransformer

N_CTX = 6
thorough = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def configs(draw: st.DrawFn, causal: bool = False) -> dict[str, Any]:
    kind = draw(
        st.sampled_from(
            ["none", "standard", "sinusoidal", "shortformer", "rotary", "alibi", "relative_positional_bias"]
        )
    )
    n_layers, n_heads = draw(st.integers(1, 2)), draw(st.sampled_from([1, 2, 4]))
    norm = draw(st.sampled_from(NORMS))
    fields: dict[str, Any] = {
        "n_layers": n_layers,
        "n_heads": n_heads,
        "n_ctx": N_CTX,
        "positional_embedding_type": kind,
        "normalization_type": norm,
        "seed": draw(st.integers(0, 99)),
        **draw(qk_norms()),
        "clip_qkv": draw(st.sampled_from([None, None, 0.5])),
        "attn_scores_soft_cap": draw(st.sampled_from([-1.0, 2.0])),
        "output_logits_soft_cap": draw(st.sampled_from([-1.0, 2.0])),
        "residual_multiplier": draw(st.sampled_from([1.0, 0.5])),
        "tie_word_embeddings": draw(st.booleans()),
        "post_embedding_ln": draw(st.booleans()),
        "n_token_types": draw(st.sampled_from([0, 2])),
        "without_biases": draw(
            st.sets(st.sampled_from(["b_Q", "b_K", "b_V", "b_O", "b_in", "b_U"])).map(sorted)
        ),
        "attention_dir": "causal" if causal else draw(st.sampled_from(["causal", "bidirectional"])),
        "n_key_value_heads": draw(st.sampled_from([None, 1, n_heads])),
        "dtype": "float64",
    }
    if norm is not None:
        fields |= draw(norm_positions())
    if draw(st.booleans()):
        kinds = st.lists(st.sampled_from(["local", "global"]), min_size=n_layers, max_size=n_layers)
        fields |= {"use_local_attn": True, "window_size": draw(st.integers(1, 4)), "attn_types": draw(kinds)}
    if kind == "rotary":
        fields |= {"rotary_dim": draw(st.sampled_from([2, 4])), "rotary_adjacent_pairs": draw(st.booleans())}
        rotated = st.lists(st.booleans(), min_size=n_layers, max_size=n_layers)
        fields |= {"rotary_layers": draw(st.one_of(st.none(), rotated))}
    if kind == "alibi":
        slopes = st.sampled_from(["geometric", "nearest_power"])
        fields |= {"n_heads": draw(st.sampled_from([2, 3, 6])), "n_key_value_heads": None}
        fields |= {"alibi_slopes": draw(slopes), "alibi_scaled": draw(st.booleans())}
        fields |= {"alibi_rounded": draw(st.booleans())}
    if kind == "relative_positional_bias":
        fields |= {"relative_attention_num_buckets": 4, "relative_attention_max_distance": 4}
    stream = fields.get("norm_position") == "stream"
    return fields | draw(mlps().filter(lambda mlp: not (stream and (mlp.keys() & ALONE))))


# What has no meaning where the stream itself is normed.
ALONE = {"attn_only", "parallel_attn_mlp"}


def qk_norms() -> st.SearchStrategy[dict[str, Any]]:
    scopes = st.sampled_from(["head", "each_head", "all_heads"])
    kinds = st.sampled_from(["RMS", "LN"])
    some = {"use_qk_norm": st.just(True), "qk_norm_type": kinds, "qk_norm_scope": scopes}
    return st.one_of(st.just({}), st.fixed_dictionaries(some))


def norm_positions() -> st.SearchStrategy[dict[str, Any]]:
    places = [{}, {"use_normalization_before_and_after": True}, {"norm_position": "after"}]
    return st.sampled_from([*places, {"norm_position": "stream"}])


def mlps() -> st.SearchStrategy[dict[str, Any]]:
    act_fn = st.sampled_from(["relu", "gelu", "silu", "gelu_new", "solu", "relu2", "quick_gelu"])
    return st.one_of(
        st.just({"attn_only": True}),
        st.fixed_dictionaries({"act_fn": act_fn, "gated_mlp": st.booleans()}),
        st.fixed_dictionaries(
            {"act_fn": act_fn, "gated_mlp": st.just(True), "gate_biases": st.booleans()},
            optional={"parallel_attn_mlp": st.just(True)},
        ),
        st.fixed_dictionaries(
            {
                "act_fn": act_fn,
                "gated_mlp": st.just(True),
                "num_experts": st.just(3),
                "experts_per_token": st.integers(1, 3),
                "d_mlp": st.just(5),
                "norm_topk_prob": st.booleans(),
            },
            optional={"parallel_attn_mlp": st.just(True)},
        ),
    )


@st.composite
def batches(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Tokens, and their mask: padding on the left, on the right or nowhere, never a whole sequence."""
    batch, n_pos = draw(st.integers(1, 3)), draw(st.integers(2, N_CTX))
    tokens = torch.tensor([[draw(st.integers(0, 10)) for _ in range(n_pos)] for _ in range(batch)])
    side, mask = draw(st.sampled_from(["left", "right", "none"])), torch.ones_like(tokens)
    for row in mask if side != "none" else []:
        padded = draw(st.integers(0, n_pos - 1))
        row[slice(padded) if side == "left" else slice(n_pos - padded, None)] = 0
    return tokens, mask


@thorough
@given(configs(), batches())
def test_it_is_the_reference(fields: dict[str, Any], batch: tuple[Tensor, Tensor]):
    check_against_reference(small_model(**fields), *batch)


@thorough
@given(configs(), batches())
def test_a_cached_run_is_the_plain_run(fields: dict[str, Any], batch: tuple[Tensor, Tensor]):
    model, (tokens, mask) = small_model(**fields), batch
    plain = model(tokens, attention_mask=mask)
    for names in (None, list(model.hook_dict)):
        logits, _ = model.run_with_cache(tokens, names_filter=names, attention_mask=mask)
        assert_equal_to(1e-10, logits, plain)
    assert torch.equal(model(tokens, attention_mask=mask), plain), "nothing was left behind"


@thorough
@given(configs(), batches(), st.data())
def test_stop_and_start_compose(fields: dict[str, Any], batch: tuple[Tensor, Tensor], data: st.DataObject):
    model, (tokens, mask) = small_model(**fields), batch
    resid, given_ = tokens, {"attention_mask": mask}
    stops = sorted(data.draw(st.lists(st.integers(0, model.cfg.n_layers), max_size=3)))
    start: int | None = None
    for stop in stops:
        resid = model(resid, start_at_layer=start, stop_at_layer=stop, **given_)
        start = stop
    assert torch.equal(model(resid, start_at_layer=start, **given_), model(tokens, **given_))


@thorough
@given(configs(causal=True), batches(), st.data())
def test_with_a_key_value_cache_it_is_the_same(
    fields: dict[str, Any], batch: tuple[Tensor, Tensor], data: st.DataObject
):
    model, (tokens, mask) = small_model(**fields), batch
    cuts = data.draw(st.sets(st.integers(1, tokens.shape[1] - 1)).map(sorted))
    assert_equal_to(1e-10, in_pieces(model, tokens, mask, cuts), model(tokens, attention_mask=mask))


def in_pieces(model: HookedTransformer, tokens: Tensor, mask: Tensor, cuts: list[int]) -> Tensor:
    cache, out = KeyValueCache.init_cache(model.cfg, batch_size=len(tokens)), []
    for start, end in zip([0, *cuts], [*cuts, None], strict=True):
        piece = slice(start, end)
        out.append(model(tokens[:, piece], attention_mask=mask[:, piece], past_kv_cache=cache))
    return torch.cat(out, 1)


@settings(thorough, max_examples=40)
@given(configs(causal=True), batches(), st.data())
def test_generation_with_an_edit_at_one_position_is_the_same_with_a_cache(
    fields: dict[str, Any], batch: tuple[Tensor, Tensor], data: st.DataObject
):
    model, (tokens, mask) = small_model(**{**fields, "n_ctx": 9}), batch
    mask = mask.sort(-1).values  # padding must be on the left
    names = [name for name in model.hook_dict if ".experts." not in name and "expert_indices" not in name]
    site, position = data.draw(st.sampled_from(names)), data.draw(st.integers(0, 7))
    # Of a column that is longer without a cache, what is beyond the query stays zero, or -inf.
    edit = at_position(model, position, lambda x: -3 * x if x.isfinite().all() else 3 * x)
    how = {"max_new_tokens": 3, "do_sample": False, "stop_at_eos": False, "attention_mask": mask}
    with model.hooks(fwd_hooks=[(site, edit)]):
        runs = [model.generate(tokens, **how, use_past_kv_cache=use) for use in (True, False)]
        logits = in_pieces(model, tokens, mask, [1]), model(tokens, attention_mask=mask)
    assert_equal_to(1e-9, *logits, site)
    assert torch.equal(*runs), site
