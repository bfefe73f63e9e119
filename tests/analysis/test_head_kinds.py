"""Kinds of heads on planted and hand-set models: the right heads, and only these."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from tests.equivalent_models import equivalents
from tests.model.small import assert_equal_to, small_model
from tests.planted.loaded import exact
from unweave import planted
from unweave.analysis import head_kinds
from unweave.analysis.head_kinds import KINDS
from unweave.core.errors import InputError
from unweave.planted import aggregate, indices, select, tokens, vote
from unweave.planted.catalogue.copying import induction_program


@cache
def made(kind: str) -> planted.PlantedModel:
    """Models with 12 tokens and 17 positions, whose heads look where they are told."""

    def head(predicate, keys=indices, queries=indices, name="head"):
        return aggregate(select(keys, queries, predicate), tokens, name=name)

    programs = {
        "induction": induction_program,
        "duplicate": lambda: aggregate(
            select(tokens, tokens, lambda key, query: key == query, prefer="last"), indices, name="same"
        ),
        "offset": lambda: head(lambda key, query: key == query - 7),
        "kinds": lambda: vote(
            {
                head(lambda key, query: key == query - 1, name="before"): 1.0,
                head(lambda key, query: key == query, name="itself"): 0.75,
                head(lambda key, query: False, name="nothing"): 0.5,
            }
        ),
    }
    return planted.compile(programs[kind](), n_tokens=12, max_length=16, decoys=2, dtype="float64")


def named(model, **options) -> dict[str, list[str]]:
    found = head_kinds(model, samples=8, block=8, **options).provenance["named"]
    return {kind: heads for kind, heads in found.items() if heads}


def place(model: planted.PlantedModel, step: str) -> str:
    [node] = [str(n) for n, text in model.steps.items() if text.startswith(step)]
    return node.replace("a", "L").replace(".h", "H")


def test_induction_s_two_heads_and_no_decoy():
    model = made("induction")
    assert named(model.model) == {
        "previous": [place(model, "previous")],
        "induction": [place(model, "next")],
    }


def test_previous_self_and_a_head_that_rests_on_the_first_position():
    model = made("kinds")
    assert named(model.model) == {
        "previous": [place(model, "before")],
        "self": [place(model, "itself")],
        "first": [place(model, "nothing")],
    }


def test_a_head_at_a_fixed_distance_is_no_induction_head():
    """With blocks of 8, seven back is what followed the earlier occurrence. Without the control it would be named."""
    model = made("offset")
    found = head_kinds(model.model, samples=8, block=8)
    head = place(model, "head")
    score = found.sel(measure="score", kind="induction", head=head).values.item()
    control = found.sel(measure="control", kind="induction", head=head).values.item()
    assert score > 0.99
    assert control > 0.99
    assert found.provenance["named"]["induction"] == []


def hand_model(score: Tensor, writes: Tensor | None = None, bias: float = 0.0):
    """One head on one-hot tokens (0 is BOS) whose scores are `token @ score @ token`, and that writes `writes`."""
    n = len(score)
    model = small_model(
        n_layers=1, n_heads=1, d_model=n, d_head=n, d_vocab=n, n_ctx=2 * n, dtype="float64",
        attn_only=True, normalization_type=None, use_attn_scale=False,
    )  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.embed.W_E.copy_(torch.eye(n))
        model.blocks[0].attn.W_Q[0].copy_(score)
        model.blocks[0].attn.W_K[0].copy_(torch.eye(n))
        model.blocks[0].attn.W_V[0].copy_(torch.eye(n))
        model.blocks[0].attn.W_O[0].copy_(torch.zeros(n, n) if writes is None else writes)
        model.unembed.W_U.copy_(torch.eye(n))
    return model


def test_copy_suppression_is_negative_and_at_what_is_predicted():
    """The stream predicts the token itself; a head that attends to equal tokens lowers it (or raises it)."""
    same = 30.0 * torch.eye(12, dtype=torch.float64)
    lowering, raising = (hand_model(same, sign * torch.eye(12)) for sign in (-3.0, 3.0))
    assert named(lowering)["copy suppression"] == ["L0H0"]
    # Attention to predicted tokens without asking what is written there would name this one too.
    assert "copy suppression" not in named(raising)
    # Half of the attention is on the query itself, half on the earlier occurrence.
    found = head_kinds(raising, samples=8, block=8)
    assert found.sel(measure="score", kind="duplicate").values.item() == pytest.approx(0.5, abs=1e-6)
    assert named(raising) == {"self": ["L0H0"], "duplicate": ["L0H0"]}


def test_a_head_that_rests_on_the_first_position_is_told_with_what_is_left():
    """Every query prefers BOS by so much that 3% is left, all of it on equal tokens."""
    score = 12.0 * torch.eye(12, dtype=torch.float64)
    score[:, 0] = 16.2
    model = hand_model(score)
    found = head_kinds(model, samples=8, block=8)
    assert found.provenance["named"]["first"] == ["L0H0"]
    assert found.provenance["named"]["duplicate"] == []
    assert any("rests on the first position (97%)" in t and "duplicate" in t for t in found.warnings)


def test_untrained_heads_are_of_no_kind():
    model = small_model(d_vocab=40, n_ctx=40, d_model=16, n_heads=4, dtype="float64")
    assert named(model) == {}


@pytest.mark.parametrize("fields", [{}, {"n_heads": 4, "n_key_value_heads": 2}])
def test_invariance(fields):
    model = small_model(d_vocab=20, n_ctx=20, dtype="float64", **fields)
    base = head_kinds(model, samples=4, block=8)
    for name, equivalent in equivalents(model).items():
        found = head_kinds(equivalent.model, samples=4, block=8)
        for label in base.coords["head"]:
            layer, head = map(int, str(label)[1:].split("H"))
            moved = f"L{layer}H{equivalent.head(layer, head)}"
            assert_equal_to(1e-6, found.sel(head=moved).values, base.sel(head=label).values, name)


def test_what_is_refused():
    with pytest.raises(InputError, match="wanted a model that looks back only"):
        head_kinds(exact("reverse").model)
    with pytest.raises(InputError, match="wanted blocks of 3 to 8 distinct tokens"):
        head_kinds(made("induction").model, block=9)
    assert KINDS[3] == "induction"
