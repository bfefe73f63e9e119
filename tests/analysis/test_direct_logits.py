"""Direct logit attribution, against the sum written out by hand, and on a planted model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.model.features import FEATURES
from tests.model.small import assert_equal_to, small_model, small_tokens
from tests.planted.loaded import exact
from unweave import HookedTransformer, Inputs
from unweave.analysis import direct_logit_attribution
from unweave.core.errors import InputError

TOKENS = small_tokens()
RIGHT, WRONG = torch.tensor([1, 4, 7]), torch.tensor([2, 4 + 5, 0])
AT = torch.tensor([6, 3, 0])


def model_of(**fields: Any) -> HookedTransformer:
    return small_model(
        **{"dtype": "float64", "positional_embedding_type": "standard", "act_fn": "gelu", **fields}
    )


def logits_at(model: HookedTransformer, tokens: Tensor = TOKENS) -> Tensor:
    rows, logits = torch.arange(3), model(tokens).detach()
    return logits[rows, AT, RIGHT] - logits[rows, AT, WRONG]


def by_hand(model: HookedTransformer, written: Tensor, weight: bool = True) -> Tensor:
    """The share of something written, `[sample, pos, d_model]`, through LayerNorm's frozen scale."""
    final = model.run_with_cache(TOKENS)[1]["blocks.1.hook_resid_post"]
    shares = []
    for sample in range(3):
        x, whole = written[sample, AT[sample]], final[sample, AT[sample]]
        scale = ((whole - whole.mean()).pow(2).mean() + model.cfg.eps).sqrt()
        normed = (x - x.mean()) / scale * (model.ln_final.w if weight else 1.0)
        shares.append(normed @ (model.W_U[:, RIGHT[sample]] - model.W_U[:, WRONG[sample]]))
    return torch.stack(shares).detach()


def test_each_share_is_the_one_worked_by_hand():
    model = model_of()
    cache = model.run_with_cache(TOKENS, names_filter=lambda name: True)[1]
    results = [model.run_with_cache(TOKENS, names_filter=f"blocks.{n}.attn.hook_result")[1] for n in (0, 1)]
    found = direct_logit_attribution(model, TOKENS, RIGHT, WRONG, pos=AT, by="head")
    assert found.per_sample is not None
    wanted = {
        **{f"L{n}H{h}": results[n]["result", n][:, :, h] for n in (0, 1) for h in (0, 1)},
        "0_mlp_out": cache["mlp_out", 0],
        "1_mlp_out": cache["mlp_out", 1],
        "embed": cache["embed"],
        "pos_embed": cache["pos_embed"],
        "bias": (model.b_O.sum(0)).detach().expand(3, 7, 8),
    }
    assert set(found.coords["component"]) == {*wanted, "ln_final.b", "b_U"}
    for name, written in wanted.items():
        assert_equal_to(1e-10, found.sel(component=name).per_sample, by_hand(model, written), name)
    # Forgetting the weight of the final norm is the usual mistake.
    wrong = by_hand(model, cache["embed"], weight=False)
    assert not torch.allclose(found.sel(component="embed").per_sample, wrong, rtol=0.05)


@pytest.mark.parametrize("by", ["component", "head", "neuron"])
@pytest.mark.parametrize("norm", ["LN", "LNPre", "RMS", "RMSPre", None])
def test_the_shares_sum_to_the_logits(by: Any, norm: str | None):
    model = model_of(normalization_type=norm)
    found = direct_logit_attribution(model, TOKENS, RIGHT, WRONG, pos=AT, by=by)
    assert found.per_sample is not None
    assert_equal_to(1e-10, found.per_sample.sum(0), logits_at(model))
    alone = direct_logit_attribution(model, TOKENS, RIGHT, pos=AT, by=by)
    assert alone.per_sample is not None
    assert_equal_to(1e-10, alone.per_sample.sum(0), model(TOKENS)[torch.arange(3), AT, RIGHT])
    sizes = {"component": 4, "head": 6, "neuron": 4 + 2 * 32}
    extra = 2 + 1 + (by != "component") + (norm in ("LN",))
    assert found.values.shape == (sizes[by] + extra,)


@pytest.mark.parametrize("feature", [f for f in FEATURES if FEATURES[f].get("norm_position") != "stream"])
def test_every_feature_that_adds_up(feature: str):
    fields = {"positional_embedding_type": "none", **FEATURES[feature], "dtype": "float64"}
    model = small_model(**fields)
    types = torch.zeros_like(TOKENS) if model.cfg.n_token_types else None
    given = Inputs(TOKENS, None, types)
    found = direct_logit_attribution(model, given, 1, 2, by="head")
    _, cache = model.run_with_cache(TOKENS, names_filter="unembed.hook_out", **given.others)
    logits = cache["unembed.hook_out"][:, -1] * model.cfg.logit_multiplier
    assert found.per_sample is not None
    assert_equal_to(1e-9, found.per_sample.sum(0), logits[:, 1] - logits[:, 2])
    assert bool(found.warnings) == (model.cfg.output_logits_soft_cap > 0)


def test_padding_is_as_in_the_run():
    model, mask = model_of(), torch.ones_like(TOKENS)
    mask[0, :2] = mask[1, :1] = 0
    found = direct_logit_attribution(model, TOKENS, 1, 2, attention_mask=mask)
    logits = model(TOKENS, attention_mask=mask)[:, -1]
    assert found.per_sample is not None
    assert_equal_to(1e-10, found.per_sample.sum(0), logits[:, 1] - logits[:, 2])


def test_planted_heads_that_cancel_do_so():
    loaded = exact("cancel")
    tokens = loaded.inputs(4)
    found = direct_logit_attribution(loaded.model, tokens, 0, by="head")
    share = (tokens[:, 1:] == 2).double().mean(1)
    assert found.per_sample is not None
    assert_equal_to(1e-9, found.sel(component="L0H1").per_sample, share)
    assert_equal_to(1e-9, found.sel(component="L0H2").per_sample, -share)
    assert_equal_to(1e-9, found.sel(component="L0H0").per_sample, loaded.algorithm(tokens)[:, -1])


def test_what_is_refused():
    model = model_of()
    with pytest.raises(InputError, match="wanted one position a sample"):
        direct_logit_attribution(model, TOKENS, 1, 2, pos=[1, 2])
    with pytest.raises(InputError, match="by"):
        direct_logit_attribution(model, TOKENS, 1, 2, by="layer")
    model.add_hook("blocks.1.hook_resid_post", lambda tensor, hook: tensor + 1.0)
    with pytest.raises(InputError, match="sum to the"):
        direct_logit_attribution(model, TOKENS, 1, 2)
