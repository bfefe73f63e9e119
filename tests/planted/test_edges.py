"""The true circuit: each of its edges is used, and no other is.

An edge is tested by what it carries, by hand and not by the engine: the receiver alone is given
something else in place of what the sender sent, and everything after it is computed anew.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.planted import by_hand
from tests.planted.loaded import exact
from unweave import planted
from unweave.core.edges import Edge, Node, possible_edges

VARIANTS = [
    *(pytest.param(name, 0, id=name) for name in planted.names()),
    *(
        pytest.param(name, 1, id=f"{name}-decoys")
        for name in ("induction", "reverse", "and", "backup", "cancel", "fraction-of-previous")
    ),
]
NONE, SOME = 1e-6, 1e-3


def edges_of(loaded: planted.PlantedModel) -> list[Edge]:
    cfg = loaded.model.cfg
    positions = cfg.positional_embedding_type == "standard"
    return list(possible_edges(cfg.n_layers, cfg.n_heads, mlp=not cfg.attn_only, pos_embed=positions))


def shuffled(tensor: Tensor, seed: int) -> Tensor:
    return tensor[torch.randperm(len(tensor), generator=torch.Generator().manual_seed(seed))]


def everything_ever_sent(loaded: planted.PlantedModel) -> dict[Node, Tensor]:
    """`[row, d_model]`: what each component sends anywhere, in sequences of every length."""
    runs = [by_hand.run(loaded.model, loaded.inputs(length)[:300])[1] for length in (1, 2, 4, 5)]
    return {node: torch.cat([sent[node].flatten(0, 1) for sent in runs]) for node in runs[0]}


@pytest.mark.parametrize(("name", "decoys"), VARIANTS)
def test_an_edge_is_in_the_circuit_exactly_if_it_matters_what_it_carries(name: str, decoys: int):
    """What it carries is replaced, at every position, by what its sender sends at another position, in
    another sequence, or in one of another length.
    """
    loaded = exact(name, decoys)
    tokens = shuffled(loaded.inputs(), 0)[:128]
    clean, _ = by_hand.run(loaded.model, tokens)
    pool = everything_ever_sent(loaded)
    assert loaded.edges <= set(edges_of(loaded))
    for edge in edges_of(loaded):
        rows = torch.randint(
            len(pool[edge.sender]), tokens.shape, generator=torch.Generator().manual_seed(len(str(edge)))
        )
        cut, _ = by_hand.run(loaded.model, tokens, {edge: pool[edge.sender][rows]})
        effect = (cut - clean).abs().max().item()
        if edge not in loaded.edges:
            assert effect <= NONE, f"{edge} is not in the circuit, and has an effect of {effect}"
        elif edge not in loaded.dormant:
            assert effect >= SOME, f"{edge} is in the circuit, and has no effect"


@pytest.mark.parametrize(("name", "decoys"), VARIANTS)
def test_an_edge_carries_tokens_exactly_if_another_sequence_of_that_length_changes_something(
    name: str, decoys: int
):
    loaded = exact(name, decoys)
    tokens = shuffled(loaded.inputs(), 0)[:128]
    clean, _ = by_hand.run(loaded.model, tokens)
    _, others = by_hand.run(loaded.model, shuffled(tokens, 1))
    for edge in edges_of(loaded):
        cut, _ = by_hand.run(loaded.model, tokens, {edge: others[edge.sender]})
        effect = (cut - clean).abs().max().item()
        if edge in loaded.token_edges:
            assert effect >= SOME, f"{edge} carries tokens, and has no effect"
        else:
            assert effect <= NONE, f"{edge} carries no tokens, and has an effect of {effect}"


@pytest.mark.parametrize("decoys", [0, 2])
def test_the_backup_path_wakes_when_the_first_is_gone(decoys: int):
    loaded = exact("backup", decoys)
    tokens = shuffled(loaded.inputs(), 0)[:128]
    [first] = [node for node in map(Node.parse, loaded.steps) if "primary" in loaded.steps[str(node)][:7]]
    assert first.layer == 0
    clean, sent = by_hand.run(loaded.model, tokens)
    gone = {first: torch.zeros_like(sent[first])}
    ablated, _ = by_hand.run(loaded.model, tokens, ablate=gone)
    torch.testing.assert_close(ablated, clean, rtol=0, atol=1e-9)
    pool = everything_ever_sent(loaded)
    assert loaded.dormant <= loaded.edges
    assert loaded.dormant
    for edge in loaded.dormant:
        rows = torch.randint(len(pool[edge.sender]), tokens.shape, generator=torch.Generator().manual_seed(1))
        cut, _ = by_hand.run(loaded.model, tokens, {edge: pool[edge.sender][rows]}, ablate=gone)
        assert (cut - ablated).abs().max() >= SOME, f"{edge} has no effect even then"


def test_no_other_model_has_dormant_edges():
    assert [name for name in planted.names() if exact(name).dormant] == ["backup"]


def test_the_circuit_of_induction_worked_by_hand():
    wanted = {
        *("pos_embed->a0.h0<q>", "pos_embed->a0.h0<k>", "embed->a0.h0<v>"),
        *("embed->a1.h0<q>", "a0.h0->a1.h0<k>", "embed->a1.h0<v>"),
        # Of several matches the latest is taken, and BOS is known by its position.
        "pos_embed->a1.h0<k>",
        "a1.h0->logits",
    }
    assert {str(edge) for edge in exact("induction").edges} == wanted
