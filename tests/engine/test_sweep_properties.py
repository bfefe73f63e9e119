"""Exact sweeps equal the naive loop, over random configs: hypothesis draws them, and shrinks those that fail."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.engine import naive
from tests.model.features import FEATURES
from tests.model.small import assert_equal_to, small_model
from tests.model.test_properties import batches, configs
from unweave.engine import Inputs, Interchange, LogitDifference, Mean, Operation, Site, Zero, sweep
from unweave.model.transformer import HookedTransformer

NO_SHRINKING = [Phase.explicit, Phase.reuse, Phase.generate]
thorough = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], phases=NO_SHRINKING)

BUDGETS = [1, 20_000, 2**28]


def sweepable(model: HookedTransformer) -> list[str]:
    left_out = ["rel_pos_hook", "expert_indices"]
    if model.cfg.n_key_value_heads not in (None, model.cfg.n_heads):
        # Heads that share keys must be edited alike there: the model refuses anything else.
        left_out.append("hook_attn_in")
    return [n for n in model.hook_dict if ".experts." not in n and not n.endswith(tuple(left_out))]


def last_attended(mask: Tensor) -> Tensor:
    return (mask * torch.arange(1, mask.shape[1] + 1)).argmax(1)


def expected(
    model: HookedTransformer,
    runs: dict[str, dict[str, Any]],
    name: str,
    axes: tuple[str, ...],
    kind: str,
    measure: Any,
) -> Tensor:
    """The metric of each sample for each combination of indices along `axes`, by full runs."""
    there = naive.cached(model, runs["source"], [name])[name]
    here = naive.cached(model, runs["base"], [name])[name]
    sizes = dict(zip(naive.dims(name), here.shape, strict=True))

    def new(tensor: Tensor, hook: str) -> Tensor:
        if kind == "zero":
            return torch.zeros_like(tensor)
        return there if kind == "interchange" else there.mean(0, keepdim=True).expand_as(tensor)

    rows = []
    for labels in itertools.product(*(range(sizes[axis]) for axis in axes)):
        picked = {axis: {label} for axis, label in zip(axes, labels, strict=True)}
        logits = naive.logits_with(model, runs["base"], [(name, naive.replacing(picked, new))])
        rows.append(measure(logits))
    return torch.stack(rows)


def operation(kind: str, source: Inputs) -> Operation:
    plain = Inputs(source.tokens, None, source.token_type_ids)
    return {"zero": Zero(), "interchange": Interchange(source), "mean": Mean(plain)}[kind]


def check(
    fields: dict[str, Any],
    tokens: Tensor,
    mask: Tensor,
    name: str | None,
    data: st.DataObject | None,
    tolerance: float,
) -> None:
    model = small_model(**fields)
    types = torch.arange(tokens.numel()).view_as(tokens) % 2 if model.cfg.n_token_types else None
    other = (tokens + 1 + torch.arange(tokens.shape[1])) % 11
    kinds = ["zero", "interchange"] + (["mean"] if bool(mask.all()) else [])
    if data is None:
        kind, memory = "interchange", 50_000
    else:
        name = data.draw(st.sampled_from(sweepable(model)))
        kind, memory = data.draw(st.sampled_from(kinds)), data.draw(st.sampled_from(BUDGETS))
    assert name is not None
    inner = naive.dims(name)[1:-1]
    axes = tuple(inner if data is None else data.draw(st.permutations(inner)))
    base, source = Inputs(tokens, mask, types), Inputs(other, mask, types)
    runs = {
        key: {"input": run.tokens, "attention_mask": mask, "token_type_ids": types}
        for key, run in (("base", base), ("source", source))
    }
    where, right, wrong = last_attended(mask), tokens[:, 0], (tokens[:, 0] + 1) % 11
    metric = LogitDifference(right, wrong, pos=where)

    def measure(logits: Tensor) -> Tensor:
        return naive.logit_difference(logits, right, wrong, where)

    wanted = expected(model, runs, name, axes, kind, measure)
    result = sweep(
        model,
        base,
        (name, *axes),
        operation=operation(kind, source),
        metric=metric,
        memory=memory,
        controls=0,
        allow_equal=True,
    )
    assert result.per_sample is not None
    assert_equal_to(tolerance, result.per_sample.flatten(0, -2), wanted, f"{name}, {kind}, {memory}")
    assert result.provenance["plan"]["positions"].startswith("all") == (model.cfg.attention_dir != "causal")


@thorough
@given(configs(), batches(), st.data())
def test_a_sweep_is_the_naive_loop(fields: dict[str, Any], batch: tuple[Tensor, Tensor], data: st.DataObject):
    check(fields, *batch, None, data, 1e-10)


@settings(thorough, max_examples=15)
@given(configs(), batches(), st.data())
def test_in_float32_too(fields: dict[str, Any], batch: tuple[Tensor, Tensor], data: st.DataObject):
    check({**fields, "dtype": "float32"}, *batch, None, data, 1e-5)


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("name", ["blocks.1.hook_resid_pre", "blocks.0.attn.hook_z", "hook_embed"])
def test_every_feature(feature: str, name: str):
    fields = {"positional_embedding_type": "none", **FEATURES[feature], "dtype": "float64"}
    tokens = torch.arange(12).view(2, 6) % 11
    mask = torch.tensor([[0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0]])
    check(fields, tokens, mask, name, None, 1e-10)


@pytest.mark.parametrize("name", ["ln_final.hook_normalized", "unembed.hook_in", "unembed.hook_out"])
def test_after_the_last_layer(name: str):
    tokens = torch.arange(12).view(2, 6) % 11
    check({"dtype": "float64"}, tokens, torch.ones_like(tokens), name, None, 1e-10)


def test_features_cover_sites_of_every_layout():
    assert Site("z").hooks(small_model()) == ["blocks.0.attn.hook_z", "blocks.1.attn.hook_z"]
