from __future__ import annotations

import pytest

from unweave.core.edges import Edge, Node, possible_edges
from unweave.core.errors import InputError
from unweave.model.config import HookedTransformerConfig
from unweave.model.transformer import HookedTransformer

NODES = ["embed", "pos_embed", "a0.h1", "a10.h11", "m0", "m12", "logits"]
EDGES = ["embed->a0.h0<q>", "pos_embed->m0", "a0.h1->a1.h0<k>", "a0.h1->m0", "m0->a1.h2<v>", "m0->logits"]


@pytest.mark.parametrize("text", NODES)
def test_a_node_reads_as_it_is_written(text: str):
    assert str(Node.parse(text)) == text


@pytest.mark.parametrize("text", EDGES)
def test_an_edge_reads_as_it_is_written(text: str):
    assert str(Edge.parse(text)) == text
    assert Edge.parse(text.replace("->", " -> ")) == Edge.parse(text)


@pytest.mark.parametrize("text", ["", "a0", "a0.h", "h0", "m", "m-1", "A0.h0", "resid", "m0 m1"])
def test_what_is_no_node_is_refused(text: str):
    with pytest.raises(InputError, match=r"^wanted embed, pos_embed, a head such as a0\.h1"):
        Node.parse(text)


@pytest.mark.parametrize("text", ["", "m0", "m0->", "m0->m1->m2", "m0<q>->m1", "m0-m1"])
def test_what_is_no_edge_is_refused(text: str):
    with pytest.raises(InputError, match=r"^wanted "):
        Edge.parse(text)


@pytest.mark.parametrize(
    ("kind", "layer", "head"),
    [
        ("head", 0, None),
        ("head", None, 0),
        ("mlp", None, None),
        ("mlp", 0, 0),
        ("embed", 0, None),
        ("a", 0, 0),
    ],
)
def test_a_node_has_the_numbers_that_it_needs(kind: str, layer: int | None, head: int | None):
    with pytest.raises(InputError, match=r"write Node\(\"head\", 0, 1\), or Node\.parse"):
        Node(kind, layer, head)


@pytest.mark.parametrize("text", ["m0->a0.h0<q>", "a0.h0->a0.h1<k>", "m1->m1", "m1->m0", "a1.h0->m0"])
def test_an_edge_runs_forwards(text: str):
    with pytest.raises(InputError, match=r"^wanted an edge that runs forwards; got "):
        Edge.parse(text)


@pytest.mark.parametrize("text", ["embed->a0.h0", "embed->m0<q>", "embed->logits<v>", "embed->a0.h0<z>"])
def test_heads_and_only_heads_have_three_inputs(text: str):
    with pytest.raises(InputError, match=r"^wanted q, k or v for a receiving head"):
        Edge.parse(text)


def test_logits_send_nothing():
    with pytest.raises(InputError, match=r"^wanted a node that adds to the residual stream; got logits"):
        _ = Node("logits").writes


@pytest.mark.parametrize("mlp", [True, False])
def test_edges_name_hooks_that_a_model_has(mlp: bool):
    cfg = HookedTransformerConfig(
        n_layers=2, d_model=8, n_ctx=4, d_head=4, d_vocab=5, act_fn="relu", attn_only=not mlp
    )
    hooks = HookedTransformer(cfg).hook_dict
    edges = list(possible_edges(2, 2, mlp=mlp))
    assert {edge.sender.writes for edge in edges} | {edge.reads for edge in edges} <= set(hooks)


def test_possible_edges_of_one_layer_worked_by_hand():
    assert [str(edge) for edge in possible_edges(1, 1)] == [
        *("embed->a0.h0<q>", "pos_embed->a0.h0<q>", "embed->a0.h0<k>", "pos_embed->a0.h0<k>"),
        *("embed->a0.h0<v>", "pos_embed->a0.h0<v>"),
        *("embed->m0", "pos_embed->m0", "a0.h0->m0"),
        *("embed->logits", "pos_embed->logits", "a0.h0->logits", "m0->logits"),
    ]


@pytest.mark.parametrize(
    ("mlp", "pos", "parallel"), [(True, True, False), (True, False, True), (False, True, False)]
)
def test_the_number_of_possible_edges(mlp: bool, pos: bool, parallel: bool):
    layers, heads = 3, 4
    wanted, senders = 0, 1 + pos
    for _ in range(layers):
        wanted += 3 * heads * senders
        wanted += mlp * (senders + (0 if parallel else heads))
        senders += heads + mlp
    edges = list(possible_edges(layers, heads, mlp=mlp, pos_embed=pos, parallel=parallel))
    assert len(edges) == len(set(edges)) == wanted + senders


def test_edges_sort_in_the_order_of_a_run():
    texts = ["m0->logits", "a10.h0->m10", "a1.h0->m1", "embed->a1.h0<v>", "embed->a1.h0<q>", "embed->m0"]
    ordered = sorted(map(Edge.parse, texts), key=lambda edge: edge.order)
    assert [str(edge) for edge in ordered] == [
        *("embed->m0", "embed->a1.h0<q>", "embed->a1.h0<v>", "a1.h0->m1", "a10.h0->m10", "m0->logits")
    ]
